"""Explanations: derivatives beside differences, paths beside the enumeration of all walks."""

import itertools

import pytest
import torch
from query_samples import NODES, RELATIONS, double_model, message_graph, random_triples

from graphkit.data import KnowledgeGraphTask
from graphkit.errors import UserError
from graphkit.models import NBFNet, PathExplanation
from graphkit.models.path_explanation import triple_edges

VARIANTS = [
    {},
    {"aggregate": "sum", "message": "transe", "dependent": False},
    {"aggregate": "max", "message": "rotate", "concat_hidden": True},
]


def task_of(triples, test=((0, 0, 1),)):
    entities, relations = [f"e{i}" for i in range(NODES)], [f"r{i}" for i in range(RELATIONS)]
    empty = torch.empty(0, 3, dtype=torch.int64)
    return KnowledgeGraphTask("random", triples, empty, torch.tensor(test), entities, relations)


@pytest.mark.parametrize("options", VARIANTS)
def test_importance_is_the_derivative_by_each_weight(options):
    graph, model = message_graph(random_triples()), double_model(num_layers=2, **options)
    mask = torch.rand(graph.num_edges, generator=torch.Generator().manual_seed(3)) > 0.2
    head, relation, tail = 2, 4, 5
    found = model.edge_importance(graph, head, relation, tail, edge_mask=mask)
    assert found.shape == (2, graph.num_edges) and found.dtype == torch.float64
    assert bool((found[:, ~mask] == 0).all()) and bool((found != 0).any())

    def score(weights):
        with torch.no_grad():
            hidden, query = model.node_states(
                graph, torch.tensor([head]), torch.tensor([relation]), edge_mask=mask, edge_weights=weights
            )
            return float(model.readout(torch.cat(hidden, -1), query)[0, tail])

    # maxima and rectifiers have kinks: a step this small crosses none of them
    step = 1e-6
    for layer in range(2):
        for edge in range(graph.num_edges):
            sides = []
            for change in (step, -step):
                weights = [torch.ones(graph.num_edges, dtype=torch.float64) for _ in range(2)]
                weights[layer][edge] += change
                sides.append(score(weights))
            assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(float(found[layer, edge]), abs=1e-6)


def all_paths(graph, importance, head, tail, left_out):
    """Every walk of named steps that touches the tail only at its end, with its weight, by recursion."""
    sources, targets, kinds = *graph.edge_index.tolist(), graph.edge_type.tolist()
    found = {}

    def extend(node, path, total):
        if path and node == tail:
            weight = total / len(path)
            found[tuple(path)] = max(found.get(tuple(path), weight), weight)
        if len(path) == len(importance) or node == tail:
            return
        for edge in range(graph.num_edges):
            if sources[edge] == node and edge not in left_out:
                r = kinds[edge]
                name = f"r{r}" if r < RELATIONS else f"r{r - RELATIONS}^-1"
                step = (f"e{node}", name, f"e{targets[edge]}")
                extend(targets[edge], [*path, step], total + float(importance[len(path), edge]))

    extend(head, [], 0.0)
    return found


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("seed", range(3))
def test_paths_are_the_heaviest_of_all(seed, options):
    triples = random_triples(seed, facts=12)
    task, model = task_of(triples), double_model(seed, num_layers=3, **options)
    graph = task.graph()
    for head, relation, tail in [triples[3].tolist(), triples[5].tolist(), (1, 2, 4)]:
        left_out = [
            e
            for e, (u, v, r) in enumerate(zip(*graph.edge_index.tolist(), graph.edge_type.tolist(), strict=True))
            if (u, r, v) in ((head, relation, tail), (tail, relation + RELATIONS, head))
        ]
        mask = torch.ones(graph.num_edges, dtype=torch.bool)
        mask[left_out] = False
        importance = model.edge_importance(graph, head, relation, tail, edge_mask=mask)
        wanted = all_paths(graph, importance, head, tail, left_out)
        found = model.explain(task, head, relation, tail, k=10**6, beam_width=2000)
        assert {tuple(path): pytest.approx(weight, abs=1e-12) for path, weight in found} == wanted
        weights = [weight for _, weight in found]
        assert weights == sorted(weights, reverse=True)
        assert model.explain(task, head, relation, tail, k=2, beam_width=2000) == found[:2]


