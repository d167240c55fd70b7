"""OGB's graphs for links and nodes: every form of their files, against OGB's own reader where it is installed."""

import builtins
import contextlib
import functools
import importlib.metadata
import io
import re

import numpy as np
import ogb_graph_samples as samples
import pytest
import torch
from ogb_graph_samples import save_with_ogb, write_links, write_nodes
from ogb_samples import write_card

import graphkit.datasets as datasets
from graphkit.datasets.ogb_graph import OGBGraph, read_ogb_graph
from graphkit.datasets.ogb_links import read_ogb_links
from graphkit.datasets.ogb_nodes import read_ogb_nodes
from graphkit.errors import UserError

LINKS = {"ogbl-ddi": "target", "ogbl-collab": "time", "ogbl-ppa": "throughput", "ogbl-citation2": "time"}
NODES = {"ogbn-arxiv": "time", "ogbn-products": "sales_ranking", "ogbn-proteins": "species", "ogbn-mag": "time"}
needs_ogb = pytest.mark.skipif(
    not any(d.metadata["Name"] == "ogb" for d in importlib.metadata.distributions()), reason="ogb is not installed"
)


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch):
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("a question on standard input"))


def files_below(folder):
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def sample_card(root, name):
    """A card of the sample below a root, with the options of the shipped one."""
    return write_card(root / "card.yaml", root, datasets.card(name), options=datasets.card(name).options)


def inverse(name):
    return bool(datasets.card(name).options.get("both_directions"))


def theirs(kind, name, root, monkeypatch):
    """OGB's own data set object on our files."""
    import ogb.linkproppred
    import ogb.nodeproppred

    monkeypatch.setenv("OUTDATED_IGNORE", "1")
    # ogb 1.3.6 reads its files with a call that newer versions of torch refuse; these files are our own
    monkeypatch.setattr(torch, "load", functools.partial(torch.load, weights_only=False))
    maker = ogb.linkproppred.LinkPropPredDataset if kind == "link" else ogb.nodeproppred.NodePropPredDataset
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return maker(name=name, root=str(root))


def same(mine, other):
    if other is None:
        assert mine is None
        return
    np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))


def check_graph(mine, graph, *, step=1):
    """Our graph is OGB's, of which every `step`-th edge is an original."""
    if isinstance(mine, OGBGraph):
        assert mine.num_nodes == graph["num_nodes"]
        same(mine.edge_index, graph["edge_index"][:, ::step])
        known = {key for key, value in graph.items() if value is not None} - {"edge_index", "num_nodes"}
        assert known == set(mine.node) | set(mine.edge)
        for key in known:
            same(mine.node[key] if key in mine.node else mine.edge[key], graph[key][:: 1 if key in mine.node else step])
            assert (mine.node | mine.edge)[key].dtype == (np.float32 if key.endswith("_feat") else np.int64)
        return
    assert mine.num_nodes == graph["num_nodes_dict"] and list(mine.num_nodes) == sorted(mine.num_nodes)
    assert list(mine.edge_index) == sorted(graph["edge_index_dict"])
    for triple, edges in graph["edge_index_dict"].items():
        same(mine.edge_index[triple], edges)
    assert set(mine.node) == {"node_feat", "node_year"}
    same(mine.node["node_feat"]["paper"], graph["node_feat_dict"]["paper"])
    same(mine.node["node_year"]["paper"], graph["node_year"]["paper"])


def check_links(mine, splits):
    for split, content in splits.items():
        edges = content["edge"].T if "edge" in content else np.stack([content["source_node"], content["target_node"]])
        same(mine.edges[split], edges)
        assert mine.edges[split].dtype == torch.int64
        if split != "train":
            own = "target_node_neg" in content
            assert mine.personal == own
            same(mine.negatives[split], content["target_node_neg"] if own else content["edge_neg"].T)
        if "year" in content:
            same(mine.year[split], content["year"])
    same(mine.weight, splits["train"].get("weight"))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", LINKS)
def test_link_sets_as_the_archives_unpack(name, zipped, tmp_path):
    graph, splits = write_links(tmp_path, name, LINKS[name], zipped=zipped)
    files = files_below(tmp_path / name.replace("-", "_"))
    check_graph(read_ogb_graph(files), graph)
    links = read_ogb_links(name, files)
    check_links(links, splits)
    same(links.x, None if graph["node_feat"] is None else graph["node_feat"].astype(np.float32))
    assert links.names == ([f"DB{i}" for i in range(samples.NODES)] if name == "ogbl-ddi" else None)


