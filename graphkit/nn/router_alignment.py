"""Tuning of a trained router: tokens are drawn to the routing of similar tokens that the model gets right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphkit.errors import UserError
from graphkit.nn.routing import RouteInput, RouteOutput

__all__ = [
    "ManifoldLoss",
    "Neighbors",
    "align_router",
    "distill_gate",
    "manifold_loss",
    "out_of_fold_success",
    "successes",
    "successful_neighbors",
]

_CELLS = 1 << 24  # distances of a block of tokens


class Neighbors(NamedTuple):
    """Neighbours of each token among the successful ones: places ``[T, K]`` and weights ``[T, K]``.

    Weights of a row sum to 1, or are all 0 where a token has no neighbours.
    """

    places: Tensor
    weight: Tensor


def successes(predicted: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Which tokens are predicted correctly, among those whose labels may be looked at.

    Args:
        predicted: classes ``[T]``.
        labels: classes ``[T]``; what stands at unknown places is never looked at.
        known: bool ``[T]``, the labels that may be used: support or training labels, never validation or test.

    Returns:
        bool ``[T]``.

    Example:
        >>> successes(torch.tensor([0, 1, 1]), torch.tensor([0.0, 1.0, torch.nan]), torch.tensor([True, True, False])).tolist()
        [True, True, False]
    """
    right = torch.zeros_like(known)
    right[known] = predicted[known] == labels[known].to(predicted.dtype)
    return right


def out_of_fold_success(
    fit_predict: Callable[[Tensor, Tensor], Tensor], labels: Tensor, known: Tensor, *, folds: int = 5, seed: int = 0
) -> Tensor:
    """Which tokens with a known label are predicted correctly by models that have not seen it.

    After a fit nearly every training token is right, which tells nothing; out of fold it does.

    Args:
        fit_predict: from places to learn from and places to predict to classes of the latter.
        labels: classes ``[T]``.
        known: bool ``[T]``.
        folds: number of parts, at most the known labels.
        seed: of the division.

    Returns:
        bool ``[T]``, False at unknown places.

    Raises:
        UserError: fewer than two known labels or folds.

    Example:
        >>> y = torch.tensor([0, 0, 1, 0])
        >>> out_of_fold_success(lambda learn, ask: y[learn].mode().values.expand(len(ask)), y, y >= 0, folds=4).tolist()
        [True, True, False, True]
    """
    places = known.nonzero().squeeze(1)
    if folds < 2 or len(places) < 2:
        raise UserError(f"there are {len(places)} known labels and {folds} folds, expected at least 2 of each")
    order = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))]
    right = torch.zeros_like(known)
    for part in order.chunk(min(folds, len(order))):
        learn = order[~torch.isin(order, part)]
        right[part] = fit_predict(learn, part) == labels[part]
    return right


