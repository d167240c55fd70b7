"""Graph Mamba: relabelling, batches, presets, readout of tokens, long range, saved files."""

import pytest
import torch
from torch_geometric.data import Batch, Data

import graphkit as gk
from graphkit.data import LinkTask, MessageGraph, NodeTask, PairBatch
from graphkit.errors import UserError
from graphkit.models import GraphMamba, GraphMambaLinks
from graphkit.nn import GraphMambaEncoder


def random_graph(nodes=12, edges=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(nodes, (2, edges), generator=generator)
    pairs = pairs[:, pairs[0] != pairs[1]]
    edge_index = torch.unique(torch.cat([pairs, pairs.flip(0)], 1), dim=1)
    return torch.randn(nodes, 5, generator=generator, dtype=torch.float64), edge_index


def made(**options):
    torch.manual_seed(0)
    options = {"walk_length": 3, "walks": 2, "repeats": 2, "mpnn_norm": "layer", **options}
    return GraphMamba(5, 8, 3, **options).double().eval()


VARIANTS = [
    {}, {"local_encoder": "gated_gcn"}, {"local_encoder": "rwf"}, {"mpnn": "gine"}, {"mpnn": None}, {"walk_length": 0},
    {"local_layers": 2}, {"token_statistics": True}, {"order": "pagerank"}, {"ties": "struct"}, {"bidirectional": False},
    {"order": "kcore"}, {"sampling": "static"},
]  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_relabelling(options):
    """Nodes numbered anew, with their keys: the scores are numbered anew, no more."""
    model, (x, edge_index) = made(**options), random_graph()
    permutation = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    place = torch.argsort(permutation)
    moved = place[edge_index]
    moved = moved[:, torch.argsort(moved[0] * 12 + moved[1])]
    key = torch.arange(12)
    with torch.no_grad():
        before, after = model(x, edge_index, node_key=key), model(x[permutation], moved, node_key=key[permutation])
    torch.testing.assert_close(after, before[permutation], rtol=1e-12, atol=1e-12)


def test_numbers_as_keys_are_no_equivariance():
    """What the keys are for: broken by numbers, ties of degrees make the scores depend on the numbering."""
    model = made(walk_length=0, mpnn=None)
    ring = torch.arange(12)
    edge_index = torch.cat([torch.stack([ring, (ring + 1) % 12]), torch.stack([(ring + 1) % 12, ring])], 1)
    x = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    permutation = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before, after = model(x, edge_index), model(x[permutation], torch.argsort(permutation)[edge_index])
    assert float((after - before[permutation]).abs().max()) > 1e-3


@pytest.mark.parametrize("options", [{}, {"local_encoder": "gated_gcn"}, {"local_encoder": "rwf"}], ids=str)
def test_a_batch_is_its_graphs(options):
    """A graph's scores do not depend on what else is in the batch."""
    model = made(level="graph", **options)
    graphs = [
        Data(x=x, edge_index=edge_index)
        for x, edge_index in (random_graph(n, e, n) for n, e in ((12, 16), (3, 2), (7, 20)))
    ]
    with torch.no_grad():
        together = model.score_graphs(Batch.from_data_list(graphs))
        alone = torch.cat([model.score_graphs(Batch.from_data_list([graph])) for graph in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


def test_without_walks_it_is_gps_with_bimamba():
    x, edge_index = random_graph()
    without, preset = made(walk_length=0), GraphMamba.preset("gps_bimamba", 5, 8, 3, mpnn_norm="layer").double().eval()
    preset.load_state_dict(without.state_dict())
    with torch.no_grad():
        assert torch.equal(without(x, edge_index), preset(x, edge_index))
        no_repeats = made(repeats=0)
        no_repeats.load_state_dict(without.state_dict())
        assert torch.equal(no_repeats(x, edge_index), preset(x, edge_index))


def test_first_phase_reads_tokens_widest_first_and_the_node_last():
    """By hand: means of tokens in the order of their slots, the embedding, the last position of the blocks."""
    torch.manual_seed(0)
    encoder = GraphMambaEncoder(5, 8, walk_length=2, walks=2, repeats=2, local_layers=2, mpnn=None).double().eval()
    x, edge_index = random_graph()
    tokens = encoder.tokenizer(edge_index, 12, counter=0)
    with torch.no_grad():
        found = encoder._read_tokens(x, encoder.embed(x), edge_index, None, tokens)
        for v in range(12):
            rows = []
            for slot in range(4):
                a, b = tokens.ptr[4 * v + slot], tokens.ptr[4 * v + slot + 1]
                assert 1 <= b - a <= 1 + 2 * (2 if slot < 2 else 1)
                rows.append(encoder.embed(x[tokens.nodes[a:b]]).mean(0))
            sequence = torch.stack([*rows, encoder.embed(x[v])])[None]
            for block in encoder.local:
                sequence = block(sequence)
            torch.testing.assert_close(found[v], sequence[0, -1], rtol=1e-12, atol=1e-12)


def test_threads_change_rounding_at_most():
    """Our operators give the same bits for any number of threads; torch's matrix products do not promise that."""
    x, edge_index = random_graph(60, 150)
    results, before = [], torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        model = made()
        model(x, edge_index).square().sum().backward()
        results.append([p.grad for p in model.parameters() if p.grad is not None])
    torch.set_num_threads(before)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("options", [{}, {"local_encoder": "gated_gcn"}, {"local_encoder": "rwf"}], ids=str)
def test_isolated_nodes_and_tiny_graphs(options):
    model = made(**options)
    none = torch.zeros(2, 0, dtype=torch.int64)
    with torch.no_grad():
        for nodes in (1, 4):
            assert bool(model(torch.ones(nodes, 5).double(), none).isfinite().all())


def test_draws_are_averaged_and_always_the_same():
    x, edge_index = random_graph()
    several = made(draws=3, ties="random")
    with torch.no_grad():
        assert torch.equal(several(x, edge_index), several(x, edge_index))
        one = made(draws=1, ties="random")
        assert not torch.equal(one(x, edge_index), several(x, edge_index))


def test_epochs_draw_new_walks():
    x, edge_index = random_graph()
    model = made(train_ties="key").train()
    outputs = []
    for epoch in (1, 2, 1):
        model.begin_epoch(None, epoch)
        outputs.append(model(x, edge_index).detach())
    assert torch.equal(outputs[0], outputs[2]) and not torch.equal(outputs[0], outputs[1])


def test_what_is_not_decayed():
    model = made()
    names = set(model.no_decay())
    assert {name.rpartition(".")[2] for name in names} == {"A_log", "D", "dt_bias"}
    assert len(names) == 3 * 2 * 3 and names <= {name for name, _ in model.named_parameters()}


def test_presets():
    assert GraphMamba.preset("gmn_minus", 5, 8, 3).config["mpnn"] is None
    wang = GraphMamba.preset("graph_mamba_wang", 5, 8, 3)
    assert wang.encoder.layers[0].mamba.backwards is None and wang.draws == 5
    with pytest.raises(UserError, match="did you mean 'gmn'"):
        GraphMamba.preset("gnm", 5, 8, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"local_encoder": "men"}, "did you mean 'mean'"), ({"mpnn": "gin"}, "did you mean 'gine'"),
        ({"walk_length": 300}, "walk_length is 300"),
        ({"local_layers": 0}, "local_layers is 0"), ({"walks": 0}, "walks is 0"), ({"repeats": 5000}, "repeats is 5000"),
        ({"draws": 0}, "draws is 0"), ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)  # fmt: skip
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        made(**options)


def test_memory_is_linear():
    """Twice the nodes keep at most 2.1 times as much for the gradient."""
    kept = []
    for nodes in (200, 400):
        x, edge_index = random_graph(nodes, 2 * nodes)
        model, sizes = made().train(), {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, s=sizes: s.setdefault(t.data_ptr(), t.numel()) and t, lambda t: t
        ):
            model(x, edge_index)
        kept.append(sum(sizes.values()))
    assert kept[1] <= 2.1 * kept[0]


def chain_copies(chains=24, length=10):
    """Paths whose last node is marked, one way or the other; the first node has to say which: out of reach of two layers."""
    nodes = chains * length
    at = torch.arange(nodes)
    inner = at[at % length != length - 1]
    edges = torch.stack([inner, inner + 1])
    mark = torch.arange(chains) % 2
    x = torch.zeros(nodes, 4)
    x[at % length == length - 1, 0] = 2.0 * mark - 1
    x[at % length == 0, 1] = 1
    x[:, 2] = torch.linspace(-1, 1, length).repeat(chains)
    y = torch.full((nodes,), -1)
    y[at % length == 0] = mark
    first = at[at % length == 0]
    data = Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=y)
    return NodeTask("chains", data, train=first[:12], valid=first[12:16], test=first[16:])


