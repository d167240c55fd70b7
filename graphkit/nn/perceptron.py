"""The perceptrons of link predictors, and how their work on empty rows is saved."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.nn.dropout import Dropout, dropout

__all__ = ["Perceptron"]

_FEW_DROPPED = 0.15  # up to here sums over dropped entries are faster than the product


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

        The first linear map sends all zero rows to its bias. Without dropout they share the whole perceptron. With
        dropout each has its own draw, but where few entries are dropped the second linear map is that of the bias, less
        the dropped columns. For perceptrons that begin with ``ldrl``.
        """
        zero = ~x.detach().any(1)
        filled, empty = (~zero).nonzero().squeeze(1), zero.nonzero().squeeze(1)
        if 4 * len(filled) > 3 * len(x):
            return self(x)
        first, drop, relu, second, *rest = self
        assert isinstance(first, nn.Linear) and isinstance(drop, Dropout) and isinstance(second, nn.Linear)
        if self.training and self.random:
            if drop.p <= _FEW_DROPPED:
                some = second(relu(drop(first(x.index_select(0, filled)))))
                none = _less_dropped(first.bias.relu(), second, drop.p, len(empty))
                out = x.new_empty(len(x), none.shape[1]).index_copy(0, filled, some.to(x.dtype))
                out = out.index_copy(0, empty, none.to(x.dtype))
            else:
                bias = first.bias.expand(len(x), -1)
                out = second(relu(drop(bias.index_copy(0, filled, first(x.index_select(0, filled)).to(bias.dtype)))))
            for layer in rest:
                out = layer(out)
            return out
        rows = self(torch.cat([x.index_select(0, filled), x.new_zeros(1, x.shape[1])]))
        place = torch.full((len(x),), len(filled), device=x.device)
        place[filled] = torch.arange(len(filled), device=x.device)
        return F.embedding(place, rows)


def _less_dropped(row: Tensor, linear: nn.Linear, p: float, count: int) -> Tensor:
    """``linear(dropout(row))`` for ``count`` draws, by the entries that each draw drops; ``[count, out]``."""
    active = row.detach().nonzero().squeeze(1)
    columns = (linear.weight[:, active] * row[active] / (1 - p)).t()
    dropped = (dropout(row.new_ones(count, len(active)), p) == 0).nonzero()
    ptr = F.pad(torch.bincount(dropped[:, 0], minlength=count).cumsum(0), (1, 0))
    gone = F.embedding_bag(dropped[:, 1], columns, ptr, mode="sum", include_last_offset=True)
    return columns.sum(0) + linear.bias - gone
