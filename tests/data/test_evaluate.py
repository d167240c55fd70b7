"""Filtered ranking against the nested-loop definition, and its bookkeeping."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kg_samples import TableModel, random_task, task_of

import graphkit.data.batch_size
import graphkit.data.evaluation
from graphkit.errors import UserError
from graphkit.metrics import TIES


def defined_ranks(task, table, split, ties, filtered):
    """The definition, one candidate at a time."""
    known = {tuple(fact) for fact in task.facts(split).tolist()} if filtered else set()
    ranks = {"tail": [], "head": []}
    for h, r, t in task.triples(split).tolist():
        for side, anchor, relation, target in (("tail", h, r, t), ("head", t, r + task.num_relations, h)):
            scores = table[anchor][relation]
            greater = equal = 0
            for v in range(task.num_entities):
                fact = (h, r, v) if side == "tail" else (v, r, t)
                if v == target or fact in known:
                    continue
                greater += scores[v] > scores[target]
                equal += scores[v] == scores[target]
            rank = {"pessimistic": 1 + greater + equal, "optimistic": 1 + greater, "mean": 1 + greater + equal / 2}
            ranks[side].append(rank[ties])
    return ranks


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from(TIES),
    st.booleans(),
    st.sampled_from(["train", "valid", "test"]),
    st.integers(1, 40),
)
def test_ranks_follow_the_definition(seed, ties, filtered, split, batch_size):
    task = random_task(seed)
    model = TableModel(task, seed)
    result = task.evaluate(model, split, ties=ties, filtered=filtered, batch_size=batch_size, return_ranks=True)
    expected = defined_ranks(task, model.table.tolist(), split, ties, filtered)
    found = {side: ranks.tolist() for side, ranks in result["ranks"].items()}
    assert found == expected
    assert result["ranks"]["tail"].dtype == (torch.float64 if ties == "mean" else torch.int64)
    both = torch.tensor(expected["tail"] + expected["head"], dtype=torch.float64)
    assert result["count"] == len(both)
    assert result["mrr"] == pytest.approx((1 / both).mean().item())
    assert result["head_mrr"] == pytest.approx((1 / torch.tensor(expected["head"])).mean().item())
    assert result["hits@3"] == pytest.approx((both <= 3).double().mean().item())


def test_by_hand():
    # Tail query (0, 0, ?): answers 1 (train), 2 (valid). Scores 3 > 1 > 2 = 4 > 0.
    task = task_of([(0, 0, 1)], [(0, 0, 2)], entities=5)
    model = TableModel(task)
    with torch.no_grad():
        model.table[0, 0] = torch.tensor([0.0, 3.0, 2.0, 4.0, 2.0])
        model.table[2, 1] = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    result = task.evaluate(model, "valid", return_ranks=True)
    assert result["ranks"]["tail"].tolist() == [3]  # below 3, level with 4; 1 is known
    assert result["ranks"]["head"].tolist() == [1]
    assert task.evaluate(model, "valid", filtered=False, return_ranks=True)["ranks"]["tail"].tolist() == [4]
    assert task.evaluate(model, "valid", ties="optimistic", return_ranks=True)["ranks"]["tail"].tolist() == [2]


def test_a_constant_scorer_ranks_last_among_its_candidates():
    task = random_task()
    model = TableModel(task)
    torch.nn.init.zeros_(model.table)
    ranks = task.evaluate(model, "test", return_ranks=True)["ranks"]
    facts = task.facts("test").tolist()
    for (h, r, t), tail, head in zip(task.test.tolist(), ranks["tail"].tolist(), ranks["head"].tolist(), strict=True):
        assert tail == task.num_entities - sum(a == h and b == r for a, b, _ in facts) + 1
        assert head == task.num_entities - sum(c == t and b == r for _, b, c in facts) + 1


def test_infinite_scores():
    task = task_of([(0, 0, 1)], [(0, 0, 2)], entities=4)
    model = TableModel(task)
    with torch.no_grad():
        model.table.fill_(float("-inf"))
    # Known answers must not count even where the target scores as low as can be.
    assert task.evaluate(model, "valid", return_ranks=True)["ranks"]["tail"].tolist() == [3]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int32])
def test_other_score_types(dtype):
    task = random_task()
    model = TableModel(task)
    expected = task.evaluate(model)
    plain = model.table.detach().to(dtype)

    class Typed:
        def score_queries(self, graph, heads, relations):
            return plain[heads, relations]

    assert task.evaluate(Typed()) == expected


@pytest.mark.parametrize("ties", TIES)
def test_metrics_do_not_depend_on_the_batch_size(ties):
    task = random_task(facts=200)
    model = TableModel(task)
    whole = task.evaluate(model, "test", ties=ties, batch_size=10**6)
    assert all(task.evaluate(model, "test", ties=ties, batch_size=size) == whole for size in (1, 2, 3, 5, 17, None))


def test_targets_compared_in_pieces(monkeypatch):
    task = random_task(facts=200)
    model = TableModel(task)
    whole = task.evaluate(model, "test", batch_size=100)
    monkeypatch.setattr(graphkit.data.evaluation, "_COMPARE", 2 * task.num_entities)
    assert task.evaluate(model, "test", batch_size=100) == whole


def test_every_distinct_query_is_scored_once():
    # Two tails of (0, 0, ?), and a head query of its own for each.
    task = task_of([(3, 0, 3)], [(0, 0, 1), (0, 0, 2), (4, 0, 1)], entities=5)
    model = TableModel(task)
    seen = []
    task.evaluate(model, "valid", batch_size=2, progress=lambda done, total: seen.append((done, total)))
    assert sorted(model.asked) == [(0, 0), (1, 1), (2, 1), (4, 0)]
    assert seen == [(2, 4), (4, 4)]


def test_scores_are_left_as_they_were():
    task = random_task()
    model = TableModel(task)
    kept = torch.zeros(1, task.num_entities)

    class Buffered:
        def score_queries(self, graph, heads, relations):
            return kept.expand(len(heads), -1)

    task.evaluate(Buffered())
    assert kept.isnan().sum() == 0
    assert model.table.isnan().sum() == 0


@pytest.mark.parametrize("failing", [False, True])
def test_evaluation_mode_inside_and_restored_after(failing):
    task = random_task()
    model = TableModel(task)
    model.inner.eval()
    if failing:
        torch.nn.init.constant_(model.table, float("nan"))
        with pytest.raises(UserError):
            task.evaluate(model)
    else:
        task.evaluate(model)
    assert model.modes == {(False, False, False)}
    assert model.training and not model.inner.training and torch.is_grad_enabled()


def test_nan_scores_are_refused_and_the_query_named():
    task = task_of([(0, 0, 1)], [(2, 0, 3)], entities=4)
    model = TableModel(task)
    with torch.no_grad():
        model.table[3, 1, 0] = float("nan")
    with pytest.raises(UserError, match=r"NaN for the query \(head 3, relation 1\)"):
        task.evaluate(model)


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory"), MemoryError()]
)
def test_batches_are_halved_when_memory_runs_out(error):
    task = random_task(facts=200)
    model = TableModel(task)
    sizes = []

    class Hungry:
        def score_queries(self, graph, heads, relations):
            sizes.append(len(heads))
            if len(heads) > 3:
                raise error
            return model.table[heads, relations]

    assert task.evaluate(Hungry(), "test", batch_size=16) == task.evaluate(model, "test")
    assert sizes[:4] == [16, 8, 4, 2] and max(sizes[3:]) == 2


def test_a_query_that_does_not_fit_is_refused_and_other_errors_pass():
    task = random_task()

    class Failing:
        def __init__(self, error):
            self.error = error

        def score_queries(self, graph, heads, relations):
            raise self.error

    with pytest.raises(UserError, match="not even one query"):
        task.evaluate(Failing(MemoryError()))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        task.evaluate(Failing(RuntimeError("shape mismatch")))


def test_the_batch_size_follows_memory(monkeypatch):
    task = random_task()
    monkeypatch.setattr(graphkit.data.batch_size, "available_memory", lambda device: 2 * 10 * 10**6)

    class Sized:
        def __init__(self, need):
            self.need = need

        def query_bytes(self, graph):
            return self.need

    sizes = [graphkit.data.batch_size.queries_per_batch(Sized(n), task.graph()) for n in (0, 10**6, 10**9)]
    assert sizes == [256, 9, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ties": "best"}, "unknown tie rule"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"split": "tset"}, "did you mean 'test'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    task = random_task()
    with pytest.raises(UserError, match=message):
        task.evaluate(TableModel(task), **options)


def test_empty_splits_and_wrong_shapes_are_refused():
    task = task_of([(0, 0, 1)], [(1, 0, 0)], entities=3)

    class Short:
        def score_queries(self, graph, heads, relations):
            return torch.zeros(len(heads), 2)

    with pytest.raises(UserError, match="no test triples"):
        task.evaluate(Short(), "test")
    with pytest.raises(UserError, match=r"expected \[queries, entities\]"):
        task.evaluate(Short(), "valid")
