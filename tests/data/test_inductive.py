"""Two graphs, one vocabulary of relations: who filters what, who is a candidate, what leaks."""

import math

import pytest
import torch
from kg_samples import random_task

from graphkit.data import InductiveKnowledgeGraphTask, KnowledgeGraphTask, LeakError, MessageGraph, count_negatives
from graphkit.errors import UserError
from graphkit.models import NBFNet

TRAIN, VALID = [("a", "r", "b"), ("b", "q", "c")], [("c", "r", "a")]
FACTS, TEST = [("x", "r", "y"), ("y", "q", "z"), ("x", "r", "w")], [("z", "r", "x"), ("x", "r", "z")]


def toy(train=TRAIN, valid=VALID, facts=FACTS, test=TEST):
    return InductiveKnowledgeGraphTask.from_names("toy", train, valid, facts, test)


def two_graphs(seed=0, entities=14, test_entities=9, relations=2):
    """Random distinct triples on both graphs."""
    seen = random_task(seed, entities, relations, facts=60)
    unseen = random_task(seed + 1, test_entities, relations, facts=48)
    return InductiveKnowledgeGraphTask(
        "two", seen.train, seen.valid, unseen.train, unseen.test,
        [f"seen{i}" for i in range(entities)], [f"unseen{i}" for i in range(test_entities)], seen.relations,
    )  # fmt: skip


class Scores(torch.nn.Module):
    """Few distinct scores that depend on the graph, the query and the candidate; remembers its graphs."""

    def __init__(self, levels=5):
        super().__init__()
        self.levels, self.graphs = levels, []

    def score_queries(self, graph, heads, relations):
        self.graphs.append(graph)
        candidates = torch.arange(graph.num_nodes)
        mixed = heads.unsqueeze(1) * 7919 + relations.unsqueeze(1) * 104729 + candidates * 1299709
        return ((mixed * 2654435761) % 1000003 % self.levels).double()


def test_each_split_has_the_entities_facts_and_graph_of_its_own_side():
    task = toy()
    assert task.entities == ["a", "b", "c"] and task.test_entities == ["w", "x", "y", "z"]
    assert task.relations == ["q", "r"] and task.num_relations == 2
    for split, names, facts in (("train", "abc", TRAIN), ("valid", "abc", TRAIN), ("test", "wxyz", FACTS)):
        assert task.entities_of(split) == list(names)
        decoded = [(names[h], task.relations[r], names[t]) for h, r, t in task.message_facts(split).tolist()]
        assert decoded == facts
        assert torch.equal(task.facts(split), task.message_facts(split))
        graph = task.graph(split)
        assert (graph.num_nodes, graph.num_edges, graph.num_relations) == (len(names), 2 * len(facts), 4)
        assert task.fact_index(split).num_entities == len(names)
    assert task.graph("valid") is task.graph("train") and task.graph("test") is task.graph("test")
    assert task.graph("test") is not task.graph("train")
    assert task.fact_index("valid") is task.fact_index("train") and task.fact_index("test") is task.fact_index("test")
    assert task.statistics() == {
        "entities": 3, "relations": 2, "train": 2, "valid": 1, "test_entities": 4, "test_facts": 3, "test": 2,
    }  # fmt: skip
    assert "test_facts=3" in repr(task)


def test_names_and_ids_in_either_graph():
    task = toy()
    assert task.entity_id("c") == 2 and task.entity_id("z", split="test") == 3 and task.entity_id(3, "test") == 3
    assert task.relation_id("r") == 1
    with pytest.raises(
        UserError, match=r"'z' is in the test graph of toy, not in its training graph; pass split='test'"
    ):
        task.entity_id("z")
    with pytest.raises(UserError, match=r"'a' is in the training graph .*; pass split='train'"):
        task.entity_id("a", "test")
    with pytest.raises(UserError, match="unknown entity of the test graph 'xx'; did you mean 'x'"):
        toy(facts=[("x", "r", "yyy")], test=[]).entity_id("xx", "test")
    with pytest.raises(UserError, match="id 3 is out of range"):
        task.entity_id(3)
    with pytest.raises(UserError, match="unknown split 'tests'; did you mean 'test'"):
        task.entity_id("z", "tests")
    # A transductive task has one graph, and takes the same call.
    one = KnowledgeGraphTask.from_names("one", TRAIN, [], [])
    assert one.entity_id("c", split="test") == one.entity_id("c") == 2 and one.entities_of("test") == one.entities


