"""Heads of routers against their formulas."""

import math

import networkx as nx
import pytest
import torch
from torch import nn

from graphkit.errors import UserError
from graphkit.nn import RouteInput
from graphkit.nn.router_heads import CosineHead, GNNHead, LinearHead, MLPHead, RecurrentHead, smooth_load
from graphkit.nn.token_graph import edges_of, neighbor_mean


def states(count=7, width=4, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_noisy_linear_head():
    head = LinearHead(4, 3, noise=True, init="normal").double()
    nn.init.normal_(head.noise_weight)
    h = states()
    clean = h @ head.weight.t()
    assert torch.equal(head(RouteInput(h))[0], clean)
    found = head(RouteInput(h, train=True, rng=torch.Generator().manual_seed(1)))[0]
    eps = torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(found, clean + eps * (nn.functional.softplus(h @ head.noise_weight.t()) + 0.01))


def test_linear_head_begins_with_ties():
    head = LinearHead(4, 3, noise=True)
    assert not bool(head(RouteInput(torch.randn(5, 4)))[0].any())
    noisy = head(RouteInput(torch.zeros(20000, 4), train=True, rng=torch.Generator().manual_seed(0)))[0]
    assert abs(float(noisy.detach().std()) - math.log(2) - 0.01) < 0.01  # softplus(0) = log 2


def test_smooth_load_written_out():
    g = torch.Generator().manual_seed(3)
    clean, eps, sigma = (torch.randn(6, 4, generator=g, dtype=torch.float64) for _ in range(3))
    sigma = sigma.abs() + 0.1
    noisy = clean + sigma * eps
    for k in (1, 2, 3):
        expected = [0.0] * 4
        for t in range(6):
            for m in range(4):
                rivals = sorted((float(noisy[t, j]) for j in range(4) if j != m), reverse=True)
                z = (float(clean[t, m]) - rivals[k - 1]) / float(sigma[t, m])
                expected[m] += 0.5 * (1 + math.erf(z / math.sqrt(2)))
        torch.testing.assert_close(smooth_load(clean, noisy, sigma, k), torch.tensor(expected, dtype=torch.float64))
    assert smooth_load(clean, noisy, sigma, 4).tolist() == [6.0] * 4


def test_cosine_head():
    head, h = CosineHead(4, 3, tau=0.5).double(), states()
    found = head(RouteInput(h))[0]
    expected = nn.functional.cosine_similarity(h.unsqueeze(1), head.weight.unsqueeze(0), dim=2) / 0.5
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(head(RouteInput(100 * h))[0], found)
    zero = head(RouteInput(torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)))[0]
    zero.sum().backward()
    assert bool(head.weight.grad.isfinite().all())


def test_mlp_head():
    head, h = MLPHead(4, 3, hidden_channels=5).double(), states()
    first, _, last = head.net
    expected = (h @ first.weight.t() + first.bias).relu() @ last.weight.t() + last.bias
    torch.testing.assert_close(head(RouteInput(h))[0], expected)


def test_gnn_head_looks_one_step_far():
    head, h = GNNHead(4, 3).double(), states(5)
    edges = torch.tensor([[0, 1, 2], [1, 2, 3]])
    found = head(RouteInput(h, edges))[0]
    around = torch.stack([h[0], h[0], h[1], h[2], h[4]])  # no edge reaches 0 and 4
    torch.testing.assert_close(found, head.out((head.own(h) + head.around(around)).relu()))


def test_recurrent_head_is_a_gru_over_layers():
    first, second = RecurrentHead.layers([4, 6], 3, state_channels=5)
    first.double(), second.double()
    h1, h2 = states(), states(width=6, seed=1)
    cell = nn.GRUCell(5, 5).double()
    cell.load_state_dict(first.cell.state_dict())
    z1, s1 = first(RouteInput(h1))
    z2, s2 = second(RouteInput(h2, state=s1))
    e1 = cell(h1 @ first.project.weight.t(), torch.zeros(7, 5, dtype=torch.float64))
    e2 = cell(h2 @ second.project.weight.t(), e1)
    torch.testing.assert_close((s1, s2), (e1, e2))
    torch.testing.assert_close((z1, z2), (e1 @ first.out.weight.t(), e2 @ second.out.weight.t()))
    count = sum(p.numel() for p in nn.ModuleList([first, second]).parameters())
    assert count == (4 + 6) * 5 + 6 * 25 + 6 * 5 + 2 * 15  # the cell counts once


