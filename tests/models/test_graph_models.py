"""Models of whole graphs: symmetries, batches, losses, tasks of every kind."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from graphkit.data import GraphTask, NodeTask
from graphkit.errors import UserError
from graphkit.models import GAT, GCN, GIN, GPS, MLP, SGC, GatedGCN, GraphSAGE, label_loss, registry, target_loss

F, C = 3, 2
OPTIONS = {
    "MLP": {"dropout": 0.0},
    "GCN": {"dropout": 0.0},
    "GCN-strong": {"dropout": 0.0, "residual": True, "norm": "layer", "feed_forward": True},
    "GraphSAGE": {"dropout": 0.0, "jumping_knowledge": "cat"},
    "GraphSAGE-strong": {"dropout": 0.0, "residual": True, "norm": "layer"},
    "GAT": {"dropout": 0.0, "heads": 4},
    "GIN": {"dropout": 0.0, "norm": "layer"},
    "GatedGCN": {"num_layers": 2, "norm": "layer"},
    "GPS": {"num_layers": 2, "norm": "layer"},
    "GPS-performer": {"num_layers": 2, "norm": "layer", "attention": "performer"},
}
POOLINGS = ("mean", "sum", "max")


def graphs(count=8, edge_channels=0, seed=0):
    """Cycles and the same with a chord; class 1 has the chord."""
    draw, found = torch.Generator().manual_seed(seed), []
    for k in range(count):
        n = 5 + k % 3
        i = torch.arange(n)
        edges = torch.stack([i, (i + 1) % n])
        if k % 2:
            edges = torch.cat([edges, torch.tensor([[0], [2]])], 1)
        edges = torch.cat([edges, edges.flip(0)], 1)
        data = Data(x=torch.randn(n, F, generator=draw), edge_index=edges, y=torch.tensor([k % 2]))
        if edge_channels:
            data.edge_attr = torch.randn(edges.size(1), edge_channels, generator=draw)
        found.append(data)
    return found


def task(data=None, **options):
    data = graphs() if data is None else data
    return GraphTask("toy", data, train=list(range(4)), valid=[4, 5], test=[6, 7], **options)


def made(name, of, **options):
    torch.manual_seed(1)
    return registry()[name.split("-")[0]].for_task(of, hidden_channels=16, **{**OPTIONS[name], **options})


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name", OPTIONS)
def test_a_graph_is_scored_alike_under_any_numbering_and_in_any_batch(name, pooling):
    whole = task()
    model = made(name, whole, pooling=pooling).eval()
    alone = torch.cat([model.score_graphs(whole.together(torch.tensor([k]))) for k in range(4)])
    together = model.score_graphs(whole.together(torch.arange(4)))
    if name != "GPS-performer":  # which measures keys against the largest of the batch
        assert torch.allclose(alone, together, atol=1e-5)
    data = graphs()[1]
    order = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(2))
    moved = Data(x=data.x[order.argsort()], edge_index=order[data.edge_index])
    assert torch.allclose(model.score_graphs(Batch.from_data_list([moved])), alone[1:2], atol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_it_overfits_a_tiny_sample_of_graphs(name):
    whole = task()
    model = made(name, whole)
    losses = [model.training_step(whole, batch_size=4, lr=0.01) for _ in range(150)]
    assert losses[-1] < 0.1 < losses[0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert whole.evaluate(model, "train")["accuracy"] == 1.0
    again = type(model)(**model.config)
    again.load_state_dict(model.state_dict())
    assert whole.evaluate(again, "test") == whole.evaluate(model, "test")


@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_model_takes_the_nodes_of_many_graphs_and_of_one(name):
    data = graphs()
    for graph in data:
        graph.y = (torch.arange(graph.num_nodes) % 2).index_fill(0, torch.tensor([1]), -1)
    many = task(data, level="node")
    model = made(name, many)
    assert model.config["level"] == "node" and "pooling" in model.config
    batch = next(iter(many.loader()))
    assert torch.allclose(model.loss(batch), label_loss(model.scores(batch.data)[batch.index], batch.y))
    assert 0 <= many.evaluate(model, "test")["macro_f1"] <= 1
    one = NodeTask("one", data[3], train=[0], valid=[2], test=[3])
    assert one.evaluate(made(name, one), "test")["count"] == 1


@pytest.mark.parametrize("name", ["GatedGCN", "GPS"])
def test_features_of_edges_are_heard(name):
    whole = task(graphs(edge_channels=2))
    model = made(name, whole).eval()
    assert model.config["edge_channels"] == 2
    batch = whole.together(torch.arange(3))
    before = model.score_graphs(batch)
    batch.edge_attr = batch.edge_attr + 1
    assert not torch.allclose(model.score_graphs(batch), before)
    batch.edge_attr = None
    with pytest.raises(UserError, match="edge_attr is None, expected"):
        model.score_graphs(batch)
    categories = graphs()
    for graph in categories:
        graph.edge_attr = torch.ones(graph.num_edges, 1, dtype=torch.int64)
    whole = task(categories, categories={"edge_attr": [3]})
    assert made(name, whole).config["edge_channels"] == 3 and whole.evaluate(made(name, whole))


def test_losses_of_labels_and_values():
    labels = [torch.tensor([[1.0, torch.nan, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])] * 4
    data = graphs()
    for graph, y in zip(data, labels, strict=True):
        graph.y = y
    batches = {target: next(iter(task(data, target=target).loader())) for target in ("labels", "values")}
    model = made("GCN", task(data, target="labels"))
    scores, y = model.scores(batches["labels"].data), batches["labels"].y
    known = ~torch.isnan(y)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(scores[known], y[known])
    assert torch.allclose(model.loss(batches["labels"]), entropy)
    assert torch.allclose(model.loss(batches["values"]), (scores - y)[known].abs().mean())
    assert torch.equal(target_loss(scores, y, "labels"), label_loss(scores, y))


def test_shares_of_a_batch_add_up():
    whole = task()
    model = made("GCN", whole)
    batch = next(iter(whole.loader()))
    model.loss(batch).backward()
    wanted = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for rank in range(3):
        share = batch.share(rank, 3)
        (model.loss(share) * share.weight).backward()
    assert all(torch.allclose(p.grad, one, atol=1e-6) for p, one in zip(model.parameters(), wanted, strict=True))


def test_rare_classes_count_more_on_request():
    data = graphs()
    data[0].y = torch.tensor([1])
    whole = task(data)
    model = made("GCN", whole)
    batch = next(iter(whole.loader(batch_size=None, balanced=True)))
    assert batch.y.tolist() == [1, 1, 0, 1] and batch.class_weight.tolist() == [0.75, 0.25]
    each = torch.nn.functional.cross_entropy(model.scores(batch.data), batch.y, reduction="none")
    weight = torch.tensor([0.25, 0.25, 0.75, 0.25])
    wanted = (weight * each).sum() / weight.sum()
    assert torch.allclose(model.loss(batch), wanted) and torch.allclose(model.loss(batch.to("cpu")), wanted)
    shares = [batch.share(rank, 3) for rank in range(3)]
    assert torch.allclose(sum(model.loss(share) * share.weight for share in shares), wanted)
    with pytest.raises(UserError, match="balanced is true, but toy has values and no classes"):
        task(data, target="values").loader(balanced=True)


def test_models_and_tasks_that_do_not_fit():
    whole = task()
    with pytest.raises(
        UserError, match="SGC classifies nodes, and toy is about whole graphs; choose another, such as GCN"
    ):
        SGC.for_task(whole)
    batch = next(iter(whole.loader()))
    with pytest.raises(UserError, match="this GCN is about nodes and the batch about graphs; make it with for_task"):
        GCN(F, 8, C).loss(batch)
    for make, message in (
        (lambda: GCN(F, 8, C, level="edge"), "level is 'edge', expected 'graph' or 'node'"),
        (lambda: GatedGCN(F, 8, C, level="edge"), "level is 'edge'"),
        (lambda: GCN(F, 8, C, residual=True, jumping_knowledge="cat"), "jumping_knowledge is 'cat', but residual"),
        (lambda: GraphSAGE(F, 8, C, feed_forward=True), "feed_forward is true, which is a part of residual layers"),
        (lambda: GPS(F, 9, C), "hidden_channels is 9, expected a multiple of heads, 4"),
        (lambda: GPS(F, 8, C, attention="all"), "attention is 'all'"),
        (lambda: GatedGCN(F, 8, C, 0), "num_layers is 0"),
        (lambda: GIN(F, 8, C, dropout=1.0), "dropout is 1.0"),
        (lambda: MLP(F, 8, C, level="graph", pooling="min"), "pooling is 'min'"),
        (lambda: GAT(F, 8, C, heads=3), "expected a multiple of heads, 3"),
    ):
        with pytest.raises(UserError, match=message):
            make()


def test_plain_layers_are_what_they_were():
    torch.manual_seed(0)
    names = set(GCN(F, 8, C, norm="layer").state_dict())
    assert names == {
        "stack.convs.0.lin.weight", "stack.convs.0.bias", "stack.convs.1.lin.weight", "stack.convs.1.bias",
        "stack.norms.0.weight", "stack.norms.0.bias",
    }  # fmt: skip
