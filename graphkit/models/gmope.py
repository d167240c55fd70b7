"""GMoPE: a mixture of graph experts with prompts, pre-trained without labels on many graphs, adapted by prompts alone."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.data import MessageGraph, NodeBatch, PairBatch
from graphkit.data.query_batches import in_batches
from graphkit.data.source_graph import SourceBatch
from graphkit.errors import UserError, nearest
from graphkit.models.base import Model
from graphkit.nn.confidence_aggregation import ConfidenceAggregator
from graphkit.nn.expert_bank import ExpertBank, PropagatedFeatures
from graphkit.nn.feature_aligner import FeatureAligner
from graphkit.nn.loss_router import LossRouter
from graphkit.nn.pretraining_objective import PretrainingObjective, graph_means
from graphkit.nn.pretraining_objectives import pretraining_objective
from graphkit.nn.prompt_bank import PromptBank
from graphkit.nn.remembered import remembered
from graphkit.nn.structural_features import structural_features
from graphkit.nn.task_heads import LINK_HEADS, LinkHead, PrototypeHead
from graphkit.ops import SimpleGraph

__all__ = ["TUNE_MODES", "GMoPE", "PretrainStep"]

#: what is trained, see :func:`graphkit.tune`
TUNE_MODES = ("prompt", "head", "bias", "full", "scratch", "prototype")

_PREDICTS = ("classes", "labels", "links")
_ROUTINGS = ("loss", "uniform", "random")
_AGGREGATIONS = ("confidence", "uniform", "routed", "best", "random", "mlp")
_MOST_PAIRS = 2**17
_ALIGNED = 100  # width of aligned features where nobody says another


class PretrainStep(NamedTuple):
    """What a step of pre-training found.

    Attributes:
        loss: scalar, with gradients.
        weights: ``[M]``, the gate.
        mask: bool ``[M]``, experts that were trained.
        losses: ``[M]``, the label-free loss of each expert, without gradients.
        orthogonality: scalar, without gradients.
    """

    loss: Tensor
    weights: Tensor
    mask: Tensor
    losses: Tensor
    orthogonality: Tensor


class GMoPE(Model):
    r"""Graph mixture of prompt-experts.

    .. math:: H_m = E_m([\tilde X \,\|\, 1 p_m^\top], A), \qquad
        L = \lambda L_{ortho}(p) + c \sum_m g_m \ell_m, \qquad \hat y = f(\sum_m \omega_m h_m)

    :math:`\tilde X` are features brought to one width (:class:`graphkit.nn.FeatureAligner`), g gates from label-free losses
    (:class:`graphkit.nn.LossRouter`), :math:`\omega` weights by confidence (:class:`graphkit.nn.ConfidenceAggregator`), f one head
    for all experts. ``gk.pretrain`` trains experts and prompts on several graphs without labels, ``gk.tune`` adapts the mixture to
    a task. ``gk.fit`` trains it from scratch on one task.

    A prompt acts as a rank-one term of the first layer, for mean aggregation exactly as a bias: do not expect more of it.

    Args:
        in_channels: width of aligned features; with ``align="none"`` of the features themselves.
        hidden_channels: H.
        out_channels: C, classes or labels of the task; None: no task yet.
        predicts: ``"classes"``, ``"labels"`` (several a node) or ``"links"``; None: classes where ``out_channels`` is given.
        num_experts: M; the paper takes one for each source.
        prompt_channels: D; None: 32, or what ``prompt_mode`` needs.
        num_layers: L.
        conv: ``"gcn"``, ``"sage"``, ``"gin"`` or ``"sgc"``, see :class:`graphkit.nn.ExpertBank`.
        prompt_mode: ``"concat"``, ``"add"``, ``"add_attn"`` or ``"film"``, see :class:`graphkit.nn.PromptBank`.
        prompt_basis: vectors of a prompt of ``add_attn``.
        prompt_init: ``"xavier"`` or ``"zero"``.
        sharing: ``"separate"`` experts, or one ``"shared"`` by all.
        dropout: of states in training; frozen experts have none.
        top_k: K, experts that a batch trains; None: all.
        tau, standardize, recalibrate: of the gates, see :class:`graphkit.nn.LossRouter`.
        routing: ``"loss"``; baselines ``"uniform"`` and ``"random"`` (K experts at random for each batch).
        route_loss: with K < M, gates of tuning by the ``"pretrain"`` objective (no labels) or the ``"task"`` loss.
        aggregation: ``"confidence"``; ``"routed"``: of the K experts with the lowest label-free loss alone; ``"best"``: the expert
            with the lowest loss on the training labels; baselines ``"uniform"``, ``"random"`` (an expert for each node) and
            ``"mlp"`` (a learned gate).
        ortho: ``"exp_cos"`` or ``"gram"``.
        ortho_weight: lambda.
        loss_scale: ``"paper"``, c = 1 / M; or ``"mean"``, c = 1. With the first, lambda counts M times as much as it looks.
        link_head: ``"dot"``, ``"linear"`` or ``"mlp"``, see :class:`graphkit.nn.task_heads.LinkHead`.
        head: ``"linear"``; ``"prototype"`` for :class:`graphkit.nn.task_heads.PrototypeHead`.
        align: ``"svd"``, or ``"none"`` for features of ``in_channels`` as they are.
        align_scale: ``"s"``, ``"sqrt_s"`` or ``"none"``.
        expert_chunk: experts computed at once; None: by the memory of their states, see :class:`graphkit.nn.ExpertBank`.
        objective: objective of pre-training; ``gk.pretrain`` sets it.
        objective_options: its options.

    Raises:
        UserError: sizes or options out of range.

    Source:
        Wang et al., GMoPE: A Prompt-Expert Mixture Framework for Graph Foundation Models (arXiv 2511.03251). The full paper was not
        at hand: equations follow an independent re-implementation that names them; what is this library's own choice stands in
        docs/gmope.md.

    Example:
        >>> model = GMoPE(8, 16, num_experts=3, prompt_channels=4, num_layers=2)
        >>> model(torch.randn(5, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 5, 16])
    """

    sizes: tuple[str, ...] = ("in_channels", "out_channels", "predicts")
    expert_losses: Tensor

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 64,
        *,
        out_channels: int | None = None,
        predicts: str | None = None,
        num_experts: int = 4,
        prompt_channels: int | None = None,
        num_layers: int = 3,
        conv: str = "gcn",
        prompt_mode: str = "concat",
        prompt_basis: int = 20,
        prompt_init: str = "xavier",
        sharing: str = "separate",
        dropout: float = 0.5,
        top_k: int | None = None,
        tau: float = 0.8,
        standardize: bool = False,
        recalibrate: float = 0.0,
        routing: str = "loss",
        route_loss: str = "pretrain",
        aggregation: str = "confidence",
        ortho: str = "exp_cos",
        ortho_weight: float = 1.0,
        loss_scale: str = "paper",
        link_head: str = "linear",
        head: str = "linear",
        align: str = "svd",
        align_scale: str = "s",
        expert_chunk: int | None = None,
        objective: str | None = None,
        objective_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("routing", routing, _ROUTINGS), ("route_loss", route_loss, ("pretrain", "task")),
            ("aggregation", aggregation, _AGGREGATIONS), ("loss_scale", loss_scale, ("paper", "mean")),
            ("ortho", ortho, ("exp_cos", "gram")), ("link_head", link_head, LINK_HEADS), ("align", align, ("svd", "none")),
            ("head", head, ("linear", "prototype")), ("predicts", predicts or "links", _PREDICTS),
        ):  # fmt: skip
            if value not in known:
                raise UserError(nearest(str(value), known, name))
        if not ortho_weight >= 0:
            raise UserError(f"ortho_weight is {ortho_weight!r}, expected a number of at least 0")
        natural = {"concat": 32, "add": in_channels, "add_attn": in_channels, "film": hidden_channels}
        width = natural.get(prompt_mode, 32) if prompt_channels is None or prompt_mode == "film" else prompt_channels
        self.bank = ExpertBank(
            in_channels, width, hidden_channels, num_experts, num_layers, conv=conv, sharing=sharing, dropout=dropout,
            prompt_mode=prompt_mode, expert_chunk=expert_chunk,
        )  # fmt: skip
        self.prompts = PromptBank(
            num_experts, width, prompt_mode, basis=prompt_basis, layers=num_layers, init=prompt_init
        )
        self.router = LossRouter(num_experts, top_k, tau, standardize=standardize, recalibrate=recalibrate)
        self.aligner_options: dict[str, Any] = {"scale": align_scale}
        FeatureAligner(in_channels, **self.aligner_options)  # a mistake in the options shows now
        self.in_channels, self.num_experts, self.align = in_channels, num_experts, align
        self.routing, self.route_loss, self.aggregation = routing, route_loss, aggregation
        self.ortho, self.ortho_weight, self.loss_scale, self.link_head = ortho, ortho_weight, loss_scale, link_head
        self.objective: PretrainingObjective | None = None
        self.head: nn.Module | None = None
        self.gate: nn.Module | None = None
        self.predicts: str | None = None
        #: the projection of features, where it was fitted on a part of the data; None: found anew for each data set
        self.aligner: FeatureAligner | None = None
        #: what pre-training has seen: objective, sources and their fingerprints
        self.pretraining: dict[str, Any] | None = None
        #: the mode of tuning that froze parts of the model, or None
        self.frozen: str | None = None
        self.register_buffer("expert_losses", torch.zeros(num_experts))
        if objective is not None:
            self._make_objective(objective, objective_options or {})
        if predicts is not None or out_channels is not None:
            self._make_head(predicts or "classes", out_channels, head)

    @classmethod
    def for_task(cls, task: Any, **options: Any) -> Model:
        """A model for a task of nodes, links or graphs: features are aligned to 100 channels, or with ``align="none"`` kept."""
        own = getattr(task, "in_channels", None) if options.get("align") == "none" else _ALIGNED
        if own is None:
            own = int(task.x.size(1))
        classes = getattr(task, "out_channels", None)
        sizes = {"in_channels": own, "out_channels": classes, "predicts": _predicted(task)}
        return cls(**{**sizes, **options})

    # ---- parts that a task or an objective brings ----------------------------------------------------------------

    def set_objective(self, name: str, **options: Any) -> None:
        """Give the model an objective of pre-training, with new heads; see :func:`graphkit.nn.pretraining_objective`."""
        self._make_objective(name, options)
        self.config |= {"objective": name, "objective_options": options or None}

    def set_head(self, predicts: str, out_channels: int | None = None, head: str = "linear") -> None:
        """Give the model a new head.

        Args:
            predicts: ``"classes"``, ``"labels"`` or ``"links"``.
            out_channels: C; None for links.
            head: ``"linear"`` or ``"prototype"``.

        Raises:
            UserError: for an unknown kind, or no number of classes.
        """
        self._make_head(predicts, out_channels, head)
        self.config |= {"predicts": predicts, "out_channels": out_channels, "head": head}

    def _make_objective(self, name: str, options: dict[str, Any]) -> None:
        made = pretraining_objective(
            name, self.num_experts, self.in_channels, self.bank.hidden_channels, kind=self.bank.conv, **options
        )
        self.objective = made.to(self.bank.bias)

    def _make_head(self, predicts: str, out_channels: int | None, head: str) -> None:
        if predicts not in _PREDICTS:
            raise UserError(nearest(str(predicts), _PREDICTS, "predicts"))
        width = self.bank.hidden_channels
        made: nn.Module
        if predicts == "links":
            made = LinkHead(width, self.link_head)
        elif out_channels is None or out_channels < 1:
            raise UserError(f"out_channels is {out_channels!r}, expected the number of {predicts}")
        elif head == "prototype":
            if predicts == "labels":
                raise UserError("prototypes need one class each, not several labels; take head='linear'")
            made = PrototypeHead(width, out_channels)
        else:
            made = nn.Linear(width, out_channels)
        self.head, self.predicts = made.to(self.bank.bias), predicts
        if self.aggregation == "mlp":
            gate = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.num_experts))
            self.gate = gate.to(self.bank.bias)

    # ---- features ------------------------------------------------------------------------------------------------

    def aligned(self, x: Tensor) -> Tensor:
        """Features ``[N, in_channels]`` of a data set; found once while ``x`` lives unchanged.

        Raises:
            UserError: with ``align="none"`` for features of another width.
        """
        if self.align == "none":
            if x.size(1) != self.in_channels:
                raise UserError(
                    f"features have {x.size(1)} channels, but the model reads {self.in_channels} as they are; align='svd' brings "
                    "features of any width to one"
                )
            return x.to(self.bank.bias.dtype)
        if self.aligner is not None:
            return self.aligner.transform(x).to(self.bank.bias.dtype)
        aligner = FeatureAligner(self.in_channels, **self.aligner_options)
        found = remembered(x, x, ("aligned", *aligner.options), lambda: aligner.fit_transform(x))
        return found.to(self.bank.bias.dtype)

    def fit_aligner(self, task: Any) -> None:
        """Fix the projection of features by the training part of a task, for nodes or graphs that come later.

        Args:
            task: a task with nodes in train, or a set of graphs; features are read by this projection from now on.
        """
        if self.align == "none":
            return
        aligner = FeatureAligner(self.in_channels, **self.aligner_options)
        if hasattr(task, "together"):
            data = task.together(task.graphs_of("train"))
            x = structural_features(data.edge_index, int(data.num_nodes)) if data.x is None else data.x
            self.aligner = aligner.fit(x)
        else:
            self.aligner = aligner.fit(task.x, task.mask("train"))

    def features(self, data: Any) -> PropagatedFeatures:
        """What the first layer reads of a graph: PyG's ``Data``, or a message graph; once for each graph.

        A graph without features gets the logarithm of its nodes' degrees, one-hot.
        """
        x, edges = data.x, data.edge_index
        nodes = int(data.num_nodes)
        if x is None:
            x = remembered(edges, edges, ("degrees", nodes), lambda: structural_features(_simple(data), nodes))
        depth = self.bank.num_layers if self.bank.conv == "sgc" else 1
        options = (self.align, self.in_channels, *self.aligner_options.values(), self.bank.bias.dtype)
        key = ("propagated", self.bank.conv, depth, *options)
        if self.aligner is not None:
            return self._propagated(self.aligned(x), _simple(data))
        return remembered(x, edges, key, lambda: self._propagated(self.aligned(x), _simple(data)))

    @torch.no_grad()
    def _propagated(self, x: Tensor, graph: SimpleGraph, removed: Tensor | None = None) -> PropagatedFeatures:
        return self.bank.propagated(x, graph, removed=removed)

    # ---- experts -------------------------------------------------------------------------------------------------

    def forward(
        self, x: Tensor | PropagatedFeatures, edge_index: Any = None, experts: Tensor | list[int] | None = None,
        *, removed: Tensor | None = None, generator: torch.Generator | None = None,
    ) -> Tensor:  # fmt: skip
        """States ``[M', N, H]`` of aligned features ``[N, in_channels]``, or of what :meth:`features` made of a graph."""
        return self.bank(x, edge_index, self.prompts, experts, removed=removed, generator=generator)

    def orthogonality(self) -> Tensor:
        """The loss that keeps prompts apart, a scalar; see :func:`graphkit.nn.prompt_orthogonality`."""
        return self.prompts.orthogonality(self.ortho)

    def total(self, weights: Tensor, losses: Tensor) -> Tensor:
        r""":math:`\lambda L_{ortho} + c \sum_m g_m \ell_m` of gates and losses ``[M']``."""
        scale = 1.0 / self.num_experts if self.loss_scale == "paper" else 1.0
        return self.ortho_weight * self.orthogonality() + scale * (weights.detach().to(losses) * losses).sum()

    # ---- pre-training --------------------------------------------------------------------------------------------

    def pretrain_losses(self, batch: SourceBatch, seed: int, experts: Tensor | None = None) -> Tensor:
        """The label-free loss of each chosen expert on a batch of aligned features, ``[M']``; the same seed is the same draw.

        Raises:
            UserError: without an objective, or for a batch that it cannot judge.
        """
        if self.objective is None:
            raise UserError("the model has no objective to be pre-trained by; call gk.pretrain, or model.set_objective")
        calls = itertools.count(1)

        def encode(
            x: Tensor, *, graph: Any = None, removed: Tensor | None = None, noise: float | None = None
        ) -> Tensor:
            generator = _generator(seed, next(calls), x.device)
            read: Any = (x, batch.graph if graph is None else graph)
            if batch.whole and x is batch.x and removed is None and graph is None and not x.requires_grad:
                key = ("source", self.bank.conv, self.bank.num_layers)
                read = (remembered(x, batch.graph, key, lambda: self._propagated(x, batch.graph)), None)
            arguments = (*read, self.prompts, experts)
            options = {"removed": removed, "generator": generator}
            if noise is None:
                return self.bank(*arguments, **options)
            weights = self.bank.noisy(noise, _generator(seed, -1, x.device))
            return torch.func.functional_call(self.bank, weights, arguments, options)

        draw = self.objective.draw(batch, _generator(seed, 0, batch.x.device))
        return self.objective.losses(encode, batch, draw, experts)

    def pretrain_step(
        self, batch: SourceBatch, seed: int, *, top_k: int | None = None, only: int | None = None
    ) -> PretrainStep:
        """Loss of a batch with its gate; with K < M experts are scored first and the K winners computed again with gradients.

        Args:
            batch: graphs of one source.
            seed: of everything random about the step; global random streams are left alone.
            top_k: K of this step, such as M while training warms up; None: the model's.
            only: the one expert that is trained, whatever the losses say.
        """
        k = min(self.router.top_k if top_k is None else top_k, self.num_experts)
        scores: Tensor | None = None
        if only is not None:
            weights = F.one_hot(torch.tensor(only), self.num_experts).to(self.bank.bias)
            mask = weights > 0
        elif self.routing == "random":
            order = torch.randperm(self.num_experts, generator=_generator(seed, -2, torch.device("cpu")))
            mask = torch.zeros(self.num_experts, dtype=torch.bool).index_fill(0, order[:k], True).to(batch.x.device)
            weights = mask.to(self.bank.bias.dtype) / k
        elif self.routing == "uniform" or k == self.num_experts:
            scores = self.pretrain_losses(batch, seed)
            mask = torch.ones(self.num_experts, dtype=torch.bool, device=batch.x.device)
            weights = mask.to(scores) / self.num_experts if self.routing == "uniform" else self._gate(scores, k)[0]
            return PretrainStep(
                self.total(weights, scores), weights, mask, scores.detach(), self.orthogonality().detach()
            )
        else:
            with torch.no_grad():
                scores = self.pretrain_losses(batch, seed)
            weights, mask = self._gate(scores, k)
        winners = mask.nonzero().flatten()
        losses = self.pretrain_losses(batch, seed, winners)
        seen = losses.new_full((self.num_experts,), torch.nan) if scores is None else scores
        seen = seen.index_copy(0, winners, losses.detach())
        return PretrainStep(
            self.total(weights[winners], losses), weights, mask, seen, self.orthogonality().detach()
        )  # fmt: skip

    def _gate(self, losses: Tensor, k: int, hard: bool = False) -> tuple[Tensor, Tensor]:
        found = self.router(losses, top_k=k, hard=hard, training=not hard)
        return found.weights[0], found.mask[0]

    @torch.no_grad()
    def route(self, batch: SourceBatch, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Gate ``[M]`` and choice (bool ``[M]``) of K experts for a graph, without labels: equal weights of the best K."""
        training = self.training
        self.eval()
        try:
            return self._gate(self.pretrain_losses(batch, seed), self.router.top_k, hard=True)
        finally:
            self.train(training)

    # ---- the task ------------------------------------------------------------------------------------------------

    def loss(self, batch: NodeBatch | PairBatch) -> Tensor:
        """Total loss on labels of nodes, or on pairs, whose own edges are then hidden from message passing."""
        if isinstance(batch, PairBatch):
            graph, whole = batch.graph, batch if batch.joint is None else batch.joint
            hidden = graph.simple.removed_by(whole.positive)
            x = self.features(graph).x
            states = self._pairs(self(self._propagated(x, graph.simple, hidden)), batch.pairs)
            y = torch.zeros(batch.pairs.size(1), device=states.device)
            y[: batch.positive.size(1)] = 1
            return self.task_loss(states, y)
        states = self(self.features(batch.data))
        if getattr(batch, "level", "node") == "graph":
            return self.task_loss(_readout(states, batch.data), batch.y)
        return self.task_loss(states[:, batch.index], batch.y)

    def task_loss(self, states: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
        """Total loss of a task.

        Args:
            states: ``[M, B, H]`` of nodes or graphs, or products of the states of pairs.
            y: ``[B]`` classes, ``[B, C]`` labels (NaN unknown), or for links ``[B]`` of 0 and 1.
            weights: gate ``[M]``; None: equal weights of the K experts with the lowest loss.
        """
        head = self._head()
        if isinstance(head, PrototypeHead) and self.training:
            head.support(states, y)
        if self.gate is not None:
            mixed, _ = self._mixed_by_gate(states)
            loss = self._losses(head(mixed)[None], y)[0]
            return self.ortho_weight * self.orthogonality() + (
                loss / self.num_experts if self.loss_scale == "paper" else loss
            )
        losses = self._losses(head(states), y)
        self.expert_losses = losses.detach().to(self.expert_losses)
        if weights is None:
            weights = self._gate(losses, self.router.top_k, hard=True)[0]
        return self.total(weights, losses)

    def _losses(self, logits: Tensor, y: Tensor) -> Tensor:
        """The task's loss of each row of logits ``[M, B, C]``."""
        if self.predicts == "links":
            signed = torch.where(y > 0, -logits[..., 0], logits[..., 0])
            loss = F.softplus(signed)
            halves = [loss[:, y > 0].mean(1), loss[:, y <= 0].mean(1)]
            halves = [half for half, there in zip(halves, (y > 0, y <= 0), strict=True) if bool(there.any())]
            return torch.stack(halves).mean(0)
        if self.predicts == "labels":
            known = ~torch.isnan(y)
            loss = F.binary_cross_entropy_with_logits(
                logits, y.nan_to_num(0).to(logits).expand_as(logits), reduction="none"
            )
            return (loss * known).sum((1, 2)) / known.sum().clamp(min=1)
        count, batch, classes = logits.shape
        target = y.repeat(count)
        return F.cross_entropy(logits.reshape(-1, classes), target, reduction="none").view(count, batch).mean(1)

    def answer(self, states: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits ``[B, C]`` of the mixture and the experts' weights ``[M, B]``.

        Args:
            states: ``[M, B, H]``.
            mask: bool ``[M]``, experts that have a say; None: all, or what ``aggregation`` says.
        """
        head = self._head()
        if self.gate is not None:
            mixed, weights = self._mixed_by_gate(states)
            return head(mixed), weights
        if self.aggregation == "random":
            generator = _generator(0, -3, torch.device("cpu"))
            drawn = torch.randint(self.num_experts, (states.size(1),), generator=generator).to(states.device)
            weights = F.one_hot(drawn, self.num_experts).t().to(states)
            return head(torch.einsum("mb,mbh->bh", weights, states)), weights
        if self.aggregation == "best":
            mask = F.one_hot(self.expert_losses.argmin(), self.num_experts).bool()
        kind = {"classes": "classes", "labels": "labels", "links": "binary"}[str(self.predicts)]
        return ConfidenceAggregator("uniform" if self.aggregation == "uniform" else kind)(states, head, mask)

    def _mixed_by_gate(self, states: Tensor) -> tuple[Tensor, Tensor]:
        assert self.gate is not None
        weights = self.gate(states.mean(0)).softmax(1).t()
        return torch.einsum("mb,mbh->bh", weights, states), weights

    def _head(self) -> nn.Module:
        if self.head is None:
            raise UserError(
                "the model has no head for a task; gk.tune(model, task).model has one, or make it with GMoPE.for_task(task)"
            )
        return self.head

    @staticmethod
    def _pairs(states: Tensor, pairs: Tensor) -> Tensor:
        return states[:, pairs[0]] * states[:, pairs[1]]

    # ---- evaluation ----------------------------------------------------------------------------------------------

    def score_nodes(self, data: Any, nodes: Tensor) -> Tensor:
        """Logits ``[n, C]`` of nodes ``[n]`` of PyG's container ``data``."""
        features = self.features(data)
        return self.answer(self(features)[:, nodes], self._routed(features))[0]

    def score_graphs(self, data: Any) -> Tensor:
        """Logits ``[G, C]`` of the graphs of PyG's batch ``data``, by the mean of their nodes' states."""
        features = self.features(data)
        return self.answer(_readout(self(features), data), self._routed(features))[0]

    def score_pairs(
        self,
        graph: MessageGraph,
        pairs: Tensor,
        *,
        batch_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Tensor:
        """Logits ``[P]`` of pairs ``[2, P]``; the graph is encoded once, and both directions of a pair score the same.

        Args:
            graph: message graph.
            pairs: int64 ``[2, P]``.
            batch_size: pairs scored at once; None: 131,072.
            progress: called with (pairs done, pairs in all).
        """
        if self.predicts not in (None, "links"):
            raise UserError(f"the model's head tells {self.predicts} of nodes, not links; tune it on a link task")
        features = self.features(graph)
        states, mask = self(features), self._routed(features)
        found: list[Tensor] = []

        def work(start: int, stop: int) -> None:
            found.append(self.answer(self._pairs(states, pairs[:, start:stop]), mask)[0][:, 0])

        in_batches(self, graph, pairs.size(1), work, batch_size=batch_size or _MOST_PAIRS, progress=progress)
        return torch.cat(found) if found else states.new_zeros(0)

    def _routed(self, features: PropagatedFeatures) -> Tensor | None:
        if self.aggregation != "routed" or self.router.top_k == self.num_experts:
            return None
        return self.route(whole_graph(features))[1]

    # ---- tuning --------------------------------------------------------------------------------------------------

    def freeze(self, mode: str) -> list[str]:
        """Freeze all but what a mode of tuning trains; frozen experts stay in evaluation mode from now on.

        Args:
            mode: ``"prompt"``: prompts and head; ``"head"``: head; ``"bias"``: biases of the experts and head; ``"full"`` and
                ``"scratch"``: all but the heads of pre-training; ``"prototype"``: the head's vector.

        Returns:
            names of the parameters that are trained.

        Raises:
            UserError: for an unknown mode.
        """
        if mode not in TUNE_MODES:
            raise UserError(nearest(str(mode), TUNE_MODES, "mode of tuning"))
        chosen = []
        for name, parameter in self.named_parameters():
            part = name.split(".")[0]
            wanted = part in ("head", "gate") or {
                "prompt": part == "prompts", "head": False, "prototype": False,
                "bias": part == "bank" and name.endswith("bias"), "full": part != "objective", "scratch": part != "objective",
            }[mode]  # fmt: skip
            parameter.requires_grad_(wanted)
            chosen += [name] if wanted else []
        self.frozen = mode
        self.train(self.training)
        return chosen

    def train(self, mode: bool = True) -> GMoPE:
        super().train(mode)
        if getattr(self, "frozen", None) in ("prompt", "head", "bias", "prototype"):
            self.bank.eval()
            if self.objective is not None:
                self.objective.eval()
        return self

    def fingerprint(self) -> dict[str, Any]:
        """What a checkpoint has to agree with: sizes, aligner, objective, sources, and a hash of the experts' weights."""
        bank = self.bank
        weights = hashlib.sha256()
        for name, tensor in bank.state_dict().items():
            weights.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        seen = self.pretraining or {}
        return {
            "in_channels": bank.in_channels, "prompt_channels": bank.prompt_channels, "hidden_channels": bank.hidden_channels,
            "num_layers": bank.num_layers, "num_experts": bank.num_experts, "conv": bank.conv, "sharing": bank.sharing,
            "prompt_mode": bank.prompt_mode, "aligner": [self.align, *self.aligner_options.values()],
            "objective": self.config.get("objective"), "sources": [source["name"] for source in seen.get("sources", [])],
            "weights": weights.hexdigest(),
        }  # fmt: skip


def whole_graph(features: PropagatedFeatures, source: str = "target") -> SourceBatch:
    """A graph as a batch of one source, for routing."""
    x, graph = features.x, features.propagation.graph
    return SourceBatch(x, graph, torch.zeros(len(x), dtype=torch.int64, device=x.device), 1, source, True)


def _readout(states: Tensor, data: Any) -> Tensor:
    return graph_means(states, data.batch, int(data.num_graphs))


def _predicted(task: Any) -> str:
    if not hasattr(task, "out_channels"):
        return "links"
    return "labels" if getattr(task, "multi_label", False) else "classes"


def _simple(data: Any) -> SimpleGraph:
    if isinstance(data, MessageGraph):
        return data.simple
    return SimpleGraph(data.edge_index, num_nodes=int(data.num_nodes))


def _generator(seed: int, call: int, device: torch.device) -> torch.Generator:
    """A stream of its own for each use of a step's seed; no global stream moves."""
    mixed = int.from_bytes(hashlib.sha256(f"{seed} {call}".encode()).digest()[:7], "big")
    return torch.Generator(device=device).manual_seed(mixed)
