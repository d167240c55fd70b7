"""Pre-training of a mixture on several graphs without labels."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphkit.analysis import RoutingMonitor
from graphkit.data.random_streams import permutation
from graphkit.data.source_graph import SourceGraph
from graphkit.engine.checkpoint import Keeper
from graphkit.engine.interrupt import Interrupted, InterruptGuard
from graphkit.engine.options import check_ranges
from graphkit.engine.pretrained_files import save_pretrained, source_record
from graphkit.engine.progress import Reporter, default_reporter
from graphkit.engine.run_directory import RunDirectory
from graphkit.engine.seeding import seeded
from graphkit.errors import UserError
from graphkit.models import GMoPE

__all__ = ["PretrainRun", "pretrain"]

_MOST_BATCHES = 100  # of one source in an epoch, so that large ones do not dominate
_CONTRASTIVE = ("graphcl", "simgrace")


@dataclasses.dataclass
class PretrainRun:
    """What a pre-training gave.

    Args:
        model: the mixture.
        history: one record per epoch: ``epoch``, ``loss``, ``seconds``, and ``routing``, see
            :meth:`graphkit.analysis.RoutingMonitor.record`: mean gates and losses of each expert by source, entropies, prompts.
        out: the folder, or None.
        seconds: seconds in all.
        steps: optimizer steps.
        seed: the seed.
    """

    model: GMoPE = dataclasses.field(repr=False)
    history: list[dict[str, Any]]
    out: Path | None
    seconds: float
    steps: int
    seed: int


def pretrain(
    model: GMoPE,
    tasks: Any,
    objective: str = "edge_pred",
    *,
    objective_options: dict[str, Any] | None = None,
    epochs: int = 150,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    steps_per_source: int = 1,
    unit: str | None = None,
    graphs_per_batch: int = 128,
    warmup: float = 0.0,
    round_robin: bool = False,
    train_prompts: bool = True,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: str | None = None,
    checkpoint_every: float = 60.0,
    reporter: Reporter | None = None,
) -> PretrainRun:
    """Pre-train a mixture in place, on graphs of several tasks whose labels are not looked at.

    A batch holds graphs of one source only. Everything random about a step depends on (seed, epoch, source, step), so
    ``resume=True`` continues bit for bit on the CPU and global random streams do not move.

    Args:
        model: the mixture; it gets new heads for the objective, except when it already has them (pre-training goes on).
        tasks: a task or several, such as ``[gk.load("cora", task="node"), gk.load("usair")]``; of a link task the train edges alone
            are seen. Features may differ from source to source, and may be missing.
        objective: ``"edge_pred"``, ``"dgi"``, ``"graphcl"``, ``"simgrace"``, ``"mask_attr"`` or ``"feat_rec"``.
        objective_options: options of the objective, such as ``{"positives": 512}``.
        epochs: passes over the sources.
        lr, weight_decay: of Adam.
        steps_per_source: passes over each source in an epoch, each with draws of its own; at most 100 batches of a source.
        unit: ``"node"``: a batch is the whole graph; ``"subgraph"``: connected pieces of about 100 nodes. None: pieces for
            objectives that compare graphs, else the whole graph.
        graphs_per_batch: pieces, or graphs of a set, in a batch.
        warmup: share of the epochs in which all experts are trained, whatever K is.
        round_robin: in the first epoch source i trains expert i alone.
        train_prompts: False keeps the prompts as they are (for GPF: prompts that are zero).
        seed: seed of batches and draws. The initial weights are the caller's.
        out: folder of checkpoint, log and ``pretrained.safetensors``.
        resume: go on from the checkpoint in ``out`` if there is one.
        device: where to train; None: where the model is.
        checkpoint_every: most seconds between checkpoints.
        reporter: gets the progress; None shows a bar on a terminal and nothing elsewhere.

    Raises:
        UserError: for no sources, an option out of range, a source that the objective cannot judge, a loss that is not
            finite, a checkpoint of other options or sources.
        KeyboardInterrupt: after control-C; the last finished epoch is kept.

    Source:
        GMoPE (arXiv 2511.03251), Eq. 16.

    Example:
        >>> from graphkit.data import NodeTask
        >>> from torch_geometric.data import Data
        >>> ring = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])
        >>> train = torch.arange(12) < 6
        >>> task = NodeTask("ring", Data(x=torch.randn(12, 5), edge_index=ring, y=torch.arange(12) % 2), train=train,
        ...                 valid=~train, test=torch.zeros(12).bool())
        >>> model = GMoPE(4, 8, num_experts=2, prompt_channels=4, num_layers=2)
        >>> run = pretrain(model, [task], epochs=2)
        >>> len(run.history), sorted(run.history[0]["routing"]["sources"])
        (2, ['ring'])
    """
    if not isinstance(model, GMoPE):
        raise UserError(f"{type(model).__name__} is not pre-trained on several graphs; pass a GMoPE")
    sources = _sources(tasks)
    for name, value, least in (("steps_per_source", steps_per_source, 1), ("graphs_per_batch", graphs_per_batch, 2)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"{name} is {value!r}, expected a whole number from {least}")
    if not 0 <= warmup <= 1:
        raise UserError(f"warmup is {warmup!r}, expected a share from 0 to 1")
    check_ranges({"epochs": epochs, "lr": lr, "weight_decay": weight_decay, "checkpoint_every": checkpoint_every})
    given = dict(objective_options or {})
    place = torch.device(device) if device is not None else next(model.parameters()).device
    with seeded(seed):
        if model.config.get("objective") != objective or (model.config.get("objective_options") or {}) != given:
            model.set_objective(objective, **given)
    model.to(place)
    model.frozen = None
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    model.prompts.requires_grad_(train_prompts)
    parts = [model.bank, model.prompts, model.objective]
    trained = [p for part in parts if part is not None for p in part.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=lr, weight_decay=weight_decay)
    unit = unit or ("subgraph" if objective in _CONTRASTIVE else "node")
    records = [source_record(source) for source in sources]
    options = {
        "model": "GMoPE", "model_config": model.config, "sources": records, "objective": objective, "objective_options": given,
        "epochs": epochs, "lr": lr, "weight_decay": weight_decay, "steps_per_source": steps_per_source, "unit": unit,
        "graphs_per_batch": graphs_per_batch, "warmup": warmup, "round_robin": round_robin, "train_prompts": train_prompts,
        "seed": seed,
    }  # fmt: skip
    directory = None if out is None else RunDirectory(out)
    keeper = Keeper(directory, seed, model, optimizer, options, checkpoint_every)
    show = default_reporter() if reporter is None else reporter
    with keeper.locked(), InterruptGuard() as guard, show:
        state = keeper.open(resume)
        show.begin(model, place, seed, epochs, state)
        features = [_features(model, source, place) for source in sources]
        state.finished = state.finished or epochs == 0
        try:
            while not state.finished:
                model.train()
                monitor = RoutingMonitor(model.num_experts)
                apart: list[float] = []
                plan = _plan(sources, unit, graphs_per_batch, steps_per_source, seed, state.epoch)
                for which, step in plan:
                    source = sources[which]
                    batch = source.batch(
                        features[which], unit=unit, graphs=graphs_per_batch, seed=seed, epoch=state.epoch,
                        step=step % source.batches(unit, graphs_per_batch),
                    )  # fmt: skip
                    found = model.pretrain_step(
                        batch, _seed_of(seed, state.epoch, which, step),
                        top_k=model.num_experts if state.epoch <= warmup * epochs else None,
                        only=which % model.num_experts if round_robin and state.epoch == 1 else None,
                    )  # fmt: skip
                    optimizer.zero_grad(set_to_none=True)
                    found.loss.backward()
                    state.count(float(found.loss.detach()))
                    optimizer.step()
                    model.router.count(found.mask, batch.num_graphs)
                    monitor.update(found.weights, source=source.name, losses=found.losses)
                    apart.append(float(found.orthogonality))
                    show.step(state, len(plan))
                    guard.check()
                state.end_epoch(None, "loss", None, state.epoch == epochs)
                state.history[-1] |= _record(monitor, apart, model)
                show.epoch(state, "loss", False)
                keeper.end_epoch(False)
        except Interrupted:
            show.message(f"interrupted in epoch {state.epoch}{keeper.how_to_resume()}")
            raise
        model.pretraining = {
            "objective": objective, "objective_options": given, "sources": records, "epochs": epochs, "seed": seed,
        }  # fmt: skip
        model.prompts.requires_grad_(True)
        model.eval()
        if out is not None:
            save_pretrained(model, Path(out) / "pretrained.safetensors")
        show.message(f"pre-trained on {', '.join(source.name for source in sources)}: {state.steps} steps")
    return PretrainRun(model, state.history, None if out is None else Path(out), state.seconds, state.steps, seed)


def _record(monitor: RoutingMonitor, apart: Sequence[float], model: GMoPE) -> dict[str, Any]:
    """What an epoch's line in log.jsonl says of the routing."""
    with torch.no_grad():
        monitor.prompts(model.prompts.prompt, sum(apart) / len(apart))
    return {"routing": monitor.record()}


