import inspect
from typing import Literal

import pytest
import yaml

from graphkit.engine.config import experiment_names, load_config, parse_seeds, split_overrides
from graphkit.engine.fit import fit
from graphkit.engine.schema import type_name, typed_options
from graphkit.engine.yaml_text import parse_value, read_yaml
from graphkit.errors import UserError


def edited(path, **sections):
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **sections}, sort_keys=False))
    return path


def test_resolved_config_has_every_default_and_only_what_people_may_set(tiny):
    config = load_config(tiny)
    owned = {"model", "task", "seed", "out", "resume", "reporter", "loader", "evaluation", "select", "labels", "splits"}
    owned |= {"score_test"}
    defaults = {n: p.default for n, p in inspect.signature(fit).parameters.items() if n not in owned}
    assert config.train == {**defaults, "epochs": 2, "lr": 0.01}
    assert config.loader == {"batch_size": 4, "num_negatives": 2, "strict": True}
    assert config.model["num_mlp_layers"] == 2 and "num_relations" not in config.model
    assert list(config.reference) == ["paper", "metrics", "beside"]
    assert config.reference["metrics"] == {"mrr": "0.50"}  # trailing zeros are part of a published figure


def test_dump_and_load_give_the_same_experiment_and_the_same_text(tiny, tmp_path):
    config = load_config(tiny, ["--train.clip_norm", "1e-3", "--train.amp", "false"])
    (tmp_path / "again.yaml").write_text(config.dump())
    again = load_config(tmp_path / "again.yaml")
    assert again == config and again.dump() == config.dump()
    assert list(yaml.safe_load(config.dump())) == [
        "name", "reference", "protocol", "data", "loader", "model", "train", "seeds", "budget",
    ]  # fmt: skip


def test_overrides_in_both_spellings_win_over_the_file(tiny):
    words = ["--train.lr", "3e-3", "--model.num_layers=4", "--seeds", "0-2,7", "--protocol.select", "hits@10"]
    config = load_config(tiny, words)
    assert config.train["lr"] == 0.003 and config.model["num_layers"] == 4
    assert config.seeds == [0, 1, 2, 7] and config.protocol["select"] == "hits@10"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--trian.lr=1", "--trian.lr: unknown section 'trian'; did you mean 'train'?"),
        ("--train.lrr=1", "--train.lrr: unknown option of train 'lrr'; did you mean 'lr'?"),
        ("--train.seed=1", "--train.seed: unknown option of train 'seed'"),
        ("--loader.batch_sise=1", "unknown option of loader 'batch_sise'; did you mean 'batch_size'?"),
        ("--loader.epoch=1", "unknown option of loader 'epoch'"),
        ("--model.hiden_channels=1", "unknown option of model 'hiden_channels'; did you mean 'hidden_channels'?"),
        ("--model.num_relations=1", "unknown option of model 'num_relations'"),
        ("--model.name=NBF", "--model.name: unknown model 'NBF'; did you mean 'NBFNet'?"),
        ("--model.name=null", "--model.name is None, expected one of"),
        ("--data.name=umsl", "--data.name: unknown data set 'umsl'; did you mean 'umls'?"),
        ("--data.rooot=x", "--data.rooot: unknown option of data 'rooot'; did you mean 'root'?"),
        ("--protocol.tie=mean", "unknown option of protocol 'tie'; did you mean 'ties'?"),
        ("--reference.papr=x", "unknown option of reference 'papr'; did you mean 'paper'?"),
        ("--train.epochs=1.5", "--train.epochs is 1.5, expected a whole number"),
        ("--train.epochs=null", "--train.epochs is null, expected a whole number"),
        ("--train.epochs=-1", "--train.epochs is -1, expected a whole number of at least 0"),
        ("--train.lr_of={predictor: -1}", "--train.lr_of: 'predictor' is -1.0, expected a number of at least 0"),
        ("--train.lr=fast", "--train.lr is 'fast', expected a number"),
        ("--train.lr=-1", "--train.lr is -1.0, expected a number above 0"),
        ("--train.clip_norm=[1]", "--train.clip_norm is [1], expected a number or null"),
        ("--train.deterministic=1", "--train.deterministic is 1, expected true or false"),
        ("--train.amp=fp16", "--train.amp is 'fp16', expected true or false or 'auto'"),
        ("--protocol.ties=meen", "is 'meen', expected one of 'pessimistic', 'optimistic', 'mean'"),
        ("--train=3", "--train is 3, expected a mapping of options"),
        ("--train.lr.x=3", "--train.lr.x: lr is 0.01 and has no options below it"),
        ("--seeds=0-x", "--seeds: seeds is '0-x', expected whole numbers"),
        ("--name=../up", "--name is '../up', expected words"),
        ("--budget=3", "--budget is 3, expected text"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_expected(tiny, override, message):
    with pytest.raises(UserError) as caught:
        load_config(tiny, [override])
    assert message in str(caught.value)


def test_a_mistake_in_the_file_names_the_file(tiny):
    edited(tiny, train={"epochs": 2, "leraning_rate": 1})
    with pytest.raises(UserError, match=r"tiny\.yaml: train\.leraning_rate: unknown option of train"):
        load_config(tiny)
    edited(tiny, train={"lr": "quick"})
    with pytest.raises(UserError, match=r"tiny\.yaml: train\.lr is 'quick', expected a number"):
        load_config(tiny)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {lr: 1\nname: x", "tiny.yaml, line 2: "),
        ("train: {lr: 1, lr: 2}", "tiny.yaml, line 1: the key 'lr' stands twice"),
        ("- a\n- b", "holds list, expected a mapping"),
        ("", "holds nothing, expected a mapping"),
        ("name: x\nmodel: {name: NBFNet}", "data.name is None, expected the name of a data set"),
    ],
)
def test_files_that_are_no_experiments(tiny, text, message):
    tiny.write_text(text)
    with pytest.raises(UserError) as caught:
        load_config(tiny)
    assert message in str(caught.value)