@pytest.mark.parametrize("name", NODES)
def test_node_sets_as_the_archives_unpack(name, tmp_path):
    graph, labels, splits = write_nodes(tmp_path, name, NODES[name])
    nodes = read_ogb_nodes(name, files_below(tmp_path / name.replace("-", "_")))
    check_graph(nodes.graph, graph)
    same(nodes.labels, labels["paper"] if name == "ogbn-mag" else labels)
    assert nodes.kind == ("paper" if name == "ogbn-mag" else None)
    for part, expected in splits.items():
        same(nodes.split[part], expected)


@needs_ogb
@pytest.mark.parametrize("name", [*LINKS, *NODES])
def test_ogbs_own_reader_finds_the_same(name, tmp_path, monkeypatch):
    """Text and processed form: OGB's reader makes the latter of the former, with inverse edges where it adds them."""
    links = name in LINKS
    (write_links if links else write_nodes)(tmp_path, name, (LINKS | NODES)[name])
    folder = tmp_path / name.replace("-", "_")
    text = files_below(folder)
    if name == "ogbn-mag":  # OGB asserts that they are there
        for triple in samples.TRIPLES:
            samples._table(folder / "raw" / "relations" / "___".join(triple) / "edge_reltype.csv.gz", [[0]] * 7)
    other = theirs("link" if links else "node", name, tmp_path, monkeypatch)
    graph, labels = (other[0], None) if links else other[0]
    splits = other.get_edge_split() if links else other.get_idx_split()
    step = 2 if inverse(name) else 1
    processed = {k: v for k, v in files_below(folder).items() if not k.startswith("raw/")}
    assert "processed/data_processed" in processed
    for files in (text, processed):
        if links:
            mine = read_ogb_links(name, files, both_directions=inverse(name))
            check_links(mine, splits)
            same(mine.x, None if graph["node_feat"] is None else np.float32(graph["node_feat"]))
            check_sizes = read_ogb_graph(files, both_directions=inverse(name))
            if name == "ogbl-ppa":
                graph = {**graph, "node_feat": np.float32(graph["node_feat"])}
            check_graph(check_sizes, graph, step=step)
        else:
            mine = read_ogb_nodes(name, files, both_directions=inverse(name))
            expected = {key: value for key, value in graph.items() if key not in ("edge_reltype", "edge_feat_dict")}
            check_graph(mine.graph, expected, step=step)
            same(mine.labels, labels["paper"] if name == "ogbn-mag" else labels)
            for part, nodes in splits.items():
                same(mine.split[part], nodes["paper"] if name == "ogbn-mag" else nodes)


@needs_ogb
@pytest.mark.parametrize("name", [*LINKS, *NODES])
def test_what_ogbs_own_saver_writes(name, tmp_path):
    """The binary form, arrays in npz and the split in one file."""
    if name in LINKS:
        graph, splits = samples.link_content(name)
        folder = save_with_ogb(tmp_path, name, LINKS[name], graph, splits)
        links = read_ogb_links(name, files_below(folder))
        check_links(links, splits)
        same(links.x, None if graph["node_feat"] is None else graph["node_feat"].astype(np.float32))
        return
    graph, labels, splits = samples.node_content(name)
    typed = {part: {"paper": nodes} for part, nodes in splits.items()} if name == "ogbn-mag" else splits
    folder = save_with_ogb(tmp_path, name, NODES[name], graph, typed, labels)
    nodes = read_ogb_nodes(name, files_below(folder))
    check_graph(nodes.graph, graph)
    same(nodes.labels, labels["paper"] if name == "ogbn-mag" else labels)
    for part, expected in splits.items():
        same(nodes.split[part], expected)


@pytest.mark.parametrize("name", LINKS)
def test_a_task_has_the_sets_own_protocol(name, tmp_path):
    _, splits = write_links(tmp_path, name, LINKS[name])
    task = datasets.load(sample_card(tmp_path, name), root=tmp_path)
    assert task.primary_metric == datasets.card(name).options["metric"]
    for split, content in splits.items():
        assert task.edges(split).size(1) == samples.SIZES[split]
        if name == "ogbl-citation2":
            same(task.edges(split), np.stack([content["source_node"], content["target_node"]]))
            if split != "train":
                same(task.negatives(split)[1], content["target_node_neg"])
                assert bool((task.negatives(split)[0] == task.edges(split)[0][:, None]).all())
        elif split != "train":
            same(task.negatives(split), content["edge_neg"].T)
    assert task.provenance["protocol"]["use_valedges"] is False
    with pytest.raises(UserError, match="has a split of its own; leave out split_seed"):
        datasets.load(str(tmp_path / "card.yaml"), root=tmp_path, split_seed=1)


