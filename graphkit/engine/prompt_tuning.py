"""Adapting a pre-trained mixture to a task: prompts and a head, or what a comparison asks for."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphkit.data import LeakError, LinkTask
from graphkit.data.source_graph import SourceGraph
from graphkit.engine.checkpoint import differences
from graphkit.engine.evaluate import evaluate
from graphkit.engine.fit import Run
from graphkit.engine.interrupt import InterruptGuard
from graphkit.engine.options import check_ranges, check_selection
from graphkit.engine.pretrained_files import load_tuned, save_tuned, source_record
from graphkit.engine.progress import Reporter, default_reporter
from graphkit.engine.run_directory import writing
from graphkit.engine.seeding import seeded
from graphkit.engine.state import TrainingState
from graphkit.engine.tuning_problem import TuningProblem, tuning_problem
from graphkit.errors import DataWarning, UserError, nearest
from graphkit.models import GMoPE
from graphkit.models.gmope import TUNE_MODES, whole_graph
from graphkit.nn.remembered import remembered

__all__ = ["TunedRun", "tune"]

_STILL = ("head", "prototype")  # modes in which states of nodes do not change


@dataclasses.dataclass
class TunedRun(Run):
    """What tuning gave, a :class:`graphkit.engine.Run` with more fields.

    Args:
        mode: what was trained.
        trainable: numbers that were trained.
        parameters: numbers of experts, prompts and head together.
        gates: ``[M]``, the gate of the last decision.
        seen: whether the graph was among the sources of pre-training.
    """

    mode: str = "prompt"
    trainable: int = 0
    parameters: int = 0
    gates: list[float] = dataclasses.field(default_factory=list)
    seen: bool = False

    @property
    def share(self) -> float:
        """Trained numbers as a share of all."""
        return self.trainable / self.parameters


def tune(
    model: GMoPE,
    task: Any,
    mode: str = "prompt",
    *,
    epochs: int = 200,
    lr: float = 1e-2,
    weight_decay: float = 0.0,
    batch_size: int | None = None,
    patience: int | None = 50,
    evaluate_every: int = 5,
    select: str | None = None,
    supervision: float = 0.2,
    route_every: int = 10,
    cached: bool | None = None,
    score_test: bool = True,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
) -> TunedRun:
    """Adapt a mixture to a task. The mixture that is handed in stays as it is; the tuned one is ``run.model``.

    ==============  ==========================================================================================
    mode            what is trained, besides the head (a new one for each task)
    ==============  ==========================================================================================
    ``prompt``      prompts (the paper's)
    ``head``        nothing: a linear probe
    ``bias``        biases of the experts
    ``full``        experts and prompts
    ``scratch``     experts and prompts, from new weights: what pre-training is worth
    ``prototype``   one vector that re-weights states; classes are means of the support (GraphPrompt style)
    ==============  ==========================================================================================

    The epoch is selected on validation; where the task has no validation labels, by the training loss. The test split is read once,
    at the end. What the training nodes depend on is cut out of the graph; in the modes ``prompt``, ``head`` and ``prototype``
    experts are frozen, and everything that prompts do not change is computed once (``cached``).

    Args:
        model: from ``gk.pretrain`` or :func:`graphkit.engine.load_pretrained`.
        task: a task of nodes, links or graphs; few-shot draws are made by :class:`graphkit.data.FewShotSplit`.
        mode: as above.
        epochs: passes over the training labels.
        lr, weight_decay: of Adam.
        batch_size: labels a step; None: all.
        patience: stop after so many epochs without a better one; None: never.
        evaluate_every: epochs between validations.
        select: validation metric, higher is better; None: the task's.
        supervision: of a link task, the share of train edges that are learned from; they carry no messages in training.
        route_every: epochs between two decisions of the router, where K < M.
        cached: False computes everything on the whole graph in every step; None: as little as is exact.
        score_test: False leaves the test split alone.
        seed: of the head, of batches, negatives and dropout; global random streams do not move.
        out: folder that gets ``task.safetensors`` (what was trained, nothing else) and ``run.json``.
        resume: read a finished run in ``out`` back instead of tuning again.
        reporter: gets the progress; None shows a bar on a terminal and nothing elsewhere.

    Raises:
        UserError: for an unknown mode, an option out of range, a task of another kind, a loss that is not finite.
        LeakError: for links of a graph that pre-training has seen with other edges, which may be those that are asked for.

    Source:
        GMoPE (arXiv 2511.03251), Eq. 17.

    Example:
        >>> from graphkit.data import FewShotSplit, NodeTask
        >>> from torch_geometric.data import Data
        >>> ring = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])
        >>> all_nodes = torch.ones(12).bool()
        >>> task = NodeTask("ring", Data(x=torch.randn(12, 5), edge_index=ring, y=torch.arange(12) % 2), train=all_nodes,
        ...                 valid=~all_nodes, test=~all_nodes)
        >>> model = GMoPE(4, 8, num_experts=2, prompt_channels=4, num_layers=2)
        >>> run = tune(model, FewShotSplit(k=2).of(task), mode="prompt", epochs=3)
        >>> run.trainable, sorted(run.test)
        (26, ['accuracy', 'count', 'macro_f1', 'roc_auc'])
    """
    if not isinstance(model, GMoPE):
        raise UserError(f"{type(model).__name__} has no prompts to tune; pass a GMoPE, or train it with gk.fit")
    if mode not in TUNE_MODES:
        raise UserError(nearest(str(mode), TUNE_MODES, "mode of tuning"))
    check_ranges({
        "epochs": epochs, "lr": lr, "weight_decay": weight_decay, "patience": patience, "evaluate_every": evaluate_every,
    })  # fmt: skip
    for name, value in (("batch_size", batch_size or 1), ("route_every", route_every), ("epochs", epochs)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{name} is {value!r}, expected a whole number from 1")
    select = select or task.primary_metric
    check_selection(task, select)
    seen = _seen(model, task)
    options: dict[str, Any] = {
        "task": task.name, "splits": task.fingerprint(), "mode": mode, "epochs": epochs, "lr": lr, "weight_decay": weight_decay,
        "batch_size": batch_size, "patience": patience, "evaluate_every": evaluate_every, "select": select,
        "supervision": supervision, "route_every": route_every, "seed": seed, "mixture": model.fingerprint(),
    }  # fmt: skip
    folder = None if out is None else Path(out)
    if folder is not None and (folder / "run.json").exists():
        return _read_back(folder, model, task, options, resume)
    show = default_reporter() if reporter is None else reporter
    with seeded(seed), InterruptGuard() as guard, show:
        tuned = _begun(model, task, mode)
        run = _train(tuned, task, mode, options, cached, show, guard)
        tuned.eval()
        run.test = evaluate(tuned, task, "test") if score_test and _has(task, "test") else {}
        run.seen, run.out = seen, folder
        show.message(
            f"{task.name}: best epoch {run.best_epoch}  " + "  ".join(f"test {k} {v:.4f}" for k, v in run.test.items())
        )
    if folder is not None:
        save_tuned(tuned, folder / "task.safetensors", task_name=task.name)
        plain = {f.name: getattr(run, f.name) for f in dataclasses.fields(run) if f.name not in ("model", "out")}
        with writing(folder / "run.json") as file:
            file.write((json.dumps({"options": options, "run": plain}) + "\n").encode())
    return run


def _begun(model: GMoPE, task: Any, mode: str) -> GMoPE:
    """A copy with a new head, frozen as the mode says."""
    if mode == "scratch":
        config = {**model.config, "objective": None, "objective_options": None}
        tuned = GMoPE(**config).to(model.bank.bias)
    else:
        tuned = copy.deepcopy(model)
    fresh = GMoPE.for_task(task, hidden_channels=2, num_experts=1, prompt_channels=1).config
    tuned.set_head(fresh["predicts"], fresh["out_channels"], "prototype" if mode == "prototype" else "linear")
    if hasattr(task, "together"):
        tuned.fit_aligner(task)
    tuned.freeze(mode)
    if not any(parameter.requires_grad for parameter in tuned.parameters()):
        raise UserError(f"mode {mode!r} with link_head='dot' has nothing to train; take link_head='linear'")
    return tuned


def _train(
    model: GMoPE,
    task: Any,
    mode: str,
    options: dict[str, Any],
    cached: bool | None,
    show: Reporter,
    guard: InterruptGuard,
) -> TunedRun:
    select, seed, epochs = options["select"], options["seed"], options["epochs"]
    problem = tuning_problem(
        model, task, supervision=options["supervision"], batch_size=options["batch_size"], seed=seed
    )
    encode = _encoder(model, problem, mode, cached)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=options["lr"], weight_decay=options["weight_decay"])
    kept = {*names, "head.prototypes", "expert_losses"}
    has_valid, state = _has(task, "valid"), TrainingState()
    best: dict[str, Tensor] = {}
    best_loss, best_epoch, begun = math.inf, 0, time.perf_counter()
    weights: Tensor | None = None
    show.begin(model, model.bank.bias.device, seed, epochs, state)

    def snapshot() -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in model.state_dict().items() if name in kept}

    while not state.finished:
        model.train()
        weights = _gate(model, problem, options, state.epoch, weights)
        before, batches = None if has_valid else snapshot(), list(problem.batches(state.epoch))
        for chosen, y in batches:
            loss = model.task_loss(problem.pick(encode(), chosen), y, weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            state.count(float(loss.detach()))
            optimizer.step()
            show.step(state, len(batches))
            guard.check()
        mean, last = state.loss_sum / state.step, state.epoch == epochs
        valid = None
        if has_valid and (last or state.epoch % options["evaluate_every"] == 0):
            model.eval()
            valid = evaluate(model, task, "valid")
        epoch = state.epoch
        improved = state.end_epoch(valid, select, None, last)
        show.epoch(state, select, improved)
        if has_valid and improved:
            best, best_epoch = snapshot(), epoch
        elif not has_valid and mean < best_loss:
            # the loss is that of the weights before the step
            best, best_loss, best_epoch = before or snapshot(), mean, epoch
            if before is not None:
                best |= {name: t for name, t in snapshot().items() if name in ("head.prototypes", "expert_losses")}
        stale = epoch - best_epoch
        if best_epoch and options["patience"] is not None and stale >= options["patience"]:
            state.finished = True
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name in best:
                tensor.copy_(best[name])
    model.head = _detached(model.head)
    counted = [model.bank, model.prompts, model.head, model.gate]
    return TunedRun(
        test={}, valid=(state.best or {}).get("metrics", {}), best_epoch=best_epoch, history=state.history, model=model, out=None,
        seconds=time.perf_counter() - begun, steps=state.steps, seed=seed, mode=mode,
        trainable=sum(p.numel() for p in trained),
        parameters=sum(p.numel() for part in counted if part is not None for p in part.parameters()),
        gates=[1.0 / model.num_experts] * model.num_experts if weights is None else weights.tolist(),
    )  # fmt: skip


def _encoder(model: GMoPE, problem: TuningProblem, mode: str, cached: bool | None) -> Any:
    """What gives the states ``[M, n, H]`` of the needed nodes in each step."""
    frozen, exact = mode in ("prompt", *_STILL), model.bank.prompt_mode != "add_attn"
    if cached and not (frozen and (exact or mode in _STILL)):
        why = "its experts change" if not frozen else "prompts of 'add_attn' differ from node to node"
        raise UserError(f"cached=True is not possible in mode {mode!r}: {why}; leave it out")
    if cached is not False and mode in _STILL:
        with torch.no_grad():
            states = model(problem.features)[:, problem.nodes]
        return lambda: states
    if cached is False or not exact:
        return lambda: model(problem.features)[:, problem.nodes]
    near = model.bank.around(problem.features, problem.nodes, frozen=frozen)
    return lambda: model.bank.states_of(near, model.prompts)


def _gate(
    model: GMoPE, problem: TuningProblem, options: dict[str, Any], epoch: int, weights: Tensor | None
) -> Tensor | None:
    """The gate of an epoch; None: every step decides by the task's loss."""
    if model.gate is not None:
        return None
    count, k = model.num_experts, model.router.top_k
    if model.routing == "random":
        drawn = torch.randperm(count, generator=torch.Generator().manual_seed(options["seed"] * 100_003 + epoch))[:k]
        return torch.zeros(count).index_fill(0, drawn, 1.0 / k).to(model.bank.bias.device)
    if k == count or model.routing == "uniform":
        return torch.full((count,), 1.0 / count, device=model.bank.bias.device)
    if model.route_loss == "task" or model.objective is None:
        return None
    if weights is None or (epoch - 1) % options["route_every"] == 0:
        weights = model.route(whole_graph(problem.features), options["seed"])[0]
    return weights


