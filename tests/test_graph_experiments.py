"""The shipped experiments on many graphs: all folds, one budget for every model, and two steps of each."""

from pathlib import Path

import pytest

import graphkit as gk
from graphkit.datasets import card
from graphkit.engine.config import load_config
from graphkit.engine.tune import drawn
from graphkit.models import GraphClassifier, registry

PATHS = sorted((Path(__file__).resolve().parents[1] / "experiments" / "graphs").glob("*.yaml"))
CONFIGS = {path.stem: load_config(path) for path in PATHS}
FOLDED = [name for name in CONFIGS if name.endswith(("-mutag", "-proteins", "-enzymes"))]
SHARED = (
    "train.lr",
    "train.weight_decay",
    "model.dropout",
    "model.hidden_channels",
    "model.num_layers",
    "model.pooling",
)


def test_every_data_set_has_a_model_without_edges_and_some_with():
    models = {}
    for name in FOLDED:
        model, data = name.split("-", 1)
        models.setdefault(data, set()).add(model)
    assert set(models) == {"mutag", "proteins", "enzymes"}
    assert all(found >= {"mlp", "gcn", "gin", "gatedgcn"} for found in models.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_an_experiment_is_what_its_name_says(name):
    config = CONFIGS[name]
    assert config.name == f"graphs/{name}" and card(config.data["name"]).task == "graphs"
    assert config.model["name"].lower() == name.split("-")[0]
    assert card(config.data["name"]).name.removeprefix("synthetic/") == name.split("-", 1)[1]
    assert issubclass(registry()[config.model["name"]], GraphClassifier)
    metric = card(config.data["name"]).metric
    assert config.protocol["select"] == (metric or "accuracy")


@pytest.mark.parametrize("name", FOLDED)
def test_every_model_has_the_same_budget(name):
    config, other = CONFIGS[name], CONFIGS["gcn-mutag"]
    assert config.splits == "all" and (config.tune["trials"], config.tune["splits"]) == (30, [0, 1, 2])
    assert (config.train, config.loader) == (other.train, other.loader)
    assert [config.tune["space"][option] for option in SHARED] == [other.tune["space"][option] for option in SHARED]
    for trial in range(3):  # every option of the space exists
        config.changed(drawn(config.tune["space"], name, trial))


@pytest.mark.parametrize("name", [name for name in CONFIGS if "synthetic" in CONFIGS[name].data["name"]])
def test_generated_experiments_take_two_steps(name, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    two_steps(CONFIGS[name])


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in FOLDED if name.endswith("-mutag")])
def test_experiments_take_two_steps(name, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    if any(place.path is None for place in gk.datasets.where("mutag")):
        pytest.skip("mutag is not in GRAPHKIT_DATA")
    two_steps(CONFIGS[name])


def two_steps(config):
    task = gk.load(**config.data)
    model = registry()[config.model["name"]].for_task(
        task, **{key: value for key, value in config.model.items() if key != "name"}
    )
    train = {**config.train, "epochs": 1, "max_steps": 2}
    run = gk.fit(model, task, loader=config.loader, select=config.protocol["select"], score_test=False, **train)
    assert run.steps == 2 and 0 <= run.valid["accuracy"] <= 1
