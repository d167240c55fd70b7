"""Small graphs with features and classes, for tests of mixtures."""

import torch
from torch_geometric.data import Data

from graphkit.data import LinkTask, NodeTask


def planted(nodes=60, classes=3, channels=12, seed=0, name="planted", noise=1.0):
    """Nodes whose neighbours mostly share their class and whose features tell it."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % classes
    source = torch.randint(nodes, (nodes * 3,), generator=generator)
    same = torch.randint(nodes // classes, source.shape, generator=generator) * classes + y[source]
    other = torch.randint(nodes, source.shape, generator=generator)
    target = torch.where(torch.rand(source.shape, generator=generator) < 0.8, same, other)
    centres = torch.randn(classes, channels, generator=generator)
    x = centres[y] + noise * torch.randn(nodes, channels, generator=generator)
    place = torch.arange(nodes)
    parts = {
        "train": place < nodes // 3,
        "valid": (place >= nodes // 3) & (place < nodes // 2),
        "test": place >= nodes // 2,
    }
    data = Data(x=x, edge_index=torch.stack([source, target]), y=y)
    return NodeTask(name, data, **parts)


def links(seed=0, name="links", **options):
    """The edges of a planted graph as a link task."""
    task = planted(seed=seed)
    return LinkTask.from_edges(name, task.edge_index, task.num_nodes, x=task.x, **options)
