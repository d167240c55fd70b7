"""Heads of routers: from the states of tokens to a score for each expert."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.errors import UserError, nearest
from graphkit.nn.option_ranges import check_sizes
from graphkit.nn.routing import RouteInput
from graphkit.nn.routing_losses import variation
from graphkit.nn.token_graph import edges_of, neighbor_mean

__all__ = ["HEADS", "CosineHead", "GNNHead", "LinearHead", "LogitHead", "MLPHead", "RecurrentHead", "smooth_load"]

_FLOOR = 1e-2  # least standard deviation of the noise


class LogitHead(nn.Module):
    """A head: ``(RouteInput) -> (logits [T, M], state)``.

    Args:
        channels: d, width of the states.
        num_experts: M.

    Raises:
        UserError: sizes below 1; when called, states of another width.

    Example:
        >>> head = LinearHead(4, 3)
        >>> logits, state = head(RouteInput(torch.ones(2, 4)))
        >>> logits.shape, state
        (torch.Size([2, 3]), None)
    """

    def __init__(self, channels: int, num_experts: int) -> None:
        super().__init__()
        check_sizes(channels=channels, num_experts=num_experts)
        self.channels, self.num_experts = channels, num_experts

    def forward(self, input: RouteInput) -> tuple[Tensor, Any]:
        if input.h.dim() != 2 or input.h.size(1) != self.channels:
            raise UserError(f"the router's states are {list(input.h.shape)}, expected [T, {self.channels}]")
        return self.logits(input), input.state

    def logits(self, input: RouteInput) -> Tensor:
        """Scores ``[T, M]``."""
        raise NotImplementedError

    def aux(self, input: RouteInput, logits: Tensor, k: int | None) -> dict[str, Tensor]:
        """Numbers for the output's ``aux``; k: experts a token uses, where that is fixed."""
        return {}


class LinearHead(LogitHead):
    r"""A linear map, with learned noise while training if wanted.

    .. math:: z = h W_g + \varepsilon \odot (\operatorname{softplus}(h W_n) + 0.01), \quad \varepsilon \sim N(0, 1)

    Both matrices begin at zero, as in GMoE's code: with noise the first decisions are pure chance, without it pure ties, which go
    to the experts of the lowest numbers. ``init="normal"`` begins with entries of standard deviation 1 / sqrt(d).

    With noise and a fixed k, ``aux["load"]`` is the squared coefficient of variation of :func:`smooth_load` (0 in evaluation).

    Args:
        channels: d.
        num_experts: M.
        noise: whether noise is learned and added while ``RouteInput.train`` is set.
        init: ``"zero"`` or ``"normal"``.

    Attributes:
        weight: :math:`W_g^T`, ``[M, d]``; row i belongs to expert i.
        noise_weight: :math:`W_n^T`, ``[M, d]``, or None.

    Source:
        Shazeer et al., Outrageously large neural networks (ICLR 2017), eq. 4; Wang et al., Graph mixture of experts
        (NeurIPS 2023), its code.

    Example:
        >>> head = LinearHead(2, 3, noise=True)
        >>> head(RouteInput(torch.ones(1, 2)))[0].tolist()
        [[0.0, 0.0, 0.0]]
    """

    def __init__(self, channels: int, num_experts: int, *, noise: bool = False, init: str = "zero") -> None:
        super().__init__(channels, num_experts)
        if init not in ("zero", "normal"):
            raise UserError(nearest(str(init), ("zero", "normal"), "init"))
        self.weight = nn.Parameter(torch.zeros(num_experts, channels))
        self.noise_weight = nn.Parameter(torch.zeros(num_experts, channels)) if noise else None
        if init == "normal":
            nn.init.normal_(self.weight, std=channels**-0.5)

    def logits(self, input: RouteInput) -> Tensor:
        clean = F.linear(input.h, self.weight)
        if self.noise_weight is None or not input.train:
            return clean
        noise = torch.randn(clean.shape, generator=input.rng, dtype=clean.dtype, device=clean.device)
        return clean + noise * self._deviation(input.h)

    def aux(self, input: RouteInput, logits: Tensor, k: int | None) -> dict[str, Tensor]:
        if self.noise_weight is None or k is None:
            return {}
        if not input.train:
            return {"load": logits.new_zeros(())}
        clean = F.linear(input.h, self.weight).to(logits.dtype)
        load = smooth_load(clean, logits, self._deviation(input.h).to(logits.dtype), k)
        return {"load": variation(load)}

    def _deviation(self, h: Tensor) -> Tensor:
        assert self.noise_weight is not None
        return F.softplus(F.linear(h, self.noise_weight)) + _FLOOR


