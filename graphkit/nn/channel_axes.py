"""Which hidden channels the axes of an expert's tensors run over: what a permutation of channels has to move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from graphkit.errors import UserError

__all__ = ["ChannelAxes", "ChannelMap", "channel_map", "expert_states", "permuted"]

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class ChannelAxes:
    """The axes of a tensor: for each the name of its hidden channels, or None for an axis that stays (inputs, outputs).

    ``view`` is the shape under which the axes are meant, where it is not the tensor's own.
    """

    names: tuple[str | None, ...]
    view: tuple[int, ...] | None = None


@dataclass
class ChannelMap:
    """The axes of every tensor of an expert, by its name, and the number of heads of channels that have them.

    Channels of a space with H heads may be permuted within a head, and heads among themselves, but not across heads.

    Example:
        >>> channel_map(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))).spaces
        ['0']
    """

    tensors: dict[str, ChannelAxes] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)

    @property
    def spaces(self) -> list[str]:
        """Names of the hidden spaces, from the input to the output."""
        return list(self.heads)

    def add(self, name: str, *names: str | None, view: tuple[int, ...] | None = None) -> None:
        """Note the axes of a tensor."""
        self.tensors[name] = ChannelAxes(names, view)


def channel_map(expert: nn.Module) -> ChannelMap:
    """The hidden channels of an expert.

    Permuting channels commutes with propagation, with ReLU and its like, and with batch norm, so the function stays the
    same. Output channels stay: experts share what comes after them.

    Args:
        expert: PyG's ``GCN``, ``GraphSAGE``, ``GIN`` or ``GAT`` without jumping knowledge (``GAT``: channels within heads, and
            heads; the last layer's heads stay), a ``Sequential`` of linear maps, batch norms and activations, or a bank
            with stacked weights such as :class:`graphkit.nn.ExpertBank`, whose map is that of one expert.

    Raises:
        UserError: for another module, or a tensor in it whose channels are not known.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> axes = channel_map(GCN(3, 4, 2, 2)).tensors
        >>> axes["convs.0.lin.weight"].names, axes["convs.1.lin.weight"].names
        (('0', None), (None, '0'))
    """
    found = ChannelMap()
    if _is_bank(expert):
        _bank(found, expert)
    elif hasattr(expert, "convs"):
        _graph_layers(found, expert)
    elif isinstance(expert, nn.Sequential):
        _sequence(found, expert, "", None, None)
    else:
        raise UserError(
            f"the channels of {type(expert).__name__} are not known; expected PyG's GCN, GraphSAGE, GIN or GAT, a Sequential or an "
            "ExpertBank; or build a ChannelMap by hand"
        )
    for name, tensor in expert_states(expert)[0].items():
        if name not in found.tensors and tensor.is_floating_point() and tensor.numel() > 1:
            raise UserError(f"the channels of {name} {list(tensor.shape)} in {type(expert).__name__} are not known")
    return found


def expert_states(experts: Any) -> list[dict[str, Tensor]]:
    """The tensors of each expert, by name, detached.

    Args:
        experts: a sequence of modules, one module, or a bank with stacked weights ``[M, ...]``.

    Raises:
        UserError: for a bank whose experts share their weights.

    Example:
        >>> [sorted(state) for state in expert_states([nn.Linear(1, 1), nn.Linear(1, 1)])]
        [['bias', 'weight'], ['bias', 'weight']]
    """
    if _is_bank(experts):
        if experts.weight.size(0) != experts.num_experts:
            raise UserError("the experts of this bank share their weights; there is nothing to align or merge")
        return [
            {name: tensor.detach()[m] for name, tensor in experts.state_dict().items()}
            for m in range(experts.num_experts)
        ]
    if isinstance(experts, nn.Module) and (isinstance(experts, nn.Sequential) or not hasattr(experts, "__iter__")):
        experts = [experts]
    return [{name: tensor.detach() for name, tensor in expert.state_dict().items()} for expert in experts]


def permuted(state: State, permutations: Mapping[str, Tensor], channels: ChannelMap) -> dict[str, Tensor]:
    """The same function with its hidden channels in another order.

    Serves the state of an optimizer too, as moments have the shapes of their parameters.

    Args:
        state: tensors by name; those without a known axis are handed on.
        permutations: int64 for each space: channel i of the result is channel ``p[i]`` of the expert.
        channels: the axes.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> turned = permuted(expert_states(net)[0], {"0": Tensor([2, 0, 1]).long()}, channel_map(net))
        >>> (turned["0.weight"][0] == net[0].weight[2]).all().item(), (turned["2.weight"][:, 0] == net[2].weight[:, 2]).all().item()
        (True, True)
    """
    result = dict(state)
    for name, axes in channels.tensors.items():
        if name in state:
            tensor = state[name]
            viewed = tensor.reshape(axes.view) if axes.view else tensor
            for axis, space in enumerate(axes.names):
                if space is not None and space in permutations:
                    viewed = viewed.index_select(axis, permutations[space].to(tensor.device))
            result[name] = viewed.reshape(tensor.shape)
    return result


def _is_bank(experts: Any) -> bool:
    return isinstance(experts, nn.Module) and hasattr(experts, "num_experts") and hasattr(experts, "prompt_weight")


def _graph_layers(found: ChannelMap, expert: Any) -> None:
    if hasattr(expert, "lin") and expert.lin is not None:
        raise UserError("jumping knowledge mixes the channels of all layers; align experts without it (jk=None)")
    before: str | None = None
    for number, conv in enumerate(expert.convs):
        last, prefix = number == len(expert.convs) - 1, f"convs.{number}."
        after = None if last else str(number)
        kind = type(conv).__name__
        heads = getattr(conv, "heads", 1) if after is not None else 1
        if kind == "GINConv":
            _layers(found, conv.nn, prefix + "nn.", before, after)
        elif kind in ("GCNConv", "SAGEConv", "GATConv", "GATv2Conv"):
            if heads > 1 and not conv.concat:
                after, heads = None, 1
            for name, tensor in conv.state_dict().items():
                if name.startswith("att"):
                    found.add(prefix + name, after, view=(-1,))
                elif tensor.dim() == 2:
                    found.add(prefix + name, after, before)
                elif tensor.dim() == 1:
                    found.add(prefix + name, after)
        else:
            raise UserError(f"the channels of {kind} are not known; expected GCN, SAGE, GIN or GAT layers")
        if after is not None:
            found.heads[after] = heads
        before = after
    for number, norm in enumerate(expert.norms or []):
        space = str(number) if str(number) in found.heads else None
        for name, tensor in norm.state_dict().items():
            if tensor.dim() == 1:
                found.add(f"norms.{number}.{name}", space)


def _layers(found: ChannelMap, net: Any, prefix: str, before: str | None, after: str | None) -> None:
    """A perceptron inside a layer: a Sequential, or PyG's MLP with its lists of linear maps and norms."""
    if isinstance(net, nn.Sequential):
        _sequence(found, net, prefix, before, after)
        return
    if not hasattr(net, "lins"):
        raise UserError(f"the channels of {type(net).__name__} are not known; expected a Sequential or PyG's MLP")
    count = len(net.lins)
    inner = [f"{prefix}{i}" for i in range(count - 1)]
    # a norm with weights behind the last linear map is PyG's only with plain_last=False
    for i in range(count):
        out = after if i == count - 1 else inner[i]
        if i < count - 1:
            found.heads[inner[i]] = 1
        found.add(f"{prefix}lins.{i}.weight", out, before if i == 0 else inner[i - 1])
        if net.lins[i].bias is not None:
            found.add(f"{prefix}lins.{i}.bias", out)
    for i, norm in enumerate(net.norms):
        for name, tensor in norm.state_dict().items():
            if tensor.dim() == 1:
                found.add(f"{prefix}norms.{i}.{name}", inner[i] if i < count - 1 else after)


