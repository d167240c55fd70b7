"""The linear map that all features of a model pass through first, if there is one: gradients need not be formed before it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["captured_output", "first_linear"]

_TOLERANCE = 1e-4  # of the largest gradient


def first_linear(model: torch.nn.Module, x: Tensor, call: Callable[[], Tensor]) -> tuple[Tensor, Any, Tensor]:
    """The outputs of a call, and the one linear layer that reads x, if nothing else does and it has fewer outputs than inputs.

    That nothing else reads x is seen from a gradient: it is the same through the layer and in all.

    Args:
        model: to be called.
        x: ``[n, F]``, a leaf that requires gradients.
        call: calls the model with x.

    Returns:
        (outputs, layer or None, what the layer gives, or x).

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
        >>> x = torch.ones(4, 3, requires_grad=True)
        >>> first_linear(model, x, lambda: model(x))[1] is model[0]
        True
        >>> first_linear(model, x, lambda: model(x) + x[:, :1])[1] is None
        True
    """
    from torch_geometric.nn import Linear

    seen: list[tuple[Any, Tensor]] = []

    def note(layer: Any, inputs: tuple[Any, ...], out: Any) -> None:
        if inputs and inputs[0] is x:
            seen.append((layer, out))

    layers = [module for module in model.modules() if isinstance(module, (torch.nn.Linear, Linear))]
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(note).remove)
        out = call()
    if len(seen) != 1 or not out.requires_grad:
        return out, None, x
    layer, hidden = seen[0]
    if not isinstance(hidden, Tensor) or layer.weight.shape[0] >= layer.weight.shape[1] or x.dim() != 2:
        return out, None, x
    # a direction in which nothing cancels by chance
    direction = torch.cos(1 + torch.arange(out.numel(), device=out.device)).view(out.shape).to(out.dtype)
    whole, inner = torch.autograd.grad(out, (x, hidden), direction, retain_graph=True, allow_unused=True)
    if whole is None or inner is None:
        return out, None, x
    gap = (inner @ layer.weight.detach() - whole).abs().max()
    return (out, layer, hidden) if bool(gap <= _TOLERANCE * whole.abs().max()) else (out, None, x)


@contextlib.contextmanager
def captured_output(layer: torch.nn.Module) -> Iterator[list[Tensor]]:
    """Collects what a layer gives within the context.

    Example:
        >>> layer = torch.nn.Linear(3, 2)
        >>> with captured_output(layer) as found:
        ...     _ = layer(torch.ones(1, 3))
        >>> found[0].shape
        torch.Size([1, 2])
    """
    found: list[Tensor] = []
    handle = layer.register_forward_hook(lambda layer, inputs, out: found.append(out))
    try:
        yield found
    finally:
        handle.remove()
