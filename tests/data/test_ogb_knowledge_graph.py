"""OGB's protocol: ranks among given negatives, negatives of the same type, a sampled validation split."""

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kg_samples import TableModel

from graphkit.data import FactIndex, OGBKnowledgeGraphTask, corrupt, rank_candidates
from graphkit.errors import UserError
from graphkit.metrics import ranks

N, R, TYPES = 14, 3, {"drug": 5, "gene": 1, "disease": 8}
PTR = torch.tensor([0, 5, 6, 14])


def type_of(entity):
    return 0 if entity < 5 else 1 if entity < 6 else 2


def ogb_task(seed=0, per_split=(40, 20, 15), negatives=(6, 9), types=TYPES):
    """Distinct random triples, each with negatives of the type of its answer; some repeat, some are facts."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randperm(N * N * R, generator=generator)[: sum(per_split)]
    triples = torch.stack([numbers // (N * R), numbers // N % R, numbers % N], dim=1)
    splits = triples.split(per_split)
    bounds = PTR if types else torch.tensor([0, N])

    def drawn(answer, size):
        kind = torch.searchsorted(bounds, answer, right=True)
        low, high = bounds[kind - 1], bounds[kind]
        share = torch.rand(len(answer), size, generator=generator)
        return (low.unsqueeze(1) + (share * (high - low).unsqueeze(1)).long()).to(torch.int32)

    found = {
        split: (drawn(rows[:, 2].contiguous(), negatives[0]), drawn(rows[:, 0].contiguous(), negatives[1]))
        for split, rows in zip(("valid", "test"), splits[1:], strict=True)
    }
    names = [f"e{i}" for i in range(N)], [f"r{i}" for i in range(R)]
    return OGBKnowledgeGraphTask("toy", *splits, *names, found, types)


def scores_given(task, model, split):
    """Scores of the answers [2n] and lists of their negatives', from the table; tails first."""
    triples, table = task.triples(split), model.table.detach()
    positive, negative = [], []
    for side, (given_tails, given_heads) in enumerate([task.negatives[split]] * 2):
        for i, (h, r, t) in enumerate(triples.tolist()):
            row = table[h, r] if side == 0 else table[t, r + R]
            positive.append(float(row[t if side == 0 else h]))
            given = given_tails[i] if side == 0 else given_heads[i]
            negative.append([float(row[j]) for j in given.tolist()])
    return positive, negative


@pytest.mark.parametrize("ties", ["mean", "pessimistic", "optimistic"])
@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_ranks_against_loops(ties, batch_size):
    task = ogb_task()
    model = TableModel(task, levels=3)
    found = task.evaluate(model, "test", ties=ties, batch_size=batch_size, return_ranks=True)
    expected = []
    for answer, others in zip(*scores_given(task, model, "test"), strict=True):
        above, level = sum(s > answer for s in others), sum(s == answer for s in others)
        expected.append(1 + above + {"mean": level / 2, "pessimistic": level, "optimistic": 0}[ties])
    n = len(task.test)
    assert found["ranks"]["tail"].tolist() == expected[:n] and found["ranks"]["head"].tolist() == expected[n:]
    assert found["count"] == 2 * n and found["mrr"] == pytest.approx(sum(1 / x for x in expected) / (2 * n))
    assert found["hits@3"] == pytest.approx(sum(x <= 3 for x in expected) / (2 * n))
    assert found["tail_mrr"] == pytest.approx(sum(1 / x for x in expected[:n]) / n)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_ogbs_evaluator_with_ties(seed, monkeypatch):
    monkeypatch.setitem(os.environ, "OUTDATED_IGNORE", "1")
    evaluators = pytest.importorskip("ogb.linkproppred.evaluate", reason="ogb is not installed")
    task = ogb_task(seed, negatives=(7, 7))
    model = TableModel(task, seed, levels=3)
    positive, negative = (torch.tensor(values) for values in scores_given(task, model, "test"))
    assert bool((negative == positive.unsqueeze(1)).any())
    for name in ("ogbl-biokg", "ogbl-wikikg2"):
        official = evaluators.Evaluator(name=name).eval({"y_pred_pos": positive, "y_pred_neg": negative})
        ours = task.evaluate(model, "test")
        for key in ("mrr", "hits@1", "hits@3", "hits@10"):
            assert ours[key] == pytest.approx(float(official[f"{key}_list"].double().mean()), abs=1e-7)
    reciprocal = ranks(positive, negative, ties="mean").reciprocal()
    torch.testing.assert_close(reciprocal.float(), official["mrr_list"], rtol=1e-6, atol=0)


