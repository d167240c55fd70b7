"""Run scenarios below, one after the other, in several processes that meet over gloo; prints their statuses as JSON.

    python several_processes.py SCENARIO,SCENARIO... SIZE FOLDER

Run as a process of its own: it imports torch once and forks. The processes meet over a file, no port is taken.
"""

import dataclasses
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from toy import Loader, ToyTask, toy_model

import graphkit as gk
from graphkit.data import KnowledgeGraphTask, LinkTask, shard
from graphkit.engine.distributed import OneProcess, ProcessLost, SeveralProcesses, joined
from graphkit.engine.progress import SilentReporter
from graphkit.errors import SaidByFirst, UserError
from graphkit.models import NCN, NBFNet

RESUMABLE = {"epochs": 4, "seed": 1, "lr": 0.05, "weight_decay": 0.01, "evaluate_every": 2}

MOVED = {"epochs": 2, "seed": 5, "lr": 1e-3, "loader": {"batch_size": 8, "num_negatives": 4}}


def random_task(entities=20, relations=3, train=82, other=150):
    """82 = 11 * 7 + 5 = 9 * 9 + 1: with 9 rows a batch, the last one has fewer rows than there are processes.

    Every entity reaches every other, so no two scores are equal but for their last bits, and ranks can be compared.
    """
    generator = torch.Generator().manual_seed(3)

    def draw(count):
        bounds = (entities, relations, entities)
        return torch.stack([torch.randint(n, (count,), generator=generator) for n in bounds], 1)

    names = [f"e{i}" for i in range(entities)], [f"r{i}" for i in range(relations)]
    return KnowledgeGraphTask("random", draw(train), draw(other), draw(other), *names)


def nbfnet(task, seed=0, **options):
    torch.manual_seed(seed)
    return NBFNet(task.num_relations, 8, 3, **options)


class Losses(SilentReporter):
    def __init__(self):
        self.losses, self._before = [], 0.0

    def step(self, state, total):
        self.losses.append(state.loss_sum - (self._before if state.step > 1 else 0.0))
        self._before = state.loss_sum


def trained(folder, rank):
    """NBFNet for two epochs, with batches of 7 and of 9; losses, weights and test ranks."""
    task = random_task()
    for size in (7, 9):
        show, model = Losses(), nbfnet(task, seed=rank, remove_one_hop=True)  # rank 0's weights have to win
        out = folder / f"run-{size}"
        loader = {"batch_size": size, "num_negatives": 4}
        run = gk.fit(model, task, epochs=2, lr=1e-3, loader=loader, clip_norm=1.0, out=out, reporter=show, seed=5)
        save_file(
            {name: w.contiguous() for name, w in model.state_dict().items()}, folder / f"{size}-{rank}.safetensors"
        )
        record = {"losses": show.losses, "test": run.test, "valid": run.valid, "steps": run.steps, "out": str(run.out)}
        (folder / f"{size}-{rank}.json").write_text(json.dumps(record))


def evaluated(folder, rank):
    """Ranks of one model, with more queries than a block has and with fewer than there are processes."""
    task = random_task(60, other=300)
    model, processes, done = nbfnet(task), joined(), []
    few = KnowledgeGraphTask("few", task.train, task.valid[:1], task.test, task.entities, task.relations)
    options = {"return_ranks": True, "processes": processes, "progress": lambda *numbers: done.append(numbers)}
    ranks = gk.evaluate(model, task, "test", batch_size=64, **options)["ranks"]
    one = gk.evaluate(model, few, "valid", ties="mean", **options)
    save_file({**ranks, "few": torch.cat(list(one["ranks"].values()))}, folder / f"{rank}.safetensors")
    (folder / f"{rank}.json").write_text(json.dumps({"done": done, "count": one["count"]}))


def reweighted(folder, rank):
    """A link predictor whose message weights are renewed after the first epoch; each process would begin elsewhere."""
    pairs = torch.combinations(torch.arange(20)).t()
    edges = pairs[:, torch.randperm(pairs.size(1), generator=torch.Generator().manual_seed(0))[:70]]
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    task = LinkTask.from_edges("toy", edges, 20, split="80/10/10", x=x)
    torch.manual_seed(rank)
    model = NCN.for_task(task, hidden_channels=8, reweighting_gamma=2.0, reweighting_warm_up=1, reweighting_interval=1)
    options = {"epochs": 4, "evaluate_every": 4, "lr": 1e-2, "loader": {"batch_size": 15}, "seed": 5}
    run = gk.fit(model, task, out=folder / "reweighted", **options)
    save_file({name: w.contiguous() for name, w in model.state_dict().items()}, folder / f"r-{rank}.safetensors")
    (folder / f"r-{rank}.json").write_text(json.dumps([run.test, [record["loss"] for record in run.history]]))


@dataclasses.dataclass
class SharedBatch:
    triples: torch.Tensor
    weight: float = 1.0

    def to(self, device):
        return self

    def share(self, rank, size):
        start, stop = shard(len(self.triples), rank, size)
        return SharedBatch(self.triples[start:stop], (stop - start) / len(self.triples))


class SharedLoader(Loader):
    def __iter__(self):
        for batch in super().__iter__():
            yield SharedBatch(batch.triples)


class SharedTask(ToyTask):
    """Its model has dropout, buffers and global random streams; its evaluation is not divided."""

    def loader(self, split="train", *, batch_size=9, seed=0, epoch=0, start=0):
        return SharedLoader(getattr(self, split), batch_size, seed, epoch, start)


