"""NBFNet's loss, its easy edges, its options and its memory."""

import itertools
import math
import weakref

import pytest
import torch
from query_samples import (
    RELATIONS,
    absent_triples,
    batch_of,
    double_model,
    every_query,
    message_graph,
    random_triples,
)  # fmt: skip
from torch.utils._python_dispatch import TorchDispatchMode

from graphkit.data import MessageGraph, QueryBatch
from graphkit.errors import UserError
from graphkit.models import NBFNet

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def scores_by_query(model, graph, batch):
    """The batch's scores out of score_queries: tails of (h, r) above, heads as tails of (t, r + R) below."""
    rows = []
    for i, row in enumerate(batch.triples):
        head, relation, tail = row[0].tolist()
        if i < len(batch.triples) // 2:
            found = model.score_queries(graph, torch.tensor([head]), torch.tensor([relation]))[0, row[:, 2]]
        else:
            found = model.score_queries(graph, torch.tensor([tail]), torch.tensor([relation + RELATIONS]))[0, row[:, 0]]
        rows.append(found)
    return torch.stack(rows)


def without(graph, mask):
    return MessageGraph(graph.edge_index[:, mask], graph.edge_type[mask], graph.num_nodes, graph.num_relations)


# ---- easy edges ----


@pytest.mark.parametrize(
    "options", [{}, {"concat_hidden": True}, {"num_mlp_layers": 1}, {"aggregate": "max", "num_mlp_layers": 3}]
)
def test_a_batch_without_easy_edges_scores_as_its_queries(options):
    triples = random_triples()
    graph, model = message_graph(triples), double_model(**options)
    rows = absent_triples(triples, 8)
    batch = QueryBatch(graph, rows.unsqueeze(1).repeat(1, 2, 1))
    assert model.easy_edge_mask(batch).all()
    torch.testing.assert_close(model(batch), scores_by_query(model, graph, batch), **EXACT)


@pytest.mark.parametrize("one_hop", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_batch_scores_as_its_queries_on_the_graph_without_its_easy_edges(one_hop, rows):
    triples = random_triples(facts=30)
    graph, model = message_graph(triples), double_model(remove_one_hop=one_hop)
    batch = batch_of(graph, triples[3 : 3 + rows])
    mask = model.easy_edge_mask(batch)
    assert not mask.all()
    torch.testing.assert_close(model(batch), scores_by_query(model, without(graph, mask), batch), **EXACT)
    assert not torch.allclose(model(batch), scores_by_query(model, graph, batch))


def test_easy_edges_by_hand():
    # two relations between 0 and 1 in one direction, one in the other; a self-loop; an unrelated fact
    triples = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 0, 0], [2, 2, 2], [2, 0, 3]])
    graph = message_graph(triples, 4)
    batch = QueryBatch(graph, torch.tensor([[[0, 0, 1], [0, 0, 3]], [[2, 2, 2], [1, 2, 2]]]))
    kept = double_model().easy_edge_mask(batch)
    assert kept.view(2, 5).tolist() == [[False, True, True, False, True]] * 2
    kept = double_model(remove_one_hop=True).easy_edge_mask(batch)
    assert kept.view(2, 5).tolist() == [[False, False, False, False, True]] * 2


def test_negatives_take_part_in_the_removal():
    triples = torch.tensor([[0, 0, 1], [0, 0, 2], [3, 1, 0]])
    graph = message_graph(triples, 4)
    batch = QueryBatch(graph, torch.tensor([[[1, 0, 0], [3, 0, 0]], [[0, 0, 1], [0, 0, 2]]]))
    kept = double_model().easy_edge_mask(batch)
    assert kept.view(2, 3).tolist() == [[False, False, True]] * 2
    kept = double_model(remove_one_hop=True).easy_edge_mask(batch)
    assert kept.view(2, 3).tolist() == [[False, False, False]] * 2


def test_no_answer_leaks():
    # the score of a fact of the batch does not depend on whether the fact stands in the graph
    triples = random_triples(facts=20)
    model = double_model()
    for i in range(2, 8):
        rest = torch.cat([triples[:i], triples[i + 1 :]])
        with_fact, without_fact = message_graph(triples), message_graph(rest)
        for rows in (triples[i].repeat(2, 1), triples[i].repeat(1, 1)):
            rows = rows.unsqueeze(1)
            torch.testing.assert_close(
                model(QueryBatch(with_fact, rows)), model(QueryBatch(without_fact, rows)), **EXACT
            )