def test_bad_input_is_refused():
    task = toy()
    parts = [task.train, task.valid, task.test_facts, task.test, task.entities, task.test_entities, task.relations]
    for place, value, message in (
        (2, torch.tensor([[0, 0, 4]]), "test fact 0 of toy is .0, 0, 4., but entities are numbered up to 3"),
        (3, torch.tensor([[0, 2, 1]]), "test triple 0 of toy is .0, 2, 1.*relations up to 1"),
        (1, torch.tensor([[3, 0, 1]]), "valid triple 0 of toy"),
        (3, torch.zeros(2, 3), "test triples of toy must be an int64 tensor"),
        (5, ["w", "x", "x", "z"], "test entity name 'x' occurs twice"),
    ):
        spoilt = [*parts[:place], value, *parts[place + 1 :]]
        with pytest.raises(UserError, match=message):
            InductiveKnowledgeGraphTask("toy", *spoilt)
    with pytest.raises(UserError, match="toy has no test triples"):
        toy(test=[]).evaluate(Scores(), "test")


def brute_force(task, model, split, facts, entities, ties="pessimistic"):
    """Ranks and numbers of negatives by definition: every candidate looked at in turn."""
    triples, known = task.triples(split).tolist(), {tuple(fact) for fact in facts.tolist()}
    sides = {"tail": ([], []), "head": ([], [])}
    for h, r, t in triples:
        for side, source, relation, target in (("tail", h, r, t), ("head", t, r + task.num_relations, h)):
            scores = model.score_queries(task.graph(split), torch.tensor([source]), torch.tensor([relation]))[0]
            rivals = [
                v
                for v in range(entities)
                if v != target and ((source, r, v) if side == "tail" else (v, r, source)) not in known
            ]
            above = sum(scores[v] > scores[target] for v in rivals)
            level = sum(scores[v] == scores[target] for v in rivals)
            rank = {"pessimistic": above + level, "optimistic": above, "mean": above + level / 2}[ties]
            sides[side][0].append(float(rank) + 1)
            sides[side][1].append(len(rivals))
    return sides


@pytest.mark.parametrize("ties", ["pessimistic", "optimistic", "mean"])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_ranks_candidates_and_metrics_by_definition(split, ties):
    task, model = two_graphs(), Scores()
    facts, entities = (task.test_facts, 9) if split == "test" else (task.train, 14)
    sides = brute_force(task, model, split, facts, entities, ties)
    model.graphs.clear()
    result = task.evaluate(model, split, ties=ties, return_ranks=True, batch_size=7)
    assert all(graph is task.graph(split) for graph in model.graphs)
    for side, (ranks, _) in sides.items():
        assert result["ranks"][side].tolist() == ranks
    tail, head = count_negatives(task.triples(split), task.fact_index(split), entities)
    assert (tail.tolist(), head.tolist()) == (sides["tail"][1], sides["head"][1])
    both = [sides["tail"][part] + sides["head"][part] for part in (0, 1)]
    expected = 0.0
    for rank, size in zip(*both, strict=True):
        p = (rank - 1) / size
        expected += sum(math.comb(50, i) * p**i * (1 - p) ** (50 - i) for i in range(10)) / len(both[0])
    assert result["hits@10(50)"] == pytest.approx(expected, abs=1e-12)
    assert result["mrr"] == pytest.approx(sum(1 / rank for rank in both[0]) / len(both[0]))


