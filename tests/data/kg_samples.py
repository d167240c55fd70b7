"""Small knowledge graphs and models for the tests of graphkit.data."""

import torch
from hypothesis import strategies as st

from graphkit.data import KnowledgeGraphTask


def task_of(train, valid=(), test=(), *, entities, relations=1):
    """A task from lists of id triples."""
    splits = [torch.tensor(list(rows), dtype=torch.int64).reshape(-1, 3) for rows in (train, valid, test)]
    return KnowledgeGraphTask(
        "toy", *splits, entities=[f"e{i}" for i in range(entities)], relations=[f"r{i}" for i in range(relations)]
    )


def random_task(seed=0, entities=12, relations=3, facts=90):
    """Distinct random triples, two thirds of them train, the rest halved."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randperm(entities * entities * relations, generator=generator)[:facts]
    triples = torch.stack(
        [numbers // (entities * relations), numbers // entities % relations, numbers % entities], dim=1
    ).tolist()
    first, second = 2 * facts // 3, 5 * facts // 6
    return task_of(triples[:first], triples[first:second], triples[second:], entities=entities, relations=relations)


class TableModel(torch.nn.Module):
    """Scores from a table [N, 2R, N] of few distinct values; counts the queries it is asked."""

    def __init__(self, task, seed=0, levels=4):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        shape = (task.num_entities, 2 * task.num_relations, task.num_entities)
        self.table = torch.nn.Parameter(torch.randint(levels, shape, generator=generator).float())
        self.inner = torch.nn.Dropout()
        self.asked = []
        self.modes = set()

    def score_queries(self, graph, heads, relations):
        self.asked += list(zip(heads.tolist(), relations.tolist(), strict=True))
        self.modes.add((self.training, self.inner.training, torch.is_grad_enabled()))
        return self.table[heads, relations]


@st.composite
def triple_lists(draw, entities=6, relations=2, least=0, most=25):
    """Lists of distinct id triples."""
    entity, relation = st.integers(0, entities - 1), st.integers(0, relations - 1)
    return draw(st.lists(st.tuples(entity, relation, entity), min_size=least, max_size=most, unique=True))
