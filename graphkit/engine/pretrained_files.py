"""Files of pre-trained mixtures and of tasks tuned from them, with fingerprints that are checked when they are read."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from graphkit.data.source_graph import SourceGraph
from graphkit.engine.checkpoint import differences, read_tensors, write_tensors
from graphkit.errors import UserError
from graphkit.models import GMoPE

__all__ = ["load_pretrained", "load_tuned", "save_pretrained", "save_tuned", "source_record"]

_TASK_BUFFERS = ("head.prototypes", "expert_losses")


def source_record(source: SourceGraph) -> dict[str, Any]:
    """Name and fingerprint of a source.

    Example:
        >>> edges = torch.tensor([[0], [1]])
        >>> sorted(source_record(SourceGraph("two", torch.eye(2), edges)))
        ['edges', 'features', 'name']
    """
    return {"name": source.name, **source.fingerprint()}


def save_pretrained(model: GMoPE, path: str | os.PathLike[str]) -> Path:
    """Write a mixture with all its experts, prompts and heads of pre-training.

    Args:
        model: the mixture.
        path: the file, a safetensors file.

    Returns:
        the file's path.

    Raises:
        UserError: when it cannot be written; what was there before is intact.

    Example:
        >>> path = save_pretrained(GMoPE(4, 8, num_experts=2), "mixture.safetensors")
        >>> load_pretrained(path).num_experts
        2
    """
    about = {
        "model": "GMoPE",
        "config": model.config,
        "fingerprint": model.fingerprint(),
        "pretraining": model.pretraining,
    }
    write_tensors(Path(path), model.state_dict(), about)
    return Path(path)


def load_pretrained(
    path: str | os.PathLike[str], *, like: GMoPE | None = None, sources: Sequence[Any] | None = None
) -> GMoPE:
    """Read a mixture from :func:`save_pretrained`, or from a folder that ``gk.pretrain(..., out=...)`` wrote.

    Args:
        path: the file or folder.
        like: a mixture whose sizes, aligner and objective (where it has one) it must have; None: none in particular.
        sources: the tasks that it must have been trained on, in any order; None: whatever they were.

    Raises:
        UserError: for a file that is damaged, holds another model, or differs from what was asked for: every difference is named.

    Example:
        >>> path = save_pretrained(GMoPE(4, 8, num_experts=2), "mixture.safetensors")
        >>> load_pretrained(path, like=GMoPE(4, 8, num_experts=3))
        Traceback (most recent call last):
        graphkit.errors.UserError: mixture.safetensors differs from what was asked for (asked for -> file):
          num_experts: 3 -> 2
    """
    path = Path(path) / "pretrained.safetensors" if Path(path).is_dir() else Path(path)
    tensors, about = read_tensors(path)
    if about.get("model") != "GMoPE":
        raise UserError(f"{path} holds a {about.get('model')}, expected a GMoPE that gk.pretrain wrote")
    if not isinstance(about.get("fingerprint"), dict) or not isinstance(about.get("config"), dict):
        raise UserError(f"{path} is damaged: it lacks its options or fingerprint")
    wanted, found = {}, {key: value for key, value in about["fingerprint"].items() if key != "weights"}
    if like is not None:
        wanted = {key: value for key, value in like.fingerprint().items() if key not in ("weights", "sources")}
        if wanted["objective"] is None:
            del wanted["objective"]
    if sources is not None:
        wanted["sources"] = sorted(json.dumps(source_record(SourceGraph.of(task))) for task in sources)
        found["sources"] = sorted(json.dumps(one) for one in (about["pretraining"] or {}).get("sources", []))
    changed = differences(wanted, {key: found.get(key) for key in wanted})
    if changed:
        raise UserError(f"{path} differs from what was asked for (asked for -> file):\n  " + "\n  ".join(changed))
    config, sizes = about["config"], about["fingerprint"]
    changed = [key for key in sizes if config.get(key) is not None and key != "objective" and config[key] != sizes[key]]
    if changed:  # before a size that is none makes a model that takes for ever
        raise UserError(f"{path} is damaged: {', '.join(changed)} of its options and of its fingerprint differ")
    try:
        model = GMoPE(**config)
        model.load_state_dict(tensors)
        model.pretraining = about["pretraining"]
        same = model.fingerprint()["weights"] == about["fingerprint"]["weights"]
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        raise UserError(f"{path} is damaged: its tensors do not fit its options ({error})") from error
    if not same:
        raise UserError(f"{path} is damaged: the experts' weights are not those that it was written with")
    return model


def save_tuned(model: GMoPE, path: str | os.PathLike[str], **about: Any) -> Path:
    """Write what tuning has trained and nothing else: of prompt tuning the prompts and the head, a few kB.

    Args:
        model: a mixture from ``gk.tune``.
        path: the file.
        about: further plain values to keep.

    Raises:
        UserError: for a mixture that was not tuned, or when the file cannot be written.

    Example:
        >>> model = GMoPE(4, 8, num_experts=2, out_channels=3)
        >>> _ = model.freeze("prompt")
        >>> path = save_tuned(model, "task.safetensors")
        >>> sorted(read_tensors(path)[0])
        ['head.bias', 'head.weight', 'prompts.prompt']
    """
    if model.frozen is None:
        raise UserError("the model was not tuned, so there is no task to write; gk.tune(model, task).model is one")
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    state = model.state_dict()
    if "head.prototypes" in state:
        names.add("head.prototypes")
    if model.aggregation == "best":
        names.add("expert_losses")
    task = {key: model.config.get(key) for key in ("predicts", "out_channels", "head")}
    kept = {"mode": model.frozen, "task": task, "fingerprint": model.fingerprint(), **about}
    write_tensors(Path(path), {name: state[name] for name in sorted(names)}, {"model": "GMoPE task", **kept})
    return Path(path)


def load_tuned(path: str | os.PathLike[str], model: GMoPE, *, task: Any = None) -> GMoPE:
    """A tuned mixture from its pre-trained one, which stays as it is, and a file from :func:`save_tuned`.

    Args:
        path: the file, or a folder that ``gk.tune(..., out=...)`` wrote.
        model: the mixture that was tuned.
        task: a task that the head must fit; None: any.

    Raises:
        UserError: for another file, a mixture of other sizes or weights, or a head for another number of classes.

    Example:
        >>> model = GMoPE(4, 8, num_experts=2)
        >>> tuned = copy.deepcopy(model)
        >>> tuned.set_head("classes", 3)
        >>> _ = tuned.freeze("prompt")
        >>> load_tuned(save_tuned(tuned, "task.safetensors"), model).config["out_channels"]
        3
    """
    path = Path(path) / "task.safetensors" if Path(path).is_dir() else Path(path)
    tensors, about = read_tensors(path)
    if about.get("model") != "GMoPE task":
        raise UserError(f"{path} holds a {about.get('model')}, expected a task that gk.tune wrote")
    found, own = dict(about["fingerprint"]), model.fingerprint()
    if about["mode"] not in ("prompt", "head", "prototype"):  # the experts are in the file
        found.pop("weights"), own.pop("weights")
    changed = differences(found, own)
    if changed:
        raise UserError(f"{path} was tuned from another mixture (file -> model):\n  " + "\n  ".join(changed))
    classes = getattr(task, "out_channels", None)
    if task is not None and classes != about["task"]["out_channels"]:
        raise UserError(
            f"{path} tells {about['task']['out_channels']} classes, but {task.name} has {classes}; tune the mixture on this task"
        )
    tuned = copy.deepcopy(model)
    tuned.set_head(about["task"]["predicts"], about["task"]["out_channels"], about["task"]["head"])
    tuned.freeze(about["mode"])
    if hasattr(task, "together"):
        tuned.fit_aligner(task)
    with torch.no_grad():
        for name, tensor in tuned.state_dict().items():
            if name in tensors:
                tensor.copy_(tensors[name])
    return tuned.eval()