def test_without_filter_all_other_entities_of_the_graph_count():
    task = two_graphs()
    tail, head = count_negatives(task.test, None, 9)
    assert set(tail.tolist() + head.tolist()) == {8}
    constant = Scores(levels=1)
    assert task.evaluate(constant, "test", filtered=False)["mr"] == 9
    assert task.evaluate(constant, "valid", filtered=False)["mr"] == 14


def test_only_facts_of_the_graph_filter_and_the_target_never_counts():
    # (x, r, ?) has the facts y and w. The test triple (x, r, z) is no fact: z is the target and not its own rival,
    # and it stays a candidate for other targets.
    task, constant = toy(test=[("x", "r", "z"), ("x", "r", "x")]), Scores(levels=1)
    result = task.evaluate(constant, "test", return_ranks=True)
    assert result["ranks"]["tail"].tolist() == [2, 2]  # of w, x, y, z: y and w filtered, one rival left
    # (?, r, z) and (?, r, x) have no fact at all
    assert result["ranks"]["head"].tolist() == [4, 4]
    tail, head = count_negatives(task.test, task.fact_index("test"), 4)
    assert (tail.tolist(), head.tolist()) == ([1, 1], [3, 3])
    # Validation triples do not filter each other either, unlike in a transductive task.
    rows = [("a", "r", "c"), ("a", "r", "a")]
    assert toy(valid=rows).evaluate(constant, "valid", return_ranks=True)["ranks"]["tail"].tolist() == [2, 2]
    one = KnowledgeGraphTask.from_names("one", TRAIN, rows, [])
    assert one.evaluate(constant, "valid", return_ranks=True)["ranks"]["tail"].tolist() == [1, 1]
    assert "hits@10(50)" not in one.evaluate(constant, "valid")


def test_a_target_that_is_a_fact_is_counted_once():
    task = toy()
    tail, head = count_negatives(task.train, task.fact_index("train"), 3)
    assert (tail.tolist(), head.tolist()) == ([2, 2], [2, 2])
    assert task.evaluate(Scores(levels=1), "train")["mr"] == 3


def test_a_query_whose_candidates_are_all_known():
    task = toy(facts=[("x", "r", "x"), ("x", "r", "y")], test=[("x", "q", "y")])
    task.test = torch.tensor([[0, 1, 1]])  # (x, r, y), a fact itself: x and y both answer it
    tail, head = count_negatives(task.test, task.fact_index("test"), 2)
    assert (tail.tolist(), head.tolist()) == ([0], [1])
    assert task.evaluate(Scores(levels=1), "test", return_ranks=True)["ranks"]["tail"].tolist() == [1]


def test_batches_come_from_the_training_graph_and_strict_negatives_avoid_the_positives_of_other_splits():
    task = two_graphs()
    for split in ("train", "valid", "test"):
        known = {tuple(fact) for fact in torch.cat([task.facts(split), task.triples(split)]).tolist()}
        batches = list(task.loader(split, batch_size=8, num_negatives=16))
        assert all(batch.graph is task.graph(split) for batch in batches)
        negatives = torch.cat([batch.triples[:, 1:].reshape(-1, 3) for batch in batches]).tolist()
        assert not known & {tuple(triple) for triple in negatives}
        assert max(max(h, t) for h, _, t in negatives) < len(task.entities_of(split))


def test_a_model_trains_on_one_graph_and_runs_on_the_other():
    task = two_graphs()
    torch.manual_seed(0)
    model = NBFNet.for_task(task, hidden_channels=8, num_layers=2, dependent=False)
    assert model.query.num_embeddings == 2 * task.num_relations
    before = task.evaluate(model, "test")
    for _ in range(5):
        assert math.isfinite(model.training_step(task, batch_size=8, num_negatives=4))
    after = task.evaluate(model, "test")
    assert after["count"] == 2 * task.test.size(0) and after != before
    # Nothing of the training graph is in the answers of the test graph: another training graph, same scores.
    other = two_graphs(seed=5)
    swapped = InductiveKnowledgeGraphTask(
        "two", other.train, other.valid, task.test_facts, task.test, task.entities, task.test_entities, task.relations
    )
    assert swapped.evaluate(model, "test") == after


