"""Tuning: what each mode may change, selection without test labels, caches that change nothing, small files."""

import copy
import hashlib
import warnings

import mixture_graphs
import pytest
import safetensors
import torch

import graphkit as gk
from graphkit.data import FewShotSplit, LeakError, NodeTask
from graphkit.engine import load_pretrained, load_tuned, save_pretrained
from graphkit.engine.tuning_problem import tuning_problem
from graphkit.errors import DataWarning, UserError
from graphkit.models import GMoPE

MODES = ("prompt", "head", "bias", "full", "scratch", "prototype")


@pytest.fixture(scope="module")
def pretrained():
    torch.manual_seed(0)
    model = GMoPE(8, 6, num_experts=3, prompt_channels=4, num_layers=2)
    return gk.pretrain(model, mixture_graphs.planted(seed=5, channels=15, name="source"), epochs=5, lr=1e-2).model


def target(k=3, **options):
    return FewShotSplit(k, **options).of(mixture_graphs.planted(nodes=90, seed=1, name="target"))


def hashed(model, but=()):
    """SHA-256 of parameters and buffers, those of some parts left out."""
    found = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if name.split(".")[0] not in but:
            found.update(name.encode() + tensor.cpu().numpy().tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns_and_leaves_the_mixture_as_it_was(pretrained, mode):
    before = hashed(pretrained)
    streams = torch.get_rng_state()
    run = gk.tune(pretrained, target(), mode, epochs=40, lr=0.05)
    assert hashed(pretrained) == before and torch.equal(torch.get_rng_state(), streams)
    assert run.mode == mode and run.history[-1]["loss"] < run.history[0]["loss"]
    assert run.test["count"] == 81 and run.test == gk.evaluate(run.model, target())
    assert run.trainable == {"prompt": 33, "head": 21, "bias": 57, "prototype": 6}.get(mode, run.parameters)
    assert not run.seen and run.share == run.trainable / run.parameters


@pytest.mark.parametrize("mode", ["prompt", "head", "prototype"])
def test_frozen_parts_stay_bit_for_bit_even_after_train(pretrained, mode):
    tuned = gk.tune(pretrained, target(), mode, epochs=5).model
    moved = {"head", "expert_losses", *(["prompts"] if mode == "prompt" else [])}
    assert hashed(tuned, moved) == hashed(pretrained, moved)
    tuned.train()
    assert not tuned.bank.training and not tuned.objective.training
    assert (mode == "prompt") == (not torch.equal(tuned.prompts.prompt, pretrained.prompts.prompt))
    one, two = (tuned(tuned.features(target().graph())) for _ in range(2))
    assert torch.equal(one, two)


def test_two_tasks_of_one_checkpoint_do_not_meet(pretrained, tmp_path):
    path = save_pretrained(pretrained, tmp_path / "m.safetensors")
    alone = gk.tune(load_pretrained(path), target(), epochs=5).model
    model = load_pretrained(path)
    gk.tune(model, target(seed=4), epochs=5)
    gk.tune(model, mixture_graphs.links(seed=8), epochs=2)
    assert hashed(gk.tune(model, target(), epochs=5).model) == hashed(alone)


def test_the_task_file_holds_prompts_and_head_alone(pretrained, tmp_path):
    run = gk.tune(pretrained, target(), epochs=5, out=tmp_path)
    with safetensors.safe_open(tmp_path / "task.safetensors", "pt") as file:
        assert set(file.keys()) == {"prompts.prompt", "head.weight", "head.bias"}
    assert (tmp_path / "task.safetensors").stat().st_size < 50_000
    loaded = load_tuned(tmp_path, pretrained, task=target())
    assert hashed(loaded, {"expert_losses"}) == hashed(run.model, {"expert_losses"})
    assert gk.evaluate(loaded, target()) == run.test
    again = gk.tune(pretrained, target(), epochs=5, out=tmp_path, resume=True)
    assert (again.test, again.history, again.mode) == (run.test, run.history, "prompt")
    with pytest.raises(UserError, match="already holds a tuned task"):
        gk.tune(pretrained, target(), epochs=5, out=tmp_path)
    with pytest.raises(UserError, match="epochs: 5 -> 6"):
        gk.tune(pretrained, target(), epochs=6, out=tmp_path, resume=True)
    other = GMoPE(8, 6, num_experts=3, prompt_channels=4, num_layers=2)
    with pytest.raises(UserError, match="tuned from another mixture"):
        load_tuned(tmp_path, other)
    with pytest.raises(UserError, match="tells 3 classes, but target has 2"):
        load_tuned(tmp_path, pretrained, task=target(n_way=2))


@pytest.mark.parametrize("mode", ["bias", "full", "prototype"])
def test_files_of_other_modes_hold_what_they_trained(pretrained, tmp_path, mode):
    run = gk.tune(pretrained, target(), mode, epochs=3, out=tmp_path)
    assert gk.evaluate(load_tuned(tmp_path, pretrained), target()) == run.test


@pytest.mark.parametrize("make", [target, lambda: mixture_graphs.links(seed=8)], ids=["nodes", "links"])
@pytest.mark.parametrize("mode", ["prompt", "head"])
def test_a_cache_changes_nothing(pretrained, mode, make):
    models = []
    for cached in (True, False):
        model = gk.tune(pretrained, make(), mode, epochs=10, cached=cached, score_test=False).model
        models.append(model.state_dict())
    for name in models[0]:
        assert torch.allclose(models[0][name], models[1][name], rtol=1e-6, atol=1e-6), name


def test_the_support_alone_gives_the_logits_of_the_whole_graph(pretrained):
    tuned = gk.tune(pretrained, target(1), epochs=2).model.double()
    problem = tuning_problem(tuned, target(1))
    cache = tuned.bank.around(problem.features, problem.nodes, frozen=True)
    assert cache.first.size(0) < 90
    states = tuned.bank.states_of(cache, tuned.prompts)
    whole = tuned(tuned.features(target(1).graph()))[:, problem.nodes]
    assert torch.allclose(tuned.head(states), tuned.head(whole), rtol=1e-6, atol=1e-9)


def test_the_epoch_is_selected_on_validation_and_test_is_read_once_at_the_end(pretrained, monkeypatch):
    asked = []
    original = NodeTask.evaluate

    def recording(self, model, split="valid", **options):
        asked.append(split)
        return original(self, model, split, **options)

    monkeypatch.setattr(NodeTask, "evaluate", recording)
    run = gk.tune(pretrained, target(val_k=5), epochs=20, evaluate_every=5, patience=None)
    assert asked == ["valid"] * 4 + ["test"]
    scores = {h["epoch"]: h["valid"]["accuracy"] for h in run.history if "valid" in h}
    assert run.best_epoch == min(e for e, s in scores.items() if s == max(scores.values()))
    assert run.valid["accuracy"] == max(scores.values())
    asked.clear()
    gk.tune(pretrained, target(val_k=5), epochs=5, score_test=False)
    assert "test" not in asked


def test_without_validation_labels_the_training_loss_selects_and_its_weights_are_kept(pretrained):
    run = gk.tune(pretrained, target(), epochs=12, lr=0.5, patience=None)
    losses = [h["loss"] for h in run.history]
    assert run.best_epoch == 1 + losses.index(min(losses)) and run.valid == {}
    problem = tuning_problem(run.model, target())
    states = run.model(problem.features)[:, problem.nodes]
    weights = torch.full((3,), 1 / 3)
    assert float(run.model.task_loss(states, problem.y, weights).detach()) == pytest.approx(min(losses), rel=1e-5)


def test_labels_outside_train_are_never_read_in_training(pretrained):
    task = target()
    blind = target()
    blind.y = torch.where(blind.mask("train"), blind.y, -1)
    ours, theirs = (gk.tune(pretrained, one, epochs=5, score_test=False).model for one in (task, blind))
    assert hashed(ours) == hashed(theirs)


BASELINES = [
    {"top_k": 1}, {"top_k": 2, "route_loss": "task"}, {"routing": "random", "top_k": 1}, {"aggregation": "mlp"},
    {"aggregation": "uniform"}, {"aggregation": "best"}, {"aggregation": "random"}, {"num_experts": 1},
    {"prompt_mode": "add_attn", "prompt_channels": None},
]  # fmt: skip


@pytest.mark.parametrize("options", BASELINES, ids=str)
def test_baselines_are_options_of_the_same_model(options):
    torch.manual_seed(0)
    model = GMoPE(8, 6, **{"num_experts": 3, "prompt_channels": 4, "num_layers": 2, **options})
    gk.pretrain(model, mixture_graphs.planted(seed=5, name="source"), epochs=2)
    run = gk.tune(model, target(), epochs=12)
    assert len(run.gates) == model.num_experts and sum(run.gates) == pytest.approx(1, abs=1e-6)
    assert run.test == gk.evaluate(run.model, target())


@pytest.mark.parametrize("mode", ["prompt", "head", "full"])
@pytest.mark.parametrize("link_head", ["dot", "linear", "mlp"])
def test_links_are_learned_without_their_edges_as_messages(mode, link_head):
    torch.manual_seed(0)
    task = mixture_graphs.links(seed=8)
    model = GMoPE(8, 6, num_experts=2, prompt_channels=4, num_layers=2, link_head=link_head)
    if (mode, link_head) == ("head", "dot"):
        with pytest.raises(UserError, match="nothing to train"):
            gk.tune(model, task, mode)
        return
    problem = tuning_problem(model, task)
    hidden = problem.positive
    assert hidden.size(1) == task.train.size(1) // 5
    assert bool((problem.features.propagation.graph.edge_ids(hidden) < 0).all())
    for pairs, y in problem.batches(1):
        assert pairs.size(1) == len(y) and not bool(task.non_edges("train").is_edge(pairs[:, y == 0]).any())
    run = gk.tune(model, task, mode, epochs=3)
    assert set(run.test) >= {"auc", "ap"} and task.leak_check()


def test_links_that_pretraining_may_have_seen_are_refused_and_known_graphs_warned_of():
    torch.manual_seed(0)
    nodes, links = mixture_graphs.planted(), mixture_graphs.links()
    model = gk.pretrain(GMoPE(8, 6, num_experts=2, prompt_channels=4), nodes, epochs=1).model
    with pytest.raises(LeakError, match="links asks for links of a graph that pre-training has seen as planted"):
        gk.tune(model, links, epochs=1)
    with pytest.warns(DataWarning, match="planted is among the graphs"):
        run = gk.tune(model, FewShotSplit(2).of(nodes), epochs=1)
    assert run.seen
    model = gk.pretrain(GMoPE(8, 6, num_experts=2, prompt_channels=4), links, epochs=1).model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        assert gk.tune(model, links, epochs=1).seen


def test_all_experts_tied_is_a_mixture_still(pretrained):
    model = copy.deepcopy(pretrained)
    for parameter in [*model.bank.parameters(), model.prompts.prompt]:
        parameter.data[1:] = parameter.data[:1]
    model.router.top_k = 2
    run = gk.tune(model, target(), epochs=5)
    assert run.gates == [0.5, 0.5, 0.0] and run.test["count"] == 81


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: gk.tune(m, target(), "prompts"), "unknown mode of tuning 'prompts'; did you mean 'prompt'"),
        (lambda m: gk.tune(torch.nn.Linear(2, 2), target()), "Linear has no prompts to tune"),
        (lambda m: gk.tune(m, target(), epochs=0), "epochs is 0"),
        (lambda m: gk.tune(m, target(), lr=0.0), "lr is 0.0"),
        (lambda m: gk.tune(m, target(), select="mrr"), "metric to select epochs by"),
        (lambda m: gk.tune(m, target(), "full", cached=True), "its experts change"),
        (lambda m: gk.tune(m, mixture_graphs.links(), supervision=1.0), "supervision is 1.0"),
        (lambda m: gk.tune(m, target(40)), "has 30 members, but k=40"),
    ],
)
def test_mistakes_are_named(pretrained, call, says):
    with pytest.raises(UserError, match=says):
        call(pretrained)


