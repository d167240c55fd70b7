"""NBFNet on undirected graphs: symmetry, what it may depend on, what training hides."""

import math

import pytest
import torch

from graphkit.data import KnowledgeGraphTask, LinkTask, MessageGraph, PairBatch
from graphkit.errors import UserError
from graphkit.models import NBFNet

N = 16


def random_edges(seed=0, edges=24, nodes=N):
    pairs = torch.combinations(torch.arange(nodes)).t()
    return pairs[:, torch.randperm(pairs.size(1), generator=torch.Generator().manual_seed(seed))[:edges]]


def model_of(seed=0, **options):
    torch.manual_seed(seed)
    options = {"num_layers": 3, "symmetric": True, "dependent": False, "adversarial_temperature": 0.0, **options}
    model = NBFNet(1, 8, options.pop("num_layers"), **options).double()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, mean=0.5)
    return model


EVERY = torch.combinations(torch.arange(N), with_replacement=True).t()


@torch.no_grad()
def scores(model, graph, pairs=EVERY):
    return model.score_pairs(graph, pairs)


def by_hand(model, edges, u, v, nodes=N, removed=()):
    """The score of one pair straight from the definition, in dense torch: DistMult, PNA."""
    gone = {frozenset(pair) for pair in removed}
    neighbours = {x: [x] for x in range(nodes)}  # a self-loop at every node
    for a, b in edges.t().tolist():
        if frozenset((a, b)) not in gone:
            neighbours[a].append(b)
            neighbours[b].append(a)
    query = model.query.weight[0]
    log_degree = [math.log(len(neighbours[x]) + 1) for x in range(nodes)]
    mean_log = sum(log_degree) / nodes

    def states(source):
        boundary = [query if x == source else torch.zeros_like(query) for x in range(nodes)]
        state = boundary
        for layer in model.layers:
            (relation,) = layer.relation.weight
            after = []
            for x in range(nodes):
                messages = torch.stack([*(state[y] * relation for y in neighbours[x]), boundary[x]])
                mean = messages.mean(0)
                std = ((messages**2).mean(0) - mean**2).clamp(min=1e-6).sqrt()
                four = torch.stack([mean, messages.max(0).values, messages.min(0).values, std], 1)  # [d, 4]
                scale = log_degree[x] / mean_log
                scales = torch.tensor([1.0, scale, 1 / max(scale, 0.01)], dtype=four.dtype)
                features = (four.unsqueeze(2) * scales).flatten()
                after.append((layer.norm(layer.linear(torch.cat([state[x], features])))).relu() + state[x])
            state = after
        return state

    feature = (states(u)[v] + states(v)[u]) / 2
    return model.mlp(torch.cat([feature, query]))[0]


def test_scores_are_their_definition():
    edges, model = random_edges(), model_of(num_layers=2)
    graph = MessageGraph.from_edges(edges, N)
    pairs = torch.tensor([[0, 3, 5, 9], [1, 12, 5, 4]])
    expected = torch.stack([by_hand(model, edges, u, v) for u, v in pairs.t().tolist()])
    torch.testing.assert_close(model.score_pairs(graph, pairs), expected, rtol=1e-9, atol=1e-9)


def test_training_scores_are_their_definition_on_the_graph_without_the_batch():
    edges, model = random_edges(), model_of(num_layers=2)
    task = LinkTask("toy", N, edges, edges[:, :0], edges[:, :0])
    batch = next(iter(task.loader(batch_size=4)))
    removed = batch.positive.t().tolist()
    with torch.no_grad():
        expected = torch.stack([by_hand(model, edges, u, v, removed=removed) for u, v in batch.pairs.t().tolist()])
    torch.testing.assert_close(model(batch).detach().t().flatten(), expected, rtol=1e-9, atol=1e-9)
    loss = sum(math.log1p(math.exp(-s)) for s in expected[:4]) + sum(math.log1p(math.exp(s)) for s in expected[4:])
    assert float(model.loss(batch).detach()) == pytest.approx(loss / 8, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"aggregate": "sum"}, {"concat_hidden": True}, {"dependent": True}], ids=str)
def test_a_pair_scores_the_same_both_ways_to_the_last_bit(dtype, options):
    graph, model = MessageGraph.from_edges(random_edges(), N), model_of(**options).to(dtype)
    assert torch.equal(scores(model, graph), scores(model, graph, EVERY.flip(0)))
    both = scores(model, graph, torch.cat([EVERY, EVERY.flip(0)], 1))
    assert torch.equal(both[: EVERY.size(1)], both[EVERY.size(1) :])


