"""Node classification: a graph with labels, and the official splits of its nodes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphkit.data.edge_direction import directed_edges, edge_direction
from graphkit.data.label_metrics import label_metrics
from graphkit.data.leaks import SPLITS, Certificate
from graphkit.data.names import identify, numbered
from graphkit.data.node_leaks import check_node_leaks, check_nodes
from graphkit.data.node_loader import NodeLoader
from graphkit.data.node_scores import score_nodes
from graphkit.data.split_masks import Folds, split_masks
from graphkit.errors import UserError, nearest

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["NodeTask"]

_MASKS = {"train": "train_mask", "valid": "val_mask", "test": "test_mask"}  # as PyG's data sets call them


class NodeTask(Folds):
    """Classification of the nodes of one graph: all nodes and edges are seen, the labels of train alone are learned from.

    Edges follow PyG, ``edge_index[0]`` sends to ``edge_index[1]``. An undirected graph holds both directions of every
    edge; of a directed one ``direction`` says what the stored direction means and how that is known.

    Args:
        name: name of the data set.
        data: PyG's container with ``edge_index``, ``y`` and, where there are any, ``x``, masks and edge attributes. ``y`` is
            [N] int64 classes from 0, -1 where unknown; or [N, T] for T labels of 0 and 1, NaN (or -1) where unknown.
        train: [N] bool, or [n] int64 ids, or a list of either, one per fold, or [S, N] bool; None: ``data.train_mask`` ([N], or
            [N, S] as in PyG).
        valid: likewise; None: ``data.val_mask``.
        test: likewise; None: ``data.test_mask``.
        fold: which of several splits, from 0.
        directed: whether the direction of an edge means something; None: unless every edge has its opposite.
        direction: what is known of that, in words.
        num_classes: number of classes; None: one more than the largest label.
        primary_metric: ``"accuracy"``, ``"macro_f1"``, ``"roc_auc"``, of ordered classes ``"class_mae"`` or ``"spearman"``;
            None: accuracy, with several labels a node roc_auc.
        nodes: names of the N nodes, or None.
        classes: names of the classes, or None.
        ordered: whether the classes are ordered, 0 the least, so that a neighbouring class is less wrong than a far one.
        score: [N] float, what the classes were cut from, NaN where unknown; only metrics see it. None: unknown.
        provenance: where the data come from (plain values).

    Raises:
        UserError: for tensors of wrong shape or type, ids or labels out of range, features that are not finite, nodes of a
            split without a label, no node in train, a fold that there is not, a metric that the labels do not have.
        LeakError: for a node in two splits.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]), y=torch.tensor([0, 1, 0, 1]))
        >>> task = NodeTask("path", data, train=torch.tensor([0, 1]), valid=torch.tensor([2]), test=torch.tensor([3]))
        >>> task
        NodeTask('path', nodes=4, edges=3, features=4, classes=2, train=2, valid=1, test=1, directed)
    """

    level = "node"

    def __init__(
        self,
        name: str,
        data: Data,
        *,
        train: Any = None,
        valid: Any = None,
        test: Any = None,
        fold: int = 0,
        directed: bool | None = None,
        direction: str | None = None,
        num_classes: int | None = None,
        primary_metric: str | None = None,
        nodes: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        ordered: bool = False,
        score: Tensor | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.provenance, self.direction = name, dict(provenance or {}), direction
        self.y = _labels(name, data)
        self.num_nodes = int(self.y.size(0))
        self.edge_index, self.x = _graph(name, data, self.num_nodes)
        self.multi_label = self.y.dim() == 2
        self.out_channels = self.y.size(1) if self.multi_label else _classes(name, self.y, num_classes)
        given = _given(name, data, {"train": train, "valid": valid, "test": test})
        self._split(split_masks(name, given, self.num_nodes), fold)
        for what, names, count in (("node", nodes, self.num_nodes), ("class", classes, self.out_channels)):
            if names is not None and len(names) != count:
                raise UserError(f"{name}: {len(names)} names for {count} {'nodes' if what == 'node' else 'classes'}")
        self.nodes = None if nodes is None else list(nodes)
        self.classes = None if classes is None else list(classes)
        self._node_ids = {} if self.nodes is None else numbered(self.nodes, "node", name)
        self.directed = not self._all_mutual() if directed is None else bool(directed)
        check_nodes(self)
        self.ordered, self.score = bool(ordered), _score(self, ordered, score)
        self.selectable = self._metrics()
        self.primary_metric = primary_metric or ("roc_auc" if self.multi_label else "accuracy")
        if self.primary_metric not in self.selectable:
            raise UserError(f"{name}: " + nearest(self.primary_metric, self.selectable, "metric of its labels"))
        shared = {key: data[key] for key in data.keys() if key not in ("y", *_MASKS.values())}  # noqa: SIM118
        shared |= {"edge_index": self.edge_index, "num_nodes": self.num_nodes}
        if self.x is not None:
            shared["x"] = self.x
        self._graph: Data = type(data)(**shared)
        self._placed: dict[torch.device, Data] = {torch.device("cpu"): self._graph}

    @classmethod
    def from_edges(
        cls,
        name: str,
        edge_index: Tensor,
        y: Tensor,
        *,
        x: Tensor | None = None,
        directed: bool = True,
        **options: Any,
    ) -> NodeTask:
        """A task from edges as files store them: repeats are merged, self-loops dropped; undirected ones get both directions.

        Args:
            name: name of the data set.
            edge_index: [2, E] int64.
            y: as in the constructor.
            x: [N, F] float32, or None.
            directed: whether the stored direction means something.
            **options: as in the constructor.

        Raises:
            UserError: as in the constructor.

        Example:
            >>> edges, y = torch.tensor([[0, 0, 1, 2], [1, 1, 1, 1]]), torch.tensor([0, 1, 0])
            >>> masks = {"train": torch.tensor([0, 1]), "valid": torch.tensor([2]), "test": torch.tensor([])}
            >>> NodeTask.from_edges("toy", edges, y, directed=False, **masks).edge_index.tolist()
            [[0, 1, 1, 2], [1, 0, 2, 1]]
        """
        from torch_geometric.data import Data

        n = int(y.size(0))
        data = Data(edge_index=edge_index, y=y, num_nodes=n)
        edge_index, _ = _graph(name, data, n)
        _check_range(name, edge_index, n)
        both = edge_index if directed else torch.cat([edge_index, edge_index.flip(0)], 1)
        data.edge_index = directed_edges(both, n)
        if x is not None:
            data.x = x
        return cls(name, data, directed=directed, **options)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{key}={value}" for key, value in self.statistics().items())
        fold = f", fold {self.fold} of {self.num_folds}" if self.num_folds > 1 else ""
        return f"{type(self).__name__}({self.name!r}, {sizes}, {'' if self.directed else 'un'}directed{fold})"

    @property
    def in_channels(self) -> int:
        """Number of features F.

        Raises:
            UserError: when there are none.
        """
        if self.x is None:
            raise UserError(
                f"{self.name} has no features; load it with features='degrees' or 'ids', or put some into x"
            )
        return int(self.x.size(1))

    @property
    def edge_channels(self) -> int:
        """Number of features of an edge, the columns of ``edge_attr``; 0 where there are none."""
        found = self._graph.edge_attr
        return 0 if found is None else int(found.size(1)) if found.dim() > 1 else 1

    @property
    def labelled(self) -> Tensor:
        """[N] bool: nodes with a label, or with one of several."""
        return ~torch.isnan(self.y).all(1) if self.multi_label else self.y >= 0

    def statistics(self) -> dict[str, int]:
        """Sizes: nodes, edges (an undirected one once), features, classes, and nodes of train, valid and test."""
        edges = self.edge_index.size(1)
        if not self.directed:
            loops = int((self.edge_index[0] == self.edge_index[1]).sum())
            edges = (edges - loops) // 2 + loops
        sizes = {split: int(self.mask(split).sum()) for split in SPLITS}
        features = 0 if self.x is None else self.x.size(1)
        return {"nodes": self.num_nodes, "edges": edges, "features": features, "classes": self.out_channels, **sizes}

    def nodes_of(self, split: str) -> Tensor:
        """[n] int64: the nodes of a split in the fold in use, ascending.

        Raises:
            UserError: for an unknown split.
        """
        return self.mask(split).nonzero().flatten()

    def graph(self, split: str = "train") -> Data:
        """What a model may see: the whole graph without labels and masks, the same object for every split and fold.

        Raises:
            UserError: for an unknown split.
        """
        self.masks(split)
        return self._graph

    def placed(self, device: Any) -> Data:
        """:meth:`graph` on a device; it is moved there once."""
        device = torch.device(device)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        if device not in self._placed:
            # a copy first: PyG's container is moved in place
            self._placed[device] = copy.copy(self._graph).to(device)
        return self._placed[device]

    @property
    def data(self) -> Data:
        """PyG's container of everything: graph, ``y``, and ``train_mask``, ``val_mask``, ``test_mask`` [N] of the fold in use."""
        data = copy.copy(self._graph)
        data.y = self.y
        for split, key in _MASKS.items():
            data[key] = self.mask(split)
        return data

    def loader(
        self,
        split: str = "train",
        *,
        batch_size: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        start: int = 0,
    ) -> NodeLoader:
        """One pass over the nodes of a split, see :class:`NodeLoader`.

        Args:
            split: which nodes.
            batch_size: nodes a batch; None: one batch of all of them.
            seed: seed of the run.
            epoch: number of the pass.
            start: first step; the batches are those an uninterrupted pass would have given.

        Raises:
            UserError: for an unknown or empty split, or sizes out of range.
        """
        return NodeLoader(self, split, batch_size=batch_size, seed=seed, epoch=epoch, start=start)

    def evaluate(
        self,
        model: Any,
        split: str = "valid",
        *,
        batch_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> dict[str, Any]:
        """Classify the nodes of a split, with the whole graph in sight.

        Args:
            model: has ``score_nodes(data, nodes [n]) -> [n, C]``, see :func:`graphkit.data.score_nodes`; the class with the
                highest score is predicted, with several labels a node those with scores above 0.
            split: which nodes.
            batch_size: nodes handed to the model at once; None: all.
            progress: called with (done, in all).

        Returns:
            ``accuracy`` and ``macro_f1``, with two classes ``roc_auc`` too (of the difference of the scores); with several labels a
            node ``roc_auc`` (mean over labels that occur both ways) and ``macro_f1``; with ordered classes ``class_mae`` (mean
            difference of the numbers of predicted and true class) and ``spearman`` (rank correlation of the predicted class and the
            score behind the classes, or where that is unknown the true class); ``count`` (nodes). Floats. Where
            a split holds one class only, its ``roc_auc`` is left out.

        Raises:
            UserError: for an unknown or empty split, or NaN scores.

        Example:
            >>> from torch_geometric.data import Data
            >>> class FirstClass:
            ...     def score_nodes(self, data, nodes):
            ...         return torch.tensor([[1.0, 0.0]]).expand(nodes.numel(), 2)
            >>> data = Data(edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([0, 1, 0, 1]))
            >>> task = NodeTask("toy", data, train=torch.tensor([1]), valid=torch.tensor([0]), test=torch.tensor([2, 3]))
            >>> task.evaluate(FirstClass(), "test")["accuracy"]
            0.5
        """
        nodes = self.nodes_of(split)
        if not nodes.numel():
            raise UserError(f"{self.name} has no {split} nodes to evaluate")
        scores = score_nodes(model, self, nodes, batch_size=batch_size, progress=progress)
        order = None if self.score is None else self.score[nodes]
        found = label_metrics(scores, self.y[nodes], self.selectable, order=order)
        return {**found, "count": float(nodes.numel())}

    def leak_check(self) -> Certificate:
        """A printable certificate that labels, masks and features are sound, in every fold.

        Checked: edges, features and labels in range and finite; no node in two splits; every node of a split has its
        label; an undirected graph has both directions of every edge. Warned of: directions that are those of storage,
        classes without a node of a split, test nodes that repeat a train node. Noted: self-loops, repeated edges, nodes
        without an edge, without features or without a label.

        Raises:
            UserError: naming what is wrong.
            LeakError: for a node in two splits.

        Example:
            >>> from torch_geometric.data import Data
            >>> data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 2], [1, 1]]), y=torch.tensor([0, 1, 0]))
            >>> task = NodeTask("toy", data, train=torch.tensor([0, 1]), valid=torch.tensor([2]), test=torch.tensor([]))
            >>> print(task.leak_check().checks[3][0])
            no node in two splits
        """
        return check_node_leaks(self)

    def node_id(self, name_or_id: str | int) -> int:
        """Id of a node given by name or id.

        Raises:
            UserError: for an unknown name (the nearest one is suggested) or an id out of range.
        """
        if self.nodes is None and isinstance(name_or_id, str):
            raise UserError(f"the nodes of {self.name} have no names; give an id from 0 to {self.num_nodes - 1}")
        return identify(name_or_id, self._node_ids or {str(i): i for i in range(self.num_nodes)}, "node")

    def _all_mutual(self) -> bool:
        _check_range(self.name, self.edge_index, self.num_nodes)
        return edge_direction(self.edge_index, self.num_nodes).undirected

    def _metrics(self) -> tuple[str, ...]:
        if self.multi_label:
            return ("roc_auc", "macro_f1")
        two = ("roc_auc",) if self.out_channels == 2 else ()
        return ("accuracy", "macro_f1", *two, *(("class_mae", "spearman") if self.ordered else ()))


def _labels(name: str, data: Data) -> Tensor:
    y = data.y
    if not isinstance(y, Tensor) or y.dim() not in (1, 2) or y.is_complex():
        raise UserError(f"{name} has no labels; expected data.y, [N] int64 classes or [N, T] labels of 0 and 1")
    if y.dim() == 2 and y.size(1) == 1:
        y = y[:, 0]
    if y.dim() == 2:
        y = y.to(torch.float32)
        return torch.where(y == -1, torch.nan, y)
    if y.is_floating_point():
        whole = y.nan_to_num(-1)
        if not bool((whole == whole.round()).all()):
            raise UserError(
                f"{name}: labels are {y.dtype} with fractions; expected whole numbers from 0, or -1 where unknown"
            )
        y = whole
    return y.to(torch.int64)


def _score(task: NodeTask, ordered: bool, score: Tensor | None) -> Tensor | None:
    """What the classes were cut from [N], float64, after it was looked at."""
    if ordered and task.multi_label:
        raise UserError(f"{task.name}: ordered is true, but nodes have several labels; only classes can be ordered")
    if score is None:
        return None
    if not ordered:
        raise UserError(f"{task.name}: a score orders the classes; pass ordered=True with it, or leave it out")
    if not isinstance(score, Tensor) or score.shape != (task.num_nodes,):
        shape = list(score.shape) if isinstance(score, Tensor) else type(score).__name__
        raise UserError(f"{task.name}: score is {shape}, expected a number for each of {task.num_nodes} nodes, [N]")
    needed = torch.stack([task.masks(split).any(0) for split in SPLITS]).any(0)
    if bool((lacking := needed & ~score.isfinite()).any()):
        raise UserError(f"{task.name}: node {int(lacking.nonzero()[0])} of a split has no score")
    return score.double()


def _graph(name: str, data: Data, num_nodes: int) -> tuple[Tensor, Tensor | None]:
    edge_index, x = data.edge_index, data.x
    if (
        not isinstance(edge_index, Tensor)
        or edge_index.dtype != torch.int64
        or edge_index.dim() != 2
        or edge_index.size(0) != 2
    ):
        raise UserError(f"edge_index of {name} must be an int64 tensor [2, E] (row 0 sources, row 1 targets)")
    if x is not None and (
        not isinstance(x, Tensor) or x.dim() != 2 or x.size(0) != num_nodes or x.layout != torch.strided
    ):
        shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise UserError(f"x of {name} is {shape}, expected a dense row for each of the {num_nodes} labels: [N, F]")
    return edge_index, x if x is None or x.is_floating_point() else x.to(torch.float32)


def _check_range(name: str, edge_index: Tensor, num_nodes: int) -> None:
    bad = ((edge_index < 0) | (edge_index >= num_nodes)).any(0)
    if bool(bad.any()):
        column = int(bad.nonzero()[0])
        pair = edge_index[:, column].tolist()
        raise UserError(f"edges of {name}: number {column} is {pair}, but nodes are numbered up to {num_nodes - 1}")


def _classes(name: str, y: Tensor, given: int | None) -> int:
    found = int(y.max()) + 1 if y.numel() else 0
    if found < 1:
        raise UserError(f"{name}: no node has a label; expected classes from 0 in data.y")
    return found if given is None else given


def _given(name: str, data: Data, splits: dict[str, Any]) -> dict[str, Any]:
    """The nodes of each split: what was handed in, else PyG's masks."""
    found = {}
    for split, value in splits.items():
        if value is None:
            value = getattr(data, _MASKS[split], None)
            if value is None:
                raise UserError(f"{name} has no {split} nodes; pass {split}=, or a {_MASKS[split]} in data")
            if value.dim() == 2:  # PyG stacks the folds side by side
                value = value.t()
        found[split] = value
    return found
