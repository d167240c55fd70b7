"""The shipped City-Networks experiments: the published protocol, and two steps of each model on the bundled city."""

import re
from pathlib import Path

import pytest

import graphkit as gk
from graphkit.datasets import card
from graphkit.datasets.city_archive import CITIES
from graphkit.engine.config import load_config
from graphkit.models import NodeClassifier, registry

PATHS = sorted((Path(__file__).resolve().parents[1] / "experiments" / "city").glob("*.yaml"))
CONFIGS = {path.stem: load_config(path) for path in PATHS}
MODELS = ("mlp", "gcn", "graphsage", "chebnet", "sgformer", "gps", "graphmamba")
IN_PAPER = MODELS[:5]
PUBLISHED = [f"{model}-{city}" for model in MODELS for city in CITIES]


def test_every_model_has_every_protocol():
    others = [f"{model}-{protocol}" for model in MODELS for protocol in ("paris-reduced", "sample")]
    assert sorted(CONFIGS) == sorted([*PUBLISHED, *others])


@pytest.mark.parametrize("name", CONFIGS)
def test_an_experiment_is_what_its_name_says(name):
    config = CONFIGS[name]
    model, city = name.removesuffix("-reduced").split("-")
    assert config.name == f"city/{name}" and config.protocol["select"] == "accuracy"
    assert config.data["name"] == f"city/{city}" and card(config.data["name"]).task == "node"
    assert config.model["name"].lower() == model and issubclass(registry()[config.model["name"]], NodeClassifier)
    assert config.model.get("attention") == ("performer" if model == "gps" else None)
    assert config.train.get("patience") is None  # epochs are selected on validation, none stops early


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_protocol(name):
    config = CONFIGS[name]
    train = {key: value for key, value in config.train.items() if value is not None}
    wanted = {"epochs": 30000, "optimizer": "adamw", "lr": 5e-4, "weight_decay": 1e-5, "evaluate_every": 100}
    assert train.items() >= wanted.items() and "schedule" not in train
    assert config.model["hidden_channels"] == 64 and config.model["num_layers"] == 16 and config.seeds == [0, 1, 2]
    assert config.model["dropout"] == 0.2 and config.data.get("features") is None  # raw
    if "input_dropout" in config.model:
        assert config.model["input_dropout"] == 0.0
    assert config.budget.startswith("not run")


@pytest.mark.parametrize("name", PUBLISHED)
def test_figures_are_those_of_the_notes_and_marked_as_digitised(name):
    reference = CONFIGS[name].reference
    if name.split("-")[0] not in IN_PAPER:
        assert reference["metrics"] == {} and "not in the paper" in reference["note"]
        return
    deepest = float(re.search(r"L = 16: ~?([\d.]+)", reference["note"])[1])
    assert abs(100 * float(reference["metrics"]["accuracy"]) - deepest) <= 0.51  # two digits: no more is known
    assert len(str(reference["metrics"]["accuracy"])) == 4 and "digitised" in reference["note"]


@pytest.mark.parametrize("model", MODELS)
def test_the_reduced_protocol_is_one_for_all_and_called_smaller(model):
    config, full = CONFIGS[f"{model}-paris-reduced"], CONFIGS[f"{model}-paris"]
    assert config.train == CONFIGS["gcn-paris-reduced"].train and config.data["features"] == "standardized"
    assert config.seeds == [0, 1, 2] and config.train["epochs"] == 2000 and config.train["evaluate_every"] == 50
    assert {**config.model, "hidden_channels": 64} == full.model
    assert config.reference.get("smaller_run", False) == (model in IN_PAPER)


@pytest.mark.parametrize("model", MODELS)
def test_two_steps_on_the_bundled_city(model, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    config = CONFIGS[f"{model}-sample"]
    task = gk.load(**config.data)
    options = {key: value for key, value in config.model.items() if key != "name"}
    made = registry()[config.model["name"]].for_task(task, **options)
    train = {**config.train, "epochs": 2}
    run = gk.fit(made, task, loader=config.loader, select=config.protocol["select"], **train)
    assert run.steps == 2 and {"accuracy", "class_mae", "spearman"} <= set(run.test)
