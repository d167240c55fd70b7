"""Directed patterns as words over A and its transpose: spelling, walk counts and closed walks."""

from __future__ import annotations

import itertools
import re
from typing import Any

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops import DirectedGraph, directed_spmm

__all__ = [
    "Word",
    "closed_walks",
    "formed",
    "parse_word",
    "passing",
    "pattern_words",
    "transposed",
    "walks",
    "word_name",
]

#: the letters from left to right; True stands for the transpose
Word = tuple[bool, ...]

_BLOCK_WALKS = 2**24  # walks behind the rows formed at a time: below 200 MiB


def parse_word(word: str) -> Word:
    """The letters of a pattern such as ``"A A^T"``; blanks do not matter.

    Raises:
        UserError: anything else than letters ``A`` and ``A^T``, or none.

    Example:
        >>> parse_word("A A^T")
        (False, True)
    """
    if not isinstance(word, str):
        raise UserError(f"the pattern is a {type(word).__name__}, expected a word such as 'A A^T'")
    text = re.sub(r"\s+", "", word)
    if not re.fullmatch(r"(A(\^T)?)+", text):
        raise UserError(f"the pattern is {word!r}, expected a word of the letters A and A^T, such as 'A A^T'")
    return tuple(bool(mark) for mark in re.findall(r"A(\^T)?", text))


def word_name(word: Word) -> str:
    """How a word is written.

    Example:
        >>> word_name((True, False))
        'A^TA'
    """
    return "".join("A^T" if letter else "A" for letter in word)


def pattern_words(order: int, *, lowest: int = 1) -> list[Word]:
    """All words of the orders ``lowest`` to ``order``: 2^k of order k.

    Raises:
        UserError: an order below 1.

    Example:
        >>> [word_name(word) for word in pattern_words(2)]
        ['A', 'A^T', 'AA', 'AA^T', 'A^TA', 'A^TA^T']
    """
    if not isinstance(order, int) or isinstance(order, bool) or order < lowest or lowest < 1:
        raise UserError(f"order is {order!r}, expected a whole number from {max(lowest, 1)}")
    return [word for k in range(lowest, order + 1) for word in itertools.product((False, True), repeat=k)]


def transposed(word: Word) -> Word:
    """The word of the transpose: reversed, every letter swapped.

    Example:
        >>> word_name(transposed(parse_word("A A A^T")))
        'AA^TA^T'
    """
    return tuple(not letter for letter in reversed(word))


def passing(graph: DirectedGraph, degree_cap: int) -> Tensor:
    """Which nodes may stand inside a walk, bool ``[N]``: those with at most so many edges in and out."""
    return torch.maximum(graph.out_degree, graph.in_degree) <= degree_cap


def walks(graph: DirectedGraph, word: Word, degree_cap: int | None = None) -> Tensor:
    """Row sums of the product, float64 ``[N]``: walks of the pattern that begin in each node. Remembered by the graph.

    Args:
        graph: N nodes.
        word: letters.
        degree_cap: nodes with more edges in or out do not stand inside a walk.

    Example:
        >>> graph = DirectedGraph(torch.tensor([[0, 0, 1], [1, 2, 2]]), num_nodes=3)
        >>> walks(graph, parse_word("A A^T")).tolist()
        [3.0, 2.0, 0.0]
    """
    key = ("walks", word, degree_cap)
    if key not in graph.derived:
        start = torch.ones(graph.num_nodes, dtype=torch.float64, device=graph.device)
        if len(word) > 1:
            start = walks(graph, word[1:], degree_cap)
            if degree_cap is not None:
                start = start * passing(graph, degree_cap)
        both = directed_spmm(graph, start[:, None], num_nodes=graph.num_nodes, direction="both")
        for letter in (False, True):
            graph.derived["walks", (letter, *word[1:]), degree_cap] = both[int(letter), :, 0]
    return graph.derived[key]


