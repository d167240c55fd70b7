"""How alike experts are: what they say (CKA), and how their prompts point."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.errors import UserError

__all__ = ["expert_cka", "linear_cka", "prompt_cosines"]


def linear_cka(first: Tensor, second: Tensor) -> float:
    r"""Linear centred kernel alignment of two representations of the same nodes.

    .. math:: \frac{\|Y^\top X\|_F^2}{\|X^\top X\|_F \|Y^\top Y\|_F}

    with X and Y centred over nodes. 1 for representations that agree up to rotation, shift and one scale; 0 for uncorrelated ones,
    and where one of them is constant.

    Args:
        first: X, ``[n, h]``.
        second: Y, ``[n, h']``.

    Raises:
        UserError: different numbers of nodes.

    Source:
        Kornblith et al., Similarity of neural network representations revisited (ICML 2019), eq. 4.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [3.0]])
        >>> round(linear_cka(x, 5 - 2 * x), 6)
        1.0
    """
    if first.dim() != 2 or second.dim() != 2 or len(first) != len(second):
        raise UserError(
            f"representations are {list(first.shape)} and {list(second.shape)}, expected [n, h] of the same nodes"
        )
    x, y = ((part.detach().double() - part.detach().double().mean(0)) for part in (first, second))
    joint = (y.t() @ x).square().sum()
    scale = (x.t() @ x).norm() * (y.t() @ y).norm()
    return float(joint / scale) if float(scale) > 1e-300 else 0.0


def expert_cka(outputs: Tensor) -> Tensor:
    """:func:`linear_cka` of every pair of experts.

    Prompts can be at right angles while experts do the same; this tells.

    Args:
        outputs: states of the experts, ``[M, n, h]``.

    Returns:
        float64 ``[M, M]``, symmetric, 1 on the diagonal.

    Example:
        >>> expert_cka(torch.tensor([[[0.0], [1.0]], [[3.0], [1.0]]])).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    count = len(outputs)
    found = torch.eye(count, dtype=torch.float64)
    for i in range(count):
        for j in range(i):
            found[i, j] = found[j, i] = linear_cka(outputs[i], outputs[j])
    return found


def prompt_cosines(prompts: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines between prompts, and their lengths.

    Args:
        prompts: ``[M, D]``.

    Returns:
        (float64 ``[M, M]``, float64 ``[M]``); the cosine with a prompt of zeros is 0.

    Example:
        >>> prompt_cosines(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))[1].tolist()
        [3.0, 1.0]
    """
    rows = prompts.detach().double()
    norms = rows.norm(dim=1)
    unit = rows / norms.clamp(min=1e-300).unsqueeze(1)
    return unit @ unit.t(), norms
