"""GMoPE: by hand, gradients of chosen experts alone, shared draws, relabelled nodes and experts, labels unseen."""

import copy

import mixture_graphs
import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import FewShotSplit, MessageGraph, SourceGraph
from graphkit.errors import UserError
from graphkit.models import GMoPE
from graphkit.nn import OBJECTIVES, prompt_orthogonality

SIZES = {"num_experts": 3, "prompt_channels": 4, "num_layers": 2}


def pretrainable(objective="edge_pred", seed=0, **options):
    torch.manual_seed(seed)
    model = GMoPE(8, 6, **{**SIZES, **options})
    model.set_objective(objective)
    return model


def batch_of(model, task, unit="node"):
    source = SourceGraph.of(task)
    return source.batch(model.aligned(source.x), unit=unit)


def unit_of(objective):
    return "subgraph" if objective in ("graphcl", "simgrace") else "node"


def test_one_expert_by_hand():
    model = GMoPE(2, 1, out_channels=2, num_experts=1, prompt_channels=1, num_layers=1, align="none").eval()
    with torch.no_grad():
        model.bank.weight.copy_(torch.tensor([[1.0], [2.0]])[None, None])
        model.bank.prompt_weight.fill_(3.0)
        model.prompts.prompt.fill_(0.5)
        model.head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model.head.bias.zero_()
    x, edges = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0], [1]])
    # D + I = 2: every entry of the matrix is 1/2; each node gets (1 + 2) / 2 + 3 * 0.5
    assert model(x, edges).flatten().tolist() == pytest.approx([3.0, 3.0])
    data = Data(x=x, edge_index=edges)
    assert model.score_nodes(data, torch.tensor([1]))[0].tolist() == pytest.approx([3.0, -3.0])
    loss = model.task_loss(model(x, edges), torch.tensor([0, 1]))
    expected = (torch.tensor(6.0).exp().add(1).log() + torch.tensor(-6.0).exp().add(1).log()) / 2
    assert float(loss.detach()) == pytest.approx(float(expected)) and float(model.orthogonality()) == 0


def test_parameter_counts_are_those_of_the_formula():
    model = GMoPE(100, 64, out_channels=7, num_experts=7)
    counts = [sum(p.numel() for p in part.parameters()) for part in (model.bank, model.prompts, model.head)]
    assert counts == [117_824, 224, 455]
    names = model.freeze("prompt")
    trained = sum(p.numel() for name, p in model.named_parameters() if name in names)
    assert round(100 * trained / sum(counts), 2) == 0.57
    small = GMoPE(50, 64, out_channels=5, num_experts=4, prompt_channels=16)
    assert [sum(p.numel() for p in part.parameters()) for part in (small.bank, small.prompts, small.head)] == [
        50_432,
        64,
        325,
    ]


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_experts_that_were_not_chosen_get_no_gradient(objective):
    model = pretrainable(objective, top_k=1, ortho_weight=0.7)
    found = model.pretrain_step(batch_of(model, mixture_graphs.planted(), unit_of(objective)), seed=3)
    found.loss.backward()
    (winner,) = found.mask.nonzero().flatten().tolist()
    assert float(found.weights[winner]) == 1 and winner == int(found.losses.argmin())
    prompts = model.prompts.prompt.detach().clone().requires_grad_()
    (0.7 * prompt_orthogonality(prompts)).backward()
    for m in range(3):
        touched = [
            bool(p.grad[m].any()) for p in [*model.bank.parameters(), *model.objective.parameters()] if p.dim() > 1
        ]
        assert any(touched) if m == winner else not any(touched)
        same = torch.allclose(model.prompts.prompt.grad[m], prompts.grad[m], atol=1e-7)
        assert same != (m == winner)


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_scores_and_gradients_see_one_draw_and_global_streams_stay(objective):
    model = pretrainable(objective, top_k=2).train()
    batch = batch_of(model, mixture_graphs.planted(), unit_of(objective))
    draws = []
    draw = type(model.objective).draw

    def recording(self, *arguments):
        draws.append(draw(self, *arguments))
        return draws[-1]

    model.objective.draw = recording.__get__(model.objective)
    before = torch.get_rng_state()
    found = model.pretrain_step(batch, seed=5)
    assert torch.equal(torch.get_rng_state(), before) and len(draws) == 2

    def tensors(value):
        if isinstance(value, dict):
            return [t for one in value.values() for t in tensors(one)]
        if isinstance(value, list):
            return [t for one in value for t in tensors(one)]
        return [value] if isinstance(value, torch.Tensor) else []

    for ours, theirs in zip(tensors(draws[0]), tensors(draws[1]), strict=True):
        assert torch.equal(ours, theirs)
    # dropout is the same too: the losses with gradients are those that were compared
    with torch.no_grad():
        again = model.pretrain_losses(batch, 5)
    assert torch.allclose(again, found.losses, atol=1e-6)
    assert not torch.allclose(model.pretrain_losses(batch, 6).detach(), again) or objective == "feat_rec"


