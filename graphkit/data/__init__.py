"""Tasks: facts, message graphs, training batches, evaluation, leak checks."""

from graphkit.data.candidate_ranking import rank_candidates
from graphkit.data.category_columns import one_hot_columns
from graphkit.data.city_graph import CityGraph
from graphkit.data.edge_direction import EdgeDirection, directed_edges, edge_direction
from graphkit.data.edge_split import split_edges, split_shares, undirected_edges
from graphkit.data.edge_table import EdgeTable
from graphkit.data.evaluation import count_negatives, rank_triples
from graphkit.data.fact_index import FactIndex, triple_keys
from graphkit.data.feature_rows import FeatureFile, FeatureRows
from graphkit.data.few_shot import FewShotSplit
from graphkit.data.graph_batch import GraphBatch
from graphkit.data.graph_loader import GraphLoader
from graphkit.data.graph_partition import partition_graph
from graphkit.data.graph_scores import score_graphs
from graphkit.data.graph_split import split_graphs
from graphkit.data.graph_task import GraphTask
from graphkit.data.heart_negatives import heart_negatives
from graphkit.data.inductive import InductiveKnowledgeGraphTask
from graphkit.data.knowledge_graph import KnowledgeGraphTask
from graphkit.data.leaks import Certificate, LeakError
from graphkit.data.link_protocols import PROTOCOLS, LinkProtocol
from graphkit.data.link_task import LinkTask
from graphkit.data.message_graph import MessageGraph
from graphkit.data.node_batch import NodeBatch
from graphkit.data.node_loader import NodeLoader
from graphkit.data.node_scores import score_nodes
from graphkit.data.node_split import split_nodes
from graphkit.data.node_task import NodeTask
from graphkit.data.non_edges import NonEdges
from graphkit.data.ogb_knowledge_graph import OGBKnowledgeGraphTask
from graphkit.data.pair_loader import PairLoader
from graphkit.data.pair_scores import score_pairs
from graphkit.data.pairs import PairBatch
from graphkit.data.positional_encodings import (
    AddEncodings,
    encode_graph,
    laplacian_encoding,
    random_walk_encoding,
    sampled_walk_encoding,
)
from graphkit.data.queries import QueryBatch
from graphkit.data.query_loader import QueryLoader, corrupt
from graphkit.data.relation_categories import relation_cardinalities, relation_categories, relation_metrics
from graphkit.data.sharding import Processes, shard
from graphkit.data.source_graph import SourceBatch, SourceGraph
from graphkit.data.standardize import standardize
from graphkit.data.top_entities import top_entities
from graphkit.data.triples import read_triples

__all__ = [
    "PROTOCOLS",
    "AddEncodings",
    "Certificate",
    "CityGraph",
    "EdgeDirection",
    "EdgeTable",
    "FactIndex",
    "FeatureFile",
    "FeatureRows",
    "FewShotSplit",
    "GraphBatch",
    "GraphLoader",
    "GraphTask",
    "InductiveKnowledgeGraphTask",
    "KnowledgeGraphTask",
    "LeakError",
    "LinkProtocol",
    "LinkTask",
    "MessageGraph",
    "NodeBatch",
    "NodeLoader",
    "NodeTask",
    "NonEdges",
    "OGBKnowledgeGraphTask",
    "PairBatch",
    "PairLoader",
    "Processes",
    "QueryBatch",
    "QueryLoader",
    "SourceBatch",
    "SourceGraph",
    "corrupt",
    "count_negatives",
    "directed_edges",
    "edge_direction",
    "encode_graph",
    "heart_negatives",
    "laplacian_encoding",
    "one_hot_columns",
    "partition_graph",
    "random_walk_encoding",
    "rank_candidates",
    "rank_triples",
    "read_triples",
    "relation_cardinalities",
    "relation_categories",
    "relation_metrics",
    "sampled_walk_encoding",
    "score_graphs",
    "score_nodes",
    "score_pairs",
    "shard",
    "split_edges",
    "split_graphs",
    "split_nodes",
    "split_shares",
    "standardize",
    "top_entities",
    "triple_keys",
    "undirected_edges",
]
