"""Small undirected graphs and scorers."""

import torch

from graphkit.data import LinkTask


def random_edges(nodes=40, edges=90, seed=0):
    """[2, edges] different undirected edges, in random directions."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.combinations(torch.arange(nodes)).t()
    chosen = pairs[:, torch.randperm(pairs.size(1), generator=generator)[:edges]]
    flip = torch.rand(edges, generator=generator) < 0.5
    return torch.where(flip, chosen.flip(0), chosen)


def random_task(nodes=40, edges=90, seed=0, **options):
    return LinkTask.from_edges("toy", random_edges(nodes, edges, seed), nodes, **{"split": "70/10/20", **options})


def pairs(*rows):
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 2).t()


class TableScorer:
    """Scores from a symmetric random table; remembers what it was asked."""

    def __init__(self, nodes=40, seed=0):
        table = torch.rand(nodes, nodes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.table, self.asked = table + table.t(), []

    def score_pairs(self, graph, pairs, *, batch_size=None, progress=None):
        self.asked.append((graph, pairs, batch_size))
        return self.table[pairs[0], pairs[1]]
