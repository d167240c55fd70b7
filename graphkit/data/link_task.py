"""Link prediction on an undirected graph: edges, negatives, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from graphkit.data.edge_split import undirected_edges
from graphkit.data.heart_negatives import heart_negatives
from graphkit.data.leaks import SPLITS, Certificate
from graphkit.data.link_leaks import check_link_leaks
from graphkit.data.link_protocols import apply_protocol, link_protocol
from graphkit.data.link_record import check_task_metrics, fingerprint, protocol_record
from graphkit.data.message_graph import MessageGraph
from graphkit.data.names import identify, numbered
from graphkit.data.non_edges import NonEdges
from graphkit.data.pair_checks import check_features, check_negatives, check_pairs, check_self_links
from graphkit.data.pair_loader import PairLoader
from graphkit.data.pair_scores import score_pairs
from graphkit.data.saturation import warn_of_saturation
from graphkit.errors import UserError, nearest
from graphkit.metrics import link_metrics, link_ties

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["LinkTask"]


AVOIDED = ("split", "earlier", "nothing")
"""What negatives that were handed in are known to avoid, see :class:`LinkTask`."""


class LinkTask:
    """Link prediction on an undirected graph: messages flow along the train edges.

    An edge stands once in its split, u < v. The negatives of valid and test are handed in, or drawn once from a seed of
    their own; they are the same for every model. Those of training are drawn anew for each batch. Drawn ones are strict:
    no edge of the graph of their split, which is train for train, train and valid for valid, and all edges for test.

    Args:
        name: name of the data set.
        num_nodes: N.
        train: [2, a] int64 edges, each once, in either direction.
        valid: [2, b] int64.
        test: [2, c] int64.
        x: [N, F] node features, or None.
        nodes: names of the N nodes, or None.
        num_negatives: drawn negatives an edge of valid and test.
        negative_seed: what drawn negatives of valid and test depend on.
        valid_negatives: int64; [2, n]: one pool for all edges, or [2, b, K]: K of each edge's own, in the order of
            ``valid``; None: drawn.
        test_negatives: likewise, for ``test``.
        negatives_avoid: what negatives that were handed in are known to avoid: ``"split"``, the edges of the graph of their
            split; ``"earlier"``, those of earlier splits alone; ``"nothing"``: they are published and kept as they are.
            The leak check refuses what should not be among them, and warns of what may be.
        metrics: what :meth:`evaluate` gives, see :func:`graphkit.metrics.link_metrics`; the first one selects the epoch.
        use_valedges: whether the valid edges carry messages when test is scored (never in training).
        repeats: edges are events, which may repeat: each is a positive as often as it stands in train, and one edge of
            the message graph; a pair may come again in a later split, which the leak check warns of.
        self_links: for ``"valid"`` and ``"test"`` the pairs [2, n] of a node with itself that :meth:`evaluate` counts as links,
            as some published evaluations do. They are in no graph and not trained on.
        directed: keep the direction in which edges are given (the message graph has both in any case).
        provenance: where the data come from (plain values).

    Raises:
        UserError: for tensors of another shape or type, ids out of range, a self-loop (or another link among
            ``self_links``), features of another number of rows, negatives for another number of edges, fewer negatives
            than a metric needs, a name that occurs twice, or a graph with too few non-edges.

    Example:
        >>> ring = torch.stack([torch.arange(20), (torch.arange(20) + 1) % 20])
        >>> task = LinkTask.from_edges("ring", ring, 20, split="80/10/10")
        >>> task.train.shape, task.valid.shape, task.negatives("test").shape
        (torch.Size([2, 16]), torch.Size([2, 2]), torch.Size([2, 2]))
    """

    num_relations = 1
    """Edges have no kinds."""

    def __init__(
        self,
        name: str,
        num_nodes: int,
        train: Tensor,
        valid: Tensor,
        test: Tensor,
        *,
        x: Tensor | None = None,
        nodes: Sequence[str] | None = None,
        num_negatives: int = 1,
        negative_seed: int = 0,
        valid_negatives: Tensor | None = None,
        test_negatives: Tensor | None = None,
        negatives_avoid: Literal["split", "earlier", "nothing"] = "split",
        metrics: Sequence[str] = ("auc", "ap"),
        use_valedges: bool = False,
        repeats: bool = False,
        self_links: dict[str, Tensor] | None = None,
        directed: bool = False,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.num_nodes, self.x = name, num_nodes, x
        for split, edges in zip(SPLITS, (train, valid, test), strict=True):
            check_pairs(f"{split} edges of {name}", edges, num_nodes)
        check_features(name, x, num_nodes)
        if nodes is not None and len(nodes) != num_nodes:
            raise UserError(f"{name} has {num_nodes} nodes, but {len(nodes)} names for them")
        self.nodes = None if nodes is None else list(nodes)
        self._node_ids = {} if self.nodes is None else numbered(self.nodes, "node", name)
        if isinstance(num_negatives, bool) or not isinstance(num_negatives, int) or num_negatives < 1:
            raise UserError(f"num_negatives is {num_negatives!r}, expected a whole number from 1 upwards")
        if negatives_avoid not in AVOIDED:
            raise UserError(nearest(str(negatives_avoid), AVOIDED, "value of negatives_avoid"))
        self.train, self.valid, self.test = (
            edges if directed else torch.sort(edges, 0).values for edges in (train, valid, test)
        )
        self.num_negatives, self.negative_seed, self.negatives_avoid = num_negatives, negative_seed, negatives_avoid
        self.use_valedges, self.repeats, self.directed = use_valedges, repeats, directed
        self._graph: dict[bool, MessageGraph] = {}
        self._non_edges: dict[str, NonEdges] = {}
        self._given: dict[str, Tensor] = {}
        for split, negatives in (("valid", valid_negatives), ("test", test_negatives)):
            if negatives is not None:
                what, count = f"{split} negatives of {name}", self.edges(split).size(1)
                check_negatives(what, negatives, num_nodes, edges=count, loops=negatives_avoid == "nothing")
                self._given[split] = negatives
        self.self_links = dict(self_links or {})
        check_self_links(name, self.self_links, num_nodes, personal=any(map(self.is_personal, self._given)))
        self.metrics = tuple([metrics] if isinstance(metrics, str) else metrics)
        self._negatives = dict(self._given)
        check_task_metrics(self)
        self.provenance = {**(provenance or {}), "protocol": protocol_record(self)}

    @property
    def primary_metric(self) -> str:
        """The metric that selects the best epoch, the first of ``metrics``; higher is better."""
        return self.metrics[0]

    @property
    def selectable(self) -> tuple[str, ...]:
        """Metrics that can select an epoch."""
        return self.metrics

    def given_negatives(self, split: str) -> Tensor | None:
        """The negatives of a split that were handed in; None where they are drawn."""
        return self._given.get(split)

    def is_personal(self, split: str) -> bool:
        """Whether each edge of a split has negatives of its own, and not all edges one pool."""
        return split in self._given and self._given[split].dim() == 3

    @property
    def ties(self) -> dict[str, str]:
        """How each metric counts an edge that scores as much as a negative, see :func:`graphkit.metrics.link_ties`."""
        return link_ties(self.metrics, personal=self.is_personal("test"))

    @classmethod
    def from_edges(
        cls,
        name: str,
        edge_index: Tensor,
        num_nodes: int,
        *,
        protocol: str = "random",
        split: str | None = None,
        split_seed: int = 0,
        x: Tensor | None = None,
        num_negatives: int | None = None,
        heart: Callable[..., tuple[Tensor, Tensor]] = heart_negatives,
        **options: Any,
    ) -> LinkTask:
        """A task from the edges of a whole graph, divided by a protocol, see :data:`graphkit.data.PROTOCOLS`.

        Args:
            name: name of the data set.
            edge_index: [2, E] int64; directions, duplicates and self-loops do not matter, but with ``"nbfnet"`` and
                ``"nbfnet-all"``.
            num_nodes: N.
            protocol: ``"random"``, ``"ncn"``, ``"pooled"``, ``"heart"``, or ``"nbfnet"`` and ``"nbfnet-all"``, for which each row
                is a link.
            split: percentages of train, valid and test; None: those of the protocol, ``"85/5/10"`` or ``"70/10/20"``.
            split_seed: seed of the split and of drawn negatives of valid and test; with ``"nbfnet"`` and
                ``"nbfnet-all"`` of the latter alone.
            x: as in the constructor.
            num_negatives: negatives an edge of valid and test, where the protocol leaves a choice; None: 1, with
                ``"heart"`` 500.
            heart: makes HeaRT's negatives, see :func:`graphkit.data.heart_negatives`.
            **options: further ones of the constructor.

        Raises:
            UserError: as in the constructor, for an unknown protocol, and for a split that cannot be.

        Example:
            >>> edges = torch.tensor([[0, 1, 2, 3, 1], [1, 2, 3, 0, 0]])
            >>> LinkTask.from_edges("square", edges, 5, split="50/25/25")
            LinkTask('square', nodes=5, edges=4, features=0, train=2, valid=1, test=1)
        """
        about = link_protocol(protocol)
        check_pairs(f"edges of {name}", edge_index, num_nodes, loops=True)
        check_features(name, x, num_nodes)
        parts = apply_protocol(
            protocol, edge_index, num_nodes, split=split, seed=split_seed, num_negatives=num_negatives,
            x=x, heart=heart,
        )  # fmt: skip
        task = cls(name, num_nodes, x=x, negative_seed=split_seed, **{**parts, **options})
        task.provenance["split"] = {"shares": split or about.split, "seed": split_seed, **task.fingerprint()}
        task.provenance["protocol"] = {"name": protocol, "about": about.about, **task.provenance["protocol"]}
        return task

    def __repr__(self) -> str:
        sizes = ", ".join(f"{key}={value}" for key, value in self.statistics().items())
        return f"{type(self).__name__}({self.name!r}, {sizes})"

    def statistics(self) -> dict[str, int]:
        """Sizes: nodes, (undirected) edges, features, train, valid, test."""
        sizes = {split: self.edges(split).size(1) for split in SPLITS}
        features = 0 if self.x is None else self.x.size(1)
        return {"nodes": self.num_nodes, "edges": sum(sizes.values()), "features": features, **sizes}

    def edges(self, split: str) -> Tensor:
        """The edges [2, n] of a split, u < v (with ``directed`` as they were given).

        Raises:
            UserError: for an unknown split.
        """
        if split not in SPLITS:
            raise UserError(nearest(str(split), SPLITS, "split"))
        return getattr(self, split)

    def known_edges(self, split: str = "train") -> Tensor:
        """The edges [2, n] of the graph of a split: those of train; for valid those of valid too; for test all.

        Raises:
            UserError: for an unknown split.
        """
        self.edges(split)
        return torch.cat([self.edges(known) for known in SPLITS[: SPLITS.index(split) + 1]], 1)

    def non_edges(self, split: str = "train") -> NonEdges:
        """The pairs that are no edges of :meth:`known_edges`: what strict negatives of the split are drawn from.

        Raises:
            UserError: for an unknown split.
        """
        if split not in self._non_edges:
            self._non_edges[split] = NonEdges.of(self.known_edges(split), self.num_nodes)
        return self._non_edges[split]

    def negatives(self, split: str = "test") -> Tensor:
        """The negatives of valid or test, always the same ones: [2, n] in one pool, or [2, P, K], K of each edge.

        Those that are drawn are pooled, u < v, all different.

        Raises:
            UserError: for another split, or a graph with too few non-edges.
        """
        if split not in ("valid", "test"):
            self.edges(split)
            raise UserError("the negatives of train are drawn with each batch; only valid and test have fixed ones")
        if split not in self._negatives:
            count = self.edges(split).size(1) * self.num_negatives
            drawn = self.non_edges(split).sample(count, seed=self.negative_seed, which=SPLITS.index(split))
            self._negatives[split] = drawn
        return self._negatives[split]

    def graph(self, split: str = "train") -> MessageGraph:
        """The message graph of a split: the train edges in both directions; for test, with ``use_valedges``, valid too.

        Raises:
            UserError: for an unknown split.
        """
        self.edges(split)
        with_valid = self.use_valedges and split == "test"
        if with_valid not in self._graph:
            edges = torch.cat([self.train, self.valid], 1) if with_valid else self.train
            edges = undirected_edges(edges) if self.repeats else edges
            self._graph[with_valid] = MessageGraph.from_edges(edges, self.num_nodes, self.x)
        return self._graph[with_valid]

    @property
    def data(self) -> Data:
        """PyG's container of what a model may see: ``x`` where there are features, and the train edges, both directions."""
        from torch_geometric.data import Data

        return Data(x=self.x, edge_index=self.graph("train").edge_index, num_nodes=self.num_nodes)

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of the edges of each split and of the fixed negatives, so that two runs can be seen to share them."""
        return fingerprint(self)

    def loader(
        self,
        split: str = "train",
        *,
        batch_size: int = 64,
        num_negatives: int = 1,
        strict: bool = True,
        drop_last: bool = False,
        keep_source: bool = False,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        steps: int | None = None,
    ) -> PairLoader:
        """One pass of shuffled training batches, see :class:`PairLoader`.

        Args:
            split: whose edges are the positives.
            batch_size: edges a batch.
            num_negatives: negatives an edge, drawn uniformly with replacement from all pairs of two nodes, anew for
                each batch.
            strict: whether negatives avoid the edges of the split's graph (the train edges in training).
            drop_last: leave out the last batch of a pass where it is smaller; a batch larger than the split stays.
            keep_source: negatives keep the first node of their edge; with ``strict=False`` only.
            seed: seed of the run.
            epoch: number of the pass.
            start: first step; the batches are those an uninterrupted pass would have given.
            steps: most steps of a pass; None: all edges once.

        Raises:
            UserError: for an unknown split, sizes below 1, keep_source with strict, or (while iterating) a graph without a
                non-edge.

        Example:
            >>> task = LinkTask.from_edges("path", torch.tensor([[0, 1, 2], [1, 2, 3]]), 4, split="100/0/0")
            >>> [batch.pairs.shape for batch in task.loader(batch_size=2)]
            [torch.Size([2, 4]), torch.Size([2, 2])]
        """
        if keep_source and strict:
            raise UserError(
                "negatives that keep the source are drawn from all nodes; pass strict=False with keep_source"
            )
        gaps = self.non_edges(split) if strict else NonEdges.of(self.train[:, :0], self.num_nodes)
        return PairLoader(
            self.graph(split),
            self.edges(split),
            gaps,
            batch_size=batch_size,
            num_negatives=num_negatives,
            drop_last=drop_last,
            keep_source=keep_source,
            seed=seed,
            epoch=epoch,
            start=start,
            steps=steps,
        )

    def evaluate(
        self,
        model: Any,
        split: str = "valid",
        *,
        batch_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> dict[str, Any]:
        """Tell the edges of a split from its negatives, on the message graph of the split.

        Args:
            model: has ``score_pairs(graph, pairs [2, P]) -> [P]``, see :func:`graphkit.data.score_pairs`.
            split: which edges. For train the negatives are those of the first batches of seed 0, and nothing is taken
                out of the graph.
            batch_size: how much the model computes at once; None: by free memory.
            progress: called with (done, in all).

        Returns:
            ``metrics`` by name, see :func:`graphkit.metrics.link_metrics`, and ``count`` (pairs scored); floats. Warns where
            Hits@K is 0 only because scores are level.

        Raises:
            UserError: for an unknown or empty split, train where edges have negatives of their own, too few negatives,
                NaN scores, or too little memory.

        Example:
            >>> class SumOfIds:
            ...     def score_pairs(self, graph, pairs, *, batch_size=None, progress=None):
            ...         return pairs.sum(0).float()
            >>> task = LinkTask("toy", 4, torch.tensor([[0], [1]]), torch.tensor([[2], [3]]), torch.tensor([[1], [2]]))
            >>> task.evaluate(SumOfIds(), "valid")["auc"]
            1.0
        """
        positive = self.edges(split)
        if positive.size(1) == 0:
            raise UserError(f"{self.name} has no {split} edges to evaluate")
        if split in self.self_links:
            positive = torch.cat([positive, self.self_links[split]], 1)
        if split == "train":
            if self.is_personal("test"):
                raise UserError(
                    f"the train edges of {self.name} have no negatives of their own; evaluate valid or test"
                )
            negative = self.non_edges("train").draw(positive.size(1) * self.num_negatives, seed=0, epoch=0, step=0)
        else:
            negative = self.negatives(split)
        pairs = torch.cat([positive, negative.flatten(1)], 1)
        scores = score_pairs(model, self.graph(split), pairs, batch_size=batch_size, progress=progress)
        of_edges, of_others = scores[: positive.size(1)], scores[positive.size(1) :].view(negative.shape[1:])
        found = {**link_metrics(of_edges, of_others, self.metrics), "count": float(scores.numel())}
        warn_of_saturation(of_edges, of_others, self.metrics)
        return found

    def leak_check(self) -> Certificate:
        """A printable certificate that no split gives its answers away.

        Checked: ids in range and no self-loops; every edge once, in either direction; no edge in two splits; no valid
        or test edge in a message graph, in either direction (with ``use_valedges``, the valid edges in that of test and
        nowhere else); the message graphs have both directions of every edge; the negatives of valid and test are not
        what they should avoid, and all different; the negatives of a sampled training batch are no train edges. Warned
        of: what published files, or edges that are events, bring with them. Noted: nodes that messages cannot reach, and
        validation negatives that are test edges.

        Raises:
            LeakError: naming what leaks.

        Example:
            >>> task = LinkTask("toy", 4, torch.tensor([[0], [1]]), torch.tensor([[2], [3]]), torch.tensor([[1], [2]]))
            >>> print(task.leak_check().checks[1][0])
            every edge once in its split
        """
        return check_link_leaks(self)

    def node_id(self, name_or_id: str | int) -> int:
        """Id of a node given by name or id.

        Raises:
            UserError: for an unknown name (the nearest one is suggested) or an id out of range.
        """
        if self.nodes is None and isinstance(name_or_id, str):
            raise UserError(f"the nodes of {self.name} have no names; give an id from 0 to {self.num_nodes - 1}")
        return identify(name_or_id, self._node_ids or {str(i): i for i in range(self.num_nodes)}, "node")