def test_validation_edges_as_input_are_one_switch_and_recorded(tmp_path):
    write_links(tmp_path, "ogbl-collab", "time")
    card = sample_card(tmp_path, "ogbl-collab")
    plain, switched = (datasets.load(card, root=tmp_path, use_valedges=on) for on in (None, True))
    assert plain.graph("test").num_edges == plain.graph("train").num_edges == switched.graph("train").num_edges
    assert switched.graph("valid").num_edges == switched.graph("train").num_edges
    assert switched.graph("test").num_edges == plain.graph("test").num_edges + 2 * samples.SIZES["valid"]
    assert switched.provenance["options"] == {"use_valedges": True} and plain.provenance["options"] == {}
    # an edge that stands twice in train is two positives and one edge of the message graph
    assert plain.edges("train").size(1) == 90 and plain.graph("train").num_edges == 2 * 85


def test_the_shipped_cards_take_every_form(tmp_path, cache):
    """A folder in OGB's layout is found by name; what is missing of the text may come from the processed form."""
    _, splits = write_links(tmp_path / "ogb", "ogbl-ppa", "throughput")
    folder = tmp_path / "ogb" / "ogbl_ppa"
    text = datasets.load("ogbl-ppa", root=tmp_path)
    assert all(record["pinned"] for record in text.provenance["files"].values())
    graph, _ = samples.link_content("ogbl-ppa")
    (folder / "raw" / "node-feat.csv.gz").unlink()
    with pytest.raises(
        UserError, match=r"lacks files of the data set 'ogbl-ppa'; expected .*ogb/ogbl_ppa/raw/node-feat\.csv\.gz"
    ):
        datasets.load("ogbl-ppa", root=tmp_path)
    twice = np.repeat(graph["edge_index"], 2, axis=1)
    twice[:, 1::2] = twice[::-1, ::2]
    torch.save({**graph, "edge_index": twice}, folder / "processed" / "data_processed", pickle_protocol=4)
    processed = datasets.load("ogbl-ppa", root=tmp_path)
    assert "processed/data_processed" in processed.provenance["files"]
    assert torch.equal(processed.x, text.x) and torch.equal(processed.train, text.train)
    torch.save(splits, folder / "split" / "throughput" / "split_dict.pt", pickle_protocol=4)
    for part in splits:
        (folder / "split" / "throughput" / f"{part}.pt").unlink()
    together = datasets.load("ogbl-ppa", root=tmp_path)
    assert torch.equal(together.test, text.test) and torch.equal(together.negatives("valid"), text.negatives("valid"))
    assert datasets.verify("ogbl-ppa", tmp_path) and all(whole for _, whole, _ in datasets.verify("ogbl-ppa", tmp_path))


@pytest.mark.parametrize("name", ["ogbl-ppa", "ogbn-mag"])
def test_another_version_and_half_a_folder_are_told_apart(name, tmp_path, monkeypatch):
    (write_links if name in LINKS else write_nodes)(tmp_path / "ogb", name, (LINKS | NODES)[name])
    folder = tmp_path / "ogb" / name.replace("-", "_")
    version = 2 if name == "ogbn-mag" else 1
    release = folder / f"RELEASE_v{version}.txt"
    release.rename(folder / "RELEASE_v7.txt")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path))
    for root in (tmp_path, folder, None):
        with pytest.raises(
            UserError, match=rf"holds version 7 of '{name}' \(RELEASE_v7.txt\), expected version {version}"
        ):
            datasets.load(name, root=root)
    with pytest.raises(UserError, match="holds version 7"):
        datasets.fetch(name)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    (folder / "RELEASE_v7.txt").rename(release)
    lost = [next((folder / "split").rglob(f"{part}.*")) for part in ("train", "test")]
    for path in lost:
        path.unlink()
    named = r".*".join(re.escape(str(path)) for path in lost)
    with pytest.raises(UserError, match=f"lacks files of the data set '{name}'; expected {named}$"):
        datasets.load(name, root=tmp_path)
    with pytest.raises(UserError) as told:
        datasets.load(name)
    message = str(told.value)
    assert all(str(path.relative_to(folder)) in message for path in lost)
    assert f"`graphkit data fetch {name}`" in message and f"$GRAPHKIT_DATA/{folder.relative_to(tmp_path)}" in message
    assert "files are)" in message  # some of it is here


