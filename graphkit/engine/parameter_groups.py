"""Which parameters learn at which rate, and which do without weight decay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from graphkit.errors import UserError, nearest

__all__ = ["parameter_groups"]


def parameter_groups(
    model: torch.nn.Module, lr: float, lr_of: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Groups of an optimizer: the model's parameters at the rate ``lr``, those of some of its parts at rates of their own.

    Parameters that the model names in ``no_decay()`` are in groups of ``weight_decay`` 0, whatever the optimizer's is.

    Args:
        model: the model; where it has ``no_decay() -> names of parameters``, such as those of time steps and decay rates of a
            state space layer, these are not pulled towards 0.
        lr: rate of all that ``lr_of`` does not name.
        lr_of: rates by the name of a part, such as ``{"predictor": 2.4e-3}``; of nested parts the innermost counts.
            A part at rate 0 keeps its weights.

    Raises:
        UserError: for a part that the model lacks or that holds no parameter, and for a name in ``no_decay`` that is no
            parameter.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
        >>> [(len(group["params"]), group["lr"]) for group in parameter_groups(model, 0.1, {"1": 0.2})]
        [(2, 0.1), (2, 0.2)]
    """
    rates = dict(lr_of or {})
    parts = {name: module for name, module in model.named_modules() if name}
    for name in rates:
        if name not in parts:
            raise UserError(f"lr_of: {nearest(str(name), parts, f'part of {type(model).__name__}')}")
        if next(parts[name].parameters(), None) is None:
            raise UserError(f"lr_of: {name!r} of {type(model).__name__} holds no parameters; leave it out")
    spared = _spared(model)
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, rate in {"": lr, **rates}.items():
        groups[name, False] = {"params": [], "lr": rate}
        groups[name, True] = {"params": [], "lr": rate, "weight_decay": 0.0}
    for name, parameter in model.named_parameters():
        owner = max((part for part in rates if name.startswith(f"{part}.")), key=len, default="")
        groups[owner, name in spared]["params"].append(parameter)
    return [group for group in groups.values() if group["params"]] or [groups["", False]]


def _spared(model: torch.nn.Module) -> set[str]:
    """Names of the parameters that do without weight decay."""
    name_them = getattr(model, "no_decay", None)
    names: Iterable[str] = name_them() if callable(name_them) else ()
    spared, known = set(names), {name for name, _ in model.named_parameters()}
    for name in sorted(spared - known):
        raise UserError(f"no_decay: {nearest(name, known, f'parameter of {type(model).__name__}')}")
    return spared
