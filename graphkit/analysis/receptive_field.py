"""How far a model looks: declared by it, counted while it runs, and checked on balls of two sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphkit.analysis.ball_blocks import BallBlock, ball_blocks
from graphkit.analysis.layer_trimming import recorded_layers, trimmable, trimmed_layers
from graphkit.errors import UserError
from graphkit.ops import HopGraph, hop_balls

__all__ = ["Locality", "coupling_of", "locality_of"]

_TRIAL_SEEDS = 16
_FARTHER = 2  # hops by which the ball of the check is larger
_TOLERANCE = 1e-4  # of the largest output; rounding of float32 stays well below, boundary effects well above

Call = Callable[[BallBlock, int, bool], Tensor]


@dataclass(frozen=True)
class Locality:
    """What is known of a model's reach.

    Attributes:
        hops: hops that can influence a node at most; None where the whole graph can, or nobody knows.
        direction: which edges a ball follows, see :func:`graphkit.ops.hop_balls`.
        halo: further hops of a ball, so that degrees of its nodes are right.
        layers: message passing layers that may be trimmed; none otherwise.
        reason: why ``hops`` is None, or why the layers are not trimmed.

    Example:
        >>> Locality(None, reason="GraphNorm couples all nodes").hops is None
        True
    """

    hops: int | None
    direction: str = "in"
    halo: int = 1
    layers: tuple[Any, ...] = ()
    reason: str = ""


def coupling_of(model: torch.nn.Module) -> str:
    """What makes every node depend on all others, in words; empty if nothing is known to.

    Example:
        >>> from torch_geometric.nn import GCN, GraphNorm
        >>> coupling_of(torch.nn.Sequential(GraphNorm(4))), coupling_of(GCN(4, 8, 2, 3))
        ('GraphNorm takes all nodes together', '')
    """
    from torch_geometric import nn as pyg
    from torch_geometric.nn import attention

    if getattr(model, "global_coupling", False):
        return f"{type(model).__name__} takes all nodes together"
    whole = (
        pyg.GraphNorm, pyg.InstanceNorm, pyg.PairNorm, pyg.DiffGroupNorm, pyg.GraphSizeNorm, pyg.MeanSubtractionNorm,
        torch.nn.MultiheadAttention, attention.PerformerAttention, attention.SGFormerAttention,
    )  # fmt: skip
    for module in model.modules():
        statistics = isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.running_mean is None
        graph_mode = isinstance(module, pyg.LayerNorm) and module.mode == "graph"
        if isinstance(module, whole) or statistics or graph_mode:
            return f"{type(module).__name__} takes all nodes together"
    return ""


def locality_of(
    model: torch.nn.Module, call: Call, graph: HopGraph, seeds: Tensor, *, given: int | None = None, budget: int
) -> Locality:
    """How many hops a model looks.

    In this order: what the caller gives; what the model declares in ``receptive_hops`` (with ``message_direction`` and
    ``receptive_halo``); how often messages are passed in a trial run, an upper bound, if the outputs of some seeds then stay
    as they are when their balls grow.

    Args:
        model: in evaluation mode.
        call: from a block, how many rows of features, and whether layers are trimmed, to outputs ``[S, C]``; see
            :func:`graphkit.analysis.influence`.
        graph: the edges.
        seeds: int64, nodes that may be tried.
        given: hops, where the caller knows them.
        budget: nodes of a block.

    Raises:
        UserError: hops are given for a model that is known to take all nodes together.
    """
    coupled = coupling_of(model)
    if coupled and given is not None:
        raise UserError(
            f"{coupled}, but receptive_hops is {given}; leave it out: such a model is measured on the whole graph"
        )
    if coupled:
        return Locality(None, reason=coupled)
    declared = getattr(model, "receptive_hops", None)
    hops = declared if given is None else given
    halo = int(getattr(model, "receptive_halo", 1))
    device = next((p.device for p in model.parameters()), seeds.device)
    direction = "in" if graph.symmetric else getattr(model, "message_direction", None) or "both"
    chosen = seeds[:1]

    def block(radius: int) -> BallBlock:
        return next(ball_blocks(graph, chosen, radius=radius, budget=budget, direction=direction)).to(device)

    try:
        with torch.no_grad():
            first = block(1 if hops is None else hops + halo)
            out, layers, passed = recorded_layers(model, lambda: call(first, len(first.nodes), False))
            if hops is None:
                chosen = _smallest(graph, seeds[:_TRIAL_SEEDS], passed + halo, direction)
                near, far = block(passed + halo), block(passed + halo + _FARTHER)
                out, beyond = call(near, len(near.nodes), False), call(far, len(far.nodes), False)
                if not _same(out, beyond):
                    reason = f"{type(model).__name__} passes messages {passed} times, yet nodes farther off have a say"
                    return Locality(None, reason=reason)
                first, hops = near, passed
    except Exception as error:
        if given is not None or declared is not None:
            raise
        return Locality(None, reason=f"{type(model).__name__} does not run on a part of the graph ({error})")
    if passed != hops or not trimmable(layers, passed):
        return Locality(hops, direction, halo, reason="not every hop is one call of a layer")
    untrimmed = _untrimmed(layers, call, first, out)
    return Locality(hops, direction, halo, () if untrimmed else tuple(layers), untrimmed)


def _smallest(graph: HopGraph, seeds: Tensor, radius: int, direction: str) -> Tensor:
    """The seed with the smallest ball: one that holds the whole graph would show nothing."""
    balls = hop_balls(graph, seeds, num_nodes=graph.num_nodes, hops=radius, direction=direction)
    # a node without neighbours has nothing to show either
    sizes = balls.ptr.diff()
    return seeds[torch.where(sizes > 1, sizes, graph.num_nodes + 1).argmin()][None]


def _untrimmed(layers: list[Any], call: Call, block: BallBlock, expected: Tensor) -> str:
    """Why trimmed layers do not give the same, empty where they do; a model that looks at edges elsewhere fails somehow."""
    try:
        with torch.no_grad(), trimmed_layers(layers, block) as trimming:
            found = call(block, trimming.rows, True)
    except Exception as error:  # of any kind: it is the user's model that runs
        return f"trimmed layers fail ({type(error).__name__}: {error})"
    return "" if _same(found, expected) else "trimmed layers give other outputs"


def _same(one: Tensor, two: Tensor) -> bool:
    if one.shape != two.shape:
        return False
    scale = float(two.abs().max()) if two.numel() else 0.0
    return bool(((one - two).abs() <= _TOLERANCE * scale).all())
