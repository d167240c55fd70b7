"""Weights as a product of two thin matrices and a few rows of what is left, after a merge of experts."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.errors import UserError

__all__ = ["LowRankSparseLinear", "RowImportance", "compress", "cubic_keep", "low_rank", "rank_of"]


def rank_of(ratio: float, rows: int, columns: int) -> int:
    r"""The rank whose two factors have about ``ratio`` times the numbers of the matrix.

    .. math:: \Big\lceil \frac{ratio \cdot H W}{H + W} \Big\rceil

    Example:
        >>> rank_of(0.5, 64, 64)
        16
    """
    if not 0 < ratio <= 1:
        raise UserError(f"ratio is {ratio!r}, expected a number above 0 up to 1")
    return max(1, math.ceil(ratio * rows * columns / (rows + columns)))


def low_rank(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    r"""The closest product of rank r.

    .. math:: W \approx U V, \quad U \in R^{H \times r}, \; V \in R^{r \times W}

    from the truncated singular value decomposition, in float64, the singular values shared evenly.

    Args:
        weight: ``[H, W]``.
        rank: r; more than min(H, W) is cut to that.

    Example:
        >>> u, v = low_rank(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), 1)
        >>> torch.allclose(u @ v, torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
        True
    """
    if rank < 1:
        raise UserError(f"rank is {rank!r}, expected a whole number from 1 upwards")
    u, s, vh = torch.linalg.svd(weight.detach().double(), full_matrices=False)
    root = s[:rank].sqrt()
    return (u[:, :rank] * root).to(weight.dtype), (root.unsqueeze(1) * vh[:rank]).to(weight.dtype)


class LowRankSparseLinear(nn.Module):
    r"""A linear map with few numbers.

    .. math:: y = x (U V + S)^\top + b

    S has some rows only, those of output channels that the product serves worst.

    Args:
        weight: ``[out, in]``.
        bias: ``[out]`` or None.
        rank: r.
        keep: share of the rows that S has.

    Example:
        >>> whole = nn.Linear(8, 6)
        >>> thin = LowRankSparseLinear(whole.weight, whole.bias, rank=2, keep=0.5)
        >>> sum(p.numel() for p in thin.parameters()), thin(torch.ones(1, 8)).shape
        (58, torch.Size([1, 6]))
    """

    rows: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rank: int, keep: float = 0.1) -> None:
        super().__init__()
        if not 0 <= keep <= 1:
            raise UserError(f"keep is {keep!r}, expected a share from 0 to 1")
        u, v = low_rank(weight, rank)
        self.u, self.v = nn.Parameter(u), nn.Parameter(v)
        rest = weight.detach() - u @ v
        count = math.ceil(keep * len(rest))
        rows = rest.square().sum(1).argsort(descending=True, stable=True)[:count].sort().values
        self.register_buffer("rows", rows)
        self.sparse = nn.Parameter(rest[rows])
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(F.linear(x, self.v), self.u, self.bias)
        if len(self.rows):
            y = y.index_add(-1, self.rows, F.linear(x, self.sparse))
        return y

    @property
    def weight(self) -> Tensor:
        """U V + S, ``[out, in]``."""
        return (self.u @ self.v).index_add(0, self.rows, self.sparse)

    def prune(self, keep: float, importance: Tensor | None = None) -> None:
        """Leave S only the most important rows: ``keep`` times all output channels. New parameters: build the optimizer anew.

        Args:
            keep: share of the output channels.
            importance: of each row of S; None: its norm.
        """
        count = min(math.ceil(keep * len(self.u)), len(self.rows))
        score = self.sparse.detach().square().sum(1) if importance is None else importance
        kept = score.argsort(descending=True, stable=True)[:count].sort().values
        self.rows = self.rows[kept]
        self.sparse = nn.Parameter(self.sparse.detach()[kept])


class RowImportance:
    r"""How much the loss rests on each row of S, smoothed over steps.

    .. math:: I \leftarrow \beta I + (1 - \beta) \Big| \sum_j S_j \frac{\partial L}{\partial S_j} \Big|

    Args:
        beta: 0.85 as in the paper.

    Source:
        Li et al. (arXiv 2310.01334), with the criterion of LoSparse; per row instead of per entry is graphkit's reading.

    Example:
        >>> importance, s = RowImportance(0.5), torch.ones(2, 1, requires_grad=True)
        >>> (s * torch.tensor([[4.0], [0.0]])).sum().backward()
        >>> importance.update(s).tolist()
        [2.0, 0.0]
    """

    def __init__(self, beta: float = 0.85) -> None:
        self.beta = beta
        self.value: Tensor | None = None

    @torch.no_grad()
    def update(self, sparse: Tensor) -> Tensor:
        """Take in the gradient of S ``[rows, in]``; the importance so far, ``[rows]``."""
        if sparse.grad is None:
            raise UserError("S has no gradient; call backward on the loss first")
        now = (sparse * sparse.grad).sum(1).abs()
        old = torch.zeros_like(now) if self.value is None else self.value
        self.value = self.beta * old + (1 - self.beta) * now
        return self.value


def cubic_keep(step: int, total: int, final: float) -> float:
    r"""The share of rows to keep at a step, from 1 down to ``final``.

    .. math:: final + (1 - final) (1 - step / total)^3

    Example:
        >>> [cubic_keep(step, 2, 0.2) for step in (0, 1, 2, 9)]
        [1.0, 0.3, 0.2, 0.2]
    """
    left = max(0.0, 1 - step / total)
    return round(final + (1 - final) * left**3, 12)


def compress(
    module: nn.Module, *, rank: int | None = None, ratio: float | None = None, keep: float = 0.1
) -> tuple[nn.Module, dict[str, tuple[int, int]]]:
    """A copy of a module whose linear maps are of low rank and sparse.

    Args:
        module: experts, such as those of a merged mixture; linear maps of torch and PyG in it are replaced.
        rank: of every map; a rank above H W / (H + W) makes a map larger.
        ratio: instead: the rank of each map by :func:`rank_of`.
        keep: share of the rows that stay sparse.

    Returns:
        (the copy; for each map its numbers before and after).

    Raises:
        UserError: neither or both of ``rank`` and ``ratio``, no linear maps.

    Source:
        Li et al. (arXiv 2310.01334), MC-SMoE.

    Example:
        >>> _, counts = compress(nn.Sequential(nn.Linear(32, 32, bias=False)), ratio=0.25, keep=0.0)
        >>> counts
        {'0': (1024, 256)}
    """
    if (rank is None) == (ratio is None):
        raise UserError("pass either rank or ratio")
    result = copy.deepcopy(module)
    counts: dict[str, tuple[int, int]] = {}
    done: dict[int, LowRankSparseLinear] = {}
    for name, part in list(result.named_modules(remove_duplicate=False)):
        if not _is_linear(part):
            continue
        if id(part) not in done:
            height, width = part.weight.shape
            found = rank if rank is not None else rank_of(float(ratio or 0), height, width)
            thin = done[id(part)] = LowRankSparseLinear(part.weight, part.bias, rank=found, keep=keep)
            counts[name] = (_size(part), _size(thin))
        if not name:
            return done[id(part)], counts
        parent, _, leaf = name.rpartition(".")
        setattr(result.get_submodule(parent), leaf, done[id(part)])
    if not counts:
        raise UserError(f"there is no linear map in {type(module).__name__} to compress")
    return result, counts


def _is_linear(part: Any) -> bool:
    weight = getattr(part, "weight", None)
    return type(part).__name__ == "Linear" and isinstance(weight, Tensor) and weight.dim() == 2


def _size(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())