def test_each_query_is_scored_once_in_evaluation_mode():
    task = ogb_task(2)
    task.test[1:4] = task.test[0]  # four triples of two queries
    task.test[4, :2] = task.test[0, :2]
    model = TableModel(task)
    model.train()
    steps = []
    task.evaluate(model, "test", batch_size=4, progress=lambda done, total: steps.append((done, total)))
    assert len(model.asked) == len(set(model.asked)) == steps[-1][1] == steps[-1][0] < 2 * len(task.test)
    assert model.modes == {(False, False, False)} and model.training and model.inner.training


def test_many_targets_of_one_query_in_pieces(monkeypatch):
    task = ogb_task(3)
    model = TableModel(task)
    whole = task.evaluate(model, "test", return_ranks=True)["ranks"]
    monkeypatch.setattr("graphkit.data.candidate_ranking._COMPARE", 8)
    pieces = task.evaluate(model, "test", return_ranks=True)["ranks"]
    assert all(torch.equal(whole[side], pieces[side]) for side in ("tail", "head"))


def test_a_constant_model_has_the_mean_rank():
    task = ogb_task(negatives=(6, 9))

    class Constant:
        def score_queries(self, graph, heads, relations):
            return torch.zeros(len(heads), graph.num_nodes)

    found = task.evaluate(Constant(), "valid", return_ranks=True)["ranks"]
    assert set(found["tail"].tolist()) == {4.0} and set(found["head"].tolist()) == {5.5}
    assert set(task.evaluate(Constant(), "valid", ties="pessimistic", return_ranks=True)["ranks"]["head"].tolist()) == {
        10
    }


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=60, deadline=None)
def test_negatives_have_the_type_of_what_they_replace(seed, strict):
    task = ogb_task(seed % 5)
    index = FactIndex.build(task.train, N, R) if strict else None
    rows = task.train[:9]
    try:
        triples = corrupt(rows, index, N, 50, seed=seed, epoch=1, step=2, type_ptr=PTR)
    except UserError as error:  # the one gene may be a known answer
        assert "every entity of its type is a known" in str(error)
        return
    facts = set(map(tuple, task.train.tolist()))
    for i, group in enumerate(triples.tolist()):
        positive = group[0]
        assert positive == rows[i].tolist()
        for negative in group[1:]:
            side = 2 if i < 4 else 0
            assert [x for j, x in enumerate(negative) if j != side] == [x for j, x in enumerate(positive) if j != side]
            assert type_of(negative[side]) == type_of(positive[side])
            assert not strict or tuple(negative) not in facts


def test_every_allowed_negative_is_drawn_equally_often():
    facts = torch.tensor([[0, 0, 7], [0, 0, 9], [0, 0, 2], [1, 0, 8]])
    index = FactIndex.build(facts, N, R)
    drawn = corrupt(facts[[0, 0]], index, N, 60_000, seed=0, epoch=0, step=0, type_ptr=PTR)[0, 1:, 2]
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == [6, 8, 10, 11, 12, 13]  # diseases but for 7 and 9; the drug 2 does not matter
    assert counts.float().std() < 4 * (60_000 / 6) ** 0.5


def test_without_types_nothing_changes():
    task = ogb_task(1)
    index = task.fact_index("train")
    place = {"seed": 3, "epoch": 1, "step": 4}
    untyped = corrupt(task.train, index, N, 20, **place)
    one_type = corrupt(task.train, index, N, 20, **place, type_ptr=torch.tensor([0, N]))
    assert torch.equal(untyped, one_type)
    same = next(iter(task.loader(batch_size=40, num_negatives=20, same_type=False, seed=3)))
    plain = super(OGBKnowledgeGraphTask, task).loader(batch_size=40, num_negatives=20, seed=3)
    assert torch.equal(same.triples, next(iter(plain)).triples)
    assert torch.equal(
        next(iter(ogb_task(1, types=None).loader(batch_size=40, seed=3, strict=False))).triples,
        next(iter(super(OGBKnowledgeGraphTask, task).loader(batch_size=40, seed=3, strict=False))).triples,
    )


