"""How directed patterns go together with labels or features: correlations over all pairs of nodes, computed from products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError, nearest
from graphkit.nn.directed_patterns import DirectedPattern
from graphkit.nn.pattern_words import Word, closed_walks, pattern_words, product_rows, row_blocks, walks, word_name
from graphkit.ops import CSRGraph, DirectedGraph
from graphkit.ops.directed import as_directed

__all__ = ["DIAGONALS", "PROFILES", "PatternStatistics", "amud_report"]

PROFILES = ("agree", "feature", "label_id")
DIAGONALS = ("drop", "keep", "drop_symmetric")
_FLOOR = 1e-10  # a product of standard deviations below it counts as none, and the correlation is 0
_COLUMNS = 64  # features pushed through a word at a time


class PatternStatistics(NamedTuple):
    """A pattern against a profile of the pairs of nodes.

    Attributes:
        cov: covariance over all ordered pairs.
        r: Pearson correlation.
        r2: its square, the share of the pattern's variance that the profile explains alone.
        exact: whether the variance was computed exactly; else it was estimated from random probes.

    Example:
        >>> edges, y = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]), torch.tensor([0, 0, 1, 1])
        >>> round(amud_report(edges, y, num_nodes=4, orders=(1,))["A"].r, 4)
        0.5774
    """

    cov: float
    r: float
    r2: float
    exact: bool


def amud_report(
    edge_index: Tensor | CSRGraph | DirectedGraph,
    y: Tensor | None = None,
    *,
    num_nodes: int,
    x: Tensor | None = None,
    profile: str = "agree",
    orders: Sequence[int] = (1, 2),
    mask: Tensor | None = None,
    diagonal: str = "drop",
    exact_walks: int = 2**28,
    probes: int = 64,
    seed: int = 0,
) -> dict[str, PatternStatistics]:
    r"""Correlation of every directed pattern with a profile Y of the pairs of nodes.

    .. math:: \tilde P = D^{-1/2} P D^{-1/2}, \; D = \mathrm{diag}(P 1), \qquad
        r(P) = \frac{\mathrm{mean}(\tilde P \circ Y) - \mathrm{mean}(\tilde P)\,\mathrm{mean}(Y)}
        {\sigma_{\tilde P}\,\sigma_Y}

    A correlation is 0 where a deviation is (constant labels, a graph without edges). Means go over all ordered pairs of the
    nodes in ``mask``, those without an edge and those of a node with itself included. Nothing of size N x N is formed: with
    :math:`Y = U U^\top` the mixed moment is :math:`\mathrm{tr}(U^\top \tilde P U)`, columns of U pushed through the word from
    right to left.

    Args:
        edge_index: int64 ``[2, E]`` (source, target), ``EdgeIndex``, ``CSRGraph`` or ``DirectedGraph``.
        y: int64 ``[N]``, classes from 0, -1 where unknown; for ``"agree"`` and ``"label_id"``.
        num_nodes: N.
        x: ``[N, F]``, for ``"feature"``.
        profile: ``"agree"``: 1 where the labels are equal (renaming classes changes nothing); ``"feature"``: cosine of the
            features; ``"label_id"``: the class id of the column as a number, as released, which depends on the names.
        orders: lengths of the words; 2^k patterns for k.
        mask: bool ``[N]``, nodes whose pairs count; None: all (with a label). Labels outside are never read.
        diagonal: ``"drop"`` or ``"keep"`` for every pattern alike, or ``"drop_symmetric"``: dropped for words that are their
            own transpose alone, as the released code means to, which tells A A^T from A A on symmetric graphs.
        exact_walks: patterns with more walks have their variance estimated.
        probes: random vectors of that estimate; its relative error is about sqrt(2 / probes) at most.
        seed: of the probes.

    Returns:
        Statistics by pattern name, ``"A"``, ``"A^T"``, ``"AA"``, ``"AA^T"``, ...

    Raises:
        UserError: a missing or unfit y, x or mask, an unknown option, no pair to count.

    Source:
        Sun et al., Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node Classification (ICDE
        2024), AMUD; ``"agree"`` and ``"feature"`` are this library's.

    Example:
        >>> edges, y = torch.tensor([[0, 1, 2, 3], [2, 2, 5, 5]]), torch.tensor([0, 0, 1, 1, 1, 0])
        >>> {name: round(s.r, 3) for name, s in amud_report(edges, y, num_nodes=6, orders=(2,)).items()}
        {'AA': 0.0, 'AA^T': 0.354, 'A^TA': 0.0, 'A^TA^T': 0.0}
    """
    if profile not in PROFILES:
        raise UserError(nearest(str(profile), PROFILES, "profile"))
    if diagonal not in DIAGONALS:
        raise UserError(nearest(str(diagonal), DIAGONALS, "diagonal"))
    graph = as_directed(edge_index, num_nodes)
    inside = _counted(num_nodes, mask, y if profile != "feature" else None)
    factor = _profile(profile, y, x, inside)
    words = [word for k in orders for word in pattern_words(k, lowest=k)]
    report = {}
    for word in words:
        drop = diagonal == "drop" or (diagonal == "drop_symmetric" and word == _mirrored(word))
        pattern = DirectedPattern(
            graph, word, num_nodes=num_nodes, norm="row_row", diagonal="drop" if drop else "keep", materialize="never"
        )
        exact = pattern.entries <= exact_walks
        square = _square_sum(pattern, inside, drop) if exact else _square_estimate(pattern, inside, probes, seed)
        report[word_name(word)] = PatternStatistics(*_correlation(pattern, inside, factor, square, profile), exact)
    return report


def _mirrored(word: Word) -> Word:
    return tuple(not letter for letter in reversed(word))


def _counted(num_nodes: int, mask: Tensor | None, y: Tensor | None) -> Tensor:
    """float64 [N], 1 for nodes whose pairs count."""
    if mask is None:
        inside = torch.ones(num_nodes, dtype=torch.bool)
    else:
        if mask.shape != (num_nodes,) or mask.dtype != torch.bool:
            raise UserError(f"mask is {mask.dtype} {list(mask.shape)}, expected bool [{num_nodes}], one entry per node")
        inside = mask.cpu()
    if y is not None:
        if y.shape != (num_nodes,) or y.is_floating_point():
            raise UserError(f"y is {y.dtype} {list(y.shape)}, expected int64 classes [{num_nodes}], -1 where unknown")
        inside = inside & (y.cpu() >= 0)
    if not bool(inside.any()):
        raise UserError("no node is left to form pairs of: the mask is empty, or none of its nodes has a label")
    return inside.double()


def _profile(profile: str, y: Tensor | None, x: Tensor | None, inside: Tensor) -> Tensor:
    """U [N, C] with Y = U U^T on the nodes that count, and 0 elsewhere; for "label_id" the numbers y [N, 1]."""
    if profile == "feature":
        if x is None or x.dim() != 2 or len(x) != len(inside):
            raise UserError(
                f"profile='feature' needs x, expected [{len(inside)}, F]; pass features, or use profile='agree'"
            )
        if not bool(torch.isfinite(x).all()):
            raise UserError("x holds values that are not finite; replace them before asking for profile='feature'")
        return torch.nn.functional.normalize(x.double().cpu(), dim=1) * inside[:, None]
    if y is None:
        raise UserError(f"profile={profile!r} needs y, the labels; without labels use profile='feature'")
    known = torch.where(inside > 0, y.cpu(), 0)
    if profile == "label_id":
        return (known.double() * inside)[:, None]
    return torch.nn.functional.one_hot(known).double() * inside[:, None]


def _correlation(
    pattern: DirectedPattern, inside: Tensor, factor: Tensor, square: float, profile: str
) -> tuple[float, float, float]:
    n = float(inside.sum())
    device = pattern.graph.device
    mean = float(inside @ pattern(inside[:, None].to(device))[:, 0].cpu()) / n**2
    variance = max(square / n**2 - mean**2, 0.0)
    if profile == "label_id":
        of_profile = float(factor.sum()) / n
        spread = float((factor[:, 0].square() * inside).sum()) / n - of_profile**2
        mixed = float(inside @ pattern(factor.to(device))[:, 0].cpu()) / n**2
    else:
        of_profile = float(factor.sum(0).square().sum()) / n**2
        spread = float((factor.t() @ factor).square().sum()) / n**2 - of_profile**2
        mixed = sum(float((part * pattern(part.to(device)).cpu()).sum()) for part in factor.split(_COLUMNS, 1)) / n**2
    cov = mixed - mean * of_profile
    scale = variance**0.5 * max(spread, 0.0) ** 0.5
    r = cov / scale if scale > _FLOOR else 0.0
    return cov, r, r * r


def _square_sum(pattern: DirectedPattern, inside: Tensor, drop: bool) -> float:
    """Sum of the squared entries over the pairs that count, rows formed a block at a time."""
    assert pattern.left is not None and pattern.right is not None
    left, right = (scale.cpu() * inside for scale in (pattern.left, pattern.right))
    total = 0.0
    for begin, end in row_blocks(walks(pattern.graph, pattern.word).cpu()):
        rows = product_rows(pattern.graph, pattern.word, begin, end)
        rows.data **= 2
        total += float(left[begin:end].square().numpy() @ (rows @ right.square().numpy()))
    if drop:
        own = closed_walks(pattern.graph, pattern.word).cpu()
        total -= float((left * own * right).square().sum())
    return max(total, 0.0)


def _square_estimate(pattern: DirectedPattern, inside: Tensor, probes: int, seed: int) -> float:
    """The same by Hutchinson's estimator: the mean of ||P z||^2 over vectors of random signs."""
    if probes < 1:
        raise UserError(f"probes is {probes}, expected a whole number from 1")
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for begin in range(0, probes, 16):
        count = min(16, probes - begin)
        signs = torch.randint(0, 2, (len(inside), count), generator=generator).double() * 2 - 1
        found = pattern((signs * inside[:, None]).to(pattern.graph.device)).cpu()
        total += float((found * inside[:, None]).square().sum())
    return total / probes
