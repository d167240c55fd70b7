"""Experts weighed by how sure each one is of its own prediction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest

__all__ = ["ConfidenceAggregator", "confidence_weights"]

_KINDS = ("classes", "binary", "labels")
_FINITE = 1e30


def confidence_weights(
    logits: Tensor, kind: str = "classes", *, temperature: float = 1.0, floor: float = 1e-6
) -> Tensor:
    r"""Weights of experts from the entropy of their predictions.

    .. math:: \alpha_m = \max(0, 1 - H(\mathrm{softmax}(y_m)) / \log C), \qquad \omega_m = \alpha_m / \sum_j \alpha_j

    A plain ratio, no softmax. Where the sum of all :math:`\alpha` stays below ``floor`` the weights are equal. An expert that is
    sure and wrong wins as well as one that is sure and right.

    Args:
        logits: ``[M, B, C]``.
        kind: ``"classes"``; ``"binary"``, C = 1 logit of yes or no; ``"labels"``, C of them, whose entropies are averaged.
        temperature: logits are divided by it.
        floor: see above.

    Returns:
        ``[M, B]``, columns sum to 1.

    Raises:
        UserError: for another shape or kind, or a temperature that is not above 0.

    Source:
        GMoPE (arXiv 2511.03251), Eqs. 12-14 as an independent re-implementation gives them.

    Example:
        >>> sure, unsure = torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 0.0]])
        >>> confidence_weights(torch.stack([sure, unsure]))[:, 0].tolist()
        [1.0, 0.0]
    """
    if kind not in _KINDS:
        raise UserError(nearest(str(kind), _KINDS, "kind of prediction"))
    if logits.dim() != 3 or (kind == "binary" and logits.size(2) != 1):
        raise UserError(f"logits are {list(logits.shape)}, expected [M, B, {1 if kind == 'binary' else 'C'}]")
    if not temperature > 0:
        raise UserError(f"temperature is {temperature!r}, expected a number above 0")
    y = logits.clamp(-_FINITE, _FINITE) / temperature
    if kind == "classes":
        classes = y.size(2)
        entropy = torch.special.entr((y - y.amax(2, keepdim=True)).softmax(2)).sum(2)
        alpha = 1 - entropy / torch.log(torch.tensor(float(classes), dtype=y.dtype)) if classes > 1 else 0 * entropy
    else:
        yes = torch.sigmoid(y)
        entropy = (torch.special.entr(yes) + torch.special.entr(torch.sigmoid(-y))).mean(2)
        alpha = 1 - entropy / torch.log(torch.tensor(2.0, dtype=y.dtype))
    alpha = alpha.clamp(min=0)
    total = alpha.sum(0, keepdim=True)
    flat = total < floor
    return torch.where(flat, 1.0 / len(alpha), alpha / torch.where(flat, 1.0, total))


class ConfidenceAggregator(nn.Module):
    r"""The mixture's answer: :math:`f(\sum_m \omega_m h_m)` with :func:`confidence_weights` of :math:`f(h_m)`.

    Args:
        kind: as in :func:`confidence_weights`, or ``"uniform"`` for equal weights.
        temperature: as in :func:`confidence_weights`.

    Raises:
        UserError: for an unknown kind.

    Example:
        >>> head = torch.nn.Linear(4, 3)
        >>> out, weights = ConfidenceAggregator()(torch.randn(2, 5, 4), head)
        >>> out.shape, weights.shape
        (torch.Size([5, 3]), torch.Size([2, 5]))
    """

    def __init__(self, kind: str = "classes", *, temperature: float = 1.0) -> None:
        super().__init__()
        if kind not in (*_KINDS, "uniform"):
            raise UserError(nearest(str(kind), (*_KINDS, "uniform"), "kind of prediction"))
        self.kind, self.temperature = kind, temperature

    def forward(self, states: Tensor, head: nn.Module, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Answers ``[B, C]`` and weights ``[M, B]``.

        Args:
            states: ``[M, B, H]``.
            head: from ``[..., H]`` to ``[..., C]``, the same for all experts.
            mask: bool ``[M]``, experts that have a say; None: all.
        """
        kept = states if mask is None else states[mask]
        if self.kind == "uniform":
            some = kept.new_full(kept.shape[:2], 1.0 / len(kept))
        else:
            some = confidence_weights(head(kept), self.kind, temperature=self.temperature)
        weights = some if mask is None else some.new_zeros(states.shape[:2]).masked_scatter(mask[:, None], some)
        return head(torch.einsum("mb,mbh->bh", some, kept)), weights

    def extra_repr(self) -> str:
        return f"kind={self.kind!r}, temperature={self.temperature}"