def _matrices(graph: DirectedGraph) -> tuple[Any, Any]:
    import scipy.sparse as sp

    if "scipy" not in graph.derived:
        n, ones = graph.num_nodes, torch.ones(graph.num_edges, dtype=torch.float64).numpy()
        sides = ((graph.ptr, graph.col), (graph.t_ptr, graph.t_col))
        graph.derived["scipy"] = tuple(
            sp.csr_array((ones, col.cpu().numpy(), ptr.cpu().numpy()), shape=(n, n)) for ptr, col in sides
        )
    return graph.derived["scipy"]


def product_rows(graph: DirectedGraph, word: Word, begin: int, end: int, degree_cap: int | None = None) -> Any:
    """Rows [begin, end) of the product, path counts as entries."""
    sides = _matrices(graph)
    block = sides[word[0]][begin:end]
    for letter in word[1:]:
        block = _passed(graph, block, degree_cap) @ sides[letter]
    return block


def _passed(graph: DirectedGraph, block: Any, degree_cap: int | None) -> Any:
    """Columns of nodes that do not stand inside a walk set to 0."""
    if degree_cap is None:
        return block
    return block.multiply(passing(graph, degree_cap).cpu().numpy()[None].astype(float)).tocsr()


def row_blocks(counts: Tensor) -> list[tuple[int, int]]:
    """Ranges of rows behind which there are about as many walks as may be formed at a time."""
    ends, begin, n = counts.cumsum(0), 0, len(counts)
    cuts = []
    while begin < n:
        done = float(ends[begin - 1]) if begin else 0.0
        end = int(torch.searchsorted(ends, done + _BLOCK_WALKS, right=True))
        cuts.append((begin, min(n, max(end, begin + 1))))
        begin = cuts[-1][1]
    return cuts


def closed_walks(graph: DirectedGraph, word: Word, degree_cap: int | None = None) -> Tensor:
    """Diagonal of the product, float64 ``[N]``: walks of the pattern from each node to itself.

    Args: as :func:`walks`. Only halves of the product are formed, a block of rows at a time.

    Example:
        >>> graph = DirectedGraph(torch.tensor([[0, 1, 1], [1, 0, 2]]), num_nodes=3)
        >>> closed_walks(graph, parse_word("A A")).tolist(), closed_walks(graph, parse_word("A A^T")).tolist()
        ([1.0, 1.0, 0.0], [1.0, 2.0, 0.0])
    """
    out = torch.zeros(graph.num_nodes, dtype=torch.float64)
    if len(word) > 1:
        head, tail = word[: len(word) // 2], transposed(word[len(word) // 2 :])
        counts = (walks(graph, head, degree_cap) + walks(graph, tail, degree_cap)).cpu()
        for begin, end in row_blocks(counts):
            left, right = (product_rows(graph, half, begin, end, degree_cap) for half in (head, tail))
            left = _passed(graph, left, degree_cap)
            out[begin:end] = torch.from_numpy(left.multiply(right).sum(1))
    return out.to(graph.device)


def formed(graph: DirectedGraph, word: Word, degree_cap: int | None = None, *, binary: bool = False) -> DirectedGraph:
    """The product itself, path counts as entries, or 1 where there is a path (``binary``).

    Args: as :func:`walks`.

    Example:
        >>> graph = DirectedGraph(torch.tensor([[0, 0, 1], [1, 2, 2]]), num_nodes=3)
        >>> product = formed(graph, parse_word("A A^T"))
        >>> product.edge_index.tolist(), product.value.tolist()
        ([[0, 0, 1, 1], [0, 1, 0, 1]], [2.0, 1.0, 1.0, 1.0])
    """
    product = product_rows(graph, word, 0, graph.num_nodes, degree_cap)
    product.eliminate_zeros()
    product.sort_indices()
    ptr, col = (torch.from_numpy(a) for a in (product.indptr.astype("int64"), product.indices.astype("int32")))
    value = None if binary else torch.from_numpy(product.data).to(graph.device)
    return DirectedGraph.from_rows(ptr.to(graph.device), col.to(graph.device), value)
