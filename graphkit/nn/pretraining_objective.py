"""What objectives of pre-training have in common: one random draw, on which all experts are judged."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from graphkit.data.source_graph import SourceBatch
from graphkit.errors import UserError

__all__ = ["Draw", "Encode", "PretrainingObjective", "graph_means"]

Draw = dict[str, Any]


class Encode(Protocol):
    """States ``[M', N, H]`` of the chosen experts; the prompt is appended behind whatever was done to ``x``."""

    def __call__(
        self, x: Tensor, *, graph: Any = None, removed: Tensor | None = None, noise: float | None = None
    ) -> Tensor: ...


class PretrainingObjective(nn.Module):
    """A label-free loss of each expert on a batch of graphs of one source.

    Whatever is random about a batch is drawn by :meth:`draw`, once for all experts; :meth:`losses` is then the same function
    for each of them. Every expert has a head of its own where the objective has one.

    Args:
        num_experts: M.
        in_channels: width of aligned features.
        hidden_channels: H, width of states.
        kind: convolution of the experts, for objectives that decode along the graph.

    Example:
        >>> PretrainingObjective(2, 8, 16).least_graphs
        1
    """

    least_graphs = 1

    def __init__(self, num_experts: int, in_channels: int, hidden_channels: int, kind: str = "gcn") -> None:
        super().__init__()
        self.num_experts, self.in_channels, self.hidden_channels = num_experts, in_channels, hidden_channels
        self.kind = kind

    def draw(self, batch: SourceBatch, generator: torch.Generator) -> Draw:
        """Everything random about the batch: negatives, masks, views."""
        return {}

    def losses(self, encode: Encode, batch: SourceBatch, draw: Draw, experts: Tensor | None = None) -> Tensor:
        """The loss of each chosen expert, ``[M']``."""
        raise NotImplementedError(f"{type(self).__name__} defines no losses")

    def check(self, batch: SourceBatch) -> None:
        """Refuse a batch that the objective cannot judge.

        Raises:
            UserError: for too few graphs.
        """
        if batch.num_graphs < self.least_graphs:
            raise UserError(
                f"a batch of {batch.source} holds {batch.num_graphs} graph, but the objective compares graphs and needs at least "
                f"{self.least_graphs}; pass unit='subgraph', more graphs a batch, or another objective"
            )


def graph_means(states: Tensor, graph_id: Tensor, num_graphs: int, keep: Tensor | None = None) -> Tensor:
    """Mean of the states ``[M, N, H]`` of each graph's nodes, ``[M, G, H]``; of those in ``keep`` (bool ``[N]``) alone.

    Example:
        >>> graph_means(torch.arange(3.0).view(1, 3, 1), torch.tensor([0, 0, 1]), 2).flatten().tolist()
        [0.5, 2.0]
    """
    weight = torch.ones_like(graph_id, dtype=states.dtype) if keep is None else keep.to(states.dtype)
    count = torch.zeros(num_graphs, dtype=states.dtype, device=states.device).index_add(0, graph_id, weight)
    share = weight / count.clamp(min=1)[graph_id]
    out = states.new_zeros(states.size(0), num_graphs, states.size(2))
    return out.index_add(1, graph_id, states * share[:, None])


def positions(total: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` different numbers below ``total``, on the generator's device."""
    return torch.randperm(total, generator=generator, device=generator.device)[:count]