@pytest.mark.parametrize("exclude", [True, False])
def test_a_path_is_a_walk_of_the_message_graph(exclude):
    triples = random_triples(7, facts=30)
    task, model = task_of(triples), double_model(num_layers=3)
    facts = {(f"e{h}", f"r{r}", f"e{t}") for h, r, t in triples.tolist()}
    seen_itself = False
    for head, relation, tail in triples[2:12].tolist():
        names = f"e{head}", f"r{relation}", f"e{tail}"
        own = {names, (names[2], names[1] + "^-1", names[0])}
        for path, _ in model.explain(task, *names, k=20, exclude_triple=exclude):
            assert path[0][0] == names[0] and path[-1][2] == names[2]
            assert all(before[2] == after[0] for before, after in itertools.pairwise(path))
            assert all(step[0] != names[2] for step in path)
            for h, r, t in path:
                assert ((t, r.removesuffix("^-1"), h) if r.endswith("^-1") else (h, r, t)) in facts
            seen_itself |= bool(own.intersection(path))
    assert seen_itself is not exclude


def test_no_path_and_head_is_tail():
    triples = torch.tensor([[0, 0, 1], [2, 1, 3]])
    task, model = task_of(triples), double_model()
    assert model.explain(task, 0, 1, 2) == []
    assert model.explain(task, "e0", "r1", "e0") == []
    # the only path is the triple itself
    assert model.explain(task, 0, 0, 1) == []
    assert [path for path, _ in model.explain(task, 0, 0, 1, exclude_triple=False)] == [[("e0", "r0", "e1")]]


def test_a_fact_that_stands_twice_gives_one_path():
    triples = torch.tensor([[0, 0, 1], [0, 0, 1], [1, 1, 2]])
    found = double_model().explain(task_of(triples), 0, 2, 2)
    assert [path for path, _ in found] == [[("e0", "r0", "e1"), ("e1", "r1", "e2")]]
    assert triple_edges(message_graph(triples), 0, 0, 1).tolist() == [0, 1, 3, 4]
    assert triple_edges(message_graph(triples), 1, RELATIONS, 0).tolist() == [3, 4, 0, 1]


def test_an_inverse_relation_explains_the_query_for_the_head():
    task, model = task_of(random_triples(facts=30)), double_model()
    found = model.explain(task, "e5", "r0^-1", "e2")
    assert found and found[0][0][0][0] == "e5" and found[0][0][-1][2] == "e2"
    assert [weight for _, weight in found] != [weight for _, weight in model.explain(task, "e2", "r0", "e5")]


def test_nothing_of_the_model_moves():
    task, model = task_of(random_triples()), double_model().train()
    model.layers[0].linear.eval()
    with torch.no_grad():
        first = model.explain(task, 2, 0, 5)
    with torch.inference_mode():
        assert model.explain(task, 2, 0, 5) == first
    assert model.training and model.mlp.training and not model.layers[0].linear.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_single_precision_finds_the_same_best_path():
    task, model = task_of(random_triples(facts=24)), double_model()
    double = model.explain(task, 2, 0, 5, k=1)
    single = model.float().explain(task, 2, 0, 5, k=1)
    assert single[0][0] == double[0][0] and single[0][1] == pytest.approx(double[0][1], rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("e9", "r0", "e1"), {}, "unknown entity 'e9'"),
        (("e1", "x0", "e1"), {}, "unknown relation 'x0'"),
        ((0, 3, 1), {}, "relation id 3 is out of range"),
        ((0, 0, 1), {"k": 0}, "k is 0"),
        ((0, 0, 1), {"beam_width": 0}, "beam_width is 0"),
        ((0, 0, 1), {"split": "dev"}, "unknown split 'dev'"),
    ],
)
def test_bad_input_is_named(arguments, options, message):
    with pytest.raises(UserError, match=message):
        double_model().explain(task_of(random_triples()), *arguments, **options)


def test_a_diverged_model_is_named():
    model = NBFNet(RELATIONS, 4, 2)
    torch.nn.init.constant_(model.mlp[-1].weight, torch.nan)
    with pytest.raises(UserError, match="diverged"):
        model.explain(task_of(random_triples()), 0, 0, 5)


def test_a_model_says_how_its_edges_matter():
    with pytest.raises(NotImplementedError, match="Silent does not say"):
        type("Silent", (PathExplanation,), {})().explain(task_of(random_triples()), 0, 0, 5)


def test_a_symmetric_model_is_refused():
    triples = torch.tensor([[0, 0, 1]])
    model = NBFNet(1, 4, 2, symmetric=True, dependent=False)
    with pytest.raises(UserError, match="paths explain knowledge graphs only"):
        model.edge_importance(message_graph(triples), 0, 0, 1)
