"""One expert more or one less: what the router and the prompts need for it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.errors import UserError
from graphkit.nn.mixture import ExpertList, Mixture
from graphkit.nn.router_heads import CosineHead, LinearHead

__all__ = ["add_expert", "orthogonal_prompt", "remove_expert"]


def orthogonal_prompt(prompts: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """A prompt at right angles to all others, of length 1.

    Args:
        prompts: ``[M, D]``.
        generator: of the random direction.

    Returns:
        ``[D]``.

    Raises:
        UserError: prompts that span all D directions already.

    Example:
        >>> p = orthogonal_prompt(torch.eye(3)[:2])
        >>> p.abs().tolist()
        [0.0, 0.0, 1.0]
    """
    rows = prompts.detach().double()
    _, s, vh = torch.linalg.svd(rows, full_matrices=False)
    span = vh[s > 1e-10 * s.max().clamp(min=1e-300)] if len(s) else vh[:0]
    if len(span) >= prompts.size(1):
        raise UserError(
            f"the prompts span all {prompts.size(1)} directions; widen prompts or merge experts before adding one"
        )
    drawn = torch.randn(prompts.size(1), generator=generator, dtype=torch.float64)
    for _ in range(2):  # once more, against rounding
        drawn = drawn - span.t() @ (span @ drawn)
    return (drawn / drawn.norm()).to(prompts.dtype)


def add_expert(mixture: Mixture, *, like: int | None = None) -> Mixture:
    """A mixture with one expert more; the given one is left alone.

    Args:
        mixture: of an :class:`graphkit.nn.ExpertList` and a router with a row for each expert (linear, cosine).
        like: the new expert and its row begin as copies of this one; None: anew, with a row of zeros (of the mean length and a
            random direction for a cosine head).

    Raises:
        UserError: another bank or router, an expert that is not there.

    Example:
        >>> from graphkit.nn import Router
        >>> mixture = Mixture(ExpertList([nn.Linear(2, 1)], per_token=True), Router.of(2, 1))
        >>> add_expert(mixture, like=0)(torch.ones(1, 2))[1].weights.tolist()
        [[0.5, 0.5]]
    """
    experts, head = _parts(mixture)
    if like is not None and not 0 <= like < len(experts):
        raise UserError(f"there is no expert {like}; numbers run from 0 to {len(experts) - 1}")
    result = copy.deepcopy(mixture)
    fresh = copy.deepcopy(list(experts)[0 if like is None else like])
    if like is None:
        for module in fresh.modules():
            renew: Any = getattr(module, "reset_parameters", None)
            if renew is not None:
                renew()
    result.experts.experts.append(fresh)
    for name in ("weight", "noise_weight"):
        rows = getattr(head, name, None)
        if rows is None:
            continue
        if like is not None:
            row = rows[like]
        elif isinstance(head, CosineHead):
            row = torch.randn_like(rows[0]) * rows.norm(dim=1).mean() / rows.size(1) ** 0.5
        else:
            row = torch.zeros_like(rows[0])
        setattr(result.router.head, name, nn.Parameter(torch.cat([rows, row.unsqueeze(0)]).detach().clone()))
    return _resized(result, torch.cat([torch.arange(len(experts)), torch.tensor([-1])]))


def remove_expert(mixture: Mixture, number: int) -> Mixture:
    """A mixture without one of its experts; the given one is left alone.

    Raises:
        UserError: another bank or router than :func:`add_expert` knows, an expert that is not there or the last one.

    Example:
        >>> from graphkit.nn import Router
        >>> mixture = Mixture(ExpertList([nn.Linear(2, 1), nn.Linear(2, 1)], per_token=True), Router.of(2, 2))
        >>> len(remove_expert(mixture, 0).experts)
        1
    """
    experts, head = _parts(mixture)
    if len(experts) < 2 or not 0 <= number < len(experts):
        raise UserError(f"expert {number} of {len(experts)} cannot be removed; numbers run from 0, and one has to stay")
    kept = [m for m in range(len(experts)) if m != number]
    result = copy.deepcopy(mixture)
    result.experts.experts = nn.ModuleList(result.experts.experts[m] for m in kept)
    for name in ("weight", "noise_weight"):
        rows = getattr(head, name, None)
        if rows is not None:
            setattr(result.router.head, name, nn.Parameter(rows[kept].detach().clone()))
    return _resized(result, torch.tensor(kept))


def _parts(mixture: Mixture) -> tuple[ExpertList, Any]:
    head = getattr(mixture.router, "head", None)
    if not isinstance(mixture.experts, ExpertList) or not isinstance(head, (LinearHead, CosineHead)):
        raise UserError(
            f"experts are {type(mixture.experts).__name__} and the router's head {type(head).__name__}; expected an ExpertList "
            "and a linear or cosine head"
        )
    return mixture.experts, head


def _resized(mixture: Mixture, origin: Tensor) -> Mixture:
    """Counts and the selection bias after a change; ``origin`` is the former number of each expert, -1 for a new one."""
    router: Any = mixture.router
    router.num_experts = router.head.num_experts = len(origin)
    if router.bias is not None:
        old = router.bias.bias
        router.bias.bias = torch.where(origin >= 0, old[origin.clamp(min=0)], 0.0)
    return mixture
