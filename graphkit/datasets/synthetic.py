"""Generated tasks that need what is far away: no files, the same graphs for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from graphkit.data.random_streams import GENERATED, uniform_below
from graphkit.datasets.stored_graphs import StoredGraphs
from graphkit.errors import UserError, nearest

__all__ = ["GENERATORS", "chain_copy", "generate", "path_parity"]


def path_parity(
    *, graphs: int = 1000, min_length: int = 16, max_length: int = 32, hops: int = 6, one_in: int = 2, seed: int = 0
) -> StoredGraphs:
    r"""Is the number of marked nodes within some hops odd? Asked of every node of many paths.

    Nodes are marked independently, :math:`P(m_j = 1) = 1/q`, and :math:`y_i = \sum_{|j - i| \le h} m_j \bmod 2`. Every mark
    counts: whoever does not see u of the nodes, such as a model of fewer than h layers that pass messages between neighbours, is
    right with probability :math:`\tfrac12 + \tfrac12 (1 - 2/q)^u` at best, which is one half for fair coins (q = 2). Sums of
    many fair coins are hard to learn even for what sees them all; with q = 5 most sums are small. Paths are longer than 2h + 1,
    so that the whole path's parity is no answer.

    Args:
        graphs: number of paths; the last two tenths are for validation and test.
        min_length: fewest nodes of a path.
        max_length: most nodes; lengths are uniform between the two.
        hops: h.
        one_in: q, one node in so many is marked.
        seed: seed of lengths and marks.

    Returns:
        paths with both directions of every edge, nodes in the order of the path; ``x`` [n, 2] says unmarked or marked.

    Raises:
        UserError: for sizes out of range.

    Example:
        >>> path = path_parity(graphs=10, hops=1, min_length=4, max_length=4).graphs[0]
        >>> marks = path.x[:, 1].long()
        >>> bool((path.y[1:3] == (marks[:-2] + marks[1:-1] + marks[2:]) % 2).all())
        True
    """
    lengths = _lengths(graphs, min_length, max_length, seed)
    if isinstance(hops, bool) or not isinstance(hops, int) or not 1 <= hops <= (min_length - 2) // 2:
        raise UserError(
            f"hops is {hops!r}, expected a whole number from 1 to {(min_length - 2) // 2}, so that a path goes on"
        )
    if isinstance(one_in, bool) or not isinstance(one_in, int) or one_in < 2:
        raise UserError(f"one_in is {one_in!r}, expected a whole number from 2 (fair coins) upwards")
    marks = (_drawn(one_in, int(lengths.sum()), 1, seed) == one_in - 1).long()
    made = []
    for mark in marks.split(lengths.tolist()):
        before = torch.nn.functional.pad(mark.cumsum(0), (1, 0))
        place = torch.arange(len(mark))
        within = before[(place + hops + 1).clamp(max=len(mark))] - before[(place - hops).clamp(min=0)]
        made.append((torch.nn.functional.one_hot(mark, 2).float(), within % 2))
    return _paths(made)


def chain_copy(
    *, graphs: int = 1000, min_length: int = 16, max_length: int = 32, symbols: int = 4, seed: int = 0
) -> StoredGraphs:
    """What stands at the far end? Asked of one end of many chains.

    Every node has a symbol, drawn uniformly; one end is marked as the source and the other as the target, the first node or
    the last one with equal chance. The class of the target is the symbol of the source, and no other node is asked. What
    hears less than the whole chain is at chance, 1 / symbols; what reads the nodes in their order, in one direction only, is
    so on one half of the chains.

    Args:
        graphs: number of chains; the last two tenths are for validation and test.
        min_length: fewest nodes of a chain.
        max_length: most nodes; lengths are uniform between the two.
        symbols: how many symbols there are.
        seed: seed of lengths, symbols and ends.

    Returns:
        chains with both directions of every edge, nodes in the order of the chain; ``x`` [n, symbols + 2] is the symbol,
        whether the node is the source, and whether it is the target. ``y`` is -1 but for the target.

    Raises:
        UserError: for sizes out of range.

    Example:
        >>> chain = chain_copy(graphs=10).graphs[0]
        >>> source, target = chain.x[:, 4].argmax(), chain.x[:, 5].argmax()
        >>> bool(chain.y[target] == chain.x[source, :4].argmax()), int((chain.y >= 0).sum())
        (True, 1)
    """
    lengths = _lengths(graphs, min_length, max_length, seed)
    if isinstance(symbols, bool) or not isinstance(symbols, int) or symbols < 2:
        raise UserError(f"symbols is {symbols!r}, expected a whole number from 2 upwards")
    drawn, backwards = _drawn(symbols, int(lengths.sum()), 1, seed), _drawn(2, graphs, 2, seed)
    made = []
    for symbol, back in zip(drawn.split(lengths.tolist()), backwards.tolist(), strict=True):
        source, target = (-1, 0) if back else (0, -1)
        ends = torch.zeros(len(symbol), 2)
        ends[source, 0] = ends[target, 1] = 1
        y = torch.full((len(symbol),), -1)
        y[target] = symbol[source]
        made.append((torch.cat([torch.nn.functional.one_hot(symbol, symbols).float(), ends], 1), y))
    return _paths(made)


GENERATORS: dict[str, Callable[..., StoredGraphs]] = {"chain_copy": chain_copy, "path_parity": path_parity}
"""Generators by the name that a card's options give."""


def generate(options: Mapping[str, Any], seed: int = 0) -> StoredGraphs:
    """The graphs that the options of a card ask for: ``generator`` and its arguments.

    Raises:
        UserError: for an unknown generator, or arguments that it does not take.

    Example:
        >>> len(generate({"generator": "chain_copy", "graphs": 20}).graphs)
        20
    """
    name = str(options.get("generator"))
    if name not in GENERATORS:
        raise UserError(nearest(name, GENERATORS, "generator"))
    try:
        return GENERATORS[name](**{key: value for key, value in options.items() if key != "generator"}, seed=seed)
    except TypeError as error:
        raise UserError(f"the generator {name!r}: {error}") from None


def _lengths(graphs: int, low: int, high: int, seed: int) -> Tensor:
    for name, value, least in (("graphs", graphs, 10), ("min_length", low, 2), ("max_length", high, low)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"{name} is {value!r}, expected a whole number from {least} upwards")
    return low + _drawn(high - low + 1, graphs, 0, seed)


def _drawn(bound: int, count: int, step: int, seed: int) -> Tensor:
    return uniform_below(torch.tensor([bound]), count, seed=seed, epoch=0, step=step, stream=GENERATED)[0]


def _paths(made: list[tuple[Tensor, Tensor]]) -> StoredGraphs:
    from torch_geometric.data import Data

    graphs = []
    for x, y in made:
        begin = torch.arange(len(x) - 1)
        forth = torch.stack([begin, begin + 1])
        graphs.append(Data(x=x, edge_index=torch.cat([forth, forth.flip(0)], 1), y=y))
    tenth = len(graphs) // 10
    train, valid, test = torch.arange(len(graphs)).split([len(graphs) - 2 * tenth, tenth, tenth])
    return StoredGraphs(graphs, level="node", splits={"official": {"train": train, "valid": valid, "test": test}})
