"""Experts of GMoPE in one pass against a loop over experts, and tuning with a cache against tuning without.

    python experiments/bench/bench_gmope.py [--threads 1] [--rounds 7] [--only bank propagation tuning] [--scale 1.0]

bank         forward and backward of M = 7 GCNs of three layers, 100 features, prompts of 32, 64 hidden channels: one batched pass
             against a loop over the same weights with graphkit's own sparse product, and against a loop of PyG's GCNConv;
             outputs compared. Graphs of the size of Cora, Computers and PubMed with random edges.
propagation  the first layer's propagation: once for all experts against once for each on its own prompted input.
tuning       a step of prompt tuning (5 labels of each of 7 classes) with the cache and without, and of full tuning; losses of both
             after ten steps compared.

Results: results/gmope.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import torch
from peak import measure, write
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data import FewShotSplit, NodeTask
from graphkit.engine.prompt_tuning import _encoder
from graphkit.engine.tuning_problem import tuning_problem
from graphkit.models import GMoPE
from graphkit.nn import ExpertBank, PromptBank
from graphkit.nn.graph_propagation import GraphPropagation
from graphkit.ops import SimpleGraph

Row = dict[str, object]
GRAPHS = {"cora": (2708, 5278), "computers": (13752, 245861), "pubmed": (19717, 44324)}
EXPERTS, FEATURES, PROMPT, HIDDEN, LAYERS = 7, 100, 32, 64, 3


def random_graph(nodes: int, edges: int, scale: float) -> tuple[Tensor, int]:
    nodes, edges = max(50, int(nodes * scale)), max(60, int(edges * scale))
    generator = torch.Generator().manual_seed(0)
    tail = (torch.rand(edges, generator=generator, dtype=torch.float64) ** 2 * nodes).long()
    return torch.stack([tail, torch.randint(nodes, (edges,), generator=generator)]), nodes


class Loop(torch.nn.Module):
    """The bank's networks one after the other, each on its own prompted input."""

    def __init__(self, bank: ExpertBank, prompts: PromptBank) -> None:
        super().__init__()
        self.bank, self.prompts = bank, prompts

    def forward(self, x: Tensor, propagate: Callable[[Tensor], Tensor]) -> Tensor:
        out = []
        for m in range(EXPERTS):
            state = torch.cat([x, self.prompts.prompt[m].expand(len(x), -1)], 1)
            weight = torch.cat([self.bank.weight[m, 0], self.bank.prompt_weight[m, 0]])
            state = torch.addmm(self.bank.bias[m], propagate(state), weight)
            for layer in self.bank.layers:
                state = torch.addmm(layer.bias[m], propagate(state.relu()), layer.weight[m])
            out.append(state)
        return torch.stack(out)


def bank(rounds: int, scale: float) -> Iterator[Row]:
    from torch_geometric.nn.conv.gcn_conv import gcn_norm
    from torch_geometric.utils import spmm, to_torch_csr_tensor

    for name, (n, e) in GRAPHS.items():
        edges, nodes = random_graph(n, e, scale)
        graph = SimpleGraph(edges, num_nodes=nodes)
        x = torch.randn(nodes, FEATURES)
        torch.manual_seed(0)
        experts, prompts = ExpertBank(FEATURES, PROMPT, HIDDEN, EXPERTS, LAYERS).eval(), PromptBank(EXPERTS, PROMPT)
        loop, matrix = Loop(experts, prompts), GraphPropagation(graph)
        both = torch.stack([graph.row(), graph.col.long()])
        index, weight = gcn_norm(both, None, nodes, add_self_loops=True)
        csr = to_torch_csr_tensor(index, weight, (nodes, nodes))
        parameters = [*experts.parameters(), *prompts.parameters()]

        def step(forward: Callable[[], Tensor], parameters: list[Tensor] = parameters) -> Callable[[], object]:
            return lambda: torch.autograd.grad(forward().square().mean(), parameters)

        calls = {
            "one pass": step(lambda x=x, g=graph, b=experts, p=prompts: b(x, g, p)),
            "loop over experts": step(lambda x=x, m=matrix, f=loop: f(x, m)),
            "loop over experts, torch's sparse product": step(lambda x=x, c=csr, f=loop: f(x, lambda h: spmm(c, h))),
        }
        features = experts.propagated(x, graph)
        calls["one pass, features propagated before"] = step(lambda f=features, b=experts, p=prompts: b(f, None, p))
        with torch.no_grad():
            error = float((experts(x, graph, prompts) - loop(x, matrix)).abs().max())
            exact = [m.double() for m in (experts, prompts)]
            double = float((exact[0](x.double(), graph, exact[1]) - loop(x.double(), matrix)).abs().max())
            for module in exact:
                module.float()
        times = measure(calls, rounds)
        yield {
            "what": "forward and backward", "graph": name, "nodes": nodes, "edges": graph.num_edges, "experts": EXPERTS,
            "times": times, "largest_difference": error, "largest_difference_float64": double,
            "ratio": {key: found["median"] / times["one pass"]["median"] for key, found in times.items() if key != "one pass"},
        }  # fmt: skip


