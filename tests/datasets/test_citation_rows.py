"""Files of citations: rows in their order, and NBFNet's published split of them."""

import random

import pytest
import torch

import graphkit as gk
from graphkit.data import LinkTask, undirected_edges
from graphkit.data.non_edges import pair_numbers
from graphkit.datasets import where
from graphkit.datasets.citation_rows import read_citation_rows
from graphkit.errors import UserError


def rows_of(count=400, nodes=90, seed=0):
    """Citations of a made-up literature: some pairs cite each other, some documents cite themselves."""
    draw = random.Random(seed)
    rows = [(draw.randrange(nodes), draw.randrange(nodes)) for _ in range(count)]
    return list(dict.fromkeys([*rows, *((b, a) for a, b in rows[:40]), *((a, a) for a in range(9))]))


def written(folder, rows, end="\n"):
    path = folder / "toy.cites"
    path.write_bytes("".join(f"p{a}\tp{b}{end}" for a, b in rows).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_keep_their_order_and_both_directions(tmp_path, end):
    rows = rows_of()
    graph = read_citation_rows(written(tmp_path, rows, end))
    named = [tuple(int(graph.nodes[i][1:]) for i in pair) for pair in graph.edge_index.t().tolist()]
    assert named == rows and graph.num_nodes == len({a for row in rows for a in row}) == len(set(graph.nodes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\nc\n", "line 2: expected the names of two documents, found 1: 'c'"),
        ("a b c\n", "line 1: expected the names of two documents, found 3"),
        ("", "holds no citation"),
        (b"\xff\xfe\n", "UTF-8"),
    ],
)
def test_faults_are_named(tmp_path, text, message):
    path = tmp_path / "toy.cites"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        read_citation_rows(path)


def test_the_published_split_is_torchs_of_the_rows():
    rows = torch.tensor(rows_of()).t()
    task = LinkTask.from_edges("toy", rows, 90, protocol="nbfnet")
    total = rows.size(1)
    lengths = [total * 85 // 100, total * 5 // 100]
    generator = torch.Generator()
    generator.manual_seed(0)
    subsets = torch.utils.data.random_split(range(total), [*lengths, total - sum(lengths)], generator=generator)
    for split, subset in zip(("train", "valid", "test"), subsets, strict=True):
        kept = [sorted(rows[:, i].tolist()) for i in subset.indices if rows[0, i] != rows[1, i]]
        assert task.edges(split).t().tolist() == kept
    # links that are in train too, and rows that say the same link twice, are warned of, not hidden
    shown = sum(key in set(pair_numbers(task.train).tolist()) for key in pair_numbers(task.test).tolist())
    warned = {what: count for what, count, _ in task.leak_check().warnings}
    assert warned["edges of test that train has too"] == shown > 0
    assert task.graph("test").edge_index.size(1) == 2 * undirected_edges(task.train).size(1)


class Known:
    """Knows some pairs."""

    def __init__(self, *known):
        self.known = {tuple(sorted(pair)) for pairs in known for pair in pairs.t().tolist()}

    def score_pairs(self, graph, pairs, *, batch_size=None, progress=None):
        return torch.tensor([float(tuple(sorted(pair)) in self.known) for pair in pairs.t().tolist()])


def test_self_citations_count_where_they_are_asked_for():
    rows = torch.tensor(rows_of()).t()
    plain, whole = (LinkTask.from_edges("toy", rows, 90, protocol=name) for name in ("nbfnet", "nbfnet-all"))
    assert torch.equal(plain.test, whole.test) and torch.equal(plain.negatives("test"), whole.negatives("test"))
    assert plain.self_links == {} and all(torch.equal(*links) for links in whole.self_links.values())
    count, loops = whole.test.size(1), whole.self_links["test"].size(1)
    assert loops > 0 and count + loops == rows.size(1) - rows.size(1) * 85 // 100 - rows.size(1) * 5 // 100
    assert [task.evaluate(Known(plain.test), "test")["auc"] for task in (plain, whole)] == [
        1.0, pytest.approx((count + loops / 2) / (count + loops))
    ]  # fmt: skip
    assert whole.evaluate(Known(whole.test, whole.self_links["test"]), "test")["auc"] == 1.0
    assert whole.provenance["protocol"]["self_links"]["test"] == loops and "test_self_links" in whole.fingerprint()
    assert "self_links" not in plain.provenance["protocol"]
    assert whole.leak_check() is not None and (whole.graph("test").edge_index[0] != whole.graph("test").edge_index[1]).all()


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ({"test": torch.tensor([[1], [2]])}, r"test self-links of toy: number 0 is \[1, 2\], expected a node twice"),
        ({"test": torch.tensor([[90], [90]])}, "nodes are numbered up to 89"),
        ({"train": torch.tensor([[1], [1]])}, "only valid and test have some"),
    ],
)
def test_self_links_that_are_none(links, message):
    with pytest.raises(UserError, match=message):
        LinkTask.from_edges("toy", torch.tensor(rows_of()).t(), 90, self_links=links)
    loop = {"test": torch.tensor([[1], [1]])}
    with pytest.raises(UserError, match="negatives of their own, which these have not"):
        LinkTask.from_edges("toy", torch.tensor(rows_of()).t(), 90, protocol="heart", num_negatives=4, self_links=loop)


def test_the_seed_draws_the_negatives_alone():
    rows = torch.tensor(rows_of()).t()
    first, other = (
        LinkTask.from_edges("toy", rows, 90, protocol="nbfnet", split_seed=seed, num_negatives=3) for seed in (0, 1)
    )
    assert torch.equal(first.test, other.test) and not torch.equal(first.negatives("test"), other.negatives("test"))
    assert first.negatives("test").size(1) == 3 * first.test.size(1)
    assert (
        first.provenance["protocol"]["name"] == "nbfnet"
        and "each row of the file" in first.provenance["protocol"]["about"]
    )


def test_edges_in_both_directions_are_refused():
    edges = undirected_edges(torch.tensor(rows_of()).t())
    with pytest.raises(UserError, match="every edge stands in both directions; use data that list a link once"):
        LinkTask.from_edges("toy", torch.cat([edges, edges.flip(0)], 1), 90, protocol="nbfnet")
    with pytest.raises(UserError, match="splits 85/5/10, not '70/10/20'"):
        LinkTask.from_edges("toy", edges, 90, protocol="nbfnet", split="70/10/20")


@pytest.mark.parametrize(("name", "sizes"), [("cora", (2708, 4614, 271, 544)), ("citeseer", (3327, 3916, 230, 462))])
def test_the_real_files(name, sizes, data_root, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", str(data_root))
    if any(place.path is None for place in where(f"{name}/citations")):
        pytest.skip(f"the file of {name}/citations is not in GRAPHKIT_DATA")
    task = gk.load(f"{name}/citations", task="link", protocol="nbfnet")
    assert (task.num_nodes, *(task.edges(split).size(1) for split in ("train", "valid", "test"))) == sizes
