"""Files made to crash, hang or exhaust, as fuzzing found them: each is refused in a sentence, quickly, in little memory."""

import gzip
import io
import json
import pickle
import resource
import sqlite3

import numpy as np
import pytest
import torch
from planetoid_samples import planetoid_files, python3_pickle

from graphkit.data.orbit_files import read_orbit_adjacency
from graphkit.data.triples import text_lines
from graphkit.datasets import Card
from graphkit.datasets.city_aequilibrae import read_aequilibrae
from graphkit.datasets.city_tables import streets_from_tables
from graphkit.datasets.labelled_networks import read_airports
from graphkit.datasets.npz_arrays import read_npz
from graphkit.datasets.number_table import read_numbers
from graphkit.datasets.ogb_names import read_mapping, read_rows
from graphkit.datasets.planetoid import read_planetoid
from graphkit.datasets.restricted_pickle import read_arrays
from graphkit.datasets.tensor_graphs import read_tensor_pickle
from graphkit.datasets.torch_files import read_torch_file
from graphkit.datasets.tu_dataset import read_tu_dataset
from graphkit.engine.config import load_config
from graphkit.errors import UserError


@pytest.fixture(autouse=True)
def little_memory():
    """No more than a GiB beyond what is taken already, so that a bomb fails here and not the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)
TEXTS = [
    (BOMB + "name: *a8\n", "its aliases unfold to more than 100000 values"),
    ("name: &a [*a]\n", "recursive node"),
    ("name: " + "[" * 100 + "]" * 100, "nested too deeply"),
    ("name: " + "[" * 3000, "nested too deeply"),
    ("name: 2020-99-99\n", "a value that is none of its kind"),
    ("name: !!float x\n", "a value that is none of its kind"),
    ("[a, b]: 1\n? {a: 1}\n: 2\n", "none of its kind|unhashable"),
]


@pytest.mark.parametrize(("text", "message"), TEXTS)
def test_yaml(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    for read in (load_config, Card.read):
        with pytest.raises(UserError, match=message):
            read(path)


HIGH = b"r\xff\xff\xff\x1f"  # a store under the number 2^29 - 1: a table of that many places in C's interpreter


def test_a_pickle_with_a_large_table(tmp_path):
    plain = pickle.dumps({"a": [1, 2]}, 2)
    path = tmp_path / "a"
    for bad in (plain[:3] + HIGH + plain[3:], plain[:3] + b"p123456789\n" + plain[3:]):
        path.write_bytes(bad)
        for read in (read_arrays, read_tensor_pickle):
            with pytest.raises(UserError, match="a value is stored under the number"):
                read(path)
    for zipped in (True, False):
        out = io.BytesIO()
        torch.save({"head": np.arange(3)}, out, _use_new_zipfile_serialization=zipped)
        data = out.getvalue()
        path.write_bytes(data)
        assert read_torch_file(path)["head"].tolist() == [0, 1, 2]
    begin = data.rindex(b"\x80\x02}") + 3
    path.write_bytes(data[:begin] + HIGH + data[begin:])
    with pytest.raises(UserError, match="a value is stored under the number"):
        read_torch_file(path)


def test_an_array_that_only_looks_like_a_large_table(tmp_path):
    array = np.frombuffer(b"r\xff\xff\xff\xff\xff\xff\xff" * 50, np.int64)
    (tmp_path / "a").write_bytes(python3_pickle(array))
    np.testing.assert_array_equal(read_arrays(tmp_path / "a"), array)


def test_a_pickle_whose_lists_share_what_is_in_them(tmp_path):
    value = [1]
    for _ in range(40):
        value = [value, value]
    (tmp_path / "a").write_bytes(pickle.dumps(value, 2))
    with pytest.raises(UserError, match="unfolds to more values than it has bytes"):
        read_arrays(tmp_path / "a")
    value = {"x": 1}
    for _ in range(40):
        value = {"a": value, "b": value}
    torch.save(value, tmp_path / "a.pt")
    with pytest.raises(UserError, match="unfolds to more values than it has bytes"):
        read_torch_file(tmp_path / "a.pt", nested=True)


def test_planetoid_with_a_far_test_document(tmp_path):
    files = planetoid_files(**{"test.index": b"8\n5\n4294967296\n"})
    paths = {}
    for name, data in files.items():
        paths[name] = tmp_path / name
        paths[name].write_bytes(data)
    with pytest.raises(UserError, match="test document 4294967296, but there are 5 others and 9 in the graph"):
        read_planetoid(paths)
    (tmp_path / "ind.toy.test.index").write_text("9" * 30)
    with pytest.raises(UserError, match="is no list of document numbers"):
        read_planetoid(paths)


def test_an_array_larger_than_its_file(tmp_path):
    out = io.BytesIO()
    np.savez(out, labels=np.arange(3))
    data = out.getvalue().replace(b"'shape': (3,), }" + b" " * 12, b"'shape': (3000000000,), }" + b" " * 3)
    assert data != out.getvalue()
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.npz is damaged"):
        read_npz(tmp_path / "a.npz", ["labels"])


def test_orbit_adjacencies_whose_pointers_lead_astray(tmp_path):
    arrays = {"shape": np.array([3, 3]), "data_2_8_8": np.ones(2, np.int32)}
    for indptr, indices in (([0, 10**6, 1, 2], [0, 1]), ([0, 1, 1, 2], [0, 10**6]), ([0, 1, 1, 2], [-5, 1])):
        np.savez(tmp_path / "a.npz", **arrays, indptr_2=np.array(indptr), indices_2=np.array(indices))
        with pytest.raises(UserError, match="cannot be read as orbit adjacencies"):
            read_orbit_adjacency(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "change", [{"blocks": None}, {"blocks": [[0]]}, {"blocks": [["x", 3]]}, {"blocks": 3}, {"keys": 1}]
)
def test_a_manifest_of_something_else(tmp_path, change):
    content = {"format": "graphkit orbit blocks 1", "blocks": [[0, 3]], "keys": ["2:8:8"], "sha256": "", **change}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="is damaged; remove the folder"):
        read_orbit_adjacency(tmp_path)


def test_a_view_that_never_ends(tmp_path):
    database = sqlite3.connect(tmp_path / "a.sqlite")
    for table in ("nodes", "links"):
        database.execute(
            f"CREATE VIEW {table} AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
            "SELECT x AS node_id, x AS geometry, x AS a_node, x AS b_node FROM c"
        )
    database.commit()
    database.close()
    with pytest.raises(UserError, match="the table nodes lacks node_id, geometry"):
        read_aequilibrae(tmp_path / "a.sqlite")


def gzipped(path, content):
    path.write_bytes(gzip.compress(content, 1))
    return path


def test_tables_of_more_lines_than_their_file_can_hold(tmp_path):
    path = gzipped(tmp_path / "edge.csv.gz", b"0,1\n")
    with pytest.raises(UserError, match="cannot hold 99999999999 lines"):
        read_numbers(path, np.int64, columns=2, rows=99999999999)


def test_blank_lines_by_the_million(tmp_path):
    path = gzipped(tmp_path / "names.csv.gz", b"a,b\n0,x\n" + b"\n" * 5_000_000)
    with pytest.raises(UserError, match="more than 1000 blank lines"):
        read_rows(path)
    with pytest.raises(UserError, match=r"line 3: found '', expected 2 whole numbers"):
        read_numbers(gzipped(path, b"1,2\n0,1\n" + b"\n" * 5_000_000), np.int64)
    assert text_lines(b"a\tb \n" + b" \r\n" * 500_000, "x.tsv") == ["a\tb "]
    assert text_lines(b" \n\n", "x.tsv") == [] and text_lines(b"a", "x.tsv") == ["a"]


@pytest.mark.parametrize("lines", [1, 4095, 4096, 4097, 9000])
def test_the_first_bad_line_of_a_long_table_is_named(tmp_path, lines):
    path = gzipped(tmp_path / "edge.csv.gz", b"0,1\n" * lines + b"2,x\n" + b"0,1\n" * 5000)
    with pytest.raises(UserError, match=rf"line {lines + 1}: found '2,x', expected 2 whole numbers"):
        read_numbers(path, np.int64)


def test_numbers_beyond_64_bits(tmp_path):
    path = gzipped(tmp_path / "names.csv.gz", b"a,b\n" + b"9" * 5000 + b",x\n")
    with pytest.raises(UserError, match="line 2"):
        read_mapping(path)
    (tmp_path / "e.edgelist").write_text(f"1 {2**70}\n")
    (tmp_path / "labels-e.txt").write_text("node label\n1 0\n")
    with pytest.raises(UserError, match="no list of pairs of numbers"):
        read_airports(tmp_path / "e.edgelist", tmp_path / "labels-e.txt")


def test_labels_that_would_become_too_many_columns(tmp_path):
    texts = {"A": "1, 2\n2, 1\n", "graph_indicator": "1\n1\n", "graph_labels": "1\n", "node_labels": "0\n4294967296\n"}
    for kind, text in texts.items():
        (tmp_path / f"X_{kind}.txt").write_text(text)
    with pytest.raises(UserError, match="has labels from 0 to 4294967296"):
        read_tu_dataset({path.name: path for path in tmp_path.iterdir()})


def test_streets_to_nowhere_and_columns_of_something_else(tmp_path):
    with pytest.raises(UserError, match="a street leads to junction '', which the table of junctions lacks"):
        streets_from_tables({"u": ["a"], "v": [""]}, {"id": ["a"], "x": [0], "y": [0]})
    junctions = {"id": ["a", "b"], "x": [0, 1], "y": [0, 1], "street_count": ["2", "many"]}
    with pytest.raises(UserError, match="the column street_count holds something that is no number"):
        streets_from_tables({"u": ["a"], "v": ["b"]}, junctions)


def test_a_long_field_is_not_quoted_as_a_whole():
    message = str(UserError("x" * 100_000))
    assert 5000 < len(message) < 6100 and " ... " in message
