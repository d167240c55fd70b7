"""The perceptrons of link predictors, and how their work on empty rows is saved."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphkit.nn.dropout import Dropout

__all__ = ["Perceptron"]


class Perceptron(nn.Sequential):
    """Linear maps with layer norm, dropout and ReLU between them, in the order that ``parts`` spells.

    Args:
        channels: widths: in, then out of each linear map.
        parts: a letter each: l linear map, n layer norm, d dropout, r ReLU.
        dropout: probability of d.
        layer_norm: without it every n is left out.

    Example:
        >>> [type(layer).__name__ for layer in Perceptron([4, 8, 1], "lndrl", dropout=0.5)]
        ['Linear', 'LayerNorm', 'Dropout', 'ReLU', 'Linear']
    """

    def __init__(self, channels: list[int], parts: str, *, dropout: float = 0.0, layer_norm: bool = True) -> None:
        super().__init__()
        depth = 0
        made: dict[str, Callable[[int], nn.Module]] = {
            "n": lambda width: nn.LayerNorm(width),
            "d": lambda width: Dropout(dropout),
            "r": lambda width: nn.ReLU(),
        }
        for part in parts:
            if part == "l":
                self.append(nn.Linear(channels[depth], channels[depth + 1]))
                depth += 1
            elif part != "n" or layer_norm:
                self.append(made[part](channels[depth]))
        self.random = dropout > 0

    def of_mostly_zero(self, x: Tensor) -> Tensor:
        """``self(x)`` for rows ``[P, F]`` many of which are zero, such as sums over empty sets; exact.

        The first linear map sends all zero rows to its bias. Without dropout they share the whole perceptron.
        """
        filled = x.detach().any(1).nonzero().squeeze(1)
        if 4 * len(filled) > 3 * len(x):
            return self(x)
        if self.training and self.random:
            first, *rest = self
            bias = first.bias.expand(len(x), -1)
            out = bias.index_copy(0, filled, first(x.index_select(0, filled)).to(bias.dtype))
            for layer in rest:
                out = layer(out)
            return out
        rows = self(torch.cat([x.index_select(0, filled), x.new_zeros(1, x.shape[1])]))
        place = torch.full((len(x),), len(filled), device=x.device)
        place[filled] = torch.arange(len(filled), device=x.device)
        return nn.functional.embedding(place, rows)
