"""Pre-training: sources without labels, bit-exact resume, files with fingerprints."""

import json

import mixture_graphs
import pytest
import safetensors.torch
import torch

import graphkit as gk
from graphkit.data import LinkTask
from graphkit.engine import load_pretrained, save_pretrained
from graphkit.engine.progress import SilentReporter
from graphkit.errors import UserError
from graphkit.models import GMoPE


def mixture(seed=0, **options):
    torch.manual_seed(seed)
    return GMoPE(8, 6, **{"num_experts": 3, "prompt_channels": 4, "num_layers": 2, **options})


def sources():
    return [
        mixture_graphs.planted(name="a"),
        mixture_graphs.planted(seed=1, channels=20, name="b"),
        mixture_graphs.links(seed=2),
    ]


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("objective", ["edge_pred", "dgi", "graphcl", "simgrace", "mask_attr", "feat_rec"])
def test_two_steps_lower_nothing_but_leave_a_mixture_that_is_used(objective):
    model = mixture()
    before = state(model)
    run = gk.pretrain(model, sources()[:2], objective, epochs=2)
    assert run.model is model and run.steps == 4 and len(run.history) == 2 and not model.training
    assert not same(before, {name: tensor for name, tensor in state(model).items() if name in before})
    record = run.history[0]["routing"]
    gates = dict(zip(record["sources"], record["importance_by_source"], strict=True))
    assert set(gates) == {"a", "b"} and sum(gates["a"]) == pytest.approx(1, abs=1e-5)
    assert 1 <= record["effective_experts"] <= 3.001


def test_a_longer_training_predicts_edges_better():
    model = mixture(dropout=0.0)
    run = gk.pretrain(model, mixture_graphs.planted(), epochs=60, lr=1e-2)
    first, last = (sum(run.history[k]["routing"]["loss_by_source"][0]) for k in (0, -1))
    assert last < 0.9 * first


def test_labels_play_no_part_and_global_streams_stay():
    found = []
    for hide in (False, True):
        tasks = sources()[:2]
        if hide:
            for task in tasks:
                task.y = torch.full_like(task.y, -1)
        model = mixture()
        before = torch.get_rng_state()
        gk.pretrain(model, tasks, epochs=2)
        assert torch.equal(torch.get_rng_state(), before)
        found.append(state(model))
    assert same(*found)


class Stops(SilentReporter):
    """Presses control-C after some epochs."""

    def __init__(self, epochs):
        self.left = epochs

    def epoch(self, state, select, improved):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_resume_continues_bit_for_bit(tmp_path):
    options = {"epochs": 5, "warmup": 0.4, "round_robin": True}
    whole = mixture(top_k=1)
    gk.pretrain(whole, sources(), out=tmp_path / "whole", **options)
    # a checkpoint after each epoch, so that the stop has one
    broken = mixture(top_k=1)
    with pytest.raises(KeyboardInterrupt):
        gk.pretrain(broken, sources(), out=tmp_path / "broken", checkpoint_every=0.0, reporter=Stops(4), **options)
    assert not (tmp_path / "broken" / "pretrained.safetensors").exists()
    again = mixture(seed=9, top_k=1)
    with pytest.raises(UserError, match="already holds a training"):
        gk.pretrain(again, sources(), out=tmp_path / "broken", **options)
    gk.pretrain(again, sources(), out=tmp_path / "broken", resume=True, **options)
    assert same(state(whole), state(again))
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "routing" in line] == [1, 2, 3, 4, 5]
    with pytest.raises(UserError, match="written with other options"):
        gk.pretrain(mixture(top_k=1), sources()[:2], out=tmp_path / "broken", resume=True, **options)


def test_the_first_epoch_can_go_round_the_experts():
    model = mixture(top_k=1)
    run = gk.pretrain(model, sources(), epochs=1, round_robin=True)
    record = run.history[0]["routing"]
    first = dict(zip(record["sources"], (row.index(1.0) for row in record["importance_by_source"]), strict=True))
    assert [first[task.name] for task in sources()] == [0, 1, 2]
    assert model.router.trained.tolist() == [1.0, 1.0, 1.0]


