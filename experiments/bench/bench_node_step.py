"""A training step of the baselines of node classification against PyG's own models with the same weights, in one process.

    python experiments/bench/bench_node_step.py [--rounds 15] [--threads 2]

On CoraML, whose features are bags of words, plain stacks of two layers, and Dir-GNN over means; on minesweeper stacks of five
with residuals and perceptrons. PyG's models get features and edges as its data sets hold them. Losses and gradients without
dropout are compared before anything is timed; what is timed drops. Both graphs come from GRAPHKIT_DATA. Results:
results/node_step.json.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable

import torch
import torch_geometric.nn as pyg
from peak import measure, write
from torch.nn import functional as F

from graphkit.data import NodeTask
from graphkit.datasets import load
from graphkit.models import GCN, MLP, DirGNN, GraphSAGE
from graphkit.nn import ResidualLayers

Step = Callable[[float], torch.Tensor]


def stack_of_pyg(model: torch.nn.Module, channels: list[int], layers: int) -> torch.nn.Module:
    """PyG's model of the same layers, with the weights of ours; for Dir-GNN PyG's layers in our model, which PyG has none of."""
    features, width, classes = channels
    if isinstance(model, DirGNN):
        made: torch.nn.Module = copy.deepcopy(model)
        made.sparse_input = False
        for number, layer in enumerate(made.convs):
            conv = pyg.SAGEConv(layer.conv_in.in_channels, layer.conv_in.out_channels, root_weight=False)
            made.convs[number] = pyg.DirGNNConv(conv, alpha=layer.alpha)
        made.load_state_dict(model.state_dict())
        return made
    if isinstance(model.stack, ResidualLayers):
        conv = pyg.GCNConv if isinstance(model, GCN) else pyg.SAGEConv
        made = ResidualLayers(
            features, width, layers, lambda: conv(width, width), out_channels=classes, feed_forward=True
        )
    elif isinstance(model, MLP):
        made = pyg.MLP([features, width, classes], dropout=0.0, norm=None)
    else:
        kind = pyg.GCN if isinstance(model, GCN) else pyg.GraphSAGE
        made = kind(features, width, layers, classes, dropout=0.0)
    made.load_state_dict(copy.deepcopy(model.stack.state_dict()))
    return made


def set_dropout(module: torch.nn.Module, p: float) -> None:
    """Of every layer, and of PyG's perceptron, which keeps one for each layer but the last."""
    for part in module.modules():
        if isinstance(part, DirGNN):
            part.dropout = p
        elif isinstance(part, pyg.MLP):
            part.dropout = [p] * (part.num_layers - 1) + [0.0]
        elif hasattr(part, "p") and type(part).__name__ == "Dropout":
            part.p = p


def steps(task: NodeTask, model: torch.nn.Module, layers: int, width: int) -> dict[str, tuple[Step, torch.nn.Module]]:
    """Loss and gradients of a batch, ours and PyG's, for a rate of dropout."""
    batch = next(iter(task.loader(seed=0)))
    data = batch.data
    twin = stack_of_pyg(model, [data.x.shape[1], width, model.config["out_channels"]], layers)

    def ours(p: float) -> torch.Tensor:
        model.input_dropout = p
        set_dropout(model, p)
        model.zero_grad()
        loss = model.loss(batch)
        loss.backward()
        return loss.detach()

    def theirs(p: float) -> torch.Tensor:
        set_dropout(twin, p)
        twin.zero_grad()
        x = data.x if isinstance(twin, (ResidualLayers, DirGNN)) else F.dropout(data.x, p)
        scores = twin(x) if isinstance(twin, pyg.MLP) else twin(x, data.edge_index)
        loss = F.cross_entropy(scores[batch.index], batch.y)
        loss.backward()
        return loss.detach()

    return {"graphkit": (ours, getattr(model, "stack", model)), "PyG": (theirs, twin)}


def compared(task: NodeTask, what: str, model: torch.nn.Module, layers: int, width: int, rounds: int) -> dict[str, object]:
    both = steps(task, model.train(), layers, width)
    losses = {name: step(0.0) for name, (step, _) in both.items()}
    torch.testing.assert_close(losses["graphkit"], losses["PyG"], rtol=1e-4, atol=1e-5)
    found = [dict(module.named_parameters()) for _, module in both.values()]
    for name, weight in found[0].items():
        torch.testing.assert_close(weight.grad, found[1][name].grad, rtol=1e-3, atol=1e-5)
    times = measure({name: (lambda step=step: step(0.5)) for name, (step, _) in both.items()}, rounds, in_a_row=True)
    data = task.data
    return {
        "what": f"{type(model).__name__}, {what}", "graph": task.name, "nodes": data.num_nodes, "edges": data.edge_index.shape[1],
        "features": data.x.shape[1], "filled": float(data.x.count_nonzero() / data.x.numel()), "times": times,
        "ratio": {"PyG": times["PyG"]["median"] / times["graphkit"]["median"]},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name, layers, options in (
        ("cora_ml", 2, {"dropout": 0.0}),
        ("minesweeper", 5, {"dropout": 0.0, "norm": "layer", "residual": True, "feed_forward": True}),
    ):
        task = load(name, task="node", direction="undirected")
        what = "two layers of 64" if layers == 2 else "five layers of 64 with residuals"
        for kind in (MLP, GCN, GraphSAGE, DirGNN) if layers == 2 else (GCN, GraphSAGE):
            torch.manual_seed(0)
            more = {"conv": "sage"} if kind is DirGNN else {}
            model = kind.for_task(task, hidden_channels=64, num_layers=layers, **options, **more)
            rows.append(compared(task, what, model, layers, 64, arguments.rounds))
            print(rows[-1])
    write("node_step", rows)


if __name__ == "__main__":
    main()