def damaged(file, change):
    def spoil(folder):
        path = next(folder.rglob(file))
        path.write_bytes(change(path.read_bytes()))

    return spoil


def lines(file, *rows):
    return lambda folder: samples.write_gzip(next(folder.rglob(file)), rows)


def split(part, **arrays):
    def spoil(folder):
        path = next(folder.rglob(f"{part}.pt"))
        content = torch.load(path, weights_only=False)
        content.update(arrays)
        torch.save({key: value for key, value in content.items() if value is not None}, path)

    return spoil


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("ogbl-ppa", lines("num-node-list.csv.gz", "40", "3"), "should hold one whole number, for a single graph"),
        ("ogbl-ppa", lines("num-node-list.csv.gz", "4x"), r"num-node-list\.csv\.gz, line 1: found '4x', expected 1 whole number"),
        ("ogbl-ppa", lines("num-edge-list.csv.gz", "91"), "has 90 train edges, but its graph has 91; .* different releases"),
        ("ogbl-ppa", lines("node-feat.csv.gz", *["1,0,0"] * 39), r"has 39 lines, but the files beside it name 40"),
        ("ogbl-ppa", lines("node-feat.csv.gz", *["1,0,0"] * 41), r"has more than 40 lines"),
        ("ogbl-ppa", lines("node-feat.csv.gz", *["1,0,0"] * 7, "1,0"), r"line 8: found '1,0', expected 3 numbers between commas"),
        ("ogbl-ppa", lines("node-feat.csv.gz", "1,0,0", "1,,0"), r"line 2: found '1,,0', expected 3 numbers"),
        ("ogbl-ppa", damaged("node-feat.csv.gz", lambda raw: raw[:-9]), r"node-feat\.csv\.gz is damaged \("),
        ("ogbl-ppa", damaged("train.pt", lambda raw: raw[:-300]), r"train\.pt is damaged or was not written by torch\.save"),
        ("ogbl-ppa", split("train", edge=np.full((90, 2), 40)), r"row 0 of 'edge' \(train\) names a node outside of 0 \.\. 39"),
        ("ogbl-ppa", split("train", edge=np.zeros((90, 3), int)), r"'edge' of train is int64 \[90, 3\], expected .* \[n, 2\]"),
        ("ogbl-ppa", split("valid", edge_neg=None), r"has no 'edge_neg' for valid; it has 'edge'"),
        ("ogbl-ppa", split("test", edge_neg=torch.zeros(5, 2).long()), r"test\.pt .*(torch|tensors)"),
        ("ogbl-ppa", split("test", edge_neg=np.ones((50, 2), int) * [0, 1]), "hits@100 needs at least 100 negatives, there are 50"),
        ("ogbl-citation2", split("test", target_node_neg=np.zeros((9, 5), int)), r"is int64 \[9, 5\], expected .* \[10, n\]"),
        ("ogbl-citation2", split("valid", edge=np.ones((12, 2), int), target_node_neg=None), "has no 'edge_neg' for valid"),
        ("ogbl-ddi", lines("nodeidx2drugid.csv.gz", "a,b", "0,x"), "names 1 nodes, expected 40"),
    ],
)  # fmt: skip
def test_unexpected_content_of_links_is_named(name, spoil, message, tmp_path):
    write_links(tmp_path, name, LINKS[name])
    spoil(tmp_path / name.replace("-", "_"))
    with pytest.raises(UserError, match=message):
        datasets.load(sample_card(tmp_path, name), root=tmp_path)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("ogbn-arxiv", lines("edge.csv.gz", *["0,40"] * 70), r"edge 0 in .*ogbn_arxiv has the target 40, but its nodes are"),
        ("ogbn-arxiv", lines("edge.csv.gz", *["0,1"] * 69), "has 69 lines, but the files beside it name 70"),
        ("ogbn-arxiv", lines("edge.csv.gz", *["0,1"] * 3, "0 1"), r"edge\.csv\.gz, line 4: found '0 1', expected 2 whole numbers"),
        ("ogbn-arxiv", lines("edge.csv.gz", "0,1.5"), r"line 1: found '0,1\.5', expected 2 whole numbers"),
        ("ogbn-arxiv", lines("train.csv.gz", "40"), r"train of ogbn-arxiv names a node outside of 0 \.\. 39"),
        ("ogbn-arxiv", lines("node-label.csv.gz", *["1"] * 39), r"the labels of ogbn-arxiv are int64 \[39, 1\], expected"),
        ("ogbn-mag", lines("num-node-dict.csv.gz", "paper,author", "9"), "one whole number a type of node"),
        ("ogbn-mag", lines("num-node-dict.csv.gz", "paper,author", "9,6"), r"the line '[a-z_,]+', expected a type of node, a"),
        ("ogbn-mag", lines("triplet-type-list.csv.gz", "paper,cites"), r"the line 'paper,cites', expected"),
    ],
)  # fmt: skip
def test_unexpected_content_of_nodes_is_named(name, spoil, message, tmp_path):
    write_nodes(tmp_path, name, NODES[name])
    folder = tmp_path / name.replace("-", "_")
    spoil(folder)
    with pytest.raises(UserError, match=message):
        read_ogb_nodes(name, files_below(folder))