def test_prompts_can_stay_as_they_are():
    model = mixture(num_experts=1, prompt_mode="add", prompt_channels=None, prompt_init="zero")
    gk.pretrain(model, sources()[0], epochs=2, train_prompts=False)
    assert not bool(model.prompts.prompt.any()) and model.prompts.prompt.requires_grad


def test_a_file_gives_the_mixture_back_and_its_fingerprint_is_checked(tmp_path):
    model = mixture()
    tasks = sources()
    gk.pretrain(model, tasks, "dgi", epochs=1, out=tmp_path)
    loaded = load_pretrained(tmp_path, like=mixture(), sources=reversed(tasks))
    assert same(state(model), state(loaded)) and loaded.fingerprint() == model.fingerprint()
    assert loaded.pretraining["objective"] == "dgi" and [s["name"] for s in loaded.pretraining["sources"]] == [
        "a",
        "b",
        "links",
    ]
    for like, says in (
        (mixture(num_experts=2), "num_experts: 2 -> 3"), (mixture(conv="sage"), 'conv: "sage" -> "gcn"'),
        (mixture(align_scale="none"), "aligner"), (mixture(objective="edge_pred"), 'objective: "edge_pred" -> "dgi"'),
    ):  # fmt: skip
        with pytest.raises(UserError, match=says):
            load_pretrained(tmp_path, like=like)
    with pytest.raises(UserError, match="sources"):
        load_pretrained(tmp_path, sources=tasks[:2])
    with pytest.raises(UserError, match="sources"):
        load_pretrained(tmp_path, sources=[*tasks[:2], mixture_graphs.links(seed=3)])


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = save_pretrained(mixture(), tmp_path / "m.safetensors")
    with safetensors.safe_open(path, "pt") as file:
        tensors, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    wrong = json.loads(about["graphkit"])
    wrong["config"]["num_layers"] = 10**12  # must not be tried
    safetensors.torch.save_file(tensors, path, metadata={"graphkit": json.dumps(wrong)})
    with pytest.raises(UserError, match="num_layers of its options and of its fingerprint differ"):
        load_pretrained(path)
    tensors["bank.bias"] += 1
    safetensors.torch.save_file(tensors, path, metadata=about)
    with pytest.raises(UserError, match="weights are not those"):
        load_pretrained(path)
    safetensors.torch.save_file({"x": torch.ones(1)}, path)
    with pytest.raises(UserError, match="was not written by graphkit"):
        load_pretrained(path)
    with pytest.raises(UserError, match="there is no"):
        load_pretrained(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: gk.pretrain(torch.nn.Linear(2, 2), sources()), "Linear is not pre-trained"),
        (lambda: gk.pretrain(mixture(), []), "no source to pre-train on"),
        (lambda: gk.pretrain(mixture(), [sources()[0]] * 2), "'a' is among the sources more than once"),
        (lambda: gk.pretrain(mixture(), "cora"), "str is no source"),
        (lambda: gk.pretrain(mixture(), sources(), "masking"), "unknown objective 'masking'"),
        (lambda: gk.pretrain(mixture(), sources(), lr=-1.0), "lr is -1.0"),
        (lambda: gk.pretrain(mixture(), sources(), warmup=2.0), "warmup is 2.0"),
        (lambda: gk.pretrain(mixture(), sources(), steps_per_source=0), "steps_per_source is 0"),
        (lambda: gk.pretrain(mixture(), sources(), "graphcl", unit="node", epochs=1), "a batch of .* holds 1 graph"),
        (lambda: gk.pretrain(mixture(), sources(), unit="edge", epochs=1), "unit is 'edge'"),
    ],
)
def test_mistakes_are_named(call, says):
    with pytest.raises(UserError, match=says):
        call()


def test_a_source_without_features_is_read_by_its_degrees():
    bare = LinkTask.from_edges("bare", mixture_graphs.planted().edge_index, 60)
    run = gk.pretrain(mixture(), [bare, sources()[0]], epochs=1)
    assert run.steps == 2 and run.model.pretraining["sources"][0]["features"] == "none"
