"""ChebNet and SGFormer by their formulas, beside PyG's, how far they look, and what they refuse."""

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import models as pyg

from graphkit.analysis import influence
from graphkit.errors import UserError
from graphkit.models import GCN, MLP, ChebNet, GraphSAGE, SGFormer
from graphkit.nn import SimpleAttention

N, F, C = 9, 5, 3


@pytest.fixture
def graph():
    draw = torch.Generator().manual_seed(0)
    a = (torch.rand(N, N, generator=draw) < 0.3).float().triu(1)
    a = a + a.t()
    a[8], a[:, 8] = 0, 0  # a node without edges
    return a, a.nonzero().t().contiguous(), torch.randn(N, F, generator=draw)


@pytest.fixture
def path():
    step = torch.stack([torch.arange(19), torch.arange(1, 20)])
    x = torch.randn(20, F, generator=torch.Generator().manual_seed(1))
    return Data(x=x, edge_index=torch.cat([step, step.flip(0)], 1))


def made(model, *arguments, **options):
    torch.manual_seed(1)
    return model(F, 8, C, *arguments, **options).eval()


@pytest.mark.parametrize(
    "model", [made(ChebNet, order=2), made(SGFormer, heads=2), made(SGFormer, normalize="node", residual="previous")]
)
def test_names_of_nodes_do_not_matter(graph, model):
    _, edge_index, x = graph
    order = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    moved = torch.empty_like(x)
    moved[order] = x
    assert torch.allclose(model(moved, order[edge_index])[order], model(x, edge_index), atol=1e-5)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_filters_are_those_of_dense_matrices(graph, order):
    a, edge_index, x = graph
    model = made(ChebNet, 2, order=order)
    d = torch.where(a.sum(1) > 0, a.sum(1).rsqrt(), 0.0)
    laplacian = -d[:, None] * a * d
    powers = [torch.eye(N), laplacian]
    while len(powers) <= order:
        powers.append(2 * laplacian @ powers[-1] - powers[-2])
    silu = torch.nn.functional.silu
    with torch.no_grad():
        wanted = silu(model.enter[0](x))
        for conv in model.convs:
            terms = [t @ wanted @ lin.weight.t() for t, lin in zip(powers, conv.lins, strict=False)]
            wanted = silu(sum(terms) + conv.bias)
        assert len(model.convs[0].lins) == order + 1
        assert torch.allclose(model(x, edge_index), model.leave(wanted), atol=1e-5)


@pytest.mark.parametrize(("layers", "order"), [(1, 1), (2, 1), (2, 2), (1, 3), (2, 0)])
def test_a_chebnet_looks_layers_times_order_hops(path, layers, order):
    model = made(ChebNet, layers, order=order).double()
    data = Data(x=path.x.double(), edge_index=path.edge_index)
    found = influence(model, data, max_hops=8, nodes=torch.tensor([10]))
    reach = layers * order
    assert found.receptive_hops == reach == model.receptive_hops and found.method == "exact"
    assert bool((found.per_hop[: reach + 1] > 0).all()) and bool((found.per_hop[reach + 1 :] == 0).all())
    whole = influence(model, data, max_hops=8, nodes=torch.tensor([10]), method="full")
    assert torch.allclose(whole.per_hop, found.per_hop, rtol=1e-10, atol=1e-14)


