"""The index of known answers, against sets."""

import pytest
import torch
from hypothesis import given, settings
from kg_samples import triple_lists

from graphkit.data import FactIndex, triple_keys
from graphkit.errors import UserError

N, R = 6, 2


def both_directions(facts):
    return set(facts) | {(t, r + R, h) for h, r, t in facts}


def built(facts):
    return FactIndex.build(torch.tensor(facts, dtype=torch.int64).reshape(-1, 3), N, R)


def all_queries():
    return (x.reshape(-1) for x in torch.meshgrid(torch.arange(N), torch.arange(2 * R), indexing="ij"))


@settings(max_examples=50, deadline=None)
@given(triple_lists(N, R))
def test_answers_of_every_query(facts):
    index, known = built(facts + facts[:3]), both_directions(facts)
    heads, relations = all_queries()
    which, entity = index.answers(heads, relations)
    found = {(int(heads[q]), int(relations[q]), int(e)) for q, e in zip(which, entity, strict=True)}
    assert found == known and len(which) == len(known)
    assert index.find(heads, relations)[1].sum() == len(known)


@settings(max_examples=50, deadline=None)
@given(triple_lists(N, R))
def test_contains_is_membership(facts):
    index, known = built(facts), both_directions(facts)
    heads, relations = all_queries()
    for tail in range(N):
        inside = index.contains(heads, relations, torch.full_like(heads, tail))
        assert inside.tolist() == [
            (h, r, tail) in known for h, r in zip(heads.tolist(), relations.tolist(), strict=True)
        ]


@settings(max_examples=50, deadline=None)
@given(triple_lists(N, R))
def test_nth_other_lists_exactly_the_non_answers_in_order(facts):
    index, known = built(facts), both_directions(facts)
    heads, relations = all_queries()
    for head, relation in zip(heads.tolist(), relations.tolist(), strict=True):
        others = [e for e in range(N) if (head, relation, e) not in known]
        n = torch.arange(len(others)).unsqueeze(0)
        assert index.nth_other(torch.tensor([head]), torch.tensor([relation]), n).tolist() == [others]


def test_too_many_triples_to_number():
    with pytest.raises(UserError, match="63 bits"):
        triple_keys(torch.tensor([0]), torch.tensor([0]), torch.tensor([0]), 2**31, 4)
