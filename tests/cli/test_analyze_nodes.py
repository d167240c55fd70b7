"""graphkit analyze for labels of nodes: data sets, runs, maps, what is printed and what is written."""

import sys
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from graphkit.cli import main
from graphkit.data import NodeTask
from graphkit.datasets import build_city
from graphkit.engine.analysis_sections import analysis_headline, analysis_sections
from graphkit.engine.node_sections import influence_section, map_section
from graphkit.engine.node_subject import NodeSubject
from graphkit.engine.report_blocks import Drawing, Table
from graphkit.errors import UserError
from graphkit.models import GCN, LINKX

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from tiny_node_experiment import write_tiny_node_experiment


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")


TITLES = ["Graph", "Homophily", "Direction", "Hops needed"]


def streets(**changes):
    """A square of streets whose nodes know where they lie."""
    side = 12
    place = torch.arange(side * side).view(side, side)
    edges = torch.cat([torch.stack([place[:, :-1].flatten(), place[:, 1:].flatten()]),
                       torch.stack([place[:-1].flatten(), place[1:].flatten()])], 1)  # fmt: skip
    pos = torch.stack([place.flatten() // side, place.flatten() % side], 1).float()
    y = (place.flatten() // (side * 4)).clone()
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(side * side, generator=generator)
    x = torch.randn(side * side, 4, generator=generator)
    data = Data(x=x, y=y, edge_index=torch.cat([edges, edges.flip(0)], 1), pos=pos)
    for key, value in changes.items():
        data[key] = value
    return NodeTask("streets", data, train=order[:60], valid=order[60:100], test=order[100:])


def test_a_data_set_and_a_run(tmp_path, capsys):
    config = write_tiny_node_experiment(tmp_path, seeds=[0], train={"epochs": 2, "lr": 0.01})
    words = ["analyze", str(tmp_path / "nodes.yaml"), "--task", "node", "--root", str(tmp_path / "data")]
    assert main(words) == 0
    out = capsys.readouterr().out
    for title in TITLES:
        assert f"{title}\n---" in out
    assert "Influence radius" not in out and "informativeness" in out
    assert main(["run", str(config), "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["analyze", "run", "--html", "page.html"]) == 0
    out = capsys.readouterr().out
    assert "Influence radius\n---" in out and "GCN of run, seed 0" in out and "It can look 2 hops at most" in out
    page = Path("page.html").read_text()
    assert "influence radius" in page and page.count("data:image/svg+xml") == 2
    assert main(["analyze", "run", "--html", "again.html"]) == 0
    assert Path("again.html").read_text() == page, "the same run gives the same page, byte for byte"
    capsys.readouterr()
    assert main(["analyze", "run", "--task", "node"]) == 2
    assert "which knows its data; leave out --task" in capsys.readouterr().err


def test_a_city_of_ones_own(capsys):
    build_city("synthetic:grid:100", k=3).save("town.npz")
    assert main(["analyze", "town.npz"]) == 0
    assert "Hops needed" in capsys.readouterr().out
    assert main(["analyze", "town.npz", "--task", "node", "--split_seed", "1"]) == 2
    assert "town.npz is a city with splits of its own; leave out --split_seed" in capsys.readouterr().err
    assert main(["analyze", "town.npz", "--task", "link"]) == 2
    assert "town.npz is a city, whose nodes have labels; leave out --task" in capsys.readouterr().err


def test_maps():
    task = streets()
    torch.manual_seed(0)
    subject = NodeSubject(task, GCN.for_task(task, hidden_channels=8), "GCN of a run")
    found = analysis_sections(subject)
    assert [section.title for section in found] == [*TITLES, "Influence radius", "Maps", "Recommendation"]
    maps = found[-2]
    assert [block.name for block in maps.blocks if isinstance(block, Drawing)] == ["labels", "errors"]
    assert "of the 84 nodes of valid and test" in maps.blocks[0].text
    assert analysis_headline(subject).metric == "influence radius"
    bare = NodeSubject(task)
    assert [block.name for block in map_section(bare).blocks] == ["labels"] and analysis_headline(
        bare
    ).metric == "nodes"
    assert map_section(NodeSubject(streets(pos=torch.zeros(3, 2)))) is None


def test_a_model_of_the_whole_graph_says_so():
    task = streets()
    torch.manual_seed(0)
    subject = NodeSubject(task, LINKX.for_task(task, hidden_channels=4), "LINKX of a run")
    found = influence_section(subject)
    assert "measured on the whole graph: LINKX takes all nodes together" in found.blocks[0].text
    (table,) = [block for block in found.blocks if isinstance(block, Table)]
    assert [row[:2] for row in table.rows] == [["0", "100.00"]]


def test_several_labels_a_node():
    labels = (torch.arange(288).view(144, 2) % 2).float()
    assert [section.title for section in analysis_sections(NodeSubject(streets(y=labels)))] == ["Graph", "Recommendation"]


def test_without_matplotlib(monkeypatch):
    import graphkit.engine.node_sections as module

    monkeypatch.setattr(module, "can_plot", lambda: False)
    found = analysis_sections(NodeSubject(streets()))
    assert not [block for section in found for block in section.blocks if isinstance(block, Drawing)]
    assert "matplotlib is not installed" in found[-1].blocks[-1].text


def test_mistakes_are_one_line(capsys):
    Path("friends.csv").write_text("a,b\nb,c\n")
    for words, message in (
        (["umls", "--task", "node"], "umls does not serve the task 'node'"),
        (["friends.csv", "--task", "node"], "friends.csv is a file of edges, which has no labels; leave out --task"),
        (["umls", "--task", "nodes"], "unknown task 'nodes'; did you mean 'node'?"),
        (["umls", "--task", "node", "--head", "x"], "umls is a data set; leave out --head"),
    ):
        assert main(["analyze", *words]) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and message in shown.err and len(shown.err.splitlines()) == 1
    with pytest.raises(UserError, match="streets has no edges; an analysis needs a graph with edges"):
        analysis_sections(NodeSubject(streets(edge_index=torch.zeros(2, 0, dtype=torch.int64))))
