"""Encodings of the node sets that random walks visit: the mean of features, a gated convolution, or features of the walks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphkit.errors import UserError
from graphkit.nn.gated_gcn import GatedGCNConv
from graphkit.ops import WalkTokens

__all__ = ["GatedTokenEncoder", "WalkFeatureEncoder", "token_means", "token_statistics"]


def token_means(x: Tensor, tokens: WalkTokens) -> Tensor:
    """Mean of the rows of each token, ``[N, F]`` to ``[T, F]``.

    Example:
        >>> tokens = WalkTokens(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 1]))
        >>> token_means(torch.tensor([[1.0], [3.0]]), tokens).tolist()
        [[2.0], [3.0]]
    """
    return _means(x.index_select(0, tokens.nodes), tokens.ptr)


def _means(rows: Tensor, ptr: Tensor) -> Tensor:
    size = ptr.diff()
    of_token = torch.repeat_interleave(torch.arange(len(size), device=rows.device), size)
    total = rows.new_zeros(len(size), rows.shape[1]).index_add(0, of_token, rows)
    return total / size.clamp(min=1)[:, None].to(rows.dtype)


def token_statistics(tokens: WalkTokens, walk_length: int, repeats: int) -> Tensor:
    """``[T, 3]``: log(1 + nodes), log(1 + induced edges) and the share of the longest length."""
    if tokens.edge_ptr is None:
        raise UserError("the statistics of tokens count induced edges; make the tokenizer with return_edges=True")
    length = torch.arange(walk_length, 0, -1, device=tokens.ptr.device).repeat_interleave(repeats) / max(walk_length, 1)
    count = (len(tokens.ptr) - 1) // max(len(length), 1)
    return torch.stack([tokens.ptr.diff().log1p(), tokens.edge_ptr.diff().log1p(), length.repeat(count)], 1)


class GatedTokenEncoder(nn.Module):
    """Gated graph convolutions on the subgraphs that tokens induce, all at once, then a mean or sum over each.

    LayerNorm inside: statistics over a batch would let tokens of different nodes see each other.

    Args:
        channels: d.
        num_layers: convolutions.
        pooling: ``"mean"`` or ``"sum"``.
        dropout: of what a convolution adds.

    Source:
        Behrouz and Hashemi, Graph Mamba (KDD 2024), section 4.2, which names the kind of network; its layer is that of the GNN
        benchmark, see :class:`graphkit.nn.GatedGCNConv`.

    Example:
        >>> encoder = GatedTokenEncoder(8)
        >>> some = torch.tensor([0, 1])
        >>> tokens = WalkTokens(torch.tensor([0, 2]), some, None, torch.tensor([0, 1]), some[:1], some[1:], some[:1])
        >>> encoder(torch.randn(3, 8), tokens, torch.randn(5, 8)).shape
        torch.Size([1, 8])
    """

    def __init__(self, channels: int, *, num_layers: int = 1, pooling: str = "mean", dropout: float = 0.0) -> None:
        super().__init__()
        if pooling not in ("mean", "sum"):
            raise UserError(f"pooling is {pooling!r}, expected 'mean' or 'sum'")
        self.pooling = pooling
        self.convs = nn.ModuleList(
            GatedGCNConv(channels, norm="layer", dropout=dropout, update_edges=layer < num_layers - 1)
            for layer in range(num_layers)
        )

    def forward(self, x: Tensor, tokens: WalkTokens, edge_state: Tensor) -> Tensor:
        """``x [N, d]``, ``edge_state [E, d]`` of the graph's edges to ``[T, d]``."""
        if (
            tokens.edge_ptr is None
            or tokens.edge_source is None
            or tokens.edge_target is None
            or tokens.edge_id is None
        ):
            raise UserError("gated convolutions run on induced edges; make the tokenizer with return_edges=True")
        first = torch.repeat_interleave(tokens.ptr[:-1], tokens.edge_ptr.diff())
        edges = torch.stack([tokens.edge_source, tokens.edge_target]) + first
        rows, states = x.index_select(0, tokens.nodes), edge_state.index_select(0, tokens.edge_id)
        for conv in self.convs:
            rows, states = conv(rows, edges, states)
        means = _means(rows, tokens.ptr)
        return means if self.pooling == "mean" else means * tokens.ptr.diff()[:, None].to(means.dtype)


