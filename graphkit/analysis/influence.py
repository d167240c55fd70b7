"""How far a model really looks: the influence of features at each hop on its answers, by Jacobians."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphkit.analysis.ball_blocks import BallBlock, ball_blocks
from graphkit.analysis.first_linear import captured_output, first_linear
from graphkit.analysis.influence_jacobian import INFLUENCE_NORMS, jacobian_norms, probed_norms
from graphkit.analysis.influence_report import InfluenceReport
from graphkit.analysis.layer_trimming import trimmed_layers
from graphkit.analysis.measured_nodes import measured_nodes
from graphkit.analysis.message_sums import SourceGradients
from graphkit.analysis.model_calls import ModelCall, Output, measured_model
from graphkit.analysis.receptive_field import Locality, locality_of
from graphkit.errors import DataWarning, UserError, nearest
from graphkit.ops import HopGraph, hop_balls, hop_bincount
from graphkit.ops.hop_distance import HOP_DIRECTIONS

__all__ = ["influence", "total_influence"]

_METHODS = ("exact", "full", "probe")
_BLOCK_NODES = 2500  # the states of a block stay in a core's cache
_DENSE_BYTES = 1 << 27  # of influences on all nodes that are held before they are summed by hop


def influence(
    model: torch.nn.Module,
    data: Any,
    max_hops: int = 16,
    nodes: Any = None,
    method: str = "exact",
    *,
    norm: str | None = None,
    output: Output = "logits",
    inputs: Sequence[str] = (),
    receptive_hops: int | None = None,
    direction: str | None = None,
    halo: int | None = None,
    stratify: str | Tensor | None = None,
    probes: int = 16,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    block_nodes: int = _BLOCK_NODES,
    progress: Callable[[int, int], object] | None = None,
) -> InfluenceReport:
    r"""Influence of the features at every hop on the outputs of a trained or untrained model.

    .. math:: I(v, u) = \sum_{c, j} \left| \frac{\partial f(X)_{v, c}}{\partial X_{u, j}} \right|, \quad
        T_h(v) = \sum_{u: hop(v, u) = h} I(v, u), \quad R = \frac1S \sum_v \frac{\sum_h h T_h(v)}{\sum_h T_h(v)}

    Hops are counted against the messages: hop(v, u) = 1 where u sends to v. The model is put into evaluation mode and gets its
    mode back; its parameters and their gradients stay as they are.

    Args:
        model: graphkit's node models, or any module with PyG's calling form ``model(x, edge_index, ...)``.
        data: PyG's container with ``x`` ``[N, F]`` (floating point) and ``edge_index``, or a
            :class:`graphkit.data.NodeTask`.
        max_hops: H; what lies farther is summed in ``truncated``.
        nodes: int64 ids ``[S]`` of the nodes v; a number of nodes to draw; None: 1000 drawn, or all where there are fewer.
        method: ``"exact"``: a backward pass for each output; balls of the hops that the model looks, many at once, where these
            are known, else the whole graph. ``"full"``: the whole graph in any case. ``"probe"``: random signs instead of
            every output, for many classes.
        norm: ``"l1"`` as above, ``"fro"`` (root of the sum of squares) or ``"squared"`` (that sum: its R is far smaller and not
            the published one); None: ``"l1"``, with probes ``"fro"``, which is what they estimate.
        output: ``"logits"``: what the model returns; ``"prob"``: its softmax; or a function of the outputs ``[S, C]``.
        inputs: names of what else the model is given, such as ``("edge_weight",)``.
        receptive_hops: hops that the model looks at most, if you know better than it does.
        direction: edges to count hops along, ``"in"``, ``"out"`` or ``"both"``; None: as the model says in ``message_direction``,
            else ``"in"``.
        halo: radius of the balls less ``max_hops``, as in the published script, whose 0 cuts edges at the border and so changes
            degrees; None: one hop more than the model looks, which is exact.
        stratify: when nodes are drawn, ``"class"``, ``"degree"`` (in doublings) or int64 strata ``[N]`` that are drawn from in
            proportion; None: evenly.
        probes: random signs a node, for ``"probe"``.
        seed: of the drawn nodes and signs.
        dtype: to compute in, such as ``torch.float64`` for tails below 1e-7; None: as the model is.
        device: to compute on; None: where the model is.
        block_nodes: nodes of the balls that are computed together.
        progress: called with (done, in all) nodes.

    Returns:
        :class:`InfluenceReport`, with ``per_hop`` ``[H + 1]`` (mean of T, not normalised) and ``radius`` (R).

    Raises:
        UserError: for data or options that do not fit, and for ``receptive_hops`` of a model that couples all nodes.

    Source:
        Liang, Borde, Sripathmanathan, Bronstein, Dong, Towards Quantifying Long-Range Interactions in Graph Machine Learning
        (ICLR 2026).

    Example:
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.nn import SGConv
        >>> path = torch.stack([torch.arange(9), torch.arange(1, 10)])
        >>> data = Data(x=torch.ones(10, 1), edge_index=torch.cat([path, path.flip(0)], 1))
        >>> found = influence(SGConv(1, 1, K=2), data, max_hops=3, nodes=torch.tensor([5]))
        >>> [round(float(share), 3) for share in found.per_hop / found.per_hop.sum()]
        [0.333, 0.444, 0.222, 0.0]
    """
    started = time.perf_counter()
    data = data.graph() if hasattr(data, "nodes_of") and hasattr(data, "graph") else data
    x, edge_index = _features(data)
    _check(max_hops, method, probes, block_nodes, receptive_hops, halo)
    norm = ("fro" if method == "probe" else "l1") if norm is None else norm
    if norm not in INFLUENCE_NORMS:
        raise UserError(nearest(str(norm), INFLUENCE_NORMS, "norm"))
    if method == "probe" and norm == "l1":
        raise UserError(
            "probes of random signs estimate the Frobenius norm, not l1; give norm='fro', or method='exact', whose cost is one "
            "backward pass for each output"
        )
    if direction is not None and direction not in HOP_DIRECTIONS:
        raise UserError(nearest(str(direction), HOP_DIRECTIONS, "direction"))
    graph = HopGraph(edge_index, num_nodes=len(x))
    seeds = measured_nodes(data, graph, nodes, stratify=stratify, seed=seed)
    model, x = _placed(model, x, dtype, device)
    hopwise = direction or getattr(model, "message_direction", None) or "in"
    signs = torch.Generator().manual_seed(seed)
    with measured_model(model), torch.inference_mode(False), torch.enable_grad():
        caller = ModelCall(model, data, x, inputs=inputs, output=output)

        def norms(out: Tensor, features: Tensor, **options: Any) -> Tensor:
            if method != "probe":
                return jacobian_norms(out, features, norm, **options)
            drawn = torch.randint(2, (len(out), probes, out.shape[1]), generator=signs).transpose(0, 1)
            return probed_norms(out, features, (2 * drawn - 1).to(features), norm, **options)

        locality = Locality(None, reason="asked for")
        if method != "full":
            locality = locality_of(
                model, lambda block, rows, trimmed: caller.on_block(block, x[block.nodes[:rows]], trimmed=trimmed), graph,
                seeds, given=receptive_hops, budget=block_nodes,
            )  # fmt: skip
        if locality.hops is None and halo is None:
            found = _by_whole_graph(caller, norms, graph, seeds, max_hops, hopwise, progress)
        else:
            radius, locality = _radius(locality, max_hops, halo)
            blocks = ball_blocks(graph, seeds, radius=radius, budget=block_nodes, direction=locality.direction)
            found = _by_blocks(caller, norms, locality, blocks, graph, max_hops, hopwise, progress, len(seeds))
        sums = torch.cat([seeds.new_zeros(0, max_hops + 2, dtype=torch.float64), *found])
    name = method if locality.hops is not None or halo is not None else "full" if method != "probe" else "probe, full"
    return _report(sums, seeds, name, norm, locality, time.perf_counter() - started)


def total_influence(
    model: torch.nn.Module,
    data: Any,
    max_hops: int,
    num_samples: int | None = None,
    normalize: bool = True,
    average: bool = True,
    device: torch.device | str = "cpu",
    vectorize: bool = True,
) -> tuple[Tensor, float]:
    """What :func:`torch_geometric.utils.total_influence` gives, several times as fast.

    The same nodes are drawn from torch's global generator, and balls are cut at ``max_hops`` as there, so that the results
    agree also where that changes degrees; :func:`influence` is exact. Unlike there, the model is in evaluation mode and stays
    on its device.

    Args:
        model: with the calling form ``model(x, edge_index)``.
        data: PyG's container.
        max_hops: H, radius of the balls.
        num_samples: S; None: all nodes.
        normalize: whether the mean is divided by that of hop 0.
        average: whether to give the mean ``[H + 1]``; else ``[S, H + 1]``, not normalised.
        device: to compute on.
        vectorize: has no effect, and is there to be called in the same way.

    Returns:
        (influence by hop, R).

    Raises:
        UserError: as :func:`influence`.

    Example:
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.nn import SAGEConv
        >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1], [1, 2]]))
        >>> per_hop, radius = total_influence(SAGEConv(1, 1), data, max_hops=2)
        >>> per_hop.shape, radius <= 1
        (torch.Size([3]), True)
    """
    count = int(data.num_nodes)
    chosen = torch.randperm(count)[: count if num_samples is None else num_samples]
    found = influence(model, data, max_hops, chosen, halo=0, direction="in", device=device)
    if not average:
        return found.per_node.to(data.x.dtype), found.radius
    per_hop = found.normalized if normalize else found.per_hop
    return per_hop.to(data.x.dtype), found.radius


def _by_blocks(
    caller: ModelCall, norms: Any, locality: Locality, blocks: Iterator[BallBlock], graph: HopGraph, max_hops: int, hopwise: str,
    progress: Any, total: int,
) -> Iterator[Tensor]:  # fmt: skip
    done, entrance = 0, None
    for found in blocks:
        block = found.to(caller.x.device)
        with trimmed_layers(locality.layers, block) if locality.layers else nullcontext() as trimming:
            rows = block.nodes if trimming is None else block.nodes[: trimming.rows]
            x = caller.x[rows].detach().requires_grad_()
            call = partial(caller.on_block, block, x, trimmed=trimming is not None)
            if done == 0:
                out, entrance, inner = first_linear(caller.model, x, call)
            elif entrance is None:
                out, inner = call(), x
            else:
                with captured_output(entrance) as hidden:
                    out = call()
                inner = hidden[0]
            options: dict[str, Any] = {} if entrance is None else {"weight": entrance.weight.detach()}
            if options and trimming is not None and trimming.first is not None and trimming.first[0] is inner:
                _, inner, sums = trimming.first
                options["sources"] = SourceGradients(sums)
            values = norms(out, inner, **options)
        values = values.double().cpu()
        hop = found.hop if hopwise == locality.direction or graph.symmetric else _hops(found, graph, hopwise)
        place = found.owner * (max_hops + 2) + hop.clamp(max=max_hops + 1)
        size = len(block.seeds) * (max_hops + 2)
        yield torch.bincount(place[: len(values)], values, minlength=size).view(-1, max_hops + 2)
        done += len(block.seeds)
        if progress is not None:
            progress(done, total)


def _hops(block: BallBlock, graph: HopGraph, direction: str) -> Tensor:
    """Hops of the nodes of a block along other edges than the ball was found by; far beyond where there is no way."""
    n = graph.num_nodes
    balls = hop_balls(graph, block.seeds, num_nodes=n, hops=len(block.ends) - 1, direction=direction)
    key, order = torch.sort(balls.owner() * n + balls.nodes)
    wanted = block.owner * n + block.nodes
    place = torch.searchsorted(key, wanted).clamp(max=len(key) - 1)
    return torch.where(key[place] == wanted, balls.hop[order][place], 2**31)


def _by_whole_graph(
    caller: ModelCall, norms: Any, graph: HopGraph, seeds: Tensor, max_hops: int, hopwise: str, progress: Any
) -> Iterator[Tensor]:
    x = caller.x.detach().clone().requires_grad_()
    out = caller.on_graph(x, seeds.to(x.device))
    at_once = max(1, min(64, _DENSE_BYTES // (x.element_size() * max(len(x), 1))))
    done = 0
    for part in seeds.split(at_once):
        rows = [norms(out[done + k : done + k + 1], x, keep=True) for k in range(len(part))]
        values = torch.stack(rows).detach().cpu()
        yield hop_bincount(graph, part, values, num_nodes=len(x), hops=max_hops, direction=hopwise)
        done += len(part)
        if progress is not None:
            progress(done, len(seeds))


def _radius(locality: Locality, max_hops: int, halo: int | None) -> tuple[int, Locality]:
    """Hops of the balls, and the locality as they show it."""
    reach = None if locality.hops is None else locality.hops + locality.halo
    if halo is None:
        assert reach is not None
        return reach, locality
    # asked for a ball along the messages; what lies beyond the reach of the model changes nothing
    known = reach is not None and locality.direction == "in"
    layers = locality.layers if known else ()
    radius = min(reach, max_hops + halo) if known and reach is not None else max_hops + halo
    return radius, Locality(locality.hops, "in", locality.halo, layers, locality.reason)


def _report(sums: Tensor, seeds: Tensor, method: str, norm: str, locality: Locality, seconds: float) -> InfluenceReport:
    found = InfluenceReport.of(sums[:, :-1], seeds, sums[:, -1])
    lacking = found.undefined
    if len(lacking):
        warnings.warn(
            f"{len(lacking)} of {len(seeds)} nodes have no influence at any hop, so their radius is undefined; they are left out "
            f"of R (the first one is node {int(lacking[0])})",
            DataWarning,
            stacklevel=3,
        )
    reason = locality.reason if locality.hops is None else ""
    return replace(found, method=method, norm=norm, receptive_hops=locality.hops, reason=reason, seconds=seconds)


def _features(data: Any) -> tuple[Tensor, Tensor]:
    x, edge_index = getattr(data, "x", None), getattr(data, "edge_index", None)
    if not isinstance(x, Tensor) or not isinstance(edge_index, Tensor):
        missing = "x" if not isinstance(x, Tensor) else "edge_index"
        raise UserError(f"data has no {missing}, expected a graph with features x [N, F] and edge_index [2, E]")
    if not x.is_floating_point() or x.dim() < 2 or x.layout != torch.strided:
        raise UserError(f"x is {x.dtype} {list(x.shape)}, expected floating point features [N, F], to differentiate by")
    return x.detach(), edge_index.cpu()


def _placed(
    model: torch.nn.Module, x: Tensor, dtype: torch.dtype | None, device: torch.device | str | None
) -> tuple[torch.nn.Module, Tensor]:
    """The model and features to compute with; the caller's model is never moved."""
    own = next((p for p in model.parameters() if p.is_floating_point()), None)
    to_dtype = dtype or (x.dtype if own is None else own.dtype)
    to_device = torch.device(device) if device is not None else x.device if own is None else own.device
    if own is not None and (own.dtype != to_dtype or own.device != to_device):
        model = copy.deepcopy(model).to(device=to_device, dtype=to_dtype)
    return model, x.to(device=to_device, dtype=to_dtype)


def _check(max_hops: Any, method: Any, probes: Any, block_nodes: Any, receptive_hops: Any, halo: Any) -> None:
    if method not in _METHODS:
        raise UserError(nearest(str(method), _METHODS, "method"))
    for name, value, least in (
        ("max_hops", max_hops, 0), ("probes", probes, 1), ("block_nodes", block_nodes, 1),
        ("receptive_hops", receptive_hops, 0), ("halo", halo, 0),
    ):  # fmt: skip
        if value is None and name in ("receptive_hops", "halo"):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UserError(f"{name} is {value!r}, expected a whole number from {least} upwards")
    if halo is not None and method == "full":
        raise UserError(f"halo is {halo}, but method='full' cuts no balls; leave one of the two out")
