"""A training epoch of NCN and NCNC on Cora against the same model as it is usually written in torch.

    python experiments/bench/bench_ncn_epoch.py [--rounds 7] [--threads 2] [--profile]

The unfused model has the same weights and dropout rates: it rebuilds the adjacency without the batch in every step,
multiplies dense features, sends all nodes through the perceptron of neighbours, finds common neighbours by bisection of
packed keys, scores positives and negatives apart, and every missing link at each occurrence. Without dropout its losses
are compared with graphkit's. With NCN_REPO, a checkout of the released code (which needs torch-sparse, torch-scatter and
ogb), that is timed as well.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from peak import measure, write
from torch import Tensor
from torch.nn import functional as F

from graphkit.data import LinkTask, PairBatch
from graphkit.datasets import load
from graphkit.engine.config import load_config
from graphkit.engine.parameter_groups import parameter_groups
from graphkit.models import registry
from graphkit.nn.completed_neighbor import completion_probability
from graphkit.nn.dropout import Dropout


class Rows:
    """A sorted adjacency with the keys row * N + column, made anew in every step."""

    def __init__(self, edges: Tensor, num_nodes: int) -> None:
        self.n = num_nodes
        self.key = torch.cat([edges[0] * num_nodes + edges[1], edges[1] * num_nodes + edges[0]]).unique()
        self.row, self.col = self.key // num_nodes, self.key % num_nodes
        self.degree = torch.bincount(self.row, minlength=num_nodes)
        self.ptr = F.pad(self.degree.cumsum(0), (1, 0))

    def neighbours(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        count = self.degree[nodes]
        pair = torch.repeat_interleave(torch.arange(len(nodes)), count)
        offset = torch.arange(len(pair)) - (count.cumsum(0) - count)[pair]
        return pair, self.col[self.ptr[nodes][pair] + offset]

    def has(self, row: Tensor, col: Tensor) -> Tensor:
        key = row * self.n + col
        at = torch.searchsorted(self.key, key).clamp(max=max(len(self.key) - 1, 0))
        return self.key[at] == key


def layers(mlp: torch.nn.Module, x: Tensor) -> Tensor:
    """A perceptron with torch's own dropout."""
    for layer in mlp:
        x = F.dropout(x, layer.p, layer.training) if isinstance(layer, Dropout) else layer(x)
    return x


