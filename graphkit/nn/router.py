"""A router: scores of experts, mixed over the graph, a choice among them, and weights that sum to 1."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest
from graphkit.nn.expert_selectors import SELECTORS, AllExperts, Selector
from graphkit.nn.probability_mixers import MIXERS, ProbMixer
from graphkit.nn.router_heads import HEADS, LogitHead
from graphkit.nn.routing import RouteInput, RouteOutput, masked_weights
from graphkit.nn.routing_losses import SelectionBias

__all__ = ["Router"]


class Router(nn.Module):
    r"""Decides which experts each token uses, and how much.

    .. math:: z = \text{head}(h), \quad p = \text{mix}(\operatorname{softmax} z), \quad S = \text{select}(p), \quad
        w_m = \frac{p_m [m \in S]}{\sum_{j \in S} p_j}

    Softmax over all experts comes first and the choice after it; choosing among logits and taking the softmax over the
    chosen gives the same weights but hides the probabilities that balance losses need. The softmax is taken in float32 (float64
    for float64 logits), under autocast too. Of equal probabilities the expert with the lower number is chosen.

    Any module that turns a :class:`RouteInput` into a :class:`RouteOutput` under the same rules, and has ``num_experts``, is a
    router too.

    Args:
        head: scores, a :class:`graphkit.nn.router_heads.LogitHead`.
        mixers: what is done to the probabilities before the choice, in order.
        selector: the choice; None: all experts.
        bias: a :class:`graphkit.nn.routing_losses.SelectionBias`, whose numbers are added to the logits for the choice alone;
            it moves after each call with ``train=True``.

    Attributes:
        num_experts: M.
        frozen: bool scalar, whether :meth:`freeze` was called; saved with the weights.

    ``aux`` of the output holds ``"active"``, the mean number of experts a token uses (the compute that counts), and
    what the head adds.

    Raises:
        UserError: states of another width, NaN among the scores, a graph that is missing or does not fit.

    Source:
        Shazeer et al., Outrageously large neural networks (ICLR 2017), eqs. 1-5, for the head with noise and the choice of the
        best k; this composition is graphkit's.

    Example:
        >>> router = Router.of(2, 3, selector="topk", selector_options={"k": 2})
        >>> out = router(RouteInput(torch.ones(4, 2)))
        >>> out.weights[0].tolist(), float(out.aux["active"])       # a linear head begins with zeros: ties
        ([0.5, 0.5, 0.0], 2.0)
    """

    frozen: Tensor

    def __init__(
        self,
        head: LogitHead,
        *,
        mixers: Iterable[ProbMixer] = (),
        selector: Selector | None = None,
        bias: SelectionBias | None = None,
    ) -> None:
        super().__init__()
        self.head = head
        self.num_experts = head.num_experts
        self.mixers = nn.ModuleList(mixers)
        self.selector = AllExperts() if selector is None else selector
        self.bias = bias
        if bias is not None and len(bias.bias) != self.num_experts:
            raise UserError(f"bias is for {len(bias.bias)} experts, expected {self.num_experts} as the head has")
        self.register_buffer("frozen", torch.tensor(False))

    @classmethod
    def of(
        cls,
        channels: int,
        num_experts: int,
        *,
        head: str = "linear",
        mixers: Iterable[str] = (),
        selector: str = "all",
        head_options: dict | None = None,
        mixer_options: dict | None = None,
        selector_options: dict | None = None,
        bias: SelectionBias | None = None,
    ) -> Router:
        """A router from names.

        Args:
            channels: d, width of the tokens' states.
            num_experts: M.
            head: ``"linear"``, ``"cosine"``, ``"mlp"``, ``"gnn"`` or ``"recurrent"``.
            mixers: any of ``"identity"``, ``"adjacency"``, ``"attention"``, ``"similarity"``.
            selector: ``"all"``, ``"topk"``, ``"topp"`` or ``"percentile"``.
            head_options: further arguments of the head.
            mixer_options: further arguments of the mixers, by their names, such as ``{"adjacency": {"beta": 0.3}}``.
            selector_options: further arguments of the selector.
            bias: as in the constructor.

        Raises:
            UserError: an unknown name, or options that do not fit.

        Example:
            >>> router = Router.of(8, 4, head="cosine", mixers=["adjacency"], selector="topp", selector_options={"p": 0.7})
            >>> type(router.head).__name__, type(router.selector).__name__
            ('CosineHead', 'TopP')
        """
        options = dict(mixer_options or {})
        mixers = list(mixers)
        for given, known, what in (
            ([head], HEADS, "head"),
            (mixers, MIXERS, "mixer"),
            ([selector], SELECTORS, "selector"),
        ):
            for name in given:
                if name not in known:
                    raise UserError(nearest(str(name), known, what))
        for name in options:
            if name not in mixers:
                raise UserError(
                    f"mixer_options has {name!r}, expected one of the mixers: {', '.join(mixers) or 'none'}"
                )
        try:
            return cls(
                HEADS[head](channels, num_experts, **(head_options or {})),
                mixers=[MIXERS[name](channels, **options.get(name, {})) for name in mixers],
                selector=SELECTORS[selector](**(selector_options or {})),
                bias=bias,
            )
        except TypeError as error:
            raise UserError(f"an option of the router does not fit: {error}") from error

    def forward(self, input: RouteInput) -> RouteOutput:
        """The decision for every token; T = 0 is allowed."""
        train = input.train and not bool(self.frozen)
        input = input._replace(train=train)
        logits, state = self.head(input)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if bool(torch.isnan(logits.detach()).any()):
            raise UserError("the router's scores are NaN; look at the states it is given, or lower its learning rate")
        with torch.autocast(logits.device.type, enabled=False):
            log_probs = logits.log_softmax(-1)
            probs = log_probs.exp()
            for mixer in self.mixers:
                probs = mixer(probs, input)
            if len(self.mixers):
                log_probs = probs.clamp(min=torch.finfo(probs.dtype).tiny).log()
            with torch.no_grad():
                chooser = log_probs if self.bias is None else log_probs + self.bias.bias.to(log_probs.dtype)
                mask = self.selector(chooser.softmax(-1), train=train)
                if self.bias is not None and train:
                    self.bias.update(mask)
            weights = masked_weights(log_probs, mask)
        aux = {"active": mask.sum(1).to(logits.dtype).mean() if len(mask) else logits.new_zeros(())}
        aux |= self.head.aux(input, logits, getattr(self.selector, "k", None))
        return RouteOutput(logits, probs, weights, mask, state, aux)

    def freeze(self) -> None:
        """End all learning of the router: no gradients, no noise, no moving thresholds or biases, for good."""
        self.frozen.fill_(True)
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> Router:
        """As in torch, but a frozen router stays in evaluation mode."""
        super().train(mode and not bool(self.frozen))
        return self