def test_balls_of_directed_edges_give_the_whole_graphs_jacobian(graph):
    """The degrees are those of edges that leave, which balls along incoming edges would miss."""
    a, _, x = graph
    edge_index = a.triu().nonzero().t().contiguous()
    model, data = made(ChebNet, 1).double(), Data(x=x.double(), edge_index=edge_index)
    found, whole = (influence(model, data, max_hops=4, method=method) for method in ("exact", "full"))
    assert torch.allclose(found.per_node, whole.per_node, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("normalize", ["graph", "node"])
def test_attention_is_its_equation_by_loops(normalize):
    torch.manual_seed(0)
    layer, x = SimpleAttention(3, 2, normalize=normalize).double(), torch.randn(4, 3).double()
    with torch.no_grad():
        q, k, v = (linear(x).view(4, 2, 3) for linear in (layer.q, layer.k, layer.v))
        q, k = ((p / p.norm() if normalize == "graph" else p / p.norm(dim=2, keepdim=True)) for p in (q, k))
        wanted = torch.zeros(4, 3).double()
        for i in range(4):
            for h in range(2):
                above, below = 4 * v[i, h], 4.0
                for j in range(4):
                    score = float(q[i, h] @ k[j, h])
                    above, below = above + score * v[j, h], below + score
                wanted[i] += above / below / 2
        assert torch.allclose(layer(x), wanted, atol=1e-12)


def test_what_others_add_falls_with_the_number_of_nodes_unless_rows_are_normalised():
    """Why the norm is an option: with the paper's, attention of a large graph is all but a linear map of each node."""
    shares = {}
    for normalize in ("graph", "node"):
        for n in (20, 2000):
            torch.manual_seed(0)
            layer, x = SimpleAttention(4, normalize=normalize), torch.randn(n, 4) + 1
            with torch.no_grad():
                alone = layer.v(x)
                shares[normalize, n] = float((layer(x) - alone).norm() / alone.norm())
    assert shares["graph", 2000] < 0.02 * shares["graph", 20]
    assert shares["node", 2000] > 0.5 * shares["node", 20] > 0.05


def test_sgformer_is_pygs_before_its_softmax(graph):
    _, edge_index, x = graph
    torch.manual_seed(3)
    theirs = pyg.SGFormer(F, 8, C, trans_num_layers=2, trans_num_heads=2, gnn_num_layers=2, graph_weight=0.7).eval()
    ours = made(SGFormer, 2, attention_layers=2, heads=2, graph_weight=0.7, normalize="node", attention_activation=True)
    pairs = [(ours.enter_attention[0], theirs.trans_conv.fcs[0]), (ours.enter_attention[1], theirs.trans_conv.bns[0])]
    pairs += [(ours.enter_graph[0], theirs.graph_conv.fcs[0]), (ours.enter_graph[1], theirs.graph_conv.bns[0])]
    pairs += [(ours.leave, theirs.fc)]
    for layer in range(2):
        pairs += [(ours.attentions[layer], theirs.trans_conv.attns[layer])]
        pairs += [(ours.attention_norms[layer][0], theirs.trans_conv.bns[layer + 1])]
        pairs += [(ours.convs[layer], theirs.graph_conv.convs[layer])]
        pairs += [(ours.graph_norms[layer][0], theirs.graph_conv.bns[layer + 1])]
    for own, other in pairs:
        own.load_state_dict(other.state_dict())
    with torch.no_grad():
        wanted = theirs(x, edge_index, torch.zeros(N, dtype=torch.int64))
        assert torch.allclose(torch.log_softmax(ours(x, edge_index), 1), wanted, atol=1e-5)


def test_residuals_come_from_the_start_or_from_the_layer_before(graph):
    _, edge_index, x = graph
    for layers, same in ((1, True), (3, False)):
        scores = [made(SGFormer, layers, residual=kind)(x, edge_index) for kind in ("initial", "previous")]
        assert torch.allclose(*scores, atol=1e-6) == same


def test_graphs_of_a_batch_attend_to_themselves(graph, path):
    _, edge_index, x = graph
    graphs, model = [Data(x=x, edge_index=edge_index), path], made(SGFormer, heads=2)
    together = model.scores_of(Batch.from_data_list(graphs), torch.arange(N + 20))
    alone = torch.cat([model(one.x, one.edge_index) for one in graphs])
    assert torch.allclose(together, alone, atol=1e-5)


def test_influence_of_attention_is_measured_on_the_whole_graph(path):
    found = influence(made(SGFormer, 1), path, max_hops=3, nodes=torch.tensor([10]))
    assert found.method == "full" and float(found.truncated[0]) > 0


@pytest.mark.parametrize("model", [MLP, GCN, GraphSAGE])
def test_the_input_may_have_a_dropout_of_its_own(graph, model):
    _, edge_index, x = graph
    plain = model(F, 8, C, 1, dropout=0.5, input_dropout=0.0).train()
    assert torch.equal(plain(x, edge_index), plain(x, edge_index))
    usual = model(F, 8, C, 1, dropout=0.5).train()
    assert not torch.equal(usual(x, edge_index), usual(x, edge_index))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChebNet(F, 8, C, order=-1), "order is -1, expected a whole number from 0 upwards"),
        (lambda: ChebNet(F, 8, C, num_layers=0), "num_layers is 0"),
        (lambda: SGFormer(F, 8, C, attention_layers=0), "attention_layers is 0"),
        (lambda: SGFormer(F, 8, C, heads=True), "heads is True"),
        (lambda: SGFormer(F, 8, C, graph_weight=1.5), "graph_weight is 1.5, expected a number from 0 to 1"),
        (lambda: SGFormer(F, 8, C, residual="last"), "residual is 'last', expected 'initial' or 'previous'"),
        (lambda: SGFormer(F, 8, C, attention_dropout=1.0), "dropout is 1.0"),
        (lambda: SGFormer(F, 8, C, normalize="rows"), "normalize is 'rows', expected 'graph' .* or 'node'"),
        (lambda: SimpleAttention(0), "channels is 0"),
        (lambda: MLP(F, 8, C, input_dropout=-0.1), "dropout is -0.1"),
    ],
)
def test_options_out_of_range_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
