"""What other counters find on a graph; run by the Python of an environment that has them (they need numpy below 2).

python orbit_peers.py gradco|orbit-count|pyfglt GRAPH.npz OUT.npz     (GRAPH.npz: n, edges [M, 2])
"""

import sys

import numpy as np


def gradco(n, edges):
    import gradco
    import scipy.sparse as sparse

    row, col = np.concatenate([edges, edges[:, ::-1]]).T
    counter = gradco.Counter(sparse.csr_array((np.ones(len(row), dtype=np.int64), (row, col)), shape=(n, n)))
    counter.count()
    found = {}
    for hop, i, j, matrix in counter.generate_orbit_adjacencies():
        coo = sparse.coo_array(matrix)
        found[f"{hop}_{i}_{j}"] = np.stack([coo.row, coo.col, coo.data]).astype(np.int64)
    return found


def orbit_count(n, edges):
    from orbit_count import _orca

    pairs = np.ascontiguousarray(edges.astype(int))
    return {kind: np.array(_orca.motif_counts(kind, 4, n, pairs), dtype=np.int64) for kind in ("node", "edge")}


def pyfglt(n, edges):
    import pyfglt.fglt as fglt
    import scipy.sparse as sparse

    row, col = np.concatenate([edges, edges[:, ::-1]]).T
    counts = fglt.compute(sparse.csc_matrix((np.ones(len(row)), (row, col)), shape=(n, n))).values[:, 1:]
    order = [0, 1, 2, 3, 4, 5, 6, 7, 11, 8, 9, 10, 12, 13, 14]  # it lists the paw before the 4-cycle
    return {"node": np.rint(counts[:, order]).astype(np.int64)}


if __name__ == "__main__":
    tool, graph, out = sys.argv[1:]
    with np.load(graph) as data:
        np.savez(
            out, **{"gradco": gradco, "orbit-count": orbit_count, "pyfglt": pyfglt}[tool](int(data["n"]), data["edges"])
        )