def test_passes_may_be_short_and_begun_anywhere():
    task = ogb_task(4)
    options = {"batch_size": 4, "num_negatives": 2, "strict": False, "steps_per_epoch": 3, "seed": 5}
    passes = [[batch.triples for batch in task.loader(**options, epoch=epoch)] for epoch in range(3)]
    assert [len(batches) for batches in passes] == [3, 3, 3]
    first = {tuple(row) for batch in passes[0] for row in batch[:, 0].tolist()}
    assert len(first) == 12 and first != {tuple(row) for batch in passes[1] for row in batch[:, 0].tolist()}
    rest = [batch.triples for batch in task.loader(**options, epoch=1, start=1)]
    assert all(torch.equal(one, other) for one, other in zip(rest, passes[1][1:], strict=True))
    assert [len(task.loader(**options, steps=steps)) for steps in (2, 9)] == [2, 3]
    for wrong in (0, True):
        with pytest.raises(UserError, match="steps_per_epoch is"):
            task.loader(steps_per_epoch=wrong)


def test_a_sample_of_the_validation_split():
    task = ogb_task()
    sampled = task.sample_valid(5)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1024))[:5]
    assert torch.equal(sampled.valid, task.valid[order]) and torch.equal(sampled.test, task.test)
    for one, other in zip(sampled.negatives["valid"], task.negatives["valid"], strict=True):
        assert torch.equal(one, other[order])
    model = TableModel(task)
    ranks_all = task.evaluate(model, "valid", return_ranks=True)["ranks"]
    assert torch.equal(sampled.evaluate(model, "valid", return_ranks=True)["ranks"]["tail"], ranks_all["tail"][order])
    assert sampled.evaluate(model, "test") == task.evaluate(model, "test")
    assert torch.equal(sampled.facts("test"), task.facts("test"))
    assert sampled.entity_types == task.entity_types and len(task.sample_valid(99).valid) == 20
    with pytest.raises(UserError, match="valid_triples is 0"):
        task.sample_valid(0)


def test_the_certificate_notes_doubtful_negatives():
    task = ogb_task(5)
    task.valid[0], task.negatives["valid"][0][0] = torch.tensor([0, 0, 7]), torch.tensor([7, 7, 1, 8, 9, 10])
    task.train[0] = torch.tensor([0, 0, 8])
    tails = {
        what: count for what, count, _ in task.leak_check().notes if what.startswith("given tail negatives of valid")
    }
    triples, negatives = task.valid.tolist(), task.negatives["valid"][0].tolist()
    facts = set(map(tuple, task.facts("valid").tolist()))
    pairs = [(h, r, t, c) for (h, r, t), row in zip(triples, negatives, strict=True) for c in row]
    assert tails == {
        "given tail negatives of valid that are the answer": sum(c == t for _, _, t, c in pairs),
        "given tail negatives of valid of another type than the answer": 1,
        "given tail negatives of valid that are known facts": sum((h, r, c) in facts for h, r, _, c in pairs),
    }


def test_by_relation_takes_fractional_ranks():
    task = ogb_task(6)
    result = task.evaluate(TableModel(task), "test", return_ranks=True)
    found = task.by_relation(result["ranks"])
    total = sum(row["triples"] * row["tail"]["mrr"] for row in found["relations"]) / len(task.test)
    assert total == pytest.approx(result["tail_mrr"])


def test_misuse_is_named():
    task = ogb_task()
    with pytest.raises(UserError, match="gives no negatives for train; evaluate valid or test"):
        task.evaluate(TableModel(task), "train")
    with pytest.raises(UserError, match="unknown split 'tset'"):
        task.evaluate(TableModel(task), "tset")
    good, parts = task.negatives, ("toy", task.train, task.valid, task.test, task.entities, task.relations)
    for spoilt, message in (
        ({"valid": good["valid"]}, "has no negatives for test"),
        (
            {**good, "test": good["valid"]},
            r"tail negatives of test of toy are torch.int32 \[20, 6\], expected .*\[15, K\]",
        ),
        ({**good, "test": (good["test"][0] + N, good["test"][1])}, r"outside of 0 \.\. 13"),
        ({**good, "test": (good["test"][0].float(), good["test"][1])}, "expected whole numbers"),
    ):
        with pytest.raises(UserError, match=message):
            OGBKnowledgeGraphTask(*parts, spoilt)
    with pytest.raises(UserError, match="types of toy count 13 entities, but there are 14"):
        OGBKnowledgeGraphTask(*parts, good, {"drug": 13})
    with pytest.raises(UserError, match="no triples to rank"):
        rank_candidates(TableModel(task), task.graph(), task.test[:0], *good["test"])
    with pytest.raises(UserError, match=r"head negatives are .*expected whole numbers \[15, K\]"):
        rank_candidates(TableModel(task), task.graph(), task.test, good["test"][0], good["valid"][1])
