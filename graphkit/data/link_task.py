"""Link prediction on an undirected graph: edges, negatives, evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.edge_split import split_edges, undirected_edges
from graphkit.data.leaks import SPLITS, Certificate
from graphkit.data.link_leaks import check_link_leaks
from graphkit.data.message_graph import MessageGraph
from graphkit.data.names import identify, numbered
from graphkit.data.non_edges import NonEdges
from graphkit.data.pair_loader import PairLoader
from graphkit.data.pair_scores import score_pairs
from graphkit.errors import UserError, nearest
from graphkit.metrics import auc, average_precision

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["LinkTask"]


class LinkTask:
    """Link prediction on an undirected graph: messages flow along the train edges, in every split.

    An edge stands once in its split, u < v. The negatives of valid and test are drawn once, from a seed of their own,
    and are the same for every model; those of training are drawn anew for each batch. All are strict: no edge of the
    graph of their split, which is train for train, train and valid for valid, and all edges for test.

    Args:
        name: name of the data set.
        num_nodes: N.
        train: [2, a] int64 edges, each once, in either direction.
        valid: [2, b] int64.
        test: [2, c] int64.
        x: [N, F] node features, or None.
        nodes: names of the N nodes, or None.
        num_negatives: negatives an edge of valid and test.
        negative_seed: what the negatives of valid and test depend on.
        provenance: where the data come from (plain values).

    Raises:
        UserError: for tensors that are not [2, n] int64, ids out of range, a self-loop, features of another number of
            rows, a name that occurs twice, or a graph with too few non-edges.

    Example:
        >>> ring = torch.stack([torch.arange(20), (torch.arange(20) + 1) % 20])
        >>> task = LinkTask.from_edges("ring", ring, 20, split="80/10/10")
        >>> task.train.shape, task.valid.shape, task.negatives("test").shape
        (torch.Size([2, 16]), torch.Size([2, 2]), torch.Size([2, 2]))
    """

    primary_metric = "auc"
    """The metric that selects the best epoch; higher is better."""
    selectable = ("auc", "ap")
    """Metrics that can select an epoch."""

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
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.num_nodes, self.x = name, num_nodes, x
        self.provenance = dict(provenance or {})
        for split, edges in zip(SPLITS, (train, valid, test), strict=True):
            _check_edges(f"{split} edges of {name}", edges, num_nodes)
        if x is not None and (x.dim() != 2 or x.size(0) != num_nodes):
            raise UserError(f"x of {name} is {list(x.shape)}, expected a row for each of the {num_nodes} nodes: [N, F]")
        if nodes is not None and len(nodes) != num_nodes:
            raise UserError(f"{name} has {num_nodes} nodes, but {len(nodes)} names for them")
        self.nodes = None if nodes is None else list(nodes)
        self._node_ids = {} if self.nodes is None else numbered(self.nodes, "node", name)
        if isinstance(num_negatives, bool) or not isinstance(num_negatives, int) or num_negatives < 1:
            raise UserError(f"num_negatives is {num_negatives!r}, expected a whole number from 1 upwards")
        self.train, self.valid, self.test = (torch.sort(edges, 0).values for edges in (train, valid, test))
        self.num_negatives, self.negative_seed = num_negatives, negative_seed
        self._graph: MessageGraph | None = None
        self._non_edges: dict[str, NonEdges] = {}
        self._negatives: dict[str, Tensor] = {}

    @classmethod
    def from_edges(
        cls,
        name: str,
        edge_index: Tensor,
        num_nodes: int,
        *,
        split: str = "85/5/10",
        split_seed: int = 0,
        x: Tensor | None = None,
        nodes: Sequence[str] | None = None,
        num_negatives: int = 1,
        provenance: dict[str, Any] | None = None,
    ) -> LinkTask:
        """A task from the edges of a whole graph, cut at random; see :func:`graphkit.data.split_edges`.

        Args:
            name: name of the data set.
            edge_index: [2, E] int64; directions, duplicates and self-loops do not matter.
            num_nodes: N.
            split: percentages of train, valid and test.
            split_seed: seed of the split and of the negatives of valid and test.
            x: as in the constructor.
            nodes: as in the constructor.
            num_negatives: as in the constructor.
            provenance: as in the constructor.

        Raises:
            UserError: as in the constructor, and for a split that cannot be.

        Example:
            >>> edges = torch.tensor([[0, 1, 2, 3, 1], [1, 2, 3, 0, 0]])
            >>> LinkTask.from_edges("square", edges, 5, split="50/25/25")
            LinkTask('square', nodes=5, edges=4, features=0, train=2, valid=1, test=1)
        """
        _check_edges(f"edges of {name}", edge_index, num_nodes, loops=True)
        parts = split_edges(undirected_edges(edge_index), split, seed=split_seed)
        task = cls(
            name, num_nodes, *parts, x=x, nodes=nodes, num_negatives=num_negatives, negative_seed=split_seed,
            provenance=provenance,
        )  # fmt: skip
        task.provenance["split"] = {"shares": split, "seed": split_seed, **task.fingerprint()}
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
        """The edges [2, n] of a split, u < v.

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
        """The negatives [2, n k] of valid or test, u < v, all different; always the same ones.

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
        """The message graph of a split: the train edges in both directions, for every split.

        Raises:
            UserError: for an unknown split.
        """
        self.edges(split)
        if self._graph is None:
            self._graph = MessageGraph.from_edges(self.train, self.num_nodes, self.x)
        return self._graph

    @property
    def data(self) -> Data:
        """PyG's container of what a model may see: ``x`` where there are features, and the train edges, both directions."""
        from torch_geometric.data import Data

        return Data(x=self.x, edge_index=self.graph("train").edge_index, num_nodes=self.num_nodes)

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of the edges of each split and of the fixed negatives, so that two runs can be seen to share them."""
        parts = {split: self.edges(split) for split in SPLITS}
        parts |= {f"{split}_negatives": self.negatives(split) for split in ("valid", "test")}
        return {
            name: hashlib.sha256(pairs.t().contiguous().numpy().astype("<i8").tobytes()).hexdigest()
            for name, pairs in parts.items()
        }

    def loader(
        self,
        split: str = "train",
        *,
        batch_size: int = 64,
        num_negatives: int = 1,
        strict: bool = True,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        steps: int | None = None,
    ) -> PairLoader:
        """One pass of shuffled training batches, see :class:`PairLoader`.

        Args:
            split: whose edges are the positives.
            batch_size: edges a batch.
            num_negatives: negatives an edge, drawn uniformly with replacement from all pairs of two nodes.
            strict: whether negatives avoid the edges of the split's graph (the train edges in training).
            seed: seed of the run.
            epoch: number of the pass.
            start: first step; the batches are those an uninterrupted pass would have given.
            steps: most steps of a pass; None: all edges once.

        Raises:
            UserError: for an unknown split, sizes below 1, or (while iterating) a graph without a non-edge.

        Example:
            >>> task = LinkTask.from_edges("path", torch.tensor([[0, 1, 2], [1, 2, 3]]), 4, split="100/0/0")
            >>> [batch.pairs.shape for batch in task.loader(batch_size=2)]
            [torch.Size([2, 4]), torch.Size([2, 2])]
        """
        gaps = self.non_edges(split) if strict else NonEdges.of(self.train[:, :0], self.num_nodes)
        return PairLoader(
            self.graph(split),
            self.edges(split),
            gaps,
            batch_size=batch_size,
            num_negatives=num_negatives,
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
        """Tell the edges of a split from its negatives, on the message graph of the train edges.

        Args:
            model: has ``score_pairs(graph, pairs [2, P]) -> [P]``, see :func:`graphkit.data.score_pairs`.
            split: which edges. For train the negatives are those of the first batches of seed 0, and nothing is taken
                out of the graph.
            batch_size: how much the model computes at once; None: by free memory.
            progress: called with (done, in all).

        Returns:
            ``auc`` (area under the ROC curve), ``ap`` (average precision), ``count`` (pairs scored); floats.

        Raises:
            UserError: for an unknown or empty split, NaN scores, or too little memory.

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
        if split == "train":
            negative = self.non_edges("train").draw(positive.size(1) * self.num_negatives, seed=0, epoch=0, step=0)
        else:
            negative = self.negatives(split)
        scores = score_pairs(
            model, self.graph(split), torch.cat([positive, negative], 1), batch_size=batch_size, progress=progress
        )
        of_edges, of_others = scores.split([positive.size(1), negative.size(1)])
        return {
            "auc": auc(of_edges, of_others),
            "ap": average_precision(of_edges, of_others),
            "count": float(scores.numel()),
        }

    def leak_check(self) -> Certificate:
        """A printable certificate that no split gives its answers away.

        Checked: ids in range and no self-loops; every edge once, in either direction; no edge in two splits; no valid
        or test edge in its message graph, in either direction; the message graph has both directions of every edge;
        the negatives of valid and test are no edges of their split's graph, in either direction, and all different;
        the negatives of a sampled training batch are no train edges. Noted: nodes that messages cannot reach, and
        validation negatives that are test edges (negatives are strict with regard to the graph of their own split).

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


def _check_edges(what: str, edges: Any, num_nodes: int, *, loops: bool = False) -> None:
    if not isinstance(edges, Tensor) or edges.dtype != torch.int64 or edges.dim() != 2 or edges.size(0) != 2:
        raise UserError(f"{what} must be an int64 tensor [2, n] (one node and the other)")
    bad = ((edges < 0) | (edges >= num_nodes)).any(0)
    if bool(bad.any()):
        column = int(bad.nonzero()[0])
        pair = edges[:, column].tolist()
        raise UserError(f"{what}: number {column} is {pair}, but nodes are numbered up to {num_nodes - 1}")
    if not loops and bool((edges[0] == edges[1]).any()):
        column = int((edges[0] == edges[1]).nonzero()[0])
        raise UserError(f"{what}: number {column} joins node {int(edges[0, column])} with itself; drop self-loops")
