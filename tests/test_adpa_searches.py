"""The table of the searches: trials, finalists, and what was kept."""

import json

import pytest

from experiments.adpa import searches


def lines(*values, **rest):
    return [
        {"trial": trial, "select": "accuracy", "seconds": 30.0, "valid": {"accuracy": value}, **rest}
        for trial, value in values
    ]


@pytest.fixture
def folder(tmp_path):
    found = {
        "adpa-toy": lines((0, 0.5), (1, 0.9), (2, 0.7)),
        "adpa-toy-finalists": lines((-1, 0.61), (1, 0.6), (2, 0.65)),
        "nodes-gcn-toy": lines((0, 0.5)),
        "nodes-gcn-toy-finalists": lines((-1, 0.5), (0, 0.5)),
        "nodes-mlp-toy": lines((0, 0.5)),
    }
    for name, content in found.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in content))
    return tmp_path


def test_searches_with_finalists_are_shown_with_what_was_kept(folder):
    shown = searches.table(folder).splitlines()
    assert len(shown) == 4
    assert shown[2] == "| adpa/toy | 3 | 3 min 0 s | 0.900 | 2 | 0.650 | 0.610 | trial 2 |"
    assert shown[3] == "| nodes/gcn-toy | 1 | 1 min 30 s | 0.500 | 1 | 0.500 | 0.500 | options before |"
    assert searches.table(folder / "none") == "No search has finalists."


def test_the_page_is_up_to_date():
    assert searches.main(["--check"]) == 0
