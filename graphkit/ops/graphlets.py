"""What orbits add up to: how often nodes and pairs are in the nine graphlets with up to four nodes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops.orbit_keys import ORBIT_KEYS
from graphkit.ops.orbits import Edges, orbit_adjacency, orbit_counts
from graphkit.ops.orbits_reference import Key
from graphkit.ops.simple_graph import as_simple

__all__ = ["GRAPHLET_ORBITS", "graphlet_adjacency", "graphlet_counts", "graphlet_keys"]

#: the orbits of G0 (edge), G1 (3-path), G2 (triangle), G3 (4-path), G4 (star), G5 (4-cycle), G6 (paw), G7 (diamond), G8 (4-clique)
GRAPHLET_ORBITS: tuple[tuple[int, ...], ...] = (
    (0,), (1, 2), (3,), (4, 5), (6, 7), (8,), (9, 10, 11), (12, 13), (14,),
)  # fmt: skip


def graphlet_keys(graphlet: int) -> list[Key]:
    """The orbit adjacencies of one graphlet, 0 to 8.

    Raises:
        UserError: another number.

    Example:
        >>> graphlet_keys(1)
        [(1, 1, 2), (1, 2, 1), (2, 1, 1)]
    """
    if isinstance(graphlet, bool) or not isinstance(graphlet, int) or not 0 <= graphlet < len(GRAPHLET_ORBITS):
        raise UserError(f"graphlet {graphlet!r}, expected a number from 0 to {len(GRAPHLET_ORBITS) - 1}")
    return [key for key in ORBIT_KEYS if key[1] in GRAPHLET_ORBITS[graphlet]]


def graphlet_counts(edge_index: Edges, *, num_nodes: int) -> Tensor:
    """How many graphlets of each kind every node is in: its graphlet degree vector, summed over each graphlet's orbits.

    Args:
        edge_index, num_nodes: as for :func:`orbit_counts`.

    Returns:
        int64 ``[N, 9]``. A graphlet with k nodes is counted at each of them: the column sum is k times their number.

    Raises:
        UserError: as :func:`orbit_counts`; where a sum of orbit counts could exceed 2^63.

    Example:
        >>> paw = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 3]])
        >>> graphlet_counts(paw, num_nodes=4)[:, 6].tolist()  # all four are in the one paw
        [1, 1, 1, 1]
    """
    graph = as_simple(edge_index, num_nodes)
    if graph.max_degree**3 * 3 >= 2**63:
        raise UserError(
            f"a node has {graph.max_degree} neighbours, so graphlet counts may exceed 2^63 - 1; use orbit_counts"
        )
    counts = orbit_counts(graph, num_nodes=num_nodes)
    return torch.stack([counts[:, list(orbits)].sum(1) for orbits in GRAPHLET_ORBITS], 1)


def graphlet_adjacency(
    edge_index: Edges, *, num_nodes: int, graphlets: Iterable[int] | None = None, memory: int | None = None
) -> dict[int, Tensor]:
    r"""How many graphlets of a kind contain both of two nodes.

    .. math:: A_G(u, v) = \sum_{(h, i, j) \text{ of } G} M_{h,i,j}(u, v)

    Args:
        edge_index, num_nodes, memory: as for :func:`orbit_adjacency`, for the orbit adjacencies of one graphlet.
        graphlets: which of 0 to 8; None: all nine.

    Returns:
        ``{graphlet: sparse CSR tensor [N, N], int64}``, symmetric, without stored zeros.

    Raises:
        UserError: as :func:`orbit_adjacency`; an unknown graphlet.

    Source:
        Windels, Malod-Dognin, Przulj, Graphlet Laplacians for topology-function and topology-disease relationships
        (Bioinformatics 2019).

    Example:
        >>> path = torch.tensor([[0, 1], [1, 2]])
        >>> graphlet_adjacency(path, num_nodes=3, graphlets=[1])[1].to_dense().tolist()
        [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    graph = as_simple(edge_index, num_nodes)
    wanted = list(dict.fromkeys(range(len(GRAPHLET_ORBITS)) if graphlets is None else graphlets))
    keys = {graphlet: graphlet_keys(graphlet) for graphlet in wanted}
    return {graphlet: _sum(graph, num_nodes, some, memory) for graphlet, some in keys.items()}


def _sum(graph: Edges, num_nodes: int, keys: list[Key], memory: int | None) -> Tensor:
    from graphkit.ops.sparse_exchange import to_scipy

    found = orbit_adjacency(graph, num_nodes=num_nodes, keys=keys, memory=memory)
    total, *rest = [to_scipy(found.pop(key)).astype("int64") for key in keys]
    for one in rest:
        total = total + one
    total.sort_indices()
    crow, col, values = (torch.from_numpy(part) for part in (total.indptr, total.indices, total.data))
    return torch.sparse_csr_tensor(crow, col, values, (num_nodes, num_nodes), check_invariants=False)