class WalkFeatureEncoder(nn.Module):
    r"""Features of the walks themselves: who is met again, and who is joined to whom.

    Position p of a walk carries the node's features, for each of the W positions before whether it was the same node, and for
    each but the immediate one whether the two nodes are joined; two convolutions along the walk, a mean over the positions of a
    token's walks, a linear layer.

    Args:
        channels: d.
        window: W, positions looked back at.

    Raises:
        UserError: for a window below 1.

    Source:
        Tönshoff et al., Walking Out of the Weisfeiler Leman Hierarchy (CRaWl, TMLR 2023): the features. Which convolutions
        Graph Mamba puts on them is not stated; these are this library's, with LayerNorm in place of the batch's statistics.

    Example:
        >>> encoder = WalkFeatureEncoder(8, window=2)
        >>> walks = torch.tensor([[[[0, 1, 0]]]])  # one node, one token of one walk
        >>> encoder(torch.randn(2, 8), walks, torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([1, 8])
    """

    def __init__(self, channels: int, *, window: int = 4) -> None:
        super().__init__()
        if window < 1:
            raise UserError(f"window is {window}, expected a whole number from 1 upwards")
        self.window = window
        kernel = 2 * (window // 2) + 1
        self.first = nn.Conv1d(channels + 2 * window - 1, channels, kernel, padding="same")
        self.second = nn.Conv1d(channels, channels, kernel, padding="same")
        self.norms = nn.ModuleList([nn.LayerNorm(channels), nn.LayerNorm(channels)])
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, walks: Tensor, edge_index: Tensor) -> Tensor:
        """``x [N, d]``, walks ``[S, T, M, m + 1]`` (-1 past their end) to ``[S T, d]``."""
        met = walks.flatten(0, 2)
        inside = met >= 0
        rows = torch.where(inside[..., None], x[met.clamp(min=0)], 0.0)
        rows = torch.cat([rows, self.bits(met, edge_index, x.shape[0]).to(x.dtype)], -1)
        for conv, norm in zip((self.first, self.second), self.norms, strict=True):
            rows = torch.where(inside[..., None], norm(conv(rows.transpose(1, 2)).transpose(1, 2)).relu(), 0.0)
        of_token = walks.shape[2]
        total = rows.sum(1).view(-1, of_token, rows.shape[-1]).sum(1)
        return self.out(total / inside.view(-1, of_token * inside.shape[1]).sum(1, keepdim=True))

    def bits(self, walks: Tensor, edge_index: Tensor, num_nodes: int) -> Tensor:
        """Bool ``[K, m + 1, 2 W - 1]`` of walks ``[K, m + 1]``: same node w positions before, w = 1..W; joined to it, w = 2..W."""
        joined = torch.unique(
            torch.cat([edge_index[0] * num_nodes + edge_index[1], edge_index[1] * num_nodes + edge_index[0]])
        )
        same, beside = [], []
        for back in range(1, self.window + 1):
            before = torch.full_like(walks, -1)
            before[:, back:] = walks[:, : max(walks.shape[1] - back, 0)]
            there = (before >= 0) & (walks >= 0)
            same.append(there & (before == walks))
            if back > 1:
                pair = torch.where(there, before * num_nodes + walks, 0)
                at = torch.searchsorted(joined, pair).clamp(max=max(len(joined) - 1, 0))
                beside.append(there & (joined[at] == pair) if len(joined) else torch.zeros_like(there))
        return torch.stack(same + beside, -1)