def test_equal_experts_get_equal_losses():
    for objective in OBJECTIVES:
        model = pretrainable(objective).train()
        for parameter in [*model.bank.parameters(), model.prompts.prompt, *model.objective.parameters()]:
            if parameter.dim() > 1 and parameter.size(0) == 3:
                parameter.data[1:] = parameter.data[:1]
        losses = model.pretrain_losses(batch_of(model, mixture_graphs.planted(), unit_of(objective)), 0)
        assert torch.allclose(losses, losses[:1].expand(3), atol=1e-6), objective


def test_weights_of_the_total_are_those_of_the_paper_or_one():
    model = pretrainable(ortho_weight=2.0)
    losses, gate = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 0.5, 0.0])
    apart = float(model.orthogonality().detach())
    assert float(model.total(gate, losses)) == pytest.approx(2 * apart + 1.5 / 3)
    model.loss_scale = "mean"
    assert float(model.total(gate, losses)) == pytest.approx(2 * apart + 1.5)


def test_relabelling_nodes_permutes_answers_and_leaves_losses_and_gate():
    torch.manual_seed(0)
    model = GMoPE(12, 6, out_channels=3, align="none", **SIZES).double().eval()
    task = mixture_graphs.planted()
    n = task.num_nodes
    order = torch.randperm(n)
    place = torch.empty(n, dtype=torch.int64)
    place[order] = torch.arange(n)
    x = task.x.double()
    here, there = Data(x=x, edge_index=task.edge_index), Data(x=x[order], edge_index=place[task.edge_index])
    every = torch.arange(n)
    assert torch.allclose(model.score_nodes(here, every)[order], model.score_nodes(there, every), atol=1e-10)
    graph = MessageGraph.from_edges(task.edge_index, n, x)
    moved = MessageGraph.from_edges(place[task.edge_index], n, x[order])
    links = GMoPE(12, 6, predicts="links", align="none", **SIZES).double().eval()
    pairs = torch.randint(n, (2, 30))
    scores = links.score_pairs(graph, pairs)
    assert torch.allclose(scores, links.score_pairs(moved, place[pairs]), atol=1e-10)
    assert torch.allclose(scores, links.score_pairs(graph, pairs.flip(0)), atol=1e-12)
    # the recorded negatives are relabelled as well
    model.set_objective("edge_pred")
    one, two = (SourceGraph("g", data.x, data.edge_index).batch(data.x) for data in (here, there))
    draw = model.objective.draw(one, torch.Generator().manual_seed(0))
    mapped = {key: place[draw[key]] for key in ("positive", "negative")}
    mapped["removed"] = two.graph.removed_by(mapped["positive"])

    def encode(batch):
        return lambda x, *, removed=None: model(x, batch.graph, removed=removed)

    first = model.objective.losses(encode(one), one, draw)
    second = model.objective.losses(encode(two), two, mapped)
    assert torch.allclose(first, second, atol=1e-10)
    assert torch.allclose(model.router(first).weights, model.router(second).weights, atol=1e-10)


def test_permuting_experts_permutes_gate_and_confidence_and_leaves_the_mixture():
    torch.manual_seed(0)
    model = GMoPE(12, 6, out_channels=3, align="none", **SIZES).eval()
    order = torch.tensor([2, 0, 1])
    other = copy.deepcopy(model)
    for parameter in [*other.bank.parameters(), other.prompts.prompt]:
        parameter.data = parameter.data[order]
    task = mixture_graphs.planted()
    data, every = task.graph(), torch.arange(task.num_nodes)
    (ours, omega), (theirs, turned) = (m.answer(m(m.features(data))) for m in (model, other))
    assert torch.allclose(ours, theirs, atol=1e-6) and torch.allclose(omega[order], turned, atol=1e-6)
    loss, moved = (m.task_loss(m(m.features(data)), task.y) for m in (model, other))
    assert torch.allclose(loss, moved, atol=1e-6) and torch.allclose(model.expert_losses[order], other.expert_losses)
    assert torch.allclose(model.score_nodes(data, every), ours)


def test_routing_without_labels_is_the_same_whatever_the_labels_are():
    model = pretrainable(top_k=1)
    task, other = mixture_graphs.planted(), mixture_graphs.planted()
    other.y = torch.full_like(other.y, -1)
    found = [model.route(batch_of(model, one), seed=1)[0] for one in (task, other)]
    assert torch.equal(*found) and sorted(found[0].tolist()) == [0, 0, 1]