# ---- loss ----


def test_the_loss_by_hand():
    graph = message_graph(random_triples())
    batch = batch_of(graph, random_triples()[2:6], negatives=2)
    model = double_model(adversarial_temperature=0.5)
    total = 0.0
    for positive, *negatives in model(batch).tolist():
        weights = [math.exp(s / 0.5) for s in negatives]
        loss = math.log1p(math.exp(-positive))
        loss += sum(w * math.log1p(math.exp(s)) for w, s in zip(weights, negatives, strict=True)) / sum(weights)
        total += loss / 2
    assert model.loss(batch).item() == pytest.approx(total / 4, rel=1e-6)


class Fixed(NBFNet):
    """Scores that are parameters, to see the loss alone."""

    def __init__(self, num_relations, temperature):
        super().__init__(num_relations, 2, 1, adversarial_temperature=temperature)
        self.table = torch.nn.Parameter(torch.tensor([[1.5, -0.5, 2.0, 0.25], [-3.0, 0.1, 0.2, 40.0]]))

    def forward(self, batch):
        return self.table


def test_weights_carry_no_gradient():
    for temperature in (0.5, 1.0, 5.0):
        model = Fixed(1, temperature)
        model.loss(None).backward()
        weights = (model.table[:, 1:].detach() / temperature).softmax(1)
        wanted = (
            torch.cat([model.table[:, :1].detach().sigmoid() - 1, weights * model.table[:, 1:].detach().sigmoid()], 1)
            / 4
        )
        torch.testing.assert_close(model.table.grad, wanted)


def test_a_hot_temperature_weights_equally():
    uniform = Fixed(1, 0.0).loss(None)
    torch.testing.assert_close(Fixed(1, 1e9).loss(None), uniform)
    assert not torch.allclose(Fixed(1, 0.5).loss(None), uniform)
    # a cold one looks at the hardest negative alone
    model = Fixed(1, 1e-3)
    hardest = torch.nn.functional.softplus(model.table[:, 1:].amax(1))
    wanted = ((torch.nn.functional.softplus(-model.table[:, 0]) + hardest) / 2).mean()
    torch.testing.assert_close(model.loss(None), wanted)


