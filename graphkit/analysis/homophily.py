"""How much the labels at the two ends of an edge have to do with each other, with and without direction."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from graphkit.data import directed_edges
from graphkit.errors import UserError

__all__ = ["DirectedHomophily", "Homophily", "homophily"]


@dataclass(frozen=True)
class DirectedHomophily:
    r"""Measures that keep apart the source and the target of an edge.

    Args:
        edge: share of edges between nodes of one class.
        node_in: mean over nodes of the share of their sources that have their class.
        node_out: mean over nodes of the share of their targets that have their class.
        adjusted: :math:`(h - \sum_k p_k q_k) / (1 - \sum_k p_k q_k)` with p the classes of sources and q those of targets, as
            shares of the edges: 0 where they meet by chance.
        informativeness: :math:`I(y_s; y_t) / H(y_t)`, what the class of the source tells of that of the target.
        patterns: by pattern, the mean over nodes of the share, counted in paths, of the nodes it leads to that have their class;
            "AA^T" leads from a node over its targets back to their sources. A node is not led to itself.

    Example:
        >>> found = homophily(torch.tensor([[0, 1], [1, 2]]), torch.tensor([0, 0, 1])).directed
        >>> found.edge, found.node_in, found.effective
        (0.5, 0.5, 0.5)
    """

    edge: float
    node_in: float
    node_out: float
    adjusted: float
    informativeness: float
    patterns: dict[str, float] = field(default_factory=dict)

    @property
    def effective(self) -> float:
        """The largest of the patterns: what a layer that follows directions can find at best."""
        return max(self.patterns.values(), default=0.0)


@dataclass(frozen=True)
class Homophily:
    r"""Measures on the graph without directions, and those that keep them.

    With :math:`d_i` degrees, :math:`p_k` the share of class k among nodes and :math:`\bar p_k = \sum_{i: y_i = k} d_i / 2M`:

    Args:
        nodes: labelled nodes.
        edges: edges between them, each once.
        classes: classes that occur.
        edge: :math:`h`, share of edges between nodes of one class.
        node: mean over nodes with a neighbour of the share of neighbours that have their class.
        class_insensitive: :math:`\frac1{C - 1} \sum_k \max(0, h_k - p_k)`, :math:`h_k` the share of class k's neighbours in
            class k.
        adjusted: :math:`(h - \sum_k \bar p_k^2) / (1 - \sum_k \bar p_k^2)`: 0 by chance, 1 at most.
        informativeness: label informativeness, :math:`I(y_\xi; y_\eta) / H(\bar p)` of the two ends of a random edge: 0 where a
            neighbour's class tells nothing, 1 where it tells all, be it equal or not.
        directed: the directed measures; None where every edge has its opposite.

    Example:
        >>> edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
        >>> found = homophily(edges, torch.tensor([0, 1, 0, 1]))
        >>> found.edge, found.adjusted, found.informativeness
        (0.0, -1.0, 1.0)
    """

    nodes: int
    edges: int
    classes: int
    edge: float
    node: float
    class_insensitive: float
    adjusted: float
    informativeness: float
    directed: DirectedHomophily | None = None

    def __str__(self) -> str:
        names = ("edge", "node", "class_insensitive", "adjusted", "informativeness")
        lines = [f"homophily over {self.nodes:,} labelled nodes, {self.edges:,} edges, {self.classes} classes"]
        lines += [f"  {name.replace('_', '-'):<18}{getattr(self, name):8.4f}" for name in names]
        if self.directed is not None:
            rows = ("edge", "node_in", "node_out", "adjusted", "informativeness")
            lines.append("with directions")
            lines += [f"  {name.replace('_', '-'):<18}{getattr(self.directed, name):8.4f}" for name in rows]
            lines += [f"  {word:<18}{value:8.4f}" for word, value in self.directed.patterns.items()]
        return "\n".join(lines)


def homophily(data: Any, y: Tensor | None = None, *, mask: Tensor | None = None) -> Homophily:
    """Homophily of a labelled graph, by every usual definition; sparse, in O(M C) time and O(M + N C) memory.

    Repeated edges count once, self-loops not at all, and edges with an end whose label is unknown neither. Nodes without a
    neighbour are left out of means over nodes (PyG counts them as 0). Where a measure is 0 / 0, as without edges or with one
    class, it is 0.

    Args:
        data: [2, E] int64 edges, source to target; or a task or PyG container that has ``edge_index`` and ``y``.
        y: [N] int64 classes, -1 where unknown; None: ``data.y``.
        mask: [N] bool, whose labels may be looked at; None: everybody's. With ``task.mask("train")`` no test label is used.

    Raises:
        UserError: for labels that are missing or several a node, or tensors that do not fit together.

    Source:
        Zhu et al. (NeurIPS 2020), edge; Pei et al. (ICLR 2020), node; Lim et al. (NeurIPS 2021), class-insensitive; Platonov
        et al., Characterizing Graph Datasets for Node Classification (NeurIPS 2023), adjusted and informativeness; Rossi et al.
        (LoG 2023), patterns and the effective one.

    Example:
        >>> print(homophily(torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.tensor([0, 0, 1])))
        homophily over 3 labelled nodes, 3 edges, 2 classes
          edge                0.3333
          node                0.3333
          class-insensitive   0.0000
          adjusted           -0.5000
          informativeness     0.2740
        with directions
          edge                0.3333
          node-in             0.3333
          node-out            0.3333
          adjusted           -0.5000
          informativeness     0.2740
          A                   0.3333
          A^T                 0.3333
          AA                  0.3333
          AA^T                0.0000
          A^TA                0.0000
          A^TA^T              0.3333
    """
    edge_index = data if isinstance(data, Tensor) else getattr(data, "edge_index", None)
    y = getattr(data, "y", None) if y is None else y
    edges, y = _checked(edge_index, y, mask)
    n = y.numel()
    present, y = torch.unique(y, return_inverse=True)
    unknown = int(present.numel() > 0 and int(present[0]) == -1)
    y, count = y - unknown, int(present.numel()) - unknown  # -1 where unknown, else 0 .. count - 1
    edges = directed_edges(edges[:, (y[edges] >= 0).all(0)], n)
    mutual = _mutual(edges, n)
    both = torch.cat([edges, edges[:, ~mutual].flip(0)], 1)
    joint = _joint(both, y, count)
    share = torch.bincount(y[y >= 0], minlength=count).double() / max(int((y >= 0).sum()), 1)
    within = _ratio(joint.diagonal(), joint.sum(1))
    directed = None if bool(mutual.all()) else _directed(edges, mutual, y, count)
    return Homophily(
        nodes=int((y >= 0).sum()),
        edges=both.size(1) // 2,
        classes=count,
        edge=_share(joint),
        node=_mean_over_nodes(both, y),
        class_insensitive=float((within - share).clamp(min=0).sum()) / max(count - 1, 1),
        adjusted=_adjusted(joint),
        informativeness=_informativeness(joint),
        directed=directed,
    )


def _checked(edge_index: Any, y: Any, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    if (
        not isinstance(edge_index, Tensor)
        or edge_index.dtype != torch.int64
        or edge_index.dim() != 2
        or len(edge_index) != 2
    ):
        raise UserError("edges must be an int64 tensor [2, E], or stand as such in data.edge_index")
    if not isinstance(y, Tensor):
        raise UserError("there are no labels; pass y, [N] int64 classes, or a graph that has them in data.y")
    y = y[:, 0] if y.dim() == 2 and y.size(1) == 1 else y
    if y.dim() != 1 or y.is_floating_point():
        raise UserError(f"labels are {y.dtype} {list(y.shape)}; homophily is of one class a node, [N] whole numbers")
    y = y.to(torch.int64).cpu().clamp(min=-1)
    if mask is not None:
        if mask.shape != y.shape or mask.dtype != torch.bool:
            raise UserError(
                f"mask is {mask.dtype} {list(mask.shape)}, expected one bool for each of the {y.numel()} labels"
            )
        y = torch.where(mask.cpu(), y, -1)
    edges = edge_index.cpu()
    bad = ((edges < 0) | (edges >= y.numel())).any(0)
    if bool(bad.any()):
        pair = edges[:, int(bad.nonzero()[0])].tolist()
        raise UserError(
            f"the edge {pair} leads out of the {y.numel()} labelled nodes; pass a label for every node, -1 if unknown"
        )
    return edges[:, edges[0] != edges[1]], y


def _mutual(edges: Tensor, n: int) -> Tensor:
    """[E] bool: edges whose opposite is there too; the edges are sorted and different."""
    key, opposite = edges[0] * n + edges[1], edges[1] * n + edges[0]
    if not key.numel():
        return key.bool()
    return key[torch.searchsorted(key, opposite).clamp(max=key.numel() - 1)] == opposite


def _joint(edges: Tensor, y: Tensor, count: int) -> Tensor:
    """[C, C] float64: edges from class to class."""
    pairs = y[edges[0]] * count + y[edges[1]]
    return torch.bincount(pairs, minlength=count * count).double().view(count, count)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp(min=1e-300), 0.0)


def _share(joint: Tensor) -> float:
    return float(joint.trace() / joint.sum().clamp(min=1))


def _adjusted(joint: Tensor) -> float:
    joint = joint / joint.sum().clamp(min=1)
    chance = float((joint.sum(0) * joint.sum(1)).sum())
    return 0.0 if chance >= 1 or not float(joint.sum()) else (float(joint.trace()) - chance) / (1 - chance)


def _informativeness(joint: Tensor) -> float:
    """Mutual information of source and target over the entropy of the target."""
    joint = joint / joint.sum().clamp(min=1)
    source, target = _entropy(joint.sum(1)), _entropy(joint.sum(0))
    return (source + target - _entropy(joint)) / target if target > 0 else 0.0


def _entropy(shares: Tensor) -> float:
    return float(-torch.special.xlogy(shares, shares).sum())


def _mean_over_nodes(edges: Tensor, y: Tensor) -> float:
    """Mean over targets of the share of their sources that have their class."""
    same = (y[edges[0]] == y[edges[1]]).double()
    reached = torch.bincount(edges[1], minlength=y.numel()).double()
    share = _ratio(torch.bincount(edges[1], weights=same, minlength=y.numel()), reached)
    return float(share.sum() / (reached > 0).sum().clamp(min=1))


def _directed(edges: Tensor, mutual: Tensor, y: Tensor, count: int) -> DirectedHomophily:
    joint = _joint(edges, y, count)
    return DirectedHomophily(
        edge=_share(joint),
        node_in=_mean_over_nodes(edges, y),
        node_out=_mean_over_nodes(edges.flip(0), y),
        adjusted=_adjusted(joint),
        informativeness=_informativeness(joint),
        patterns=_patterns(edges, mutual, y, count),
    )


def _patterns(edges: Tensor, mutual: Tensor, y: Tensor, count: int) -> dict[str, float]:
    """Mean over nodes i of sum_j P_ij [y_i = y_j] / sum_j P_ij over labelled j other than i, for every word's product P."""
    n = y.numel()
    known = y >= 0
    labels = torch.zeros(n, count, dtype=torch.float64)
    labels[known, y[known]] = 1
    a, at = _matrix(edges, n), _matrix(edges.flip(0), n)
    out, into = a @ labels, at @ labels  # right to left: row i of A gathers from the targets of i
    leaving, reaching = (torch.bincount(end, minlength=n).double() for end in edges)
    both_ways = torch.bincount(edges[0][mutual], minlength=n).double()
    none = torch.zeros(n, dtype=torch.float64)
    found = {}
    for word, reached, back in (  # back: paths from a node to itself, the diagonal
        ("A", lambda: out, none),
        ("A^T", lambda: into, none),
        ("AA", lambda: a @ out, both_ways),
        ("AA^T", lambda: a @ into, leaving),
        ("A^TA", lambda: at @ out, reaching),
        ("A^TA^T", lambda: at @ into, both_ways),
    ):
        scores = reached()
        paths = scores.sum(1) - back
        same = scores.gather(1, y.clamp(min=0)[:, None])[:, 0] - back
        counted = known & (paths > 0)
        found[word] = float(_ratio(same, paths)[counted].sum() / counted.sum().clamp(min=1))
    return found


def _matrix(edges: Tensor, n: int) -> Tensor:
    """The sparse matrix with a one for every edge, row to column."""
    order = torch.argsort(edges[0], stable=True)
    rows = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(edges[0], minlength=n).cumsum(0)])
    ones = torch.ones(edges.size(1), dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says that its compressed matrices are in beta
        return torch.sparse_csr_tensor(rows, edges[1][order], ones, size=(n, n))
