"""Reports of a small run written by hand."""

import builtins
import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from safetensors.numpy import save

from graphkit.engine.report import render, write_report
from graphkit.engine.report_blocks import Drawing, Headline, Paragraph, Section, Table, markdown_page
from graphkit.engine.report_html import html_page
from graphkit.engine.routing_plots import prompt_plot, usage_plot
from graphkit.engine.run_record import read_epochs, read_run
from graphkit.errors import UserError

CONFIG = """\
name: {name}
reference:
  paper: "A paper <script>alert(1)</script>"
  metrics: {{mrr: 0.750, "hits@1": 0.5}}
  std: {{mrr: "0.010", "hits@1": "0.02"}}
  beside: [{{name: RotatE, mrr: 0.4, source: "its paper"}}]
protocol: {{select: mrr, ties: pessimistic}}
data: {{name: toy}}
loader: {{num_negatives: 8}}
seeds: [0, 1, 2]
"""


def make_run(folder, name="method/toy", seeds=(0, 1)):
    """A run directory: MRR 0.7 + 0.1 seed on test, half of that on validation."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG.format(name=name))
    backends = {"spmm": "native", "scan": "python", "pool": "native"}
    memory = {"ram": 25276502016, "gpus": []}
    environment = {
        "cpu": {"model": "<script>cpu</script>", "threads": 2},
        "gpus": [],
        "memory": memory,
        "backends": backends,
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    results, log = [], []
    for seed in seeds:
        for split, factor in (("valid", 0.5), ("test", 1.0)):
            metrics = {"mrr": factor * (0.7 + 0.1 * seed), "hits@1": 0.5, "mr": 2.0, "count": 4}
            results.append(
                {"experiment": name, "data": "toy", "model": "M", "seed": seed, "split": split, "metrics": metrics,
                 "epoch": 2, "parameters": 1234, "seconds": 10.0, "steps": 6, "device": "cpu", "threads": 2,
                 "commit": "0123456789abcdef", "versions": {"torch": "2.13.0"}, "select": "mrr", "ties": "pessimistic"}
            )  # fmt: skip
        for epoch in (1, 2):
            valid = {"mrr": 0.2 * epoch}
            log.append({"event": "epoch", "seed": seed, "epoch": epoch, "loss": 1 / epoch, "valid": valid})
        (folder / f"seed-{seed}").mkdir()
        ranks = {"tail": np.array([1, 1, 2, 40]), "head": np.array([1, 3, 3, 5])}
        (folder / f"seed-{seed}" / "test_ranks.safetensors").write_bytes(save(ranks))
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in results))
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return folder


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "toy")


class Page(HTMLParser):
    """Checks that tags close in order; gathers what a browser would load, the anchors and the text."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.loads, self.ids, self.links, self.text = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        self.loads += [attributes[key] for key in ("src", "srcset", "data", "poster") if key in attributes]
        if "href" in attributes:
            self.links.append(attributes["href"])
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_both_reports_and_the_plots_are_written(run):
    assert write_report(run) == run / "report.html"
    markdown = (run / "report.md").read_text("utf-8")
    # mean of 0.7 and 0.8, unbiased deviation 0.1 / sqrt(2), two of three seeds
    assert "**MRR 0.750 ± 0.071**" in markdown
    assert "| method/toy | MRR | 0.75 | 0.750 ± 0.071 (n=2 of 3) | 0.000 | matches |" in markdown
    assert "| gpus | none |" in markdown and "| ram | 23.5 GiB |" in markdown
    assert "| native | spmm, pool |" in markdown and "| python | scan |" in markdown
    assert "| Reference: std | MRR 0.010, Hits@1 0.02 |" in markdown
    assert "Unfinished: no result yet for 1 seed (2)." in markdown
    assert "graphkit run config.yaml --seeds 0-1 --out ../toy-again" in markdown
    for path in re.findall(r"\]\((plots/[^)]*)\)", markdown):
        assert (run / path).read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (run / "plots").iterdir()) == ["ranks.png", "training.png"]


def test_html_stands_alone_and_is_well_formed(run):
    text = write_report(run).read_text("utf-8")
    page = Page(text)
    assert len(page.loads) == 2 and all(source.startswith("data:image/svg+xml;base64,") for source in page.loads)
    assert not {"script", "link", "iframe", "object", "base"}.intersection(page.tags)
    assert page.links and all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} == set(page.ids) and len(set(page.ids)) == len(page.ids)
    assert "url(" not in text and "@import" not in text and "default-src 'none'" in text


def test_letters_of_drawings_have_one_size_whatever_their_width():
    pytest.importorskip("matplotlib")
    drawings = [usage_plot([1], [[1.0, 0.0]]), prompt_plot([[1.0, 0.0], [0.0, 1.0]])]
    text = html_page(
        Headline("run"), [Section("Plots", [Drawing(str(n), plot, "") for n, plot in enumerate(drawings)])]
    )
    shown = [int(width) for width in re.findall(r'<img [^>]*style="width: (\d+)px', text)]
    made_for = [float(re.search(rb'width="([\d.]+)pt"', plot.svg)[1]) for plot in drawings]
    assert shown[1] < shown[0] <= 860
    assert shown[0] / made_for[0] == pytest.approx(shown[1] / made_for[1], rel=0.01)


