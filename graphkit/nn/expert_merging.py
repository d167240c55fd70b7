"""Fewer experts after training: those with similar use are aligned and averaged, and the router goes on as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.errors import UserError
from graphkit.nn.channel_axes import ChannelMap, State, channel_map, expert_states, permuted
from graphkit.nn.expert_alignment import align_expert, expert_distance
from graphkit.nn.expert_selectors import TopK
from graphkit.nn.mixture import Mixture
from graphkit.nn.router_heads import LogitHead
from graphkit.nn.routing import RouteInput, RouteOutput

__all__ = [
    "AliasedExperts",
    "GroupedHead",
    "MergeReport",
    "distillation_loss",
    "group_experts",
    "merge_experts",
    "merge_mixture",
    "merged_prompt",
    "parameter_count",
    "routing_statistics",
]


@dataclass(frozen=True)
class MergeReport:
    """What a merge did.

    Args:
        alias: the merged expert that stands for each expert, int64 ``[M]``.
        usage: share of assignments of each expert, ``[M]``; sums to 1.
        before: distance of each expert's weights to those of the one it was aligned to, ``[M]``.
        after: the same after alignment.
        parameters: numbers of the experts before and after; an expert that stands for several counts once.
    """

    alias: Tensor
    usage: Tensor
    before: list[float]
    after: list[float]
    parameters: tuple[int, int]


def routing_statistics(outputs: Iterable[RouteOutput]) -> tuple[Tensor, Tensor]:
    """Use and scores of the experts over a small sample.

    Args:
        outputs: decisions of a router, batch by batch; 256 tokens were enough for the paper.

    Returns:
        (share of assignments ``[M]``, sums to 1; logits ``[T, M]``).

    Raises:
        UserError: no decisions.

    Example:
        >>> p = torch.tensor([[0.75, 0.25]])
        >>> routing_statistics([RouteOutput(p.log(), p, p, p > 0.5, None, {})])[0].tolist()
        [1.0, 0.0]
    """
    outputs = list(outputs)
    if not sum(len(output.mask) for output in outputs):
        raise UserError("there are no decisions to take statistics of; run the router on a sample first")
    used = torch.cat([output.mask for output in outputs]).sum(0).double()
    return used / used.sum(), torch.cat([output.logits.detach() for output in outputs])


def group_experts(usage: Sequence[Tensor], logits: Sequence[Tensor], keep: int) -> list[Tensor]:
    r"""Which experts go together, over all layers of a model.

    The ``keep`` most used experts of all layers stay, at least one in each layer; every other one joins the one of its layer whose
    logits are most similar over the tokens (cosine). Equal use goes by layer and number, so exactly ``keep`` stay.

    Args:
        usage: share of assignments in each layer, ``[M_l]``.
        logits: scores in each layer, ``[T, M_l]``.
        keep: experts that stay, over all layers.

    Returns:
        for each layer int64 ``[M_l]``, the group of each expert; groups are numbered by their most used experts' numbers.

    Raises:
        UserError: ``keep`` below the number of layers or above that of experts, shapes that do not fit.

    Source:
        Li et al., Merge, then compress (arXiv 2310.01334), and its code.

    Example:
        >>> z = torch.tensor([[3.0, 2.9, -1.0], [-1.0, -1.1, 2.0]])
        >>> group_experts([torch.tensor([0.5, 0.1, 0.4])], [z], 2)
        [tensor([0, 0, 1])]
    """
    total = sum(len(use) for use in usage)
    if len(usage) != len(logits) or any(
        z.dim() != 2 or z.size(1) != len(use) for use, z in zip(usage, logits, strict=False)
    ):
        raise UserError("usage and logits do not fit, expected [M] and [T, M] for each layer")
    if not len(usage) <= keep <= total:
        raise UserError(f"keep is {keep}, expected from {len(usage)} (one a layer) to {total} experts")
    rank = []
    for layer, use in enumerate(usage):
        best = int(use.argmax())
        rank += [(-(1.0 if m == best else float(use[m])), m != best, layer, m) for m in range(len(use))]
    stay = {(layer, m) for _, _, layer, m in sorted(rank)[:keep]}
    alias = []
    for layer, z in enumerate(part.cpu() for part in logits):
        dominant = [m for m in range(z.size(1)) if (layer, m) in stay]
        similar = F.normalize(z.double(), dim=0, eps=1e-12)
        nearest = (similar.t() @ similar[:, dominant]).argmax(1)
        nearest[dominant] = torch.arange(len(dominant))
        alias.append(nearest)
    return alias


def merge_experts(
    states: Sequence[State],
    alias: Tensor,
    usage: Tensor,
    channels: ChannelMap,
    *,
    align: bool = True,
    fisher: Sequence[State] | None = None,
) -> tuple[list[dict[str, Tensor]], list[float], list[float]]:
    r"""One expert for each group: the mean weighted by use, after the hidden channels are brought into one order.

    .. math:: W = \frac{\sum_{e} f_e P_e W_e}{\sum_{e} f_e}

    The most used expert of a group sets the order. Averaging without alignment is the classical failure. Use says nothing about
    importance: where a rarely used specialist matters, pass ``fisher``.

    Args:
        states: tensors of each expert (:func:`graphkit.nn.channel_axes.expert_states`).
        alias: the group of each expert, int64 ``[M]``, numbers from 0 without gaps.
        usage: f, ``[M]``; in a group without use all count alike.
        channels: the axes of an expert.
        align: whether channels are brought into order.
        fisher: diagonal Fisher information of each expert's tensors, which then weighs entry by entry instead of ``usage``.

    Returns:
        (tensors of the merged experts; distance of each expert to the first of its group before; and after alignment).

    Raises:
        UserError: numbers that do not fit.

    Source:
        Li et al. (arXiv 2310.01334).

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
        >>> states, channels = expert_states([net, net]), channel_map(net)
        >>> merged, before, after = merge_experts(states, torch.tensor([0, 0]), torch.tensor([0.5, 0.5]), channels)
        >>> len(merged), torch.equal(merged[0]["0.weight"], net[0].weight), after
        (1, True, [0.0, 0.0])
    """
    count = len(states)
    if len(alias) != count or len(usage) != count or (fisher is not None and len(fisher) != count):
        raise UserError(
            f"there are {count} experts, but {len(alias)} groups and {len(usage)} shares of use; one each is expected"
        )
    groups = int(alias.max()) + 1
    if alias.unique().tolist() != list(range(groups)):
        raise UserError(f"groups are {alias.unique().tolist()}, expected numbers from 0 without gaps")
    merged, before, after = [], [0.0] * count, [0.0] * count
    for group in range(groups):
        members = (alias == group).nonzero().squeeze(1).tolist()
        first = max(members, key=lambda m: (float(usage[m]), -m))
        turned, information = {}, {}
        for m in members:
            before[m] = expert_distance(states[first], states[m], channels)
            if align and m != first:
                found = align_expert(states[first], states[m], channels)
                turned[m] = permuted(states[m], found.permutations, channels)
                after[m] = found.after
            else:
                found = None
                turned[m], after[m] = dict(states[m]), before[m]
            if fisher is not None:
                information[m] = fisher[m] if found is None else permuted(fisher[m], found.permutations, channels)
        share = usage[members].double()
        share = share / share.sum() if float(share.sum()) > 0 else torch.full_like(share, 1 / len(members))
        mean = {}
        for name, tensor in turned[first].items():
            if not tensor.is_floating_point() or len(members) == 1:
                mean[name] = tensor.clone()
                continue
            weights: Sequence[Any] = share.tolist()
            if fisher is not None and name in information[first]:
                weights = [information[m][name].double() + 1e-12 for m in members]
                total = sum(weights)
                weights = [weight / total for weight in weights]
            blended = sum(weight * turned[m][name].double() for weight, m in zip(weights, members, strict=True))
            assert isinstance(blended, Tensor)
            mean[name] = blended.to(tensor.dtype)
        merged.append(mean)
    return merged, before, after


class AliasedExperts(nn.Module):
    """A bank in which one expert may stand for several numbers, so that a router goes on unchanged.

    Each expert is there once, so optimizers and counts see it once.

    Args:
        experts: the bank of the G experts that are left.
        alias: which of them answers for each number, int64 ``[M]``.

    Example:
        >>> bank = AliasedExperts(lambda x, adj: torch.stack([x, 2 * x]), torch.tensor([0, 1, 1]))
        >>> bank(torch.ones(1, 1)).flatten().tolist()
        [1.0, 2.0, 2.0]
    """

    alias: Tensor

    def __init__(self, experts: Any, alias: Tensor) -> None:
        super().__init__()
        self.experts = experts
        self.register_buffer("alias", alias)

    def __len__(self) -> int:
        return len(self.alias)

    def forward(self, x: Tensor, adj: Any = None) -> Tensor:
        return self.experts(x, adj)[self.alias]


class GroupedHead(LogitHead):
    r"""A head with one score for each group of merged experts.

    .. math:: z_g = \log \sum_{m \in g} e^{z_m}

    The probability of a group is then the sum of its members', so with all experts in use the mixture says the same as with
    aliases.

    Args:
        head: the head before the merge.
        alias: the group of each expert, int64 ``[M]``.

    Example:
        >>> from graphkit.nn.router_heads import LinearHead
        >>> head = GroupedHead(LinearHead(2, 3), torch.tensor([0, 1, 1]))
        >>> head(RouteInput(torch.ones(1, 2)))[0].softmax(1)
        tensor([[0.3333, 0.6667]], grad_fn=<SoftmaxBackward0>)
    """

    alias: Tensor

    def __init__(self, head: LogitHead, alias: Tensor) -> None:
        super().__init__(head.channels, int(alias.max()) + 1)
        if len(alias) != head.num_experts:
            raise UserError(f"alias is for {len(alias)} experts, expected {head.num_experts} as the head has")
        self.head = head
        self.register_buffer("alias", alias)

    def forward(self, input: RouteInput) -> tuple[Tensor, Any]:
        logits, state = self.head(input)
        apart = [logits[:, self.alias == group].logsumexp(1) for group in range(self.num_experts)]
        return torch.stack(apart, 1), state


def merge_mixture(
    mixture: Mixture,
    usage: Tensor,
    *,
    logits: Tensor | None = None,
    keep: int | None = None,
    groups: Tensor | None = None,
    align: bool = True,
    channels: ChannelMap | None = None,
    fisher: Sequence[State] | None = None,
) -> tuple[Mixture, MergeReport]:
    """A mixture with fewer experts; the given one is left alone.

    The router is copied as it is: merged experts become aliases of one. A top-k selector then never spends two slots on
    one expert. Run both on a probe set and compare losses before you trust it, and recover by
    :func:`distillation_loss` if need be.

    Args:
        mixture: experts are an :class:`graphkit.nn.ExpertList` of known modules or a bank with stacked weights.
        usage: share of assignments, ``[M]`` (:func:`routing_statistics`).
        logits: scores over a sample, ``[T, M]``; needed with ``keep``.
        keep: number of experts that stay.
        groups: instead of ``keep``: the group of each expert, int64 ``[M]``.
        align, channels, fisher: as in :func:`merge_experts`; channels None: those of :func:`channel_map`.

    Returns:
        (the new mixture, a :class:`MergeReport`).

    Raises:
        UserError: neither or both of ``keep`` and ``groups``, modules whose channels are not known.

    Source:
        Li et al. (arXiv 2310.01334). For graph layers of any depth it is graphkit's extension.

    Example:
        >>> from graphkit.nn import ExpertList, Router
        >>> experts = [nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)) for _ in range(3)]
        >>> mixture = Mixture(ExpertList(experts, per_token=True), Router.of(2, 3))
        >>> fewer, report = merge_mixture(mixture, torch.ones(3) / 3, groups=torch.tensor([0, 0, 1]))
        >>> report.parameters, fewer(torch.ones(5, 2))[0].shape
        ((51, 34), torch.Size([5, 1]))
    """
    if (keep is None) == (groups is None):
        raise UserError("pass either keep, the number of experts that stay, or groups, the group of each expert")
    if groups is None:
        if logits is None:
            raise UserError("keep needs logits [T, M] of a sample, by whose similarity experts are grouped")
        (groups,) = group_experts([usage], [logits], int(keep or 0))
    experts, groups = mixture.experts, groups.cpu()
    states = expert_states(experts)
    if channels is None:
        channels = channel_map(experts.experts[0] if hasattr(experts, "experts") else experts)
    merged, before, after = merge_experts(states, groups, usage, channels, align=align, fisher=fisher)
    result = copy.deepcopy(mixture)
    place = next((part.device for part in mixture.parameters()), groups.device)
    result.experts = AliasedExperts(_bank_of(experts, merged, groups), groups.to(place))
    result.dispatch = "dense"
    selector = getattr(result.router, "selector", None)
    if isinstance(selector, TopK):
        selector.alias = groups.to(place)
    share = usage / usage.sum() if float(usage.sum()) > 0 else usage
    report = MergeReport(groups, share, before, after, (parameter_count(experts), parameter_count(result.experts)))
    return result, report


def merged_prompt(prompts: Tensor, prompt_weights: Tensor, usage: Tensor, merged_weight: Tensor) -> Tensor:
    r"""The prompt of a merged expert: its part of the first layer comes closest to the mean of its members' parts.

    .. math:: \min_p \Big\| p^\top W^p - \frac{\sum_m f_m p_m^\top W_m^p}{\sum_m f_m} \Big\|_2

    Exact where that mean lies in the row space of W^p. Align the prompt weights before.

    Args:
        prompts: ``[G, D]`` of the members.
        prompt_weights: ``[G, D, H]``.
        usage: f, ``[G]``.
        merged_weight: W^p of the merged expert, ``[D, H]``.

    Returns:
        ``[D]``, the shortest among the best.

    Example:
        >>> merged_prompt(torch.ones(2, 1), torch.tensor([[[1.0, 2.0]], [[3.0, 6.0]]]), torch.ones(2), torch.tensor([[2.0, 4.0]]))
        tensor([1.])
    """
    wanted = torch.einsum("g,gd,gdh->h", usage / usage.sum(), prompts, prompt_weights)
    return torch.linalg.pinv(merged_weight.double().t()).matmul(wanted.double()).to(prompts.dtype)


def distillation_loss(
    student: Tensor, teacher: Tensor, task_loss: Tensor | float = 0.0, *, temperature: float = 2.0, weight: float = 0.2
) -> Tensor:
    r"""Recovery after a merge: the task's loss, and the outputs before the merge.

    .. math:: L_{task} + w\, T^2 \operatorname{KL}\big(\operatorname{softmax}(t / T) \,\|\, \operatorname{softmax}(s / T)\big)

    Args:
        student: logits ``[B, C]`` of the merged mixture.
        teacher: logits ``[B, C]`` of the mixture before; no gradient.
        task_loss: the task's own loss.
        temperature: T.
        weight: w.

    Source:
        Li et al. (arXiv 2310.01334): temperature 2, weight 0.2; the factor T^2 is Hinton's (2015).

    Example:
        >>> z = torch.tensor([[1.0, 2.0]])
        >>> float(distillation_loss(z, z))
        0.0
    """
    target = (teacher.detach() / temperature).log_softmax(1)
    apart = F.kl_div((student / temperature).log_softmax(1), target, reduction="batchmean", log_target=True)
    return task_loss + weight * temperature**2 * apart


def parameter_count(experts: Any) -> int:
    """Numbers in the parameters of a bank; shared ones count once.

    Example:
        >>> one = nn.Linear(2, 3)
        >>> parameter_count(nn.ModuleList([one, one]))
        9
    """
    return sum(parameter.numel() for parameter in experts.parameters()) if isinstance(experts, nn.Module) else 0


def _bank_of(experts: Any, merged: Sequence[State], groups: Tensor) -> nn.Module:
    """A bank like the given one with the merged tensors."""
    if hasattr(experts, "experts"):
        bank = copy.deepcopy(experts)
        bank.experts = nn.ModuleList(bank.experts[int((groups == group).nonzero()[0])] for group in range(len(merged)))
        for expert, state in zip(bank.experts, merged, strict=True):
            expert.load_state_dict(dict(state))
        return bank
    bank = copy.deepcopy(experts)
    bank.num_experts = len(merged)
    for name, parameter in list(bank.named_parameters()):
        module, _, leaf = name.rpartition(".")
        stacked = torch.stack([state[name] for state in merged])
        setattr(bank.get_submodule(module), leaf, nn.Parameter(stacked, requires_grad=parameter.requires_grad))
    return bank
