"""ADPA: features propagated along directed patterns once, then attention over hops and over patterns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from graphkit.data.feature_rows import FeatureRows
from graphkit.errors import UserError, nearest
from graphkit.models.node_classifier import NodeClassifier
from graphkit.nn.directed_pattern_attention import DirectedPatternAttention, HopAttention
from graphkit.nn.directed_patterns import DirectedPattern
from graphkit.nn.feature_projection import principal_projection
from graphkit.nn.hop_linear import hop_linear
from graphkit.nn.option_ranges import check_rates
from graphkit.nn.pattern_features import check_finite, hop_decay, pattern_features
from graphkit.nn.pattern_words import pattern_words, word_name
from graphkit.nn.propagated_transforms import map_cost, mapped, propagated_transforms
from graphkit.nn.remembered import remembered
from graphkit.ops import DirectedGraph
from graphkit.ops.directed import as_directed

__all__ = ["ADPA"]

_ORDERS = ("hop_first", "pattern_first")
_PROPAGATES = ("auto", "features", "states")
_ROWS_BYTES = 2**28  # features of the nodes scored at a time
_EVERY_CHANNEL = 0  # hop 0, which all patterns share


class ADPA(NodeClassifier):
    r"""Adaptive directed pattern aggregation.

    .. math:: X_P^{(t)} = \omega_t \hat P X_P^{(t-1)}, \quad H_P = \sum_t a_{P,t} X_P^{(t)}, \quad
        Z_P = \mathrm{MLP}_P(H_P), \quad out = W \, \mathrm{DPA}(Z_0, Z_1, .., Z_p) + b

    Patterns P are all words over A and its transpose up to ``order``; a channel of the node's own features (:math:`H_0 = X`)
    stands beside them. Propagation has no weights and is done once per graph; after that a node's logits depend on its own
    rows of features alone, so batches of any size are exact.

    Args:
        in_channels: F, features of a node.
        hidden_channels: D, width of a channel.
        out_channels: C, classes (or labels).
        order: longest pattern; 2 means A, A^T and the four words of two letters.
        hops: K, propagation steps of every pattern.
        num_layers: linear layers of a channel, each with ReLU and dropout behind it.
        dropout: share of a channel set to 0 in training.
        norm: ``"row_col"``, ``"row_row"`` (as released: nodes without a row send nothing either) or ``"none"``.
        exponent: r in [0, 1]; 0 random walk, 0.5 both sides alike.
        decay: ``"paper"``, ``"none"``, a number, or one number per hop, see :func:`graphkit.nn.hop_decay`.
        self_loops: A + I and A^T + I for the patterns of one letter.
        diagonal, binarize, degree_cap: see :class:`graphkit.nn.DirectedPattern`.
        undirected: reads the graph without its directions.
        project: features on so many principal directions before they are propagated, see
            :func:`graphkit.nn.principal_projection`; None: as they are.
        hop_attention: a kind of :class:`graphkit.nn.HopAttention`.
        pattern_attention: a kind of :class:`graphkit.nn.DirectedPatternAttention`.
        squash: ``"sigmoid"`` or ``"none"``, inside both softmaxes.
        attention_order: ``"hop_first"`` (as released) or ``"pattern_first"``: encoders and pattern attention on every hop, then
            hop attention on their results.
        storage: ``"memory"``, or ``"disk"`` for features that do not fit; then train with a ``batch_size``.
        dtype: of the stored features, ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        propagate: ``"features"``: once for each graph, and a step reads the nodes of its batch alone; ``"states"``: in every step
            what the first layers make of the features, which are never propagated themselves; ``"auto"``: what takes fewer
            multiplications, by the number of nodes asked for, non-zeros of the features, and edges. Equal up to rounding.
        legacy_scramble: the released code's reshape of attention scores, only to reproduce its figures.

    Shapes: x ``[N, F]``, edge_index int64 ``[2, E]`` (source, target), result ``[n, C]`` logits.

    Raises:
        UserError: sizes or options out of range.

    Source:
        Sun et al., Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node Classification (ICDE
        2024), ADPA; details as in the published code.

    Example:
        >>> model = ADPA(8, 16, 3)
        >>> model(torch.randn(5, 8), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])).shape
        torch.Size([5, 3])
    """

    message_direction = "both"

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        *,
        order: int = 2,
        hops: int = 2,
        num_layers: int = 1,
        dropout: float = 0.5,
        norm: str = "row_col",
        exponent: float = 0.5,
        decay: str | float | Sequence[float] = "paper",
        self_loops: bool = True,
        diagonal: str = "keep",
        binarize: bool = False,
        degree_cap: int | None = None,
        undirected: bool = False,
        project: int | None = None,
        hop_attention: str = "original",
        pattern_attention: str = "original",
        squash: str = "sigmoid",
        attention_order: str = "hop_first",
        storage: str = "memory",
        dtype: str = "float32",
        propagate: str = "auto",
        legacy_scramble: bool = False,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("in_channels", in_channels, 1),
            ("hidden_channels", hidden_channels, 1),
            ("out_channels", out_channels, 1),
            ("hops", hops, 0),
            ("num_layers", num_layers, 1),
            *(() if project is None else (("project", project, 1),)),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"{name} is {value!r}, expected a whole number from {least}")
        check_rates(dropout=dropout)
        if project is not None and project > in_channels:
            raise UserError(
                f"project is {project}, but the features have {in_channels} channels; give a smaller number, or None"
            )
        if attention_order not in _ORDERS:
            raise UserError(nearest(str(attention_order), _ORDERS, "attention_order"))
        if storage not in ("memory", "disk"):
            raise UserError(nearest(str(storage), ("memory", "disk"), "storage"))
        if propagate not in _PROPAGATES:
            raise UserError(nearest(str(propagate), _PROPAGATES, "propagate"))
        kept = attention_order != "hop_first" or storage == "disk" or dtype != "float32" or legacy_scramble
        if kept and propagate == "states":
            raise UserError(
                "propagate='states' keeps no propagated features: it goes with attention_order='hop_first', storage='memory', "
                "dtype='float32' and without legacy_scramble; leave it at 'auto'"
            )
        self.propagate = "features" if kept else propagate
        if not 0 <= exponent <= 1:
            raise UserError(f"exponent is {exponent}, expected a number from 0 to 1")
        self.words = pattern_words(order)
        self.in_channels, self.hops, self.attention_order = in_channels, hops, attention_order
        self.undirected, self.project = undirected, project
        # a step along a pattern goes as many hops as it has letters, and is scaled by the sizes of its rows and columns
        self.receptive_hops, self.receptive_halo = order * hops, order
        self.global_coupling = legacy_scramble or project is not None or degree_cap is not None
        self.legacy_scramble = legacy_scramble
        self._pattern: dict[str, Any] = {
            "norm": norm, "exponent": float(exponent), "self_loops": self_loops, "diagonal": diagonal, "binarize": binarize,
            "degree_cap": degree_cap,
        }  # fmt: skip
        # a plain sum over hops is the same in every step: it alone is kept
        self.sums_hops = attention_order == "hop_first" and hop_attention == "none"
        self._propagation: dict[str, Any] = {
            "hops": hops, "decay": hop_decay(decay, hops), "sum_hops": self.sums_hops, "storage": storage, "dtype": dtype,
            **self._pattern,
        }  # fmt: skip
        channels = len(self.words) + 1
        hop_first, inside = attention_order == "hop_first", project or in_channels
        self.encoders = nn.ModuleList(_encoder(inside, hidden_channels, num_layers, dropout) for _ in range(channels))
        self.pattern_attention = DirectedPatternAttention(
            hidden_channels, channels, kind=pattern_attention, squash=squash, legacy_scramble=legacy_scramble
        )
        width = self.pattern_attention.out_channels
        self.hop_attention = HopAttention(
            inside if hop_first else width, hops, len(self.words) if hop_first else 1, kind=hop_attention, squash=squash,
            legacy_scramble=legacy_scramble,
        )  # fmt: skip
        self.head = nn.Linear(width, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor | DirectedGraph, index: Tensor | None = None) -> Tensor:
        """Logits ``[n, C]`` of the nodes ``index`` (int64 ``[n]``; None: all), ``[N, F]`` features and the graph's edges given.

        Propagated features are remembered while ``x`` and ``edge_index`` live unchanged.
        """
        if self._carries_states(x, edge_index, len(x) if index is None else len(index)):
            return self._join(self._first_states(x, edge_index, index))
        return self._answer(self.precompute(x, edge_index), index)

    def precompute(self, x: Tensor, edge_index: Tensor | DirectedGraph) -> FeatureRows:
        """The propagated features, ``[N, 1 + K p, F]``; computed once for each graph and set of options.

        With ``hop_attention="none"`` their sums over the hops, ``[N, 1 + p, F]``.

        Raises:
            UserError: features of another width or not finite, too little memory (the estimate is named).
        """
        self._check_features(x)
        return remembered(x, edge_index, self._key(), lambda: self._precompute(x, edge_index))

    def scores_of(self, data: Any, nodes: Tensor) -> Tensor:
        """Logits ``[n, C]`` of nodes ``[n]`` of PyG's container ``data`` (``x``, ``edge_index``), with gradients."""
        return self(_features_of(data), data.edge_index, nodes)

    def score_nodes(self, data: Any, nodes: Tensor) -> Tensor:
        """The same, some rows of features at a time."""
        if self._carries_states(_features_of(data), data.edge_index, len(nodes)):
            return self.scores_of(data, nodes)
        features = self.precompute(_features_of(data), data.edge_index)
        if self.legacy_scramble:
            return self._answer(features, nodes)
        return torch.cat([self.classify(features[part]) for part in nodes.split(self._rows_at_once(features))])

    def classify(self, rows: Tensor) -> Tensor:
        """Logits ``[n, C]`` from rows of :meth:`precompute`: no other node has a say."""
        if self.attention_order == "hop_first":
            return self._join(self._first_layers(rows, None if self.sums_hops else self.hop_attention.weights(rows)))
        by_hop = [self.pattern_attention(self._encode(list(self._hop(rows, t)))) for t in range(self.hops + 1)]
        return self.head(self.hop_attention(torch.stack(by_hop, 1))[:, 0])

    @torch.no_grad()
    def attention(self, data: Any, nodes: Tensor) -> dict[str, Tensor]:
        """Weights of the nodes' hops and patterns, for ``"hop_first"``.

        Returns:
            ``hops`` ``[n, p, K + 1]`` (patterns as in :attr:`patterns`), ``patterns`` ``[n, p + 1]`` (own features first).

        Raises:
            UserError: for ``"pattern_first"``, where weights of patterns differ from hop to hop.
        """
        if self.attention_order != "hop_first":
            raise UserError("attention weights of patterns differ by hop with attention_order='pattern_first'")
        rows = self.precompute(_features_of(data), data.edge_index)[nodes]
        hops = None if self.sums_hops else self.hop_attention.weights(rows)
        encoded = self._encode_behind(self._first_layers(rows, hops))
        if hops is None:
            hops = rows.new_ones(len(rows), len(self.words), self.hops + 1)
        return {"hops": hops, "patterns": self.pattern_attention.weights(encoded)}

    @property
    def patterns(self) -> list[str]:
        """Names of the patterns, in the order of the channels behind the node's own."""
        return [word_name(word) for word in self.words]

    def _hop(self, rows: Tensor, t: int) -> Iterator[Tensor]:
        yield rows[:, _EVERY_CHANNEL]
        for number in range(len(self.words)):
            yield rows[:, number * self.hops + t] if t else rows[:, _EVERY_CHANNEL]

    def _encode(self, channels: list[Tensor]) -> Tensor:
        return torch.stack([encoder(h) for encoder, h in zip(self.encoders, channels, strict=True)], 1)

    def _first_layers(self, rows: Tensor, weights: Tensor | None) -> list[Tensor]:
        """The encoders' first layers on the sums over hops; sums with weights are never all in memory."""
        own, *others = self._first
        if weights is None:
            return [linear(rows[:, channel]) for channel, linear in enumerate(self._first)]
        first = hop_linear(rows, weights, [linear.weight for linear in others], [linear.bias for linear in others])
        return [own(rows[:, _EVERY_CHANNEL]), *first.unbind(0)]

    def _first_states(self, x: Tensor, edge_index: Tensor | DirectedGraph, index: Tensor | None) -> list[Tensor]:
        """The same, and the scores of hops, from what first layers and attention make of the features, propagated."""
        own, *others = self._first
        width, vectors = own.out_features, self.hop_attention.vectors
        maps = [linear.weight for linear in others]
        if vectors is not None:
            maps = [torch.cat(pair) for pair in zip(maps, vectors, strict=True)]
        inputs = self._inputs(x, edge_index)
        found = propagated_transforms(inputs, self._patterns(x, edge_index), maps, self._propagation["decay"])
        if index is not None:
            found = [[hop.index_select(0, index) for hop in hops] for hops in found]
        hops = torch.stack([torch.stack(hops, 1) for hops in found], 1)  # [n, p, K + 1, D + q]
        if self.sums_hops:
            sums = hops.sum(2)
        else:
            sums = (self.hop_attention.weights_of(hops[..., width:])[..., None] * hops[..., :width]).sum(2)
        rest = mapped(inputs, own.weight)
        first = [rest if index is None else rest.index_select(0, index), *sums.unbind(1)]
        return [state + linear.bias for state, linear in zip(first, self._first, strict=True)]

    @property
    def _first(self) -> list[nn.Linear]:
        return [cast("nn.Linear", cast("nn.Sequential", encoder)[0]) for encoder in self.encoders]

    def _encode_behind(self, first: list[Tensor]) -> Tensor:
        """What the encoders make of their first layers' results, ``[n, 1 + p, D]``."""
        encoders = cast("list[nn.Sequential]", list(self.encoders))
        return torch.stack([encoder[1:](h) for encoder, h in zip(encoders, first, strict=True)], 1)

    def _join(self, first: list[Tensor]) -> Tensor:
        return self.head(self.pattern_attention(self._encode_behind(first)))

    def _carries_states(self, x: Tensor, edge_index: Tensor | DirectedGraph, count: int) -> bool:
        """Whether states are propagated in place of features, for logits of so many nodes."""
        self._check_features(x)
        if self.propagate == "features" or x.requires_grad or x.is_inference():
            return False
        if self.propagate == "states":
            return True
        own, inside, p = self._first[0], self.project or self.in_channels, len(self.words)
        vectors = self.hop_attention.vectors
        columns = own.out_features + (0 if vectors is None else vectors.shape[1])
        edges = as_directed(edge_index, len(x)).num_edges * (2 if self.undirected else 1)
        steps = self.hops * edges * sum(len(word) for word in self.words)
        dense = count * inside * (p * own.out_features + 2 * (1 + (1 if self.sums_hops else self.hops) * p))
        return map_cost(self._inputs(x, edge_index), columns, p + 1, steps) < dense

    def _check_features(self, x: Tensor) -> None:
        if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[1] != self.in_channels:
            shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise UserError(f"x is {shape}, expected features [N, {self.in_channels}] as the model was made for")

    def _inputs(self, x: Tensor, edge_index: Tensor | DirectedGraph) -> Tensor:
        """What is propagated: the features, or their principal directions; found once."""
        if self.project is None:
            return x
        width = self.project
        with torch.inference_mode(False):  # it serves training too
            return remembered(x, edge_index, ("projected", width), lambda: principal_projection(x, width))

    def _patterns(self, x: Tensor, edge_index: Tensor | DirectedGraph) -> list[DirectedPattern]:
        def make() -> list[DirectedPattern]:
            with torch.inference_mode(False):  # they serve training too
                check_finite(x)
                graph = self._graph(x, edge_index)
                return [DirectedPattern(graph, word, num_nodes=len(x), **self._pattern) for word in self.words]

        return remembered(x, edge_index, ("patterns", *self._key()), make)

    def _graph(self, x: Tensor, edge_index: Tensor | DirectedGraph) -> DirectedGraph:
        graph = as_directed(edge_index, len(x))
        if self.undirected and not graph.is_symmetric:
            edges = graph.edge_index
            graph = DirectedGraph(torch.cat([edges, edges.flip(0)], 1), num_nodes=len(x))
        return graph

    def _answer(self, features: FeatureRows, index: Tensor | None) -> Tensor:
        """The released scramble mixes all nodes, so it needs them all; otherwise rows are taken first."""
        every = torch.arange(len(features), device=self.head.weight.device)
        if not self.legacy_scramble:
            return self.classify(features[every if index is None else index])
        logits = self.classify(features[every])
        return logits if index is None else logits[index]

    def _rows_at_once(self, features: FeatureRows) -> int:
        _, slots, width = features.shape
        return max(1, _ROWS_BYTES // (4 * slots * width))

    def _key(self) -> tuple[Any, ...]:
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in self._propagation.items()}
        return (*self.words, *plain.values(), self.undirected, self.project)

    def _precompute(self, x: Tensor, edge_index: Tensor | DirectedGraph) -> FeatureRows:
        differentiable = x.requires_grad and torch.is_grad_enabled()
        with torch.set_grad_enabled(differentiable):
            graph, x = self._graph(x, edge_index), self._inputs(x, edge_index)
            # what is in a file has no gradient
            kept = (
                {**self._propagation, "storage": "memory", "dtype": "float32"} if differentiable else self._propagation
            )
            return pattern_features(graph, x, self.words, **kept)


def _encoder(in_channels: int, hidden_channels: int, num_layers: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in range(num_layers):
        width = in_channels if layer == 0 else hidden_channels
        layers += [nn.Linear(width, hidden_channels), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


# ---- features once per graph ------------------------------------------------------------------------------------


def _features_of(data: Any) -> Tensor:
    x = getattr(data, "x", None)
    if x is None:
        raise UserError("the graph has no features; load it with features='degrees' or 'ids', or put some into x")
    return x
