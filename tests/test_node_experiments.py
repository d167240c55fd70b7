"""The shipped experiments of node classification: all splits, and one budget for every model."""

from pathlib import Path

import pytest

from graphkit.engine.config import load_config
from graphkit.engine.tune import drawn
from graphkit.models import NodeClassifier, registry

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
FIRST = "-first-split"  # the published protocol of ADPA's paper: one split, ten seeds
CONFIGS = {
    path.stem: load_config(path) for path in sorted((EXPERIMENTS / "nodes").glob("*.yaml")) if FIRST not in path.stem
}
FIRST_SPLITS = [path for group in ("adpa", "nodes") for path in sorted((EXPERIMENTS / group).glob(f"*{FIRST}.yaml"))]
SHARED = ("train.lr", "train.weight_decay", "model.dropout", "model.hidden_channels")


def test_every_data_set_has_a_model_without_edges_and_one_with():
    models = {}
    for name in CONFIGS:
        model, data = name.removesuffix("-strong").removesuffix("-searched").split("-", 1)
        models.setdefault(data, set()).add(model)
    assert set(models) == {"texas", "cornell", "chameleon-filtered", "cora_ml", "citeseer-directed", "minesweeper"}
    assert all(found >= {"mlp", "gcn"} and len(found) >= 4 for found in models.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_an_experiment_is_what_its_name_says(name):
    config = CONFIGS[name]
    assert config.name == f"nodes/{name}" and config.splits == "all" and config.data["task"] == "node"
    assert config.model["name"].lower() == name.split("-")[0]
    assert issubclass(registry()[config.model["name"]], NodeClassifier)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_model_has_the_same_budget(name):
    config = CONFIGS[name]
    more = {  # beside ADPA, which is searched so too
        "chameleon/filtered_directed": {"trials": 120, "finalists": 10},
        "citeseer/directed": {"trials": 60, "finalists": 5},
        "cora_ml": {"trials": 60, "finalists": 5},
    }
    plan = {"splits": [0, 1, 2], **more.get(config.data["name"], {"trials": 30})}
    assert {key: value for key, value in config.tune.items() if key != "space"} == plan
    assert budget(config) == budget(CONFIGS["gcn-texas"])
    assert [config.tune["space"][option] for option in SHARED] == [
        CONFIGS["gcn-texas"].tune["space"][o] for o in SHARED
    ]
    for trial in range(4):  # every option of the space exists
        config.changed(drawn(config.tune["space"], name, trial))


@pytest.mark.parametrize("name", CONFIGS)
def test_models_that_know_no_direction_read_none(name):
    config = CONFIGS[name]
    assert config.data.get("direction") == ("undirected" if directed(config) and "dirgnn" not in name else None)


@pytest.mark.parametrize("model", ["gcn", "graphsage"])
def test_the_strong_recipe_is_searched_with_the_same_budget(model):
    plain, strong = CONFIGS[f"{model}-minesweeper"], CONFIGS[f"{model}-minesweeper-strong"]
    assert strong.model["residual"] and strong.model["feed_forward"] and not plain.model["residual"]
    assert (strong.data, budget(strong), strong.splits) == (plain.data, budget(plain), plain.splits)


@pytest.mark.parametrize("path", FIRST_SPLITS, ids=lambda path: path.stem)
def test_the_first_split_alone_is_the_same_experiment_with_ten_seeds(path):
    first, whole = load_config(path), load_config(path.with_name(path.name.replace(FIRST, "")))
    assert first.name == f"{whole.name}{FIRST}" and first.tune is None
    assert (first.splits, first.seeds, whole.splits, whole.seeds) == ([0], list(range(10)), "all", [0])
    for section in ("data", "model", "train", "protocol", "loader"):
        assert getattr(first, section) == getattr(whole, section)
    assert first.reference["metrics"] == whole.reference["metrics"]


def budget(config):
    """How long a model is trained; the rest is searched, and the files hold what was found."""
    return {key: value for key, value in config.train.items() if f"train.{key}" not in SHARED}


def directed(config):
    from graphkit.datasets import card

    return card(config.data["name"]).directed