def test_gk_tune_is_the_function_whatever_was_imported_before():
    import graphkit.engine.tune as search

    assert callable(gk.tune) and search.tune_experiment and gk.tune.__module__ == "graphkit.engine.prompt_tuning"


@pytest.mark.parametrize("mode", MODES)
def test_sets_of_graphs_are_learned_with_the_aligner_of_their_train_graphs(mode):
    from torch_geometric.data import Data

    generator, graphs = torch.Generator().manual_seed(0), []
    for number in range(60):
        size, y = 8 + number % 5, number % 2
        ring = torch.arange(size)
        edges = torch.stack([ring, (ring + 1 + y) % size])
        x = torch.randn(size, 5, generator=generator) + y
        graphs.append(Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=torch.tensor([y])))
    place = torch.arange(60)
    whole = gk.data.GraphTask("rings", graphs, train=place[:30], valid=place[30:40], test=place[40:])
    task = FewShotSplit(3).of(whole)
    assert task.statistics()["train"] == 6 and not bool((task.mask("train") & task.mask("test")).any())
    torch.manual_seed(0)
    model = GMoPE(8, 6, num_experts=2, prompt_channels=4, num_layers=2)
    gk.pretrain(model, mixture_graphs.planted(), epochs=1)
    run = gk.tune(model, task, mode, epochs=30, lr=0.05)
    assert run.test["accuracy"] > 0.8 and run.model.aligner.projection.shape == (5, 8) and model.aligner is None
