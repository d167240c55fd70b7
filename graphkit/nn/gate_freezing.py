"""Sequences of tasks: the gate stops learning once it knows whom to ask, and experts go on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.errors import UserError
from graphkit.nn.routing import RouteInput, RouteOutput, decision_margin, routing_fluctuation

__all__ = ["GateFreezer", "SourceTable"]


class GateFreezer:
    r"""Freezes a router when its choices have settled.

    All of this has to hold over ``window`` steps in a row:

    1. the time of exploration is over: at least :math:`T_1 = c M / lr` steps, or ``decisions`` decisions for every live
       expert (one with a tenth of an even share);
    2. less than ``fluctuation`` of the probe's first choices have changed since the step before;
    3. the median lead of the first choice over the second is above ``margin``.

    Without an end to its updates a gate undoes the specialisation of experts; that is the paper's result. The conditions and their
    constants are graphkit's. Frozen parameters leave the optimizer, or weight decay and momentum would go on moving them.

    Args:
        router: what to freeze; ``freeze()`` is called where it has it.
        probe: gives the router's decision about a fixed set of tokens.
        lr: learning rate of the gate, for :math:`T_1`.
        c: factor of :math:`T_1`.
        decisions: decisions per live expert that are enough as well, or None.
        window: steps in a row.
        fluctuation: bound of 2.
        margin: bound of 3.
        optimizer: loses the router's parameters and their state.

    Attributes:
        steps: steps so far.
        frozen_at: the step at which the gate was frozen, or None.

    Raises:
        UserError: neither ``lr`` nor ``decisions``, numbers out of range.

    Source:
        Li et al., Theory on mixture-of-experts in continual learning (arXiv 2406.16437, ICLR 2025).

    Example:
        >>> from graphkit.nn import Router
        >>> router = Router.of(2, 2)
        >>> with torch.no_grad():
        ...     _ = router.head.weight.copy_(5 * torch.eye(2))
        >>> probe = lambda: router(RouteInput(torch.eye(2)))
        >>> freezer = GateFreezer(router, probe, lr=0.5, window=2)
        >>> [freezer.step(probe()) for _ in range(5)], freezer.frozen_at
        ([False, False, False, False, True], 5)
    """

    def __init__(
        self,
        router: Any,
        probe: Callable[[], RouteOutput],
        *,
        lr: float | None = None,
        c: float = 1.0,
        decisions: int | None = None,
        window: int = 10,
        fluctuation: float = 0.02,
        margin: float = 0.2,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        if lr is None and decisions is None:
            raise UserError("pass lr, the gate's learning rate, or decisions: freezing too early locks in noise")
        if lr is not None and not lr > 0:
            raise UserError(f"lr is {lr!r}, expected a number above 0")
        if window < 1:
            raise UserError(f"window is {window!r}, expected a whole number of steps from 1 upwards")
        self.router, self.probe, self.optimizer = router, probe, optimizer
        self.least = None if lr is None else math.ceil(c * router.num_experts / lr)
        self.decisions, self.window, self.fluctuation, self.margin = decisions, window, fluctuation, margin
        self.steps, self.settled = 0, 0
        self.frozen_at: int | None = None
        self._used = torch.zeros(router.num_experts)
        self._before: Tensor | None = None

    def step(self, output: RouteOutput) -> bool:
        """After a training step with this decision; True when it froze the gate."""
        if self.frozen_at is not None:
            return False
        self.steps += 1
        self._used += output.mask.sum(0).to(self._used)
        with torch.no_grad():
            probs = self.probe().probs.detach()
        before, self._before = self._before, probs
        moved = 1.0 if before is None else routing_fluctuation(before, probs)
        quiet = moved < self.fluctuation and float(decision_margin(probs).median()) > self.margin
        self.settled = self.settled + 1 if quiet and self._explored() else 0
        if self.settled < self.window:
            return False
        self.frozen_at = self.steps
        self._freeze()
        return True

    def _explored(self) -> bool:
        if self.least is not None and self.steps >= self.least:
            return True
        if self.decisions is None:
            return False
        live = self._used >= 0.1 * self._used.sum() / len(self._used)
        return bool((self._used[live] >= self.decisions).all())

    def _freeze(self) -> None:
        if hasattr(self.router, "freeze"):
            self.router.freeze()
        else:
            self.router.requires_grad_(False).eval()
        if self.optimizer is not None:
            gone = {id(parameter) for parameter in self.router.parameters()}
            for group in self.optimizer.param_groups:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in gone]
            for parameter in self.router.parameters():
                self.optimizer.state.pop(parameter, None)
                parameter.grad = None


class SourceTable(nn.Module):
    """A frozen decision for each source, for routers that decide by losses: losses drift, the table does not.

    Args:
        num_experts: M.

    Raises:
        UserError: when asked about a source without an entry, or without a source.

    Example:
        >>> table = SourceTable(2)
        >>> table.store(0, torch.tensor([0.0, 1.0]))
        >>> table(RouteInput(torch.ones(3, 1), domain=0)).weights[0].tolist()
        [0.0, 1.0]
    """

    table: Tensor

    def __init__(self, num_experts: int) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.register_buffer("table", torch.zeros(0, num_experts))

    def store(self, domain: int, weights: Tensor) -> None:
        """The weights ``[M]`` of a source from now on."""
        if tuple(weights.shape) != (self.num_experts,) or bool((weights < 0).any()) or not float(weights.sum()) > 0:
            raise UserError(
                f"weights of source {domain} are {weights.tolist()}, expected {self.num_experts} numbers >= 0, not all 0"
            )
        if domain >= len(self.table):
            more = self.table.new_zeros(domain + 1 - len(self.table), self.num_experts)
            self.table = torch.cat([self.table, more])
        self.table[domain] = weights.detach().to(self.table) / weights.detach().sum()

    def forward(self, input: RouteInput) -> RouteOutput:
        if input.domain is None:
            raise UserError("a table of sources needs RouteInput.domain, the source of each token")
        domain = torch.as_tensor(input.domain, device=self.table.device).expand(len(input.h))
        known = (self.table.sum(1) > 0).nonzero().squeeze(1).tolist()
        missing = sorted(set(domain.tolist()) - set(known))
        if missing:
            raise UserError(
                f"source {missing[0]} has no entry, known: {known}; store its decision or open a new expert"
            )
        weights = self.table[domain]
        logits = weights.clamp(min=torch.finfo(weights.dtype).tiny).log()
        return RouteOutput(
            logits, weights, weights, weights > 0, input.state, {"active": (weights > 0).sum(1).float().mean()}
        )

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        if prefix + "table" in state_dict:  # the number of sources is that of the file
            self.table = self.table.new_zeros(len(state_dict[prefix + "table"]), self.num_experts)
        super()._load_from_state_dict(state_dict, prefix, *rest)
