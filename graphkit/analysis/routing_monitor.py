"""What a router does over an epoch: who is used, how sure it is, and whether it tells sources apart."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphkit.analysis.expert_similarity import expert_cka, prompt_cosines
from graphkit.analysis.mixture_gains import MixtureGains
from graphkit.errors import UserError
from graphkit.nn.routing import RouteOutput, routing_fluctuation

__all__ = ["RoutingMonitor", "effective_experts", "routing_entropy"]


def routing_entropy(weights: Tensor) -> Tensor:
    r"""Entropy of each row in nats, ``[...]`` of ``[..., M]``.

    .. math:: - \sum_m w_m \log w_m

    Example:
        >>> routing_entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
        tensor([0.6931, 0.0000], dtype=torch.float64)
    """
    return torch.special.entr(weights.detach().double()).sum(-1).clamp(min=0)


def effective_experts(mean: Tensor) -> float:
    r"""How many experts a mean gate ``[M]`` amounts to.

    .. math:: \exp H(\bar g)

    Example:
        >>> round(effective_experts(torch.tensor([0.5, 0.5, 0.0])), 6)
        2.0
    """
    return float(routing_entropy(mean).exp())


class RoutingMonitor:
    r"""Collects decisions of a router and says what they amount to.

    Low mean entropy and a high entropy of the mean gate: experts are specialised. Both low: collapse. Both high: the router does
    nothing. All sums are in float64 and nothing keeps a graph of gradients.

    Args:
        num_experts: M.

    Raises:
        UserError: decisions of another shape.

    Example:
        >>> monitor = RoutingMonitor(2)
        >>> for source, gate in (("cora", [1.0, 0.0]), ("photo", [0.0, 1.0])):
        ...     monitor.update(torch.tensor([gate]), source=source)
        >>> found = monitor.summary()
        >>> round(found["effective_experts"], 3), round(found["source_information"], 4), found["dead"]
        (2.0, 0.6931, [])
    """

    def __init__(self, num_experts: int) -> None:
        self.num_experts = num_experts
        self._probe: Tensor | None = None
        self.reset()

    def reset(self) -> None:
        """Begin a new epoch; the probe's last decision is kept."""
        self._used: dict[str, Tensor] = {}
        self._mass: dict[str, Tensor] = {}
        self._count: dict[str, int] = {}
        self._entropy = 0.0
        self._loss: dict[str, Tensor] = {}
        self._loss_count: dict[str, Tensor] = {}
        self._confidence: dict[str, Tensor] = {}
        self._confident: dict[str, int] = {}
        self._more: dict[str, Any] = {}

    def update(
        self,
        decision: RouteOutput | Tensor,
        *,
        source: Any = "all",
        losses: Tensor | None = None,
        confidence: Tensor | None = None,
    ) -> None:
        """Take in decisions about tokens of one source.

        Args:
            decision: a router's output, or weights ``[T, M]`` or ``[M]``; an expert is in use where its weight is above 0.
            source: name of the source.
            losses: losses of the experts, ``[M]`` or ``[T, M]``; NaN for those that were not asked.
            confidence: confidence weights at inference, ``[T, M]``.
        """
        weights, mask = (decision.weights, decision.mask) if isinstance(decision, RouteOutput) else (decision, None)
        weights = self._rows("decisions", weights)
        mask = weights > 0 if mask is None else mask.detach().cpu()
        name = str(source)
        zero = torch.zeros(self.num_experts, dtype=torch.float64)
        self._used[name] = self._used.get(name, zero) + mask.double().sum(0)
        self._mass[name] = self._mass.get(name, zero) + weights.sum(0)
        self._count[name] = self._count.get(name, 0) + len(weights)
        self._entropy += float(routing_entropy(weights).sum())
        if losses is not None:
            rows = self._rows("losses", losses)
            self._loss[name] = self._loss.get(name, zero) + rows.nan_to_num(0.0).sum(0)
            self._loss_count[name] = self._loss_count.get(name, zero) + (~rows.isnan()).double().sum(0)
        if confidence is not None:
            rows = self._rows("confidence", confidence)
            self._confidence[name] = self._confidence.get(name, zero) + rows.sum(0)
            self._confident[name] = self._confident.get(name, 0) + len(rows)

    def probe(self, decision: RouteOutput | Tensor) -> float | None:
        """Decisions about a fixed set of tokens; the share whose first choice changed since the last time, None at first."""
        weights = self._rows("decisions", decision.weights if isinstance(decision, RouteOutput) else decision)
        before, self._probe = self._probe, weights
        if before is None:
            return None
        self._more["fluctuation"] = routing_fluctuation(before, weights)
        return self._more["fluctuation"]

    def prompts(self, prompts: Tensor, orthogonality: Tensor | float | None = None) -> None:
        """The prompts ``[M, D]`` as they are now, and their orthogonality loss."""
        cosines, norms = prompt_cosines(prompts.cpu())
        self._more |= {"prompt_cosines": cosines, "prompt_norms": norms}
        if orthogonality is not None:
            self._more["orthogonality"] = float(orthogonality)

    def outputs(self, outputs: Tensor) -> None:
        """States of the experts on some nodes, ``[M, n, h]``, for their similarity."""
        self._more["cka"] = expert_cka(outputs.cpu())

    def gains(self, gains: MixtureGains) -> None:
        """What the mixture wins, see :func:`graphkit.analysis.mixture_gains`."""
        self._more["gains"] = {
            name: getattr(gains, name)
            for name in (
                "mixture",
                "uniform",
                "best_single",
                "oracle",
                "singles",
                "mixture_error",
                "single_errors",
                "useful",
            )
        }

    def summary(self) -> dict[str, Any]:
        r"""Everything so far, as tensors and numbers; S sources in the order in which they came.

        ``utilisation`` ``[M]`` and ``utilisation_by_source`` ``[S, M]``: share of decisions in which an expert is in use.
        ``importance`` and ``importance_by_source``: mean weight. ``entropy``: mean of :math:`H(g) / \log M`.
        ``entropy_of_mean``: the same of the mean gate. ``information``: :math:`H(\bar g) - \operatorname{mean} H(g)` in nats, of
        expert and decision. ``source_information``: of expert and source, from the mean gates of sources.
        ``effective_experts``: :math:`\exp H(\bar g)`. ``dead``: experts with less than a tenth of an even share of use.
        ``active``: mean number in use. Where they were given: ``loss_by_source`` and ``confidence_by_source`` ``[S, M]``,
        ``prompt_cosines``, ``prompt_norms``, ``orthogonality``, ``cka``, ``fluctuation``, ``gains``.

        Raises:
            UserError: before any decision.
        """
        decisions = sum(self._count.values())
        if not decisions:
            raise UserError("the monitor has seen no decision; call update first")
        names = list(self._count)
        count = torch.tensor([float(self._count[name]) for name in names], dtype=torch.float64)
        used = torch.stack([self._used[name] for name in names])
        mass = torch.stack([self._mass[name] for name in names])
        rows = count.clamp(min=1).unsqueeze(1)
        mean = mass.sum(0) / decisions
        utilisation = used.sum(0) / decisions
        largest = math.log(self.num_experts) if self.num_experts > 1 else 1.0
        of_mean, of_each = float(routing_entropy(mean)), self._entropy / decisions
        of_sources = float((count / decisions * routing_entropy(mass / rows)).sum())
        found: dict[str, Any] = {
            "experts": self.num_experts,
            "decisions": decisions,
            "sources": names,
            "utilisation": utilisation,
            "utilisation_by_source": used / rows,
            "importance": mean,
            "importance_by_source": mass / rows,
            "entropy": of_each / largest,
            "entropy_of_mean": of_mean / largest,
            "information": max(of_mean - of_each, 0.0),
            "source_information": max(of_mean - of_sources, 0.0),
            "effective_experts": math.exp(of_mean),
            "dead": (utilisation < 0.1 / self.num_experts).nonzero().squeeze(1).tolist(),
            "active": float(utilisation.sum()),
        }
        if self._loss:
            empty = torch.full((self.num_experts,), math.nan, dtype=torch.float64)
            found["loss_by_source"] = torch.stack(
                [self._loss[n] / self._loss_count[n] if n in self._loss else empty for n in names]
            )
        if self._confidence:
            empty = torch.full((self.num_experts,), math.nan, dtype=torch.float64)
            found["confidence_by_source"] = torch.stack(
                [self._confidence[n] / self._confident[n] if n in self._confidence else empty for n in names]
            )
        return found | self._more

    def record(self) -> dict[str, Any]:
        """:meth:`summary` with plain lists, rounded to six digits, None for NaN: the field ``"routing"`` of a line of log.jsonl.

        Example:
            >>> monitor = RoutingMonitor(2)
            >>> monitor.update(torch.tensor([[0.25, 0.75]]))
            >>> monitor.record()["importance"]
            [0.25, 0.75]
        """
        return {name: _plain(value) for name, value in self.summary().items()}

    def _rows(self, what: str, rows: Tensor) -> Tensor:
        rows = rows.detach().double().cpu()
        rows = rows.unsqueeze(0) if rows.dim() == 1 else rows
        if rows.dim() != 2 or rows.size(1) != self.num_experts:
            raise UserError(f"{what} are {list(rows.shape)}, expected [T, {self.num_experts}] or [{self.num_experts}]")
        return rows


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
