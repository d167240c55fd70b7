"""A bank of experts is a loop over experts: forward, gradients, prompts of every kind, parts of a graph."""

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import ExpertBank, GraphPropagation, PromptBank, expert_bank
from graphkit.ops import SimpleGraph

NO_EDGES = torch.zeros(2, 0, dtype=torch.int64)
CONVOLUTIONS = ("gcn", "sage", "gin", "sgc")
GRAPHS = {
    "some": (torch.tensor([[0, 1, 2, 3, 5, 2, 6], [1, 2, 0, 4, 6, 3, 0]]), 9),
    "loops and copies": (torch.tensor([[0, 0, 1, 1, 2], [0, 1, 0, 1, 3]]), 5),
    "no edges": (NO_EDGES, 4),
    "one node": (NO_EDGES, 1),
}


def dense(kind, edge_index, n, dtype):
    """The propagation matrix by its definition."""
    a = torch.zeros(n, n, dtype=dtype)
    for u, v in edge_index.t().tolist():
        if u != v:
            a[u, v] = a[v, u] = 1
    if kind == "sage":
        return a / a.sum(1, keepdim=True).clamp(min=1)
    a = a + torch.eye(n, dtype=dtype)
    if kind == "gin":
        return a
    scale = a.sum(1).rsqrt()
    return scale[:, None] * a * scale


def loop(bank, prompts, x, matrix):
    """Every expert for itself, on the input with its prompt."""

    def weights(number, layer):
        rows = 0 if bank.sharing == "shared" else number
        return layer[rows]

    out = []
    for m in range(bank.num_experts):
        if bank.prompt_mode == "concat":
            state = torch.cat([x, prompts.prompt[m].expand(len(x), -1)], 1)
            own = torch.cat([weights(m, bank.weight), weights(m, bank.prompt_weight)], 1)
        else:
            own = weights(m, bank.weight)
            if bank.prompt_mode == "add":
                state = x + prompts.prompt[m]
            elif bank.prompt_mode == "add_attn":
                keys, vectors = (part[m] for part in prompts.attention(prompts.prompt))
                state = x + (x @ keys.t()).softmax(1) @ vectors
            else:
                state = x
        for layer in range(1 if bank.conv == "sgc" else bank.num_layers):
            weight = own if layer == 0 else weights(m, bank.layers[layer - 1].weight)
            bias = weights(m, bank.bias) if layer == 0 else weights(m, bank.layers[layer - 1].bias)
            if layer:
                state = state.relu()
                weight = weight.view(-1, bank.hidden_channels, bank.hidden_channels)
            gathered = matrix @ state
            for _ in range(bank.num_layers - 1 if bank.conv == "sgc" else 0):
                gathered = matrix @ gathered
            z = gathered @ weight[0] + bias
            if bank.conv == "sage":
                z = z + state @ weight[1]
            film = bank.prompt_mode == "film" and prompts.film(prompts.prompt, layer)
            first_of_gin = (
                bank.conv == "gin" and layer == 0
            )  # inside its perceptron, where prompts of other kinds act too
            if film and first_of_gin:
                z = (1 + film[0][m]) * z + film[1][m]
            if bank.conv == "gin":
                z = z.relu() @ weights(m, bank.inner[layer].weight) + weights(m, bank.inner[layer].bias)
            if film and not first_of_gin:
                z = (1 + film[0][m]) * z + film[1][m]
            state = z
        out.append(state)
    return torch.stack(out)


def made(conv, mode="concat", dtype=torch.float64, experts=3, **options):
    torch.manual_seed(0)
    width = {"concat": 5, "film": 4}.get(mode, 6)
    sharing = "shared" if mode == "film" else "separate"
    options = {"sharing": sharing, **options}
    bank = ExpertBank(6, width, 4, experts, 3, conv=conv, prompt_mode=mode, **options).to(dtype)
    return bank.eval(), PromptBank(experts, width, mode, basis=3).to(dtype)