def smooth_load(clean: Tensor, noisy: Tensor, deviation: Tensor, k: int) -> Tensor:
    r"""Expected number of tokens that each expert gets if its own noise were drawn anew.

    .. math:: load_m = \sum_t \Phi\Big(\frac{clean_{tm} - \operatorname{kth\_excluding}(noisy_t, k, m)}{\sigma_{tm}}\Big)

    kth_excluding is the k-th largest of the other entries of the row.

    Args:
        clean: scores without noise, ``[T, M]``.
        noisy: scores with it, ``[T, M]``.
        deviation: standard deviation of the noise, ``[T, M]``.
        k: experts that a token uses; with k >= M everybody gets every token.

    Returns:
        ``[M]``, differentiable in all three.

    Source:
        Shazeer et al. (ICLR 2017), appendix A.

    Example:
        >>> z = torch.tensor([[0.0, 0.0]])
        >>> smooth_load(z, z, torch.ones(1, 2), 1).tolist()
        [0.5, 0.5]
    """
    if k >= clean.size(1):
        return torch.ones_like(clean).sum(0)
    top, place = noisy.topk(k + 1, dim=1)
    within = torch.zeros_like(noisy, dtype=torch.bool).scatter(1, place[:, :k], True)
    rival = torch.where(within, top[:, k : k + 1], top[:, k - 1 : k])
    return torch.special.ndtr((clean - rival) / deviation).sum(0)


class CosineHead(LogitHead):
    r"""Cosine of the state and a row of each expert.

    .. math:: z_m = \frac{\cos(h, r_m)}{\tau}

    Args:
        channels: d.
        num_experts: M.
        tau: temperature.
        learn_tau: whether its logarithm is learned.

    Source:
        Chi et al., On the representation collapse of sparse mixture of experts (NeurIPS 2022), without its projection.

    Example:
        >>> head = CosineHead(2, 2, tau=1.0)
        >>> with torch.no_grad():
        ...     _ = head.weight.copy_(torch.eye(2))
        >>> head(RouteInput(torch.tensor([[0.0, 5.0]])))[0].tolist()
        [[0.0, 1.0]]
    """

    def __init__(self, channels: int, num_experts: int, *, tau: float = 0.1, learn_tau: bool = False) -> None:
        super().__init__(channels, num_experts)
        _check_positive("tau", tau)
        self.weight = nn.Parameter(torch.empty(num_experts, channels))
        nn.init.normal_(self.weight, std=channels**-0.5)
        self.log_tau = nn.Parameter(torch.tensor(math.log(tau)), requires_grad=learn_tau)

    def logits(self, input: RouteInput) -> Tensor:
        # an eps of 1e-6 keeps the gradient of a zero row bounded
        rows = F.normalize(self.weight, dim=1, eps=1e-6)
        return F.linear(F.normalize(input.h, dim=1, eps=1e-6), rows) / self.log_tau.exp()


class MLPHead(LogitHead):
    r"""Two linear maps with a ReLU between them.

    .. math:: z = W_2 \operatorname{relu}(W_1 h + b_1) + b_2

    Args:
        channels: d.
        num_experts: M.
        hidden_channels: width in between; None: d.

    Example:
        >>> MLPHead(4, 3)(RouteInput(torch.ones(2, 4)))[0].shape
        torch.Size([2, 3])
    """

    def __init__(self, channels: int, num_experts: int, *, hidden_channels: int | None = None) -> None:
        super().__init__(channels, num_experts)
        hidden = channels if hidden_channels is None else hidden_channels
        self.net = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, num_experts))

    def logits(self, input: RouteInput) -> Tensor:
        return self.net(input.h)


class GNNHead(LogitHead):
    r"""A graph layer with means, then a linear map: tokens decide by their neighbours' states too.

    .. math:: z = W_3 \operatorname{relu}(W_1 h + W_2 P h + b) + b_3

    P takes the mean over the edges into a token; a token without any is its own neighbour.

    Args:
        channels: d.
        num_experts: M.
        hidden_channels: width in between; None: d.

    Example:
        >>> head = GNNHead(4, 3)
        >>> head(RouteInput(torch.ones(2, 4), torch.tensor([[0], [1]])))[0].shape
        torch.Size([2, 3])
    """

    def __init__(self, channels: int, num_experts: int, *, hidden_channels: int | None = None) -> None:
        super().__init__(channels, num_experts)
        hidden = channels if hidden_channels is None else hidden_channels
        self.own, self.around = nn.Linear(channels, hidden), nn.Linear(channels, hidden, bias=False)
        self.out = nn.Linear(hidden, num_experts)

    def logits(self, input: RouteInput) -> Tensor:
        graph, weight = edges_of(input.adj, len(input.h))
        weight = weight.mean(1) if weight is not None and weight.dim() == 2 else weight
        around = neighbor_mean(graph, input.h, weight).to(input.h.dtype)
        return self.out((self.own(input.h) + self.around(around)).relu())


