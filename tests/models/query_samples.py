"""Small knowledge graphs, NBFNets and batches in float64."""

import torch

from graphkit.data import MessageGraph, QueryBatch
from graphkit.models import NBFNet

NODES, RELATIONS = 8, 3


def random_triples(seed=0, facts=16, nodes=NODES):
    """Distinct facts, self-loops among them; the last node occurs."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randperm(nodes * RELATIONS * nodes, generator=generator)[:facts]
    triples = torch.stack([numbers // (RELATIONS * nodes), numbers // nodes % RELATIONS, numbers % nodes], 1)
    triples[0], triples[1] = torch.tensor([2, 0, 2]), torch.tensor([0, 1, nodes - 1])
    return triples


def message_graph(triples, nodes=NODES):
    return MessageGraph.from_triples(triples, nodes, RELATIONS)


def double_model(seed=0, hidden_channels=6, num_layers=2, **options):
    """Weights with nothing at its initial value of zero or one."""
    torch.manual_seed(seed)
    model = NBFNet(RELATIONS, hidden_channels, num_layers, **options).double()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, mean=0.5)
    return model


def absent_triples(triples, count, seed=1, nodes=NODES):
    """Triples between pairs that no fact joins, in either direction."""
    joined = {frozenset(pair) for pair in triples[:, [0, 2]].tolist()}
    free = [(h, t) for h in range(nodes) for t in range(nodes) if frozenset((h, t)) not in joined]
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(free), generator=generator)[:count].tolist()
    return torch.tensor([(free[i][0], i % RELATIONS, free[i][1]) for i in chosen])


def batch_of(graph, triples, negatives=3, seed=2):
    """Each triple with random negatives: other tails in the first half of the rows, other heads in the second."""
    generator = torch.Generator().manual_seed(seed)
    rows = triples.unsqueeze(1).repeat(1, 1 + negatives, 1)
    half = len(rows) // 2
    other = torch.randint(graph.num_nodes, (len(rows), negatives), generator=generator)
    rows[:half, 1:, 2], rows[half:, 1:, 0] = other[:half], other[half:]
    return QueryBatch(graph, rows)


def every_query(graph):
    """Heads and relations of all queries, inverses counted."""
    relations = torch.arange(graph.num_relations)
    return torch.arange(graph.num_nodes).repeat(len(relations)), relations.repeat_interleave(graph.num_nodes)