def test_headings_of_columns_begin_with_a_capital_but_symbols_stay():
    table = Table(["pattern", "r", "R^2", "train (%)"], [["A", "0.1", "0.01", "3"]], [1, 2, 3])
    text = html_page(Headline("run"), [Section("Direction", [table])])
    assert re.findall(r"<th[^>]*>([^<]*)</th>", text) == ["Pattern", "r", "R^2", "Train (%)"]


def test_a_sentence_with_a_reference_ends_once():
    paragraph = Paragraph("NCN: the same, faster.", sees=("Plots", "Result"))
    sections = [Section("Recommendation", [paragraph])]
    assert "faster (see [Plots](#plots), [Result](#result)).\n" in markdown_page(Headline("run"), sections, plots={})
    assert '<p>NCN: the same, faster (see <a href="#plots">' in html_page(Headline("run"), sections)


def test_everything_from_the_files_is_escaped(run):
    steps = [["<script>h</script>", "r|s", "<img src=x>"]]
    (run / "seed-0").mkdir(exist_ok=True)
    (run / "seed-0/explanations.json").write_text(
        json.dumps(
            {"explanations": [{"triple": ["<script>h</script>", "r|s", "<img src=x>"], "rank": 1,
                               "paths": [{"weight": 0.5, "edges": steps}]}]}
        )
    )  # fmt: skip
    text = write_report(run).read_text("utf-8")
    assert "<script" not in text and "<img src=x>" not in text
    shown = "".join(Page(text).text)
    for given in ("<script>alert(1)</script>", "<script>cpu</script>", "(<script>h</script>, r|s, <img src=x>)"):
        assert given in shown
    # the configuration stands in a fence, where Markdown shows text as it is; nothing else may hold a tag
    prose = re.sub(r"```yaml.*?```", "", (run / "report.md").read_text("utf-8"), flags=re.DOTALL)
    assert "<script" not in prose and "r\\|s" in prose


def test_a_name_with_markup_is_escaped_in_the_title(tmp_path):
    text = write_report(make_run(tmp_path / "x", name="'<script>x</script>'")).read_text("utf-8")
    assert "<title>&lt;script&gt;x&lt;/script&gt;: report</title>" in text and "<script" not in text


def test_the_same_run_gives_the_same_bytes(run):
    first = write_report(run).read_bytes(), (run / "report.md").read_bytes()
    assert (write_report(run).read_bytes(), (run / "report.md").read_bytes()) == first


def test_without_matplotlib_the_report_says_so(run, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **options):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    text = write_report(run).read_text("utf-8")
    assert Page(text).loads == [] and "matplotlib is not installed" in text
    assert not (run / "plots").exists()
    assert "Ranked first" in text


def test_sections_follow_what_the_run_holds(run):
    full = Page(write_report(run).read_text("utf-8")).ids
    assert full == [
        "result",
        "training",
        "ranks",
        "seeds",
        "protocol",
        "configuration",
        "environment",
        "how-to-reproduce",
    ]
    (run / "log.jsonl").unlink()
    for seed in (0, 1):
        (run / f"seed-{seed}" / "test_ranks.safetensors").unlink()
    bare = Page(write_report(run).read_text("utf-8")).ids
    assert bare == ["result", "seeds", "protocol", "configuration", "environment", "how-to-reproduce"]


def test_a_run_from_python_has_neither_configuration_nor_experiment(run):
    (run / "config.yaml").unlink()
    (run / "environment.json").unlink()
    results = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    for line in results:
        line["experiment"] = None
    (run / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in results))
    write_report(run)
    markdown = (run / "report.md").read_text("utf-8")
    assert markdown.startswith("# toy\n") and "no config.yaml" in markdown and "no reference" in markdown
    # what nobody wrote down is not claimed; what the results name stands in for the environment
    assert "| Candidates | not recorded |" in markdown and "| torch | 2.13.0 |" in markdown


def test_a_torn_log_is_told_and_a_repeated_epoch_counts_once(run):
    with (run / "log.jsonl").open("a") as file:
        file.write('{"event": "epoch", "seed": 0, "epoch": 2, "loss": 9.0, "valid": null}\n{"event": "epo')
    epochs, damaged = read_epochs(run)
    assert damaged == 1 and [event["loss"] for event in epochs if event["seed"] == 0] == [1.0, 9.0]
    assert "1 line of log.jsonl could not be read" in write_report(run).read_text("utf-8")


def test_a_later_line_of_the_same_seed_counts(run):
    again = {"experiment": "method/toy", "seed": 1, "split": "test", "metrics": {"mrr": 0.7}}
    with (run / "results.jsonl").open("a") as file:
        file.write(json.dumps(again) + "\n")
    rows = json.loads(render(run, "json"))
    assert rows[0]["ours"] == pytest.approx(0.7) and rows[0]["n"] == 2


