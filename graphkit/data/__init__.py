"""Tasks: facts, message graphs, training batches, evaluation, leak checks."""

from graphkit.data.evaluation import rank_triples
from graphkit.data.fact_index import FactIndex, triple_keys
from graphkit.data.knowledge_graph import KnowledgeGraphTask
from graphkit.data.leaks import Certificate, LeakError
from graphkit.data.message_graph import MessageGraph
from graphkit.data.queries import QueryBatch
from graphkit.data.query_loader import QueryLoader, corrupt
from graphkit.data.sharding import Processes, shard
from graphkit.data.triples import read_triples

__all__ = [
    "Certificate",
    "FactIndex",
    "KnowledgeGraphTask",
    "LeakError",
    "MessageGraph",
    "Processes",
    "QueryBatch",
    "QueryLoader",
    "corrupt",
    "rank_triples",
    "read_triples",
    "shard",
    "triple_keys",
]
