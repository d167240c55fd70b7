"""Message passing with residuals, norms and perceptrons between: what makes plain layers strong baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from graphkit.nn.dropout import Dropout

__all__ = ["ResidualLayers"]


class ResidualLayers(nn.Module):
    r"""Layers that add to what was there before, each after a norm:

    .. math:: X_0 = \mathrm{GELU}(W X), \qquad X' = X_l + \mathrm{drop}(\mathrm{GELU}(\mathrm{conv}(\mathrm{norm}(X_l)))), \qquad
        X_{l+1} = X' + W_2\, \mathrm{drop}(\mathrm{GELU}(W_1\, \mathrm{norm}(X'))),

    the last step with ``feed_forward`` only. After the last layer comes a norm, and with ``out_channels`` a linear map.

    Args:
        in_channels: width F of the input.
        hidden_channels: width H.
        num_layers: number of layers.
        conv: makes a convolution ``(x [N, H], edge_index) -> [N, H]``.
        out_channels: width of the output; None: H, without a last linear map.
        norm: ``"layer"``, ``"batch"`` or None.
        feed_forward: whether a perceptron of width 2H follows each convolution.
        dropout: after the input and after every GELU.

    Source:
        Platonov et al.: A critical look at the evaluation of GNNs under heterophily (ICLR 2023), section 5, for residuals,
        norms and perceptrons around GCN and GraphSAGE; the order of the parts within a layer is chosen here.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import SAGEConv
        >>> layers = ResidualLayers(4, 8, 2, lambda: SAGEConv(8, 8), out_channels=3)
        >>> layers(torch.zeros(5, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        conv: Callable[[], nn.Module],
        *,
        out_channels: int | None = None,
        norm: Literal["batch", "layer"] | None = "layer",
        feed_forward: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        made = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, None: nn.Identity}[norm]
        width = hidden_channels
        self.enter = nn.Sequential(nn.Linear(in_channels, width), nn.GELU(), Dropout(dropout))
        self.norms = nn.ModuleList(made(width) for _ in range(num_layers))
        self.convs = nn.ModuleList(conv() for _ in range(num_layers))
        self.after = nn.Sequential(nn.GELU(), Dropout(dropout))
        self.feed_forward = nn.ModuleList(
            nn.Sequential(
                made(width), nn.Linear(width, 2 * width), nn.GELU(), Dropout(dropout), nn.Linear(2 * width, width)
            )
            for _ in range(num_layers if feed_forward else 0)
        )
        leave: list[nn.Module] = [made(width)]
        self.leave = nn.Sequential(*leave, *([] if out_channels is None else [nn.Linear(width, out_channels)]))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """[N, F] to [N, H] or [N, out_channels]."""
        x = self.enter(x)
        for layer, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
            x = x + self.after(conv(norm(x), edge_index))
            if len(self.feed_forward):
                x = x + self.feed_forward[layer](x)
        return self.leave(x)
