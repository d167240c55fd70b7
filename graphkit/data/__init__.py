"""Tasks: facts, message graphs, training batches, evaluation, leak checks."""

from graphkit.data.candidate_ranking import rank_candidates
from graphkit.data.evaluation import count_negatives, rank_triples
from graphkit.data.fact_index import FactIndex, triple_keys
from graphkit.data.inductive import InductiveKnowledgeGraphTask
from graphkit.data.knowledge_graph import KnowledgeGraphTask
from graphkit.data.leaks import Certificate, LeakError
from graphkit.data.message_graph import MessageGraph
from graphkit.data.ogb_knowledge_graph import OGBKnowledgeGraphTask
from graphkit.data.queries import QueryBatch
from graphkit.data.query_loader import QueryLoader, corrupt
from graphkit.data.relation_categories import relation_cardinalities, relation_categories, relation_metrics
from graphkit.data.triples import read_triples

__all__ = [
    "Certificate",
    "FactIndex",
    "InductiveKnowledgeGraphTask",
    "KnowledgeGraphTask",
    "LeakError",
    "MessageGraph",
    "OGBKnowledgeGraphTask",
    "QueryBatch",
    "QueryLoader",
    "corrupt",
    "count_negatives",
    "rank_candidates",
    "rank_triples",
    "read_triples",
    "relation_cardinalities",
    "relation_categories",
    "relation_metrics",
    "triple_keys",
]
