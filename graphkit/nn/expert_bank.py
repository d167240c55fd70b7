"""A bank of graph neural networks that read the same features: propagated once, computed in one batched pass."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest
from graphkit.nn.expert_linear import ExpertLinear, chosen_rows, fill_weight
from graphkit.nn.graph_propagation import GraphPropagation
from graphkit.nn.option_ranges import check_rates, check_sizes
from graphkit.nn.prompt_bank import PROMPT_MODES, PromptBank
from graphkit.ops import CSRGraph, SimpleGraph

__all__ = ["ExpertBank", "Neighbourhood", "PropagatedFeatures"]

_CONVOLUTIONS = ("gcn", "sage", "gin", "sgc")
_SHARINGS = ("separate", "shared")
#: glibc takes blocks of up to 32 MiB from memory that was freed before, and larger ones always from the system
_STATE_BYTES = 2**24


@dataclasses.dataclass(frozen=True, eq=False)
class PropagatedFeatures:
    """What the first layer of all experts reads.

    Args:
        propagation: the graph.
        x: ``[N, F]`` features.
        read: ``[N, q (F + 1)]``: first ``parts``, then ``columns``.
        constants: q.
    """

    propagation: GraphPropagation
    x: Tensor
    read: Tensor
    constants: int

    @property
    def parts(self) -> Tensor:
        """``[N, q F]``, :math:`\\hat A X`; for ``sage`` (q = 2) beside X itself."""
        return self.read[:, : -self.constants]

    @property
    def columns(self) -> Tensor:
        """``[N, q]``, what a constant feature becomes: :math:`\\hat A 1`, for ``sage`` beside 1."""
        return self.read[:, -self.constants :]


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbourhood:
    """What the states of some nodes depend on.

    Args:
        features: rows of the nodes that the second layer reads.
        steps: for each later layer the part of the graph and the rows that the next one reads, see
            :meth:`graphkit.nn.GraphPropagation.towards`.
        first: ``[n', M, H]``, first pre-activations without prompts where experts are frozen; None: they are not.
    """

    features: PropagatedFeatures
    steps: list[tuple[GraphPropagation, Tensor | None]]
    first: Tensor | None = None


class ExpertBank(nn.Module):
    r"""M graph neural networks with prompts, computed together.

    The first layer is linear in its input, so features are propagated once for all experts, and a prompt adds one outer product:

    .. math:: \hat A [X \| 1 p_m^\top] W_m = (\hat A X) W_m^x + (\hat A 1) (p_m^\top W_m^p)

    Later layers propagate all experts in one product of width M H. Layers of ``conv`` (:math:`\hat A` as in
    :class:`graphkit.nn.graph_propagation.GraphPropagation`), ReLU and dropout between them:

    ========  =====================================================
    ``gcn``   :math:`\hat A X W + b`
    ``sage``  :math:`\hat A X W + X W' + b`, mean over neighbours
    ``gin``   :math:`\mathrm{ReLU}(\hat A X W + b) W' + b'`
    ``sgc``   :math:`\hat A^L X W + b`, one linear map for all layers
    ========  =====================================================

    Args:
        in_channels: F, features of a node.
        prompt_channels: D, width of a prompt; with ``prompt_mode="add"`` F.
        hidden_channels: H.
        num_experts: M.
        num_layers: L.
        conv: as above.
        sharing: ``"separate"`` weights, or one network ``"shared"`` by all experts; then a prompt is all that tells them apart.
        dropout: of states between layers, one draw for all experts.
        prompt_mode: see :class:`graphkit.nn.PromptBank`; ``film`` needs ``sharing="shared"``.
        expert_chunk: experts computed at once; None: on a CPU as many as have states of 16 MiB together (larger ones are memory
            that is asked for and cleared anew each time), elsewhere all.

    Shapes: x ``[N, F]``, prompts a :class:`graphkit.nn.PromptBank`, its ``[M, D]`` or None, result ``[M', N, H]``.

    Raises:
        UserError: sizes or options out of range; features or prompts of another width.

    Source:
        GMoPE (arXiv 2511.03251); separate GCNs of three layers as an independent re-implementation has them.

    Example:
        >>> bank = ExpertBank(8, 4, 16, num_experts=3)
        >>> bank(torch.randn(5, 8), torch.tensor([[0, 1], [1, 2]]), torch.randn(3, 4)).shape
        torch.Size([3, 5, 16])
    """

    def __init__(
        self,
        in_channels: int,
        prompt_channels: int,
        hidden_channels: int,
        num_experts: int,
        num_layers: int = 3,
        *,
        conv: str = "gcn",
        sharing: str = "separate",
        dropout: float = 0.5,
        prompt_mode: str = "concat",
        expert_chunk: int | None = None,
    ) -> None:
        super().__init__()
        check_sizes(
            in_channels=in_channels, prompt_channels=prompt_channels, hidden_channels=hidden_channels,
            num_experts=num_experts, num_layers=num_layers, expert_chunk=expert_chunk or 1,
        )  # fmt: skip
        for name, choice, known in (
            ("convolution", conv, _CONVOLUTIONS), ("sharing", sharing, _SHARINGS), ("prompt_mode", prompt_mode, PROMPT_MODES),
        ):  # fmt: skip
            if choice not in known:
                raise UserError(nearest(str(choice), known, name))
        check_rates(dropout=dropout)
        if prompt_mode == "film" and sharing != "shared":
            raise UserError("prompt_mode 'film' scales the states of one network; pass sharing='shared'")
        if prompt_mode in ("add", "add_attn") and prompt_channels != in_channels:
            raise UserError(
                f"prompt_channels is {prompt_channels}, but prompt_mode {prompt_mode!r} adds prompts to features of {in_channels}; "
                "leave it out"
            )
        self.in_channels, self.prompt_channels, self.hidden_channels = in_channels, prompt_channels, hidden_channels
        self.num_experts, self.num_layers, self.conv, self.sharing = num_experts, num_layers, conv, sharing
        self.dropout, self.prompt_mode, self.expert_chunk = dropout, prompt_mode, expert_chunk
        groups, parts = (1 if sharing == "shared" else num_experts), (2 if conv == "sage" else 1)
        own = prompt_channels if prompt_mode == "concat" else 0
        self.weight = nn.Parameter(torch.empty(groups, parts, in_channels, hidden_channels))
        fill_weight(self.weight.data, in_channels + own, hidden_channels)
        self.prompt_weight: nn.Parameter | None = None
        if own:
            self.prompt_weight = nn.Parameter(torch.empty(groups, parts, own, hidden_channels))
            fill_weight(self.prompt_weight.data, in_channels + own, hidden_channels)
        self.bias = nn.Parameter(torch.zeros(groups, hidden_channels))
        deep = 0 if conv == "sgc" else num_layers - 1
        self.layers = nn.ModuleList(ExpertLinear(groups, parts * hidden_channels, hidden_channels) for _ in range(deep))
        inner = num_layers if conv == "gin" else 0
        self.inner = nn.ModuleList(ExpertLinear(groups, hidden_channels, hidden_channels) for _ in range(inner))

    # ---- what the first layer reads ------------------------------------------------------------------------------

    def propagation(self, graph: Any, num_nodes: int, removed: Tensor | None = None) -> GraphPropagation:
        """The propagation matrix of the experts' convolution on a graph (edges, or a propagation as it is)."""
        if isinstance(graph, GraphPropagation):
            return graph
        return GraphPropagation(graph, self.conv, num_nodes=num_nodes, removed=removed)

    def propagated(self, x: Tensor, graph: Any, *, removed: Tensor | None = None) -> PropagatedFeatures:
        """Features ``[N, F]`` propagated once for all experts."""
        if not isinstance(x, Tensor) or x.dim() != 2 or x.size(1) != self.in_channels:
            shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise UserError(f"x is {shape}, expected features [N, {self.in_channels}] as the experts were made for")
        matrix = self.propagation(graph, x.size(0), removed)
        one = x.new_ones(x.size(0), 1)
        both = torch.cat([x, one], 1)
        for _ in range(self.num_layers if self.conv == "sgc" else 1):
            both = matrix(both)
        if self.conv == "sage":
            both = torch.cat([both[:, :-1], x, both[:, -1:], one], 1)
        return PropagatedFeatures(matrix, x, both, 2 if self.conv == "sage" else 1)

    # ---- forward -------------------------------------------------------------------------------------------------

    def forward(
        self,
        x: Tensor | PropagatedFeatures,
        graph: Tensor | CSRGraph | SimpleGraph | GraphPropagation | None = None,
        prompts: PromptBank | Tensor | None = None,
        experts: Tensor | list[int] | None = None,
        *,
        removed: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """States ``[M', N, H]`` of the nodes.

        Args:
            x: ``[N, F]``, or what :meth:`propagated` made of it.
            graph: edges, a simple graph or a propagation; not needed beside propagated features.
            prompts: a prompt bank, its ``[M, D]``, or None for experts without prompts.
            experts: which experts, int64 ``[M']``; None: all.
            removed: uint8 ``[M]``, edges taken out.
            generator: of the dropout in training; None: torch's global stream.
        """
        features = x if isinstance(x, PropagatedFeatures) else self.propagated(x, graph, removed=removed)
        chosen = None if experts is None else torch.as_tensor(experts, device=self.bias.device)
        generator = _stream(self.bias.device) if generator is None else generator
        seed = generator.get_state()
        found = []
        for part in self._chunks(chosen, features.x):
            generator.set_state(seed)  # one draw for all experts
            prompt = self._prompt(prompts, part)
            z = self._prompted(features, prompt, part)
            if self.prompt_mode == "add_attn" and prompt is not None:
                z = z + self._attended(features, prompt, part)
            found.append(
                self.rest(z, [(features.propagation, None)] * len(self.layers), prompt, part, generator=generator)
            )
        return found[0] if len(found) == 1 else torch.cat(found)

    def first(self, features: PropagatedFeatures, experts: Tensor | None = None) -> Tensor:
        """First pre-activations without prompts, ``[N, M', H]`` (``[N, 1, H]`` of one network that all share)."""
        found = torch.addmm(chosen_rows(self.bias, experts).reshape(-1), features.parts, self._flat(experts))
        return found.view(len(found), -1, self.hidden_channels)

    def _flat(self, experts: Tensor | None) -> Tensor:
        """First weights ``[q F, M' H]``."""
        weight = chosen_rows(self.weight, experts)
        groups, parts, width, hidden = weight.shape
        return weight.permute(1, 2, 0, 3).reshape(parts * width, groups * hidden)

    def _constant(self, prompt: Tensor, experts: Tensor | None) -> Tensor:
        """What prompts ``[M', D]`` put into each column, ``[q, M', H]``."""
        source = self.weight if self.prompt_weight is None else self.prompt_weight
        weight = chosen_rows(source, experts).expand(prompt.size(0), -1, -1, -1)
        return torch.einsum("md,mqdh->qmh", prompt, weight)

    def _prompted(self, features: PropagatedFeatures, prompt: Tensor | None, experts: Tensor | None = None) -> Tensor:
        """:meth:`first` and :meth:`with_prompt`; in one product where each expert has its weights and prompts are vectors."""
        vectors = prompt is not None and self.prompt_mode in ("concat", "add")
        if prompt is None or not vectors or self.sharing == "shared":
            return self.with_prompt(self.first(features, experts), features.columns, prompt, experts)
        weight = torch.cat([self._flat(experts), self._constant(prompt, experts).flatten(1)])
        found = torch.addmm(chosen_rows(self.bias, experts).reshape(-1), features.read, weight)
        return found.view(len(found), -1, self.hidden_channels)

    def with_prompt(self, first: Tensor, columns: Tensor, prompt: Tensor | None, experts: Tensor | None) -> Tensor:
        """:meth:`first` with the outer products of the prompts, ``[N, M', H]``."""
        if prompt is None or self.prompt_mode == "add_attn":
            return first if experts is None or first.size(1) == len(experts) else first.expand(-1, len(experts), -1)
        if self.prompt_mode == "film":
            gamma, beta = self._film(prompt, 0)
            return torch.addcmul(beta, first, 1 + gamma)
        constant = self._constant(prompt, experts)
        if first.size(1) == prompt.size(0):
            flat = torch.addmm(first.flatten(1), columns, constant.flatten(1))
            return flat.view(first.shape)
        return first + (columns @ constant.flatten(1)).view(len(columns), *constant.shape[1:])

    def rest(
        self,
        z: Tensor,
        steps: list[tuple[GraphPropagation, Tensor | None]],
        prompt: Tensor | None,
        experts: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """States ``[M', n, H]`` from the first pre-activations ``[N, M', H]``; later layers follow ``steps``."""
        count = self.num_experts if experts is None else len(experts)
        states = z if z.size(1) == count else z.expand(-1, count, -1)
        if self.conv == "gin":
            states = self.inner[0](states.relu().transpose(0, 1), experts).transpose(0, 1)
        for number, (layer, (propagation, rows)) in enumerate(zip(self.layers, steps, strict=True), 1):
            states = _dropped(states.relu(), self.dropout if self.training else 0.0, generator)
            gathered = propagation(states.reshape(len(states), -1)).view(states.shape)
            if rows is not None:
                gathered, states = gathered[rows], states[rows]
            read = torch.cat([gathered, states], 2) if self.conv == "sage" else gathered
            out = layer(read.transpose(0, 1), experts)
            if self.conv == "gin":
                out = self.inner[number](out.relu(), experts)
            if self.prompt_mode == "film" and prompt is not None:
                gamma, beta = self._film(prompt, number)
                out = torch.addcmul(beta[:, None], out, 1 + gamma[:, None])
            states = out.transpose(0, 1)
        return states.transpose(0, 1)

    # ---- some nodes alone ----------------------------------------------------------------------------------------

    def around(self, features: PropagatedFeatures, nodes: Tensor, *, frozen: bool = False) -> Neighbourhood:
        """What the states of some nodes depend on: rows of features that are L - 1 hops away at most.

        Args:
            features: of the whole graph.
            nodes: int64 ``[n]``.
            frozen: whether everything that prompts do not change is computed now, once and for all.

        Raises:
            UserError: with ``add_attn``, whose prompts are no outer products.
        """
        if self.prompt_mode == "add_attn":
            raise UserError("prompts of 'add_attn' differ from node to node, so nothing is cached; pass cached=False")
        inside, steps = features.propagation.towards(nodes, len(self.layers))
        part = dataclasses.replace(features, x=features.x[inside], read=features.read[inside])
        with torch.no_grad():
            first = self.first(part) if frozen else None
        return Neighbourhood(part, steps, first)

    def states_of(self, near: Neighbourhood, prompts: PromptBank | Tensor | None) -> Tensor:
        """States ``[M, n, H]`` of the nodes that :meth:`around` was asked for."""
        prompt = self._prompt(prompts, None)
        if near.first is None:
            return self.rest(self._prompted(near.features, prompt), near.steps, prompt)
        return self.rest(self.with_prompt(near.first, near.features.columns, prompt, None), near.steps, prompt)

    # ---- parts ---------------------------------------------------------------------------------------------------

    def noisy(self, share: float, generator: torch.Generator) -> dict[str, Tensor]:
        """Detached weights with Gaussian noise of ``share`` times the standard deviation of each expert's tensor.

        The noise is drawn once and scaled for each expert, so all experts are judged on the same draw.
        """
        found = {}
        for name, parameter in self.named_parameters():
            value = parameter.detach()
            noise = torch.randn(value.shape[1:], generator=generator, device=value.device, dtype=value.dtype)
            deviation = value.flatten(1).std(1, correction=0).view(-1, *[1] * (value.dim() - 1))
            found[name] = value + share * deviation * noise
        return found

    def _chunks(self, experts: Tensor | None, x: Tensor) -> list[Tensor | None]:
        count = self.num_experts if experts is None else len(experts)
        chunk = self.expert_chunk or count
        if self.expert_chunk is None and x.device.type == "cpu":
            most = max(1, _STATE_BYTES // (x.size(0) * self.hidden_channels * x.element_size()))
            chunk = -(-count // -(-count // most))  # of equal size
        if chunk >= count:
            return [experts]
        every = torch.arange(self.num_experts, device=self.bias.device) if experts is None else experts
        return list(every.split(chunk))

    def _prompt(self, prompts: PromptBank | Tensor | None, experts: Tensor | None) -> Tensor | None:
        if prompts is None:
            return None
        prompt = prompts.prompt if isinstance(prompts, PromptBank) else prompts
        mode = prompts.mode if isinstance(prompts, PromptBank) else self.prompt_mode
        width = {"concat": self.prompt_channels, "add": self.in_channels}.get(self.prompt_mode, prompt.size(-1))
        if mode != self.prompt_mode or prompt.dim() != 2 or tuple(prompt.shape) != (self.num_experts, width):
            raise UserError(
                f"prompts are {mode!r} {list(prompt.shape)}, expected {self.prompt_mode!r} [{self.num_experts}, {width}]; make "
                "both with the same sizes"
            )
        return prompt if experts is None else prompt.index_select(0, experts)

    def _film(self, prompt: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        width = 2 * self.hidden_channels
        gamma, beta = prompt[:, layer * width : (layer + 1) * width].view(len(prompt), 2, -1).unbind(1)
        return gamma, beta

    def _attended(self, features: PropagatedFeatures, prompt: Tensor, experts: Tensor | None) -> Tensor:
        """The share of ``add_attn`` in the first pre-activations: attention is propagated, not what it adds; ``[N, M', H]``."""
        count, channels = len(prompt), self.in_channels
        keys, vectors = prompt.view(count, 2, -1, channels).unbind(1)
        basis = keys.size(1)
        attention = (features.x @ keys.reshape(-1, channels).t()).view(-1, count, basis).softmax(2)
        spread = attention.reshape(len(attention), -1)
        for _ in range(self.num_layers if self.conv == "sgc" else 1):
            spread = features.propagation(spread)
        weight = chosen_rows(self.weight, experts).expand(count, -1, -1, -1)
        total: Tensor | None = None
        for part, values in enumerate([spread, attention.flatten(1)][: weight.size(1)]):
            mixed = torch.bmm(vectors, weight[:, part])
            product = torch.bmm(values.view(-1, count, basis).transpose(0, 1), mixed).transpose(0, 1)
            total = product if total is None else total + product
        assert total is not None
        return total


def _stream(device: torch.device) -> torch.Generator:
    """Torch's global stream of random numbers of a device."""
    return torch.default_generator if device.type == "cpu" else torch.cuda.default_generators[torch.cuda.current_device()]


def _dropped(states: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
    """Dropout of ``[N, M, H]`` with one mask for all experts."""
    if p == 0.0:
        return states
    shape = (states.size(0), 1, states.size(2))
    keep = torch.rand(shape, generator=generator, device=states.device) >= p
    return states * (keep.to(states.dtype) / (1 - p))
