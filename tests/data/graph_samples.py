"""Small graphs with labels."""

import torch
from torch_geometric.data import Data

from graphkit.data import GraphTask


def ring(nodes, label, features=3, seed=0, chord=None):
    """A cycle, with a chord on request; features differ from graph to graph."""
    i = torch.arange(nodes)
    edges = torch.stack([i, (i + 1) % nodes])
    if chord is not None:
        edges = torch.cat([edges, torch.tensor([[0], [chord]])], 1)
    x = torch.randn(nodes, features, generator=torch.Generator().manual_seed(seed))
    return Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=label)


def rings(count=12, labels=None, **more):
    """Cycles of 3 to 7 nodes; classes 0 and 1 in turn, or the labels given."""
    labels = [torch.tensor([k % 2]) for k in range(count)] if labels is None else labels
    return [ring(3 + k % 5, labels[k], seed=k, **more) for k in range(count)]


def thirds(count=12, folds=2):
    """Masks of thirds of the graphs, turned by one fold after fold."""
    found = torch.zeros(3, folds, count, dtype=torch.bool)
    for fold in range(folds):
        for place, part in enumerate(torch.arange(count).roll(fold).chunk(3)):
            found[place, fold, part] = True
    return dict(zip(("train", "valid", "test"), found, strict=True))


def toy_task(graphs=None, folds=2, **options):
    graphs = rings() if graphs is None else graphs
    return GraphTask("toy", graphs, **thirds(len(graphs), folds), **options)
