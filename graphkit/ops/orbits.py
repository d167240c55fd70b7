"""Exact orbit counts of nodes, edges and pairs: every graphlet with up to four nodes, as sparse integer matrices."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, public
from graphkit.ops.csr import CSRGraph
from graphkit.ops.orbits_reference import (
    EDGE_KEYS,
    HOP3_BIT,
    NEED_CLIQUES,
    NEED_CYCLES,
    NEED_LISTS,
    NEED_SUPPORT,
    PAIR_KEYS,
    Key,
)
from graphkit.ops.simple_graph import Dropped, SimpleGraph, as_simple

__all__ = [
    "ORBIT_KEYS", "OrbitMatrices", "edge_orbit_counts", "orbit_adjacency", "orbit_adjacency_blocks", "orbit_adjacency_matvec",
    "orbit_counts", "orbit_multiplicity", "orbit_row_blocks",
]  # fmt: skip

#: the 28 orbit adjacencies (hop, i, j), graphlet after graphlet
ORBIT_KEYS: tuple[Key, ...] = (
    (1, 0, 0), (1, 1, 2), (1, 2, 1), (2, 1, 1), (1, 3, 3), (1, 4, 5), (1, 5, 4), (1, 5, 5), (2, 4, 5), (2, 5, 4), (3, 4, 4),
    (1, 6, 7), (1, 7, 6), (2, 6, 6), (1, 8, 8), (2, 8, 8), (1, 9, 11), (1, 11, 9), (1, 10, 10), (1, 10, 11), (1, 11, 10),
    (2, 9, 10), (2, 10, 9), (1, 12, 13), (1, 13, 12), (1, 13, 13), (2, 12, 12), (1, 14, 14),
)  # fmt: skip

_MULTIPLICITY = {
    (1, 2, 1): 2, (1, 3, 3): 2, (1, 7, 6): 3, (2, 6, 6): 2, (1, 8, 8): 2, (1, 11, 10): 2, (2, 9, 10): 2, (1, 12, 13): 2,
    (1, 13, 12): 2, (1, 14, 14): 3,
}  # fmt: skip
_HOP3: Key = (3, 4, 4)
#: largest integer up to which a dtype holds every integer
_EXACT = {
    torch.int32: 2**31 - 1, torch.int64: 2**63 - 1, torch.float32: 2**24, torch.float64: 2**53,
}  # fmt: skip
_INT32 = 2**31 - 1
_NEEDS = {
    **dict.fromkeys([(1, 13, 13), (1, 14, 14)], NEED_CLIQUES),
    **dict.fromkeys(
        [(1, 12, 13), (1, 13, 12), (1, 10, 10), (1, 10, 11), (1, 11, 10), (1, 9, 11), (1, 11, 9), (1, 6, 7), (1, 7, 6)],
        NEED_CLIQUES | NEED_SUPPORT,
    ),
    **dict.fromkeys([(1, 8, 8), (1, 5, 5), (1, 4, 5), (1, 5, 4)], NEED_CLIQUES | NEED_SUPPORT | NEED_CYCLES),
}

public("orbit_counts", "orbit_node_counts")
public("edge_orbit_counts", "orbit_edge_counts")
public("orbit_adjacency", "orbit_rows")
public("orbit_adjacency_blocks", "orbit_rows")
public("orbit_adjacency_matvec", "orbit_edge_bases")

Edges = Tensor | CSRGraph | SimpleGraph


class OrbitMatrices(dict[Key, Tensor]):
    """Orbit adjacencies by key, and what was dropped from the edges they were counted on.

    Attributes:
        info: :class:`Dropped`: self-loops, duplicates and edges stored one way.

    Example:
        >>> orbit_adjacency(torch.tensor([[0, 1, 1], [1, 0, 1]]), num_nodes=2).info
        Dropped(self_loops=1, duplicates=0, one_way=0)
    """

    def __init__(self, matrices: dict[Key, Tensor], info: Dropped) -> None:
        super().__init__(matrices)
        self.info = info


def orbit_multiplicity(key: Key) -> int:
    """How many nodes on orbit j lie at distance h from one node on orbit i in the graphlet of a key (h, i, j).

    The row sum of an orbit adjacency is this times the orbit count: ``M[h, i, j].sum(1) = mult * orbit_counts[:, i]``.

    Raises:
        UserError: not one of ORBIT_KEYS.

    Example:
        >>> orbit_multiplicity((1, 7, 6)), orbit_multiplicity((1, 6, 7))  # a star has three leaves and one centre
        (3, 1)
    """
    return _MULTIPLICITY.get(_check_keys([key])[0], 1)


def orbit_counts(edge_index: Edges, *, num_nodes: int) -> Tensor:
    r"""How often each node lies on each of the 15 orbits of the graphlets with up to four nodes.

    A graphlet is a connected induced subgraph; the graph is taken as undirected, loops and copies are dropped.

    Args:
        edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex``, a :class:`CSRGraph` or a :class:`SimpleGraph`.
        num_nodes: N.

    Returns:
        int64 ``[N, 15]``, the graphlet degree vectors; columns in the usual numbering of the orbits.

    Time grows with the sum over edges of the smaller degree: hubs cost what their neighbours have, not their square.

    Raises:
        UserError: bad edges; a largest degree whose cube exceeds 2^63 (about 2.1 million), as counts could overflow.

    Source:
        Przulj, Biological network comparison using graphlet degree distribution (Bioinformatics 2007), figure 1.

    Example:
        >>> star = torch.tensor([[0, 0, 0], [1, 2, 3]])
        >>> orbit_counts(star, num_nodes=4)[0].nonzero().squeeze(1).tolist()  # an edge, a middle, a centre
        [0, 2, 7]
    """
    graph = as_simple(edge_index, num_nodes)
    bound = graph.max_degree**3
    if bound >= 2**63:
        raise UserError(
            f"a node has {graph.max_degree} neighbours, so orbit counts may reach {bound}, above 2^63 - 1; drop the hub or count"
            " the values of edges and pairs, which stay below the square of the degree"
        )
    return call("orbit_node_counts", graph.ptr, graph.col)


def edge_orbit_counts(edge_index: Edges, *, num_nodes: int) -> tuple[Tensor, Tensor]:
    """How often each edge lies on each of the 12 edge orbits of the graphlets with three and four nodes.

    An edge orbit is named by the orbits of its ends. Columns: 1-2 and 3-3 (3-path, triangle); 4-5 and 5-5 (4-path);
    6-7 (star); 8-8 (4-cycle); 9-11, 10-10 and 10-11 (paw); 12-13 and 13-13 (diamond); 14-14 (4-clique).

    Args:
        edge_index, num_nodes: as for :func:`orbit_counts`.

    Returns:
        edges: int64 ``[2, M]``, each edge once, ``edges[0] < edges[1]``, sorted; counts: int64 ``[M, 12]``.

    Raises:
        UserError: bad edges.

    Source:
        Hocevar and Demsar, Combinatorial algorithm for counting small induced graphs and orbits (PLoS ONE 2017).

    Example:
        >>> edges, counts = edge_orbit_counts(torch.tensor([[0, 1, 2, 2], [1, 2, 0, 3]]), num_nodes=4)  # a paw
        >>> edges.t().tolist()
        [[0, 1], [0, 2], [1, 2], [2, 3]]
        >>> counts[:, 6:9].tolist()  # tail, base and side of the paw
        [[0, 1, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0]]
    """
    graph = as_simple(edge_index, num_nodes)
    wide = graph.max_degree**2 > _INT32
    triangles, bases, *_ = _bases(graph, NEED_CLIQUES | NEED_SUPPORT | NEED_CYCLES, wide)
    return call("orbit_edge_counts", graph.ptr, graph.col, triangles, bases)


def orbit_adjacency(
    edge_index: Edges,
    *,
    num_nodes: int,
    keys: Iterable[Key] | None = None,
    dtype: torch.dtype | None = None,
    memory: int | None = None,
) -> OrbitMatrices:
    r"""Orbit adjacency matrices.

    .. math:: M_{h,i,j}(u, v) = \#\{\text{graphlets with } u \text{ on orbit } i,\; v \text{ on orbit } j,\;
        u \text{ and } v \text{ at distance } h \text{ inside the graphlet}\}

    Args:
        edge_index, num_nodes: as for :func:`orbit_counts`.
        keys: which of ORBIT_KEYS, (hop, i, j); all 28 by default. Only what they need is computed.
        dtype: of the values: int32, int64, float32 or float64. By default int32 where the square of the largest degree,
            which no value exceeds, fits, else int64.
        memory: bytes that the result may take; by default what the machine, or the device, has free. (3, 4, 4) alone is
            close to dense on small-world graphs, 8 bytes for each of N^2 pairs.

    Returns:
        ``{key: sparse CSR tensor [N, N]}``, in the order of the keys. Matrices of hop 1 share one pattern, the edges, and
        those of hop 2 another, the pairs at distance 2, so a stored value may be 0; (3, 4, 4) stores none. The patterns
        are the same tensors: do not write into them. ``.info`` says what was dropped from the edges.

    Raises:
        UserError: bad edges, an unknown key, a dtype that cannot hold the bound, more memory than allowed.

    Source:
        Windels, Malod-Dognin, Przulj, Graphlets correct for the topological information missed by random walks
        (arXiv 2405.14194).

    Example:
        >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> orbit_adjacency(path, num_nodes=4, keys=[(3, 4, 4)])[3, 4, 4].to_dense().nonzero().tolist()
        [[0, 3], [3, 0]]
    """
    graph, wanted = as_simple(edge_index, num_nodes), _check_keys(keys)
    wide, dtype = _value_dtype(graph, dtype)
    pairs, hop3 = _pair_keys(wanted)
    allowed = _free_memory(graph.ptr.device) if memory is None else memory
    if allowed is not None:
        _check_memory(graph, wanted, allowed, memory is None, wide)
    out = _edge_matrices(graph, wanted, wide, dtype)
    if pairs or hop3:
        bits = sum(1 << PAIR_KEYS.index(key) for key in pairs) | (1 << HOP3_BIT if hop3 else 0)
        out.update(_row_matrices(graph, 0, num_nodes, bits, wide, dtype))
    return OrbitMatrices({key: out[key] for key in wanted}, graph.info)


def orbit_adjacency_blocks(
    edge_index: Edges,
    *,
    num_nodes: int,
    keys: Iterable[Key] | None = None,
    dtype: torch.dtype | None = None,
    memory: int = 2**30,
    rows: Sequence[tuple[int, int]] | None = None,
) -> Iterator[tuple[int, int, dict[Key, Tensor]]]:
    """Orbit adjacencies in blocks of rows, for graphs whose matrices do not fit into memory.

    Args:
        edge_index, num_nodes, keys, dtype: as for :func:`orbit_adjacency`.
        memory: bytes for the blocks, the one in hand and the next. The graph, its triangles and the scratch of the
            threads come on top: about 100 bytes per edge, 24 per triangle, 40 to 250 per node and thread.
        rows: ranges (row_start, row_end) to make, such as some of :func:`orbit_row_blocks`; None: all of those.
            ``memory`` does not bind then.

    Yields:
        ``(row_start, row_end, {key: sparse CSR tensor [row_end - row_start, N]})``, in the order of ``rows``; by default
        rows rise, and together they are the matrices of :func:`orbit_adjacency`.

    Raises:
        UserError: as :func:`orbit_adjacency`; memory for less than one row; rows that the graph does not have.

    Example:
        >>> ring = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
        >>> total = 0
        >>> for start, end, block in orbit_adjacency_blocks(ring, num_nodes=6, keys=[(3, 4, 4)], memory=400):
        ...     total += int(block[3, 4, 4].values().sum())
        >>> total
        12
    """
    graph, wanted = as_simple(edge_index, num_nodes), _check_keys(keys)
    wide, dtype = _value_dtype(graph, dtype)
    blocks = _row_blocks(graph, wanted, wide, memory) if rows is None else [(int(a), int(b)) for a, b in rows]
    for begin, end in blocks:
        if not 0 <= begin < end <= num_nodes:
            raise UserError(f"rows hold ({begin}, {end}), expected 0 <= row_start < row_end <= {num_nodes}")
    return _iterate_blocks(graph, wanted, blocks, wide, dtype)


def orbit_row_blocks(
    edge_index: Edges, *, num_nodes: int, keys: Iterable[Key] | None = None, memory: int = 2**30
) -> list[tuple[int, int]]:
    """The ranges of rows in which :func:`orbit_adjacency_blocks` goes through a graph; nothing is counted.

    They depend on the graph, the keys and ``memory`` alone, so that work on them can be divided and taken up again.

    Args:
        edge_index, num_nodes, keys, memory: as for :func:`orbit_adjacency_blocks`.

    Raises:
        UserError: bad edges, an unknown key, memory for less than one row.

    Example:
        >>> ring = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
        >>> blocks = orbit_row_blocks(ring, num_nodes=6, keys=[(3, 4, 4)], memory=400)
        >>> blocks[0][0], blocks[-1][1], len(blocks) > 1
        (0, 6, True)
    """
    graph, wanted = as_simple(edge_index, num_nodes), _check_keys(keys)
    return _row_blocks(graph, wanted, graph.max_degree**2 > _INT32, memory)


def _row_blocks(graph: SimpleGraph, wanted: list[Key], wide: bool, memory: int) -> list[tuple[int, int]]:
    per_row = _row_bytes(graph, wanted, wide)
    ends = _cut_rows(per_row, memory // 2)
    if ends is None:
        raise UserError(
            f"memory={memory} is less than the {2 * int(per_row.max())} bytes that two blocks of one row may take; allow more or"
            " ask for fewer keys"
        )
    return list(zip([0, *ends], ends, strict=False))


def _iterate_blocks(
    graph: SimpleGraph, wanted: list[Key], blocks: Sequence[tuple[int, int]], wide: bool, dtype: torch.dtype
) -> Iterator[tuple[int, int, dict[Key, Tensor]]]:
    pairs, hop3 = _pair_keys(wanted)
    edges_only = not pairs and not hop3
    bits = sum(1 << PAIR_KEYS.index(key) for key in pairs) | (1 << HOP3_BIT if hop3 else 0)
    edge_values = _edge_values(graph, wanted, wide)
    for begin, end in blocks:
        first, last = int(graph.ptr[begin]), int(graph.ptr[end])
        crow = _small(graph.ptr[begin : end + 1] - first, last - first)
        out = {
            key: _csr(crow, graph.col[first:last], value[first:last].to(dtype), graph.num_nodes)
            for key, value in edge_values.items()
        }
        if not edges_only:
            out.update(_row_matrices(graph, begin, end, bits, wide, dtype))
        yield begin, end, {key: out[key] for key in wanted}
        del out


def orbit_adjacency_matvec(edge_index: Edges, vector: Tensor, *, num_nodes: int, key: Key) -> Tensor:
    """An orbit adjacency times a vector, without the matrix where it is linear in products of sparse matrices.

    That holds for all keys but (2, 8, 8), (2, 4, 5) and (2, 5, 4), whose rows are made block by block and dropped. What
    the products need is kept on a :class:`SimpleGraph`, ``CSRGraph`` or ``EdgeIndex``: pass one of these, not a plain
    tensor, to multiply again and again.

    Args:
        edge_index, num_nodes: as for :func:`orbit_counts`.
        vector: ``[N]`` or ``[N, D]``, int64 or int32 (exact), float64, or float32 (computed in float64). Differentiable.
        key: one of ORBIT_KEYS.

    Returns:
        ``M[key] @ vector``, in the shape and dtype of ``vector``.

    Raises:
        UserError: bad edges, an unknown key, a vector that does not fit.

    Example:
        >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> orbit_adjacency_matvec(path, torch.tensor([1, 10, 100, 1000]), num_nodes=4, key=(3, 4, 4)).tolist()
        [1000, 0, 0, 1]
    """
    graph, wanted = as_simple(edge_index, num_nodes), _check_keys([key])[0]
    if not isinstance(vector, Tensor) or vector.dim() not in (1, 2) or vector.shape[0] != num_nodes:
        shape = tuple(vector.shape) if isinstance(vector, Tensor) else type(vector).__name__
        raise UserError(f"vector is {shape}, expected a tensor [{num_nodes}] or [{num_nodes}, D], one row per node")
    if vector.dtype not in _EXACT:
        raise UserError(f"vector has dtype {vector.dtype}, expected int32, int64, float32 or float64")
    if vector.device != graph.ptr.device:
        raise UserError(f"vector is on {vector.device}, the graph on {graph.ptr.device}; move them to one device")
    return _Matvec.apply(vector, graph, wanted)


class _Matvec(torch.autograd.Function):
    """Linear: the gradient is the product with the transpose, which is the key with its orbits swapped."""

    @staticmethod
    def forward(ctx: Any, vector: Tensor, graph: SimpleGraph, key: Key) -> Tensor:
        ctx.graph, ctx.key = graph, key
        work = vector.detach().to(torch.float64 if vector.is_floating_point() else torch.int64)
        out = _multiply(graph, key, work[:, None] if work.dim() == 1 else work)
        return out.view(vector.shape).to(vector.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        hop, i, j = ctx.key
        return _Matvec.apply(grads[0], ctx.graph, (hop, j, i)), None, None


# ---------------------------------------------------------------- keys, dtypes, memory


def _check_keys(keys: Iterable[Key] | None) -> list[Key]:
    if keys is None:
        return list(ORBIT_KEYS)
    known = set(ORBIT_KEYS)
    wanted: dict[Key, None] = {}
    for key in keys:
        try:
            hop, i, j = (int(part) for part in key)
        except (TypeError, ValueError):
            raise UserError(f"orbit key {key!r}, expected (hop, i, j) such as (1, 4, 5)") from None
        if (hop, i, j) not in known:
            raise UserError(
                f"unknown orbit key {(hop, i, j)}, expected one of "
                + ", ".join(":".join(map(str, k)) for k in ORBIT_KEYS)
            )
        wanted[hop, i, j] = None
    return list(wanted)


def _pair_keys(wanted: list[Key]) -> tuple[list[Key], bool]:
    return [key for key in wanted if key[0] == 2], _HOP3 in wanted


def _value_dtype(graph: SimpleGraph, dtype: torch.dtype | None) -> tuple[bool, torch.dtype]:
    """Whether the counting needs 64 bits, and the dtype of the result."""
    bound = graph.max_degree**2
    wide = bound > _INT32
    if dtype is None:
        dtype = torch.int64 if wide else torch.int32
    if dtype not in _EXACT:
        raise UserError(f"dtype is {dtype}, expected torch.int32, int64, float32 or float64")
    if bound > _EXACT[dtype]:
        raise UserError(
            f"a node has {graph.max_degree} neighbours, so values may reach {bound}, which {dtype} does not hold exactly; use"
            " a wider dtype, or none to let it be chosen"
        )
    return wide, dtype


def _free_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:")), None)
    except OSError:
        return None


def _row_bound(graph: SimpleGraph, hop: int) -> Tensor:
    """Upper bound of the stored entries of each row at hop 2, or of (3, 4, 4), int64 ``[N]``."""
    return torch.minimum(graph.num_nodes - 1 - graph.degree, _walks(graph, hop))


def _walks(graph: SimpleGraph, steps: int) -> Tensor:
    """Walks from each node that do not turn back in their last step; only as far as a caller needs them."""
    kept: Tensor | None = graph.derived.get(("walks", steps))
    if kept is None:
        rest = graph.degree - 1 if steps == 2 else _walks(graph, steps - 1)
        graph.derived["walks", steps] = kept = _row_sums(graph.ptr, rest.index_select(0, graph.col))
    return kept


def _row_sums(ptr: Tensor, values: Tensor) -> Tensor:
    total = values.new_zeros(len(values) + 1)
    torch.cumsum(values, 0, out=total[1:])
    return total[ptr].diff()


def _row_bytes(graph: SimpleGraph, wanted: list[Key], wide: bool, rows: dict[int, Tensor] | None = None) -> Tensor:
    """Bytes that the rows of the result take at most, int64 ``[N]``; or exactly, from the stored entries of each row."""
    size = 8 if wide else 4
    pairs, hop3 = _pair_keys(wanted)

    def stored(hop: int) -> Tensor:
        return _row_bound(graph, hop) if rows is None else rows[hop]

    total = graph.degree * size * sum(key[0] == 1 for key in wanted) + 16
    if pairs or hop3:
        total = total + stored(2) * (4 + size * len(pairs))
    return total + stored(3) * (4 + size) if hop3 else total


def _cut_rows(per_row: Tensor, most: int) -> list[int] | None:
    """Ends of runs of rows with at most `most` bytes each; None if a row takes more."""
    if not len(per_row):
        return []
    if int(per_row.max()) > most:
        return None
    total = per_row.cpu().cumsum(0)
    ends: list[int] = []
    before = 0
    while not ends or ends[-1] < len(per_row):
        end = int(torch.searchsorted(total, torch.tensor(before + most), right=True))
        ends.append(end)
        before = int(total[end - 1])
    return ends


_SAMPLES = 32
_BLOCK_BYTES = 2**28  # for products that go row block by row block


def _check_memory(graph: SimpleGraph, wanted: list[Key], allowed: int, is_free: bool, wide: bool) -> None:
    """Refuses what would not fit: by the bounds if they are small enough, else by rows spread over the graph."""
    if int(_row_bytes(graph, wanted, wide).sum()) <= allowed:
        return
    _, hop3 = _pair_keys(wanted)
    bounds = {hop: _row_bound(graph, hop) for hop in ((2, 3) if hop3 else (2,))}
    _bases(graph, _need(wanted) | NEED_LISTS, wide)
    # rows are sampled where the bounds are: equal steps of their running sum
    running = torch.stack(list(bounds.values())).sum(0).cumsum(0)
    spread = torch.arange(_SAMPLES, dtype=torch.float64, device=running.device).add(0.5).div(_SAMPLES)
    at = torch.searchsorted(running, (spread * int(running[-1])).long()).clamp(max=graph.num_nodes - 1)
    ratios: dict[int, float] = dict.fromkeys(bounds, 0.0)
    for row in at.tolist():
        crow2, _, _, crow3, *_ = _call_rows(graph, row, row + 1, 1 << HOP3_BIT if hop3 else 0, wide)
        for hop, crow in zip(bounds, (crow2, crow3), strict=False):
            ratios[hop] += int(crow[-1]) / max(int(bounds[hop][row]), 1) / len(at)
    stored = {hop: (bound * ratios[hop]).long() for hop, bound in bounds.items()}
    expected = int(_row_bytes(graph, wanted, wide, stored).sum())
    if expected > allowed:
        limit = "free" if is_free else "allowed"
        raise UserError(
            f"the {len(wanted)} orbit adjacencies would take about {expected / 2**30:.2f} GiB, but {allowed / 2**30:.2f} GiB"
            f" are {limit}; ask for fewer keys or use orbit_adjacency_blocks"
        )


# ---------------------------------------------------------------- matrices


def _bases(graph: SimpleGraph, need: int, wide: bool) -> tuple[Tensor, ...]:
    """The edge sums that `need` asks for; what was computed for this graph before is used again."""
    known: dict[int, tuple[Tensor, ...]] = graph.derived.setdefault(("bases", wide), {})
    for had, kept in known.items():
        if had & need == need:
            return kept
    for had in known:
        need |= had
    known.clear()
    known[need] = made = call("orbit_edge_bases", graph.ptr, graph.col, need, wide)
    return made


def _small(pointers: Tensor, entries: int) -> Tensor:
    return pointers.to(torch.int32) if entries <= _INT32 else pointers


def _csr(crow: Tensor, col: Tensor, values: Tensor, columns: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*CSR tensor support is in beta.*")
        return torch.sparse_csr_tensor(
            crow, col if col.dtype == crow.dtype else col.to(crow.dtype), values, (len(crow) - 1, columns),
            check_invariants=False,
        )  # fmt: skip


def _need(wanted: list[Key]) -> int:
    """The sums that all keys together need, so that triangles are listed once."""
    need = NEED_LISTS if any(key[0] > 1 for key in wanted) else 0
    for key in wanted:
        need |= _NEEDS.get(key, 0)
    return need


def _edge_values(graph: SimpleGraph, wanted: list[Key], wide: bool) -> dict[Key, Tensor]:
    keys = [key for key in EDGE_KEYS if key in wanted]
    if not keys:
        return {}
    triangles, bases, *_ = _bases(graph, _need(wanted), wide)
    bits = sum(1 << EDGE_KEYS.index(key) for key in keys)
    return dict(zip(keys, call("orbit_edge_values", graph.ptr, graph.col, triangles, bases, bits), strict=True))


def _edge_matrices(graph: SimpleGraph, wanted: list[Key], wide: bool, dtype: torch.dtype) -> dict[Key, Tensor]:
    crow = _small(graph.ptr, len(graph.col))
    values = _edge_values(graph, wanted, wide)
    return {key: _csr(crow, graph.col, value.to(dtype), graph.num_nodes) for key, value in values.items()}


def _call_rows(graph: SimpleGraph, begin: int, end: int, bits: int, wide: bool) -> tuple[Any, ...]:
    triangles, _, *lists = _bases(graph, NEED_LISTS, wide)
    return call("orbit_rows", graph.ptr, graph.col, triangles, *lists, begin, end, bits, wide)


def _used(values: Tensor, size: int) -> Tensor:
    """The first entries, in storage of that size: what lies behind was reserved and never touched."""
    if values.device.type != "cpu":
        return values if len(values) == size else values[:size].clone()
    return torch.from_numpy(values.numpy()[:size])


def _row_matrices(
    graph: SimpleGraph, begin: int, end: int, bits: int, wide: bool, dtype: torch.dtype
) -> dict[Key, Tensor]:
    keys = [key for i, key in enumerate(PAIR_KEYS) if bits >> i & 1]
    hop3 = bool(bits >> HOP3_BIT & 1)
    parts = [_call_rows(graph, first, last, bits, wide) for first, last in _reservable(graph, begin, end, bits, wide)]
    out: dict[Key, Tensor] = {}
    if keys:
        crow, col = _joined([(p[0], p[1]) for p in parts])
        for k, key in enumerate(keys):
            values = [p[2][k] for p in parts]
            out[key] = _csr(
                crow, col, (values[0] if len(values) == 1 else torch.cat(values)).to(dtype), graph.num_nodes
            )
    if hop3:
        crow, col = _joined([(p[3], p[4]) for p in parts])
        values = [_used(p[5], int(p[3][-1])) for p in parts]
        out[_HOP3] = _csr(crow, col, (values[0] if len(values) == 1 else torch.cat(values)).to(dtype), graph.num_nodes)
    return out


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Pointers and columns of consecutive blocks of rows as one, in one integer dtype."""
    sizes = [int(crow[-1]) for crow, _ in parts]
    col = [_used(col, size) for (_, col), size in zip(parts, sizes, strict=True)]
    crow, before = [parts[0][0][:1]], 0
    for (pointers, _), size in zip(parts, sizes, strict=True):
        crow.append(pointers[1:] + before)
        before += size
    return _small(torch.cat(crow), before), col[0] if len(col) == 1 else torch.cat(col)


