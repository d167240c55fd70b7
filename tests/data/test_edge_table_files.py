"""Files of edges: what is accepted, what is recognised, and how bad files are refused."""

import gzip
import hashlib
import sys
import warnings

import pytest

from graphkit.data import EdgeTable
from graphkit.errors import DataWarning, UserError

TOWNS = [("milan", "in", "italy"), ("rome", "capital of", "italy")]


def written(folder, content, name="towns.tsv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def named(table):
    return [(table.entities[h], table.relations[r], table.entities[t]) for h, r, t in table.triples.tolist()]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("x.tsv", "rome\tcapital of\titaly\nmilan\tin\titaly\n", {}),
        ("x.tsv", "\ufeffrome\tcapital of\titaly\r\n\r\nmilan\tin\titaly", {}),
        ("x.tsv", "# made up\n# head\trelation\ttail\nrome\tcapital of\titaly\nmilan\tin\titaly\n", {}),
        ("x.tsv", "% made up\nrome\tcapital of\titaly\nmilan\tin\titaly\n", {"comment": "%"}),
        ("x.tsv", 'rome\t"capital of"\t italy\n"milan"\tin\titaly\n', {}),
        ("x.csv", "rome,capital of,italy\nmilan, in, italy\n", {}),
        ("x.csv", 'rome,"capital of","italy"\nmilan,in,italy\n', {}),
        ("x.csv", "rome;capital of;italy\nmilan;in;italy\n", {}),
        ("x.txt", "rome|capital of|italy\nmilan|in|italy\n", {}),
        ("x", "rome\tcapital of\titaly\nmilan\tin\titaly\n", {}),
        ("x.dat", "rome:capital of:italy\nmilan:in:italy\n", {"delimiter": ":"}),
        ("x.dat", "rome;capital of;italy\nmilan;in;italy\n", {"delimiter": "semicolon"}),
        ("x.csv", "Subject,Predicate,Object\nrome,capital of,italy\nmilan,in,italy\n", {}),
        ("x.csv", "tail,note,head,relation\nitaly,x,rome,capital of\nitaly,,milan,in\n", {}),
        ("x.csv", "town,how,land\nrome,capital of,italy\nmilan,in,italy\n", {"header": True}),
        ("x.csv", "a,b,c\nitaly,capital of,rome\nitaly,in,milan\n", {"head": "c", "tail": "a", "relation": "b"}),
        ("x.csv", "italy,capital of,rome\nitaly,in,milan\n", {"head": 2, "relation": 1, "tail": 0}),
        ("x.csv", ":START_ID,:TYPE,:END_ID\nrome,capital of,italy\nmilan,in,italy\n", {}),
    ],
)
def test_accepted_forms(tmp_path, name, content, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = EdgeTable.read(written(tmp_path, content, name), **options)
        assert named(table) == TOWNS
        assert table.name == "x"
        packed = written(tmp_path, gzip.compress(content.encode()), f"{name}.gz")
        assert named(EdgeTable.read(packed, **options)) == TOWNS


def test_blanks_between_names(tmp_path):
    table = EdgeTable.read(written(tmp_path, "a  r \t b\nb s c\n", "x.txt"))
    assert named(table) == [("a", "r", "b"), ("b", "s", "c")]
    table = EdgeTable.read(written(tmp_path, "a r,b c\nd r,e f\n", "x.txt"), delimiter="blanks")
    assert named(table) == [("a", "r,b", "c"), ("d", "r,e", "f")]


@pytest.mark.parametrize("content", ["a\tb\nb\tc\n", "source\ttarget\na\tb\nb\tc\n"])
def test_two_columns_are_one_relation(tmp_path, content):
    assert named(EdgeTable.read(written(tmp_path, content))) == [("a", "edge", "b"), ("b", "edge", "c")]


def test_quotes_keep_what_they_hold(tmp_path):
    csv = written(tmp_path, '"Paris, Texas",in,"the ""lone star"" state"\n', "x.csv")
    assert named(EdgeTable.read(csv)) == [("Paris, Texas", "in", 'the "lone star" state')]
    tsv = written(tmp_path, '"Weird Al" Yankovic\tsang\t"Eat ""It"""\n')
    assert named(EdgeTable.read(tsv)) == [('"Weird Al" Yankovic', "sang", 'Eat "It"')]


def test_a_hash_after_the_first_edge_is_told_when_it_looks_like_an_edge(tmp_path):
    path = written(tmp_path, "bob\twrote\t#love\n#love\tis\ttag\n# end\n")
    with pytest.warns(DataWarning, match=r"1 lines after the first edge, such as line 2, begin with '#'"):
        assert len(EdgeTable.read(path).triples) == 1
    with pytest.raises(UserError, match="line 3: found one column"):
        EdgeTable.read(path, comment=None)
    assert len(EdgeTable.read(written(tmp_path, "bob\twrote\t#love\n#love\tis\ttag\n"), comment=None).triples) == 2


@pytest.mark.parametrize(
    ("first", "form", "told"),
    [
        ("who\thow\twhom", "p{0}\tr{1}\tp{1}", True),
        ("a\tb", "p{0}\tp{1}", True),
        ("p99\tr9\tp98", "p{0}\tr{1}\tp{1}", True),  # a relation and two names of its own
        ("p99\tr1\tp98", "p{0}\tr{1}\tp{1}", False),
        ("p1\tr9\tp98", "p{0}\tr{1}\tp{1}", False),
        ("p98\tp99", "p{0}\tp{1}", False),  # an edge apart
        ("ann\tbob", "cid{0}\tdora", False),
        ("a\tp1", "p{0}\tp{1}", False),
    ],
)
def test_a_first_line_that_looks_like_a_header_is_told(tmp_path, first, form, told, recwarn):
    rows = [form.format(i, i % 5) for i in range(30)]
    path = written(tmp_path, "\n".join([first, *rows]), "x.tsv")
    assert len(EdgeTable.read(path).triples) == 31  # it stays an edge
    said = [str(one.message) for one in recwarn if "looks like a header" in str(one.message)]
    assert len(said) == told
    if told:
        assert "line 1 looks like a header" in said[0] and f"head {first.split()[0]!r}" in said[0]
    EdgeTable.read(path, header=False)
    EdgeTable.read(written(tmp_path, "\n".join([first, *rows[:10]]), "y.tsv"))  # too few to say
    assert sum("looks like a header" in str(one.message) for one in recwarn) == told


def test_a_column_or_files_give_the_split(tmp_path):
    whole = written(tmp_path, "head\trelation\ttail\tsplit\na\tr\tb\ttrain\nb\tr\tc\tVal\nc\tr\ta\ttest\n")
    table = EdgeTable.read(whole)
    assert named(table) == [("a", "r", "b"), ("b", "r", "c"), ("c", "r", "a")] and table.splits.tolist() == [0, 1, 2]
    files = {
        split: written(tmp_path, text, f"{split}.txt")
        for split, text in {"train": "a\tr\tb\n", "valid": "b\tr\tc\n", "test": "c\tr\ta\n"}.items()
    }
    parts = EdgeTable.read(files)
    assert parts.splits.tolist() == [0, 1, 2] and (parts.triples == table.triples).all()
    assert list(parts.source["files"]) == [str(path) for path in files.values()]
    with pytest.raises(UserError, match="given by the files and by a column"):
        EdgeTable.read({**files, "train": whole})
    with pytest.raises(UserError, match="unknown split 'tset'; did you mean 'test'"):
        EdgeTable.read({"tset": whole})
    with pytest.raises(UserError, match="there is none for valid"):
        EdgeTable.read({"train": whole, "test": whole})


def test_the_hash_is_that_of_the_file_on_the_disk(tmp_path):
    content = gzip.compress(b"a\tr\tb\n", mtime=0)
    path = written(tmp_path, content, "x.tsv.gz")
    digest = hashlib.sha256(content).hexdigest()
    assert EdgeTable.read(path).source["files"] == {str(path): {"bytes": len(content), "sha256": digest}}


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("x.tsv", "", {}, "x.tsv holds no edge; expected one a line"),
        ("x.tsv", "\n# nothing\n\n", {}, "holds no edge"),
        ("x.tsv", "head\trelation\ttail\n", {}, "holds no edge"),
        ("x.tsv", "a r b\n", {}, "there is one column, expected head and tail"),
        ("x.txt", "alone\n", {}, "there is one column"),
        ("x.tsv", "a\tr\tb\n\nb\tr\n", {}, "line 3: found 2 columns, expected 3 as in the lines before, separated by tab"),
        ("x.tsv", "a\tr\tb\nb\tr\tc\td\n", {}, "line 2: found 4 columns"),
        ("x.csv", "a,r,b\n# c\na,,b\n", {}, "line 3: the relation is empty"),
        ("x.csv", "a,r,b\n,r,b\n", {}, "line 2: the head is empty"),
        ("x.csv", "a,r, \n", {}, "line 1: the tail is empty"),
        ("x.tsv", "a\tr\tb\tc\n", {}, "there are 4 columns and no header that names them"),
        ("x.tsv", b"a\tr\tb\nc\tr\t\xff\n", {}, "line 2: not UTF-8"),
        ("x.tsv", "a\tr\tb\n".encode("utf-16"), {}, "line 1: not UTF-8"),
        ("x.csv", 'a,r,b\nc,r,"d\ne,r,f\n', {}, "line 2: a quoted field does not end"),
        ("x.csv", 'a,r,b\nc,r,"d\ne"\n', {}, "line 2: a quoted field does not end on its line"),
        ("x.csv", 'a,r,"b"c\n', {}, "line 1: .* double the quotes"),
        ("x.csv", "a,r,b\nc,r,d\n", {"head": "a b"}, "head: unknown column 'a b'"),
        ("x.csv", "subject,r,object\na,r,b\n", {"head": "subjet"}, "did you mean 'subject'"),
        ("x.csv", "a,r,b\n", {"head": 3}, "head=3, expected the name of a column or a number from 0 to 2"),
        ("x.csv", "a,r,b\n", {"head": 0, "tail": 0}, "is asked for twice"),
        ("x.csv", "a,r,b\n", {"head": 0}, "cannot tell|there are 3 columns and no header"),
        ("x.csv", "a,r,b\n", {"head": "a", "header": False}, "there is no header; number it from 0"),
        ("x.csv", "a,b\nc,d\n", {"header": True, "relation": "b"}, "cannot tell heads and tails among the columns a, b"),
        ("x.csv", "a,r,b\n", {"delimiter": "tabb"}, "unknown delimiter 'tabb'; did you mean 'tab'"),
        ("x.tsv", "head\ttail\tsplit\na\tb\ttrian\n", {}, "line 2: split is 'trian', expected train, valid or test"),
        ("x.tsv", "a\tb\t0.5\nb\tc\t1.25\n", {}, "seems to be a weight and no tail"),
        ("x.tsv.gz", "a\tr\tb\n", {}, "is no whole gzip file"),
        ("x.tsv.gz", gzip.compress(b"a\tr\tb\n" * 100, mtime=0)[:-9], {}, "is no whole gzip file"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_by_name(tmp_path, name, content, options, message):
    path = written(tmp_path, content, name)
    with pytest.raises(UserError, match=message) as caught:
        EdgeTable.read(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value) or "delimiter" in str(caught.value)


def test_wrong_paths(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        EdgeTable.read(tmp_path / "none.tsv")
    with pytest.raises(UserError, match="is a folder"):
        EdgeTable.read(tmp_path)


def test_weights_are_names_where_one_says_so(tmp_path):
    path = written(tmp_path, "a\tb\t0.5\nb\tc\t1.25\n")
    assert named(EdgeTable.read(path, head=0, tail=1)) == [("a", "edge", "b"), ("b", "edge", "c")]
    assert EdgeTable.read(path, head=0, relation=1, tail=2).relations == ["b", "c"]


def test_columns_that_may_hold_the_relation_are_named(tmp_path):
    path = written(tmp_path, "source,target,how\na,b,x\nb,c,y\n", "x.csv")
    with pytest.warns(DataWarning, match=r"one relation 'edge'; of the columns not read \(how\)"):
        assert EdgeTable.read(path).relations == ["edge"]
    assert EdgeTable.read(path, relation="how").relations == ["x", "y"]


def test_features_of_nodes(tmp_path):
    edges = written(tmp_path, "b\ta\na\tc\n")
    features = written(tmp_path, "node\theight\tage\nc\t3\t0.5\na\t1\t-1e2\nb\t2\t7\n", "nodes.tsv")
    table = EdgeTable.read(edges, features=features)
    assert table.features.tolist() == [[1.0, -100.0], [2.0, 7.0], [3.0, 0.5]]
    assert table.feature_names == ["height", "age"] and len(table.source["files"]) == 2
    bare = written(tmp_path, "c,3\na,1\nb,2\nd,4\n", "bare.csv")
    with pytest.warns(DataWarning, match=r"features of 1 nodes that no edge names, such as 'd', are left out"):
        assert EdgeTable.read(edges, features=bare).features.tolist() == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,1\nb,2\n", "1 entities have no features, such as 'c'"),
        ("a,1\nb,x\nc,3\n", "'b' has the feature 'x', expected a finite number"),
        ("a,1\nb,nan\nc,3\n", "'b' has the feature 'nan'"),
        ("a,1\na,2\n", "line 2: the node 'a' has features already"),
        ("a\n", "line 1: expected the name of a node and its features"),
        ("name,age\n", "holds no features"),
    ],
)
def test_bad_features(tmp_path, content, message):
    edges = written(tmp_path, "b\ta\na\tc\n")
    with pytest.raises(UserError, match=message):
        EdgeTable.read(edges, features=written(tmp_path, content, "nodes.csv"))
    with pytest.raises(UserError, match="features= is the path of a text file"):
        EdgeTable.read(edges, features=["age"])


def test_parquet(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "towns.parquet"
    columns = {"subject": ["rome", "milan"], "predicate": ["capital of", "in"], "object": ["italy", "italy"]}
    parquet.write_table(pyarrow.table(columns), path)
    assert named(EdgeTable.read(path)) == TOWNS
    parquet.write_table(pyarrow.table({"x": [1, 2], "y": [2, 3]}), path)
    assert named(EdgeTable.read(path)) == [("1", "edge", "2"), ("2", "edge", "3")]
    with pytest.raises(UserError, match="delimiter= does not apply to Parquet"):
        EdgeTable.read(path, delimiter=",")
    parquet.write_table(pyarrow.table({"head": ["a", None], "tail": ["b", "c"]}), path)
    with pytest.raises(UserError, match=r"row 1: the head is empty"):
        EdgeTable.read(path)
    parquet.write_table(pyarrow.table({"head": ["a"], "tail": [1.5]}), path)
    with pytest.raises(UserError, match=r"row 0: the tail is 1.5, expected text or a whole number"):
        EdgeTable.read(path)
    parquet.write_table(pyarrow.table({"head": pyarrow.array([], "string"), "tail": []}), path)
    with pytest.raises(UserError, match="holds no edge"):
        EdgeTable.read(path)
    with pytest.raises(UserError, match="is no whole Parquet file"):
        EdgeTable.read(written(tmp_path, "a\tr\tb\n", "x.parquet"))


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r'needs pyarrow; pip install "graphkit-torch\[tables\]"'):
        EdgeTable.read(written(tmp_path, b"PAR1", "x.parquet"))


def test_graphml(tmp_path):
    import networkx as nx

    graph = nx.MultiDiGraph()
    graph.add_node("rome", people=2.8)
    graph.add_node("italy", people=59)
    graph.add_edge("rome", "italy", relation="in")
    graph.add_edge("rome", "italy", relation="capital of")
    path = tmp_path / "towns.graphml"
    nx.write_graphml(graph, path)
    table = EdgeTable.read(path, features=["people"])
    assert named(table) == [("rome", "capital of", "italy"), ("rome", "in", "italy")]
    assert table.features.squeeze(1).tolist() == pytest.approx([59, 2.8]) and table.name == "towns"
    assert list(table.source["files"]) == [str(path)]
    with pytest.raises(UserError, match="unknown edge attribute 'relatoin'; did you mean 'relation'"):
        EdgeTable.read(path, relation="relatoin")
    with pytest.raises(UserError, match="head= does not apply to GraphML"):
        EdgeTable.read(path, head="source")
    with pytest.raises(UserError, match="features: unknown node attribute 'poeple'"):
        EdgeTable.read(path, features="poeple")
    with pytest.raises(UserError, match=r"line 1: no XML"):
        EdgeTable.read(written(tmp_path, "a\tb\n", "x.graphml"))
    with pytest.raises(UserError, match="is no GraphML"):
        EdgeTable.read(written(tmp_path, "<a/>", "y.graphml"))