def _sources(tasks: Any) -> list[SourceGraph]:
    """The sources; names that occur twice get numbers."""
    listed = list(tasks) if isinstance(tasks, (list, tuple)) else [tasks]
    if not listed:
        raise UserError("there is no source to pre-train on; pass at least one task")
    sources = [SourceGraph.of(task) for task in listed]
    names = [source.name for source in sources]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"{sorted(twice)[0]!r} is among the sources more than once; pass each graph once")
    return sources


def _features(model: GMoPE, source: SourceGraph, place: torch.device) -> Tensor:
    from graphkit.nn.structural_features import structural_features

    x = source.x
    if x is None:
        x = structural_features(source.graph, source.graph.num_nodes)
    if source.graph.col.device != place:
        raise UserError(
            f"the graph of {source.name} is on {source.graph.col.device}, the model on {place}; use one device"
        )
    return model.aligned(x.to(place))


def _plan(
    sources: Sequence[SourceGraph], unit: str, graphs: int, passes: int, seed: int, epoch: int
) -> list[tuple[int, int]]:
    """(source, step) of an epoch, shuffled."""
    steps = [
        (which, step)
        for which, source in enumerate(sources)
        for step in range(min(_MOST_BATCHES, passes * source.batches(unit, graphs)))
    ]
    return [steps[int(place)] for place in permutation(len(steps), seed=seed, epoch=epoch)]


def _seed_of(*place: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(place).encode()).digest()[:6], "big")
