"""Operators: tensors in, tensors out. Each has a body in torch and, where the extension is built, a native kernel."""

from graphkit.ops import relational_reference  # noqa: F401  (declares the operators)
from graphkit.ops._library import OPS, backend_of, force_backend, load_native
from graphkit.ops.causal_conv import causal_conv1d
from graphkit.ops.common_neighbors import (
    cn_complete,
    cn_pool,
    common_neighbor_count,
    common_neighbors,
    residual_neighbors,
    weighted_pool,
)
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
from graphkit.ops.graphlets import GRAPHLET_ORBITS, graphlet_adjacency, graphlet_counts, graphlet_keys
from graphkit.ops.hop_combine import hop_combine, hop_combine_weights, hop_products
from graphkit.ops.hop_distance import BallEdges, HopBalls, HopGraph, ball_edges, hop_balls, hop_bincount, hop_distance
from graphkit.ops.induced_edges import induced_edges
from graphkit.ops.khop_eccentricity import KhopBalls, khop_eccentricity
from graphkit.ops.masked_spmm import masked_degree, masked_spmm
from graphkit.ops.orbit_keys import ORBIT_KEYS, orbit_multiplicity
from graphkit.ops.orbit_products import orbit_adjacency_matvec
from graphkit.ops.orbits import (
    OrbitMatrices,
    edge_orbit_counts,
    orbit_adjacency,
    orbit_adjacency_blocks,
    orbit_counts,
    orbit_row_blocks,
)
from graphkit.ops.pna_update import DegreeClasses, classes_of_degrees, degree_classes, pna_update
from graphkit.ops.relational import relational_pna, relational_spmm
from graphkit.ops.selective_scan import selective_scan
from graphkit.ops.simple_graph import SimpleGraph
from graphkit.ops.sparse_exchange import from_networkx, from_scipy, to_scipy
from graphkit.ops.undirected import undirected_edges
from graphkit.ops.walk_tokens import WalkTokens, walk_tokens
from graphkit.ops.walks import sample_walks
from graphkit.ops.word_dropout import word_dropout

load_native()

__all__ = [
    "GRAPHLET_ORBITS",
    "OPS",
    "ORBIT_KEYS",
    "BallEdges",
    "CSRGraph",
    "DegreeClasses",
    "DirectedGraph",
    "DirectedInfo",
    "HopBalls",
    "HopGraph",
    "KhopBalls",
    "OrbitMatrices",
    "SimpleGraph",
    "WalkTokens",
    "backend_of",
    "ball_edges",
    "causal_conv1d",
    "classes_of_degrees",
    "cn_complete",
    "cn_pool",
    "common_neighbor_count",
    "common_neighbors",
    "counter_normal",
    "degree_classes",
    "directed_spmm",
    "edge_dot_mean",
    "edge_orbit_counts",
    "edge_softmax",
    "edge_triangles",
    "force_backend",
    "from_networkx",
    "from_scipy",
    "graphlet_adjacency",
    "graphlet_counts",
    "graphlet_keys",
    "hop_balls",
    "hop_bincount",
    "hop_combine",
    "hop_combine_weights",
    "hop_distance",
    "hop_products",
    "induced_edges",
    "khop_eccentricity",
    "masked_degree",
    "masked_spmm",
    "neighbor_sum",
    "neighborhood_overlaps",
    "orbit_adjacency",
    "orbit_adjacency_blocks",
    "orbit_adjacency_matvec",
    "orbit_counts",
    "orbit_multiplicity",
    "orbit_row_blocks",
    "pna_update",
    "relational_pna",
    "relational_spmm",
    "residual_neighbors",
    "sample_walks",
    "selective_scan",
    "to_scipy",
    "undirected_edges",
    "walk_overlap",
    "walk_tokens",
    "weighted_pool",
    "word_dropout",
]
