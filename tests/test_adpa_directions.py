"""The comparison of ADPA's two readings of a graph."""

import importlib.util
import math
from pathlib import Path

import pytest
from scipy import stats

FILE = Path(__file__).resolve().parents[1] / "experiments" / "adpa" / "directions.py"


@pytest.fixture(scope="module")
def directions():
    spec = importlib.util.spec_from_file_location("directions", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(values):
    return [
        {"seed": 0, "fold": fold, "split": split, "metrics": {"accuracy": value, "count": {"valid": 30.0, "test": 20.0}[split]}}
        for fold, value in enumerate(values)
        for split in ("valid", "test")
    ]


def test_pairs_by_hand(directions):
    first, second = [0.5, 0.6, 0.4, 0.7], [0.4, 0.6, 0.3, 0.5]
    found = directions.paired(directions.accuracies(rows(first)), directions.accuracies(rows(second)), 0.4)
    plain = stats.ttest_rel(first, second)
    assert found["mean"] == pytest.approx(0.1) and (found["count"], found["above"]) == (4, 3)
    assert found["plain_p"] == pytest.approx(plain.pvalue)
    assert found["corrected_error"] == pytest.approx(found["plain_error"] * math.sqrt((0.25 + 0.4) / 0.25))
    assert found["corrected_p"] > found["plain_p"]


def test_pairs_are_matched_by_split(directions):
    first, second = rows([0.5, 0.6, 0.7]), rows([0.4, 0.5, 0.65])
    assert directions.text(first, second[::-1], 100) == directions.text(first, second, 100)
    assert "+8.33 points of accuracy with a standard error of 1.67 (p" in directions.text(first, second, 100)
    assert directions.text(first, [], 100).endswith("not run.")


def test_the_page_is_up_to_date(directions):
    assert directions.main(["--check"]) == 0