def test_overfits_ten_nodes():
    torch.manual_seed(0)
    triples = random_triples(seed=3, facts=18, nodes=10)
    graph = MessageGraph.from_triples(triples, 10, RELATIONS)
    taken = set(map(tuple, triples.tolist()))
    rows = []
    for i, (head, relation, tail) in enumerate(triples[4:12].tolist()):
        tails = [v for v in range(10) if (head, relation, v) not in taken][:4]
        heads = [v for v in range(10) if (v, relation, tail) not in taken][:4]
        corrupted = [(head, relation, v) for v in tails] if i < 4 else [(v, relation, tail) for v in heads]
        rows.append([(head, relation, tail), *corrupted])
    batch = QueryBatch(graph, torch.tensor(rows))
    model = NBFNet(RELATIONS, 16, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    first = model.loss(batch).item()
    for _step in range(199):
        optimizer.zero_grad()
        loss = model.loss(batch)
        if loss < 0.05:
            break
        loss.backward()
        optimizer.step()
    assert first > 0.3 and loss < 0.05


# ---- options ----

OPTIONS = list(itertools.product(["distmult", "transe", "rotate"], ["pna", "sum", "mean", "max"], [True, False]))


@pytest.mark.parametrize(("message", "aggregate", "concat_hidden"), OPTIONS)
def test_every_option_trains(message, aggregate, concat_hidden):
    triples = random_triples()
    batch = batch_of(message_graph(triples), triples[2:6])
    for dependent, short_cut, layer_norm in itertools.product([True, False], repeat=3):
        model = NBFNet(RELATIONS, 4, 2, message=message, aggregate=aggregate, concat_hidden=concat_hidden,
                       dependent=dependent, short_cut=short_cut, layer_norm=layer_norm)  # fmt: skip
        model.loss(batch).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert any(p.grad.abs().max() > 0 for p in model.layers.parameters())


@pytest.mark.parametrize("options", [{"dependent": False}, {"concat_hidden": True}, {"num_mlp_layers": 3}, {"aggregate": "sum"},
                                     {"short_cut": False}, {"layer_norm": False}, {"message": "rotate"}])  # fmt: skip
def test_an_option_makes_a_difference(options):
    graph = message_graph(random_triples())
    heads, relations = every_query(graph)
    plain, other = double_model(), double_model(**options)
    fitting = other.state_dict()
    shared = {k: v for k, v in plain.state_dict().items() if k in fitting and v.shape == fitting[k].shape}
    other.load_state_dict(shared, strict=False)
    assert not torch.allclose(
        plain.score_queries(graph, heads, relations), other.score_queries(graph, heads, relations)
    )


def test_weights_saved_and_loaded(tmp_path):
    from safetensors.torch import load_file, save_file

    graph = message_graph(random_triples())
    heads, relations = every_query(graph)
    model = double_model(dependent=False, message="transe", concat_hidden=True, num_mlp_layers=3)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    again = NBFNet(**model.config).double()
    assert not torch.equal(again.score_queries(graph, heads, relations), model.score_queries(graph, heads, relations))
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(again.score_queries(graph, heads, relations), model.score_queries(graph, heads, relations))


def test_training_and_evaluation_see_the_same_graph():
    # easy edges go in the training forward only, whatever the mode of the module
    triples = random_triples()
    graph, model = message_graph(triples), double_model()
    heads, relations = every_query(graph)
    batch = batch_of(graph, triples[2:6])
    trained, scored = model.train().loss(batch), model.score_queries(graph, heads, relations)
    assert torch.equal(model.eval().loss(batch), trained)
    assert torch.equal(model.score_queries(graph, heads, relations), scored)


def test_training_after_scoring_in_inference_mode():
    triples = random_triples()
    graph, model = message_graph(triples), double_model()
    with torch.inference_mode():
        model.score_queries(graph, torch.tensor([0]), torch.tensor([0]))
    model.loss(batch_of(graph, triples[2:6])).backward()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"message": "distmul"}, "did you mean 'distmult'"),
        ({"aggregate": "average"}, "unknown aggregate 'average'"),
        ({"message": "rotate", "hidden_channels": 5}, "even width, got 5"),
        ({"num_layers": 0}, "at least 1"),
        ({"num_mlp_layers": 0}, "at least 1"),
        ({"hidden_channels": 0}, "at least 1"),
        ({"num_relations": 0}, "at least 1"),
        ({"adversarial_temperature": -0.5}, "adversarial_temperature is -0.5, expected 0"),
    ],
)
def test_mistakes_are_named(options, words):
    with pytest.raises(UserError, match=words):
        NBFNet(**({"num_relations": 3, "hidden_channels": 4, "num_layers": 2} | options))


# ---- memory ----


class Memory(TorchDispatchMode):
    """Bytes of the storages that live at one time, of those made inside."""

    def __init__(self):
        super().__init__()
        self.sizes, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.sizes:
                    self.sizes[key] = storage.nbytes()
                    weakref.finalize(storage, self.sizes.pop, key, None)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return out


@pytest.mark.parametrize("options", [{}, {"concat_hidden": True}, {"aggregate": "sum"}, {"dependent": False}])
def test_query_bytes_cover_the_peak(options):
    graph = message_graph(random_triples(facts=300, nodes=400), 400)
    model = NBFNet(RELATIONS, 16, 6, **options).eval()
    heads = torch.arange(32)
    with torch.no_grad():
        model.score_queries(graph, heads[:1], heads[:1])  # what the graph remembers is not of the query
        with Memory() as memory:
            model.score_queries(graph, heads, torch.zeros_like(heads))
    needed = memory.peak / 32
    assert 0.98 * needed < model.query_bytes(graph) < 3 * needed


def test_query_bytes_follow_the_sizes():
    model = NBFNet(RELATIONS, 8, 2)
    small, large = message_graph(random_triples(), 100), message_graph(random_triples(), 1000)
    assert 8 < model.query_bytes(large) / model.query_bytes(small) < 12
    assert model.double().query_bytes(small) == 2 * NBFNet(RELATIONS, 8, 2).query_bytes(small)
    assert isinstance(model.query_bytes(small), int)
