"""Embedding models: PyG's scores, the trunk's queries, losses by their formulas."""

import math

import pytest
import torch
from query_samples import NODES, RELATIONS, batch_of, every_query, message_graph, random_triples
from torch_geometric.nn import kge as pyg

import graphkit as gk
from graphkit.data import KnowledgeGraphTask, MessageGraph
from graphkit.errors import UserError
from graphkit.models import ComplEx, DistMult, RotatE, TransE, kge

CHOICES = [
    (DistMult, {}), (ComplEx, {}), (RotatE, {"margin": 3.0}), (TransE, {"p_norm": 1.0}), (TransE, {"p_norm": 2.0}),
]  # fmt: skip
EXACT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture(params=CHOICES, ids=lambda choice: choice[0].__name__ + "".join(map(str, choice[1].values())))
def choice(request):
    return request.param


def model_of(choice, channels=5, **options):
    torch.manual_seed(0)
    return choice[0](NODES, RELATIONS, channels, **{**choice[1], **options}).double()


def sample_batch(rows=6, negatives=4):
    graph = message_graph(random_triples())
    return batch_of(graph, random_triples()[:rows], negatives)


def scores_of_pyg(model, triples):
    return model.network(*triples.reshape(-1, 3).unbind(1)).view(triples.shape[:-1])


def test_parameters_and_initial_values_are_pygs(choice):
    made, options = choice
    if made is TransE:
        options = {"margin": 1.0, **options}
    torch.manual_seed(4)
    ours = made(NODES, RELATIONS, 5, **choice[1]).state_dict()
    torch.manual_seed(4)
    theirs = getattr(pyg, made.__name__)(NODES, RELATIONS, 5, **options).state_dict()
    assert [f"network.{name}" for name in theirs] == list(ours)
    assert all(torch.equal(ours[f"network.{name}"], value) for name, value in theirs.items())


def test_scores_of_all_queries_are_pygs(choice):
    model, graph = model_of(choice), message_graph(random_triples())
    heads, relations = every_query(graph)
    found = model.score_queries(graph, heads, relations)
    other = torch.arange(NODES)
    for row, (entity, relation) in enumerate(zip(heads.tolist(), relations.tolist(), strict=True)):
        here = torch.full_like(other, entity)
        base = torch.full_like(other, relation % RELATIONS)
        ends = (here, base, other) if relation < RELATIONS else (other, base, here)
        torch.testing.assert_close(found[row], model.network(*ends), **EXACT)


def test_batches_are_scored_alike_whether_all_entities_are_scored_or_not(choice, monkeypatch):
    batch, scores = sample_batch(), []
    for limit in (0, 100):
        monkeypatch.setattr(kge, "_ENTITIES_PER_CANDIDATE", limit)
        model = model_of(choice).eval()
        scores.append(model(batch))
        model(batch).square().sum().backward()
        scores.append(model.network.node_emb.weight.grad)
    torch.testing.assert_close(scores[0], scores_of_pyg(model, batch.triples), **EXACT)
    torch.testing.assert_close(scores[:2], scores[2:], **EXACT)


def test_the_fast_distance_of_training_has_pygs_gradient(choice):
    batch, model, grads = sample_batch(), model_of(choice).train(), []
    for scores in (model(batch), scores_of_pyg(model, batch.triples)):
        model.zero_grad()
        scores.sigmoid().sum().backward()
        grads.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(*grads, rtol=1e-6, atol=1e-6)


def test_evaluation_agrees_with_ranks_counted_one_by_one(choice):
    triples = [(f"e{h}", f"r{r}", f"e{t}") for h, r, t in random_triples(facts=24).tolist()]
    task = KnowledgeGraphTask.from_names("random", triples[:16], triples[16:20], triples[20:])
    torch.manual_seed(1)
    model = choice[0].for_task(task, hidden_channels=5, **choice[1]).double()
    known = {tuple(fact) for fact in task.facts("test").tolist()}
    for row, (head, relation, tail) in enumerate(task.test.tolist()):
        for side in ("tail", "head"):
            others = [(head, relation, v) if side == "tail" else (v, relation, tail) for v in range(task.num_entities)]
            rivals = torch.tensor([triple for triple in others if triple not in known])
            level = scores_of_pyg(model, task.test[row : row + 1])
            wanted = 1 + int((scores_of_pyg(model, rivals) >= level).sum())
            assert task.evaluate(model, "test", return_ranks=True)["ranks"][side][row] == wanted


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("objective", ["logistic", "softmax", "margin"])
def test_loss_is_its_formula(choice, objective, temperature):
    scale = {"scale": 2.5} if choice[0] is TransE else {}
    options = {"margin": 1.5, "objective": objective, "adversarial_temperature": temperature, **scale}
    batch, model = sample_batch(), model_of(choice, **options).eval()
    shift = 1.5 if choice[0] is TransE else 0.0
    total = 0.0
    for row in (scores_of_pyg(model, batch.triples) * scale.get("scale", 1.0)).tolist():
        positive, *negative = row
        weights = [math.exp(s / temperature) if temperature else 1.0 for s in negative]
        weights = [w / sum(weights) for w in weights]
        if objective == "softmax":
            total -= math.log(math.exp(positive) / sum(math.exp(s) for s in row))
        elif objective == "margin":
            total += sum(w * max(0.0, 1.5 - positive + s) for w, s in zip(weights, negative, strict=True))
        else:
            wrong = sum(w * math.log(1 + math.exp(s + shift)) for w, s in zip(weights, negative, strict=True))
            total += (math.log(1 + math.exp(-positive - shift)) + wrong) / 2
    assert float(model.loss(batch).detach()) == pytest.approx(total / len(batch.triples), rel=1e-9)