def _detached(head: Any) -> Any:
    if head is not None and "prototypes" in dict(head.named_buffers()):
        head.prototypes = head.prototypes.detach()
    return head


def _has(task: Any, split: str) -> bool:
    if isinstance(task, LinkTask):
        return task.edges(split).size(1) > 0
    return bool(task.mask(split).any())


def _seen(model: GMoPE, task: Any) -> bool:
    """Whether pre-training has seen the features of a task.

    Raises:
        LeakError: links are asked for that may have been among the edges seen.
    """
    sources = (model.pretraining or {}).get("sources", [])
    if not sources:
        return False
    own = _record(task)
    for source in sources:
        if source["features"] == "none" or source["features"] != own["features"]:
            continue
        if isinstance(task, LinkTask) and source["edges"] != own["edges"]:
            raise LeakError(
                f"{task.name} asks for links of a graph that pre-training has seen as {source['name']} with other edges, which may "
                "be the answers; pre-train on this link task, whose train edges alone are seen, or leave the source out"
            )
        warnings.warn(
            f"{task.name} is among the graphs that the mixture was pre-trained on, without labels; results do not tell how it does "
            "on a new graph",
            DataWarning,
            stacklevel=3,
        )
        return True
    return False


def _record(task: Any) -> dict[str, Any]:
    data = None if hasattr(task, "together") else task.graph("train")
    if data is None or data.x is None:
        return source_record(SourceGraph.of(task))
    return remembered(data.x, data.edge_index, ("record",), lambda: source_record(SourceGraph.of(task)))


def _read_back(folder: Path, model: GMoPE, task: Any, options: dict[str, Any], resume: bool) -> TunedRun:
    if not resume:
        raise UserError(f"{folder} already holds a tuned task; read it back (resume=True) or choose another out")
    found = json.loads((folder / "run.json").read_text("utf-8"))
    changed = differences(found["options"], json.loads(json.dumps(options)))
    if changed:
        raise UserError(f"{folder} holds a run of other options (old -> new):\n  " + "\n  ".join(changed))
    return TunedRun(model=load_tuned(folder, model, task=task), out=folder, **found["run"])
