"""Operators: tensors in, tensors out. Each has a body in torch and, where the extension is built, a native kernel."""

from graphkit.ops import relational_reference  # noqa: F401  (declares the operators)
from graphkit.ops._library import OPS, backend_of, force_backend, load_native
from graphkit.ops.concentration import (
    counter_normal,
    edge_dot_mean,
    edge_softmax,
    edge_triangles,
    neighbor_sum,
    neighborhood_overlaps,
    walk_overlap,
)
from graphkit.ops.csr import CSRGraph
from graphkit.ops.directed import DirectedGraph, DirectedInfo, directed_spmm
from graphkit.ops.hop_combine import hop_combine, hop_combine_weights, hop_products
from graphkit.ops.orbits import (
    ORBIT_KEYS,
    edge_orbit_counts,
    orbit_adjacency,
    orbit_adjacency_blocks,
    orbit_adjacency_matvec,
    orbit_counts,
    orbit_multiplicity,
)
from graphkit.ops.pna_update import DegreeClasses, classes_of_degrees, degree_classes, pna_update
from graphkit.ops.relational import relational_pna, relational_spmm
from graphkit.ops.simple_graph import SimpleGraph

load_native()

__all__ = [
    "OPS", "ORBIT_KEYS", "CSRGraph", "DegreeClasses", "DirectedGraph", "DirectedInfo", "SimpleGraph", "backend_of",
    "classes_of_degrees", "counter_normal", "degree_classes", "directed_spmm", "edge_dot_mean", "edge_orbit_counts",
    "edge_softmax", "edge_triangles", "force_backend", "hop_combine", "hop_combine_weights", "hop_products", "neighbor_sum",
    "neighborhood_overlaps", "orbit_adjacency", "orbit_adjacency_blocks", "orbit_adjacency_matvec", "orbit_counts",
    "orbit_multiplicity", "pna_update", "relational_pna", "relational_spmm", "walk_overlap",
]  # fmt: skip
