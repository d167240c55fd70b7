"""Attention of all nodes to all nodes at a cost that grows with their number only."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from graphkit.errors import UserError
from graphkit.nn.option_ranges import check_sizes

__all__ = ["AttentionNorm", "SimpleAttention"]

AttentionNorm = Literal["graph", "node"]

_SMALLEST = 1e-6  # norm to divide by: a row of zeros stays one, and its gradient finite


class SimpleAttention(nn.Module):
    r"""SGFormer's attention, the mean over heads of

    .. math:: D^{-1} \Bigl[ V + \tfrac1N \tilde Q (\tilde K^\top V) \Bigr], \qquad
        D = \mathrm{diag}\Bigl(1 + \tfrac1N \tilde Q (\tilde K^\top \mathbf 1)\Bigr),

    with Q, K and V linear in the states of the N nodes of a graph. Products are taken from the right, so time and memory are
    linear in N.

    In the paper :math:`\tilde Q = Q / \|Q\|_F`, a norm over all nodes (``"graph"``). A row is then of the order of
    :math:`N^{-1/2}`, and what other nodes add to V falls with 1/N: on a large graph hardly anything. PyG's
    ``SGFormerAttention`` divides each row by its own norm (``"node"``), and other nodes weigh as much as V whatever N is.

    Args:
        channels: width d of the states.
        heads: H, each of width d.
        normalize: ``"graph"`` or ``"node"``.

    Raises:
        UserError: for sizes below one, or another norm.

    Source:
        Wu et al.: SGFormer: Simplifying and Empowering Transformers for Large-Graph Representations (NeurIPS 2023), equations 2
        and 3, without the residual, which :class:`graphkit.models.SGFormer` adds.

    Example:
        >>> SimpleAttention(8)(torch.randn(5, 8)).shape
        torch.Size([5, 8])
    """

    def __init__(self, channels: int, heads: int = 1, *, normalize: AttentionNorm = "graph") -> None:
        super().__init__()
        check_sizes(channels=channels, heads=heads)
        if normalize not in ("graph", "node"):
            raise UserError(f"normalize is {normalize!r}, expected 'graph' (as the paper) or 'node' (as PyG)")
        self.heads, self.normalize = heads, normalize
        self.q, self.k, self.v = (nn.Linear(channels, heads * channels, bias=False) for _ in range(3))

    def forward(self, x: Tensor, batch: Tensor | None = None) -> Tensor:
        """[N, d] to [N, d]; of several graphs ``batch`` [N], ascending, says which one a node is of; each attends to itself."""
        if batch is None:
            return self._of_graph(x)
        sizes = torch.bincount(batch).tolist()
        return torch.cat([self._of_graph(part) for part in x.split(sizes)])

    def _of_graph(self, x: Tensor) -> Tensor:
        n, d = x.shape
        if n == 0:
            return x
        q, k, v = (linear(x).view(n, self.heads, d) for linear in (self.q, self.k, self.v))
        over = -1 if self.normalize == "node" else (0, 1, 2)
        q, k = (part / torch.linalg.vector_norm(part, dim=over, keepdim=True).clamp(min=_SMALLEST) for part in (q, k))
        heard = torch.einsum("nhm,hmd->nhd", q, torch.einsum("nhm,nhd->hmd", k, v))
        weight = torch.einsum("nhm,hm->nh", q, k.sum(0))
        return ((n * v + heard) / (n + weight)[..., None]).mean(1)
