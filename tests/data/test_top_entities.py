"""The best entities of a query beside a plain sort."""

import pytest
import torch

from graphkit.data import FactIndex, MessageGraph, top_entities
from graphkit.errors import UserError

NODES, RELATIONS = 9, 2


class Table(torch.nn.Module):
    """Scores read from a table [N, 2R, N]; counts the queries it is asked."""

    def __init__(self, scores):
        super().__init__()
        self.register_buffer("scores", scores)
        self.asked = []

    def score_queries(self, graph, heads, relations):
        assert not self.training and not torch.is_grad_enabled()
        self.asked.append(len(heads))
        return self.scores[heads, relations]


def sample(seed, levels=5):
    """Scores with many ties, facts with many answers, all queries twice in a random order."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (NODES, 2 * RELATIONS, NODES), generator=generator).float()
    facts = torch.stack([torch.randint(n, (60,), generator=generator) for n in (NODES, RELATIONS, NODES)], 1)
    queries = torch.randperm(2 * NODES * 2 * RELATIONS, generator=generator) % (NODES * 2 * RELATIONS)
    return Table(scores), facts, queries // (2 * RELATIONS), queries % (2 * RELATIONS)


def sorted_by_loops(scores, known, k):
    candidates = [entity for entity in range(NODES) if entity not in known]
    best = sorted(candidates, key=lambda entity: (-float(scores[entity]), entity))[:k]
    return best, [float(scores[entity]) for entity in best]


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("k", [1, 3, NODES, 50])
def test_as_a_plain_sort(k, filtered):
    for seed in range(5):
        model, facts, heads, relations = sample(seed)
        graph = MessageGraph.from_triples(facts, NODES, RELATIONS)
        known = {}
        for h, r, t in facts.tolist():
            known.setdefault((h, r), set()).add(t)
            known.setdefault((t, r + RELATIONS), set()).add(h)
        index = FactIndex.build(facts, NODES, RELATIONS) if filtered else None
        found = top_entities(model, graph, heads, relations, k, index, batch_size=7)
        for (entity, score), h, r in zip(found, heads.tolist(), relations.tolist(), strict=True):
            wanted = sorted_by_loops(model.scores[h, r], known.get((h, r), ()) if filtered else (), k)
            assert (entity.tolist(), score.tolist()) == wanted
        assert sum(model.asked) == NODES * 2 * RELATIONS and max(model.asked) <= 7


def test_infinite_scores_are_scores():
    graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 4, 1)
    scores = torch.tensor([-torch.inf, 7.0, torch.inf, -torch.inf]).expand(4, 2, 4)
    index = FactIndex.build(torch.tensor([[0, 0, 1]]), 4, 1)
    entity, _ = top_entities(Table(scores), graph, torch.tensor([0]), torch.tensor([0]), 9, index)[0]
    assert entity.tolist() == [2, 0, 3]


def test_no_candidate_and_no_query():
    facts = torch.tensor([[0, 0, 0], [0, 0, 1]])
    graph, index = MessageGraph.from_triples(facts, 2, 1), FactIndex.build(facts, 2, 1)
    model, zero = Table(torch.zeros(2, 2, 2)), torch.tensor([0])
    entity, score = top_entities(model, graph, zero, zero, 5, index)[0]
    assert entity.tolist() == [] and score.tolist() == []
    assert top_entities(model, graph, zero[:0], zero[:0], 5, index) == []


def test_less_memory_gives_the_same():
    model, facts, heads, relations = sample(0)
    graph = MessageGraph.from_triples(facts, NODES, RELATIONS)
    wanted = top_entities(model, graph, heads, relations, 4)
    plain = model.score_queries

    def short_of_memory(graph, heads, relations):
        if len(heads) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return plain(graph, heads, relations)

    model.score_queries = short_of_memory
    seen = []
    found = top_entities(model, graph, heads, relations, 4, progress=lambda done, total: seen.append((done, total)))
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(found, wanted, strict=True))
    assert seen[-1] == (NODES * 2 * RELATIONS, NODES * 2 * RELATIONS)


def test_the_model_keeps_its_mode():
    model, facts, heads, relations = sample(1)
    model.train()
    top_entities(model, MessageGraph.from_triples(facts, NODES, RELATIONS), heads[:2], relations[:2])
    assert model.training


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_k_is_a_number_from_one(k):
    model, facts, heads, relations = sample(1)
    with pytest.raises(UserError, match="expected a whole number from 1"):
        top_entities(model, MessageGraph.from_triples(facts, NODES, RELATIONS), heads, relations, k)


def test_nan_is_refused():
    model, facts, heads, relations = sample(1)
    model.scores[0, 0, 3] = torch.nan
    with pytest.raises(UserError, match=r"NaN for the query \(head 0, relation 0\)"):
        top_entities(model, MessageGraph.from_triples(facts, NODES, RELATIONS), heads, relations)