def test_saved_and_loaded(tmp_path):
    task = chain_copies(chains=20, length=4)
    model = GraphMamba.for_task(task, hidden_channels=8, walk_length=2, walks=1, repeats=1, num_layers=1)
    run = gk.fit(model, task, epochs=2, out=tmp_path)
    again = gk.load_model(tmp_path)
    assert gk.evaluate(again, task, split="test")["accuracy"] == run.test["accuracy"]


def cliques(count=4, size=4):
    """Groups whose members are all joined; a hidden edge is told by the others of its group."""
    inside = torch.combinations(torch.arange(size)).t()
    edges = torch.cat([inside + size * group for group in range(count)], 1)
    return LinkTask.from_edges("cliques", edges, count * size, split="80/10/10", x=torch.eye(count * size))


def test_no_token_or_message_holds_an_edge_of_the_batch():
    """With the batch's edges in the graph or not, stored either way: the same scores, bit for bit."""
    task = cliques()
    model = GraphMambaLinks.for_task(task, hidden_channels=8, walk_length=3, walks=4, num_layers=1).eval()
    batch = next(iter(task.loader("train", batch_size=4, num_negatives=2)))
    edges = batch.graph.edge_index
    same = (edges[0][:, None] == batch.positive[0]) & (edges[1][:, None] == batch.positive[1])
    same |= (edges[0][:, None] == batch.positive[1]) & (edges[1][:, None] == batch.positive[0])
    left = edges[:, ~same.any(1)]
    without = MessageGraph(left, torch.zeros_like(left[0]), 16, 1, batch.graph.x)
    with torch.no_grad():
        assert torch.equal(model(batch), model(PairBatch(without, batch.positive, batch.negative)))
        leaking = GraphMambaLinks(**{**model.config, "remove_targets": False}).eval()
        leaking.load_state_dict(model.state_dict())
        assert not torch.equal(leaking(batch), model(batch))


