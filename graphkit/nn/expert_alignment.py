"""Bringing the hidden channels of one expert into the order of another's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from graphkit.nn.channel_axes import ChannelMap, State, permuted

__all__ = ["Alignment", "align_expert", "expert_distance"]


@dataclass(frozen=True)
class Alignment:
    """Permutations by space, and the distance of the weights before and after."""

    permutations: dict[str, Tensor]
    before: float
    after: float


def expert_distance(first: State, second: State, channels: ChannelMap) -> float:
    r"""Distance of the weights of two experts.

    .. math:: \Big( \sum_i \|W_i - W'_i\|_F^2 \Big)^{1/2}

    Running statistics do not count.

    Example:
        >>> from graphkit.nn.channel_axes import channel_map, expert_states
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
        >>> expert_distance(*expert_states([net, net]), channel_map(net))
        0.0
    """
    return sum(float((first[n].double() - second[n].double()).square().sum()) for n in _counted(first, channels)) ** 0.5


def align_expert(reference: State, other: State, channels: ChannelMap, *, sweeps: int = 50) -> Alignment:
    r"""Permutations of the hidden channels of an expert that bring its weights close to another's.

    One space after the other is solved exactly as a linear assignment, the others held, until nothing changes:

    .. math:: \max_{P_l} \sum_i \langle W_i^{ref}, P W_i^{e} \rangle

    over all tensors that the space runs through. Permuting keeps norms, so this is the least distance. The descent starts
    twice, from the order as it is and from one built up layer by layer, and the better end is taken: the distance never grows, and
    a permuted copy is recognised. h^3 for a space of h channels and sweep.

    Args:
        reference: tensors of the expert whose order counts.
        other: tensors of the expert to permute.
        channels: the axes of both.
        sweeps: most passes over the spaces.

    Returns:
        permutations (see :func:`graphkit.nn.channel_axes.permuted`) and distances.

    Source:
        Li et al., Merge, then compress (arXiv 2310.01334, ICLR 2024), for two-layer experts; over several layers by
        coordinate descent as in Ainsworth et al., Git re-basin (ICLR 2023).

    Example:
        >>> from graphkit.nn.channel_axes import channel_map, expert_states
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
        >>> channels, (state,) = channel_map(net), expert_states(net)
        >>> turned = permuted(state, {"0": torch.tensor([2, 0, 1])}, channels)
        >>> found = align_expert(state, turned, channels)
        >>> found.permutations["0"].tolist(), found.after
        ([1, 2, 0], 0.0)
    """
    sizes = {space: count for space, count in _sizes(other, channels)}
    start = {space: torch.arange(size) for space, size in sizes.items()}
    built: dict[str, Tensor] = {}
    for space in channels.spaces:
        known = {
            name for name, other_space in _neighbors(channels, space) if other_space in built or other_space is None
        }
        built[space] = _assignment(_gain(reference, other, channels, space, built, known), channels.heads[space])
    before = expert_distance(reference, other, channels)
    ends = []
    for permutations in (start, built):
        current = _descent(reference, other, channels, dict(permutations), sweeps)
        ends.append((expert_distance(reference, permuted(other, current, channels), channels), current))
    after, permutations = min(ends, key=lambda end: end[0])
    return Alignment(permutations, before, after)


def _descent(
    reference: State, other: State, channels: ChannelMap, permutations: dict[str, Tensor], sweeps: int
) -> dict[str, Tensor]:
    for _ in range(sweeps):
        moved = False
        for space in channels.spaces:
            gain = _gain(reference, other, channels, space, permutations, None)
            found = _assignment(gain, channels.heads[space])
            rows = torch.arange(len(found))
            better, now = float(gain[rows, found].sum()), float(gain[rows, permutations[space]].sum())
            if better > now + 1e-12 * max(abs(now), 1.0):
                permutations[space], moved = found, True
        if not moved:
            break
    return permutations


def _counted(state: State, channels: ChannelMap) -> list[str]:
    return [n for n in channels.tensors if n in state and "running_" not in n]


def _sizes(state: State, channels: ChannelMap) -> Iterator[tuple[str, int]]:
    for name, axes in channels.tensors.items():
        if name in state:
            shape = state[name].reshape(axes.view).shape if axes.view else state[name].shape
            yield from ((space, size) for space, size in zip(axes.names, shape, strict=True) if space is not None)


def _neighbors(channels: ChannelMap, space: str) -> Iterator[tuple[str, str | None]]:
    """Tensors that a space runs through, each with the other space in it, or None where there is none."""
    for name, axes in channels.tensors.items():
        if space in axes.names:
            yield name, next((other for other in axes.names if other not in (None, space)), None)


def _gain(
    reference: State,
    other: State,
    channels: ChannelMap,
    space: str,
    permutations: Mapping[str, Tensor],
    only: set[str] | None,
) -> Tensor:
    """[n, n] float64: what is gained when channel i is taken from channel j."""
    rest = {name: order for name, order in permutations.items() if name != space}
    gain: Tensor | None = None
    for name in _counted(reference, channels):
        axes = channels.tensors[name]
        if space not in axes.names or (only is not None and name not in only):
            continue
        turned = permuted({name: other[name]}, rest, channels)[name]
        axis = axes.names.index(space)
        shape = axes.view or turned.shape
        a, b = (
            t.double().reshape(shape).movedim(axis, 0).reshape(t.reshape(shape).size(axis), -1)
            for t in (reference[name], turned)
        )
        product = (a @ b.t()).cpu()
        gain = product if gain is None else gain + product
    assert gain is not None
    return gain


def _assignment(gain: Tensor, heads: int) -> Tensor:
    """The permutation with the largest gain; with heads, channels within heads first, for every pair of heads."""
    if heads == 1:
        return torch.from_numpy(linear_sum_assignment(gain.numpy(), maximize=True)[1]).long()
    width = len(gain) // heads
    blocks = gain.view(heads, width, heads, width).transpose(1, 2)
    inside = [[_assignment(blocks[a, b], 1) for b in range(heads)] for a in range(heads)]
    rows = torch.arange(width)
    value = torch.tensor([[float(blocks[a, b][rows, inside[a][b]].sum()) for b in range(heads)] for a in range(heads)])
    order = _assignment(value.double(), 1)
    return torch.cat([int(order[a]) * width + inside[a][int(order[a])] for a in range(heads)])
