"""First states of edges, whether or not they have features."""

from __future__ import annotations

from torch import Tensor, nn

from graphkit.errors import UserError

__all__ = ["EdgeStates"]


class EdgeStates(nn.Module):
    """First states of edges: a linear map of their features, or where there are none one vector that is learned.

    Args:
        edge_channels: number of features, 0 where there are none.
        hidden_channels: width of the states.

    Example:
        >>> import torch
        >>> EdgeStates(0, 8)(None, torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([2, 8])
    """

    def __init__(self, edge_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.map = nn.Linear(max(edge_channels, 1), hidden_channels)
        self.edge_channels = edge_channels

    def forward(self, edge_attr: Tensor | None, edge_index: Tensor) -> Tensor:
        """[E, edge_channels] to [E, hidden_channels].

        Raises:
            UserError: for features that are missing or of another number.
        """
        edges = edge_index.size(1)
        if not self.edge_channels:
            return self.map(self.map.weight.new_ones(1, 1)).expand(edges, -1)
        if edge_attr is None or edge_attr.numel() != edges * self.edge_channels:
            found = None if edge_attr is None else list(edge_attr.shape)
            raise UserError(f"edge_attr is {found}, expected [{edges}, {self.edge_channels}]")
        return self.map(edge_attr.reshape(edges, self.edge_channels).to(self.map.weight.dtype))
