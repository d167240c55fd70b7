"""The two phases of Graph Mamba: tokens of every node, then all nodes of a graph."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GINEConv

from graphkit.errors import UserError, nearest
from graphkit.nn.bimamba import BiMamba
from graphkit.nn.dropout import Dropout
from graphkit.nn.edge_states import EdgeStates
from graphkit.nn.gated_gcn import GatedGCNConv
from graphkit.nn.node_order import Importance, Ties, node_importance, node_order
from graphkit.nn.token_encoder import GatedTokenEncoder, WalkFeatureEncoder, token_means, token_statistics
from graphkit.nn.walk_tokenizer import WalkTokenizer
from graphkit.ops import WalkTokens

__all__ = ["GraphMambaEncoder"]

_LOCAL = ("mean", "gated_gcn", "rwf")
_MPNNS = ("gated_gcn", "gine")


class _NodeLayer(nn.Module):
    """All nodes of each graph as one sequence, beside message passing on its edges, then a perceptron."""

    def __init__(
        self, channels: int, mpnn: str | None, mpnn_norm: Any, dropout: float, last: bool, mamba: dict[str, Any]
    ) -> None:
        super().__init__()
        self.mamba = BiMamba(channels, residual=False, **mamba)
        self.mpnn: nn.Module | None = None
        if mpnn == "gated_gcn":
            self.mpnn = GatedGCNConv(channels, norm=mpnn_norm, residual=False, update_edges=not last)
        elif mpnn == "gine":
            self.mpnn = GINEConv(nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels)))
        self.norm = nn.LayerNorm(channels)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(2 * channels, channels),
            Dropout(dropout),
        )
        self.dropout = Dropout(dropout)

    def forward(
        self, y: Tensor, heard: Tensor, edge_index: Tensor, edge_state: Tensor | None, order: Tensor, ptr: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """``y [N, d]`` and what message passing starts from; new states of nodes and edges."""
        read = torch.empty_like(y).index_copy(0, order, self.mamba(y[order], ptr=ptr).to(y.dtype))
        added = self.dropout(read)
        if isinstance(self.mpnn, GatedGCNConv):
            passed, edge_state = self.mpnn(heard, edge_index, edge_state)
            added = added + self.dropout(passed)
        elif self.mpnn is not None:
            added = added + self.dropout(self.mpnn(heard, edge_index, edge_state))
        y = y + added
        return y + self.feed_forward(self.norm(y)), edge_state


class GraphMambaEncoder(nn.Module):
    r"""States of nodes from the walks around them and from all other nodes, in linear time.

    1. The tokens of a node (:class:`WalkTokenizer`), widest first and the node itself last, are encoded, read by ``local_layers``
       :class:`BiMamba` blocks, and the last position is the node's state. With ``walk_length=0`` its state is its embedding.
    2. The nodes of each graph, the least important first, are one sequence for ``num_layers`` further blocks, each beside
       message passing on the edges and in front of a perceptron.

    Args:
        in_channels: F.
        channels: d.
        walk_length: m.
        walks: M, walks of a token.
        repeats: s, tokens of each length.
        local_layers: blocks of the first phase; with one of them the backward direction sees the node's own token alone.
        num_layers: blocks of the second phase.
        local_encoder: ``"mean"``, ``"gated_gcn"`` (convolutions on what tokens induce) or ``"rwf"`` (features of the walks).
        token_statistics: adds a linear map of log-sizes and length of each token.
        sampling: ``"epoch"``, ``"static"`` or ``"step"``, see :class:`WalkTokenizer`.
        mpnn: ``"gated_gcn"``, ``"gine"`` or None.
        mpnn_norm: of GatedGCN, ``"batch"`` as in the benchmark, ``"layer"`` or None.
        order: importance of nodes, see :func:`node_importance`.
        ties: what decides between equals outside training; in training it is noise, unless ``order`` has no ties by then.
        train_ties: what decides in training.
        edge_channels: features of an edge, 0 where there are none.
        dropout: of what is added anywhere.
        seed: of the walks.
        mamba: options of :class:`BiMamba`.

    Shapes: x ``[N, F]``, edge_index int64 ``[2, E]``, edge_attr ``[E, F_e]``, batch int64 ``[N]`` ascending; result ``[N, d]``.
    ``node_key`` int64 ``[N]`` names nodes for draws and ties; the position in its graph by default, so that a node's state does
    not depend on what else is in the batch.

    Raises:
        UserError: sizes or options out of range.

    Source:
        Behrouz and Hashemi, Graph Mamba: Towards Learning on Graphs with State Space Models (KDD 2024). See the documentation for
        what the paper leaves open and how it is settled here.

    Example:
        >>> encoder = GraphMambaEncoder(4, 8, walk_length=2, walks=2, repeats=2)
        >>> encoder(torch.randn(3, 4), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        walk_length: int = 4,
        walks: int = 4,
        repeats: int = 2,
        local_layers: int = 1,
        num_layers: int = 2,
        local_encoder: str = "mean",
        token_statistics: bool = False,
        sampling: str = "epoch",
        mpnn: str | None = "gated_gcn",
        mpnn_norm: Any = "batch",
        order: Importance = "degree",
        ties: Ties = "key",
        train_ties: Ties = "random",
        edge_channels: int = 0,
        dropout: float = 0.0,
        seed: int = 0,
        mamba: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("in_channels", in_channels, 1), ("channels", channels, 1), ("num_layers", num_layers, 1),
            ("local_layers", local_layers, 0 if walk_length == 0 else 1),
        ):  # fmt: skip
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"{name} is {value!r}, expected a whole number from {least}")
        if local_encoder not in _LOCAL:
            raise UserError(nearest(str(local_encoder), _LOCAL, "local_encoder"))
        if mpnn is not None and mpnn not in _MPNNS:
            raise UserError(nearest(str(mpnn), _MPNNS, "mpnn"))
        options = {"dropout": dropout, **(mamba or {})}
        self.channels, self.order, self.ties, self.train_ties = channels, order, ties, train_ties
        self.has_tokens = walk_length > 0 and repeats > 0
        gated = self.has_tokens and local_encoder == "gated_gcn"
        self.embed = nn.Linear(in_channels, channels)
        self.edge_states = EdgeStates(edge_channels, channels) if mpnn is not None or gated else None
        self.local_encoder = local_encoder
        if self.has_tokens:
            self.tokenizer = WalkTokenizer(
                walk_length, walks, repeats, mode=sampling, seed=seed, return_walks=local_encoder == "rwf",
                return_edges=gated or token_statistics,
            )  # fmt: skip
            self.token_encoder: nn.Module | None = None
            if gated:
                self.token_encoder = GatedTokenEncoder(channels, dropout=dropout)
            elif local_encoder == "rwf":
                self.token_encoder = WalkFeatureEncoder(channels, window=min(8, walk_length))
            self.statistics = nn.Linear(3, channels) if token_statistics else None
            self.local = nn.ModuleList(BiMamba(channels, **options) for _ in range(local_layers))
        mixed = {key: value for key, value in options.items() if key != "dropout"}
        self.layers = nn.ModuleList(
            _NodeLayer(channels, mpnn, mpnn_norm, dropout, layer == num_layers - 1, mixed)
            for layer in range(num_layers)
        )
        self._importance: tuple[weakref.ref[Tensor], int, Tensor] | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Tells the epoch, counted from 0: with ``sampling="epoch"`` its walks are drawn anew."""
        if self.has_tokens:
            self.tokenizer.begin_epoch(epoch)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        *,
        node_key: Tensor | None = None,
        counter: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """States ``[N, d]``; ``counter`` and ``generator`` fix the walks and the noise of the order."""
        sizes = torch.tensor([len(x)], device=x.device) if batch is None else torch.bincount(batch)
        ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        if node_key is None and batch is not None:
            node_key = torch.arange(len(x), device=x.device) - ptr[batch]
        embedded = self.embed(x)
        edge_state = None if self.edge_states is None else self.edge_states(edge_attr, edge_index)
        y = embedded
        if self.has_tokens and len(x):
            tokens = self.tokenizer(edge_index, len(x), counter=counter, node_key=node_key)
            y = self._read_tokens(x, embedded, edge_index, edge_state, tokens)
        order = node_order(
            edge_index, len(x), by=self.order, ties=self.train_ties if self.training else self.ties,
            importance=self._remembered(edge_index, len(x)), batch=batch, node_key=node_key, generator=generator,
        )  # fmt: skip
        heard = embedded
        for layer in self.layers:
            y, edge_state = layer(y, heard, edge_index, edge_state, order, ptr)
            heard = y
        return y

    def _read_tokens(
        self, x: Tensor, embedded: Tensor, edge_index: Tensor, edge_state: Tensor | None, tokens: WalkTokens
    ) -> Tensor:
        if isinstance(self.token_encoder, WalkFeatureEncoder) and tokens.walks is not None:
            encoded = self.token_encoder(embedded, tokens.walks, edge_index)
        elif isinstance(self.token_encoder, GatedTokenEncoder):
            encoded = self.token_encoder(embedded, tokens, edge_state)
        elif x.shape[1] < self.channels:
            encoded = self.embed(token_means(x, tokens))  # a mean of images is the image of the mean
        else:
            encoded = token_means(embedded, tokens)
        if self.statistics is not None:
            rows = token_statistics(tokens, self.tokenizer.walk_length, self.tokenizer.repeats)
            encoded = encoded + self.statistics(rows.to(encoded.dtype))
        sequence = torch.cat([encoded.view(len(x), -1, self.channels), embedded[:, None]], 1)
        for block in list(self.local)[:-1]:
            sequence = block(sequence)
        return self.local[-1].last(sequence)  # type: ignore[operator]

    def _remembered(self, edge_index: Tensor, num_nodes: int) -> Tensor | None:
        """Importance of the nodes, worked out once for a graph that stays."""
        if self.order in ("given", "key", "random", "ppr"):
            return None
        kept = self._importance
        if kept is None or kept[0]() is not edge_index or kept[1] != edge_index._version or len(kept[2]) != num_nodes:
            kept = (weakref.ref(edge_index), edge_index._version, node_importance(edge_index, num_nodes, self.order))
            self._importance = kept
        return kept[2]
