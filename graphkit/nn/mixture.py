"""A mixture of experts: a bank of experts, a router, and a rule that combines what the experts say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest
from graphkit.nn.routing import RouteInput, RouteOutput
from graphkit.nn.routing_losses import AuxLoss

__all__ = ["ExpertList", "Mixture"]

LEVELS, COMBINERS, DISPATCHES = (
    ("node", "edge", "graph", "dataset"),
    ("sum", "concat", "confidence"),
    ("dense", "sparse"),
)


class ExpertList(nn.Module):
    """A bank of any modules of one kind: ``(x [n, d], adj) -> [M, n, h]``.

    Args:
        experts: modules; called as ``expert(x, adj)``, or as ``expert(x)`` where they act on each token alone.
        per_token: whether they do, such as perceptrons. Only then may tokens be sent to their experts alone.

    Raises:
        UserError: no experts.

    Example:
        >>> ExpertList([nn.Linear(2, 3), nn.Linear(2, 3)], per_token=True)(torch.ones(4, 2)).shape
        torch.Size([2, 4, 3])
    """

    def __init__(self, experts: Sequence[nn.Module], *, per_token: bool = False) -> None:
        super().__init__()
        if not experts:
            raise UserError("there are no experts; pass at least one module")
        self.experts = nn.ModuleList(experts)
        self.per_token = per_token

    def __len__(self) -> int:
        return len(self.experts)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.experts)

    def forward(self, x: Tensor, adj: Any = None) -> Tensor:
        return torch.stack([expert(x) if self.per_token else expert(x, adj) for expert in self.experts])

    @property
    def first_weight(self) -> Tensor:
        """First weight of each expert, ``[M, d, h]``: that of its first linear map."""
        weights = []
        for expert in self.experts:
            first = next((part for part in expert.parameters() if part.dim() == 2), None)
            if first is None:
                raise UserError("an expert has no linear map, so there is no first weight to look at")
            weights.append(first)
        return torch.stack([weight.t() for weight in weights])


class Mixture(nn.Module):
    r"""Experts, a router and a combiner.

    .. math:: \text{sum: } \sum_m w_m H_m, \qquad \text{concat: } [w_1 H_1 \,\|\, \dots \,\|\, w_M H_M], \qquad
        \text{confidence: } \sum_m \omega_m H_m, \; \omega_m = \frac{\alpha_m [m \in S]}{\sum_{j \in S} \alpha_j}

    ``forward(x, adj)`` returns ``(out, RouteOutput)``. All experts run and weights mask them. ``dispatch="sparse"`` runs each
    expert on its own tokens alone and gives the same; it is for experts that act on each token alone, since a graph layer needs the
    neighbours that were sent elsewhere. Where a mixture stands in every layer, decide once and pass ``route`` of the first
    layer to the others.

    Args:
        experts: any callable ``(x, adj) -> [M, n, h]``, such as :class:`ExpertList`.
        router: a :class:`graphkit.nn.Router`, or any module from :class:`graphkit.nn.RouteInput` to
            :class:`graphkit.nn.RouteOutput`.
        combine: ``"sum"``, ``"concat"`` or ``"confidence"``.
        level: what is a token: ``"node"`` or ``"edge"`` (a row), ``"graph"`` (rows of one graph, by the mean of their
            states) or ``"dataset"`` (all rows).
        dispatch: ``"dense"`` or ``"sparse"``.
        losses: losses by name, such as ``{"balance": AUX_LOSSES["balance"]()}``; each lands in ``aux`` of the output, as it is.
            Multiply and add them yourself: nothing is added silently.
        confidence: for ``combine="confidence"``: from ``[M, n, h]`` to :math:`\alpha` ``[M, n]``, not negative. Where it sums to
            less than 1e-6 over the experts in use, they count alike.

    Raises:
        UserError: an unknown name, choices that do not go together; when called, experts that return another shape than
            ``[M, n, h]``.

    Example:
        >>> from graphkit.nn import Router
        >>> experts = ExpertList([nn.Linear(4, 2) for _ in range(3)], per_token=True)
        >>> mixture = Mixture(experts, Router.of(4, 3, selector="topk"))
        >>> out, route = mixture(torch.ones(5, 4))
        >>> out.shape, route.weights[0].tolist()
        (torch.Size([5, 2]), [1.0, 0.0, 0.0])
    """

    def __init__(
        self,
        experts: Any,
        router: nn.Module,
        *,
        combine: str = "sum",
        level: str = "node",
        dispatch: str = "dense",
        losses: Mapping[str, AuxLoss] | None = None,
        confidence: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        for name, known, what in (
            (combine, COMBINERS, "combiner"),
            (level, LEVELS, "level"),
            (dispatch, DISPATCHES, "dispatch"),
        ):
            if name not in known:
                raise UserError(nearest(str(name), known, what))
        if (combine == "confidence") != (confidence is not None):
            raise UserError("combine='confidence' and a confidence function go together; one of them is missing")
        if dispatch == "sparse" and not (getattr(experts, "per_token", False) and combine == "sum"):
            raise UserError(
                "dispatch='sparse' needs combine='sum' and experts that act on each token alone (ExpertList(..., per_token=True)): "
                "a graph layer needs neighbours that were sent to other experts; use dispatch='dense'"
            )
        self.experts, self.router = experts, router
        self.combine, self.level, self.dispatch, self.confidence = combine, level, dispatch, confidence
        self.losses = dict(losses or {})

    def forward(
        self,
        x: Tensor,
        adj: Any = None,
        *,
        h: Tensor | None = None,
        route_adj: Any = None,
        batch: Tensor | None = None,
        domain: Any = None,
        state: Any = None,
        losses: Tensor | None = None,
        route: RouteOutput | None = None,
        rng: torch.Generator | None = None,
    ) -> tuple[Tensor, RouteOutput]:
        """What the mixture says, and the decision behind it.

        Args:
            x: input of the experts, ``[n, d]``.
            adj: graph of the experts.
            h: states the router decides by, ``[n, d']``; None: ``x``.
            route_adj: graph the router looks at, as in :class:`graphkit.nn.RouteInput`; None: ``adj``.
            batch: the graph of each row, int64 ``[n]``.
            domain, state, losses, rng: as in :class:`graphkit.nn.RouteInput`.
            route: an earlier decision to use again.

        Returns:
            ``[n, h]`` (``[n, M h]`` with concat) and the decision over T tokens.
        """
        if route is None:
            states, graph = self._tokens(x if h is None else h, batch)
            row_wise = self.level in ("node", "edge")
            route = self.router(
                RouteInput(
                    states,
                    (adj if route_adj is None else route_adj) if row_wise else None,
                    graph,
                    domain,
                    state,
                    losses,
                    self.training,
                    rng,
                )
            )
        weights, mask = (self._by_row(part, len(x), batch) for part in (route.weights, route.mask))
        if self.dispatch == "sparse":
            out = self._sent(x, weights, mask)
        else:
            out = self._combined(self._outputs(x, adj, weights.size(1)), weights, mask)
        route = route._replace(aux=dict(route.aux))
        for name, loss in self.losses.items():
            route.aux[name] = loss(route, self)
        return out, route

    def _tokens(self, h: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.level in ("node", "edge"):
            return h, batch
        if self.level == "dataset":
            return (h.mean(0, keepdim=True) if len(h) else h.new_zeros(1, h.size(1))), None
        if batch is None:
            batch = torch.zeros(len(h), dtype=torch.int64, device=h.device)
        count = int(batch.max()) + 1 if len(batch) else 0
        size = torch.bincount(batch, minlength=count).clamp(min=1).to(h.dtype)
        return h.new_zeros(count, h.size(1)).index_add(0, batch, h) / size.unsqueeze(1), None

    def _by_row(self, part: Tensor, rows: int, batch: Tensor | None) -> Tensor:
        if self.level == "graph" and batch is not None:
            return part[batch]
        if self.level in ("graph", "dataset"):
            return part.expand(rows, -1) if len(part) else part
        if len(part) != rows:
            raise UserError(f"the decision is about {len(part)} tokens, expected one for each of the {rows} rows")
        return part

    def _outputs(self, x: Tensor, adj: Any, count: int) -> Tensor:
        outputs = self.experts(x, adj)
        if outputs.dim() != 3 or tuple(outputs.shape[:2]) != (count, len(x)):
            raise UserError(
                f"the experts return {list(outputs.shape)}, expected [M, n, h] with the router's {count} experts and {len(x)} rows"
            )
        return outputs

    def _combined(self, outputs: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        if self.confidence is not None:
            alpha = torch.where(mask, self.confidence(outputs).t(), 0.0)
            total = alpha.sum(1, keepdim=True)
            even = mask.to(alpha.dtype) / mask.sum(1, keepdim=True)
            weights = torch.where(total < 1e-6, even, alpha / total.clamp(min=1e-6))
        weights = weights.to(outputs.dtype)
        if self.combine == "concat":
            return (outputs * weights.t().unsqueeze(2)).transpose(0, 1).reshape(outputs.size(1), -1)
        return torch.einsum("mnh,nm->nh", outputs, weights)

    def _sent(self, x: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        out: Tensor | None = None
        for number, expert in enumerate(self.experts):
            rows = mask[:, number].nonzero().squeeze(1)
            said = expert(x[rows])
            out = said.new_zeros(len(x), said.size(1)) if out is None else out
            out = out.index_add(0, rows, said * weights[rows, number].unsqueeze(1).to(said.dtype))
        assert out is not None
        return out
