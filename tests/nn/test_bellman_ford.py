"""The layer against its equations written out, with PNA's 12 d features formed explicitly."""

import pytest
import torch
from torch.nn import functional as F

from graphkit import ops
from graphkit.errors import UserError
from graphkit.nn import BellmanFordConv
from graphkit.nn.bellman_ford import AGGREGATES, MESSAGES


def dense_layer(conv, x, query, source, boundary, edges, kind, mask):
    """Loops over nodes; every feature of the published layout is there."""
    relation = conv.relations(query)
    relation = relation if relation.dim() == 3 else relation.expand(len(x), -1, -1)
    batches, nodes, width = x.shape
    degree = torch.tensor([sum(int(edges[1, e]) == v and bool(mask[e]) for e in range(edges.shape[1])) + 1 for v in range(nodes)])
    log = degree.double().log()
    scale = log / log.mean()
    out = torch.empty(batches, nodes, conv.out_channels, dtype=x.dtype)
    for b in range(batches):
        for v in range(nodes):
            messages = [boundary[b] if int(source[b]) == v else torch.zeros(width, dtype=x.dtype)]
            for e in range(edges.shape[1]):
                if int(edges[1, e]) == v and mask[e]:
                    state, r = x[b, edges[0, e]], relation[b, kind[e]]
                    if conv.message == "distmult":
                        messages.append(state * r)
                    elif conv.message == "transe":
                        messages.append(state + r)
                    else:
                        value = torch.complex(*state.chunk(2)) * torch.complex(*r.chunk(2))
                        messages.append(torch.cat([value.real, value.imag]))
            m = torch.stack(messages)
            if conv.aggregate == "pna":
                std = m.var(0, correction=0).clamp(min=1e-6).sqrt()
                four = torch.stack([m.mean(0), m.amax(0), m.amin(0), std], 1)  # [d, 4]
                scalers = torch.stack([torch.ones(()), scale[v], 1 / scale[v].clamp(min=0.01)]).to(x.dtype)
                features = (four.unsqueeze(-1) * scalers).flatten()  # channel, aggregate, scaler
            else:
                features = {"sum": m.sum(0), "mean": m.mean(0), "max": m.amax(0)}[conv.aggregate]
            z = F.linear(torch.cat([x[b, v], features]), conv.linear.weight, conv.linear.bias)
            y = (z if conv.norm is None else conv.norm(z)).relu()
            out[b, v] = y + x[b, v] if conv.short_cut else y
    return out


def sample(width=4, nodes=6, num_edges=14, relations=3, batches=2):
    generator = torch.Generator().manual_seed(5)
    edges = torch.randint(nodes - 1, (2, num_edges), generator=generator)  # the last node stays alone
    kind = torch.randint(relations, (num_edges,), generator=generator)
    mask = torch.rand(num_edges, generator=generator) < 0.8
    x = torch.randn(batches, nodes, width, dtype=torch.float64, generator=generator)
    query = torch.randn(batches, width, dtype=torch.float64, generator=generator)
    return x, query, torch.tensor([0, 3]), edges, kind, mask


@pytest.mark.parametrize("dependent", [True, False])
@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("message", sorted(MESSAGES))
def test_layer_is_its_equation(message, aggregate, dependent):
    torch.manual_seed(1)
    x, query, source, edges, kind, mask = sample()
    conv = BellmanFordConv(4, 4, 3, query_channels=4, message=message, aggregate=aggregate, dependent=dependent).double()
    expected = dense_layer(conv, x, query, source, query, edges, kind, mask)
    for backend in ("native", "python"):
        if backend == "native" and ops.backend_of("pna_update") != "native":
            continue
        with ops.force_backend(backend):
            assert torch.allclose(conv(x, query, source, query, edges, kind, edge_mask=mask), expected, atol=1e-10)


@pytest.mark.parametrize("options", [{"layer_norm": False}, {"short_cut": False}, {"layer_norm": False, "short_cut": False}])
def test_norm_and_short_cut_can_be_left_out(options):
    torch.manual_seed(1)
    x, query, source, edges, kind, mask = sample()
    conv = BellmanFordConv(4, 4, 3, query_channels=4, **options).double()
    expected = dense_layer(conv, x, query, source, query, edges, kind, mask)
    assert torch.allclose(conv(x, query, source, query, edges, kind, edge_mask=mask), expected, atol=1e-10)


def test_other_output_width_has_no_short_cut():
    x, query, source, edges, kind, _ = sample()
    conv = BellmanFordConv(4, 7, 3, query_channels=4).double()
    assert not conv.short_cut
    assert conv(x, query, source, query, edges, kind).shape == (2, 6, 7)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="did you mean 'rotate'"):
        BellmanFordConv(4, 4, 3, query_channels=4, message="rotat")
    with pytest.raises(UserError, match="aggregate"):
        BellmanFordConv(4, 4, 3, query_channels=4, aggregate="median")
    with pytest.raises(UserError, match="even width"):
        BellmanFordConv(5, 5, 3, query_channels=5, message="rotate")
    with pytest.raises(UserError, match="query_channels"):
        BellmanFordConv(4, 4, 3)
