"""Routing without parameters: the experts with the lowest label-free loss are asked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.errors import UserError
from graphkit.nn.option_ranges import check_sizes
from graphkit.nn.routing import RouteInput, RouteOutput

__all__ = ["LossRouter"]


class LossRouter(nn.Module):
    r"""GMoPE's gate: experts are compared by their loss on a graph or batch, without labels and without parameters.

    .. math:: s_m = -\ell_m, \qquad
        g_m = \frac{\exp(s_m / \tau)}{\sum_{j \in TopK} \exp(s_j / \tau)} \text{ (soft)}, \qquad g_m = 1 / K \text{ (hard)},
        \qquad m \in TopK, \text{ else } 0

    Losses that differ by a few hundredths give nearly equal gates at :math:`\tau = 0.8`; ``standardize`` compares z-scores over
    the experts instead. Ties go to the lower index. No gradient flows through the gate.

    Args:
        num_experts: M.
        top_k: K; None, or any number from M: all.
        tau: temperature of soft gates.
        standardize: z-score of the losses over experts; all equal losses give equal gates.
        recalibrate: r, against collapse in training: scores become :math:`\log(e^{-\ell_m} c_m)` with
            :math:`c_m = (1 - t_m / \sum t) r + 1 - r / 2` and t the samples trained so far.

    Attributes:
        trained: buffer ``[M]``, samples trained by each expert, see :meth:`count`.

    Raises:
        UserError: for sizes or options out of range, losses of another shape or not finite.

    Source:
        GMoPE (arXiv 2511.03251), Eqs. 9-11 as an independent re-implementation gives them; recalibration: AnyGraph.

    Example:
        >>> router = LossRouter(3, top_k=2, tau=1.0)
        >>> [round(w, 3) for w in router(torch.tensor([0.5, 0.7, 0.6])).weights[0].tolist()]
        [0.525, 0.0, 0.475]
    """

    trained: Tensor

    def __init__(
        self,
        num_experts: int,
        top_k: int | None = None,
        tau: float = 0.8,
        *,
        standardize: bool = False,
        recalibrate: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(num_experts=num_experts, top_k=1 if top_k is None else top_k)
        if not tau > 0:
            raise UserError(f"tau is {tau!r}, expected a number above 0")
        if not 0 <= recalibrate < 2:
            raise UserError(f"recalibrate is {recalibrate!r}, expected a number from 0 to below 2")
        self.num_experts, self.tau, self.standardize, self.recalibrate = (
            num_experts,
            float(tau),
            standardize,
            recalibrate,
        )
        self.top_k = num_experts if top_k is None else min(top_k, num_experts)
        self.register_buffer("trained", torch.zeros(num_experts, dtype=torch.float64))

    @torch.no_grad()
    def forward(
        self, losses: Tensor | RouteInput, *, top_k: int | None = None, hard: bool = False, training: bool = False
    ) -> RouteOutput:
        """Gates of batches.

        Args:
            losses: ``[M]`` or ``[T, M]``, each expert's loss; or what a :class:`graphkit.nn.Mixture` hands to its router, of which
                ``losses`` and ``train`` are read.
            top_k: K of this call, from 1 to M; None: the router's.
            hard: equal weights of the chosen experts.
            training: whether scores are recalibrated.

        Returns:
            decisions ``[T, M]`` (``[1, M]`` for one batch), float32 or the dtype of the losses.
        """
        if isinstance(losses, RouteInput):
            if losses.losses is None:
                raise UserError("this router decides by the losses of the experts; call the mixture with losses=[M] or [T, M]")
            training, losses = losses.train, losses.losses
        k = self.top_k if top_k is None else top_k
        if not 1 <= k <= self.num_experts:
            raise UserError(f"top_k is {k}, expected a number of experts from 1 to {self.num_experts}")
        losses = losses.detach()
        losses = losses[None] if losses.dim() == 1 else losses
        if losses.dim() != 2 or losses.size(1) != self.num_experts:
            raise UserError(
                f"losses are {list(losses.shape)}, expected [{self.num_experts}] or [T, {self.num_experts}]"
            )
        if not bool(losses.isfinite().all()):
            raise UserError("a loss that experts are compared by is not finite; look for such values in the features")
        losses = losses.float() if losses.dtype in (torch.bfloat16, torch.float16) else losses
        score = -losses
        if training and self.recalibrate:
            share = self.trained / self.trained.sum().clamp(min=1)
            score = score + ((1 - share) * self.recalibrate + 1 - self.recalibrate / 2).log().to(score.dtype)
        if self.standardize:
            deviation = score.std(1, correction=0, keepdim=True)
            centred = score - score.mean(1, keepdim=True)
            score = torch.where(deviation > 1e-12, centred / deviation.clamp(min=1e-12), 0)
        logits = score / self.tau
        best = torch.sort(score, dim=1, descending=True, stable=True).indices[:, :k]
        mask = torch.zeros_like(score, dtype=torch.bool).scatter(1, best, True)
        weights = logits.masked_fill(~mask, -torch.inf).softmax(1)
        weights = mask.to(weights.dtype) / k if hard else weights
        return RouteOutput(logits, logits.softmax(1), weights, mask, None, {})

    @torch.no_grad()
    def count(self, mask: Tensor, samples: int = 1) -> None:
        """Note that the experts in ``mask`` (bool ``[M]``) were trained on so many samples.

        Example:
            >>> router = LossRouter(2)
            >>> router.count(torch.tensor([True, False]), 5)
            >>> router.trained.tolist()
            [5.0, 0.0]
        """
        self.trained += mask.to(self.trained) * samples
