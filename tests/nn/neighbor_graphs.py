"""Random graphs and sets of neighbours written as nested loops, for the tests of heads on pairs."""

import torch

N = 14


def random_edges(seed=0, edges=26, nodes=N):
    pairs = torch.combinations(torch.arange(nodes)).t()
    return pairs[:, torch.randperm(pairs.size(1), generator=torch.Generator().manual_seed(seed))[:edges]]


def every_pair(nodes=N):
    return torch.combinations(torch.arange(nodes)).t()


def neighbours(edges, removed=(), nodes=N):
    gone = {frozenset(pair) for pair in removed}
    found = {node: set() for node in range(nodes)}
    for a, b in edges.t().tolist():
        if frozenset((a, b)) not in gone:
            found[a].add(b)
            found[b].add(a)
    return found


def two_steps(around):
    return {node: {far for near in around[node] for far in around[near]} for node in around}


def summed(x, nodes):
    return sum((x[node] for node in nodes), torch.zeros_like(x[0]))


def shaken(module, seed=1):
    """Weights that are nowhere 0 or 1 by convention, in float64, without dropout."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module.double().eval()
