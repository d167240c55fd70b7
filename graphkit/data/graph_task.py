"""Many graphs: classes, labels or values of the graphs themselves, or of the nodes of graphs that were never seen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from graphkit.data.category_columns import one_hot_columns
from graphkit.data.edge_direction import edge_direction
from graphkit.data.graph_leaks import check_graph_leaks, check_graphs
from graphkit.data.graph_loader import GraphLoader
from graphkit.data.graph_scores import score_graphs
from graphkit.data.label_metrics import label_metrics
from graphkit.data.leaks import SPLITS, Certificate
from graphkit.data.positional_encodings import encode_graphs
from graphkit.data.random_streams import signs
from graphkit.data.split_masks import Folds, split_masks
from graphkit.errors import UserError, nearest

if TYPE_CHECKING:
    from torch_geometric.data import Batch, Data

__all__ = ["GraphTask"]

_METRICS = {
    "classes": ("accuracy", "macro_f1", "balanced_accuracy"),
    "labels": ("ap", "roc_auc", "macro_f1"),
    "values": ("mae",),
}


class GraphTask(Folds):
    """Learning from many graphs, each of which is in one split.

    Of ``level="graph"`` a graph has a class, several labels, or values; of ``level="node"`` its nodes have, and a model is
    tested on the nodes of graphs that it has not seen.

    Args:
        name: name of the data set.
        graphs: PyG's ``Data``, each with ``edge_index``, ``y`` and, where there are any, ``x`` [n, F] and ``edge_attr`` [e, K].
        train: [G] bool, or [g] int64 numbers of graphs, or a list of either, one per fold, or [S, G] bool, such as
            :func:`graphkit.data.split_graphs` gives.
        valid: likewise.
        test: likewise.
        fold: which of several splits, from 0.
        level: ``"graph"`` or ``"node"``, what ``y`` is about.
        target: ``"classes"`` (whole numbers from 0; of nodes -1 where unknown), ``"labels"`` (T columns of 0 and 1, NaN or -1 where
            unknown) or ``"values"`` (T columns of numbers, NaN where unknown); None: classes where ``y`` holds whole numbers.
        num_classes: number of classes; None: one more than the largest.
        primary_metric: what models are compared by; None: accuracy, ap or mae.
        categories: numbers of categories of the columns of ``x`` and ``edge_attr``, where these hold categories, such as
            ``{"x": [119, 5]}``; a model gets columns of zeros and ones, see :func:`graphkit.data.one_hot_columns`.
        encodings: what is put beside the features, such as ``["laplacian:8", "random_walk:16"]``, see
            :func:`graphkit.data.encode_graph`.
        classes: names of the classes, labels or values, or None.
        provenance: where the data come from (plain values).

    Attributes:
        level, target: as above.
        y: level graph: [G] int64 or [G, T] float32; level node: [N] or [N, T] of all nodes, graph after graph.
        ptr: [G + 1] int64, where the nodes of a graph begin.

    Raises:
        UserError: for no graphs, tensors of wrong shape or type, labels out of range, features that are not finite, graphs of a
            split without a label, no graph in train, a fold that there is not, a metric that the labels do not have.
        LeakError: for a graph in two splits.

    Example:
        >>> from torch_geometric.data import Data
        >>> edge = torch.tensor([[0, 1], [1, 0]])
        >>> graphs = [Data(x=torch.ones(2, 3), edge_index=edge, y=torch.tensor([k % 2])) for k in range(4)]
        >>> GraphTask("toy", graphs, train=torch.tensor([0, 1]), valid=torch.tensor([2]), test=torch.tensor([3]))
        GraphTask('toy', graphs=4, nodes=8, edges=4, features=3, classes=2, train=2, valid=1, test=1)
    """

    def __init__(
        self,
        name: str,
        graphs: Sequence[Data],
        *,
        train: Any,
        valid: Any,
        test: Any,
        fold: int = 0,
        level: Literal["graph", "node"] = "graph",
        target: Literal["classes", "labels", "values"] | None = None,
        num_classes: int | None = None,
        primary_metric: str | None = None,
        categories: Mapping[str, Sequence[int]] | None = None,
        encodings: Sequence[str] = (),
        classes: Sequence[str] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        if not len(graphs):
            raise UserError(f"{name} has no graphs; expected a list of PyG's Data")
        if level not in ("graph", "node"):
            raise UserError(f"{name}: {nearest(str(level), ('graph', 'node'), 'level')}")
        self.name, self.level, self.provenance = name, level, dict(provenance or {})
        self.categories = {key: list(sizes) for key, sizes in (categories or {}).items()}
        self._graphs = [_unlabelled(name, number, graph, self.categories) for number, graph in enumerate(graphs)]
        sizes = torch.tensor([int(graph.num_nodes or 0) for graph in self._graphs])
        self.ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
        self.y, self.target = _targets(name, graphs, sizes, level, target)
        self.out_channels = self.y.size(1) if self.y.dim() == 2 else _classes(name, self.y, num_classes)
        given = {"train": train, "valid": valid, "test": test}
        self._split(split_masks(name, given, len(self._graphs), "graph"), fold)
        if classes is not None and len(classes) != self.out_channels:
            raise UserError(f"{name}: {len(classes)} names for {self.out_channels} {self.target}")
        self.classes = None if classes is None else list(classes)
        check_graphs(self)
        self.encodings = tuple(encodings)
        self._pe = encode_graphs(self._graphs, self.encodings)
        self.selectable = _METRICS[self.target] + (
            ("roc_auc",) if self.target == "classes" and self.out_channels == 2 else ()
        )
        self.primary_metric = primary_metric or self.selectable[0]
        if self.primary_metric not in self.selectable:
            raise UserError(f"{name}: " + nearest(self.primary_metric, self.selectable, "metric of its labels"))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{key}={value}" for key, value in self.statistics().items())
        fold = f", fold {self.fold} of {self.num_folds}" if self.num_folds > 1 else ""
        return f"{type(self).__name__}({self.name!r}, {sizes}{fold})"

    def __len__(self) -> int:
        return len(self._graphs)

    def __getitem__(self, number: int) -> Data:
        """One graph with what is true of it, as PyG's ``Data``; without encodings."""
        data = copy.copy(self._graphs[number])
        number %= len(self)
        data.y = (
            self.y[self.ptr[number] : self.ptr[number + 1]] if self.level == "node" else self.y[number : number + 1]
        )
        return data

    @property
    def multi_label(self) -> bool:
        """Whether there are several labels of 0 and 1."""
        return self.target == "labels"

    @property
    def feature_channels(self) -> int:
        """Number of features of a node without encodings; 0 where there are none."""
        return _width(self._graphs[0], "x", self.categories)

    @property
    def in_channels(self) -> int:
        """Number of features of a node, encodings among them.

        Raises:
            UserError: when there are none.
        """
        found = self.feature_channels + (0 if self._pe is None else self._pe.values.size(1))
        if not found:
            raise UserError(f"{self.name} has no features; load it with features='degrees', or put some into x")
        return found

    @property
    def edge_channels(self) -> int:
        """Number of features of an edge; 0 where there are none."""
        return _width(self._graphs[0], "edge_attr", self.categories)

    @property
    def labelled(self) -> Tensor:
        """[G] or [N] bool: graphs, or nodes, of which something is known."""
        return ~torch.isnan(self.y).all(1) if self.y.dim() == 2 else self.y >= 0

    def statistics(self) -> dict[str, int]:
        """Sizes: graphs, nodes and edges in all (an undirected edge once), features, classes, and graphs of train, valid and
        test.
        """
        what = {"classes": "classes", "labels": "labels", "values": "values"}[self.target]
        sizes = {split: int(self.mask(split).sum()) for split in SPLITS}
        return {
            "graphs": len(self), "nodes": int(self.ptr[-1]), "edges": self.num_edges, "features": self.feature_channels,
            **({"edge_features": self.edge_channels} if self.edge_channels else {}), what: self.out_channels, **sizes,
        }  # fmt: skip

    @property
    def num_edges(self) -> int:
        """Edges of all graphs; where each has its opposite, the two count as one."""
        found = edge_direction(self.union_edges(), int(self.ptr[-1]))
        edges = self.union_edges()
        if not found.undirected:
            return int(edges.size(1))
        loops = int((edges[0] == edges[1]).sum())
        return (int(edges.size(1)) - loops) // 2 + loops

    def union_edges(self) -> Tensor:
        """[2, E] int64: the edges of all graphs, nodes numbered graph after graph."""
        begins = self.ptr.tolist()
        return torch.cat([graph.edge_index + begin for graph, begin in zip(self._graphs, begins, strict=False)], 1)

    def graphs_of(self, split: str) -> Tensor:
        """[g] int64: the graphs of a split in the fold in use, ascending.

        Raises:
            UserError: for an unknown split.
        """
        return self.mask(split).nonzero().flatten()

    def rows(self, graphs: Tensor) -> Tensor:
        """[n] int64: rows of a batch of these graphs that have an answer: all of B graphs, or the nodes with a label."""
        if self.level == "graph":
            return torch.arange(graphs.numel())
        return self.labelled[self._nodes(graphs)].nonzero().flatten()

    def truth(self, graphs: Tensor) -> Tensor:
        """What is true of :meth:`rows`: [n] classes, or [n, T] labels or values."""
        if self.level == "graph":
            return self.y[graphs]
        return self.y[self._nodes(graphs)[self.rows(graphs)]]

    def together(self, graphs: Tensor, flips: tuple[int, int] | None = None) -> Batch:
        """PyG's batch of graphs [B], in their order, without labels; encodings stand beside the features.

        Args:
            graphs: [B] int64.
            flips: (seed, epoch): the signs of the eigenvectors of each graph are drawn from these and its number; None: as stored.
        """
        from torch_geometric.data import Batch

        data = Batch.from_data_list([self._graphs[number] for number in graphs.tolist()])
        for key, sizes in self.categories.items():
            data[key] = one_hot_columns(data[key], sizes)
        if self._pe is not None:
            values = self._pe.values[self._nodes(graphs)]
            if flips is not None and bool(self._pe.signed.any()):
                seed, epoch = flips
                drawn = signs(graphs, int(self._pe.signed.sum()), seed=seed, epoch=epoch)
                values = values.clone()
                values[:, self._pe.signed] *= drawn[data.batch]
            data.x = values if data.x is None else torch.cat([data.x, values], 1)
        return data

    def loader(
        self,
        split: str = "train",
        *,
        batch_size: int | None = 32,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
        drop_last: bool = False,
        balanced: bool = False,
    ) -> GraphLoader:
        """One pass over the graphs of a split, see :class:`GraphLoader`.

        Args:
            split: which graphs.
            batch_size: graphs a batch; None: one batch of all of them.
            seed: seed of the run.
            epoch: number of the pass.
            start: first step; the batches are those an uninterrupted pass would have given.
            drop_last: whether a last batch of fewer graphs is left out.
            balanced: whether rare classes of a batch count more in its loss.

        Raises:
            UserError: for an unknown or empty split, or sizes out of range.
        """
        return GraphLoader(
            self,
            split,
            batch_size=batch_size,
            seed=seed,
            epoch=epoch,
            start=start,
            drop_last=drop_last,
            balanced=balanced,
        )

    def evaluate(
        self,
        model: Any,
        split: str = "valid",
        *,
        batch_size: int = 64,
        progress: Callable[[int, int], object] | None = None,
    ) -> dict[str, Any]:
        """Predict the graphs of a split, or the nodes of its graphs.

        Args:
            model: see :func:`graphkit.data.score_graphs`.
            split: which graphs.
            batch_size: graphs handed to the model at once.
            progress: called with (graphs done, in all).

        Returns:
            of classes ``accuracy``, ``macro_f1``, ``balanced_accuracy`` and, of two, ``roc_auc``; of labels ``ap``,
            ``roc_auc`` (means over labels that occur both ways) and ``macro_f1``; of values ``mae``; ``count`` (graphs, or
            nodes). Floats.

        Raises:
            UserError: for an unknown or empty split, a model of another kind, or NaN scores.

        Example:
            >>> from torch_geometric.data import Data
            >>> class FirstClass:
            ...     def score_graphs(self, data):
            ...         return torch.tensor([[1.0, 0.0]]).expand(data.num_graphs, 2)
            >>> edge = torch.tensor([[0, 1], [1, 0]])
            >>> graphs = [Data(x=torch.ones(2, 3), edge_index=edge, y=torch.tensor([k % 2])) for k in range(4)]
            >>> task = GraphTask("toy", graphs, train=torch.tensor([0]), valid=torch.tensor([2]), test=torch.tensor([1, 3]))
            >>> task.evaluate(FirstClass(), "test")["accuracy"]
            0.0
        """
        graphs = self.graphs_of(split)
        if not graphs.numel():
            raise UserError(f"{self.name} has no {split} graphs to evaluate")
        scores = score_graphs(model, self, graphs, batch_size=batch_size, progress=progress)
        return {**label_metrics(scores, self.truth(graphs), self.selectable), "count": float(scores.size(0))}

    def leak_check(self) -> Certificate:
        """A printable certificate that labels, masks and features are sound, in every fold.

        Checked: edges, features and labels in range and finite; no graph in two splits; every graph of a split has its
        label. Warned of: classes without a graph of a split, test graphs that repeat a train graph. Noted: graphs without
        edges, self-loops, repeated edges, nodes without an edge, graphs in no split.

        Raises:
            UserError: naming what is wrong.
            LeakError: for a graph in two splits.
        """
        return check_graph_leaks(self)

    def _nodes(self, graphs: Tensor) -> Tensor:
        """[n] int64: numbers, among all nodes, of the nodes of some graphs in turn."""
        sizes = self.ptr[graphs + 1] - self.ptr[graphs]
        ends = sizes.cumsum(0)
        return torch.arange(int(sizes.sum())) + (self.ptr[graphs] - ends + sizes).repeat_interleave(sizes)