def test_numbers_are_read_as_people_write_them(tiny):
    tiny.write_text(tiny.read_text().replace("lr: 0.01", "lr: 5e-3"))
    assert load_config(tiny).train["lr"] == 0.005
    assert parse_value("1e5") == 1e5 and parse_value("-2E-3") == -0.002 and parse_value("e5") == "e5"
    assert parse_value("[1, two]") == [1, "two"] and parse_value("a: b: c") == "a: b: c"


def test_every_shipped_experiment_resolves_and_unknown_names_get_the_nearest():
    for name in experiment_names():
        assert load_config(name).name == name
    with pytest.raises(UserError, match="unknown experiment 'nbfnet/umsl'"):
        load_config("nbfnet/umsl")
    with pytest.raises(UserError, match=r"there is no file nowhere\.yaml"):
        load_config("nowhere.yaml")


@pytest.mark.parametrize(
    ("value", "seeds"), [("3", [3]), (3, [3]), ("0-2", [0, 1, 2]), ("0,5-6", [0, 5, 6]), ([1, "4-5"], [1, 4, 5])]
)
def test_seeds(value, seeds):
    assert parse_seeds(value) == seeds


@pytest.mark.parametrize("value", ["", "2-1", "-1", [], [0, 0], [0.5], None, [True], "0-2,1"])
def test_bad_seeds(value):
    with pytest.raises(UserError, match="seeds is"):
        parse_seeds(value)


@pytest.mark.parametrize("words", [["x"], ["--train.lr"], ["--train.lr", "--train.epochs", "3"]])
def test_bad_override_words(words):
    with pytest.raises(UserError, match=r"looks like|needs a value"):
        split_overrides(words)
    assert split_overrides(["--train.lr", "-3"]) == [("train.lr", "-3")]


def test_schema_follows_options_handed_to_a_base_class():
    class Base:
        def __init__(self, width: int = 3, *, kind: Literal["a", "b"] = "a"):
            pass

    class Model(Base):
        def __init__(self, size: int, deep: bool = False, **options):
            super().__init__(**options)

    options = {"what": "option", "where": lambda name: f"f.yaml: {name}", "without": ("size",)}
    assert typed_options(Model, {"kind": "b"}, **options) == {"deep": False, "width": 3, "kind": "b"}
    with pytest.raises(UserError, match=r"f\.yaml: kind is 'c', expected one of 'a', 'b'"):
        typed_options(Model, {"kind": "c"}, **options)
    with pytest.raises(UserError, match="width is null, expected a whole number"):
        typed_options(Model, {"width": None}, **options)
    with pytest.raises(UserError, match=r"size is missing; Model needs size"):
        typed_options(Model, {}, what="option", where=str)


def test_text_stays_text_where_more_than_text_is_taken():
    def read(*, file: str | None = None, column: int | str = 0):
        pass

    options = {"what": "option", "where": str}
    assert typed_options(read, {"file": "# x", "column": "null"}, **options) == {"file": "# x", "column": "null"}
    assert typed_options(read, {"column": 3}, **options) == {"file": None, "column": 3}


def test_type_names():
    assert type_name(list[int] | None) == "a list, each a whole number or null"
    assert type_name(dict[str, int]) == "a mapping"


def test_yaml_without_utf8(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"name: \xff")
    with pytest.raises(UserError, match=r"x\.yaml is not UTF-8 text \(byte 6\)"):
        read_yaml(tmp_path / "x.yaml")