def gradients(out, inputs, seed=1):
    weight = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(seed))
    return torch.autograd.grad((out * weight).sum(), inputs, allow_unused=True)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("conv", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_bank_is_a_loop_over_experts(conv, graph, dtype):
    edges, n = GRAPHS[graph]
    bank, prompts = made(conv, dtype=dtype)
    x = torch.randn(n, 6, dtype=dtype, requires_grad=True)
    inputs = [x, prompts.prompt, *bank.parameters()]
    fused = bank(x, edges, prompts)
    looped = loop(bank, prompts, x, dense(conv, edges, n, dtype))
    bound = 1e-10 if dtype == torch.float64 else 1e-5
    assert float((fused - looped).detach().abs().max()) <= bound * max(1.0, float(looped.detach().abs().max()))
    for ours, theirs in zip(gradients(fused, inputs), gradients(looped, inputs), strict=True):
        assert float((ours - theirs).abs().max()) <= bound * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("mode", ["add", "add_attn", "film"])
@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_other_prompts_are_the_loop_too(conv, mode):
    edges, n = GRAPHS["some"]
    bank, prompts = made(conv, mode)
    x = torch.randn(n, 6, dtype=torch.float64, requires_grad=True)
    inputs = [x, prompts.prompt, *bank.parameters()]
    fused, looped = bank(x, edges, prompts), loop(bank, prompts, x, dense(conv, edges, n, torch.float64))
    assert torch.allclose(fused, looped, rtol=0, atol=1e-10)
    for ours, theirs in zip(gradients(fused, inputs), gradients(looped, inputs), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_add_is_concat_with_tied_weights(conv):
    edges, n = GRAPHS["some"]
    bank, prompts = made(conv, "add")
    tied = ExpertBank(6, 6, 4, 3, 3, conv=conv).double().eval()
    tied.load_state_dict({**bank.state_dict(), "prompt_weight": bank.weight.detach()})
    x = torch.randn(n, 6, dtype=torch.float64)
    assert torch.allclose(bank(x, edges, prompts), tied(x, edges, prompts.prompt), atol=1e-12)


@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_a_zero_prompt_is_the_plain_network_and_one_expert_one_network(conv):
    edges, n = GRAPHS["some"]
    bank, prompts = made(conv)
    x = torch.randn(n, 6, dtype=torch.float64)
    prompts.prompt.data.zero_()
    assert torch.allclose(bank(x, edges, prompts), bank(x, edges), atol=1e-14)
    single, prompt = made(conv, experts=1)
    assert torch.allclose(single(x, edges, prompt), loop(single, prompt, x, dense(conv, edges, n, torch.float64)))


def test_mean_aggregation_makes_a_prompt_a_bias():
    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])  # no isolated node
    bank, prompts = made("sage")
    x = torch.randn(3, 6, dtype=torch.float64)
    with_prompt = bank(x, edges, prompts)
    shift = torch.einsum("md,mqdh->mh", prompts.prompt, bank.prompt_weight).detach()
    bank.bias.data += shift
    assert torch.allclose(bank(x, edges), with_prompt, atol=1e-12)


def test_shared_experts_differ_by_their_prompts_alone():
    edges, n = GRAPHS["some"]
    bank, prompts = made("gcn", sharing="shared")
    x = torch.randn(n, 6, dtype=torch.float64)
    assert torch.allclose(bank(x, edges, prompts), loop(bank, prompts, x, dense("gcn", edges, n, torch.float64)))
    assert torch.equal(bank(x, edges)[0], bank(x, edges)[2])


@pytest.mark.parametrize("mode", ["concat", "add_attn"])
def test_some_experts_and_chunks_give_the_same(mode):
    edges, n = GRAPHS["some"]
    bank, prompts = made("gcn", mode)
    x = torch.randn(n, 6, dtype=torch.float64)
    whole = bank(x, edges, prompts)
    assert torch.allclose(bank(x, edges, prompts, [2, 0]), whole[[2, 0]], atol=1e-12)
    bank.expert_chunk = 2
    assert torch.allclose(bank(x, edges, prompts), whole, atol=1e-12)
    bank.train()
    whole = bank(x, edges, prompts, generator=torch.Generator().manual_seed(3))
    bank.expert_chunk = None
    assert torch.allclose(bank(x, edges, prompts, generator=torch.Generator().manual_seed(3)), whole, atol=1e-12)


def test_large_states_are_computed_in_even_chunks(monkeypatch):
    """By itself, on a CPU; dropout is one draw for all experts there too, and the global stream goes on as without chunks."""
    edges, n = GRAPHS["some"]
    bank, prompts = made("gcn", experts=5)
    x = torch.randn(n, 6, dtype=torch.float64)
    bank.train()
    torch.manual_seed(4)
    whole, after = bank(x, edges, prompts), torch.rand(3)
    monkeypatch.setattr(expert_bank, "_STATE_BYTES", 4 * n * bank.hidden_channels * x.element_size())
    seen, rest = [], bank.rest
    monkeypatch.setattr(bank, "rest", lambda z, *others, **options: seen.append(z.size(1)) or rest(z, *others, **options))
    torch.manual_seed(4)
    assert torch.allclose(bank(x, edges, prompts), whole, atol=1e-12) and torch.equal(torch.rand(3), after)
    assert seen == [3, 2]
    monkeypatch.setattr(expert_bank, "_STATE_BYTES", 1)
    torch.manual_seed(4)
    assert torch.allclose(bank(x, edges, prompts), whole, atol=1e-12) and seen == [3, 2, 1, 1, 1, 1, 1]