def propagation(rounds: int, scale: float) -> Iterator[Row]:
    for name, (n, e) in GRAPHS.items():
        edges, nodes = random_graph(n, e, scale)
        matrix = GraphPropagation(edges, num_nodes=nodes)
        x, wide = torch.randn(nodes, FEATURES + 1), torch.randn(nodes, FEATURES + PROMPT)
        calls: dict[str, Callable[[], object]] = {
            "once": lambda m=matrix, x=x: m(x),
            "for each expert": lambda m=matrix, x=wide: [m(x) for _ in range(EXPERTS)],
        }
        times = measure(calls, rounds)
        yield {
            "what": "first propagation", "graph": name, "nodes": nodes, "edges": matrix.graph.num_edges, "times": times,
            "ratio": {"for each expert": times["for each expert"]["median"] / times["once"]["median"]},
        }  # fmt: skip


def tuning(rounds: int, scale: float) -> Iterator[Row]:
    for name, (n, e) in GRAPHS.items():
        edges, nodes = random_graph(n, e, scale)
        y = torch.arange(nodes) % 7
        every = torch.ones(nodes, dtype=torch.bool)
        data = Data(x=torch.randn(nodes, FEATURES), edge_index=edges, y=y)
        task = FewShotSplit(5).of(NodeTask(name, data, train=every, valid=~every, test=~every))
        torch.manual_seed(0)
        made = {}
        for kind, mode, cached in (
            ("cached", "prompt", None),
            ("not cached", "prompt", False),
            ("full tuning", "full", None),
        ):
            torch.manual_seed(1)
            model = GMoPE(FEATURES, HIDDEN, num_experts=EXPERTS, out_channels=7, num_layers=LAYERS)
            model.freeze(mode)
            problem = tuning_problem(model.train(), task)
            encode = _encoder(model, problem, mode, cached)
            optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)

            def step(model: GMoPE = model, encode=encode, optimizer=optimizer, y: Tensor = problem.y) -> float:
                loss = model.task_loss(encode(), y, torch.full((EXPERTS,), 1 / EXPERTS))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                return float(loss.detach())

            made[kind] = step
        losses = {kind: [step() for _ in range(10)] for kind, step in made.items() if kind != "full tuning"}
        gap = max(abs(a - b) / abs(b) for a, b in zip(losses["cached"], losses["not cached"], strict=True))
        times = measure(dict(made), rounds)
        yield {
            "what": "tuning step", "graph": name, "nodes": nodes, "edges": e, "times": times, "largest_relative_difference": gap,
            "ratio": {key: found["median"] / times["cached"]["median"] for key, found in times.items() if key != "cached"},
        }  # fmt: skip


PARTS = {"bank": bank, "propagation": propagation, "tuning": tuning}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--scale", type=float, default=1.0, help="size of the graphs; results are kept for 1 alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows: list[Row] = []
    for name in arguments.only:
        for row in PARTS[name](arguments.rounds, arguments.scale):
            rows.append(row)
            print(row["what"], row["graph"], {k: round(v, 2) for k, v in row["ratio"].items()}, flush=True)  # type: ignore[attr-defined]
    if arguments.scale == 1.0 and arguments.only == list(PARTS):
        write("gmope", rows)


if __name__ == "__main__":
    main()
