"""Exact orbit counts of nodes, edges and pairs: every graphlet with up to four nodes, as sparse integer matrices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, public
from graphkit.ops.csr import CSRGraph
from graphkit.ops.orbit_keys import INT32, check_keys, pair_keys, value_dtype
from graphkit.ops.orbit_matrices import (
    check_memory,
    csr_tensor,
    edge_bases,
    edge_matrices,
    edge_values,
    row_matrices,
    small_pointers,
)
from graphkit.ops.orbit_memory import cut_rows, free_memory, row_bytes
from graphkit.ops.orbits_reference import HOP3_BIT, NEED_CLIQUES, NEED_CYCLES, NEED_SUPPORT, PAIR_KEYS, Key
from graphkit.ops.simple_graph import Dropped, SimpleGraph, as_simple

__all__ = [
    "Edges", "OrbitMatrices", "edge_orbit_counts", "orbit_adjacency", "orbit_adjacency_blocks", "orbit_counts", "orbit_row_blocks",
]  # fmt: skip

public("orbit_counts", "orbit_node_counts")
public("edge_orbit_counts", "orbit_edge_counts")
public("orbit_adjacency", "orbit_rows")
public("orbit_adjacency_blocks", "orbit_rows")

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
    wide = graph.max_degree**2 > INT32
    triangles, bases, *_ = edge_bases(graph, NEED_CLIQUES | NEED_SUPPORT | NEED_CYCLES, wide)
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
    graph, wanted = as_simple(edge_index, num_nodes), check_keys(keys)
    wide, dtype = value_dtype(graph, dtype)
    pairs, hop3 = pair_keys(wanted)
    allowed = free_memory(graph.ptr.device) if memory is None else memory
    if allowed is not None:
        check_memory(graph, wanted, allowed, memory is None, wide)
    out = edge_matrices(graph, wanted, wide, dtype)
    if pairs or hop3:
        bits = sum(1 << PAIR_KEYS.index(key) for key in pairs) | (1 << HOP3_BIT if hop3 else 0)
        out.update(row_matrices(graph, 0, num_nodes, bits, wide, dtype))
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
    graph, wanted = as_simple(edge_index, num_nodes), check_keys(keys)
    wide, dtype = value_dtype(graph, dtype)
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
    graph, wanted = as_simple(edge_index, num_nodes), check_keys(keys)
    return _row_blocks(graph, wanted, graph.max_degree**2 > INT32, memory)


def _row_blocks(graph: SimpleGraph, wanted: list[Key], wide: bool, memory: int) -> list[tuple[int, int]]:
    per_row = row_bytes(graph, wanted, wide)
    ends = cut_rows(per_row, memory // 2)
    if ends is None:
        raise UserError(
            f"memory={memory} is less than the {2 * int(per_row.max())} bytes that two blocks of one row may take; allow more or"
            " ask for fewer keys"
        )
    return list(zip([0, *ends], ends, strict=False))


def _iterate_blocks(
    graph: SimpleGraph, wanted: list[Key], blocks: Sequence[tuple[int, int]], wide: bool, dtype: torch.dtype
) -> Iterator[tuple[int, int, dict[Key, Tensor]]]:
    pairs, hop3 = pair_keys(wanted)
    edges_only = not pairs and not hop3
    bits = sum(1 << PAIR_KEYS.index(key) for key in pairs) | (1 << HOP3_BIT if hop3 else 0)
    on_edges = edge_values(graph, wanted, wide)
    for begin, end in blocks:
        first, last = int(graph.ptr[begin]), int(graph.ptr[end])
        crow = small_pointers(graph.ptr[begin : end + 1] - first, last - first)
        out = {
            key: csr_tensor(crow, graph.col[first:last], value[first:last].to(dtype), graph.num_nodes)
            for key, value in on_edges.items()
        }
        if not edges_only:
            out.update(row_matrices(graph, begin, end, bits, wide, dtype))
        yield begin, end, {key: out[key] for key in wanted}
        del out