def _reservable(graph: SimpleGraph, begin: int, end: int, bits: int, wide: bool) -> list[tuple[int, int]]:
    """Ranges of rows whose bounds the system lets a process reserve; nearly always all rows at once."""
    if graph.ptr.is_cuda:  # nothing is reserved there: rows are counted before they are listed
        return [(begin, end)]
    try:
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        most = 2**33
    larger = _row_bound(graph, 2)[begin:end]
    if bits >> HOP3_BIT & 1:
        larger = torch.maximum(larger, _row_bound(graph, 3)[begin:end])
    larger = larger * (8 if wide else 4)
    if int(larger.sum()) <= most:
        return [(begin, end)]
    ends = _cut_rows(larger, max(most, int(larger.max()))) or []
    return [(begin + first, begin + last) for first, last in zip([0, *ends], ends, strict=False)]


# ---------------------------------------------------------------- products


class _Products:
    """Sparse matrices of one graph as functions of a dense matrix [N, D]."""

    def __init__(self, graph: SimpleGraph, dtype: torch.dtype) -> None:
        self.graph, self.dtype = graph, dtype
        self.wide = graph.max_degree**2 > _INT32
        self.triangles, bases, self.com_ptr, self.com, self.opp_ptr, self.opp = _bases(
            graph, NEED_CLIQUES | NEED_SUPPORT | NEED_CYCLES | NEED_LISTS, self.wide
        )
        self.cliques, self.support, self.support_t, self.degrees, self.cycles = bases.unbind(0)
        self.t = _row_sums(graph.ptr, self.triangles.long()) // 2
        self.kept: dict[str, Tensor] = {}

    def csr(self, name: str, ptr: Tensor, col: Tensor, values: Tensor | None, columns: int, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            row = torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff())
            terms = x[col.long()] if values is None else x[col.long()] * values.long()[:, None]
            return x.new_zeros(len(ptr) - 1, x.shape[1]).index_add_(0, row, terms)
        if name not in self.kept:
            weights = torch.ones(len(col), dtype=self.dtype, device=col.device) if values is None else values.to(self.dtype)
            self.kept[name] = _csr(_small(ptr, len(col)), col, weights, columns)
        return self.kept[name] @ x

    def edges(self, name: str, values: Tensor | None, x: Tensor) -> Tensor:
        return self.csr(name, self.graph.ptr, self.graph.col, values, self.graph.num_nodes, x)

    def adjacency(self, x: Tensor) -> Tensor:
        return self.edges("A", None, x)

    def triangle(self, x: Tensor) -> Tensor:
        return self.edges("T", self.triangles, x)

    def scale(self, factor: Tensor, x: Tensor) -> Tensor:
        return factor.to(x.dtype)[:, None] * x

    def common(self, x: Tensor) -> Tensor:
        """(2, 1, 1): common neighbours of pairs that are not adjacent."""
        return self.adjacency(self.adjacency(x)) - self.scale(self.graph.degree, x) - self.triangle(x)

    def diamonds(self, x: Tensor) -> Tensor:
        """(2, 12, 12), from the lists of common neighbours: their product also counts 4-cliques, and the diagonal."""
        lists = self.csr("com", self.com_ptr, self.com, None, self.graph.num_nodes, x)
        both = (
            self.csr("opp", self.opp_ptr, self.opp, None, max(self.graph.num_edges, 1), lists) if len(lists) else x * 0
        )
        return both - self.scale(self.t, x) - self.edges("K", self.cliques, x)

    def tails(self, x: Tensor) -> Tensor:
        """(2, 9, 10)"""
        out = self.adjacency(self.triangle(x)) - self.scale(2 * self.t, x) - self.edges("S", self.support, x)
        return out - 2 * self.diamonds(x)

    def tails_t(self, x: Tensor) -> Tensor:
        """(2, 10, 9)"""
        out = self.triangle(self.adjacency(x)) - self.scale(2 * self.t, x) - self.edges("R", self.support_t, x)
        return out - 2 * self.diamonds(x)

    def leaves(self, x: Tensor) -> Tensor:
        """(2, 6, 6)"""
        others = self.graph.degree - 2
        own = _row_sums(self.graph.ptr, others.index_select(0, self.graph.col))
        out = self.adjacency(self.scale(others, self.adjacency(x))) - self.scale(own, x)
        out = out - self.edges("D", self.degrees - 2 * self.triangles, x)
        return out - self.tails(x) - self.tails_t(x) - 2 * self.diamonds(x)

    def ends(self, x: Tensor) -> Tensor:
        """(3, 4, 4): three steps, the first two to a node at distance 2, less the walks that come back to an edge."""
        open_ends = self.graph.degree[self.graph.col.long()] - 1 - self.triangles  # (1, 1, 2)
        rims = self.support - self.triangles - 2 * self.cliques  # (1, 12, 13)
        rims_t = self.support_t - self.triangles - 2 * self.cliques
        cycles = self.cycles - rims - rims_t - 2 * self.cliques  # (1, 8, 8)
        return self.common(self.adjacency(x)) - self.edges("H", open_ends + cycles + rims, x) - self.tails(x)