def test_aggregations_are_what_they_say():
    torch.manual_seed(0)
    states = torch.randn(3, 7, 6)
    weights = {}
    for kind in ("confidence", "uniform", "best", "random", "mlp"):
        model = GMoPE(8, 6, out_channels=4, aggregation=kind, **SIZES).eval()
        model.expert_losses = torch.tensor([0.5, 0.1, 0.9])
        out, weights[kind] = model.answer(states)
        assert out.shape == (7, 4) and torch.allclose(weights[kind].sum(0), torch.ones(7), atol=1e-6)
        assert torch.allclose(out, model.head(torch.einsum("mb,mbh->bh", weights[kind], states)), atol=1e-5)
    assert torch.allclose(weights["uniform"], torch.full((3, 7), 1 / 3))
    assert bool((weights["best"][1] == 1).all()) and bool(((weights["random"] == 1).sum(0) == 1).all())
    routed = pretrainable(top_k=1, aggregation="routed")
    routed.set_head("classes", 3)
    task = mixture_graphs.planted()
    features = routed.eval().features(task.graph())
    mask = routed._routed(features)
    assert int(mask.sum()) == 1
    alone = routed.head(routed(features)[mask.nonzero()[0, 0]])
    assert torch.allclose(routed.score_nodes(task.graph(), torch.arange(60)), alone, atol=1e-6)


@pytest.mark.parametrize("mode", ["prompt", "head", "bias", "full"])
def test_a_step_changes_what_its_mode_trains_and_nothing_else(mode):
    model = pretrainable()
    model.set_head("classes", 3)
    names = model.freeze(mode)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task = FewShotSplit(2).of(mixture_graphs.planted())
    model.train()
    assert model.bank.training == (mode == "full")
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        loss = model.loss(next(iter(task.loader())))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {*names, "expert_losses"}
    if mode == "prompt":
        assert names == ["prompts.prompt", "head.weight", "head.bias"]


OPTIONS = [
    {"prompt_mode": "add", "prompt_channels": None}, {"prompt_mode": "add_attn", "prompt_channels": None},
    {"prompt_mode": "film", "sharing": "shared"}, {"sharing": "shared"}, {"conv": "sage"}, {"conv": "gin"}, {"conv": "sgc"},
    {"routing": "uniform"}, {"routing": "random", "top_k": 1}, {"ortho": "gram"}, {"standardize": True},
    {"align_scale": "sqrt_s"}, {"expert_chunk": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_takes_a_step_of_pretraining_and_of_tuning(options):
    model = pretrainable(**options)
    task = mixture_graphs.planted()
    model.pretrain_step(batch_of(model, task), 0).loss.backward()
    model.set_head("classes", 3)
    model.loss(next(iter(task.loader()))).backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    assert task.evaluate(model, "test")["count"] == 30


def test_features_of_other_widths_and_none_are_read():
    model = pretrainable()
    wide = mixture_graphs.planted(channels=40)
    assert model(model.features(wide.graph())).shape == (3, 60, 6)
    bare = Data(edge_index=wide.edge_index, num_nodes=60)
    assert model(model.features(bare)).shape == (3, 60, 6)
    assert model.features(wide.graph()) is model.features(wide.graph())


def test_a_batch_of_links_hides_its_positives():
    torch.manual_seed(0)
    task = mixture_graphs.links()
    model = GMoPE.for_task(task, **SIZES).eval()
    batch = next(iter(task.loader(batch_size=16)))
    left = SourceGraph("left", task.x, task.train[:, task_edges_without(task, batch.positive)])
    states = model(model.features(batch.graph).x, left.graph)
    y = torch.cat([torch.ones(16), torch.zeros(16)])
    expected = model.task_loss(states[:, batch.pairs[0]] * states[:, batch.pairs[1]], y)
    assert torch.allclose(model.loss(batch), expected, atol=1e-6)


def task_edges_without(task, pairs):
    gone = {tuple(sorted(pair)) for pair in pairs.t().tolist()}
    return torch.tensor([tuple(sorted(pair)) not in gone for pair in task.train.t().tolist()])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: GMoPE(8, 6, num_experts=0), "num_experts is 0"),
        (lambda: GMoPE(8, 6, aggregation="vote"), "unknown aggregation 'vote'"),
        (lambda: GMoPE(8, 6, ortho_weight=-1.0), "ortho_weight is -1.0"),
        (lambda: GMoPE(8, 6, predicts="classes"), "out_channels is None, expected the number of classes"),
        (lambda: GMoPE(8, 6, predicts="labels", out_channels=2, head="prototype"), "prototypes need one class each"),
        (lambda: GMoPE(8, 6, objective="contrast"), "unknown objective 'contrast'"),
        (lambda: GMoPE(8, 6).pretrain_losses(None, 0), "no objective to be pre-trained by"),
        (lambda: GMoPE(8, 6).answer(torch.ones(4, 2, 6)), r"gk.tune\(model, task\).model has one"),
        (lambda: GMoPE(8, 6, align="none").aligned(torch.ones(2, 3)), "features have 3 channels, but the model reads 8"),
        (lambda: GMoPE(8, 6).freeze("prompts"), "unknown mode of tuning 'prompts'; did you mean 'prompt'"),
        (lambda: GMoPE(8, 6, out_channels=2).score_pairs(None, None), "tells classes of nodes, not links"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
