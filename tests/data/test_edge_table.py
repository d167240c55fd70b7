"""Tables from other libraries and plain rows: names, ids, what is dropped and what is counted."""

import warnings

import pytest

from graphkit.data import EdgeTable
from graphkit.errors import DataWarning, UserError


def named(table):
    return [(table.entities[h], table.relations[r], table.entities[t]) for h, r, t in table.triples.tolist()]


def test_ids_follow_names_and_not_the_order_of_the_rows():
    rows = [("b", "s", "a"), ("c", "r", "b"), ("a", "r", "c")]
    table, turned = EdgeTable.from_triples(rows), EdgeTable.from_triples(rows[::-1])
    assert table.entities == ["a", "b", "c"] and table.relations == ["r", "s"]
    assert table.triples.tolist() == [[0, 0, 2], [1, 1, 0], [2, 0, 1]] == turned.triples.tolist()


def test_duplicates_are_dropped_with_a_warning_and_self_loops_are_counted():
    rows = [("a", "r", "b"), ("a", "r", "a"), ("a", "r", "b"), ("a", "s", "b"), ("a", "r", "b")]
    with pytest.warns(DataWarning, match="2 of 5 edges repeat another one and are dropped"):
        table = EdgeTable.from_triples(rows, name="toy")
    assert named(table) == [("a", "r", "a"), ("a", "r", "b"), ("a", "s", "b")]
    assert table.duplicates == 2 and table.self_loops == 1
    assert repr(table) == "EdgeTable('toy', entities=2, relations=2, triples=3, duplicates=2, self_loops=1)"


@pytest.mark.parametrize("row", [("a", "r"), ("a", "", "b"), ("a", 1, "b"), "arb"])
def test_rows_that_are_no_triples(row):
    with pytest.raises(UserError, match=r"graph, row 1: .* is no triple of non-empty names"):
        EdgeTable.from_triples([("a", "r", "b"), row])
    with pytest.raises(UserError, match="graph holds no edge"):
        EdgeTable.from_triples([])


def test_networkx_directed_and_with_isolated_nodes():
    nx = pytest.importorskip("networkx")
    graph = nx.DiGraph(name="towns")
    graph.add_edge(2, "a", type="r")
    graph.add_edge("a", "a", type=7)
    graph.add_node(("x", 1))
    table = EdgeTable.from_networkx(graph)
    assert named(table) == [("2", "r", "a"), ("a", "7", "a")] and table.name == "towns"
    assert table.entities == ["('x', 1)", "2", "a"]


def test_an_undirected_edge_is_two_facts():
    nx = pytest.importorskip("networkx")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = EdgeTable.from_networkx(nx.Graph([("b", "a"), ("c", "c")]))
    assert named(table) == [("a", "edge", "b"), ("b", "edge", "a"), ("c", "edge", "c")]


def test_networkx_features():
    nx = pytest.importorskip("networkx")
    graph = nx.path_graph(3)
    nx.set_node_attributes(graph, {0: 1.5, 1: 2, 2: True}, "weight")
    table = EdgeTable.from_networkx(graph, features=["weight"])
    assert table.features.tolist() == [[1.5], [2.0], [1.0]] and table.feature_names == ["weight"]
    del graph.nodes[1]["weight"]
    with pytest.raises(UserError, match="the node '1' lacks 'weight'"):
        EdgeTable.from_networkx(graph, features=["weight"])


def test_networkx_mistakes():
    nx = pytest.importorskip("networkx")
    with pytest.raises(UserError, match="graph holds no edge"):
        EdgeTable.from_networkx(nx.empty_graph(3))
    with pytest.raises(UserError, match="two nodes of the name '1'"):
        EdgeTable.from_networkx(nx.DiGraph([(1, "1")]))
    with pytest.raises(UserError, match="a node whose name is empty"):
        EdgeTable.from_networkx(nx.DiGraph([("", "a")]))
    with pytest.raises(UserError, match="no edge has any attribute"):
        EdgeTable.from_networkx(nx.path_graph(2), relation="kind")
    graph = nx.DiGraph([("a", "b", {"kind": "r"}), ("b", "c", {})])
    with pytest.raises(UserError, match=r"the edge \(b, c\) lacks 'kind', which other edges have"):
        EdgeTable.from_networkx(graph, relation="kind")
    with pytest.raises(UserError, match=r"edge \(a, b\): kind is 0.5, expected text or a whole number"):
        EdgeTable.from_networkx(nx.DiGraph([("a", "b", {"kind": 0.5})]), relation="kind")


def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"gene": ["x", "y"], "how": [1, 2], "illness": ["flu", "gout"], "fold": ["train", "test"]})
    table = EdgeTable.from_pandas(frame, head="gene", relation="how", tail="illness", name="medicine")
    assert named(table) == [("x", "1", "flu"), ("y", "2", "gout")] and table.name == "medicine"
    assert EdgeTable.from_pandas(frame, 0, 1, 2, split="fold").splits.tolist() == [0, 2]
    assert named(EdgeTable.from_pandas(frame[["gene", "illness"]])) == [("x", "edge", "flu"), ("y", "edge", "gout")]
    nodes = pd.DataFrame({"a": [1, 2, 3, 4], "b": [0.5] * 4}, index=["x", "flu", "gout", "y"])
    table = EdgeTable.from_pandas(frame, "gene", "how", "illness", features=nodes)
    assert table.features.tolist() == [[2, 0.5], [3, 0.5], [1, 0.5], [4, 0.5]] and table.feature_names == ["a", "b"]


def test_pandas_mistakes():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"head": ["x", None], "tail": ["y", "z"]})
    with pytest.raises(UserError, match="graph, row 1: the head is empty"):
        EdgeTable.from_pandas(frame)
    with pytest.raises(UserError, match="relation: unknown column 'rel'"):
        EdgeTable.from_pandas(frame, relation="rel")
    with pytest.raises(UserError, match=r"row 1: the head is empty"):
        EdgeTable.from_pandas(pd.DataFrame({"head": [1, None], "tail": [1, 2]}).convert_dtypes())
    with pytest.raises(UserError, match=r"row 0: the head is 1\.0, expected text or a whole number"):
        EdgeTable.from_pandas(pd.DataFrame({"head": [1, None], "tail": [1, 2]}))
    with pytest.raises(UserError, match="holds no edge"):
        EdgeTable.from_pandas(frame[:0])
    with pytest.raises(UserError, match="has no columns"):
        EdgeTable.from_pandas(pd.DataFrame())
    with pytest.raises(UserError, match="got a list, expected a pandas data frame"):
        EdgeTable.from_pandas([("a", "r", "b")])