@torch.no_grad()
def successful_neighbors(
    embedding: Tensor,
    success: Tensor,
    *,
    k: int | None = 16,
    least: float | None = None,
    sigma: float | None = None,
) -> Neighbors:
    r"""The most similar successful tokens of every token, itself left out.

    .. math:: s_{ij} = \exp \Big( -\frac{\|e_i - e_j\|^2}{2 \sigma^2} \Big), \qquad
        W_{ij} = \frac{s_{ij}}{\sum_{j' \in N(i)} s_{ij'}}

    Args:
        embedding: frozen and without labels, such as propagated features, ``[T, e]``.
        success: bool ``[T]``, S.
        k: neighbours of a token; fewer where S is smaller. None: all of S (then ``least`` should be set).
        least: least similarity of a neighbour, or None.
        sigma: width; None: the median distance within S.

    Returns:
        :class:`Neighbors`. With fewer than two successes there may be none at all.

    Raises:
        UserError: numbers out of range.

    Source:
        Li, Li and Zhou, Routing manifold alignment (arXiv 2511.07419), its method section; the median is graphkit's.

    Example:
        >>> found = successful_neighbors(torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([True, True, False]), k=1)
        >>> found.places.flatten().tolist(), found.weight.flatten().tolist()
        ([1, 0, 1], [1.0, 1.0, 1.0])
    """
    if k is not None and k < 1:
        raise UserError(f"k is {k!r}, expected a whole number from 1 upwards, or None for all")
    if sigma is not None and not sigma > 0:
        raise UserError(f"sigma is {sigma!r}, expected a number above 0")
    places = success.nonzero().squeeze(1)
    count = len(embedding)
    width = len(places) if k is None else min(k, len(places))
    if not width:
        return Neighbors(torch.zeros(count, 0, dtype=torch.int64), embedding.new_zeros(count, 0))
    among = embedding[places]
    if sigma is None:
        some = among[:: max(1, len(among) // 1000)]
        apart = torch.pdist(some) if len(some) > 1 else some.new_ones(1)
        sigma = max(float(apart.median()), 1e-12)
    index, weight = [], []
    step = max(1, _CELLS // len(places))
    for first in range(0, count, step):
        rows = torch.arange(first, min(first + step, count), device=embedding.device)
        logs = -torch.cdist(embedding[rows], among).square() / (2 * sigma**2)
        logs = logs.masked_fill(rows.unsqueeze(1) == places, -torch.inf)
        if least is not None:
            logs = logs.masked_fill(logs.exp() < least, -torch.inf)
        best = logs.topk(width, dim=1)
        share = best.values.softmax(1)
        index.append(places[best.indices])
        weight.append(torch.where(best.values.isfinite().any(1, keepdim=True), share, 0.0))
    return Neighbors(torch.cat(index), torch.cat(weight))


def manifold_loss(
    routing: Tensor, neighbors: Neighbors, targets: Tensor | None = None, *, rows: Tensor | None = None
) -> Tensor:
    r"""How far the routing of tokens is from that of their successful neighbours.

    .. math:: \operatorname{mean}_i \sum_{j \in N(i)} W_{ij} \|r_i - r_j\|^2

    Args:
        routing: r, routing weights of all layers beside one another, ``[T, R]`` (or of ``rows`` alone).
        neighbors: their places refer to the rows of ``targets``.
        targets: :math:`r_j`, constants, ``[T, R]``; None: ``routing`` itself, detached.
        rows: tokens that ``routing`` is about, int64; None: all.

    Returns:
        scalar; tokens without neighbours count 0.

    Example:
        >>> found = successful_neighbors(torch.zeros(2, 1), torch.tensor([True, True]))
        >>> float(manifold_loss(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), found))
        2.0
    """
    targets = routing.detach() if targets is None else targets.detach()
    places, weight = (part if rows is None else part[rows] for part in neighbors)
    if not len(routing):
        return routing.sum()
    apart = (routing.unsqueeze(1) - targets[places]).square().sum(2)
    return (weight.to(apart.dtype) * apart).sum(1).mean()


class ManifoldLoss:
    """:func:`manifold_loss` as a loss of a mixture whose tokens are always the same, such as the nodes of a graph.

    Args:
        neighbors: of the tokens.

    Example:
        >>> loss = ManifoldLoss(successful_neighbors(torch.zeros(2, 1), torch.tensor([True, True])))
        >>> p = torch.eye(2)
        >>> float(loss(RouteOutput(p, p, p, p > 0, None, {}), None))
        2.0
    """

    def __init__(self, neighbors: Neighbors) -> None:
        self.neighbors = neighbors

    def __call__(self, output: RouteOutput, mixture: Any) -> Tensor:
        return manifold_loss(output.weights, self.neighbors)


def align_router(
    parameters: Iterable[nn.Parameter],
    objective: Callable[[], tuple[Tensor, Tensor]],
    neighbors: Neighbors,
    *,
    lam: float = 1.0,
    epochs: int = 50,
    lr: float = 1e-3,
    refresh: int = 1,
) -> list[dict[str, float]]:
    r"""Tune the router of a trained model, and nothing else.

    .. math:: L = L_{task} + \lambda L_{man}

    Put the model into evaluation mode before: dropout and running statistics of the experts should rest. Look at the effective
    number of experts first: where all tokens share one routing, this cements it. A router that decides by losses has nothing to
    tune; :func:`distill_gate` makes one that has.

    Args:
        parameters: those of the router; gradients are taken for them alone.
        objective: called once an epoch; gives the task's loss (of labels that may be used) and the routing ``[T, R]``.
        neighbors: see :func:`successful_neighbors`.
        lam: lambda; 0 tunes the router by the task alone.
        epochs: Adam's steps.
        lr: Adam's learning rate.
        refresh: epochs after which the neighbours' routing is taken anew.

    Returns:
        for each epoch ``{"task": ..., "manifold": ...}`` before its step.

    Raises:
        UserError: nothing to tune.

    Source:
        Li, Li and Zhou, Routing manifold alignment (arXiv 2511.07419).

    Example:
        >>> w = nn.Parameter(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        >>> found = successful_neighbors(torch.zeros(2, 1), torch.tensor([True, True]))
        >>> history = align_router([w], lambda: (w.sum() * 0, w.softmax(1)), found, epochs=20, lr=0.1)
        >>> history[-1]["manifold"] < history[0]["manifold"]
        True
    """
    chosen = [parameter for parameter in parameters if parameter.requires_grad]
    if not chosen:
        raise UserError(
            "the router has no parameters to tune; distil its gate into a small router first (distill_gate)"
        )
    optimizer = torch.optim.Adam(chosen, lr=lr)
    history, targets = [], None
    for epoch in range(epochs):
        task, routing = objective()
        if targets is None or epoch % refresh == 0:
            targets = routing.detach().clone()  # the routing may be a parameter itself, which moves
        manifold = manifold_loss(routing, neighbors, targets)
        history.append({"task": float(task.detach()), "manifold": float(manifold.detach())})
        gradients = torch.autograd.grad(task + lam * manifold if lam else task, chosen, allow_unused=True)
        for parameter, gradient in zip(chosen, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        optimizer.zero_grad()
    return history


def distill_gate(
    router: nn.Module,
    batches: Iterable[tuple[RouteInput, Tensor]],
    *,
    epochs: int = 100,
    lr: float = 1e-2,
) -> list[float]:
    r"""Teach a router with parameters what another one decides.

    .. math:: - \operatorname{mean}_t \sum_m g_{tm} \log p_{tm}

    With one-hot gates of a buffer it is the classifier that chooses experts at test time.

    Args:
        router: the learner, a :class:`graphkit.nn.Router`.
        batches: inputs and soft gates ``[T, M]``.
        epochs: passes over them.
        lr: Adam's learning rate.

    Returns:
        the mean cross-entropy of each pass.

    Example:
        >>> from graphkit.nn import Router
        >>> router = Router.of(1, 2)
        >>> losses = distill_gate(router, [(RouteInput(torch.tensor([[1.0], [-1.0]])), torch.eye(2))], epochs=50, lr=0.1)
        >>> losses[-1] < 0.1 < losses[0]
        True
    """
    batches = list(batches)
    optimizer = torch.optim.Adam([p for p in router.parameters() if p.requires_grad], lr=lr)
    history = []
    for _ in range(epochs):
        total, count = 0.0, 0
        for given, gate in batches:
            probs = router(given).probs
            loss = -(gate.detach() * probs.clamp(min=torch.finfo(probs.dtype).tiny).log()).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, count = total + float(loss.detach()) * len(gate), count + len(gate)
        history.append(total / max(count, 1))
    return history
