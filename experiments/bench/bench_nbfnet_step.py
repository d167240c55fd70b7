"""One training step of NBFNet (forward, backward, Adam) against the same model written with gather and scatter.

    python experiments/bench/bench_nbfnet_step.py [--rounds 5] [--data umls fb15k-237/v1 wn18rr/v1]
    python experiments/bench/bench_nbfnet_step.py --data fb15k-237 wn18rr --batch 4 --steps 50 --rounds 3

The unfused layer forms every message, PNA's 12 d features and the 13 d input of the linear map, and removes easy edges
by building a smaller graph; parameters, batches and mathematics are the same, and the losses are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial

import torch
from peak import measure, peak_of, write
from torch.nn import functional as F

from graphkit.data import KnowledgeGraphTask
from graphkit.datasets import load
from graphkit.models import NBFNet
from graphkit.nn import BellmanFordConv

SETTINGS = {"umls": (True, False), "fb15k-237": (True, True), "wn18rr": (False, False)}  # dependent, remove_one_hop


def unfused(
    conv: BellmanFordConv,
    x,
    query,
    source,
    boundary,
    graph,
    edge_type,
    *,
    edge_weight=None,
    edge_mask=None,
    classes=None,
):
    """DistMult and PNA as they are usually written."""
    edges = graph.edge_index
    if edge_mask is not None:
        edges, edge_type = edges[:, edge_mask], edge_type[edge_mask]
    relation = conv.relations(query)
    relation = relation if relation.dim() == 3 else relation.expand(len(x), -1, -1)
    rows = torch.arange(len(x))
    dense = torch.zeros_like(x).index_put((rows, source), boundary)
    message = x[:, edges[0]] * relation[:, edge_type]
    index = edges[1].view(1, -1, 1).expand_as(message)
    degree = (torch.bincount(edges[1], minlength=x.shape[1]) + 1).to(x.dtype).view(1, -1, 1)
    zeros = torch.zeros_like(x)
    mean = (zeros.index_add(1, edges[1], message) + dense) / degree
    square = (zeros.index_add(1, edges[1], message**2) + dense**2) / degree
    high = torch.maximum(torch.full_like(x, -torch.inf).scatter_reduce(1, index, message, "amax"), dense)
    low = torch.minimum(torch.full_like(x, torch.inf).scatter_reduce(1, index, message, "amin"), dense)
    std = (square - mean**2).clamp(min=1e-6).sqrt()
    features = torch.stack([mean, high, low, std], -1).unsqueeze(-1)
    scale = degree.log() / degree.log().mean()
    scalers = torch.cat([torch.ones_like(scale), scale, 1 / scale.clamp(min=1e-2)], -1)
    features = (features * scalers.view(1, -1, 1, 1, 3)).flatten(2)
    out = F.linear(torch.cat([x, features], -1), conv.linear.weight, conv.linear.bias)
    return conv.norm(out).relu() + x


class UnfusedNBFNet(NBFNet):
    def __init__(self, num_relations: int, hidden_channels: int = 32, num_layers: int = 6, **options):
        super().__init__(num_relations, hidden_channels, num_layers, **options)
        for layer in self.layers:
            layer.forward = lambda *a, _layer=layer, **k: unfused(_layer, *a, **k)


def models_of(task: KnowledgeGraphTask, name: str) -> dict[str, NBFNet]:
    dependent, one_hop = SETTINGS[name.split("/")[0]]
    made = {}
    for label, kind in (("unfused torch", UnfusedNBFNet), ("graphkit", NBFNet)):
        torch.manual_seed(0)
        made[label] = kind(task.num_relations, 32, 6, dependent=dependent, remove_one_hop=one_hop)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["umls", "fb15k-237/v1", "wn18rr/v1"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=0, help="also this many steps of graphkit alone")
    options = parser.parse_args()
    rows = []
    for name in options.data:
        task = load(name)
        loader = {"batch_size": options.batch, "num_negatives": 32}
        models = models_of(task, name)
        losses = {label: model.training_step(task, **loader) for label, model in models.items()}
        times = measure(
            {label: partial(m.training_step, task, **loader) for label, m in models.items()}, options.rounds
        )
        ours, theirs = times["graphkit"], times["unfused torch"]
        row = {
            "graph": name, "batch": options.batch, "negatives": 32, "layers": 6, "channels": 32, "times": times,
            "ratio": theirs["median"] / ours["median"], "memory_ratio": theirs["peak_mib"] / max(ours["peak_mib"], 1),
            "loss_difference": abs(losses["graphkit"] - losses["unfused torch"]),
        }  # fmt: skip
        if options.steps:
            del models["unfused torch"]
            seconds: list[float] = []

            def steps(model=models["graphkit"], seconds=seconds, task=task, loader=loader) -> None:
                for _ in range(options.steps):
                    begin = time.perf_counter()
                    model.training_step(task, **loader)
                    seconds.append(time.perf_counter() - begin)

            peak = peak_of(steps)
            row["steps"] = {"count": options.steps, "median": statistics.median(seconds), "peak_mib": peak / 2**20}
        rows.append(row)
        print(
            f"{name}: {ours['median']:.4f} s, unfused {theirs['median']:.4f} s ({row['ratio']:.1f}x), "
            f"MiB {ours['peak_mib']:.0f} against {theirs['peak_mib']:.0f} ({row['memory_ratio']:.1f}x), "
            f"losses differ by {row['loss_difference']:.1e}",
            flush=True,
        )
        write("nbfnet_steps" if options.steps else "nbfnet_step", rows)


if __name__ == "__main__":
    main()