def test_recurrent_head_without_history():
    """Without recurrent weights and with the update gate at 0, what was before does not matter."""
    head = RecurrentHead(4, 3, state_channels=5).double()
    with torch.no_grad():
        head.cell.weight_hh.zero_()
        head.cell.bias_hh.zero_()
        head.cell.weight_ih[5:10].zero_()
        head.cell.bias_ih[5:10] = -1e4
    h = states()
    a, _ = head(RouteInput(h, state=states(width=5, seed=2)))
    b, _ = head(RouteInput(h))
    torch.testing.assert_close(a, b)


def test_recurrent_state_and_gradients():
    first, second = RecurrentHead.layers([4, 4], 3, state_channels=5)
    h = torch.randn(6, 4)
    for detach in (False, True):
        second.detach_state = detach
        nn.ModuleList([first, second]).zero_grad()
        _, state = first(RouteInput(h))
        second(RouteInput(h, state=state))[0].sum().backward()
        assert (first.project.weight.grad is None) == detach
    part = torch.tensor([4, 1])  # a sampled block sees some of the tokens, in another order
    _, state = first(RouteInput(h))
    whole, _ = second(RouteInput(h, state=state))
    torch.testing.assert_close(second(RouteInput(h[part], state=state[part]))[0], whole[part])


def test_plain_cell():
    head = RecurrentHead(4, 3, kind="rnn", state_channels=5)
    h = torch.randn(2, 4)
    expected = torch.tanh(head.project(h) @ head.cell.weight_ih.t() + head.cell.bias_ih + head.cell.bias_hh)
    torch.testing.assert_close(head(RouteInput(h))[1], expected)


def test_neighbor_mean_against_a_dense_matrix():
    graph = nx.gnp_random_graph(15, 0.2, seed=2, directed=True)
    edges = torch.tensor(list(graph.edges)).t()
    weight = torch.rand(edges.size(1), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight[edges[1] == 3] = 0.0  # edges without weight reach nobody
    x = states(15)
    dense = torch.zeros(15, 15, dtype=torch.float64)
    dense[edges[1], edges[0]] = weight
    total = dense.sum(1, keepdim=True)
    dense = torch.where(total > 0, dense / total.clamp(min=1e-300), torch.eye(15, dtype=torch.float64))
    sorted_graph, _ = edges_of(edges, 15)
    torch.testing.assert_close(neighbor_mean(sorted_graph, x, weight), dense @ x)
    torch.testing.assert_close(neighbor_mean(sorted_graph, x, weight)[3], x[3])
    assert torch.autograd.gradcheck(
        lambda x, w: neighbor_mean(sorted_graph, x, w.abs() + 0.1),
        (x.requires_grad_(), weight.requires_grad_()),
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CosineHead(4, 2, tau=0.0), "tau is 0.0, expected a number above 0"),
        (lambda: LinearHead(4, 2, init="zeros"), "unknown init 'zeros'; did you mean 'zero'"),
        (lambda: RecurrentHead(4, 2, kind="lstm"), "unknown cell 'lstm'"),
        (
            lambda: RecurrentHead(4, 2, cell=nn.GRUCell(3, 3)),
            "the shared cell has 3 channels, expected state_channels=16",
        ),
        (
            lambda: RecurrentHead(4, 2)(RouteInput(torch.ones(3, 4), state=torch.ones(2, 16))),
            "the router's state has 2 rows for 3 tokens; slice it",
        ),
        (lambda: edges_of(torch.tensor([[0], [5]]), 3), "out of range|5"),
        (
            lambda: edges_of((torch.tensor([[0], [1]]), torch.ones(2)), 3),
            r"weights in RouteInput.adj are \[2\], expected one",
        ),
        (lambda: edges_of((torch.tensor([[0], [1]]), -torch.ones(1)), 3), "negative somewhere"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
