"""Products with a directed adjacency matrix and its transpose; both at once in one sweep over rows and columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, public
from graphkit.ops.csr import CSRGraph, _check_edges

__all__ = ["DirectedGraph", "DirectedInfo", "as_directed", "directed_spmm"]

public("DirectedGraph", "directed_graph")
public("directed_spmm", "directed_product")

_ONE, _BOTH, _SUM = 0, 1, 2


class DirectedInfo(NamedTuple):
    """What became of the edges, and how the rest lie.

    Attributes:
        self_loops: edges from a node to itself, dropped.
        duplicates: further copies of an edge, dropped.
        reciprocal: kept edges whose reverse is kept too.
        ascending: kept edges whose source has the smaller id.

    Example:
        >>> DirectedGraph(torch.tensor([[0, 0, 1, 2], [1, 1, 0, 2]]), num_nodes=3).info
        DirectedInfo(self_loops=1, duplicates=1, reciprocal=2, ascending=1)
    """

    self_loops: int
    duplicates: int
    reciprocal: int
    ascending: int


class DirectedGraph:
    """A directed graph without loops and parallel edges, by rows and by columns of its adjacency matrix.

    ``A[i, j] = 1`` for an edge i -> j: a row lists the out-neighbours, a column the in-neighbours.

    Args:
        edge_index: int64 ``[2, E]``, row 0 sources, row 1 targets.
        num_nodes: N; ids lie in ``[0, N)``.

    Attributes:
        ptr, col: int64 ``[N + 1]``, int32 ``[M]``: the rows, sorted.
        t_ptr, t_col: the columns, sorted.
        value, t_value: entries of the matrix in the two orders, or None: all 1.
        info: what was dropped, :class:`DirectedInfo`.

    Raises:
        UserError: wrong shape or dtype, ids out of range, more than 2^31 - 1 nodes or edges.

    Example:
        >>> graph = DirectedGraph(torch.tensor([[0, 0, 1], [1, 2, 2]]), num_nodes=3)
        >>> graph.out_degree.tolist(), graph.in_degree.tolist()
        ([2, 1, 0], [0, 1, 2])
    """

    value: Tensor | None = None
    t_value: Tensor | None = None

    def __init__(self, edge_index: Tensor, *, num_nodes: int) -> None:
        _check_edges(edge_index, num_nodes)
        plain = edge_index.as_subclass(Tensor) if type(edge_index) is not Tensor else edge_index
        # what is remembered must serve training too, also when first asked for inside inference mode
        with torch.inference_mode(False):
            plain = plain.clone() if plain.is_inference() else plain
            self.ptr, self.col, self.t_ptr, self.t_col, info = call("directed_graph", plain, num_nodes)
        self.num_nodes, self.info = num_nodes, DirectedInfo(*(int(v) for v in info))
        #: what was derived from the graph once and is used again, by name
        self.derived: dict[Any, Any] = {}

    @classmethod
    def from_rows(cls, ptr: Tensor, col: Tensor, value: Tensor | None = None) -> DirectedGraph:
        """A square matrix with entries of any kind: loops stay, every row is sorted and names a column once.

        Args:
            ptr: int64 ``[N + 1]``.
            col: int32 ``[M]``.
            value: ``[M]``, entries; all 1 without it.

        Example:
            >>> graph = DirectedGraph.from_rows(torch.tensor([0, 1, 2]), torch.tensor([0, 0]), torch.tensor([2.0, 3.0]))
            >>> directed_spmm(graph, torch.ones(2, 1), num_nodes=2).flatten().tolist()
            [2.0, 3.0]
        """
        graph = cls.__new__(cls)
        graph.num_nodes, graph.derived = len(ptr) - 1, {}
        row = torch.repeat_interleave(torch.arange(graph.num_nodes, device=ptr.device), ptr.diff())
        order = torch.sort(col, stable=True).indices
        counts = torch.bincount(col, minlength=graph.num_nodes)
        graph.ptr, graph.col, graph.value = ptr, col.to(torch.int32), value
        graph.t_ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        graph.t_col = row[order].to(torch.int32)
        graph.t_value = None if value is None else value[order]
        loops, ascending = int((row == col).sum()), int((row < col).sum())
        graph.info = DirectedInfo(loops, 0, -1, ascending)
        return graph

    @property
    def num_edges(self) -> int:
        return len(self.col)

    @property
    def device(self) -> torch.device:
        return self.ptr.device

    @property
    def out_degree(self) -> Tensor:
        """Edges out of each node, int64 ``[N]``."""
        return self.ptr.diff()

    @property
    def in_degree(self) -> Tensor:
        """Edges into each node, int64 ``[N]``."""
        return self.t_ptr.diff()

    @property
    def edge_index(self) -> Tensor:
        """The kept edges by source and target, int64 ``[2, M]``."""
        source = torch.repeat_interleave(torch.arange(self.num_nodes, device=self.device), self.out_degree)
        return torch.stack([source, self.col.long()])

    @property
    def is_symmetric(self) -> bool:
        """Whether every edge has its reverse."""
        return self.info.reciprocal == self.num_edges

    def reversed(self) -> DirectedGraph:
        """The graph with every edge turned round; nothing is copied."""
        turned = DirectedGraph.__new__(DirectedGraph)
        turned.num_nodes, turned.derived = self.num_nodes, {}
        turned.ptr, turned.col, turned.value = self.t_ptr, self.t_col, self.t_value
        turned.t_ptr, turned.t_col, turned.t_value = self.ptr, self.col, self.value
        turned.info = self.info._replace(ascending=self.num_edges - self.info.ascending)
        return turned

    def to(self, device: torch.device | str) -> DirectedGraph:
        """The same graph on another device."""
        moved = DirectedGraph.__new__(DirectedGraph)
        moved.__dict__ = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.__dict__.items()}
        moved.derived = {}
        return moved

    def __repr__(self) -> str:
        return f"DirectedGraph(num_nodes={self.num_nodes}, num_edges={self.num_edges})"


def as_directed(edge_index: Tensor | CSRGraph | DirectedGraph, num_nodes: int) -> DirectedGraph:
    """A :class:`DirectedGraph` of whatever holds the edges; kept on ``EdgeIndex`` and ``CSRGraph`` so that it is built once.

    Raises:
        UserError: a graph made for another number of nodes, or no valid ``edge_index``.
    """
    if isinstance(edge_index, CSRGraph | DirectedGraph) and edge_index.num_nodes != num_nodes:
        kind = type(edge_index).__name__
        raise UserError(f"num_nodes is {num_nodes}, but the {kind} was made for {edge_index.num_nodes} nodes")
    if isinstance(edge_index, DirectedGraph):
        return edge_index
    if isinstance(edge_index, CSRGraph):
        kept = getattr(edge_index, "_directed", None)
        if kept is None:
            kept = DirectedGraph(edge_index.edge_index, num_nodes=num_nodes)
            edge_index._directed = kept  # type: ignore[attr-defined]
        return kept
    if type(edge_index) is Tensor or not isinstance(edge_index, Tensor):
        return DirectedGraph(edge_index, num_nodes=num_nodes)
    known = getattr(edge_index, "_graphkit_directed", None)
    if known is None or known[0] != (edge_index._version, num_nodes):
        known = ((edge_index._version, num_nodes), DirectedGraph(edge_index, num_nodes=num_nodes))
        edge_index._graphkit_directed = known  # type: ignore[attr-defined]
    return known[1]


Scale = Tensor | None


def directed_spmm(
    edge_index: Tensor | CSRGraph | DirectedGraph,
    x: Tensor,
    *,
    num_nodes: int,
    direction: str = "out",
    left: Scale | tuple[Scale, Scale] = None,
    right: Scale | tuple[Scale, Scale] = None,
) -> Tensor:
    r"""Products of A, of its transpose, or of both at once, with node features.

    .. math:: out = L A R x \quad\text{("out")}, \qquad L A^\top R x \quad\text{("in")}, \qquad
        (L_0 A R_0 x,\; L_1 A^\top R_1 x) \quad\text{("both")}

    Row i of :math:`A x` sums the features of i's **out**-neighbours: in PyG's terms it is message passing along the
    flipped edges, and ``"in"`` is message passing along the edges as stored. Loops and duplicate edges are dropped.

    Args:
        edge_index: int64 ``[2, E]`` (source, target), PyG's ``EdgeIndex``, a :class:`CSRGraph`, or a :class:`DirectedGraph`,
            which is sorted once.
        x: ``[N, D]``, float32 or float64.
        num_nodes: N.
        direction: ``"out"``, ``"in"`` or ``"both"``.
        left, right: diagonals ``[N]`` of L and R; for ``"both"`` also a pair of them. Constants: no gradient.

    Returns:
        ``[N, D]``, or ``[2, N, D]`` for ``"both"``. Differentiable in ``x``, any number of times; the gradient is the
        sweep over the reversed graph. Results do not depend on the number of threads.

    Raises:
        UserError: shapes, dtypes or devices that do not fit, ids out of range, an unknown direction.

    Example:
        >>> edges, x = torch.tensor([[0, 0], [1, 2]]), torch.tensor([[1.0], [10.0], [100.0]])
        >>> directed_spmm(edges, x, num_nodes=3).flatten().tolist()
        [110.0, 0.0, 0.0]
        >>> directed_spmm(edges, x, num_nodes=3, direction="both")[1].flatten().tolist()
        [0.0, 1.0, 1.0]
    """
    if direction not in ("out", "in", "both"):
        raise UserError(f"direction is {direction!r}, expected 'out' (A x), 'in' (A^T x) or 'both'")
    graph = as_directed(edge_index, num_nodes)
    if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[0] != num_nodes:
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise UserError(f"x is {shape}, expected a tensor of shape [{num_nodes}, D] (nodes, channels)")
    if x.dtype not in (torch.float32, torch.float64):
        raise UserError(f"x has dtype {x.dtype}, expected float32 or float64; convert it with .float()")
    if x.device != graph.device:
        raise UserError(f"x is on {x.device}, the graph on {graph.device}; move them to one device")
    pairs = []
    for name, scale in (("left", left), ("right", right)):
        if isinstance(scale, tuple) and direction != "both":
            raise UserError(f"{name} is a pair, which goes with direction='both' alone; pass one tensor")
        first, second = scale if isinstance(scale, tuple) else (scale, scale)
        pairs.append((_scale(name, first, x), _scale(name, second, x)))
    if direction == "in":
        graph = graph.reversed()
    (l0, l1), (r0, r1) = pairs
    return call("directed_product", *_matrix(graph, x.dtype), l0, r0, l1, r1, x.contiguous(),
                _BOTH if direction == "both" else _ONE)  # fmt: skip


def _scale(name: str, scale: Scale, x: Tensor) -> Scale:
    if scale is None:
        return None
    if scale.shape != x.shape[:1] or scale.device != x.device:
        raise UserError(
            f"{name} is {tuple(scale.shape)} on {scale.device}, expected [{len(x)}] on {x.device}, one per node"
        )
    if scale.requires_grad:
        raise UserError(
            f"{name} requires a gradient, but scalings are constants; multiply outside of the product instead"
        )
    return scale.to(x.dtype).contiguous()


def _matrix(graph: DirectedGraph, dtype: torch.dtype) -> tuple[Tensor | None, ...]:
    values = (None if v is None else v.to(dtype) for v in (graph.value, graph.t_value))
    value, t_value = values
    return graph.ptr, graph.col, value, graph.t_ptr, graph.t_col, t_value


# ---- the operators ----------------------------------------------------------------------------------------------


def _one(ptr: Tensor, col: Tensor, value: Tensor | None, left: Scale, right: Scale, x: Tensor) -> Tensor:
    index = col.long()
    part = x.index_select(0, index)
    if value is not None:
        part = part * value.unsqueeze(1)
    if right is not None:
        part = part * right.index_select(0, index).unsqueeze(1)
    row = torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())
    out = torch.zeros_like(x).index_add_(0, row, part)
    return out if left is None else out * left.unsqueeze(1)


def _product(ptr: Tensor, col: Tensor, value: Tensor | None, t_ptr: Tensor, t_col: Tensor, t_value: Tensor | None,
             left: Scale, right: Scale, t_left: Scale, t_right: Scale, x: Tensor, sides: int) -> Tensor:  # fmt: skip
    of_rows = _one(ptr, col, value, left, right, x[0] if sides == _SUM else x)
    if sides == _ONE:
        return of_rows
    of_columns = _one(t_ptr, t_col, t_value, t_left, t_right, x[1] if sides == _SUM else x)
    return torch.stack([of_rows, of_columns]) if sides == _BOTH else of_rows + of_columns


def _fake_product(*arguments: Any) -> Tensor:
    x, sides = arguments[-2:]
    if sides == _SUM:
        return x.new_empty(x.shape[1:])
    return x.new_empty((2, *x.shape)) if sides == _BOTH else torch.empty_like(x)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, _, ctx.sides = inputs
    ctx.save_for_backward(*tensors)


def _gradient(operators: Any, ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    ptr, col, value, t_ptr, t_col, t_value, left, right, t_left, t_right = ctx.saved_tensors
    turned = (t_ptr, t_col, t_value, ptr, col, value, right, left, t_right, t_left)
    # (both)^T is the sum on the reversed graph, and the other way round
    sides = {_ONE: _ONE, _BOTH: _SUM, _SUM: _BOTH}[ctx.sides]
    return (*(None for _ in turned), operators.directed_product(*turned, grad.contiguous(), sides), None)


def _directed_graph(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    source, target = edge_index
    kept = source != target
    key = torch.unique(source[kept] * num_nodes + target[kept])
    row = key // max(num_nodes, 1)
    col = key - row * num_nodes
    order = torch.sort(col, stable=True).indices
    reverse = col * num_nodes + row
    found = torch.searchsorted(key, reverse).clamp(max=max(len(key) - 1, 0))
    reciprocal = (key[found] == reverse).sum() if len(key) else key.new_zeros(())
    counts = [torch.bincount(ids, minlength=num_nodes) for ids in (row, col)]
    ptr, t_ptr = (torch.cat([c.new_zeros(1), c.cumsum(0)]) for c in counts)
    info = torch.stack([(~kept).sum(), kept.sum() - len(key), reciprocal, (row < col).sum()])
    return ptr, col.to(torch.int32), t_ptr, row[order].to(torch.int32), info


def _fake_graph(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    edges = torch.library.get_ctx().new_dynamic_size()
    ptr, col = edge_index.new_empty(num_nodes + 1), edge_index.new_empty(edges, dtype=torch.int32)
    return ptr, col, torch.empty_like(ptr), torch.empty_like(col), edge_index.new_empty(4)


define(
    "directed_product(Tensor ptr, Tensor col, Tensor? value, Tensor t_ptr, Tensor t_col, Tensor? t_value, Tensor? left, "
    "Tensor? right, Tensor? t_left, Tensor? t_right, Tensor x, int sides) -> Tensor",
    _product,
    fake=_fake_product,
    setup_context=_setup_context,
    backward=_gradient,
)
define(
    "directed_graph(Tensor edge_index, int num_nodes) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _directed_graph,
    fake=_fake_graph,
)