@pytest.mark.parametrize(("regularizer", "power"), [("n3", 3), ("l2", 2)])
def test_regularizer_is_a_power_of_the_moduli_of_the_positive_triples(choice, regularizer, power):
    plain, model = model_of(choice), model_of(choice, regularizer=regularizer, regularizer_weight=0.3)
    net, batch = model.network, sample_batch()
    h, r, t = batch.triples[:, 0].unbind(1)
    parts = {
        DistMult: lambda: [net.node_emb(h), net.rel_emb(r), net.node_emb(t)],
        ComplEx: lambda: [torch.complex(net.node_emb(h), net.node_emb_im(h)),
                          torch.complex(net.rel_emb(r), net.rel_emb_im(r)),
                          torch.complex(net.node_emb(t), net.node_emb_im(t))],
        RotatE: lambda: [torch.complex(net.node_emb(i), net.node_emb_im(i)) for i in (h, t)],
        TransE: lambda: [net.rel_emb(r)],
    }  # fmt: skip
    wanted = 0.3 * sum(part.abs().pow(power).sum() for part in parts[choice[0]]()) / len(h)
    torch.testing.assert_close(model.loss(batch) - plain.loss(batch), wanted, **EXACT)


def test_gradients_are_finite_where_parameters_vanish(choice):
    model = model_of(choice, regularizer_weight=0.1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.loss(sample_batch()).backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters())


@pytest.mark.parametrize("made", [RotatE, TransE])
def test_no_vector_per_query_and_entity_is_held(made):
    nodes, queries, channels = 5000, 16, 64
    graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), nodes, 1)
    model = made(nodes, 1, channels)
    heads, relations = torch.arange(queries), torch.arange(queries) % 2
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        model.score_queries(graph, heads, relations)
    most = max(event.cpu_memory_usage for event in profile.key_averages())
    assert 0 < most < queries * nodes * channels * 4 / 2
    assert queries * nodes * 4 <= queries * model.query_bytes(graph) < queries * nodes * channels * 4


def test_a_run_is_saved_and_read_back(choice, tmp_path):
    facts = [(f"e{i}", "next", f"e{(i + 1) % 8}") for i in range(8)]
    task = KnowledgeGraphTask.from_names("ring", facts[:6], facts[6:7], facts[7:])
    model = choice[0].for_task(task, hidden_channels=8, **choice[1])
    run = gk.fit(model, task, epochs=3, loader={"batch_size": 6, "num_negatives": 3}, out=tmp_path)
    again = gk.load_model(tmp_path)
    assert type(again) is choice[0] and again.config == model.config
    assert gk.evaluate(again, task, "test") == run.test


def test_mistakes_are_named():
    graph = message_graph(random_triples())
    one = torch.tensor([0])
    with pytest.raises(UserError, match="8 entities and 3 relations, the model 9 and 3; an embedding model serves"):
        DistMult(NODES + 1, RELATIONS, 4).score_queries(graph, one, one)
    with pytest.raises(UserError, match="8 entities and 3 relations, the model 8 and 2"):
        RotatE(NODES, RELATIONS - 1, 4).loss(sample_batch())
    with pytest.raises(UserError, match="must be at least 1"):
        ComplEx(0, 1)
    with pytest.raises(UserError, match="unknown objective 'logistics'; did you mean 'logistic'"):
        ComplEx(4, 1, objective="logistics")
    with pytest.raises(UserError, match="unknown regularizer 'n4'; did you mean 'n3'"):
        ComplEx(4, 1, regularizer="n4")
    with pytest.raises(UserError, match="regularizer_weight is -1, expected a finite number of at least 0"):
        ComplEx(4, 1, regularizer_weight=-1)
    with pytest.raises(UserError, match="p_norm is 0"):
        TransE(4, 1, p_norm=0)
    with pytest.raises(UserError, match="scale is 0"):
        TransE(4, 1, scale=0)
