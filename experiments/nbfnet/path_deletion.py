"""Do explanations name what the score rests on? Deletes the facts of the heaviest path, or those of random paths.

    python experiments/nbfnet/path_deletion.py RUN_DIR [--triples 200] [--random_paths 5] [--seed 0]

For test triples spaced evenly over the split: the drop of the triple's score when the facts along the heaviest path
(both directions of each) are taken out of the message graph, beside the mean drop for random paths of the same length.
Random paths are uniform over all walks of that length from head to tail that, like explanations, arrive once, and go
along other facts than the heaviest path. Paired over the triples: Wilcoxon's signed-rank test (one-sided), mean
difference with its standard error. Triples without a path, or without another path of that length, are counted and left
out. Writes experiments/results/path_deletion-NAME.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from graphkit.data import MessageGraph  # noqa: E402
from graphkit.data.query_batches import device_of, evaluation_mode  # noqa: E402
from graphkit.engine.environment import git_commit, versions  # noqa: E402
from graphkit.engine.recorded import recorded_run  # noqa: E402
from graphkit.engine.run_record import read_run  # noqa: E402
from graphkit.errors import UserError  # noqa: E402
from graphkit.files import atomic_write  # noqa: E402
from graphkit.models.path_explanation import triple_edges  # noqa: E402
from graphkit.nn import heaviest_walks  # noqa: E402


class RandomWalks:
    """Uniform samples of the walks of a given length from anywhere to one target, which they reach at their end only.

    With c_t(v) the number of such walks of t edges from v, an edge v -> w is taken with probability c_{t-1}(w) / c_t(v).
    """

    def __init__(self, graph: MessageGraph, target: int, length: int, usable: torch.Tensor) -> None:
        keep = usable & (graph.edge_index[0] != target)
        self.edge = keep.nonzero().squeeze(1).cpu()
        self.begin, self.end = graph.edge_index[:, keep].cpu()
        counts = torch.zeros(length + 1, graph.num_nodes, dtype=torch.float64)
        counts[0, target] = 1.0
        for t in range(1, length + 1):
            counts[t].index_add_(0, self.begin, counts[t - 1][self.end])
        self.counts = counts

    def count(self, source: int) -> float:
        """Number of walks from a node."""
        return float(self.counts[-1, source])

    def draw(self, source: int, random: np.random.Generator) -> list[int]:
        """A walk as columns of the graph's ``edge_index``; there must be one."""
        walk, node = [], source
        for left in range(len(self.counts) - 1, 0, -1):
            out = (self.begin == node).nonzero().squeeze(1)
            weight = self.counts[left - 1][self.end[out]].numpy()
            chosen = int(out[random.choice(len(out), p=weight / weight.sum())])
            walk.append(int(self.edge[chosen]))
            node = int(self.end[chosen])
        return walk


def facts_of(graph: MessageGraph, edges: list[int]) -> list[int]:
    """All edges that are one of the facts along a walk, in either direction; sorted."""
    begin, end = graph.edge_index[:, edges].tolist()
    steps = zip(begin, graph.edge_type[edges].tolist(), end, strict=True)
    return sorted({edge for step in steps for edge in triple_edges(graph, *step).tolist()})


@torch.no_grad()
def score(model: Any, graph: MessageGraph, triple: tuple[int, int, int], mask: torch.Tensor) -> float:
    """Score of a triple on the edges that a mask leaves."""
    head, relation, tail = triple
    ends = torch.tensor([[head], [relation]], device=graph.device)
    hidden, query = model.node_states(graph, ends[0], ends[1], edge_mask=mask)
    return float(model.readout(torch.cat([state[:, [tail]] for state in hidden], -1), query))


