"""Prompts of a mixture of graph experts, and the loss that keeps them apart."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from graphkit.errors import DataWarning, UserError, nearest
from graphkit.nn.expert_linear import fill_weight

__all__ = ["PROMPT_MODES", "PromptBank", "prompt_orthogonality"]

PROMPT_MODES = ("concat", "add", "add_attn", "film")
_KINDS = ("exp_cos", "gram")
_SMALL = 1e-6  # a shorter prompt has no direction


def prompt_orthogonality(prompts: Tensor, kind: str = "exp_cos") -> Tensor:
    r"""How alike the directions of prompts are.

    .. math:: \frac{1}{M (M - 1)} \sum_{m \ne n} \exp \cos(p_m, p_n), \qquad
        \frac{\| \tilde P \tilde P^\top - I \|_F^2}{M (M - 1)}

    ``"exp_cos"`` is 1 for orthonormal prompts, e where all are equal, and smallest, exp(-1 / (M - 1)), at the corners of a
    regular simplex; it goes on pushing at orthonormal prompts. ``"gram"`` (:math:`\tilde P` has unit rows) is 0 for orthonormal
    prompts, which needs M <= D. Lengths do not matter; a prompt shorter than 1e-6 has no direction, counts as orthogonal to all
    and gets no gradient.

    Args:
        prompts: ``[M, D]``.
        kind: ``"exp_cos"`` or ``"gram"``.

    Returns:
        a scalar; 0 for one prompt.

    Raises:
        UserError: for another shape, or an unknown kind.

    Source:
        GMoPE (arXiv 2511.03251), Eq. 15 as an independent re-implementation gives it; ``"gram"`` is this library's.

    Example:
        >>> prompt_orthogonality(torch.eye(3)), prompt_orthogonality(torch.eye(3), "gram")
        (tensor(1.), tensor(0.))
    """
    if kind not in _KINDS:
        raise UserError(nearest(str(kind), _KINDS, "kind of orthogonality"))
    if not isinstance(prompts, Tensor) or prompts.dim() != 2:
        shape = list(prompts.shape) if isinstance(prompts, Tensor) else type(prompts).__name__
        raise UserError(f"prompts is {shape}, expected a tensor [M, D], one row per prompt")
    count = prompts.size(0)
    if count < 2:
        return prompts.sum() * 0
    long = prompts.detach().norm(dim=1, keepdim=True) > _SMALL
    unit = torch.where(long, prompts, 0)
    unit = unit / torch.where(long, torch.where(long, prompts, 1).norm(dim=1, keepdim=True), 1)
    cosine = unit @ unit.t()
    apart = ~torch.eye(count, dtype=torch.bool, device=prompts.device)
    if kind == "exp_cos":
        return cosine[apart].exp().sum() / (count * (count - 1))
    return ((cosine - torch.diag(long[:, 0].to(cosine.dtype))) ** 2).sum() / (count * (count - 1))


class PromptBank(nn.Module):
    r"""One prompt for each of M experts, the part of the mixture that is tuned.

    =============  ===================================================================  ================
    mode           input or states of expert m                                          prompt ``[D]``
    =============  ===================================================================  ================
    ``concat``     :math:`[X \,\|\, 1 p_m^\top]`                                        ``channels``
    ``add``        :math:`X + 1 p_m^\top` (GPF)                                         ``channels`` = F
    ``add_attn``   :math:`x_v + \sum_j \mathrm{softmax}_j(a_{mj}^\top x_v) b_{mj}`      2 ``basis`` F
                   (GPF-plus)
    ``film``       :math:`(1 + \gamma_{ml}) \odot Z_{ml} + \beta_{ml}` in every layer    2 ``layers`` ``channels``
    =============  ===================================================================  ================

    Args:
        num_experts: M.
        channels: width; of features for ``add`` and ``add_attn``, of states for ``film``.
        mode: as above.
        basis: vectors a prompt of ``add_attn`` attends over.
        layers: layers of an expert, for ``film``.
        init: ``"xavier"``, uniform; ``"zero"`` leaves the experts as they are without prompts.

    Attributes:
        prompt: parameter ``[M, D]``.

    Raises:
        UserError: for sizes out of range, or an unknown mode or init.

    Source:
        GMoPE (arXiv 2511.03251), Eq. 7: concat. Fang et al., Universal Prompt Tuning for Graph Neural Networks (NeurIPS 2023):
        GPF and GPF-plus.

    Example:
        >>> bank = PromptBank(4, 8)
        >>> bank.prompt.shape, bool(bank.orthogonality() > 0)
        (torch.Size([4, 8]), True)
    """

    def __init__(
        self,
        num_experts: int,
        channels: int,
        mode: str = "concat",
        *,
        basis: int = 20,
        layers: int = 3,
        init: str = "xavier",
    ) -> None:
        super().__init__()
        for name, value in (("num_experts", num_experts), ("channels", channels), ("basis", basis), ("layers", layers)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"{name} is {value!r}, expected a whole number from 1")
        if mode not in PROMPT_MODES:
            raise UserError(nearest(str(mode), PROMPT_MODES, "prompt_mode"))
        if init not in ("xavier", "zero"):
            raise UserError(nearest(str(init), ("xavier", "zero"), "prompt_init"))
        self.num_experts, self.channels, self.mode, self.basis, self.layers = num_experts, channels, mode, basis, layers
        width = {"concat": channels, "add": channels, "add_attn": 2 * basis * channels, "film": 2 * layers * channels}[
            mode
        ]
        if num_experts > width + 1:
            warnings.warn(
                f"{num_experts} prompts of {width} numbers cannot all be orthogonal, nor all equally far apart; take "
                f"prompt_channels of at least {num_experts - 1}, or fewer experts",
                DataWarning,
                stacklevel=2,
            )
        self.prompt = nn.Parameter(torch.zeros(num_experts, width))
        if init == "xavier":
            fill_weight(self.prompt.data, width if mode == "concat" else channels, num_experts)

    def attention(self, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Keys ``[M, basis, F]`` and vectors ``[M, basis, F]`` of prompts of ``add_attn``.

        Example:
            >>> bank = PromptBank(2, 3, "add_attn", basis=5)
            >>> [part.shape for part in bank.attention(bank.prompt)]
            [torch.Size([2, 5, 3]), torch.Size([2, 5, 3])]
        """
        keys, vectors = prompt.view(prompt.size(0), 2, self.basis, self.channels).unbind(1)
        return keys, vectors

    def film(self, prompt: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Scale minus 1 and shift, each ``[M, channels]``, of a layer of ``film``.

        Example:
            >>> bank = PromptBank(2, 3, "film", layers=2)
            >>> [part.shape for part in bank.film(bank.prompt, 1)]
            [torch.Size([2, 3]), torch.Size([2, 3])]
        """
        gamma, beta = prompt.view(prompt.size(0), self.layers, 2, self.channels)[:, layer].unbind(1)
        return gamma, beta

    def orthogonality(self, kind: str = "exp_cos") -> Tensor:
        """:func:`prompt_orthogonality` of the prompts; with ``add_attn`` of the vectors that are added.

        Example:
            >>> PromptBank(1, 8).orthogonality().item()
            0.0
        """
        rows = self.attention(self.prompt)[1].flatten(1) if self.mode == "add_attn" else self.prompt
        return prompt_orthogonality(rows, kind)

    def extra_repr(self) -> str:
        return f"num_experts={self.num_experts}, channels={self.channels}, mode={self.mode!r}"
