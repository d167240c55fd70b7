"""One way to call every node model: on the whole graph, or on a block of balls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.analysis.ball_blocks import BallBlock
from graphkit.errors import UserError, nearest

__all__ = ["ModelCall", "measured_model"]

Output = str | Callable[[Tensor], Tensor]
_CACHES = ("_cached_edge_index", "_cached_adj_t", "_cached_x", "_cached_h")


class ModelCall:
    """A model with the graph it is asked about.

    Args:
        model: has ``scores_of(data, nodes)`` as graphkit's node models, or PyG's calling form ``model(x, edge_index, ...)``.
        data: PyG's container.
        x: ``[N, F]`` features, already of the dtype and on the device to compute with.
        inputs: names of what else the model is given by name; tensors with an entry for each edge or node are cut to a block.
        output: ``"logits"``, ``"prob"`` (softmax) or a function of the outputs ``[S, C]``.

    Raises:
        UserError: for inputs that the data do not have, or an unknown output.

    Example:
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.nn import SAGEConv
        >>> data = Data(x=torch.ones(3, 2), edge_index=torch.tensor([[0, 1], [1, 2]]))
        >>> ModelCall(SAGEConv(2, 4), data, data.x).on_graph(data.x, torch.tensor([2])).shape
        torch.Size([1, 4])
    """

    def __init__(
        self, model: Any, data: Any, x: Tensor, *, inputs: Sequence[str] = (), output: Output = "logits"
    ) -> None:
        if not callable(output) and output not in ("logits", "prob"):
            raise UserError(nearest(str(output), ("logits", "prob"), "output") + ", or a function of the outputs")
        self.model, self.x, self.output = model, x, output
        self.edge_index = data.edge_index.to(x.device)
        edges = self.edge_index.shape[1]
        self.named: dict[str, tuple[str, Any]] = {}
        for name in inputs:
            value = getattr(data, name, None)
            if value is None:
                raise UserError(f"data has no {name}, which inputs names; known: {', '.join(sorted(data.keys()))}")
            kind = "whole"
            if isinstance(value, Tensor):
                value = value.to(x.device, x.dtype) if value.is_floating_point() else value.to(x.device)
                length = len(value) if value.dim() else -1
                of_edges = length == edges and (name.startswith("edge") or edges != len(x))
                kind = "edge" if of_edges else "node" if length == len(x) else "whole"
            self.named[name] = kind, value

    def on_graph(self, x: Tensor, seeds: Tensor) -> Tensor:
        """Outputs ``[S, C]`` of some nodes on the whole graph with features x."""
        named = {name: value for name, (_, value) in self.named.items()}
        return self._answer(x, self.edge_index, named, seeds, len(x))

    def on_block(self, block: BallBlock, x: Tensor, *, trimmed: bool = False) -> Tensor:
        """Outputs ``[S, C]`` of the seeds of a block, x being the features of its first nodes.

        Args:
            block: the balls.
            x: ``[n, F]``.
            trimmed: whether the model's layers drop nodes, so that it answers for the seeds alone.
        """
        cut = {"edge": block.edge, "node": block.nodes[: len(x)]}
        named = {name: value if kind == "whole" else value[cut[kind]] for name, (kind, value) in self.named.items()}
        nodes = torch.arange(len(block.seeds), device=x.device)
        return self._answer(x, block.edge_index, named, nodes, len(nodes) if trimmed else len(x))

    def _answer(self, x: Tensor, edge_index: Tensor, named: dict[str, Any], nodes: Tensor, answers: int) -> Tensor:
        if hasattr(self.model, "scores_of"):
            from torch_geometric.data import Data

            data = Data(x=x, edge_index=edge_index, num_nodes=len(x), **named)
            out = self.model.scores_of(data, nodes)
        else:
            out = self.model(x, edge_index, **named)
            if isinstance(out, (tuple, list)):
                raise UserError(
                    f"{type(self.model).__name__} returns {len(out)} results; wrap it in a module that returns one tensor [N, C]"
                )
            if not isinstance(out, Tensor) or out.dim() != 2 or len(out) != answers:
                what = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
                raise UserError(
                    f"{type(self.model).__name__} returns {what} for {len(x)} nodes, expected a row of scores for each; wrap it in "
                    "a module that returns [N, C]"
                )
            out = out[nodes]
        if out.dim() == 1:
            out = out[:, None]
        if callable(self.output):
            return self.output(out)
        return out.softmax(-1) if self.output == "prob" else out


@contextlib.contextmanager
def measured_model(model: torch.nn.Module) -> Iterator[None]:
    """Within the context a model is in evaluation mode and remembers nothing of a graph; afterwards it is as before.

    Example:
        >>> layer = torch.nn.Dropout()
        >>> with measured_model(layer):
        ...     layer.training
        False
        >>> layer.training
        True
    """
    modes = [(module, module.training) for module in model.modules()]
    kept = [
        (module, {name: module.__dict__[name] for name in ("cached", *_CACHES) if name in module.__dict__})
        for module in model.modules()
        if "cached" in module.__dict__
    ]
    try:
        model.eval()
        for module, attributes in kept:
            # what was remembered belongs to another graph than a block
            for name in attributes:
                module.__dict__[name] = False if name == "cached" else None
        yield
    finally:
        for module, training in modes:
            module.training = training
        for module, attributes in kept:
            module.__dict__.update(attributes)