def test_csv_and_json_read_back(tmp_path):
    folders = [make_run(tmp_path / "a", name="method/a"), make_run(tmp_path / "b", name="method/b", seeds=(0, 1, 2))]
    as_json = json.loads(render(folders, "json"))
    as_csv = list(csv.DictReader(io.StringIO(render(folders, "csv"))))
    assert (
        len(as_json) == len(as_csv) == 2 * (4 + 3)
    )  # per run: 3 metrics and a baseline on test, 3 metrics on validation
    assert [row["split"] for row in as_json] == ["test"] * 8 + ["valid"] * 6
    for row, text in zip(as_json, as_csv, strict=True):
        assert row["experiment"] == text["experiment"] and str(row["n"]) == text["n"]
        assert text["ours"] == ("" if row["ours"] is None else repr(row["ours"]))
    mrr = next(row for row in as_json if row["experiment"] == "method/b" and row["metric"] == "mrr")
    assert (mrr["ours"], mrr["std"], mrr["n"], mrr["verdict"]) == (pytest.approx(0.8), pytest.approx(0.1), 3, "matches")


def test_several_runs_in_one_table(tmp_path):
    folders = [make_run(tmp_path / "a" / "toy"), make_run(tmp_path / "b" / "toy")]
    markdown = render(folders)
    for folder in folders:
        assert f"method/toy ({folder})" in markdown
    assert "## Result" in markdown and "## Validation" in markdown
    page = render(folders, "html")
    assert Page(page).loads == [] and "2 runs" in page
    assert render(folders[0], "html") == write_report(folders[0]).read_text("utf-8")


def test_what_is_no_run_is_refused(tmp_path, run):
    with pytest.raises(UserError, match="no such folder"):
        render([tmp_path / "absent"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty is not a run directory: expected config\.yaml and results\.jsonl"):
        render([tmp_path / "empty"])
    with pytest.raises(UserError, match="no run directory given"):
        render([])
    with pytest.raises(UserError, match="unknown format 'htm'; did you mean 'html'"):
        render([run], "htm")
    (run / "results.jsonl").write_text("\n")
    with pytest.raises(UserError, match="is empty: no seed has finished"):
        write_report(run)
    (run / "results.jsonl").unlink()
    with pytest.raises(UserError, match=r"has no results\.jsonl: no seed has finished; continue the run"):
        write_report(run)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"seed": 0, "spl', "not JSON"),
        ("[1, 2]", "expected an object, found a list"),
        ('{"seed": "0", "split": "test", "metrics": {}}', "'seed' is '0', expected an integer"),
        ('{"seed": 0, "metrics": {}}', "'split' is None"),
        ('{"experiment": [1], "seed": 0, "split": "test", "metrics": {}}', "'experiment' is"),
        (f'{{"seed": 0, "split": "test", "metrics": {{"mrr": 1{"0" * 400}}}}}', "metric 'mrr' is 1000000"),
        ('{"seed": 0, "split": "test", "metrics": 3}', "'metrics' is 3"),
        ('{"seed": 0, "split": "test", "metrics": {"mrr": NaN}}', "metric 'mrr' is nan, expected a finite number"),
        ('{"seed": 0, "split": "test", "metrics": {"mrr": "0.5"}}', "metric 'mrr' is '0.5'"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_damaged_result_is_named_by_file_and_line(run, line, fault):
    with (run / "results.jsonl").open("ab") as file:
        file.write(line if isinstance(line, bytes) else line.encode())
    with pytest.raises(UserError, match=re.escape(f"{run / 'results.jsonl'}, line 5: {fault}")):
        read_run(run)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("config.yaml", b"name: [a\nb: c\n", r"config\.yaml, line \d+: not YAML"),
        ("config.yaml", b"- a\n", r"config\.yaml: expected a mapping at the top .* found a list"),
        ("config.yaml", b"name: \xff\n", r"config\.yaml is not UTF-8"),
        ("environment.json", b"{\n", r"environment\.json, line \d+: not JSON"),
        ("environment.json", b"[]", r"environment\.json: expected a mapping, found a list"),
        ("seed-1/test_ranks.safetensors", b"no tensors", r"test_ranks\.safetensors is damaged"),
    ],
)
def test_other_damaged_files_are_named(run, name, content, fault):
    (run / name).write_bytes(content)
    with pytest.raises(UserError, match=fault):
        write_report(run)
    assert not (run / "report.html").exists()


def test_the_style_has_a_dark_theme_with_every_colour_of_the_light_one():
    from graphkit.engine.report_style import STYLE

    light, dark = (set(re.findall(r"(--\w+): #", part)) for part in STYLE.split("prefers-color-scheme: dark", 1))
    assert light == dark and not re.search(r"background: #fff|color: #", STYLE.split(".badge.matches")[0])