def test_archives_of_arrays_run_nothing(tmp_path):
    """An array of objects would be unpickled; it is refused."""
    (tmp_path / "raw").mkdir()
    np.savez(tmp_path / "raw" / "data.npz", edge_index=np.array([[0], [{}]], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"data\.npz is damaged or no file of arrays \(Object arrays cannot be loaded"):
        read_ogb_graph(files_below(tmp_path))
    with pytest.raises(UserError, match=r"no graph among no files; expected raw/edge\.csv\.gz"):
        read_ogb_graph({})


@pytest.mark.data
def test_the_real_ogbl_ddi(data_root):
    """Statistics, names, and that OGB's graph is its train edges."""
    folder = data_root / "ogb" / "ogbl_ddi"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    links, graph = read_ogb_links("ogbl-ddi", files_below(folder)), read_ogb_graph(files_below(folder))
    assert links.sizes() == {"train": 1067911, "valid": 133489, "test": 133489} and links.names[0] == "DB00001"
    assert {split: edges.size(1) for split, edges in links.negatives.items()} == {"valid": 101882, "test": 95599}

    def numbers(edges):
        return np.sort(np.asarray(edges).min(0) * 4267 + np.asarray(edges).max(0))

    np.testing.assert_array_equal(numbers(links.edges["train"]), numbers(graph.edge_index))
    task = datasets.load("ogbl-ddi", root=data_root)
    assert task.primary_metric == "hits@20" and task.node_id("DB00002") == 1


@pytest.mark.parametrize("name", NODES)
def test_a_node_task_has_the_graph_labels_and_split(name, tmp_path):
    graph, labels, splits = write_nodes(tmp_path, name, NODES[name])
    task = datasets.load(sample_card(tmp_path, name), root=tmp_path)
    assert task.primary_metric == ("roc_auc" if name == "ogbn-proteins" else "accuracy")
    first = KIND_START["paper"] if name == "ogbn-mag" else 0
    for part, nodes in splits.items():
        assert task.nodes_of(part).tolist() == sorted((nodes + first).tolist())
    if name == "ogbn-mag":
        labels = labels["paper"]
        assert task.num_nodes == sum(samples.KINDS.values()) and task.directed
        for number, (triple, edges) in enumerate(sorted(graph["edge_index_dict"].items())):
            mine = task.edge_index[:, task.graph().edge_type == number]
            same(mine, edges + np.array([[KIND_START[triple[0]]], [KIND_START[triple[2]]]]))
        papers = task.graph().node_type == sorted(samples.KINDS).index("paper")
        same(task.x[papers], graph["node_feat_dict"]["paper"])
        assert not bool(task.x[~papers].any()) and bool((task.y[~papers] == -1).all())
        same(task.y[papers], labels[:, 0])
        return
    same(task.y, labels if name == "ogbn-proteins" else labels[:, 0])
    both = inverse(name)
    assert task.directed != both
    same(task.edge_index[:, :: 2 if both else 1], graph["edge_index"])
    if both:
        same(task.edge_index[:, 1::2], graph["edge_index"][::-1])
    if name == "ogbn-proteins":
        mean = np.zeros((samples.NODES, 8))
        for node in range(samples.NODES):
            touching = graph["edge_feat"][(graph["edge_index"] == node).any(0)]
            mean[node] = touching.mean(0) if len(touching) else 0
        np.testing.assert_allclose(task.x, mean, rtol=1e-5)
        same(task.graph().edge_attr[1::2], graph["edge_feat"])
        same(task.graph().node_species, graph["node_species"])
    else:
        same(task.x, graph["node_feat"])


KIND_START = {"author": 0, "field_of_study": 6, "institution": 9, "paper": 11}
