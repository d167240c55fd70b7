"""The experiment that deletes paths: random walks beside their enumeration, drops beside graphs built without the facts."""

import importlib.util
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.data import KnowledgeGraphTask, MessageGraph
from graphkit.models import NBFNet

SCRIPT = Path(__file__).resolve().parent.parent / "experiments" / "nbfnet" / "path_deletion.py"
FACTS = torch.tensor(
    [
        [0, 0, 1],
        [1, 0, 2],
        [2, 1, 3],
        [0, 1, 3],
        [3, 0, 4],
        [1, 1, 3],
        [1, 1, 3],
        [4, 0, 0],
        [2, 0, 2],
        [4, 1, 5],
        [5, 0, 2],
    ]
)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("path_deletion", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graph():
    return MessageGraph.from_triples(FACTS, 6, 2)


def walks_of(graph, source, target, length, usable):
    pairs, found = graph.edge_index.t().tolist(), []

    def extend(node, walk):
        if len(walk) == length:
            if node == target:
                found.append(tuple(walk))
        elif node != target:
            for edge, (begin, end) in enumerate(pairs):
                if begin == node and usable[edge]:
                    extend(end, [*walk, edge])

    extend(source, [])
    return found


@pytest.mark.parametrize("length", [1, 2, 3])
def test_random_walks_are_uniform_over_all_walks(script, graph, length):
    usable = torch.ones(graph.num_edges, dtype=torch.bool)
    usable[3] = usable[3 + len(FACTS)] = False
    wanted = walks_of(graph, 0, 2, length, usable)
    walks = script.RandomWalks(graph, 2, length, usable)
    assert walks.count(0) == len(wanted)
    if not wanted:
        return
    random, draws = np.random.default_rng(0), 300 * len(wanted)
    seen = Counter(tuple(walks.draw(0, random)) for _ in range(draws))
    assert set(seen) == set(wanted)
    # each count is binomial around 300
    assert all(abs(count - 300) < 5 * math.sqrt(300) for count in seen.values())


def task_and_model():
    task = KnowledgeGraphTask(
        "toy",
        FACTS,
        FACTS[:0],
        torch.tensor([[0, 0, 3], [2, 1, 4], [5, 1, 1], [0, 1, 0]]),
        [f"e{i}" for i in range(6)],
        ["r", "s"],
    )
    torch.manual_seed(1)
    return task, NBFNet.for_task(task, hidden_channels=8, num_layers=3).double().eval()


def test_a_drop_is_that_of_a_graph_without_the_facts(script):
    task, model = task_and_model()
    graph, triple = task.graph(), (0, 0, 3)
    found = script.drops(model, graph, triple, 3, np.random.default_rng(0))
    path, weight = model.explain(task, *triple, k=1)[0]
    assert found["weight"] == pytest.approx(weight) and found["length"] == len(path)
    left = [fact for fact in FACTS.tolist() if not on_path(fact, path)]
    smaller = MessageGraph.from_triples(torch.tensor(left), 6, 2)
    with torch.no_grad():
        scores = [model.score_queries(g, torch.tensor([0]), torch.tensor([0]))[0, 3].item() for g in (graph, smaller)]
    assert found["score"] == pytest.approx(scores[0], abs=1e-9)
    assert found["top"] == pytest.approx(scores[0] - scores[1], abs=1e-9)


def on_path(fact, path):
    h, r, t = f"e{fact[0]}", "rs"[fact[1]], f"e{fact[2]}"
    return (h, r, t) in path or (t, r + "^-1", h) in path


def test_triples_without_a_path_are_counted(script):
    task, model = task_and_model()
    found = script.measure(model, task, triples=200, random_paths=2)
    assert found["asked"] == 4
    # (e5, s, e1) has one path of its length; of (e0, s, e0) the head is the tail
    assert found["left_out"] == {"no other path of that length": 1, "no path": 1}
    assert found["n"] == len(found["rows"]) == 2
    again = script.measure(model, task, triples=200, random_paths=2)
    assert again == found
    differences = [row["top"] - row["random"] for row in found["rows"]]
    assert found["mean_difference"] == pytest.approx(sum(differences) / 2)
    assert found["standard_error"] == pytest.approx(abs(differences[0] - differences[1]) / 2)


def test_a_fact_that_stands_twice_is_deleted_twice(script, graph):
    n = len(FACTS)
    assert script.facts_of(graph, [6]) == [5, 6, 5 + n, 6 + n]
    assert script.facts_of(graph, [n + 5, 0, 0]) == [0, 5, 6, n, 5 + n, 6 + n]