@pytest.mark.parametrize("options", [{}, {"aggregate": "mean"}, {"dependent": True}], ids=str)
def test_whole_passes_and_needed_states_give_the_same(options, monkeypatch):
    import graphkit.models.nbfnet as module

    graph = MessageGraph.from_edges(random_edges(edges=12), N)
    found = []
    for size in (0, 10**9):
        monkeypatch.setattr(module.PairFlow, "size", lambda self, size=size: size)
        model = model_of(concat_hidden=True, **options)
        batch = PairBatch(graph, random_edges(edges=12)[:, :3], torch.tensor([[0, 1, 2], [9, 9, 8]]))
        loss = model.loss(batch)
        loss.backward()
        found.append([scores(model, graph), loss.detach(), *(p.grad for p in model.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("aggregate", ["pna", "sum", "mean", "max"])
def test_renaming_nodes(aggregate):
    edges, model = random_edges(), model_of(aggregate=aggregate)
    new = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    before = scores(model, MessageGraph.from_edges(edges, N))
    after = scores(model, MessageGraph.from_edges(new[edges], N), new[EVERY])
    torch.testing.assert_close(before, after, rtol=1e-9, atol=1e-9)
    assert before.std() > 1e-3


def test_the_order_and_direction_of_edges_do_not_matter():
    edges, model = random_edges(), model_of()
    other = edges[:, torch.randperm(24, generator=torch.Generator().manual_seed(1))]
    other = torch.cat([other[:, :9].flip(0), other[:, 9:]], 1)
    assert torch.equal(
        scores(model, MessageGraph.from_edges(edges, N)), scores(model, MessageGraph.from_edges(other, N))
    )


def test_small_batches_of_passes_score_the_same():
    graph, model = MessageGraph.from_edges(random_edges(), N), model_of()
    told = []
    for size in (1, 3, 7):
        some = model.score_pairs(graph, EVERY, batch_size=size, progress=lambda done, total: told.append((done, total)))
        torch.testing.assert_close(some, model.score_pairs(graph, EVERY), rtol=1e-10, atol=1e-10)
    assert told[-1] == (N, N) and told[0] == (1, N)


def test_a_pair_further_apart_than_the_layers_knows_of_no_path():
    # two paths apart; changing the graph near u changes nothing that v alone does not see
    path = torch.stack([torch.arange(11), torch.arange(11) + 1])
    model = model_of(num_layers=2, aggregate="sum")
    graph = MessageGraph.from_edges(path, 12)
    far, near = torch.tensor([[0, 1, 2], [9, 9, 9]]), torch.tensor([[7, 9], [9, 10]])
    hidden, _ = model.node_states(graph.with_self_loops, torch.tensor([0, 1, 2, 8]), torch.zeros(4, dtype=torch.int64))
    assert torch.equal(hidden[0][0, 9], hidden[0][1, 9]) and torch.equal(hidden[0][0, 9], hidden[0][2, 9])
    assert not torch.allclose(hidden[0][0, 9], hidden[0][3, 9])
    bridged = MessageGraph.from_edges(torch.cat([path, torch.tensor([[2], [9]])], 1), 12)
    assert not torch.allclose(scores(model, graph, far), scores(model, bridged, far))
    assert scores(model, graph, near).std() > 0


def test_isolated_nodes_are_scored():
    model = model_of()
    graph = MessageGraph.from_edges(torch.tensor([[0], [1]]), 5)
    result = scores(model, graph, torch.tensor([[0, 0, 2, 2], [1, 2, 3, 2]]))
    assert bool(result.isfinite().all()) and len(set(result.tolist())) == 4
    empty = scores(model, graph, torch.empty(2, 0, dtype=torch.int64))
    assert empty.shape == (0,)


@pytest.mark.parametrize("one_hop", [True, False])
def test_training_hides_both_directions_of_the_batch_and_nothing_else(one_hop):
    edges = random_edges()
    graph = MessageGraph.from_edges(edges, N)
    negative = torch.tensor([[0, 1, 2], [0, 0, 0]]).flip(0)  # one of them may be an edge: it is hidden too
    batch = PairBatch(graph, torch.cat([edges[:, :2], edges[:, 2:3].flip(0)], 1), negative)
    mask = model_of(remove_one_hop=one_hop).easy_edge_mask(batch)
    hidden = {frozenset(pair) for pair in batch.pairs.t().tolist()}
    for (u, v), kept in zip(graph.edge_index.t().tolist(), mask.tolist(), strict=True):
        assert kept == (frozenset((u, v)) not in hidden)
    assert not bool(mask[:3].any()) and not bool(mask[24:27].any())


def test_a_batch_equals_a_graph_without_its_edges():
    edges, model = random_edges(), model_of()
    negative = torch.tensor([[0, 1, 2, 3], [9, 9, 8, 8]])
    batch = PairBatch(MessageGraph.from_edges(edges, N), edges[:, :4], negative)
    hidden = {frozenset(pair) for pair in batch.pairs.t().tolist()}
    rest = torch.tensor([pair for pair in edges.t().tolist() if frozenset(pair) not in hidden]).t()
    plain = scores(model, MessageGraph.from_edges(rest, N), batch.pairs)
    found = model(batch)
    torch.testing.assert_close(torch.cat([found[:, 0], found[:, 1]]), plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_shares_of_a_batch_add_up_to_it(processes):
    edges, model = random_edges(), model_of()
    task = LinkTask("toy", N, edges, edges[:, :0], edges[:, :0])
    batch = next(iter(task.loader(batch_size=5, num_negatives=2))).to("cpu")
    model.loss(batch).backward()
    whole = [float(model.loss(batch).detach()), *(p.grad.clone() for p in model.parameters())]
    model.zero_grad()
    shares = [batch.share(rank, processes) for rank in range(processes)]
    assert torch.equal(torch.cat([share.positive for share in shares], 1), batch.positive)
    assert torch.equal(torch.cat([share.negative for share in shares], 1), batch.negative)
    assert sum(share.weight for share in shares) == pytest.approx(1) and batch.weight == 1
    total = 0.0
    for share in shares:
        assert torch.equal(model.easy_edge_mask(share), model.easy_edge_mask(batch))
        if share.weight:
            loss = model.loss(share.to("cpu")) * share.weight
            loss.backward()
            total += float(loss.detach())
    assert total == pytest.approx(whole[0], abs=1e-6)
    for parameter, expected in zip(model.parameters(), whole[1:], strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-7)


def test_rows_hold_the_negatives_of_their_positive():
    edges, model = random_edges(), model_of(adversarial_temperature=0.7)
    task = LinkTask("toy", N, edges, edges[:, :0], edges[:, :0])
    batch = next(iter(task.loader(batch_size=5, num_negatives=3)))
    mask = model.easy_edge_mask(batch)
    flat = model.score_pairs(batch.graph, batch.pairs, edge_mask=mask)
    expected = torch.cat([flat[:5].unsqueeze(1), flat[5:].view(5, 3)], 1)
    torch.testing.assert_close(model(batch), expected)
    weights = (expected[:, 1:] / 0.7).softmax(1)
    softplus = torch.nn.functional.softplus
    by_rows = (softplus(-expected[:, 0]) + (weights * softplus(expected[:, 1:])).sum(1)) / 2
    torch.testing.assert_close(model.loss(batch).double(), by_rows.mean(), rtol=1e-5, atol=1e-6)


def test_parameter_count_of_the_published_setting():
    # one query row; six layers of one relation row, a map of 13 * 32 inputs with bias, a norm; the readout
    expected = 32 + 6 * (32 + 13 * 32 * 32 + 32 + 64) + 64 * 64 + 64 + 64 + 1
    assert NBFNet(1, 32, 6, symmetric=True, dependent=False).num_parameters() == expected == 84_897


def test_a_model_for_a_task():
    edges = random_edges()
    task = LinkTask.from_edges("toy", edges, N)
    model = NBFNet.for_task(task, hidden_channels=8)
    config = {key: model.config[key] for key in ("symmetric", "dependent", "remove_one_hop", "adversarial_temperature")}
    assert config == {"symmetric": True, "dependent": False, "remove_one_hop": True, "adversarial_temperature": 0.0}
    assert NBFNet.for_task(task, dependent=True).config["dependent"]
    again = NBFNet(**model.config)
    again.load_state_dict(model.state_dict())
    assert torch.equal(scores(model, task.graph()), scores(again, task.graph()))
    facts = KnowledgeGraphTask.from_names("facts", [("a", "r", "b")], [], [])
    for mistake, message in (
        (lambda: NBFNet.for_task(task, symmetric=False), "toy is an undirected graph .*symmetric=True"),
        (lambda: NBFNet.for_task(facts, symmetric=True), "facts is a knowledge graph; .*symmetric=False"),
        (lambda: NBFNet(2, symmetric=True), "num_relations is 1, not 2"),
        (lambda: NBFNet(1).score_pairs(task.graph(), EVERY), "scored by a model with symmetric=True"),
        (lambda: model.score_queries(task.graph(), torch.tensor([0]), torch.tensor([0])), "use score_pairs"),
        (lambda: model.score_pairs(facts.graph(), torch.tensor([[0], [1]])), "the graph has 2 relations"),
    ):
        with pytest.raises(UserError, match=message):
            mistake()


def test_it_learns_which_pairs_close_a_square():
    # edges of a long ladder, whose rungs close squares: hidden edges are told from strangers by short paths
    rails = [(2 * i + side, 2 * i + 2 + side) for i in range(39) for side in (0, 1)]
    edges = torch.tensor(rails + [(2 * i, 2 * i + 1) for i in range(40)]).t()
    task = LinkTask.from_edges("ladder", edges, 80, split="80/10/10")
    torch.manual_seed(0)
    model = NBFNet.for_task(task, hidden_channels=16, num_layers=4)
    before = task.evaluate(model, "test")["auc"]
    for _ in range(60):
        model.training_step(task, batch_size=24)
    after = task.evaluate(model, "test")["auc"]
    assert after > 0.9 and after > before
