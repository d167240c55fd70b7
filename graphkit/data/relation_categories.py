"""Relations by how many heads and tails they join (1-1, 1-N, N-1, N-N), and ranks broken down by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.metrics import ranking_metrics

__all__ = ["CATEGORIES", "MANY", "relation_cardinalities", "relation_categories", "relation_metrics"]

CATEGORIES = ("1-1", "1-N", "N-1", "N-N", "unseen")
"""Categories in the order of tables: heads first, then tails; ``unseen`` relations have no fact to count."""

MANY = 1.5
"""A side counts as N from this mean number of entities on, as 1 below it."""

_SIDES = ("tail", "head")


def relation_cardinalities(triples: Tensor, num_relations: int) -> tuple[Tensor, Tensor]:
    """Mean number of tails of a (head, relation), and of heads of a (relation, tail).

    With n distinct facts of relation r, h distinct heads and t distinct tails: n / h and n / t. Repeated facts count
    once.

    Args:
        triples: [n, 3] int64 facts (head, relation, tail).
        num_relations: R, without inverses.

    Returns:
        (tails per head [R], heads per tail [R]), float64; NaN for a relation without facts.

    Raises:
        UserError: for triples that are not [n, 3] int64, or a relation out of range.

    Example:
        >>> facts = torch.tensor([[0, 0, 1], [0, 0, 2], [3, 0, 2]])
        >>> relation_cardinalities(facts, 1)
        (tensor([1.5000], dtype=torch.float64), tensor([1.5000], dtype=torch.float64))
    """
    if triples.dtype != torch.int64 or triples.shape[1:] != (3,):
        raise UserError(f"triples are {triples.dtype} {list(triples.shape)}, expected int64 [n, 3]")
    triples = triples.cpu()
    if triples.size(0) and not (int(triples[:, 1].min()) >= 0 and int(triples[:, 1].max()) < num_relations):
        raise UserError(f"triples name a relation outside of 0 .. {num_relations - 1}")
    facts = torch.unique(triples, dim=0)

    def count(rows: Tensor) -> Tensor:
        return torch.bincount(torch.unique(rows, dim=0)[:, 0], minlength=num_relations).double()

    total = torch.bincount(facts[:, 1], minlength=num_relations).double()
    return total / count(facts[:, [1, 0]]), total / count(facts[:, [1, 2]])


def relation_categories(triples: Tensor, num_relations: int) -> list[str]:
    """Category of each relation: ``"1-1"``, ``"1-N"``, ``"N-1"``, ``"N-N"``, or ``"unseen"`` without a fact.

    The part before the dash is 1 when a (relation, tail) has fewer than 1.5 heads in the mean, the part behind it when
    a (head, relation) has fewer than 1.5 tails; else N. Hand in the train facts, so that nothing of the test split
    enters.

    Args:
        triples: [n, 3] int64 facts (head, relation, tail).
        num_relations: R, without inverses.

    Raises:
        UserError: as :func:`relation_cardinalities`.

    Source:
        Bordes et al., Translating Embeddings for Modeling Multi-relational Data, NeurIPS 2013, section 4.3.

    Example:
        >>> relation_categories(torch.tensor([[0, 0, 1], [0, 0, 2], [3, 1, 2]]), 3)
        ['1-N', '1-1', 'unseen']
    """
    tails, heads = relation_cardinalities(triples, num_relations)
    return [
        "unseen" if tail != tail else f"{'N' if head >= MANY else '1'}-{'N' if tail >= MANY else '1'}"
        for tail, head in zip(tails.tolist(), heads.tolist(), strict=True)
    ]


def relation_metrics(
    train: Tensor, triples: Tensor, ranks: Mapping[str, Tensor], relations: Sequence[str]
) -> dict[str, Any]:
    """Ranks of ranked triples by category of their relation and by relation, tails and heads apart.

    Args:
        train: [m, 3] int64 facts over which tails and heads are counted.
        triples: [n, 3] int64 triples that were ranked.
        ranks: ``{"tail": [n], "head": [n]}``, as ``evaluate(..., return_ranks=True)`` gives them.
        relations: names of the R relations.

    Returns:
        Plain values, fit for JSON: ``threshold``; ``categories``, one mapping each in the order of :data:`CATEGORIES`
        with ``category``, ``relations``, ``triples`` and the means ``tail`` and ``head``
        (:func:`graphkit.metrics.ranking_metrics`); ``relations``, the most frequent first, with ``relation``,
        ``category``, ``tails_per_head``, ``heads_per_tail`` (None without a train fact), ``triples``, ``tail`` and
        ``head``. Categories and relations without a ranked triple are left out.

    Raises:
        UserError: when ranks and triples differ in number, and as :func:`relation_cardinalities`.

    Example:
        >>> facts = torch.tensor([[0, 0, 1], [0, 0, 2]])
        >>> ranks = {"tail": torch.tensor([2]), "head": torch.tensor([1])}
        >>> found = relation_metrics(facts, torch.tensor([[0, 0, 3]]), ranks, ["owns"])
        >>> found["categories"][0]["category"], found["relations"][0]["tail"]["mrr"]
        ('1-N', 0.5)
    """
    for side in _SIDES:
        if side not in ranks or len(ranks[side]) != len(triples):
            found = len(ranks[side]) if side in ranks else "no"
            raise UserError(f"there are {len(triples)} triples and {found} {side} ranks; expected one of each side")
    tails, heads = relation_cardinalities(train, len(relations))
    category_of = relation_categories(train, len(relations))
    relation = triples[:, 1].cpu()
    count = torch.bincount(relation, minlength=len(relations))
    code = torch.tensor([CATEGORIES.index(name) for name in category_of], dtype=torch.int64)

    def means(chosen: Tensor) -> dict[str, Any]:
        sides = {side: ranking_metrics(ranks[side].cpu()[chosen]) for side in _SIDES}
        return {
            "triples": int(chosen.sum()),
            **{side: {key: value for key, value in row.items() if key != "count"} for side, row in sides.items()},
        }

    def known(value: Tensor) -> float | None:
        return None if bool(value.isnan()) else float(value)

    categories = []
    for place, name in enumerate(CATEGORIES):
        inside = code == place
        if bool(count[inside].sum()):
            used = int((count[inside] > 0).sum())
            categories.append({"category": name, "relations": used, **means(inside[relation])})
    # Most frequent first; of equally frequent ones the smaller id.
    order = torch.argsort(count, descending=True, stable=True)
    return {
        "threshold": MANY,
        "categories": categories,
        "relations": [
            {
                "relation": relations[r],
                "category": category_of[r],
                "tails_per_head": known(tails[r]),
                "heads_per_tail": known(heads[r]),
                **means(relation == r),
            }
            for r in order[count[order] > 0].tolist()
        ],
    }
