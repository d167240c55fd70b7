"""Message weights that favour neighbours which agree with a node's surroundings."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from graphkit.data.query_batches import evaluation_mode
from graphkit.errors import UserError, nearest
from graphkit.ops import CSRGraph, edge_softmax, relational_spmm

__all__ = ["ConcentrationReweighting", "concentration_weights", "propagation_weights"]

PROPAGATIONS = ("gcn", "sage")

_CELLS = 1 << 24  # numbers of the products of a block of edges

Predictor = Callable[[Tensor], Tensor]


def propagation_weights(edge_index: Tensor, *, num_nodes: int, kind: str = "gcn") -> Tensor:
    r"""The weights of messages in a GCN or a SAGE layer with means.

    .. math:: \text{gcn: } A_{ij} = 1 / \sqrt{\hat d_i \hat d_j}, \qquad \text{sage: } A_{ij} = 1 / \hat d_i

    Args:
        edge_index: int64 ``[2, E]``, from node j, ``edge_index[0]``, to node i; loops, where wanted, among them.
        num_nodes: N.
        kind: ``"gcn"`` or ``"sage"``.

    Returns:
        float32 ``[E]``; :math:`\hat d` counts the edges into a node.

    Raises:
        UserError: bad edges, or an unknown kind.

    Example:
        >>> propagation_weights(torch.tensor([[0, 1, 2], [2, 2, 2]]), num_nodes=3, kind="sage").tolist()
        [0.3333333432674408, 0.3333333432674408, 0.3333333432674408]
    """
    if kind not in PROPAGATIONS:
        raise UserError(nearest(str(kind), PROPAGATIONS, "propagation"))
    degree = CSRGraph(edge_index, num_nodes=num_nodes).in_degree().clamp(min=1).float()
    source, target = edge_index
    return degree[target].reciprocal() if kind == "sage" else (degree[source] * degree[target]).rsqrt()


@torch.no_grad()
def concentration_weights(
    edge_index: Tensor,
    embeddings: Tensor,
    predictor: Predictor,
    base: Tensor,
    *,
    num_nodes: int,
    gamma: float = 1.0,
    aggregate: Tensor | None = None,
    compat: bool = False,
) -> Tensor:
    r"""New message weights from what the link predictor thinks of each edge.

    .. math:: \bar N_i = \sum_j A_{ij} H_j, \quad z_{ij} = \sigma(g(\bar N_i \odot H_j)), \quad
        p_{ij} = \frac{\exp z_{ij}}{\sum_{j'} \exp z_{ij'}}, \quad
        A'_{ij} = A^0_{ij} + \gamma\, p_{ij} \sum_{j'} A^0_{ij'}

    Sums run over the edges into i. Only the edges given are looked at: with the train edges no label of valid or test has a
    part in the result. No gradient flows.

    Args:
        edge_index: messages, int64 ``[2, E]``, from node j, ``edge_index[0]``, to node i; loops, where there are, are edges
            like the others.
        embeddings: H, ``[N, F]``, of the encoder in evaluation mode.
        predictor: g, from products ``[B, F]`` to logits ``[B]`` or ``[B, 1]``; a module is in evaluation mode meanwhile.
        base: :math:`A^0`, the weights that the encoder begins with, ``[E]``; see :func:`propagation_weights`.
        num_nodes: N.
        gamma: how much is added: the weights into a node sum up to 1 + gamma times what they did.
        aggregate: A, the weights of the surroundings, ``[E]``; None: ``base``.
        compat: as in the released code, which stores p transposed: node j weighs what comes from i by :math:`p_{ij}`, scaled
            by the weights out of i.

    Returns:
        ``[E]``, in the dtype of ``base``.

    Raises:
        UserError: for shapes that do not fit, a gamma that is no number, or NaN among the logits.

    Source:
        Wang et al., A topological perspective on demystifying GNN-based link prediction performance (ICLR 2024),
        the re-weighting of edges.

    Example:
        >>> star = torch.tensor([[1, 2, 0], [0, 0, 0]])  # two neighbours and a loop; only node 1 agrees
        >>> h = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
        >>> concentration_weights(star, h, lambda x: 20 * x.sum(1), torch.ones(3) / 3, num_nodes=3)
        tensor([0.7555, 0.4890, 0.7555])
    """
    count = edge_index.size(1)
    aggregate = base if aggregate is None else aggregate
    for name, weight in (("base", base), ("aggregate", aggregate)):
        if tuple(weight.shape) != (count,):
            raise UserError(
                f"{name} is {list(weight.shape)}, expected a weight for each of the {count} edges: [{count}]"
            )
    if embeddings.dim() != 2 or embeddings.size(0) != num_nodes:
        raise UserError(
            f"embeddings are {list(embeddings.shape)}, expected a row for each of the {num_nodes} nodes: [N, F]"
        )
    _check_gamma(gamma)
    graph = CSRGraph(edge_index, num_nodes=num_nodes)
    around = relational_spmm(
        graph, torch.zeros_like(edge_index[0]), embeddings.unsqueeze(0), embeddings.new_ones(1, embeddings.size(1)),
        num_nodes=num_nodes, edge_weight=aggregate.to(embeddings.dtype),
    )[0]  # fmt: skip
    centre, other = (edge_index[0], edge_index[1]) if compat else (edge_index[1], edge_index[0])
    grouped = CSRGraph(edge_index.flip(0), num_nodes=num_nodes) if compat else graph
    belief = torch.empty(count, dtype=embeddings.dtype, device=embeddings.device)
    step = max(1, _CELLS // max(embeddings.size(1), 1))
    with evaluation_mode(predictor):
        for first in range(0, count, step):
            part = slice(first, min(first + step, count))
            logits = predictor(around[centre[part]] * embeddings[other[part]])
            if logits.numel() != centre[part].numel():
                raise UserError(
                    f"the predictor gives {list(logits.shape)} for {len(centre[part])} edges, expected one logit each"
                )
            belief[part] = torch.sigmoid(logits.reshape(-1)).to(belief.dtype)
    if bool(torch.isnan(belief).any()):
        edge = int(torch.isnan(belief).nonzero()[0])
        raise UserError(
            f"the predictor gives NaN for the edge {tuple(edge_index[:, edge].tolist())}; it has diverged: lower the learning "
            "rate or clip gradients"
        )
    share = edge_softmax(grouped, belief, num_nodes=num_nodes).to(base.dtype)
    total = base.new_zeros(num_nodes).index_add_(0, centre, base)
    return base + gamma * share * total[centre]


class ConcentrationReweighting:
    """Message weights of a link encoder over the epochs of a training, see :func:`concentration_weights`.

    An update begins with the weights of the beginning, not with those of the update before, as in the released code.

    Args:
        edge_index: messages, int64 ``[2, E]``; the train edges in both directions, with loops where the encoder has them.
        num_nodes: N.
        encoder: what the encoder's own weights are, ``"gcn"`` or ``"sage"``.
        aggregate: the weights of the surroundings, ``"gcn"`` or ``"sage"``.
        gamma: how much an update adds.
        warm_up: first epoch with an update.
        interval: epochs from one update to the next.
        compat: as in :func:`concentration_weights`.

    Attributes:
        weight: the weights ``[E]`` in force, float32.

    Raises:
        UserError: bad edges or parameters.

    Example:
        >>> ring = torch.stack([torch.arange(4), (torch.arange(4) + 1) % 4])
        >>> weights = ConcentrationReweighting(ring, num_nodes=4, warm_up=2, interval=2)
        >>> [epoch for epoch in range(7) if weights.due(epoch)]
        [2, 4, 6]
        >>> weights.update(torch.ones(4, 3), lambda products: products.sum(1)).tolist()
        [2.0, 2.0, 2.0, 2.0]
    """

    def __init__(
        self,
        edge_index: Tensor,
        *,
        num_nodes: int,
        encoder: str = "gcn",
        aggregate: str = "gcn",
        gamma: float = 1.0,
        warm_up: int = 50,
        interval: int = 50,
        compat: bool = False,
    ) -> None:
        check_schedule(gamma, warm_up, interval)
        self.edge_index, self.num_nodes = edge_index, num_nodes
        self.base = propagation_weights(edge_index, num_nodes=num_nodes, kind=encoder)
        self.aggregate = propagation_weights(edge_index, num_nodes=num_nodes, kind=aggregate)
        self.gamma, self.warm_up, self.interval, self.compat = gamma, warm_up, interval, compat
        self.weight = self.base

    def due(self, epoch: int) -> bool:
        """Whether an update belongs before this epoch."""
        return is_due(epoch, self.warm_up, self.interval)

    def update(self, embeddings: Tensor, predictor: Predictor) -> Tensor:
        """New weights ``[E]`` from the embeddings under the weights in force; they are in force then.

        Raises:
            UserError: as :func:`concentration_weights`.
        """
        self.weight = concentration_weights(
            self.edge_index, embeddings.detach(), predictor, self.base, num_nodes=self.num_nodes, gamma=self.gamma,
            aggregate=self.aggregate, compat=self.compat,
        )  # fmt: skip
        return self.weight


def check_schedule(gamma: float, warm_up: int, interval: int) -> None:
    """UserError unless the numbers of a schedule of updates are what they should be."""
    _check_gamma(gamma)
    for name, value, least in (("warm_up", warm_up, 0), ("interval", interval, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"{name} is {value!r}, expected a whole number from {least} upwards")


def is_due(epoch: int, warm_up: int, interval: int) -> bool:
    """Whether an update belongs before an epoch, counted from 0."""
    return epoch >= warm_up and epoch % interval == 0


def _check_gamma(gamma: float) -> None:
    if isinstance(gamma, bool) or not isinstance(gamma, (int, float)) or not math.isfinite(gamma):
        raise UserError(f"gamma is {gamma!r}, expected a number; 1 is the default")
