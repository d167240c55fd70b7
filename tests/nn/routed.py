"""Routers of every make, and tokens for them."""

import itertools

import torch

from graphkit.nn import RouteInput, Router
from graphkit.nn.expert_selectors import SELECTORS
from graphkit.nn.probability_mixers import MIXERS
from graphkit.nn.router_heads import HEADS

EXPERTS, WIDTH = 4, 6
HEAD_OPTIONS = {"linear": {"noise": True, "init": "normal"}, "recurrent": {"state_channels": 5}}
MIXER_OPTIONS = {
    "identity": {},
    "adjacency": {"beta": 0.3, "learn_beta": True},
    "attention": {"beta": 0.6},
    "similarity": {"topn": 3, "of": "logits"},
}
SELECTOR_OPTIONS = {
    "all": {},
    "topk": {"k": 2},
    "topp": {"p": 0.5, "difficulty": 0.5},
    "percentile": {"q": 0.63, "k_max": 3},
}
COMBINATIONS = list(itertools.product(HEADS, MIXERS, SELECTORS))


def a_router(head="linear", mixer="identity", selector="all", *, seed=0, bias=None):
    torch.manual_seed(seed)
    return Router.of(
        WIDTH,
        EXPERTS,
        head=head,
        mixers=[mixer],
        selector=selector,
        head_options=HEAD_OPTIONS.get(head),
        mixer_options={mixer: MIXER_OPTIONS[mixer]},
        selector_options=SELECTOR_OPTIONS[selector],
        bias=bias,
    ).double()


def tokens(count=9, *, seed=1, train=False, rng=None):
    """States, a graph with two-headed coefficients (the last token is isolated), a state of the layer before."""
    g = torch.Generator().manual_seed(seed)
    h = torch.randn(count, WIDTH, generator=g, dtype=torch.float64)
    edges = torch.randint(max(count - 1, 1), (2, 3 * count if count > 1 else 0), generator=g)
    weight = torch.rand(edges.size(1), 2, generator=g, dtype=torch.float64)
    state = torch.randn(count, 5, generator=g, dtype=torch.float64)
    return RouteInput(h, (edges, weight), None, None, state, None, train, rng)


def permuted(given, order):
    """The same tokens under other numbers: token order[i] of before is token i now."""
    edges, weight = given.adj
    return given._replace(h=given.h[order], adj=(torch.argsort(order)[edges], weight), state=given.state[order])
