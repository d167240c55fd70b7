"""Products with directed patterns, words over A and its transpose, applied from right to left without forming them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.nn.pattern_words import Word, closed_walks, formed, parse_word, passing, transposed, walks, word_name
from graphkit.ops import CSRGraph, DirectedGraph, directed_spmm
from graphkit.ops.directed import as_directed

__all__ = ["DirectedPattern", "propagate_pattern"]

NORMS = ("row_col", "row_row", "none")
_MATERIALIZE = ("auto", "always", "never")
_CHUNK_BYTES = 2**28  # one intermediate product
_ENTRY_BYTES = 36  # row, column and entry of a formed product in both orders, and scipy's copy


class DirectedPattern:
    r"""One directed pattern as an operator: the normalised product of a word, and what it does to features.

    .. math:: \hat P = D_r^{a-1} \, (P_w - \text{diagonal}) \, D_c^{-a}, \qquad 0^{\text{negative}} := 0

    :math:`P_w` is the ordinary product of the word's letters with path counts as entries; loops and duplicate edges of
    the graph are dropped first. Scalings belong to the product, not to its factors.

    Args:
        edge_index: int64 ``[2, E]`` (source, target), ``EdgeIndex``, ``CSRGraph`` or ``DirectedGraph``.
        word: such as ``"A A^T"``, or its letters.
        num_nodes: N.
        norm: ``"row_col"`` (D_r row sums, D_c column sums of the product), ``"row_row"`` (row sums on both sides, as the
            released code: a node without a row then sends nothing either) or ``"none"``.
        exponent: a in [0, 1]; 0 with ``"row_row"`` or ``"row_col"`` is a random walk.
        self_loops: adds the identity to words of one letter, which have no diagonal of their own.
        diagonal: ``"keep"`` or ``"drop"``, the same for every word.
        binarize: entries 1 instead of path counts; forms the product.
        degree_cap: nodes with more edges in or out do not stand inside a path, against hubs.
        materialize: ``"auto"`` forms the product where that has fewer entries than the word's factors together,
            ``"always"``, ``"never"``.
        memory: bytes that a product to be formed may take.

    Attributes:
        left, right: float64 ``[N]``, the two scalings, or None.
        entries: upper bound of the entries of the product: its walks, at most N^2.
        formed: whether the product was formed.

    Raises:
        UserError: an unknown word or option, a product too large for ``memory``.

    Source:
        Sun et al., Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node Classification (ICDE
        2024), directed patterns.

    Example:
        >>> edges = torch.tensor([[0, 1, 2], [2, 2, 0]])
        >>> pattern = DirectedPattern(edges, "A A^T", num_nodes=3, norm="none")
        >>> pattern(torch.tensor([[1.0], [10.0], [100.0]])).flatten().tolist()
        [11.0, 11.0, 100.0]
    """

    def __init__(
        self,
        edge_index: Tensor | CSRGraph | DirectedGraph,
        word: str | Word,
        *,
        num_nodes: int,
        norm: str = "row_col",
        exponent: float = 0.5,
        self_loops: bool = False,
        diagonal: str = "keep",
        binarize: bool = False,
        degree_cap: int | None = None,
        materialize: str = "auto",
        memory: int = 2**32,
    ) -> None:
        self.word = parse_word(word) if isinstance(word, str) else tuple(bool(letter) for letter in word)
        for name, value, known in (
            ("norm", norm, NORMS),
            ("diagonal", diagonal, ("keep", "drop")),
            ("materialize", materialize, _MATERIALIZE),
        ):
            if value not in known:
                raise UserError(nearest(str(value), known, name))
        if not 0 <= exponent <= 1:
            raise UserError(f"exponent is {exponent}, expected a number from 0 to 1")
        if degree_cap is not None and degree_cap < 0:
            raise UserError(f"degree_cap is {degree_cap}, expected a number of edges from 0, or None")
        if binarize and materialize == "never":
            raise UserError("binarize forms the product; leave materialize at 'auto', or limit hubs with degree_cap")
        self.graph = as_directed(edge_index, num_nodes)
        self.name, self.num_nodes = word_name(self.word), num_nodes
        self.degree_cap = degree_cap
        rows, columns = (walks(self.graph, w, degree_cap) for w in (self.word, transposed(self.word)))
        self.entries = int(min(float(rows.sum()), float(num_nodes) ** 2))
        worth = self.entries < len(self.word) * self.graph.num_edges and len(self.word) > 1
        self.formed = binarize or materialize == "always" or (materialize == "auto" and worth)
        if self.formed and self.entries * _ENTRY_BYTES > memory:
            raise UserError(
                f"forming {self.name} may take {self.entries * _ENTRY_BYTES / 2**30:.1f} GiB ({self.entries:,} entries), more "
                f"than the {memory / 2**30:.1f} GiB allowed; use materialize='never' (without binarize), degree_cap, or more memory"
            )
        product = formed(self.graph, self.word, degree_cap, binary=binarize) if self.formed else None
        self._product = product
        inside = torch.zeros_like(rows)  # what the diagonal gets beside the product's own
        if product is not None and binarize:
            rows, columns = product.out_degree.double(), product.in_degree.double()
        if diagonal == "drop":
            own = closed_walks(self.graph, self.word, degree_cap)
            inside = inside - (own.clamp(max=1) if binarize else own)
        if self_loops and len(self.word) == 1:
            inside = inside + 1
        rows, columns = rows + inside, columns + inside
        plain = norm == "none"
        self.left = None if plain else _power(rows, exponent - 1)
        self.right = None if plain else _power(columns if norm == "row_col" else rows, -exponent)
        for scale in (self.left, self.right):
            inside = inside if scale is None else inside * scale
        self._diagonal = inside if bool(inside.any()) else None

    def __call__(self, x: Tensor, *, chunk: int | None = None) -> Tensor:
        """The pattern applied once.

        Args:
            x: ``[N, D]``, floating point; half precision is computed in float32.
            chunk: columns at a time; None: as many as keep an intermediate product below 256 MiB.

        Returns:
            ``[N, D]`` in the dtype of ``x``; differentiable.

        Raises:
            UserError: a shape, dtype or device that does not fit.
        """
        _check(x, self.num_nodes)
        real = torch.float64 if x.dtype == torch.float64 else torch.float32
        width = chunk or max(1, _CHUNK_BYTES // max(self.num_nodes * (8 if real == torch.float64 else 4), 1))
        if width >= x.shape[1]:
            return self._apply(x.to(real)).to(x.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            return torch.cat([self._apply(part.to(real)).to(x.dtype) for part in x.split(width, 1)], 1)
        out = torch.empty_like(x)
        for begin in range(0, x.shape[1], width):
            out[:, begin : begin + width] = self._apply(x[:, begin : begin + width].to(real))
        return out

    def _apply(self, x: Tensor) -> Tensor:
        letters = (False,) if self._product is not None else self.word
        graph = self.graph if self._product is None else self._product
        within = None if self.degree_cap is None else passing(self.graph, self.degree_cap).to(x.dtype)
        out = x
        for i in reversed(range(len(letters))):
            out = directed_spmm(
                graph, out, num_nodes=self.num_nodes, direction="in" if letters[i] else "out",
                left=self.left if i == 0 else within, right=self.right if i == len(letters) - 1 else None,
            )  # fmt: skip
        return out if self._diagonal is None else torch.addcmul(out, x, self._diagonal.to(x.dtype)[:, None])

    def __repr__(self) -> str:
        how = f"formed, {self._product.num_edges:,} entries" if self._product is not None else "right to left"
        return f"DirectedPattern({self.name!r}, num_nodes={self.num_nodes}, {how})"


def propagate_pattern(
    edge_index: Tensor | CSRGraph | DirectedGraph,
    x: Tensor,
    word: str = "A A^T",
    *,
    num_nodes: int,
    norm: str = "row_col",
    exponent: float = 0.5,
    hops: int = 1,
    decay: float | Sequence[float] = 1.0,
    self_loops: bool = False,
    diagonal: str = "keep",
    binarize: bool = False,
    degree_cap: int | None = None,
    materialize: str = "auto",
    chunk: int | None = None,
) -> Tensor:
    r"""Features of the nodes that a directed pattern leads to, ``hops`` times.

    .. math:: x^{(t)} = \omega_t \, \hat P \, x^{(t-1)}, \qquad \hat P = D_r^{a-1} P_w D_c^{-a}

    Row i gathers **from** the nodes that the word reaches from i: ``"A"`` is message passing along the flipped
    ``edge_index``, ``"A^T"`` along the edges as stored, ``"A A^T"`` comes from the nodes that share a target with i.

    Args:
        edge_index: int64 ``[2, E]`` (source, target), ``EdgeIndex``, ``CSRGraph`` or ``DirectedGraph``.
        x: ``[N, D]``, floating point.
        word: letters ``A`` and ``A^T`` of any number, applied from right to left.
        num_nodes: N.
        norm, exponent, self_loops, diagonal, binarize, degree_cap, materialize: see :class:`DirectedPattern`.
        hops: how often, from 0.
        decay: omega, one number or one per hop.
        chunk: columns of x at a time; memory is that of x, of the result and of two chunks.

    Returns:
        ``[N, D]``; differentiable in ``x``.

    Raises:
        UserError: an unknown word or option, shapes, dtypes or devices that do not fit, ids out of range.

    Source:
        Sun et al., Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node Classification (ICDE
        2024), propagation of directed patterns.

    Example:
        >>> edges = torch.tensor([[0, 1], [2, 2]])
        >>> propagate_pattern(edges, torch.tensor([[1.0], [3.0], [5.0]]), "A A^T", num_nodes=3, exponent=0.0).tolist()
        [[2.0], [2.0], [0.0]]
    """
    _check(x, num_nodes)
    if not isinstance(hops, int) or hops < 0:
        raise UserError(f"hops is {hops!r}, expected a whole number from 0")
    factors = [float(decay)] * hops if isinstance(decay, int | float) else [float(value) for value in decay]
    if len(factors) != hops:
        raise UserError(f"decay has {len(factors)} numbers for {hops} hops; give one number, or one for each hop")
    pattern = DirectedPattern(
        edge_index, word, num_nodes=num_nodes, norm=norm, exponent=exponent, self_loops=self_loops, diagonal=diagonal,
        binarize=binarize, degree_cap=degree_cap, materialize=materialize,
    )  # fmt: skip
    for factor in factors:
        x = pattern(x, chunk=chunk)
        if factor != 1:
            x = x * factor
    return x


def _power(degree: Tensor, exponent: float) -> Tensor | None:
    if exponent == 0:
        return None
    return torch.where(degree > 0, degree, 1).pow(exponent).masked_fill(degree <= 0, 0)


def _check(x: Tensor, num_nodes: int) -> None:
    if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[0] != num_nodes:
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise UserError(f"x is {shape}, expected a tensor of shape [{num_nodes}, D] (nodes, channels)")
    if not x.is_floating_point():
        raise UserError(f"x has dtype {x.dtype}, expected a floating point type; convert it with .float()")