def test_held_out_edges_have_no_say():
    task = cliques()
    model = GraphMambaLinks.for_task(task, hidden_channels=8, num_layers=1).eval()
    pairs = task.edges_of("test") if hasattr(task, "edges_of") else torch.tensor([[0, 1], [2, 5]])
    edges = torch.cat([task.graph("train").edge_index, pairs, pairs.flip(0)], 1)
    other = MessageGraph(edges, torch.zeros_like(edges[0]), 16, 1, task.x)
    scores = model.score_pairs(task.graph("train"), pairs)
    assert torch.equal(scores, model.score_pairs(task.graph("train"), pairs.flip(0)))
    assert not torch.equal(scores, model.score_pairs(other, pairs))  # so the test graph matters, and holds no such edge


def test_link_model_without_features_or_with_wrong_ones():
    with pytest.raises(UserError, match="give in_channels or num_nodes"):
        GraphMambaLinks(0, 8)
    graph = MessageGraph.from_edges(torch.tensor([[0, 1], [1, 2]]), 3)
    with pytest.raises(UserError, match="no features"):
        GraphMambaLinks(4, 8).score_pairs(graph, torch.tensor([[0], [1]]))
    assert GraphMambaLinks(0, 8, num_nodes=3).score_pairs(graph, torch.tensor([[0], [1]])).shape == (1,)
