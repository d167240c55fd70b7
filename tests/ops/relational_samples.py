"""Small directed multigraphs, and the relational operator written as the loops of its definition, in float64."""

import math
from dataclasses import dataclass, replace

import torch

from graphkit import ops

MESSAGES = ("mul", "add", "rotate", "min")
REDUCES = ("sum", "mean", "max", "min", "pna")
BOUNDARIES = ("none", "dense", "sparse")
NUM_RELATIONS = 3

# (number of nodes, edges): asymmetric, with self-loops, parallel edges, isolated nodes, edges at the last node
GRAPHS = {
    "multigraph": (
        7,
        [(0, 1), (1, 0), (2, 1), (1, 2), (2, 4), (4, 4), (4, 4), (0, 6), (0, 6), (0, 6), (6, 2), (6, 6), (2, 1), (4, 1),
         (5, 4), (1, 4), (0, 4), (2, 6), (5, 6)],
    ),
    "edgeless": (3, []),
    "one node": (1, [(0, 0), (0, 0), (0, 0)]),
    "one node, edgeless": (1, []),
}  # fmt: skip


@dataclass
class Inputs:
    """Arguments of one call; ``options`` holds what relational_spmm and relational_pna share."""

    edges: torch.Tensor
    kind: torch.Tensor
    x: torch.Tensor
    relation: torch.Tensor
    num_nodes: int
    message: str
    reduce: str
    weight: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    boundary: torch.Tensor | tuple | None = None
    empty: float = 0.0

    def run(self, graph=None):
        options = dict(
            num_nodes=self.num_nodes, message=self.message, edge_weight=self.weight, edge_mask=self.mask,
            boundary=self.boundary, empty=self.empty,
        )  # fmt: skip
        graph = self.edges if graph is None else graph
        if self.reduce == "pna":
            return ops.relational_pna(graph, self.kind, self.x, self.relation, **options)
        return ops.relational_spmm(graph, self.kind, self.x, self.relation, reduce=self.reduce, **options)

    def leaves(self):
        """The differentiable arguments by name."""
        value = self.boundary[1] if isinstance(self.boundary, tuple) else self.boundary
        named = {"x": self.x, "relation": self.relation, "weight": self.weight, "boundary": value}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def with_leaves(self, leaves):
        """The same call on other values of the differentiable arguments."""
        boundary = leaves.get("boundary")
        if isinstance(self.boundary, tuple):
            boundary = (self.boundary[0], boundary)
        return replace(self, x=leaves["x"], relation=leaves["relation"], weight=leaves.get("weight"), boundary=boundary)

    def to(self, dtype):
        return self.with_leaves({name: tensor.to(dtype) for name, tensor in self.leaves().items()})

    def gradients(self, seed=0, graph=None):
        """The output and the gradients of its product with fixed random numbers, by name."""
        leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in self.leaves().items()}
        out = self.with_leaves(leaves).run(graph)
        generator = torch.Generator().manual_seed(seed)
        out.backward(torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype))
        return out.detach(), {name: tensor.grad for name, tensor in leaves.items()}


def make_inputs(message, reduce, *, graph="multigraph", weighted=False, masked=False, boundary="none", dependent=False,
                channels=6, batches=2, seed=0):  # fmt: skip
    """Random float64 arguments on one of GRAPHS."""
    num_nodes, pairs = GRAPHS[graph]
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t().contiguous()
    return random_inputs(
        edges, num_nodes, message, reduce, weighted=weighted, masked=masked, boundary=boundary, dependent=dependent,
        channels=channels, batches=batches, seed=seed,
    )  # fmt: skip


