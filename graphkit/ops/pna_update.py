"""The linear map of PNA's features with the norm, the activation and the short cut behind it, without the features."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.errors import UserError
from graphkit.ops._library import call, define, no_second_derivative, public
from graphkit.ops.csr import CSRGraph

__all__ = ["DegreeClasses", "classes_of_degrees", "degree_classes", "pna_update"]

public("pna_update", "pna_update")


class DegreeClasses(NamedTuple):
    """Nodes grouped by degree, with PNA's scalers of each group.

    Attributes:
        order: int32 ``[N]``, nodes by rising degree.
        ptr: int64 ``[C + 1]``, the first entry of each class in ``order``.
        scale: float64 ``[C, 2]``, amplification and attenuation.

    Example:
        >>> classes = degree_classes(CSRGraph(torch.tensor([[0, 1, 2], [1, 0, 1]]), num_nodes=3))
        >>> classes.order.tolist(), classes.ptr.tolist()
        ([2, 0, 1], [0, 1, 2, 3])
    """

    order: Tensor
    ptr: Tensor
    scale: Tensor

    def per_node(self) -> Tensor:
        """The scalers of each node, float64 ``[N, 2]``."""
        out = self.scale.new_empty(len(self.order), 2)
        out[self.order.long()] = self.scale.repeat_interleave(self.ptr.diff(), 0)
        return out


def degree_classes(graph: CSRGraph, edge_mask: Tensor | None = None) -> DegreeClasses:
    r"""Degree classes of the nodes, the boundary message counted.

    With D the kept edges into a node plus one: amplification :math:`s = \log D / \mathrm{mean}_v \log D_v` (over all
    nodes), attenuation :math:`1 / \max(s, 0.01)`.

    Args:
        graph: N nodes.
        edge_mask: bool ``[E]``, False for edges that do not count.

    Source:
        Corso et al., Principal Neighbourhood Aggregation (NeurIPS 2020), eq. 5, as NBFNet uses it.

    Example:
        >>> graph = CSRGraph(torch.tensor([[0, 1], [1, 0]]), num_nodes=3)
        >>> degree_classes(graph).per_node()[:2].tolist()
        [[1.5, 0.6666666666666666], [1.5, 0.6666666666666666]]
    """
    degree = graph.in_degree(edge_mask) + 1
    return classes_of_degrees(degree, degree)


def classes_of_degrees(degree: Tensor, of_all: Tensor) -> DegreeClasses:
    """Degree classes of chosen nodes, or of nodes that occur several times.

    Args:
        degree: int64 ``[M]``, degrees of the nodes that are grouped, the boundary message counted.
        of_all: int64 ``[N]``, degrees of all nodes of the graph, whose mean scales.

    Example:
        >>> classes_of_degrees(torch.tensor([3, 1, 3]), torch.tensor([1, 3])).order.tolist()
        [1, 0, 2]
    """
    values, order = torch.sort(degree, stable=True)
    values, count = torch.unique_consecutive(values, return_counts=True)
    mean = of_all.to(torch.float64).log().sum() / max(len(of_all), 1)
    # no node has an edge: no degree stands out
    scale = values.to(torch.float64).log() / mean.clamp(min=torch.finfo(torch.float64).tiny)
    ptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
    return DegreeClasses(order.to(torch.int32), ptr, torch.stack([scale, 1 / scale.clamp(min=1e-2)], 1))


def pna_update(
    x: Tensor,
    features: Tensor,
    classes: DegreeClasses,
    weight: Tensor,
    bias: Tensor,
    *,
    norm_weight: Tensor | None = None,
    norm_bias: Tensor | None = None,
    eps: float = 1e-5,
    short_cut: bool = False,
) -> Tensor:
    r"""The next state from the state and PNA's four aggregates.

    .. math:: z_v = W [x_v;\; f_v \otimes (1, s_v, 1/\max(s_v, 0.01))] + b, \quad
        out_v = \mathrm{ReLU}(\mathrm{LayerNorm}(z_v)) \; (+ x_v)

    The scalers are the same for all nodes of a degree: the kernel folds W once per degree and multiplies the four
    aggregates with it, a third of the work of the written formula.

    Args:
        x: ``[B, N, D]``, float32 or float64 (bfloat16 is computed in float32).
        features: ``[B, N, 4, D]``, mean, max, min, std, as :func:`graphkit.ops.relational_pna` gives them.
        classes: :func:`degree_classes` of the graph.
        weight: ``[O, 13 D]``; columns: D of the state, then those of the features in the order (channel, aggregate, scaler).
        bias: ``[O]``.
        norm_weight, norm_bias: ``[O]``; without them no norm is taken.
        eps: of the norm.
        short_cut: adds x; needs O = D.

    Returns:
        ``[B, N, O]`` in the dtype of ``x``.

    Raises:
        UserError: shapes that do not fit.

    Source:
        Zhu et al., NBFNet (NeurIPS 2021), section 3.2, and Corso et al., PNA (NeurIPS 2020).

    Example:
        >>> graph = CSRGraph(torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> x, features = torch.ones(1, 2, 3), torch.ones(1, 2, 4, 3)
        >>> pna_update(x, features, degree_classes(graph), torch.ones(3, 39), torch.zeros(3))[0, 0].tolist()
        [39.0, 39.0, 39.0]
    """
    batches, nodes, channels = x.shape if x.dim() == 3 else (0, 0, 0)
    if x.dim() != 3 or features.shape != (batches, nodes, 4, channels):
        raise UserError(
            f"x has shape {tuple(x.shape)} and features {tuple(features.shape)}, expected [B, N, D] and [B, N, 4, D]"
        )
    if weight.dim() != 2 or weight.shape[1] != 13 * channels or bias.shape != weight.shape[:1]:
        raise UserError(f"weight has shape {tuple(weight.shape)}, expected [O, {13 * channels}], and bias [O]")
    if len(classes.order) != nodes:
        raise UserError(f"classes are of a graph of {len(classes.order)} nodes, x has {nodes}")
    if short_cut and weight.shape[0] != channels:
        raise UserError(f"the short cut adds {channels} channels to {weight.shape[0]}; they must be equal")
    if (norm_weight is None) != (norm_bias is None):
        raise UserError("pass both norm_weight and norm_bias, or neither")
    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    state, aggregates, weight, bias = (t.to(real).contiguous() for t in (x, features, weight, bias))
    norm = [None if t is None else t.to(real).contiguous() for t in (norm_weight, norm_bias)]
    out, _ = call(
        "pna_update", state, aggregates, classes.order, classes.ptr, classes.scale.to(real), weight, bias, *norm, float(eps),
        bool(short_cut),
    )  # fmt: skip
    return out.to(x.dtype)


def _blocks(weight: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Weights of the state [O, D] and of the features [3, O, 4 D], columns (aggregate, channel)."""
    of_state, of_features = weight.split([channels, 12 * channels], 1)
    return of_state, of_features.reshape(len(weight), channels, 4, 3).permute(3, 0, 2, 1).flatten(2)


def _scaled(ptr: Tensor, order: Tensor, scale: Tensor) -> Tensor:
    """[3, 1, N, 1]: one, amplification and attenuation of each node."""
    node = DegreeClasses(order, ptr, scale).per_node()
    return torch.stack([torch.ones_like(node[:, 0]), node[:, 0], node[:, 1]]).view(3, 1, -1, 1)


def _normed(z: Tensor, norm_weight: Tensor | None, norm_bias: Tensor | None, eps: float) -> Tensor:
    return z if norm_weight is None else torch.nn.functional.layer_norm(z, z.shape[-1:], norm_weight, norm_bias, eps)


def _forward(x: Tensor, features: Tensor, order: Tensor, ptr: Tensor, scale: Tensor, weight: Tensor, bias: Tensor,
             norm_weight: Tensor | None, norm_bias: Tensor | None, eps: float, short_cut: bool,
             ) -> tuple[Tensor, Tensor]:  # fmt: skip
    of_state, blocks = _blocks(weight, x.shape[2])
    parts = features.flatten(2) @ blocks.flatten(0, 1).t()
    z = x @ of_state.t() + bias
    for part, factor in zip(parts.unflatten(-1, (3, len(weight))).unbind(2), _scaled(ptr, order, scale), strict=True):
        z = z + part * factor
    out = _normed(z, norm_weight, norm_bias, eps).relu()
    return (out + x if short_cut else out), z


def _backward(x: Tensor, features: Tensor, order: Tensor, ptr: Tensor, scale: Tensor, weight: Tensor, bias: Tensor,
              norm_weight: Tensor | None, norm_bias: Tensor | None, z: Tensor, grad: Tensor, eps: float, short_cut: bool,
              ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    g = grad.masked_fill(_normed(z, norm_weight, norm_bias, eps) <= 0, 0)
    grad_norm_weight = grad_norm_bias = x.new_empty(0)
    if norm_weight is not None:
        centred = z - z.mean(-1, keepdim=True)
        rate = (centred.square().mean(-1, keepdim=True) + eps).rsqrt()
        unit = centred * rate
        grad_norm_weight, grad_norm_bias = (g * unit).sum((0, 1)), g.sum((0, 1))
        g = g * norm_weight
        g = (g - g.mean(-1, keepdim=True) - unit * (g * unit).mean(-1, keepdim=True)) * rate
    of_state, blocks = _blocks(weight, x.shape[2])
    grad_x = g @ of_state + (grad if short_cut else 0)
    factors = _scaled(ptr, order, scale)
    scaled = [(g * factor).flatten(0, 1) for factor in factors]
    flat = features.flatten(2)
    grad_features = sum(s @ block for s, block in zip(scaled, blocks, strict=True))
    per_scaler = torch.stack([s.t() @ flat.flatten(0, 1) for s in scaled], -1)  # [O, 4 D, 3]
    channels = x.shape[2]
    of_features = per_scaler.unflatten(1, (4, channels)).transpose(1, 2).reshape(len(weight), 12 * channels)
    grad_weight = torch.cat([g.flatten(0, 1).t() @ x.flatten(0, 1), of_features], 1)
    return grad_x, grad_features.view_as(features), grad_weight, g.sum((0, 1)), grad_norm_weight, grad_norm_bias


def _fake_forward(
    x: Tensor, features: Any, order: Any, ptr: Any, scale: Any, weight: Tensor, *_: Any
) -> tuple[Tensor, Tensor]:
    out = x.new_empty(*x.shape[:2], weight.shape[0])
    return out, torch.empty_like(out)


def _fake_backward(x: Tensor, features: Tensor, order: Any, ptr: Any, scale: Any, weight: Tensor, bias: Tensor,
                   norm_weight: Tensor | None, *_: Any) -> tuple[Tensor, ...]:  # fmt: skip
    norm = [x.new_empty(0) if norm_weight is None else torch.empty_like(norm_weight) for _ in range(2)]
    return torch.empty_like(x), torch.empty_like(features), torch.empty_like(weight), torch.empty_like(bias), *norm


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.eps, ctx.short_cut = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, output[1])


def _autograd(operators: Any, ctx: Any, grad: Tensor | None, _: Any) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * 11
    x, features, weight, bias, norm_weight, norm_bias = operators.pna_update_backward(
        *ctx.saved_tensors, grad.contiguous(), ctx.eps, ctx.short_cut
    )
    normed = ctx.saved_tensors[7] is not None
    return (
        x,
        features,
        None,
        None,
        None,
        weight,
        bias,
        norm_weight if normed else None,
        norm_bias if normed else None,
        None,
        None,
    )


_INPUTS = (
    "Tensor x, Tensor features, Tensor order, Tensor ptr, Tensor scale, Tensor weight, Tensor bias, Tensor? norm_weight, "
    "Tensor? norm_bias"
)

define(
    f"pna_update_backward({_INPUTS}, Tensor z, Tensor grad, float eps, bool short_cut)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward,
    fake=_fake_backward,
    backward=no_second_derivative,
)
define(
    f"pna_update({_INPUTS}, float eps, bool short_cut) -> (Tensor, Tensor)",
    _forward,
    fake=_fake_forward,
    setup_context=_setup_context,
    backward=_autograd,
)
