"""The result tables in README.md and docs/ are those that the committed results give."""

import importlib.util
import json
from pathlib import Path

import pytest

from graphkit.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def load_script():
    specification = importlib.util.spec_from_file_location("write_tables", ROOT / "experiments" / "write_tables.py")
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    return script


write_tables = load_script()
README = "# Title\n\nBefore.\n\n<!-- results:begin -->\n<!-- results:end -->\n\nAfter.\n"


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="README.md is not written yet")
def test_tables_of_this_checkout_are_up_to_date():
    outdated = [page.relative_to(ROOT).as_posix() for page in write_tables.outdated(ROOT)]
    assert outdated == [], "run: python experiments/write_tables.py"


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one experiment that has run and one that has not."""
    for name in ("a/done", "b/waiting"):
        path = tmp_path / "experiments" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"name: {name}\ndata: {{name: toy}}\nreference: {{metrics: {{mrr: 0.5}}}}\nseeds: [0, 1]\n")
    write_results(tmp_path, 0.52, 0.48)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def write_results(root, *values, name="a/done", file="done.jsonl"):
    path = root / "experiments" / "results" / file
    path.parent.mkdir(exist_ok=True)
    metrics = [{"mrr": value, "hits@1": 0.4, "hits@3": 0.6, "mr": 3.0, "tail_mrr": value} for value in values]
    lines = [{"experiment": name, "seed": k, "split": "test", "metrics": each} for k, each in enumerate(metrics)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def run(root, *arguments):
    return write_tables.main([*arguments, "--root", str(root)])


def test_headlines_are_one_line_for_each_experiment_that_has_run(checkout):
    (checkout / "README.md").write_text(README.replace("begin -->", "begin * headlines -->"))
    assert run(checkout) == 0
    text = (checkout / "README.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| a/") or line.startswith("| b/")]
    assert len(lines) == 1 and lines[0].startswith("| a/done") and "MRR" in lines[0]
    assert "Not run: b/waiting." in text
    assert run(checkout, "--check") == 0


def test_compared_lines_are_those_with_a_published_figure(checkout):
    (checkout / "experiments" / "a" / "alone.yaml").write_text("name: a/alone\ndata: {name: toy}\nseeds: [0]\n")
    write_results(checkout, 0.7, name="a/alone", file="alone.jsonl")
    (checkout / "README.md").write_text(README.replace("begin -->", "begin * compared -->"))
    assert run(checkout) == 0
    text = (checkout / "README.md").read_text("utf-8")
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith(("| a/", "| b/"))] == ["a/done"]
    assert "Of these 1: matches 1. Run without a published figure: 1. Not run: 1. [docs/results.md]" in text
    assert run(checkout, "--check") == 0


def test_table_is_written_between_the_markers_and_again_changes_nothing(checkout):
    assert run(checkout) == 0
    text = (checkout / "README.md").read_text("utf-8")
    assert text.startswith("# Title\n\nBefore.\n\n<!-- results:begin -->\n") and text.endswith(
        "<!-- results:end -->\n\nAfter.\n"
    )
    # squares of 0.02 and -0.02 over n - 1 = 1: deviation 0.028
    assert "| a/done | toy | MRR | 0.5 | 0.500 ± 0.028 (n=2) | 0.000 | matches |" in text
    assert "| b/waiting | toy | MRR | 0.5 | \u2013 | \u2013 | not run |" in text
    assert "Hits@1 |" in text and "Hits@3" not in text and "tails" not in text
    assert run(checkout) == 0 and run(checkout, "--check") == 0
    assert (checkout / "README.md").read_text("utf-8") == text


def test_check_finds_a_table_that_differs_and_changes_nothing(checkout, capsys):
    assert run(checkout, "--check") == 1
    assert (checkout / "README.md").read_text("utf-8") == README
    run(checkout)
    text = (checkout / "README.md").read_text("utf-8")
    (checkout / "README.md").write_text(text.replace("± 0.028", "± 0.001"))
    capsys.readouterr()
    assert run(checkout, "--check") == 1
    shown = capsys.readouterr()
    assert "-| a/done" in shown.out and "± 0.001" in shown.out and "out of date" in shown.err
    run(checkout)
    write_results(checkout, 0.9, 0.9)
    assert run(checkout, "--check") == 1


def test_pages_may_show_some_experiments(checkout):
    page = checkout / "docs" / "b.md"
    page.write_text(
        "<!-- results:begin b/* -->\nold\n<!-- results:end -->\nbetween\n<!-- results:begin -->\n<!-- results:end -->\n"
    )
    assert run(checkout) == 0
    first, second = page.read_text("utf-8").split("between")
    assert "b/waiting" in first and "a/done" not in first and "old" not in first and "a/done" in second
    assert run(checkout, "--check") == 0


def test_benchmarks_are_no_experiments(checkout):
    (checkout / "experiments" / "bench").mkdir()
    (checkout / "experiments" / "bench" / "x.yaml").write_text("sizes: [1]\n")
    assert run(checkout) == 0


@pytest.mark.parametrize(
    ("readme", "fault"),
    [
        (None, "README.md is missing"),
        ("# Title\n", "README.md holds no result table"),
        ("a\n<!-- results:begin -->\n", "README.md, line 2: '<!-- results:begin -->' without"),
        ("<!-- results:begin -->\n<!-- results:begin -->\n<!-- results:end -->\n", "README.md, line 1: "),
        ("<!-- results:begin c/* -->\n<!-- results:end -->\n", "no experiment matches 'c/*'"),
    ],
)
def test_faulty_pages_are_named(checkout, capsys, readme, fault):
    (checkout / "README.md").unlink()
    if readme is not None:
        (checkout / "README.md").write_text(readme)
    assert run(checkout) == 2
    assert fault in capsys.readouterr().err


def test_results_and_experiments_must_fit(checkout):
    write_results(checkout, 0.5, name="a/dona", file="other.jsonl")
    with pytest.raises(UserError, match=r"other\.jsonl: unknown experiment 'a/dona'; did you mean 'a/done'"):
        write_tables.experiments(checkout)
    write_results(checkout, 0.5, name="a/done", file="other.jsonl")
    with pytest.raises(UserError, match=r"seed 0 of a/done \(test\) stands in done\.jsonl too"):
        write_tables.experiments(checkout)
    (checkout / "experiments" / "results" / "other.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"other\.jsonl, line 1: 'seed' is None"):
        write_tables.experiments(checkout)
    (checkout / "experiments" / "results" / "other.jsonl").unlink()
    (checkout / "experiments" / "b" / "nameless.yaml").write_text("data: {name: toy}\n")
    with pytest.raises(UserError, match=r"nameless\.yaml: an experiment needs a 'name', such as b/nameless"):
        write_tables.experiments(checkout)
    (checkout / "experiments" / "b" / "nameless.yaml").write_text("name: a/done\n")
    with pytest.raises(UserError, match="the name 'a/done' is taken"):
        write_tables.experiments(checkout)


def test_folds_of_one_seed_are_trainings_of_their_own(checkout):
    results = checkout / "experiments" / "results"

    def line(seed, fold, value, file="done.jsonl"):
        found = {"experiment": "a/done", "seed": seed, "fold": fold, "folds": 2, "split": "test", "seconds": 10.0}
        with (results / file).open("a") as out:
            out.write(json.dumps({**found, "metrics": {"mrr": value}}) + "\n")

    (checkout / "experiments" / "a" / "done.yaml").write_text(
        "name: a/done\ndata: {name: toy}\nseeds: [0, 1]\nsplits: all\n"
    )
    (results / "done.jsonl").unlink()
    for seed, fold, value in ((0, 0, 0.1), (0, 1, 0.2), (1, 0, 0.3), (1, 1, 0.6)):
        line(seed, fold, value)
    assert run(checkout) == 0
    # mean 0.3; squares of -0.2, -0.1, 0, 0.3 over n - 1 = 3: deviation 0.216
    assert "0.300 ± 0.216 (n=4) | \u2013 | no reference |  |  | 20.0 s |" in (checkout / "README.md").read_text("utf-8")
    assert "| seeds 0-1; splits 0-1 | 20.0 s |" in (checkout / "experiments" / "README.md").read_text("utf-8")
    line(1, 1, 0.6, file="other.jsonl")
    with pytest.raises(UserError, match=r"seed 1, fold 1, of a/done \(test\) stands in done\.jsonl too"):
        write_tables.experiments(checkout)


def test_every_experiment_is_listed_with_its_command_and_whether_it_was_run(checkout):
    own = checkout / "experiments" / "b" / "own.yaml"
    own.write_text("name: b/own\ndata: {file: null}\nbudget: minutes\n")
    (checkout / "experiments" / "b" / "count.py").write_text('"""Counts | things.\n\n    usage\n"""\n')
    assert run(checkout) == 0
    text = (checkout / "experiments" / "README.md").read_text("utf-8")
    assert "2 experiments in 2 groups; 1 with results, 1 not run." in text
    assert "| graphkit run a/done | toy |  | seeds 0-1 |  | MRR | 0.5 | 0.500 ± 0.028 (n=2) | matches |" in text
    assert "| graphkit run b/waiting | toy |  | not run |  | MRR | 0.5 | \u2013 | not run |" in text
    assert "| graphkit run b/own --data FILE | a graph of your own | minutes |" in text
    assert "* `python experiments/b/count.py`: Counts \\| things." in text
    (checkout / "experiments" / "README.md").write_text(text.replace("0.500", "0.600"))
    assert run(checkout, "--check") == 1