class RecurrentHead(LogitHead):
    r"""A router that remembers what the routers of earlier layers saw: layers share one recurrent cell.

    .. math:: x = V_i h^{(i)}, \quad s^{(i)} = \text{GRU}(x, s^{(i-1)}), \quad s^{(0)} = 0, \quad z = U_i s^{(i)}

    V and U belong to the layer, the cell to all layers; pass ``state`` of one layer's output as the state of the next. The state is
    of one forward pass: it is never kept. Where layers see other tokens (sampled blocks), slice it by the ids of those that are
    left. A token and layer cost d p + 6 p^2 + p M, which with the p = 256 of the released configuration is more than a whole
    64-wide graph layer; 16 or 32 fit graphs better.

    Args:
        channels: d.
        num_experts: M.
        state_channels: p.
        kind: ``"gru"``, or ``"rnn"`` for a plain cell with tanh.
        cell: the cell of another layer's head; None makes one.
        detach_state: whether gradients end at the state of the layer before; without it early routers learn from later ones too.

    Source:
        Qiu et al., Layerwise recurrent router for mixture-of-experts (arXiv 2408.06793), and its code.

    Example:
        >>> first = RecurrentHead(4, 3, state_channels=8)
        >>> second = RecurrentHead(5, 3, state_channels=8, cell=first.cell)
        >>> _, state = first(RouteInput(torch.ones(2, 4)))
        >>> second(RouteInput(torch.ones(2, 5), state=state))[0].shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        channels: int,
        num_experts: int,
        *,
        state_channels: int = 16,
        kind: str = "gru",
        cell: nn.GRUCell | nn.RNNCell | None = None,
        detach_state: bool = False,
    ) -> None:
        super().__init__(channels, num_experts)
        kinds: dict[str, type] = {"gru": nn.GRUCell, "rnn": nn.RNNCell}
        if kind not in kinds:
            raise UserError(nearest(str(kind), kinds, "cell"))
        self.cell = kinds[kind](state_channels, state_channels) if cell is None else cell
        if self.cell.hidden_size != state_channels or self.cell.input_size != state_channels:
            raise UserError(
                f"the shared cell has {self.cell.hidden_size} channels, expected state_channels={state_channels}"
            )
        self.project = nn.Linear(channels, state_channels, bias=False)
        self.out = nn.Linear(state_channels, num_experts, bias=False)
        self.detach_state = detach_state

    def forward(self, input: RouteInput) -> tuple[Tensor, Tensor]:
        before = input.state
        if before is not None:
            if len(before) != len(input.h):
                raise UserError(
                    f"the router's state has {len(before)} rows for {len(input.h)} tokens; slice it by the tokens that are left"
                )
            before = before.detach() if self.detach_state else before
        if input.h.dim() != 2 or input.h.size(1) != self.channels:
            raise UserError(f"the router's states are {list(input.h.shape)}, expected [T, {self.channels}]")
        state = self.cell(self.project(input.h), before)
        return self.out(state), state

    @classmethod
    def layers(cls, channels: Sequence[int], num_experts: int, **options: Any) -> list[RecurrentHead]:
        """Heads of several layers that share a cell.

        Example:
            >>> first, second = RecurrentHead.layers([4, 8], 3)
            >>> first.cell is second.cell
            True
        """
        heads: list[RecurrentHead] = []
        for width in channels:
            heads.append(cls(width, num_experts, cell=heads[0].cell if heads else None, **options))
        return heads


def _check_positive(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0 or not math.isfinite(value):
        raise UserError(f"{name} is {value!r}, expected a number above 0")


#: heads by name
HEADS: dict[str, Callable[..., LogitHead]] = {
    "linear": LinearHead,
    "cosine": CosineHead,
    "mlp": MLPHead,
    "gnn": GNNHead,
    "recurrent": RecurrentHead,
}