def drops(
    model: Any, graph: MessageGraph, triple: tuple[int, int, int], random_paths: int, random: np.random.Generator
) -> dict[str, Any] | str:
    """How far the score falls without the heaviest path and without random ones; or why the triple is left out."""
    head, _, tail = triple
    mask = torch.ones(graph.num_edges, dtype=torch.bool, device=graph.device)
    mask[triple_edges(graph, *triple)] = False
    walks = heaviest_walks(
        graph.csr, model.edge_importance(graph, *triple, edge_mask=mask), head, tail, num_nodes=graph.num_nodes,
        edge_mask=mask,
    )  # fmt: skip
    if not walks:
        return "no path"
    best = walks[0]
    deleted = facts_of(graph, best.edges)
    # another path may share facts with the heaviest one, but not all of them
    others = RandomWalks(graph, tail, len(best.edges), mask)
    drawn = []
    for _ in range(20 * random_paths):
        if len(drawn) == random_paths:
            break
        walk = facts_of(graph, others.draw(head, random))
        if walk != deleted:
            drawn.append(walk)
    if not drawn:
        return "no other path of that length"
    whole = score(model, graph, triple, mask)

    def drop(edges: list[int]) -> float:
        left = mask.clone()
        left[edges] = False
        return whole - score(model, graph, triple, left)

    return {
        "triple": list(triple), "length": len(best.edges), "weight": best.weight, "walks": others.count(head),
        "score": whole, "top": drop(deleted), "random": float(np.mean([drop(walk) for walk in drawn])),
        "random_paths": len(drawn),
    }  # fmt: skip


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The paired comparison over the triples."""
    top, random = (np.array([row[name] for row in rows]) for name in ("top", "random"))
    difference = top - random
    n = len(difference)
    test = stats.wilcoxon(difference, alternative="greater") if n and np.any(difference) else None
    return {
        "n": n, "mean_drop_top": float(top.mean()) if n else None, "mean_drop_random": float(random.mean()) if n else None,
        "mean_difference": float(difference.mean()) if n else None,
        "standard_error": float(difference.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
        "median_difference": float(np.median(difference)) if n else None,
        "share_top_drops_more": float((difference > 0).mean()) if n else None,
        "wilcoxon_statistic": None if test is None else float(test.statistic),
        "p_value": None if test is None else float(test.pvalue),
    }  # fmt: skip


def measure(model: Any, task: Any, triples: int = 200, random_paths: int = 5, seed: int = 0) -> dict[str, Any]:
    """Rows and summary for a model on evenly spaced test triples of a task."""
    test = task.triples("test").tolist()
    graph = task.graph("test")
    graph = graph.to(device_of(model, graph))
    random = np.random.default_rng(seed)
    rows, left_out = [], {}
    places = sorted({place * len(test) // triples for place in range(triples)})
    with evaluation_mode(model):
        for place in places:
            found = drops(model, graph, tuple(test[place]), random_paths, random)
            if isinstance(found, str):
                left_out[found] = left_out.get(found, 0) + 1
            else:
                rows.append(found)
    return {**summary(rows), "asked": len(places), "left_out": left_out, "rows": rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--triples", type=int, default=200)
    parser.add_argument("--random_paths", type=int, default=5, help="random paths a triple (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random paths")
    parser.add_argument("--run_seed", type=int, help="whose weights (default: the best on validation)")
    parser.add_argument("--out", type=Path, help="default: experiments/results/path_deletion-NAME.json")
    options = parser.parse_args()
    if options.triples < 1 or options.random_paths < 1:
        parser.error("--triples and --random_paths must be at least 1")
    try:
        model, task, run_seed = recorded_run(options.run_dir, options.run_seed)
        name = read_run(options.run_dir).name
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    found = measure(model, task, options.triples, options.random_paths, options.seed)
    head = {
        "experiment": name, "data": task.name, "run_seed": run_seed, "seed": options.seed, "commit": git_commit(),
        "versions": versions(), "random_paths": options.random_paths,
    }  # fmt: skip
    out = options.out or ROOT / "experiments" / "results" / f"path_deletion-{name.replace('/', '-')}.json"
    with atomic_write(out) as file:
        file.write((json.dumps({**head, **found}, indent=1) + "\n").encode())
    shown = {key: value for key, value in found.items() if key != "rows"}
    print(json.dumps(shown, indent=1))
    print(f"written: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