def _unlabelled(name: str, number: int, graph: Data, categories: Mapping[str, Any]) -> Data:
    """The graph without labels, checked for shapes; whole numbers become floats, but for categories."""
    edges, x, edge_attr = graph.edge_index, graph.x, graph.edge_attr
    what = f"graph {number} of {name}"
    if not isinstance(edges, Tensor) or edges.dtype != torch.int64 or edges.dim() != 2 or edges.size(0) != 2:
        raise UserError(f"edge_index of {what} must be an int64 tensor [2, E] (row 0 sources, row 1 targets)")
    nodes = int(x.size(0)) if isinstance(x, Tensor) and x.dim() else int(graph.num_nodes or 0)
    for key, value, rows in (("x", x, nodes), ("edge_attr", edge_attr, edges.size(1))):
        if value is not None and (not isinstance(value, Tensor) or value.dim() != 2 or value.size(0) != rows):
            shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(f"{key} of {what} is {shape}, expected a row for each of {rows}")
    kept = {key: graph[key] for key in graph.keys() if key not in ("y", "x", "edge_attr", "num_nodes")}  # noqa: SIM118
    plain = type(graph)(**kept)
    plain.num_nodes = nodes
    for key, value in (("x", x), ("edge_attr", edge_attr)):
        if value is not None:
            plain[key] = value if value.is_floating_point() or key in categories else value.to(torch.float32)
    return plain