def _sequence(found: ChannelMap, net: nn.Sequential, prefix: str, before: str | None, after: str | None) -> None:
    linear = [i for i, layer in enumerate(net) if isinstance(layer, nn.Linear)]
    space = before
    for i, layer in enumerate(net):
        if isinstance(layer, nn.Linear):
            out = after if i == linear[-1] else f"{prefix}{i}"
            if out is not None and out != after:
                found.heads[out] = 1
            found.add(f"{prefix}{i}.weight", out, space)
            if layer.bias is not None:
                found.add(f"{prefix}{i}.bias", out)
            space = out
        else:
            for name, tensor in layer.state_dict().items():
                if tensor.dim() == 1:
                    found.add(f"{prefix}{i}.{name}", space)


def _bank(found: ChannelMap, bank: Any) -> None:
    """One expert of a stacked bank: first weight [parts, F, H], later ones [parts H, H], for gin a second map in each layer."""
    depth = len(bank.layers) + 1
    gin = len(bank.inner) > 0
    parts, width = bank.weight.size(1), bank.weight.size(3)
    after = [None if layer == depth - 1 else f"layer {layer}" for layer in range(depth)]
    middle = [f"layer {layer} inside" if gin else after[layer] for layer in range(depth)]
    for layer in range(depth):
        space, name = middle[layer], f"layers.{layer - 1}"
        if space is not None:
            found.heads[space] = 1
        if layer == 0:
            found.add("weight", None, None, space)
            found.add("prompt_weight", None, None, space)
            found.add("bias", space)
        else:
            found.add(f"{name}.weight", None, after[layer - 1], space, view=(parts, width, width))
            found.add(f"{name}.bias", space)
        if gin:
            out = after[layer]
            found.add(f"inner.{layer}.weight", space, out)
            found.add(f"inner.{layer}.bias", out)
            if out is not None:
                found.heads[out] = 1
