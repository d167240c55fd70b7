"""The shipped experiments of NCN: their options make models, and a few steps of them run."""

import os

import pytest
import torch

import graphkit as gk
from graphkit.data import LinkTask
from graphkit.engine.config import experiment_names, load_config
from graphkit.engine.progress import SilentReporter
from graphkit.engine.run import run_experiment
from graphkit.models import NCN, NCNC, registry

NAMES = [name for name in experiment_names() if name.startswith("ncn/")]


def ring(features):
    x = torch.nn.functional.one_hot(torch.arange(40) % 8).float() if features else None
    edges = torch.stack([torch.arange(40), (torch.arange(40) + 1) % 40])
    more = torch.stack([torch.arange(40), (torch.arange(40) + 2) % 40])
    return LinkTask.from_edges("ring", torch.cat([edges, more], 1), 40, split="80/10/10", x=x)


@pytest.mark.parametrize("name", NAMES)
def test_options_make_a_model_that_takes_a_step(name):
    config = load_config(name)
    kind = registry()[config.model["name"]]
    if not kind.trainable:
        assert config.train["epochs"] == 0
        return
    task = ring(features="ddi" not in name)
    options = {key: value for key, value in config.model.items() if key != "name"}
    model = kind.for_task(task, **{**options, "hidden_channels": 16})
    train = {key: config.train[key] for key in ("lr", "lr_of", "weight_decay", "clip_norm")}
    loader = {**config.loader, "batch_size": 16}
    run = gk.fit(model, task, epochs=1, max_steps=2, loader=loader, **train)
    assert run.steps == 2


def test_ppa_has_the_published_number_of_weights():
    options = {key: value for key, value in load_config("ncn/ogbl-ppa-ncn").model.items() if key != "name"}
    assert NCN(58, **options).num_parameters() == 33_538


@pytest.mark.data
@pytest.mark.parametrize(("name", "kind"), [("cora-ncn", NCN), ("cora-ncnc", NCNC), ("citeseer-ncn", NCN)])
def test_two_steps_of_the_shipped_experiments(name, kind, tmp_path, monkeypatch):
    from graphkit.datasets import where

    data = name.split("-")[0]
    if not os.environ.get("GRAPHKIT_DATA") or any(place.path is None for place in where(data)):
        pytest.skip(f"{data} is not in GRAPHKIT_DATA")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    config = load_config(f"ncn/{name}", ["--seeds", "0", "--train.max_steps", "2"])
    (run,) = run_experiment(config, tmp_path / "run", reporter=SilentReporter)
    assert run.steps == 2 and isinstance(run.model, kind)
    assert 0 <= run.test["hits@100"] < 1 and 0.4 < run.test["auc"] < 1
    assert gk.evaluate(gk.load_model(tmp_path / "run"), gk.load(**config.data_for(0)))["auc"] == run.test["auc"]
