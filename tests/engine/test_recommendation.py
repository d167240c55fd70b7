"""Recommendations by rules, the bake-off on validation, and gk.analyze."""

import pytest
import torch
from torch_geometric.data import Data

import graphkit as gk
from graphkit.data import LinkTask, NodeTask
from graphkit.engine.bake_off import bake_off
from graphkit.engine.node_subject import NodeSubject
from graphkit.engine.recommendation import (
    LinkFindings,
    Recommendation,
    labels_note,
    recommend_for_links,
    recommend_for_nodes,
)
from graphkit.engine.report_blocks import Code, Paragraph, Section, Table, anchor_of, markdown_page
from graphkit.errors import UserError


def blocks(alike: float, nodes: int = 240, classes: int = 3, seed: int = 0) -> NodeTask:
    """Random edges, a share of them within a class; features are noisy classes."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % classes
    source = torch.randint(nodes, (6 * nodes,), generator=generator)
    within = torch.rand(len(source), generator=generator) < alike
    shift = torch.where(within, 0, torch.randint(1, classes, (len(source),), generator=generator))
    step = classes * torch.randint(nodes // classes, (len(source),), generator=generator)
    target = (source - source % classes + (source + shift) % classes + step) % nodes
    x = torch.nn.functional.one_hot(y, classes) + torch.randn(nodes, classes, generator=generator)
    part = torch.randperm(nodes, generator=generator)
    masks = {"train": part[:120], "valid": part[120:180], "test": part[180:]}
    return NodeTask.from_edges("blocks", torch.stack([source, target]), y, x=x, directed=False, **masks)


def models(found):
    return [one.model for one in found]


def test_neighbours_alike_and_unlike():
    alike = recommend_for_nodes(NodeSubject(blocks(0.9)))
    assert alike[0].model == "GPRGNN" and {one.model for one in alike if one.baseline} == {"GCN", "MLP"}
    assert alike[0].sees == ["Homophily"] and "adjusted homophily 0." in alike[0].reason
    unlike = recommend_for_nodes(NodeSubject(blocks(0.05)))
    assert unlike[0].model == "GraphSAGE" and "seldom share labels" in unlike[0].reason


def test_without_features():
    task = blocks(0.9)
    bare = NodeTask(
        "bare", Data(edge_index=task.edge_index, y=task.y), **{s: task.mask(s) for s in ("train", "valid", "test")}
    )
    assert models(recommend_for_nodes(NodeSubject(bare))) == ["LINKX"]
    task.provenance["features"] = "degrees"  # which stand in for features
    assert models(recommend_for_nodes(NodeSubject(task)))[0] == "LINKX"


def test_few_labels_are_said():
    task = blocks(0.9)
    few = NodeTask("few", task.data, train=torch.arange(6), valid=torch.arange(10, 60), test=torch.arange(60, 90))
    assert "2.0 training labels a class" in labels_note(NodeSubject(few)) and not labels_note(NodeSubject(task))


@pytest.mark.parametrize(
    ("findings", "first"),
    [
        (LinkFindings(12, 0.9, False), "NBFNet"),
        (LinkFindings(0, 0.9, True), "NCN"),
        (LinkFindings(0, 0.1, True), "NCNC"),
    ],
)
def test_links(findings, first):
    found = recommend_for_links(findings)
    assert found[0].model == first and any(one.baseline for one in found)


def test_bake_off_reads_no_test_label_and_keeps_to_its_models():
    task = blocks(0.9)
    task.y[task.nodes_of("test")] = 0  # would pull accuracy on them, were they looked at
    options = {"hidden_channels": 8}
    some = [
        Recommendation("MLP", "", options=options),
        Recommendation("NCN", "", options=options),
        Recommendation("GCN", "", options=options),
    ]
    trials = bake_off(task, some, minutes=0.05)
    assert [trial.recommendation.model for trial in trials] == ["MLP", "NCN", "GCN"]
    assert trials[0].value is not None and trials[2].value is not None and trials[0].epochs >= 1
    assert trials[1].value is None and trials[1].note  # a model of links on labels of nodes
    with pytest.raises(UserError, match="minutes is 0"):
        bake_off(task, some, minutes=0)


def test_the_time_of_a_bake_off_is_kept_within_an_epoch():
    """Nothing is known of a model whose first epoch does not end in time, but how long one would take."""
    (trial,) = bake_off(blocks(0.9), [Recommendation("GCN", "", options={"hidden_channels": 8})], minutes=1e-7)
    assert trial.value is None and trial.note.startswith("an epoch takes about")
    (trial,) = bake_off(gk.load("umls"), [Recommendation("NBFNet", "", options={"hidden_channels": 8})], minutes=0.05)
    assert trial.seconds < 15 and (trial.value is None) == bool(trial.note)


def test_analyze_in_python(tmp_path):
    found = gk.analyze(blocks(0.9), minutes=0.05)
    section = found.section("Recommendation")
    said = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert any(text.startswith("Tried on validation: ") for text in said)
    assert any(isinstance(block, Table) for block in section.blocks)
    found.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert '<a href="#homophily">Homophily</a>' in page and 'id="homophily"' in page
    assert "Recommendation" in str(found)
    with pytest.raises(KeyError):
        found.section("Nothing")


def test_analyze_says_how_to_go_on():
    ring = torch.stack([torch.arange(40), (torch.arange(40) + 1) % 40])
    section = gk.analyze(LinkTask.from_edges("ring", ring, 40)).section("Recommendation")
    code = next(block for block in section.blocks if isinstance(block, Code))
    assert "gk.fit(NCNC.for_task(task" in code.text and "only 0 % of the validation edges" in section.blocks[1].text

    assert "task: the one that was analysed" in code.text and "gk.load" not in code.text


def test_the_code_for_a_file_loads_that_file(tmp_path):
    """Relations make a knowledge graph of it, and what it says can be run."""
    pairs = [(f"a{i}", f"a{(3 * i + k) % 40}") for i in range(40) for k in (1, 2, 3)]
    facts, edges = tmp_path / "it's.tsv", tmp_path / "edges.csv"
    facts.write_text("who\thow\twhom\n" + "".join(f"{a}\t{'rs'[i % 2]}\t{b}\n" for i, (a, b) in enumerate(pairs)))
    edges.write_text("".join(f"{a},{b}\n" for a, b in pairs))
    columns = {"head": "who", "relation": "how", "tail": "whom"}
    for file, given, first, kind in (
        (facts, columns, "NBFNet", "KnowledgeGraphTask"),
        (edges, {"head": 1, "tail": 0}, "NC", "LinkTask"),
    ):
        section = gk.analyze(file, columns=given, split_seed=3).section("Recommendation")
        code = next(block.text for block in section.blocks if isinstance(block, Code))
        assert f"import {first}" in code, code
        made = {}
        exec(code.partition("run = ")[0], made)
        assert type(made["task"]).__name__ == kind and made["task"].name == file.stem


def test_links_to_sections_in_markdown():
    page = markdown_page(
        gk.engine.report_blocks.Headline("x"), [Section("A", [Paragraph("Because.", sees=["Hops needed"])])], plots={}
    )
    assert "Because (see [Hops needed](#hops-needed))." in page and anchor_of("Hops needed") == "hops-needed"
