"""Rows of the result table against figures worked out by hand."""

import math

import pytest

from graphkit.engine.result_table import planned_seeds, result_rows, verdict
from graphkit.engine.table_formats import cells, duration, markdown_escape, markdown_table, number
from graphkit.errors import UserError


def lines(*values, metric="mrr", split="test", **fields):
    return [{"seed": seed, "split": split, "metrics": {metric: value}, **fields} for seed, value in enumerate(values)]


def row_of(config, results, metric="mrr", kind="experiment"):
    return next(row for row in result_rows("a/b", config, results) if row.metric == metric and row.kind == kind)


def test_mean_and_unbiased_deviation_by_hand():
    row = row_of({"seeds": [0, 1, 2], "reference": {"metrics": {"mrr": 0.415}}}, lines(0.40, 0.42, 0.44))
    assert row.ours == pytest.approx(0.42)
    # squares of -0.02, 0, 0.02 over n - 1 = 2
    assert row.std == pytest.approx(0.02)
    assert row.difference == pytest.approx(0.005)
    assert (row.n, row.planned) == (3, 3)


@pytest.mark.parametrize(
    ("ours", "std", "n", "paper", "rounding", "expected"),
    [
        (0.42, 0.02, 3, 0.415, 0.0005, "matches"),  # 2 s / sqrt(n) = 0.0231
        (0.42, 0.002, 4, 0.4179, 0.0, "above"),  # 2 s / sqrt(n) = 0.002
        (0.42, 0.002, 4, 0.422, 0.0, "matches"),
        (0.42, 0.002, 4, 0.4221, 0.0, "below"),
        (0.4155, None, 1, 0.415, 0.0005, "matches"),  # the last bit of 0.4155 - 0.415 must not decide
        (0.4156, None, 1, 0.415, 0.0005, "above"),
        (0.4144, None, 1, 0.415, 0.0005, "below"),
        (0.4153, 0.0, 5, 0.415, 0.0005, "matches"),
        (None, None, 0, 0.415, 0.0005, "not run"),
        (None, None, 0, None, 0.0, "not run"),
        (0.4, 0.1, 5, None, 0.0, "no reference"),
    ],
)
def test_verdict(ours, std, n, paper, rounding, expected):
    assert verdict(ours, std, n, paper, rounding=rounding) == expected


def test_smaller_run_needs_a_figure_of_ours_and_of_the_paper():
    config = {"reference": {"metrics": {"mrr": 0.415}, "smaller_run": True}}
    assert row_of(config, lines(0.2)).verdict == "smaller run"
    assert row_of(config, []).verdict == "not run"
    assert verdict(0.2, None, 1, None, smaller_run=True) == "no reference"


def test_rounding_is_half_a_unit_of_the_last_printed_digit():
    assert row_of({"reference": {"metrics": {"mrr": 0.41}}}, lines(0.4149)).verdict == "matches"
    assert row_of({"reference": {"metrics": {"mrr": 0.41}}}, lines(0.4151)).verdict == "above"
    # YAML drops the zero of 0.410: its neighbour, or text, says that three digits are printed
    assert row_of({"reference": {"metrics": {"mrr": 0.41, "hits@1": 0.321}}}, lines(0.4149)).verdict == "above"
    assert row_of({"reference": {"metrics": {"mrr": "0.410"}}}, lines(0.4149)).verdict == "above"
    assert (
        row_of({"reference": {"metrics": {"mr": 114, "mrr": 0.415}}}, lines(114.4, metric="mr"), "mr").verdict
        == "matches"
    )
    assert (
        row_of({"reference": {"metrics": {"hits@10": 1}}}, lines(0.7, metric="hits@10"), "hits@10").verdict == "below"
    )


@pytest.mark.parametrize("value", ["high", True, float("nan"), [0.4], 41.5])
def test_figures_that_are_no_fractions_are_refused(value):
    with pytest.raises(UserError, match=r"a/b: reference\.metrics\.mrr is .*expected a (number|fraction)"):
        result_rows("a/b", {"reference": {"metrics": {"mrr": value}}}, lines(0.4))


def test_reference_of_the_wrong_kind_is_refused():
    with pytest.raises(UserError, match="reference is 'Zhu', expected a mapping"):
        result_rows("a/b", {"reference": "Zhu"}, lines(0.4))
    with pytest.raises(UserError, match=r"reference\.beside is a list of mappings"):
        result_rows("a/b", {"reference": {"beside": ["RotatE"]}}, lines(0.4))


