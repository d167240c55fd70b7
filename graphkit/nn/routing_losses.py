"""Losses of routers: balance, confidence, and the coupling of a router to its experts. None is added without being asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from graphkit.errors import UserError
from graphkit.nn.routing import RouteOutput

__all__ = [
    "AUX_LOSSES",
    "AuxLoss",
    "ERCLoss",
    "LocalityLoss",
    "RunningCentres",
    "SelectionBias",
    "SwitchBalance",
    "anchor_loss",
    "entropy_pair",
    "erc_loss",
    "importance_loss",
    "proxy_noise",
    "switch_balance",
    "token_entropy",
    "variation",
    "z_loss",
]

_TINY = 1e-12


class AuxLoss(Protocol):
    """A loss of a mixture's decision: ``(RouteOutput, mixture) -> scalar``.

    Example:
        >>> loss: AuxLoss = AUX_LOSSES["zloss"]()
        >>> z = torch.zeros(2, 1)
        >>> float(loss(RouteOutput(z, z.exp(), z.exp(), z == 0, None, {}), None))
        0.0
    """

    def __call__(self, output: RouteOutput, mixture: Any) -> Tensor: ...


def switch_balance(probs: Tensor, mask: Tensor, *, tokens: Tensor | None = None) -> Tensor:
    r"""Switch's balance loss: 1 when balanced, M when everything goes to one expert with certainty.

    .. math:: M \sum_m f_m P_m

    f is the share of assignments (it sums to 1, whatever k is; some codes let it sum to k) and carries no gradient, P the
    mean probability.

    Args:
        probs: ``[T, M]``.
        mask: experts in use, bool ``[T, M]``.
        tokens: bool ``[T]``, tokens that count; None: all. Leave padding out.

    Returns:
        scalar; 0 without tokens.

    Source:
        Fedus et al., Switch transformers (JMLR 2022), eqs. 4-6; the usual coefficient 1e-2 is from memory.

    Example:
        >>> p = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> float(switch_balance(p, p > 0))
        2.0
    """
    probs, mask = _counted(probs, tokens), _counted(mask, tokens)
    if not len(probs):
        return probs.sum()
    used = mask.sum(0).to(probs.dtype)
    return probs.size(1) * (used / used.sum() * probs.mean(0)).sum()


class SwitchBalance(nn.Module):
    """:func:`switch_balance` over the last few batches, for batches that hold one source each.

    A batch of one source may well go to one expert; only over all sources should use be even. Gradients come from the newest
    batch alone.

    Args:
        window: number of batches, at least one a source; 1: each batch by itself.

    Example:
        >>> balance = SwitchBalance(window=2)
        >>> one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> [float(balance(RouteOutput(p, p, p, p > 0, None, {}), None)) for p in (one, other)]
        [2.0, 1.0]
    """

    def __init__(self, window: int = 1) -> None:
        super().__init__()
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise UserError(f"window is {window!r}, expected a whole number of batches from 1 upwards")
        self.window = window
        self._past: list[tuple[Tensor, Tensor, int]] = []

    def forward(self, output: RouteOutput, mixture: Any = None) -> Tensor:
        used, mass, count = output.mask.sum(0).to(output.probs.dtype), output.probs.sum(0), len(output.probs)
        past = self._past[-(self.window - 1) :] if self.window > 1 else []
        self._past = [*past, (used, mass.detach(), count)] if self.window > 1 else []
        used = used + sum(entry[0] for entry in past)
        mass = mass + sum(entry[1] for entry in past)
        count = count + sum(entry[2] for entry in past)
        if not count:
            return mass.sum()
        return len(mass) * (used / used.sum() * mass / count).sum()


def variation(values: Tensor) -> Tensor:
    r"""Squared coefficient of variation, the unbiased variance over the squared mean; 0 for a single value.

    Example:
        >>> float(variation(torch.tensor([1.0, 3.0])))
        0.5
    """
    if values.numel() < 2:
        return values.sum() * 0
    return values.var() / (values.mean() ** 2 + 1e-10)


def importance_loss(weights: Tensor, *, tokens: Tensor | None = None) -> Tensor:
    r"""How unevenly the weight is spread over experts.

    .. math:: \operatorname{CV}^2 \Big( \sum_t w_{tm} \Big)

    Its companion, the load, counts tokens instead of weight: see :func:`graphkit.nn.router_heads.smooth_load`.

    Args:
        weights: ``[T, M]``.
        tokens: as in :func:`switch_balance`.

    Source:
        Shazeer et al. (ICLR 2017), eqs. 6-7; GMoE's code takes both with the coefficient 1e-2, or 1 on molhiv.

    Example:
        >>> round(float(importance_loss(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))), 4)
        2.0
    """
    return variation(_counted(weights, tokens).sum(0))


def z_loss(logits: Tensor, *, tokens: Tensor | None = None) -> Tensor:
    r"""Keeps logits small.

    .. math:: \operatorname{mean}_t \Big( \log \sum_m e^{z_{tm}} \Big)^2

    Args:
        logits: ``[T, M]``.
        tokens: as in :func:`switch_balance`.

    Source:
        Zoph et al., ST-MoE (2022), eq. 5; the usual coefficient 1e-3 is from memory.

    Example:
        >>> float(z_loss(torch.zeros(3, 1)))
        0.0
    """
    logits = _counted(logits, tokens)
    return logits.logsumexp(1).square().mean() if len(logits) else logits.sum()


def token_entropy(probs: Tensor, *, tokens: Tensor | None = None) -> Tensor:
    r"""Mean entropy of the tokens' probabilities, in nats; as a loss it keeps the number of experts of top-p small.

    .. math:: \operatorname{mean}_t H(p_t)

    Example:
        >>> round(float(token_entropy(torch.tensor([[0.5, 0.5]]))), 4)
        0.6931
    """
    probs = _counted(probs, tokens)
    return _entropy(probs).mean() if len(probs) else probs.sum()


def entropy_pair(probs: Tensor, *, tokens: Tensor | None = None) -> Tensor:
    r"""Sharp for each token and even over all: minus the mutual information of token and expert.

    .. math:: - H(\operatorname{mean}_t p_t) + \operatorname{mean}_t H(p_t)

    graphkit's choice, with the coefficient 1e-2.

    Args:
        probs: ``[T, M]``.
        tokens: as in :func:`switch_balance`.

    Returns:
        scalar from -log M to 0.

    Example:
        >>> round(float(entropy_pair(torch.eye(2))), 4)
        -0.6931
    """
    probs = _counted(probs, tokens)
    return token_entropy(probs) - _entropy(probs.mean(0)) if len(probs) else probs.sum()


def anchor_loss(before: Tensor, after: Tensor) -> Tensor:
    r"""Keeps a router's choices where they were while something else is tuned.

    .. math:: \operatorname{mean}_t \operatorname{KL}(r^{old}_t \,\|\, r^{new}_t)

    Args:
        before: probabilities ``[T, M]``, taken as constants.
        after: probabilities ``[T, M]``, positive where ``before`` is.

    Source:
        After the single-expert anchoring of UOE (Nov 2024).

    Example:
        >>> p = torch.tensor([[0.5, 0.5]])
        >>> float(anchor_loss(p, p))
        0.0
    """
    before = before.detach()
    logs = after.clamp(min=torch.finfo(after.dtype).tiny).log()
    return (-_entropy(before) - (before * logs).sum(-1)).mean() if len(before) else after.sum()


class SelectionBias(nn.Module):
    r"""Balance without a loss: numbers added to the logits for the choice alone, never to the weights.

    .. math:: b_m \leftarrow b_m + u \operatorname{sign}(\overline{load} - load_m)

    Args:
        num_experts: M.
        rate: u.

    Attributes:
        bias: b, ``[M]``, a buffer.

    Source:
        Wang et al., Auxiliary-loss-free load balancing (2024); the rate 1e-3 is from memory.

    Example:
        >>> bias = SelectionBias(2, rate=0.5)
        >>> bias.update(torch.tensor([[True, False]]))
        >>> bias.bias.tolist()
        [-0.5, 0.5]
    """

    bias: Tensor

    def __init__(self, num_experts: int, *, rate: float = 1e-3) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("bias", torch.zeros(num_experts))

    @torch.no_grad()
    def update(self, mask: Tensor) -> None:
        """Move by the use in one batch, bool ``[T, M]``."""
        if len(mask):
            load = mask.sum(0).to(self.bias.dtype)
            self.bias += self.rate * torch.sign(load.mean() - load)


@torch.no_grad()
def proxy_noise(rows: Tensor, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    r"""Factors that move each row by at most half the distance to the nearest other row.

    .. math:: \varepsilon_i = \frac{\min_{j \ne i} \|R_i - R_j\|}{2 \|R_i\|}, \qquad
        \delta_i \sim U(1 - \varepsilon_i, 1 + \varepsilon_i)^d

    Args:
        rows: R, ``[M, d]``.
        generator: of the random numbers.

    Returns:
        (factors ``[M, d]``, epsilon ``[M]``), without gradients. Epsilon of equal rows is 0, and of a row of zeros too. It grows
        as experts specialise.

    Source:
        ERC (arXiv 2512.23447).

    Example:
        >>> proxy_noise(torch.eye(2))[1]
        tensor([0.7071, 0.7071])
    """
    if len(rows) < 2:
        return torch.ones_like(rows), rows.new_zeros(len(rows))
    apart = torch.linalg.vector_norm(rows.unsqueeze(0) - rows.unsqueeze(1), dim=2)
    apart.fill_diagonal_(torch.inf)
    norm = torch.linalg.vector_norm(rows, dim=1)
    epsilon = torch.where(norm > _TINY, apart.amin(1) / (2 * norm).clamp(min=_TINY), 0.0)
    drawn = torch.rand(rows.shape, generator=generator, dtype=rows.dtype, device=rows.device)
    return 1 + epsilon.unsqueeze(1) * (2 * drawn - 1), epsilon


def erc_loss(
    rows: Tensor,
    weights: Tensor,
    *,
    alpha: float = 1.0,
    factors: Tensor | None = None,
    offset: Tensor | None = None,
    normalize: bool = False,
) -> Tensor:
    r"""Expert-router coupling: each row of the router should excite its own expert most, and each expert its own row.

    .. math:: \tilde R_i = R_i \odot \delta_i, \quad Q_{ij} = \|\tilde R_i W_j + o_j\|_2, \quad
        L = \frac{1}{M^2} \sum_i \sum_{j \ne i} \big[ \max(Q_{ij} - \alpha Q_{ii}, 0) + \max(Q_{ji} - \alpha Q_{ii}, 0) \big]

    The cost does not depend on the number of tokens. Router and experts must look at the same features. Gradients reach both R and
    W; only the noise carries none. Experts that are equal are not told apart by it: begin with different ones.

    Args:
        rows: R, ``[M, d]``; row i stands for the tokens sent to expert i.
        weights: W, first weight of each expert, ``[M, d, h]``.
        alpha: from 0 to 1; 1 asks for a maximum on the diagonal, 0 for zeros beside it.
        factors: :math:`\delta`, ``[M, d]``, see :func:`proxy_noise`; None: no noise.
        offset: o, what an expert adds to its first layer (its prompt's part), ``[M, h]``; None: nothing.
        normalize: divide Q by :math:`\|\tilde R_i\| \|W_j\|_F`. Without it shrinking all weights lowers the loss and couples
            nothing.

    Returns:
        scalar; 0 for a single expert.

    Raises:
        UserError: shapes that do not fit, alpha out of range.

    Source:
        ERC, ByteDance Seed and Renmin University (arXiv 2512.23447). ``offset`` and ``normalize`` are graphkit's.

    Example:
        >>> w = torch.stack([torch.diag(torch.tensor([2.0, 1.0])), torch.diag(torch.tensor([1.0, 2.0]))])
        >>> float(erc_loss(torch.eye(2), w)), float(erc_loss(torch.eye(2), w, alpha=0.0))
        (0.0, 1.0)
    """
    if rows.dim() != 2 or weights.dim() != 3 or weights.shape[:2] != rows.shape:
        raise UserError(
            f"rows are {list(rows.shape)} and first weights {list(weights.shape)}, expected [M, d] and [M, d, h]: "
            "router and experts must look at the same features"
        )
    if not 0 <= alpha <= 1:
        raise UserError(f"alpha is {alpha!r}, expected a number from 0 to 1")
    count = len(rows)
    proxy = rows if factors is None else rows * factors
    response = torch.einsum("id,jdh->ijh", proxy, weights)
    if offset is not None:
        response = response + offset
    q = torch.linalg.vector_norm(response, dim=2)
    if normalize:
        scale = torch.linalg.vector_norm(proxy, dim=1).unsqueeze(1) * torch.linalg.vector_norm(weights, dim=(1, 2))
        q = q / scale.clamp(min=_TINY)
    own = alpha * q.diagonal().unsqueeze(1)
    beside = ~torch.eye(count, dtype=torch.bool, device=q.device)
    excess = (q - own).relu() + (q.t() - own).relu()
    return torch.where(beside, excess, 0.0).sum() / count**2


class ERCLoss:
    """:func:`erc_loss` of a mixture, with fresh noise in each call.

    Args:
        alpha, normalize: as in :func:`erc_loss`.
        noise: whether rows are moved by :func:`proxy_noise`.
        rows: from the mixture to R; None: ``router.head.weight`` (linear and cosine heads). Where the router looks at
            something else than the experts do, take :class:`RunningCentres`.
        weights: from the mixture to W ``[M, d, h]``; None: ``experts.first_weight``.
        offset: from the mixture to the offsets ``[M, h]``; None: none.
        generator: of the noise.

    Raises:
        UserError: when called, for a router without rows (such as one that decides by losses) or experts without ``first_weight``.

    Example:
        >>> loss = ERCLoss(noise=False, rows=lambda mixture: torch.eye(2), weights=lambda mixture: torch.ones(2, 2, 3))
        >>> float(loss(None, None))
        0.0
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        normalize: bool = False,
        noise: bool = True,
        rows: Callable[[Any], Tensor] | None = None,
        weights: Callable[[Any], Tensor] | None = None,
        offset: Callable[[Any], Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.alpha, self.normalize, self.noise, self.generator = alpha, normalize, noise, generator
        self.rows, self.weights, self.offset = rows or _router_rows, weights or _first_weight, offset

    def __call__(self, output: RouteOutput | None, mixture: Any) -> Tensor:
        rows = self.rows(mixture)
        factors = proxy_noise(rows, generator=self.generator)[0] if self.noise else None
        offset = None if self.offset is None else self.offset(mixture)
        return erc_loss(
            rows, self.weights(mixture), alpha=self.alpha, factors=factors, offset=offset, normalize=self.normalize
        )


class RunningCentres(nn.Module):
    r"""The running mean of the inputs that each expert gets: rows for :class:`ERCLoss` where the router has none that fit.

    .. math:: c_m \leftarrow \mu c_m + (1 - \mu) \frac{\sum_t w_{tm} x_t}{\sum_t w_{tm}}

    graphkit's replacement for the router's rows. An expert that got nothing keeps its centre; the first input sets it.

    Args:
        num_experts: M.
        channels: d.
        momentum: mu.

    Example:
        >>> centres = RunningCentres(2, 1)
        >>> centres.update(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        >>> centres.centres.tolist()
        [[2.0], [0.0]]
    """

    centres: Tensor
    seen: Tensor

    def __init__(self, num_experts: int, channels: int, *, momentum: float = 0.99) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("centres", torch.zeros(num_experts, channels))
        self.register_buffer("seen", torch.zeros(num_experts, dtype=torch.bool))

    @torch.no_grad()
    def update(self, x: Tensor, weights: Tensor) -> None:
        """Take in the inputs ``[T, d]`` of a batch by the routing weights ``[T, M]``."""
        mass = weights.sum(0)
        mean = (weights.t() @ x / mass.clamp(min=_TINY).unsqueeze(1)).to(self.centres.dtype)
        moved = torch.where(self.seen.unsqueeze(1), torch.lerp(mean, self.centres, self.momentum), mean)
        got = mass > 0
        self.centres.copy_(torch.where(got.unsqueeze(1), moved, self.centres))
        self.seen |= got


class LocalityLoss:
    r"""Sends tokens to the experts that change least; keeps a copy of the experts' weights of the call before.

    .. math:: \sum_m \pi_m \|w_m^{(t)} - w_m^{(t-1)}\|, \qquad \pi_m = \operatorname{mean}_t w_{tm}

    The change is a constant: gradients reach the router alone. 0 in the first call.

    Args:
        parts: from the mixture to the tensors of each expert; None: ``experts`` is a sequence of modules.

    Source:
        Li et al., Theory on mixture-of-experts in continual learning (arXiv 2406.16437, ICLR 2025); the details are from memory.

    Example:
        >>> w = torch.zeros(2, 3)
        >>> loss = LocalityLoss(lambda mixture: [[row] for row in w])
        >>> out = RouteOutput(*[torch.tensor([[0.25, 0.75]])] * 3, None, None, {})
        >>> first = float(loss(out, None))
        >>> w[1] += 2.0
        >>> first, round(float(loss(out, None)), 4)
        (0.0, 2.5981)
    """

    def __init__(self, parts: Callable[[Any], Sequence[Iterable[Tensor]]] | None = None) -> None:
        self.parts = parts or (lambda mixture: [list(expert.parameters()) for expert in mixture.experts])
        self._before: list[Tensor] | None = None

    def __call__(self, output: RouteOutput, mixture: Any) -> Tensor:
        with torch.no_grad():
            now = [torch.cat([part.detach().reshape(-1) for part in parts]) for parts in self.parts(mixture)]
            before = now if self._before is None else self._before
            changed = torch.stack([torch.linalg.vector_norm(n - b) for n, b in zip(now, before, strict=True)])
        self._before = [vector.clone() for vector in now]
        weights = output.weights
        return (weights.mean(0) * changed.to(weights.dtype)).sum() if len(weights) else weights.sum()


def _router_rows(mixture: Any) -> Tensor:
    rows = getattr(getattr(mixture.router, "head", None), "weight", None)
    if rows is None:
        raise UserError(
            f"the router {type(mixture.router).__name__} has no row for each expert, which the coupling loss needs; "
            "use a linear or cosine head, or pass rows"
        )
    return rows


def _first_weight(mixture: Any) -> Tensor:
    weight = getattr(mixture.experts, "first_weight", None)
    if weight is None:
        raise UserError(f"the experts {type(mixture.experts).__name__} have no first_weight [M, d, h]; pass weights")
    return weight


def _entropy(probs: Tensor) -> Tensor:
    # the floor keeps the gradient of zeros finite; they add nothing to the value
    return -(probs * probs.clamp(min=torch.finfo(probs.dtype).tiny).log()).sum(-1)


def _counted(rows: Tensor, tokens: Tensor | None) -> Tensor:
    return rows if tokens is None else rows[tokens]


#: losses of a mixture by name
AUX_LOSSES: dict[str, Callable[..., AuxLoss]] = {
    "balance": SwitchBalance,
    "importance": lambda: lambda output, mixture: importance_loss(output.weights),
    "load": lambda: lambda output, mixture: output.aux["load"],
    "zloss": lambda: lambda output, mixture: z_loss(output.logits),
    "entropy": lambda: lambda output, mixture: entropy_pair(output.probs),
    "erc": ERCLoss,
    "locality": LocalityLoss,
}