class Unfused:
    """The model's weights in plain torch."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model, self.encoder, self.head = model, model.encoder, model.predictor

    def states(self, x: Tensor, rows: Rows) -> Tensor:
        encoder, n = self.encoder, rows.n
        x = encoder.input(F.dropout(x, encoder.input_dropout, encoder.training))
        x = F.dropout(x, encoder.dropout.p, encoder.training)
        scale = (rows.degree + 1.0).rsqrt()
        matrix = torch.sparse_csr_tensor(rows.ptr, rows.col, torch.ones(len(rows.col)), (n, n))
        x = scale[:, None] * (matrix @ (scale[:, None] * x) + scale[:, None] * x)
        return encoder.jk[0] * layers(encoder.blocks[0], x)

    def dropped(self, rows: Rows) -> Rows:
        if not (self.head.training and self.head.edge_dropout):
            return rows
        upper = rows.row < rows.col
        edges = torch.stack([rows.row[upper], rows.col[upper]])
        return Rows(edges[:, torch.rand(edges.size(1)) >= self.head.edge_dropout], rows.n)

    def logits(self, h: Tensor, rows: Rows, pairs: Tensor, depth: int) -> Tensor:
        head, count = self.head, pairs.size(1)
        pooled = h + layers(head.node_mlp, h)
        pair, node = rows.neighbours(pairs[0])
        common = rows.has(pairs[1][pair], node)
        row, members, weight = pair[common], node[common], torch.ones(int(common.sum()))
        if depth:
            ends = [(pair[~common], node[~common], pairs[1])]
            other, far = rows.neighbours(pairs[1])
            alone = ~rows.has(pairs[0][other], far)
            ends.append((other[alone], far[alone], pairs[0]))
            for where, who, end in ends:
                kept = (who != pairs[0][where]) & (who != pairs[1][where])
                where, who = where[kept], who[kept]
                with torch.no_grad():
                    inner = self.logits(h, rows, torch.stack([end[where], who]), depth - 1)
                p = completion_probability(
                    inner, scale=head.scale, offset=head.offset, log_prior=head.log_prior, weight=head.weight
                )
                row, members, weight = torch.cat([row, where]), torch.cat([members, who]), torch.cat([weight, p])
        pool = torch.zeros(count, h.size(1)).index_add(0, row, pooled[members] * weight[:, None])
        state = layers(head.pair_mlp, h[pairs[0]] * h[pairs[1]]) + head.beta * layers(head.pool_mlp, pool)
        return layers(head.readout, state).squeeze(1)

    def loss(self, batch: PairBatch) -> Tensor:
        n, source, target = batch.graph.num_nodes, *batch.graph.edge_index
        keys = torch.cat([batch.positive[0] * n + batch.positive[1], batch.positive[1] * n + batch.positive[0]])
        kept = ~torch.isin(source * n + target, keys)
        rows = Rows(torch.stack([source[kept], target[kept]]), n)
        h = self.states(batch.graph.x, rows)
        depth = getattr(self.head, "depth", 0)
        positive = self.logits(h, self.dropped(rows), batch.positive, depth)
        negative = self.logits(h, self.dropped(rows), batch.negative, depth)
        return F.softplus(-positive).mean() + F.softplus(negative).mean()


def epoch_of(model: torch.nn.Module, loss: Callable[[PairBatch], Tensor], task: LinkTask, config) -> Callable[[], None]:
    optimizer = torch.optim.Adam(parameter_groups(model, config.train["lr"], config.train["lr_of"]))
    number = [0]

    def epoch() -> None:
        model.train()
        number[0] += 1
        for batch in task.loader("train", seed=0, epoch=number[0], **config.loader):
            optimizer.zero_grad(set_to_none=True)
            loss(batch).backward()
            optimizer.step()

    return epoch


def reference_epoch(which: str, task: LinkTask) -> Callable[[], None] | None:
    """One epoch of the released code, at its command line for Cora."""
    folder = os.environ.get("NCN_REPO")
    if not folder or not Path(folder).is_dir():
        return None
    stub = types.ModuleType("torch.utils.tensorboard")
    stub.SummaryWriter = object
    sys.modules.setdefault("torch.utils.tensorboard", stub)
    sys.path.insert(0, folder)
    try:
        import model as module
        import NeighborOverlap as loop
        from torch_geometric.data import Data
        from torch_sparse import SparseTensor
    except ImportError as error:
        print(f"the released code is left out: {error}")
        return None
    n, both = task.num_nodes, task.graph().edge_index
    data = Data(x=task.x, edge_index=both, num_nodes=n)
    data.max_x = -1
    data.adj_t = data.full_adj_t = SparseTensor.from_edge_index(both, sparse_sizes=(n, n)).to_symmetric().coalesce()
    split = {"train": {"edge": task.train.t()}}
    encoder = module.GCN(
        task.x.size(1), 256, 256, 1, 0.05, True, False, -1, "puregcn", True, 0.0, xdropout=0.7, taildropout=0.3,
        noinputlin=False,
    )  # fmt: skip
    make = partial(module.predictor_dict[which], cndeg=-1, use_xlin=True, tailact=True, twolayerlin=False, beta=1)
    if which == "incn1cn1":
        make = partial(
            make, depth=1, splitsize=-1, scale=4.3, offset=2.8, trainresdeg=-1, testresdeg=-1, pt=0.75, learnablept=False,
            alpha=1.0,
        )  # fmt: skip
    predictor = make(256, 256, 1, 3, 0.05, 0.4, True)
    groups = [{"params": encoder.parameters(), "lr": 0.0043}, {"params": predictor.parameters(), "lr": 0.0024}]
    optimizer = torch.optim.Adam(groups)
    return lambda: loop.train(encoder, predictor, data, split, optimizer, 1152, True, [], None)


def check(model: torch.nn.Module, task: LinkTask, config) -> float:
    """Largest difference of the losses of both formulations, without dropout."""
    model.eval()
    batches = task.loader("train", seed=0, **config.loader)
    plain = Unfused(model)
    with torch.no_grad():
        return max(abs(float(model.loss(batch)) - float(plain.loss(batch))) for batch in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--profile", action="store_true", help="also show where the time of graphkit's epoch goes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: list[dict[str, object]] = []
    for name, released in (("ncn", "cn1"), ("ncnc", "incn1cn1")):
        config = load_config(f"ncn/cora-{name}")
        task = load(**config.data_for(0))
        choices = {key: value for key, value in config.model.items() if key != "name"}
        calls: dict[str, Callable[[], object]] = {}
        for label in ("graphkit", "unfused torch"):
            torch.manual_seed(0)
            model = registry()[config.model["name"]].for_task(task, **choices)
            loss = model.loss if label == "graphkit" else Unfused(model).loss
            calls[label] = epoch_of(model, loss, task, config)
        difference = check(model, task, config)
        assert difference < 1e-4, f"the losses of the two formulations differ by {difference}"
        theirs = reference_epoch(released, task)
        if theirs is not None:
            calls["released code"] = theirs
        for call in calls.values():
            call()  # graphs and sparse features are sorted once
        found = measure(calls, options.rounds)
        ours = found["graphkit"]["median"]
        for label, figures in found.items():
            rows.append({
                "model": config.model["name"], "data": "cora", "steps": len(task.loader("train", **config.loader)),
                "implementation": label, "ratio": figures["median"] / ours, "loss_difference": difference, **figures,
            })  # fmt: skip
            print(
                f"{config.model['name']:5} {label:14} {figures['median']:.3f} s an epoch (least {figures['min']:.3f}), "
                f"{figures['median'] / ours:.2f} times graphkit's, {figures['peak_mib']:.0f} MiB"
            )
        if options.profile:
            show_profile(calls["graphkit"])
    write("ncn_epoch", rows)


def show_profile(epoch: Callable[[], object]) -> None:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        begin = time.perf_counter()
        epoch()
        print(f"profiled epoch: {time.perf_counter() - begin:.3f} s")
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=45))


if __name__ == "__main__":
    main()