def test_all_experts_share_a_draw_of_dropout():
    bank, prompts = made("gcn", experts=2)
    for parameter in [*bank.parameters(), prompts.prompt]:
        parameter.data[1] = parameter.data[0]
    x, (edges, _) = torch.randn(9, 6, dtype=torch.float64), GRAPHS["some"]
    bank.train()
    first, second = bank(x, edges, prompts)
    assert torch.equal(first, second) and not torch.allclose(first, bank.eval()(x, edges, prompts)[0])


@pytest.mark.parametrize("mode", ["concat", "add", "film"])
@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_a_cache_around_some_nodes_gives_their_states_and_gradients(conv, mode):
    torch.manual_seed(0)
    edges = torch.randint(40, (2, 45))
    bank, prompts = made(conv, mode)
    x = torch.randn(42, 6, dtype=torch.float64)
    nodes, inputs = torch.tensor([7, 3, 41, 7]), [prompts.prompt, *bank.parameters()]
    features = bank.propagated(x, edges)
    cache, near = (bank.around(features, nodes, frozen=frozen) for frozen in (True, False))
    ours, whole = bank.states_of(cache, prompts), bank(x, edges, prompts)[:, nodes]
    assert torch.allclose(ours, whole, atol=1e-12)
    for a, b in zip(*(gradients(s, inputs) for s in (bank.states_of(near, prompts), whole)), strict=True):
        assert torch.allclose(a, b, atol=1e-12)
    whole = bank(x, edges, prompts)[:, nodes]
    (a,), (b,) = gradients(ours, [prompts.prompt]), gradients(whole, [prompts.prompt])
    assert torch.allclose(a, b, atol=1e-12)
    assert cache.first.size(0) < 42 and not cache.first.requires_grad


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_propagation_is_its_matrix_with_edges_taken_out_and_around_nodes(kind):
    torch.manual_seed(1)
    edges, n = torch.randint(15, (2, 25)), 16
    graph = SimpleGraph(edges, num_nodes=n)
    gone = torch.tensor([[graph.row()[0]], [graph.col[0].long()]])
    left = edges[:, ~((edges == gone).all(0) | (edges.flip(0) == gone).all(0))]
    x = torch.randn(n, 3, dtype=torch.float64)
    matrix = GraphPropagation(graph, kind, removed=graph.removed_by(gone))
    assert torch.allclose(matrix(x), dense(kind, left, n, torch.float64) @ x)
    assert torch.allclose(matrix.row_sums(torch.float64), dense(kind, left, n, torch.float64).sum(1))
    inside, ((first, some), (second, rows)) = matrix.towards(torch.tensor([5, 2]), 2)
    twice = second(first(x[inside])[some])[rows]
    assert torch.allclose(
        twice, (dense(kind, left, n, torch.float64) @ (dense(kind, left, n, torch.float64) @ x))[[5, 2]]
    )


def test_the_callers_features_stay_as_they_are():
    bank, prompts = made("gcn")
    x, (edges, _) = torch.randn(9, 6, dtype=torch.float64), GRAPHS["some"]
    before = x.clone()
    bank(x, edges, prompts).sum().backward()
    assert torch.equal(x, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_the_bank_is_the_same_on_a_gpu(conv):
    edges, n = GRAPHS["some"]
    bank, prompts = made(conv, dtype=torch.float32)
    x = torch.randn(n, 6)
    here = bank(x, edges, prompts)
    there = bank.cuda()(x.cuda(), edges.cuda(), prompts.cuda()).cpu()
    assert torch.allclose(here, there, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ExpertBank(4, 4, 4, 0), "num_experts is 0"),
        (lambda: ExpertBank(4, 4, 4, 2, conv="gat"), "unknown convolution 'gat'"),
        (lambda: ExpertBank(4, 4, 4, 2, prompt_mode="film"), "pass sharing='shared'"),
        (lambda: ExpertBank(4, 3, 4, 2, prompt_mode="add"), "prompt_channels is 3, but prompt_mode 'add'"),
        (lambda: ExpertBank(4, 3, 4, 2, dropout=1.0), "dropout is 1.0"),
        (lambda: made("gcn")[0](torch.zeros(3, 5), GRAPHS["one node"][0]), r"x is \[3, 5\], expected features \[N, 6\]"),
        (lambda: made("gcn")[0](torch.zeros(3, 6).double(), NO_EDGES, torch.zeros(2, 5)), r"prompts are 'concat' \[2, 5\]"),
        (lambda: made("gcn", "add_attn")[0].around(None, None), "nothing is cached"),
        (lambda: GraphPropagation(GRAPHS["some"][0], "gat", num_nodes=9), "unknown convolution 'gat'"),
        (lambda: GraphPropagation(GRAPHS["some"][0]), "num_nodes is missing"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