def _targets(
    name: str, graphs: Sequence[Data], sizes: Tensor, level: str, target: str | None
) -> tuple[Tensor, Literal["classes", "labels", "values"]]:
    """Everything that is true, one row a graph or a node, and what it is."""
    if target not in (None, *_METRICS):
        raise UserError(f"{name}: {nearest(str(target), _METRICS, 'target')}")
    rows = sizes.tolist() if level == "node" else [1] * len(graphs)
    parts: list[Tensor] = []
    for number, (graph, count) in enumerate(zip(graphs, rows, strict=True)):
        if graph.y is None:
            raise UserError(f"graph {number} of {name} has no label; expected data.y")
        y = torch.as_tensor(graph.y)
        if y.is_complex() or (count and y.numel() % count) or (count > 1 and (y.dim() == 0 or y.size(0) != count)):
            raise UserError(f"y of graph {number} of {name} is {list(y.shape)}, expected a row for each of {count}")
        y = y.reshape(count, -1) if y.numel() else y.reshape(count, 1 if not parts else parts[0].size(1))
        if parts and y.size(1) != parts[0].size(1):
            raise UserError(
                f"y of graph {number} of {name} has {y.size(1)} columns, that of graph 0 {parts[0].size(1)}"
            )
        parts.append(y)
    whole = torch.cat(parts)
    if target is None:
        if whole.is_floating_point() or whole.size(1) > 1:
            raise UserError(f"{name}: y is {whole.dtype} of {whole.size(1)} columns; say target='labels' or 'values'")
        target = "classes"
    if target == "classes":
        if whole.size(1) != 1 or (whole.is_floating_point() and not bool((whole == whole.round()).all())):
            raise UserError(
                f"{name}: y is {whole.dtype} of {whole.size(1)} columns, expected one column of whole numbers"
            )
        return whole[:, 0].to(torch.int64), "classes"
    whole = whole.to(torch.float32)
    if target == "labels":
        return torch.where(whole == -1, torch.nan, whole), "labels"
    return whole, "values"


def _classes(name: str, y: Tensor, given: int | None) -> int:
    found = int(y.max()) + 1 if y.numel() else 0
    if found < 1:
        raise UserError(f"{name}: nothing has a label; expected classes from 0 in data.y")
    return found if given is None else given


def _width(graph: Data, key: str, categories: Mapping[str, Sequence[int]]) -> int:
    if key in categories:
        return sum(categories[key])
    value = getattr(graph, key, None)
    return 0 if value is None else int(value.size(1))
