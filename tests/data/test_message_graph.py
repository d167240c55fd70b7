"""The message graph: facts first, then inverses."""

import torch
from kg_samples import task_of

from graphkit.data import MessageGraph, QueryBatch


def test_inverses_follow_the_facts():
    graph = MessageGraph.from_triples(torch.tensor([[0, 1, 2], [2, 0, 2]]), num_nodes=3, num_base_relations=2)
    assert graph.edge_index.tolist() == [[0, 2, 2, 2], [2, 2, 0, 2]]
    assert graph.edge_type.tolist() == [1, 0, 3, 2]
    assert (graph.num_edges, graph.num_nodes, graph.num_relations, graph.num_base_relations) == (4, 3, 4, 2)


def test_a_graph_moves_to_a_device_once():
    graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1)
    assert graph.to("cpu") is graph
    assert graph.to("meta") is graph.to(torch.device("meta"))
    first, second = (QueryBatch(graph, torch.zeros(1, 2, 3, dtype=torch.int64)).to("meta") for _ in range(2))
    assert first.graph is second.graph and first.triples.device.type == "meta" and first.num_queries == 1


def test_the_graph_of_a_task_is_built_once_from_train_facts():
    task = task_of([(0, 0, 1)], [(1, 0, 2)], [(2, 0, 0)], entities=3)
    assert task.graph("test") is task.graph("train")
    assert task.graph("valid").edge_index.tolist() == [[0, 1], [1, 0]]