def test_a_clean_task_has_a_certificate_without_warnings():
    certificate = two_graphs().leak_check()
    assert certificate.warnings == [] and len(certificate.checks) == 8
    assert certificate.checks[0][2] == "14 + 9 entities, 2 relations"
    assert "WARN" not in str(certificate)


def test_shared_entities_are_counted_and_warned_of():
    # y stands in both graphs, and so does the fact (b, q, c).
    task = toy(
        train=[*TRAIN, ("a", "r", "y")], facts=[*FACTS, ("b", "q", "c")], test=[*TEST, ("y", "r", "z"), ("z", "q", "c")]
    )
    assert task.shared_entities() == ["b", "c", "y"] and toy().shared_entities() == []
    certificate = task.leak_check()
    (warning,) = certificate.warnings
    assert warning[:2] == ("entities of the test graph that the training graph has too", 3)
    assert warning[2] == "b, c, y; in 2 test triples; 1 facts of the test graph are train facts"
    assert "\n  WARN  entities of the test graph that the training graph has too (3): b, c, y" in str(certificate)


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"valid": [TRAIN[0]]}, "triples of valid are in train too: 1 cases, such as .a, r, b."),
        (
            {"test": [FACTS[0]]},
            "test triples are edges of their message graph, as they are: 1 cases, such as .x, r, y.",
        ),
        # by name, although the ids on the two graphs differ
        (
            {"facts": [("b", "r", "x")], "test": [("b", "q", "c")]},
            "triples of test are in train too: .*, such as .b, q, c.",
        ),
        (
            {"facts": [("c", "q", "x")], "test": [("c", "r", "a")]},
            "triples of test are in valid too: .*, such as .c, r, a.",
        ),
    ],
)
def test_planted_leaks_are_found(spoilt, message):
    with pytest.raises(LeakError, match=message):
        toy(**spoilt).leak_check()


def test_equal_ids_on_different_graphs_are_no_leak():
    # On both graphs the triple (0, 0, 1), of other entities.
    task = toy(train=[("a", "r", "b")], valid=[], facts=[("x", "q", "y")], test=[("x", "r", "y")])
    assert task.train.tolist() == task.test.tolist()
    assert task.leak_check()


@pytest.mark.parametrize("place", ["test", "valid"])
def test_a_planted_inverse_is_found(place):
    task = toy()
    (h, r, t), *_ = task.triples(place).tolist()
    key = "test" if place == "test" else "train"
    entities = len(task.entities_of(place))
    task._graphs[key] = MessageGraph(torch.tensor([[t, h], [h, t]]), torch.tensor([r + 2, r + 2]), entities, 4)
    with pytest.raises(LeakError, match=f"{place} triples are edges of their message graph, inverted"):
        task.leak_check()


def test_the_training_graph_in_place_of_the_test_graph_is_found():
    class Mixed(InductiveKnowledgeGraphTask):
        def message_facts(self, split="train"):
            return torch.cat([super().message_facts(split), self.test]) if split == "test" else self.train

    plain = two_graphs()
    task = Mixed(
        "mixed", plain.train, plain.valid, plain.test_facts, plain.test,
        plain.entities, plain.test_entities, plain.relations,
    )  # fmt: skip
    with pytest.raises(LeakError, match="test triples are edges of their message graph"):
        task.leak_check()


def test_notes_speak_of_the_test_graph():
    task = toy(facts=[*FACTS, FACTS[0]], test=[("y", "r", "x"), ("x", "p", "v")])
    notes = {what: count for what, count, _ in task.leak_check().notes}
    assert notes == {
        "facts that the test graph repeats": 1,
        "entities of test without an edge in its message graph": 1,
        "relations of test without an edge in its message graph": 1,
        "test triples whose mirror (t, r, h) is a fact of the test graph": 1,
        "test triples whose entities a fact of the test graph joins, from tail to head": 1,
    }
