"""Relational aggregation: messages ``x[source] (x) relation[type]`` reduced at their targets, in one pass over the edges."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.ops._library import call, public
from graphkit.ops.csr import CSRGraph, as_csr
from graphkit.ops.relational_reference import MESSAGES, REDUCES

__all__ = ["relational_pna", "relational_spmm"]

Boundary = Tensor | tuple[Tensor, Tensor]

public("relational_spmm", "relational_aggregate")
public("relational_pna", "relational_aggregate")


def relational_spmm(
    edge_index: Tensor | CSRGraph,
    edge_type: Tensor,
    x: Tensor,
    relation: Tensor,
    *,
    num_nodes: int,
    message: str = "mul",
    reduce: str = "sum",
    edge_weight: Tensor | None = None,
    edge_mask: Tensor | None = None,
    boundary: Boundary | None = None,
    empty: float = 0.0,
) -> Tensor:
    r"""Relational sparse-dense product over a semiring.

    .. math:: out[b, v] = \bigoplus_{e = (u \to v)} w_e \, (x[b, u] \otimes relation[b, type_e]) \;\oplus\; boundary[b, v]

    Args:
        edge_index: int64 ``[2, E]`` (source, target), PyG's ``EdgeIndex``, or a :class:`CSRGraph`, which is sorted once.
        edge_type: int64 ``[E]``, relation of each edge, in ``[0, R)``.
        x: ``[B, N, D]``, float32, float64 or bfloat16 (accumulated in float32).
        relation: ``[R, D]``, or ``[B, R, D]`` for relations that depend on the query.
        num_nodes: N.
        message: ``"mul"`` (DistMult), ``"add"`` (TransE), ``"rotate"`` (RotatE: the first D/2 channels are real parts,
            the others imaginary parts) or ``"min"``.
        reduce: ``"sum"``, ``"mean"`` (by the number of messages, whatever their weights), ``"max"`` or ``"min"``.
        edge_weight: ``[E]``, multiplies the message; may be infinite, not NaN.
        edge_mask: bool ``[E]``, False takes the edge out of this call; the graph is not rebuilt.
        boundary: one more message per node, ``[B, N, D]``, or ``(source int64 [B], value [B, D])`` for zeros everywhere
            but at one node per query.
        empty: value of rows without any message.

    Returns:
        ``[B, N, D]`` in the dtype of ``x``.

    Equal messages share a maximum or minimum: its gradient goes to the boundary if it is among them, else to the edge
    that was given first among those sorted by source. Results do not depend on the number of threads.

    Raises:
        UserError: shapes, dtypes or devices that do not fit, ids out of range, NaN weights.

    Source:
        Zhu et al., Neural Bellman-Ford Networks (NeurIPS 2021), generalized Bellman-Ford iteration.

    Example:
        >>> edges, kind = torch.tensor([[0, 1], [2, 2]]), torch.tensor([0, 1])
        >>> x, relation = torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([[10.0], [100.0]])
        >>> relational_spmm(edges, kind, x, relation, num_nodes=3)[0, :, 0].tolist()
        [0.0, 0.0, 210.0]
    """
    if reduce not in ("sum", "mean", "max", "min"):
        raise UserError(nearest(str(reduce), ["sum", "mean", "max", "min"], "reduce"))
    return _aggregate(
        edge_index, edge_type, x, relation, num_nodes, message, reduce, edge_weight, edge_mask, boundary, empty
    )


def relational_pna(
    edge_index: Tensor | CSRGraph,
    edge_type: Tensor,
    x: Tensor,
    relation: Tensor,
    *,
    num_nodes: int,
    message: str = "mul",
    reduce: str | None = None,
    edge_weight: Tensor | None = None,
    edge_mask: Tensor | None = None,
    boundary: Boundary | None = None,
    empty: float = 0.0,
) -> Tensor:
    r"""Mean, maximum, minimum and standard deviation of the messages, in one pass.

    With the n messages of a node (edges, and the boundary if there is one):

    .. math:: \mu = \tfrac1n \sum m, \quad \sigma = \sqrt{\max(\tfrac1n \sum m^2 - \mu^2,\; 10^{-6})}

    The second moment is that of the real message, whatever ``message`` is.

    Args:
        reduce: not used; accepted so that both operators take the same arguments. The others: see :func:`relational_spmm`.

    Returns:
        ``[B, N, 4, D]``: mean, max, min, std. Rows without any message hold ``empty``.

    Raises:
        UserError: as :func:`relational_spmm`.

    Source:
        Corso et al., Principal Neighbourhood Aggregation (NeurIPS 2020), as used by NBFNet (NeurIPS 2021).

    Example:
        >>> edges, kind = torch.tensor([[0, 1], [2, 2]]), torch.tensor([0, 0])
        >>> x = torch.tensor([[[1.0], [3.0], [0.0]]])
        >>> relational_pna(edges, kind, x, torch.ones(1, 1), num_nodes=3)[0, 2, :, 0].tolist()
        [2.0, 3.0, 1.0, 1.0]
    """
    del reduce
    return _aggregate(
        edge_index, edge_type, x, relation, num_nodes, message, "pna", edge_weight, edge_mask, boundary, empty
    )


def _aggregate(
    edge_index: Tensor | CSRGraph,
    edge_type: Tensor,
    x: Tensor,
    relation: Tensor,
    num_nodes: int,
    message: str,
    reduce: str,
    edge_weight: Tensor | None,
    edge_mask: Tensor | None,
    boundary: Boundary | None,
    empty: float,
) -> Tensor:
    graph = as_csr(edge_index, num_nodes)
    if message not in MESSAGES:
        raise UserError(nearest(str(message), MESSAGES, "message"))
    _check_dense(graph, x, relation, message)
    num_relations = relation.shape[-2]
    _check_edge_values("edge_type", edge_type, graph, (torch.int64, torch.int32))
    kind = graph.by_position(edge_type, torch.int32)
    _check_types(graph, kind, num_relations)
    accumulator = torch.float64 if x.dtype == torch.float64 else torch.float32
    weight = keep = source = value = None
    if edge_weight is not None:
        _check_edge_values("edge_weight", edge_weight, graph, (torch.float32, torch.float64, torch.bfloat16))
        weight = graph.by_position(edge_weight, accumulator)
    if edge_mask is not None:
        _check_edge_values("edge_mask", edge_mask, graph, (torch.bool,))
        keep = graph.by_position(edge_mask, torch.uint8)
    if weight is not None and bool((weight.isnan() if keep is None else weight.isnan() & keep.bool()).any()):
        raise UserError("edge_weight holds NaN, expected numbers; drop those edges with edge_mask")
    if boundary is not None:
        source, value = _check_boundary(graph, x, boundary)
    with_arg = (
        reduce in ("max", "min", "pna")
        and torch.is_grad_enabled()
        and any(t is not None and t.requires_grad for t in (x, relation, weight, value))
    )
    out, _ = call(
        "relational_aggregate", graph.ptr, graph.source, kind, weight, keep, x.contiguous(), relation.contiguous(), source,
        value, graph.t_ptr, graph.t_target, graph.t_position, MESSAGES[message], REDUCES[reduce], float(empty), with_arg,
    )  # fmt: skip
    return out


def _check_dense(graph: CSRGraph, x: Tensor, relation: Tensor, message: str) -> None:
    for name, dense in (("x", x), ("relation", relation)):
        if not isinstance(dense, Tensor):
            raise UserError(
                f"{name} is a {type(dense).__name__}, expected a torch tensor; convert it with torch.as_tensor"
            )
    if x.dim() != 3 or x.shape[1] != graph.num_nodes:
        raise UserError(f"x has shape {tuple(x.shape)}, expected [B, {graph.num_nodes}, D] (queries, nodes, channels)")
    if x.dtype not in (torch.float32, torch.float64, torch.bfloat16):
        raise UserError(f"x has dtype {x.dtype}, expected float32, float64 or bfloat16")
    batches, _, channels = x.shape
    if (
        relation.shape[-1:] != (channels,)
        or relation.dim() not in (2, 3)
        or (relation.dim() == 3 and len(relation) != batches)
    ):
        raise UserError(
            f"relation has shape {tuple(relation.shape)}, expected [R, {channels}] or [{batches}, R, {channels}] to go with x"
        )
    if relation.dtype != x.dtype:
        raise UserError(f"relation has dtype {relation.dtype} and x has {x.dtype}; cast one of them")
    if not relation.device == x.device == graph.device:
        raise UserError(
            f"x is on {x.device}, relation on {relation.device}, the graph on {graph.device}; move them to one device"
        )
    if message == "rotate" and channels % 2:
        raise UserError(
            f"message='rotate' pairs real with imaginary channels, but x has an odd number of channels ({channels})"
        )


def _check_edge_values(name: str, values: Tensor, graph: CSRGraph, dtypes: tuple[torch.dtype, ...]) -> None:
    if not isinstance(values, Tensor):
        raise UserError(
            f"{name} is a {type(values).__name__}, expected a torch tensor; convert it with torch.as_tensor"
        )
    if values.dim() != 1 or len(values) != graph.num_edges:
        raise UserError(f"{name} has shape {tuple(values.shape)}, expected [{graph.num_edges}], one value per edge")
    if values.dtype not in dtypes:
        raise UserError(f"{name} has dtype {values.dtype}, expected {' or '.join(str(d) for d in dtypes)}")
    if values.device != graph.device:
        raise UserError(f"{name} is on {values.device}, the graph on {graph.device}; move them to one device")


def _check_types(graph: CSRGraph, kind: Tensor, num_relations: int) -> None:
    # the sorted ids are remembered by the graph, and with them their bounds
    bounds = getattr(kind, "_graphkit_bounds", None)
    if bounds is None:
        bounds = tuple(int(v) for v in kind.aminmax()) if len(kind) else (0, -1)
        kind._graphkit_bounds = bounds  # type: ignore[attr-defined]
    if bounds[0] < 0 or bounds[1] >= num_relations:
        wrong = bounds[0] if bounds[0] < 0 else bounds[1]
        raise UserError(f"edge_type holds {wrong}, expected ids in [0, {num_relations}), the rows of relation")


def _check_boundary(graph: CSRGraph, x: Tensor, boundary: Boundary) -> tuple[Tensor | None, Tensor]:
    batches, nodes, channels = x.shape
    for part in (boundary,) if isinstance(boundary, Tensor) else boundary:
        if part.device != x.device:
            raise UserError(f"boundary is on {part.device}, x on {x.device}; move them to one device")
    if isinstance(boundary, Tensor):
        if boundary.shape != x.shape or boundary.dtype != x.dtype:
            raise UserError(
                f"boundary is {boundary.dtype} {tuple(boundary.shape)}, expected {x.dtype} {tuple(x.shape)}, as x"
            )
        return None, boundary.contiguous()
    source, value = boundary
    if (
        source.shape != (batches,)
        or source.dtype != torch.int64
        or value.shape != (batches, channels)
        or value.dtype != x.dtype
    ):
        raise UserError(
            f"boundary is ({source.dtype} {tuple(source.shape)}, {value.dtype} {tuple(value.shape)}), "
            f"expected (int64 [{batches}], {x.dtype} [{batches}, {channels}])"
        )
    if batches and not (int(source.min()) >= 0 and int(source.max()) < nodes):
        raise UserError(f"boundary source holds an id outside [0, {nodes}); check the queries' heads")
    return source.contiguous(), value.contiguous()
