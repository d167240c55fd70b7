"""ADPA: by hand on a tiny graph, exact batches, equivariance, parameter counts, saving, mistakes."""

import math
import os

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import NodeBatch, NodeTask
from graphkit.datasets import load
from graphkit.engine.config import load_config
from graphkit.errors import UserError
from graphkit.models import ADPA
from graphkit.nn import principal_projection
from graphkit.nn.directed_pattern_attention import HOP_ATTENTIONS, PATTERN_ATTENTIONS

EDGES = torch.tensor([[0, 1, 2, 3, 0, 4, 5, 5, 2], [1, 2, 0, 0, 4, 3, 1, 5, 4]])


def graph(nodes=6, channels=5, seed=0, edges=None):
    generator = torch.Generator().manual_seed(seed)
    edges = EDGES if edges is None else edges
    return Data(x=torch.randn(nodes, channels, generator=generator), edge_index=edges)


def random_graph(nodes=30, channels=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return graph(nodes, channels, seed, torch.randint(nodes, (2, 4 * nodes), generator=generator))


def model_of(channels=5, hidden=4, classes=3, **options):
    torch.manual_seed(0)
    return ADPA(channels, hidden, classes, **{"dropout": 0.0, **options}).eval()


def test_by_hand():
    """Everything written out with dense matrices, node by node."""
    data, model = graph(), model_of(hops=2, norm="row_row", exponent=0.3)
    n, a = 6, torch.zeros(6, 6)
    for i, j in EDGES.t().tolist():
        a[i, j] = float(i != j)
    eye = torch.eye(n)
    products = [a + eye, a.t() + eye, a @ a, a @ a.t(), a.t() @ a, a.t() @ a.t()]
    channels = [data.x]
    for number, p in enumerate(products):
        degree = p.sum(1)
        left = torch.tensor([d ** (0.3 - 1) if d > 0 else 0.0 for d in degree.tolist()])
        right = torch.tensor([d ** (-0.3) if d > 0 else 0.0 for d in degree.tolist()])
        hops = [data.x]
        for t in (1, 2):
            omega = 1 + math.log(1 / t) + 1e-6
            hops.append(omega * (left[:, None] * p * right) @ hops[-1])
        weight, bias = model.hop_attention.weight[number], model.hop_attention.bias[number]
        rows = []
        for i in range(n):
            everything = torch.cat([h[i] for h in hops])
            scores = [weight[:-1].flatten() @ everything + weight[-1] @ h[i] + bias for h in hops]
            attention = torch.stack(scores).sigmoid().softmax(0)
            rows.append(sum(w * h[i] for w, h in zip(attention, hops, strict=True)))
        channels.append(torch.stack(rows))
    encoded = [(h @ enc[0].weight.t() + enc[0].bias).relu() for h, enc in zip(channels, model.encoders, strict=True)]
    joined = torch.cat([g * z for g, z in zip(model.pattern_attention.scale, encoded, strict=True)], 1)
    torch.testing.assert_close(model(data.x, data.edge_index), model.head(joined), rtol=1e-5, atol=1e-5)


def test_parameters_are_those_of_the_paper():
    assert ADPA(1703, 32, 5).num_parameters() == 423_706
    assert ADPA(1703, 32, 5).patterns == ["A", "A^T", "AA", "AA^T", "A^TA", "A^TA^T"]


@pytest.mark.parametrize("attention_order", ["hop_first", "pattern_first"])
@pytest.mark.parametrize("pattern_attention", PATTERN_ATTENTIONS)
@pytest.mark.parametrize("hop_attention", HOP_ATTENTIONS)
def test_batches_are_exact_and_permutations_pass_through(hop_attention, pattern_attention, attention_order):
    data = random_graph()
    model = model_of(
        7, hop_attention=hop_attention, pattern_attention=pattern_attention, attention_order=attention_order
    )
    for parameter in model.parameters():  # "simple" begins with equal weights
        torch.nn.init.normal_(parameter, std=0.5)
    whole = model(data.x, data.edge_index)
    assert whole.shape == (30, 3) and bool(whole.isfinite().all())
    nodes = torch.tensor([17, 3, 3, 29])
    torch.testing.assert_close(model(data.x, data.edge_index, nodes), whole[nodes])
    torch.testing.assert_close(model.score_nodes(data, nodes), whole[nodes])
    order = torch.randperm(30, generator=torch.Generator().manual_seed(3))
    moved = torch.empty_like(data.x)
    moved[order] = data.x
    torch.testing.assert_close(model(moved, order[data.edge_index])[order], whole, rtol=1e-4, atol=1e-5)


def bags_of_words(nodes=30, channels=40, seed=0):
    """Features that are mostly zero."""
    data = random_graph(nodes, channels, seed)
    data.x = data.x.double() * (torch.rand(data.x.shape, generator=torch.Generator().manual_seed(seed)) < 0.08)
    return data


@pytest.mark.parametrize(
    "options",
    [
        *({"hop_attention": kind} for kind in HOP_ATTENTIONS),
        {"hops": 0},
        {"hops": 3, "order": 1, "num_layers": 2, "norm": "none", "decay": "none"},
        {"project": 6, "undirected": True, "diagonal": "drop"},
        {"binarize": True, "degree_cap": 4, "norm": "row_row"},
    ],
)
def test_propagated_states_give_what_propagated_features_give(options):
    """Logits and the gradients of all parameters, of all nodes and of some, in either order of calls."""
    data, nodes = bags_of_words(), torch.tensor([17, 3, 3, 29])
    ways = {way: model_of(40, propagate=way, **options).double() for way in ("features", "states")}
    for model in ways.values():
        torch.manual_seed(1)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    with torch.inference_mode():
        first = ways["states"](data.x, data.edge_index)
    for index in (None, nodes):
        found = {way: model(data.x, data.edge_index, index) for way, model in ways.items()}
        torch.testing.assert_close(found["states"], found["features"])
        for way, model in ways.items():
            model.zero_grad()
            found[way].pow(3).sum().backward()
        for mine, other in zip(ways["states"].parameters(), ways["features"].parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad)
    torch.testing.assert_close(first, ways["features"](data.x, data.edge_index))
    torch.testing.assert_close(ways["states"].score_nodes(data, nodes), first[nodes])


def test_what_is_propagated_follows_from_the_cost():
    """Few non-zeros and many nodes asked for: states; a few nodes of the same graph, or a gradient for x: features."""
    data, model = bags_of_words(300, 400), model_of(400)
    assert model._carries_states(data.x, data.edge_index, 300)
    assert not model._carries_states(data.x, data.edge_index, 3)
    assert not model._carries_states(data.x.clone().requires_grad_(), data.edge_index, 300)
    dense = random_graph(300, 8)
    assert not model_of(8)._carries_states(dense.x, dense.edge_index, 300)
    x = data.x.float().requires_grad_()
    model_of(400, propagate="states")(x, data.edge_index).sum().backward()
    assert x.grad is not None and bool(x.grad.any())


def test_scores_in_several_blocks_of_rows(monkeypatch):
    data, model = random_graph(), model_of(7)
    whole = model(data.x, data.edge_index)
    monkeypatch.setattr("graphkit.models.adpa._ROWS_BYTES", 4 * 13 * 7 * 4)
    torch.testing.assert_close(model.score_nodes(data, torch.arange(30)), whole)


def test_no_hops_read_no_edges():
    data = random_graph()
    model = model_of(7, hops=0)
    other = random_graph(seed=1).edge_index
    assert torch.equal(model(data.x, data.edge_index), model(data.x, other))


def test_symmetric_graphs_and_the_undirected_reading():
    data = random_graph()
    both = torch.cat([data.edge_index, data.edge_index.flip(0)], 1)
    torch.manual_seed(0)
    rows = model_of(7).precompute(data.x, both)[torch.arange(30)].view(30, 13, 7)
    first, second = rows[:, 1:5].view(30, 2, 2, 7), rows[:, 5:].view(30, 4, 2, 7)
    for same in (first, second):
        torch.testing.assert_close(same, same[:, :1].expand_as(same), rtol=1e-5, atol=1e-6)
    undirected = model_of(7, undirected=True)
    torch.testing.assert_close(undirected(data.x, data.edge_index), model_of(7)(data.x, both))
    assert not torch.allclose(model_of(7)(data.x, data.edge_index), undirected(data.x, data.edge_index))


def test_features_are_computed_once_and_anew_when_the_graph_changes():
    data, model = random_graph(), model_of(7)
    first = model.precompute(data.x, data.edge_index)
    assert model_of(7, hidden=9).precompute(data.x, data.edge_index) is first  # another model, the same propagation
    assert model_of(7, hops=1).precompute(data.x, data.edge_index) is not first
    before = model(data.x, data.edge_index)
    data.edge_index[0, 0] = (data.edge_index[0, 0] + 1) % 30
    assert model.precompute(data.x, data.edge_index) is not first
    data.x[4] += 1
    assert not torch.equal(model(data.x, data.edge_index), before)


def test_projected_features():
    data = random_graph(channels=12)
    data.x = data.x[:, :4] @ torch.randn(4, 12, generator=torch.Generator().manual_seed(1))  # rank 4
    model = model_of(12, project=5)
    coordinates = principal_projection(data.x, 5)
    torch.testing.assert_close(coordinates @ coordinates.t(), data.x @ data.x.t(), rtol=1e-4, atol=1e-4)
    assert not coordinates[:, 4].any()
    torch.testing.assert_close(model(data.x, data.edge_index), model_of(5)(coordinates, data.edge_index))
    torch.testing.assert_close(model(data.x, data.edge_index, torch.tensor([3])), model(data.x, data.edge_index)[[3]])


@pytest.mark.parametrize("dtype, tolerance", [("float32", 0.0), ("float16", 2e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_storage(storage, dtype, tolerance, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path))
    data = random_graph()
    wanted = model_of(7)(data.x, data.edge_index)
    model = model_of(7, storage=storage, dtype=dtype)
    found = model(data.x, data.edge_index)
    assert float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())
    assert torch.equal(model(data.x, data.edge_index, torch.arange(30)), found)
    assert bool(list(tmp_path.iterdir())) == (storage == "disk")


def test_the_released_scramble_mixes_nodes():
    data = random_graph()
    model = model_of(7, legacy_scramble=True)
    whole = model(data.x, data.edge_index)
    assert not torch.allclose(whole, model_of(7)(data.x, data.edge_index))
    torch.testing.assert_close(model.score_nodes(data, torch.tensor([3])), whole[[3]])  # all nodes are computed
    order = torch.arange(29, -1, -1)
    moved = torch.empty_like(data.x)
    moved[order] = data.x
    assert not torch.allclose(model(moved, order[data.edge_index])[order], whole, rtol=1e-3, atol=1e-3)


def test_attention_can_be_looked_at():
    data, model = random_graph(), model_of(7, pattern_attention="gate")
    weights = model.attention(data, torch.tensor([2, 5]))
    assert weights["hops"].shape == (2, 6, 3) and weights["patterns"].shape == (2, 7)
    torch.testing.assert_close(weights["hops"].sum(-1), torch.ones(2, 6))
    torch.testing.assert_close(weights["patterns"].sum(-1), torch.ones(2))
    with pytest.raises(UserError, match="pattern_first"):
        model_of(7, attention_order="pattern_first").attention(data, torch.tensor([2]))


def test_loss_of_classes_and_of_several_labels():
    data, model = random_graph(), model_of(7)
    index, y = torch.tensor([1, 4, 8]), torch.tensor([0, 2, 1])
    logits = model(data.x, data.edge_index, index)
    torch.testing.assert_close(model.loss(NodeBatch(data, index, y)), torch.nn.functional.cross_entropy(logits, y))
    several = torch.tensor([[0.0, 1.0, torch.nan], [1.0, 1.0, 0.0], [torch.nan] * 3])
    wanted = -torch.stack([(1 - logits[0, 0].sigmoid()).log(), logits[0, 1].sigmoid().log(), logits[1, 0].sigmoid().log(),
                           logits[1, 1].sigmoid().log(), (1 - logits[1, 2].sigmoid()).log()]).mean()  # fmt: skip
    torch.testing.assert_close(model.loss(NodeBatch(data, index, several)), wanted)


def test_learns_directions_that_tell():
    """Classes that only the out-neighbours give away; the features of a node say nothing about itself."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 3
    source = torch.arange(120).repeat(4)
    step = 3 * torch.randint(40, (480,), generator=generator)
    edges = torch.stack([source, (source + 1 + step) % 120])
    x = torch.nn.functional.one_hot(y, 3).float() + 0.8 * torch.randn(120, 3, generator=generator)
    masks = {"train": torch.arange(60), "valid": torch.arange(60, 80), "test": torch.arange(80, 120)}
    task = NodeTask.from_edges("wheel", edges, y, x=x, **masks)
    torch.manual_seed(0)
    model = ADPA.for_task(task, hidden_channels=16, dropout=0.2)
    for _ in range(100):
        model.training_step(task, lr=0.01)
    assert task.evaluate(model, "test")["accuracy"] > 0.9


EXPERIMENTS = ["texas", "cornell", "chameleon-filtered", "chameleon-filtered-undirected", "cora_ml", "citeseer"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_shipped_experiments_make_a_model_and_take_two_steps(name):
    """The file's own model and training options; its data where they are, else nodes made up in their place."""
    config = load_config(f"adpa/{name}")
    assert config.data["task"] == "node" and config.data["name"] == name.split("-")[0]
    if os.path.isdir(os.environ.get("GRAPHKIT_DATA", "")):
        task = load(**config.data)
    else:
        data = random_graph(channels=11)
        masks = {"train": torch.arange(20), "valid": torch.arange(20, 25), "test": torch.arange(25, 30)}
        task = NodeTask.from_edges("made up", data.edge_index, torch.arange(30) % 3, x=data.x, **masks)
    torch.manual_seed(0)
    model = ADPA.for_task(task, **{key: value for key, value in config.model.items() if key != "name"})
    losses = [model.training_step(task, lr=config.train["lr"]) for _ in range(2)]
    assert all(math.isfinite(loss) for loss in losses) and losses[0] != losses[1]
    scores = model.score_nodes(task.graph(), task.nodes_of("valid"))
    assert scores.shape[1] == task.out_channels and bool(scores.isfinite().all())


def test_mistakes_are_named():
    for options, words in [
        ({"hops": -1}, "hops is -1"),
        ({"order": 0}, "order is 0"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"project": 0}, "project is 0"),
        ({"project": 6}, "5 channels"),
        ({"exponent": 2}, "from 0 to 1"),
        ({"decay": [1.0]}, "1 numbers for 2 hops"),
        ({"decay": "papr"}, "did you mean 'paper'"),
        ({"hop_attention": "gates"}, "did you mean 'gate'"),
        ({"propagate": "state"}, "did you mean 'states'"),
        ({"propagate": "states", "storage": "disk"}, "keeps no propagated features"),
        ({"propagate": "states", "attention_order": "pattern_first"}, "leave it at 'auto'"),
        ({"pattern_attention": "gates"}, "did you mean 'gate'"),
        ({"squash": "tanh"}, "unknown squash"),
        ({"attention_order": "first"}, "attention_order"),
        ({"storage": "tape"}, "unknown storage"),
    ]:
        with pytest.raises(UserError, match=words):
            ADPA(5, 4, 3, **options)
    data, model = random_graph(), model_of(7)
    with pytest.raises(UserError, match="expected features \\[N, 7\\]"):
        model(data.x[:, 1:], data.edge_index)
    with pytest.raises(UserError, match="has no features"):
        model.score_nodes(Data(edge_index=data.edge_index), torch.tensor([0]))
    data.x[1, 1] = torch.nan
    with pytest.raises(UserError, match="no finite numbers"):
        model(data.x, data.edge_index)
    with pytest.raises(UserError, match="unknown dtype"):
        model_of(7, dtype="float8")(random_graph().x, data.edge_index)
