"""graphkit analyze: data sets, files, runs, what is printed and what is written."""

import sys
from pathlib import Path

import networkx as nx
import pytest
import torch

from graphkit.cli import main
from graphkit.data import LinkTask
from graphkit.engine import analysis_sections as sections_module
from graphkit.engine.analysis_sections import SECTIONS, analysis_sections
from graphkit.engine.analysis_subject import Subject, subject_of
from graphkit.engine.report_blocks import Drawing, Section, Table
from graphkit.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

TITLES = [
    "Graph", "Orbits", "Topological concentration", "Distribution shift", "Prediction by concentration", "Recommendation"
]  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")


@pytest.fixture
def friends():
    graph = nx.powerlaw_cluster_graph(80, 4, 0.6, seed=0)
    Path("friends.csv").write_text("".join(f"n{u},n{v}\n" for u, v in graph.edges))
    return graph


def test_a_file_of_edges(friends, capsys):
    assert main(["analyze", "friends.csv", "--html", "out/page.html", "--split", "70/10/20", "--k", "5"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line in TITLES] == TITLES
    for word in (
        "Recall@5",
        "resource allocation",
        "train less test",
        "1 hop, norm source",
        "with plots: out/page.html",
    ):
        assert word in out
    assert f"{friends.number_of_edges():,}" in out
    page = Path("out/page.html").read_text()
    assert page.count("data:image/svg+xml") == 4 and "friends: analysis" in page
    assert all(f">{title}</h2>" in page for title in TITLES)
    assert [p.name for p in Path("out").iterdir()] == ["page.html"]
    assert main(["analyze", "friends.csv", "--html", "out/again.html", "--split", "70/10/20", "--k", "5"]) == 0
    assert Path("out/again.html").read_text() == page, "the same input gives the same page, byte for byte"


def test_orbits_of_a_known_graph():
    Path("clique.csv").write_text("".join(f"n{u},n{v}\nm{u},m{v}\n" for u in range(12) for v in range(u)))
    (orbits,) = [section for section in analysis_sections(subject_of("clique.csv")) if section.title == "Orbits"]
    (table,) = [block for block in orbits.blocks if isinstance(block, Table)]
    places = {row[0]: row[2:] for row in table.rows}
    assert places["0"] == ["100.0", "11.0", "11", "11"]
    assert places["3"] == ["100.0", "55.0", "55", "55"]  # C(11, 2) triangles at each node
    assert places["14"] == ["100.0", "165.0", "165", "165"]  # C(11, 3) cliques of four
    assert places["8"] == ["0.0", "0.0", "0", "0"]


def test_the_page_is_there_for_a_reader_who_left_early(friends, monkeypatch):
    from graphkit.cli import analyze

    def gone(section):
        raise BrokenPipeError

    monkeypatch.setattr(analyze, "_show", gone)
    with pytest.raises(BrokenPipeError):
        analyze.main(["friends.csv", "--html", "page.html"])
    assert "friends: analysis" in Path("page.html").read_text()


def test_options_reach_the_analysis(friends, capsys):
    assert main(["analyze", "friends.csv", "--hops", "2", "--norm", "union"]) == 0
    assert "2 hops, norm union, discount" in capsys.readouterr().out
    assert main(["analyze", "friends.csv", "--approximate"]) == 0
    assert "norm product, estimated from random features" in capsys.readouterr().out
    one, two = (subject_of("friends.csv", split_seed=seed).task for seed in (0, 1))
    assert not torch.equal(one.test, two.test)


def test_columns_of_a_file(capsys):
    Path("t.txt").write_text("".join(f"x;{u};{v}\n" for u, v in nx.cycle_graph(30).edges))
    assert main(["analyze", "t.txt", "--head", "1", "--tail", "2", "--delimiter", ";"]) == 0
    assert "30" in capsys.readouterr().out


def test_data_sets(tmp_path, capsys):
    from tiny_link_experiment import write_tiny_link_experiment

    write_tiny_link_experiment(tmp_path)
    root = ["--root", str(tmp_path / "data")]
    assert main(["analyze", str(tmp_path / "graph.yaml"), *root, "--split", "60/20/20"]) == 0
    assert "train      36" in capsys.readouterr().out
    assert main(["analyze", "umls"]) == 0  # a knowledge graph, bundled
    assert "nodes      135" in capsys.readouterr().out
    assert main(["analyze", "umls", "--split", "60/20/20"]) == 2
    assert "umls has a split of its own; leave out --split" in capsys.readouterr().err


def test_a_run_and_its_model(tmp_path, capsys):
    from tiny_link_experiment import write_tiny_link_experiment

    config = write_tiny_link_experiment(tmp_path, seeds=[0], train={"epochs": 1, "lr": 0.01})
    assert main(["run", str(config), "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["analyze", "run", "--k", "3"]) == 0
    out = capsys.readouterr().out
    assert "Predicted by NBFNet of run, seed 0" in out and "Recall@3" in out
    assert main(["analyze", "run", "--split", "60/20/20"]) == 2
    assert "run is the directory of a run, which knows its data; leave out --split" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch.tsv"], "nosuch.tsv does not exist; give the path of a file of edges, or the name of a data set"),
        (["umsl"], "unknown data set 'umsl'; did you mean 'umls'?"),
        (["friends.csv", "--norm", "sauce"], "unknown norm 'sauce'; did you mean 'source'?"),
        (["friends.csv", "--hops", "0"], "hops is 0, expected a whole number from 1 upwards"),
        (["friends.csv", "--k", "0"], "k is 0, expected a whole number from 1 upwards"),
        (["friends.csv", "--k", "many"], "invalid int value: 'many'"),
        (["friends.csv", "--split", "1/2/3"], "split is '1/2/3', expected the whole percentages"),
        (["friends.csv", "--root", "x"], "friends.csv is a file; leave out --root"),
        (["umls", "--head", "x"], "umls is a data set; leave out --head"),
        (["."], "is it a run directory?"),
        (["friends.csv", "--htlm", "x"], "did you mean '--html'?"),
        (["loops.tsv"], "loops.tsv has no edge between two different nodes"),
        (["empty.tsv"], "empty.tsv holds no edge"),
    ],
)
def test_mistakes_are_one_line(friends, capsys, words, message):
    Path("loops.tsv").write_text("a\ta\nb\tb\n")
    Path("empty.tsv").write_text("")
    assert main(["analyze", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and message in shown.err and len(shown.err.splitlines()) == 1


def test_a_page_that_cannot_be_written(friends, capsys):
    Path("file").write_text("")
    assert main(["analyze", "friends.csv", "--html", "file/page.html"]) == 2
    assert "file" in capsys.readouterr().err and Path("file").read_text() == ""


def test_without_matplotlib(friends, monkeypatch):
    for name in ("analysis_sections", "concentration_sections", "orbit_sections"):
        module = sys.modules[f"graphkit.engine.{name}"]
        monkeypatch.setattr(module, "can_plot", lambda: False)
    found = analysis_sections(subject_of("friends.csv"))
    assert not [block for section in found for block in section.blocks if isinstance(block, Drawing)]
    assert "matplotlib is not installed" in found[-1].blocks[-1].text


def test_a_large_graph_is_sampled(friends, monkeypatch):
    monkeypatch.setattr(sys.modules["graphkit.engine.analysis_subject"], "_PAIRS", 80 * 7)
    monkeypatch.setattr(sys.modules["graphkit.engine.analysis_subject"], "_LEAST", 3)
    subject = subject_of("friends.csv", split="60/0/40")
    assert subject.sample == 7 and len(subject.report.quality.nodes) == 7
    (text,) = [s.blocks[0].text for s in analysis_sections(subject) if s.title == "Prediction by concentration"]
    assert "over 7 nodes drawn at random" in text


def test_other_analyses_can_join(friends, monkeypatch):
    def census(subject):
        return Section("Census", [Table(("", ""), [["nodes", str(subject.task.num_nodes)]])])

    monkeypatch.setattr(sections_module, "SECTIONS", (*SECTIONS, census, lambda subject: None))
    assert [section.title for section in analysis_sections(subject_of("friends.csv"))] == [*TITLES, "Census"]


def test_splits_without_edges():
    ring = torch.stack([torch.arange(20), (torch.arange(20) + 1) % 20])
    task = LinkTask.from_edges("ring", ring, 20, split="100/0/0")
    subject = Subject(task, torch.zeros(20, 20), "nothing")
    assert [section.title for section in analysis_sections(subject)] == [*TITLES[:3], TITLES[-1]]
    with pytest.raises(UserError, match="bare has no train edges; an analysis needs a graph with edges"):
        analysis_sections(Subject(LinkTask("bare", 3, task.valid, task.valid, task.valid), None, ""))
