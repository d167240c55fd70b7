"""What was measured of a model's influence by hop."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["InfluenceReport"]


@dataclass(frozen=True, eq=False)
class InfluenceReport:
    r"""Influence by hop of S nodes, and what follows from it.

    The curve that is usually drawn divides mean by mean, the radius R is a mean of ratios: neither follows from the other.

    Attributes:
        per_node: T, float64 ``[S, H + 1]``.
        truncated: float64 ``[S]``, influence of nodes beyond H hops or out of reach.
        radius_per_node: R(v), float64 ``[S]``; NaN where undefined.
        nodes: int64 ``[S]``.
        undefined: int64, nodes without any influence, left out of R.
        method: how it was computed: ``"exact"`` and ``"probe"`` by balls, ``"full"`` and ``"probe, full"`` on the whole graph.
        norm: of the Jacobian.
        receptive_hops: hops that the model looks at most, or None.
        reason: why that is unknown.
        seconds: time taken.

    Example:
        >>> T = torch.tensor([[2.0, 1.0, 1.0], [2.0, 3.0, 5.0]], dtype=torch.float64)
        >>> report = InfluenceReport.of(T, nodes=torch.tensor([0, 1]))
        >>> report.per_hop.tolist(), report.normalized.tolist(), round(report.radius, 3)
        ([2.0, 2.0, 3.0], [1.0, 1.0, 1.5], 1.025)
    """

    per_node: Tensor
    truncated: Tensor
    radius_per_node: Tensor
    nodes: Tensor
    undefined: Tensor
    method: str = "exact"
    norm: str = "l1"
    receptive_hops: int | None = None
    reason: str = ""
    seconds: float = 0.0

    @classmethod
    def of(cls, per_node: Tensor, nodes: Tensor, truncated: Tensor | None = None) -> InfluenceReport:
        """The report of known influences ``[S, H + 1]``.

        Example:
            >>> InfluenceReport.of(torch.ones(1, 3), nodes=torch.tensor([4])).radius
            1.0
        """
        mass = per_node.sum(1)
        radius = (per_node * torch.arange(per_node.shape[1])).sum(1) / mass
        beyond = torch.zeros_like(mass) if truncated is None else truncated
        return cls(per_node, beyond, radius, nodes, nodes[~(mass > 0)])

    @property
    def per_hop(self) -> Tensor:
        """Mean of T over the nodes, float64 ``[H + 1]``, not normalised."""
        return self.per_node.mean(0)

    @property
    def per_hop_error(self) -> Tensor:
        """Standard error of :attr:`per_hop` over the nodes; NaN for a single one."""
        return self.per_node.std(0) / len(self.per_node) ** 0.5 if len(self.per_node) > 1 else self.per_hop * torch.nan

    @property
    def normalized(self) -> Tensor:
        """:attr:`per_hop` divided by its value at hop 0: a ratio of means."""
        return self.per_hop / self.per_hop[0]

    @property
    def mean_of_ratios(self) -> Tensor:
        """Mean over the nodes of T_h / T_0, of those with T_0 above 0, float64 ``[H + 1]``."""
        own = self.per_node[self.per_node[:, 0] > 0]
        return (own / own[:, :1]).mean(0)

    @property
    def shares(self) -> Tensor:
        """Share of all influence at each hop, :attr:`per_hop` over its sum and what lies beyond, float64 ``[H + 1]``."""
        return self.per_hop / (self.per_node.sum(1) + self.truncated).mean()

    @property
    def truncated_share(self) -> float:
        """Share of all influence that lies beyond H hops."""
        return float(self.truncated.mean() / (self.per_node.sum(1) + self.truncated).mean())

    @property
    def radius(self) -> float:
        """R, the mean over the nodes of their influence-weighted hop."""
        return float(self._defined.mean()) if len(self._defined) else float("nan")

    @property
    def radius_error(self) -> float:
        """Standard error of R over the nodes; NaN for fewer than two. It says nothing about other trainings of the model."""
        known = self._defined
        return float(known.std()) / len(known) ** 0.5 if len(known) > 1 else float("nan")

    @property
    def _defined(self) -> Tensor:
        return self.radius_per_node[~self.radius_per_node.isnan()]

    def __str__(self) -> str:
        hops = len(self.per_hop) - 1
        reach = f"looks {self.receptive_hops} hops at most" if self.receptive_hops is not None else self.reason
        lines = [
            f"influence at {len(self.nodes):,} nodes up to {hops} hops: R = {self.radius:.3f} +- {self.radius_error:.3f}",
            f"  {self.method}, norm {self.norm}"
            + (f"; the model {reach}" if self.receptive_hops is not None else f"; {reach}" if reach else ""),
        ]
        lines += [
            f"  hop {hop:<3}{100 * float(share):7.2f} %" for hop, share in enumerate(self.shares) if float(share) > 0
        ]
        if self.truncated_share > 0:
            lines.append(f"  beyond {100 * self.truncated_share:7.2f} %")
        return "\n".join(lines)