_IMPLICIT = {
    (2, 1, 1): _Products.common, (2, 12, 12): _Products.diamonds, (2, 9, 10): _Products.tails, (2, 10, 9): _Products.tails_t,
    (2, 6, 6): _Products.leaves, (3, 4, 4): _Products.ends,
}  # fmt: skip


def _multiply(graph: SimpleGraph, key: Key, x: Tensor) -> Tensor:
    if key in _IMPLICIT:
        name = ("products", x.dtype)
        if name not in graph.derived:
            graph.derived[name] = _Products(graph, x.dtype)
        return _IMPLICIT[key](graph.derived[name], x)
    out = x.new_zeros(x.shape)
    for begin, end, block in orbit_adjacency_blocks(graph, num_nodes=graph.num_nodes, keys=[key], memory=_BLOCK_BYTES):
        matrix = block[key]
        if x.is_floating_point():
            out[begin:end] = _csr(matrix.crow_indices(), matrix.col_indices(), matrix.values().to(x.dtype), len(x)) @ x
        else:
            rows = torch.repeat_interleave(
                torch.arange(begin, end, device=x.device), matrix.crow_indices().diff().long()
            )
            out.index_add_(0, rows, x[matrix.col_indices().long()] * matrix.values().to(x.dtype)[:, None])
    return out