def random_inputs(edges, num_nodes, message, reduce, *, weighted=False, masked=False, boundary="none", dependent=False,
                  channels=6, batches=2, num_relations=NUM_RELATIONS, seed=0):  # fmt: skip
    """Random float64 arguments on given edges; weights have both signs."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    num_edges = edges.shape[1]
    inputs = Inputs(
        edges,
        torch.randint(num_relations, (num_edges,), generator=generator),
        normal(batches, num_nodes, channels),
        normal(batches, num_relations, channels) if dependent else normal(num_relations, channels),
        num_nodes,
        message,
        reduce,
    )
    if weighted:
        inputs.weight = normal(num_edges)
    if masked:
        inputs.mask = torch.rand(num_edges, generator=generator) < 0.6
    if boundary == "dense":
        inputs.boundary = normal(batches, num_nodes, channels)
    if boundary == "sparse":
        inputs.boundary = (torch.randint(num_nodes, (batches,), generator=generator), normal(batches, channels))
    return inputs


def one_message(message, x, relation):
    """The message of one edge, lists of floats."""
    if message == "mul":
        return [a * r for a, r in zip(x, relation, strict=True)]
    if message == "add":
        return [a + r for a, r in zip(x, relation, strict=True)]
    if message == "min":
        return [min(a, r) for a, r in zip(x, relation, strict=True)]
    half = len(x) // 2
    products = [complex(x[i], x[half + i]) * complex(relation[i], relation[half + i]) for i in range(half)]
    return [z.real for z in products] + [z.imag for z in products]


def reduced(reduce, column, empty):
    """The messages of one node in one channel, reduced: a list of one number, four for PNA."""
    if not column:
        return [empty] * (4 if reduce == "pna" else 1)
    if reduce == "sum":
        return [math.fsum(column)]
    mean = math.fsum(column) / len(column)
    if reduce == "mean":
        return [mean]
    if reduce in ("max", "min"):
        return [max(column) if reduce == "max" else min(column)]
    variance = math.fsum((m - mean) ** 2 for m in column) / len(column)
    return [mean, max(column), min(column), math.sqrt(max(variance, 1e-6))]


def by_definition(inputs):
    """out[b, v, c] by loops over queries, nodes, edges and channels."""
    batches, num_nodes, channels = inputs.x.shape
    x, relation = inputs.x.tolist(), inputs.relation.tolist()
    if inputs.relation.dim() == 2:
        relation = [relation] * batches
    edges = list(zip(*inputs.edges.tolist(), inputs.kind.tolist(), strict=True))
    weight = [1.0] * len(edges) if inputs.weight is None else inputs.weight.tolist()
    keep = [True] * len(edges) if inputs.mask is None else inputs.mask.tolist()
    out = torch.empty(batches, num_nodes, 4 if inputs.reduce == "pna" else 1, channels, dtype=torch.float64)
    for b in range(batches):
        messages = [[] for _ in range(num_nodes)]
        for v in range(num_nodes):
            if isinstance(inputs.boundary, tuple):
                here = int(inputs.boundary[0][b]) == v
                messages[v].append(inputs.boundary[1][b].tolist() if here else [0.0] * channels)
            elif inputs.boundary is not None:
                messages[v].append(inputs.boundary[b, v].tolist())
        for e, (source, target, kind) in enumerate(edges):
            if keep[e]:
                message = one_message(inputs.message, x[b][source], relation[b][kind])
                messages[target].append([weight[e] * m for m in message])
        for v in range(num_nodes):
            for c in range(channels):
                values = reduced(inputs.reduce, [m[c] for m in messages[v]], inputs.empty)
                out[b, v, :, c] = torch.tensor(values, dtype=torch.float64)
    return out if inputs.reduce == "pna" else out[:, :, 0]


def random_edges(num_nodes, num_edges, seed=0, *, hub=0, distinct=False):
    """Random edges; the first ``hub`` of them enter node 1, and as many leave node 2."""
    generator = torch.Generator().manual_seed(seed)
    if distinct:
        pairs = torch.randperm(num_nodes * num_nodes, generator=generator)[:num_edges]
        return torch.stack([pairs // num_nodes, pairs % num_nodes])
    edges = torch.randint(num_nodes, (2, num_edges), generator=generator)
    edges[1, :hub] = 1
    edges[0, hub : 2 * hub] = 2
    return edges[:, torch.randperm(num_edges, generator=generator)]