def test_baselines_stand_beside_and_are_called_cited():
    config = {"reference": {"beside": [{"name": "RotatE", "mrr": 0.836, "source": "Sun 2019"}]}}
    row = row_of(config, lines(0.9, 0.92), kind="beside")
    assert (row.label, row.source, row.paper, row.verdict) == ("RotatE", "Sun 2019", 0.836, "cited")
    assert row.difference == pytest.approx(0.91 - 0.836)
    shown = cells(row)
    assert shown[0] == "beside: RotatE" and shown[4] == "\u2013" and shown[6] == "cited, not re-run"


def test_only_the_asked_split_counts_and_only_test_is_compared():
    results = lines(0.9) + lines(0.5, split="valid")
    config = {"reference": {"metrics": {"mrr": 0.9}, "beside": [{"name": "RotatE", "mrr": 0.8}]}}
    assert [row.ours for row in result_rows("a/b", config, results)] == [0.9, 0.9]
    (valid,) = result_rows("a/b", config, results, split="valid")
    assert (valid.ours, valid.paper, valid.verdict) == (0.5, None, "no reference")


def test_order_of_metrics_and_count_left_out():
    names = ("count", "auc", "head_mrr", "mr", "hits@10", "mrr", "hits@1", "tail_mrr", "hits@3")
    results = [{"seed": 0, "split": "test", "metrics": dict.fromkeys(names, 0.5)}]
    expected = ["mrr", "hits@1", "hits@3", "hits@10", "mr", "tail_mrr", "head_mrr", "auc"]
    assert [row.metric for row in result_rows("a/b", {}, results)] == expected


def test_facts_of_a_run():
    results = lines(0.9, 0.8, data="umls", parameters=21057, device="cpu", threads=2, commit="0123456789ab-dirty")
    results[0]["seconds"], results[1]["seconds"] = 60.0, 106.0
    row = row_of({"seeds": "0-4"}, results)
    assert (row.n, row.planned, row.seconds) == (2, 5, 83.0)
    assert cells(row)[1] == "umls"
    assert cells(row)[4] == "0.850 ± 0.071 (n=2 of 5)"
    assert cells(row)[7:] == ["21,057", "cpu, 2 threads", "1 min 23 s", "0123456-dirty"]
    results[0]["peak_mib"], results[1]["peak_mib"] = 2950, 700
    assert cells(row_of({"seeds": "0-4"}, results))[8] == "cpu, 2 threads, 2.9 GiB"
    shared = lines(0.9, 0.8, device="cpu", threads=1, processes=2)
    assert cells(row_of({"seeds": "0-1"}, shared))[8] == "2 processes: cpu, 1 thread"


def test_one_seed_has_no_deviation():
    row = row_of({}, lines(0.9))
    assert row.std is None and cells(row)[4] == "0.900 (n=1)"


def test_where_lower_is_better_the_verdict_says_so():
    row = row_of({"reference": {"metrics": {"mr": 114}}}, lines(90.0, metric="mr"), "mr")
    assert row.verdict == "below" and cells(row)[6] == "below (better)"
    assert cells(row)[3] == "114"


def test_repeated_cells_are_blank_only_under_the_same_experiment():
    first, second = result_rows("a/b", {}, [{"seed": 0, "split": "test", "metrics": {"mrr": 0.5, "hits@1": 0.4}}])
    (other,) = result_rows("a/c", {}, lines(0.5))
    assert cells(second, above=first)[0] == "" and cells(second)[0] == "a/b"
    assert cells(other, above=second)[0] == "a/c"


def test_planned_seeds():
    assert planned_seeds({"seeds": [3, 4]}) == [3, 4]
    assert planned_seeds({"seeds": 7}) == [7]
    assert planned_seeds({"seeds": "0-2,5"}) == [0, 1, 2, 5]
    assert planned_seeds({"seeds": "many"}) == planned_seeds({}) == []


def test_numbers_as_text():
    assert number(-0.0004, 3, sign=True) == "0.000"
    assert number(-0.0116, 3, sign=True) == "\u22120.012"
    assert duration(59.96) == "1 min 0 s" and duration(59.94) == "59.9 s" and duration(3599.6) == "1 h 0 min"
    assert math.isclose(float(number(0.5, 1)), 0.5)


def test_markdown_cells_cannot_break_the_table():
    text = markdown_table(["a"], [["x|y\n<b>`*["]])
    assert text.splitlines()[2] == "| x\\|y &lt;b&gt;\\`\\*\\[ |"
    assert markdown_escape("a & b") == "a &amp; b"