def uninterrupted(folder, rank):
    gk.fit(toy_model(), SharedTask(), out=folder / "whole", **RESUMABLE)


def resumed(folder, rank):
    gk.fit(toy_model(seed=77 + rank), SharedTask(), out=folder / "run", resume=True, **RESUMABLE)


def half_trained(folder, rank):
    """NBFNet, interrupted after two steps of its second epoch."""

    class Stop(SilentReporter):
        def step(self, state, total):
            if state.steps == 13:
                os.kill(os.getpid(), signal.SIGINT)

    task = random_task()
    try:
        gk.fit(nbfnet(task), task, out=folder / "moved", reporter=Stop(), **MOVED)
    except KeyboardInterrupt:
        return
    raise AssertionError("not interrupted")


def finished(folder, rank):
    task = random_task()
    gk.fit(nbfnet(task, seed=77), task, out=folder / "moved", resume=True, **MOVED)


def killed(folder, rank):
    """The last process dies in the 13th step; the others notice."""
    model = toy_model()
    loss_of, calls = model.loss, []

    def loss(batch):
        calls.append(batch)
        if len(calls) == 13 and rank == dist.get_world_size() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss_of(batch)

    model.loss = loss
    try:
        gk.fit(model, SharedTask(), out=folder / "run", checkpoint_every=0.0, **RESUMABLE)
    except ProcessLost as lost:
        (folder / f"lost-{rank}").write_text(str(lost))


class Press(SilentReporter):
    messages: list = []  # noqa: RUF012

    def message(self, text):
        self.messages.append(text)


def interrupted(folder, rank):
    """Control-C reaches the last process alone, in the 7th step: all stop after it, and the first one saves."""
    model = toy_model()
    loss_of, calls = model.loss, []

    def loss(batch):
        calls.append(batch)
        if len(calls) == 7 and rank == dist.get_world_size() - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return loss_of(batch)

    model.loss = loss
    try:
        gk.fit(model, SharedTask(), out=folder / "run", reporter=Press(), **RESUMABLE)
    except KeyboardInterrupt:
        (folder / f"interrupted-{rank}").write_text("\n".join(Press.messages))


def interrupted_evaluation(folder, rank):
    """Control-C reaches all processes while the first one waits for the ranks of the others."""

    class Slow(SharedTask):
        def evaluate(self, model, split="valid", *, processes=None, progress=None, **options):
            if rank == 0:
                processes.gather(torch.zeros(1))  # as a first process that has done its share
            os.kill(os.getppid(), signal.SIGUSR1)  # which sends SIGINT to all
            while True:
                time.sleep(0.01)
                progress(0, 1)

    try:
        gk.fit(toy_model(), Slow(), out=folder / "run", reporter=Press(), **RESUMABLE)
    except KeyboardInterrupt:
        (folder / f"interrupted-{rank}").write_text("\n".join(Press.messages))


def refused(folder, rank):
    """Mistakes that the first process meets are everybody's; a batch without share is refused."""
    said = []
    for task, options in (
        (ToyTask(), {"epochs": 1}),
        (SharedTask(), {"epochs": 1, "out": folder / "once"}),
        (SharedTask(), {"epochs": 1, "out": folder / "once"}),
    ):
        try:
            gk.fit(toy_model(), task, **options)
            said.append(None)
        except UserError as error:
            said.append([type(error).__name__, str(error)])
    (folder / f"said-{rank}.json").write_text(json.dumps(said))


def talk(folder, rank):
    """The small pieces: unused parameters, what the first one tells, turns, and mistakes of the first."""
    processes, turns = joined(), folder / "turns"
    assert isinstance(processes, SeveralProcesses) and isinstance(processes, OneProcess)
    model = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2) for name in ("all", "one", "none")})
    for parameter in model.parameters():
        torch.nn.init.ones_(parameter)
    used = model["all"](torch.ones(2)) if rank else model["one"](model["all"](torch.ones(2)))
    loss = used.sum()
    loss.backward()
    total = processes.reduce(model, loss)
    grads = {name: None if p.grad is None else p.grad.tolist() for name, p in model.named_parameters()}

    def turn():
        with turns.open("a") as file:
            file.write(f"{rank}")
        return rank

    def mistake():
        raise UserError("of the first")

    mine = processes.in_turn(turn)
    try:
        processes.on_first(mistake)
    except UserError as error:
        fault = [type(error) is SaidByFirst, str(error)]
    record = {"loss": total, "grads": grads, "told": processes.tell({"rank": rank}), "turn": mine, "fault": fault}
    (folder / f"talk-{rank}.json").write_text(json.dumps(record))


def run(scenario, size, folder):
    """Wait statuses of the processes."""
    children, asked = [], []

    def interrupt(*_):
        if not asked:
            asked.append(True)
            for child in children:
                os.kill(child, signal.SIGINT)

    signal.signal(signal.SIGUSR1, interrupt)
    for rank in range(size):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if size > 1:
                    meeting = f"file://{folder}/meeting-{scenario}"
                    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
                globals()[scenario](folder, rank)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


def main(scenarios, size, folder):
    torch.set_num_threads(1)  # a forked child must not wait for threads it did not inherit
    torch.optim.Adam(toy_model().parameters())  # torch imports much at the first optimizer; no backward before a fork
    print(json.dumps({scenario: run(scenario, size, folder) for scenario in scenarios}))


if __name__ == "__main__":
    main(sys.argv[1].split(","), int(sys.argv[2]), Path(sys.argv[3]))
