"""Every reader of files from outside, with small valid files to begin from; the files are made here or by the tests' samples."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import pickle
import random
import shutil
import sqlite3
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import scipy.io
import scipy.sparse
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "datasets"))

import ogb_graph_samples  # noqa: E402
import ogb_samples  # noqa: E402
import planetoid_samples  # noqa: E402
from mutations import EXTREMES, hostile_pickle  # noqa: E402

__all__ = ["Reader", "readers"]

Files = dict[str, bytes]


@dataclass
class Reader:
    """A reader and what it reads.

    Args:
        name: for the results.
        variants: whole sets of files by name, each of which the reader accepts.
        read: reads a folder with one set; gets its path and the number of the variant.
        made: makes a text of the format at random, to take the place of a file of that ending.
        share: how many inputs it gets beside the others.
        valid: whether the untouched files must be accepted.
    """

    name: str
    variants: list[Files]
    read: Callable[[Path, int], Any]
    made: Callable[[random.Random, str], bytes] | None = None
    share: float = 1.0
    valid: bool = True


def _files(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _paths(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() or path.is_symlink()
    }


def _npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def _pt(content: Any, zipped: bool = True, protocol: int = 4) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


def _gz(text: str) -> bytes:
    return gzip.compress(text.encode(), 1)


# Random texts of a format


def _word(rng: random.Random) -> bytes:
    if rng.random() < 0.75:
        return rng.choice(
            (
                b"a",
                b"b",
                b"rome",
                b"1",
                b"2",
                b"3",
                b"0",
                b"0.5",
                b"head",
                b"tail",
                b"relation",
                b"train",
                b"test",
                b'"q"',
            )
        )
    return rng.choice(EXTREMES)


def made_table(rng: random.Random, ending: str = "") -> bytes:
    between = {"tsv": b"\t", "csv": b","}.get(ending, rng.choice((b"\t", b",", b" ", b";", b"|", b", ")))
    width = rng.randint(1, 5)
    lines = [
        between.join(_word(rng) for _ in range(width if rng.random() < 0.9 else rng.randint(0, 6)))
        for _ in range(rng.randint(0, 8))
    ]
    text = rng.choice((b"\n", b"\n", b"\r\n", b"\r")).join(lines) + rng.choice((b"", b"\n"))
    return gzip.compress(text, 1) if ending == "gz" else text


_TAGS = {
    "osm": ("osm", "node", "way", "nd", "tag", "relation", "member", "bounds", "x"),
    "graphml": ("graphml", "graph", "node", "edge", "data", "key", "default", "port", "hyperedge", "desc", "x"),
}
_ATTRIBUTES = {
    "osm": ("id", "lon", "lat", "ref", "k", "v", "visible"),
    "graphml": ("id", "source", "target", "edgedefault", "for", "attr.name", "attr.type", "key", "xmlns"),
}
_XML_VALUES = [
    "1",
    "2",
    "3",
    "a",
    "b",
    "d0",
    "d1",
    "x",
    "y",
    "length",
    "highway",
    "residential",
    "oneway",
    "yes",
    "-1",
    "directed",
    "undirected",
    "node",
    "edge",
    "int",
    "long",
    "double",
    "boolean",
    "string",
    "10.5",
    "nan",
    "1e999",
    "",
    "street_count",
    "maxspeed",
    "lanes",
    "landuse",
    "http://graphml.graphdrawing.org/xmlns",
    "9" * 30,
    "[1, 2]",
    "[",
    "true",
    "false",
    "id",
    "osmid",
    "weight",
]
_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE osm [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b']><osm><node id="1" lon="&j;" lat="1"/>&j;</osm>'
)
_OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE graphml [<!ENTITY x SYSTEM "file:///etc/passwd">]><graphml><graph><node id="&x;"/>&x;</graph></graphml>'


def made_xml(rng: random.Random, ending: str) -> bytes:
    kind = "graphml" if ending == "graphml" else "osm"
    if rng.random() < 0.03:
        text = rng.choice((_LAUGHS, _OUTSIDE, b"<osm>" + b"<way>" * 5000, b"<graphml>" * 3000))
    else:
        text = _element(rng, kind, 0, _TAGS[kind][0]).encode()
    return gzip.compress(text, 1) if ending == "gz" else text


def _element(rng: random.Random, kind: str, depth: int, tag: str) -> str:
    attributes = "".join(
        f' {key}="{rng.choice(_XML_VALUES)}"' for key in rng.sample(_ATTRIBUTES[kind], rng.randint(0, 4))
    )
    below = _TAGS[kind][1:]
    inside = "".join(
        _element(rng, kind, depth + 1, rng.choice(below))
        for _ in range(rng.randint(0, 7 - 2 * depth) if depth < 3 else 0)
    )
    return f"<{tag}{attributes}>{rng.choice(('', '', rng.choice(_XML_VALUES)))}{inside}</{tag}>"


_YAML_VALUES = [
    "1",
    "-1",
    "0",
    "1e3",
    "1.5",
    ".nan",
    ".inf",
    "null",
    "~",
    "true",
    "no",
    "x",
    "''",
    "[]",
    "{}",
    "[1, 2]",
    "{a: 1}",
    "[x, [y, {z: 1}]]",
    "umls",
    "cora",
    "NBFNet",
    "GCN",
    "2020-01-01",
    "2020-01-01 10:00:00",
    "!!binary aGk=",
    "!!set {a, b}",
    "!!python/name:os.system",
    "!!omap [a: 1]",
    "!!timestamp 2020-99-99",
    "0-9",
    "0-99999999999",
    "99999999999999999999",
    "all",
    "? [a, b]",
    "? {a: 1}",
    "&a x",
    "*a",
    "!!float x",
    "!!int x",
    "&a [*a]",
    "&a {b: *a}",
    "seed",
    "mrr",
    "{? [a] : b}",
    "!!str 1",
    "0x1F",
    "0o7",
    "1_000",
    "12:30:45",
    "=",
    "<<",
]
_BOMB = b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 9)
)
_KEYS = [
    "name",
    "reference",
    "protocol",
    "data",
    "loader",
    "model",
    "train",
    "seeds",
    "budget",
    "splits",
    "submission",
    "tune",
    "title",
    "task",
    "reader",
    "files",
    "folders",
    "licence",
    "citation",
    "source",
    "statistics",
    "aliases",
    "options",
    "archive",
    "path",
    "url",
    "bytes",
    "sha256",
    "also",
    "lr",
    "epochs",
    "file",
    "space",
    "select",
    "ties",
    "metrics",
    "paper",
    "hidden_channels",
    "num_layers",
    "1",
    "null",
    "<<",
    "x",
    "[a]",
    "{a: 1}",
    "split_seed",
    "fold",
    "variant",
    "root",
    "schedule",
    "optimizer",
    "weight_decay",
    "batch_size",
]


def made_yaml(rng: random.Random, ending: str = "") -> bytes:
    if rng.random() < 0.02:
        return _BOMB + rng.choice(
            (b"name: *a8\n", b"data: {name: *a8}\n", b"seeds: *a8\n", b"files: [*a8]\n", b"model: *a8\n")
        )
    lines = []
    for key in rng.sample(_KEYS, rng.randint(0, 12)):
        if rng.random() < 0.5:
            lines.append(f"{key}: {rng.choice(_YAML_VALUES)}")
        else:
            inner = ", ".join(f"{rng.choice(_KEYS)}: {rng.choice(_YAML_VALUES)}" for _ in range(rng.randint(0, 5)))
            lines.append(f"{key}: {{{inner}}}")
    return "\n".join(lines).encode()


def _made(**kinds: Callable[[random.Random, str], bytes]) -> Callable[[random.Random, str], bytes]:
    def make(rng: random.Random, ending: str) -> bytes:
        return kinds.get(ending, kinds["other"])(rng, ending)

    return make


# The readers, by family


def _yaml_readers(room: Path) -> list[Reader]:
    from graphkit.datasets import Card
    from graphkit.engine.config import load_config

    cards = [
        (ROOT / "datasets" / "cards" / f"{name}.yaml").read_bytes()
        for name in ("usair", "synthetic-path-parity", "ogbl-ddi")
    ]
    experiments = [path.read_bytes() for path in sorted((ROOT / "experiments" / "nbfnet").glob("*.yaml"))[:4]]
    experiments += [path.read_bytes() for path in sorted((ROOT / "experiments" / "graph_mamba").glob("*.yaml"))[:3]]
    own = b"name: own\ndata: {file: triples.tsv, valid: 0.2}\nmodel: {name: DistMult}\ntune: {space: {train.lr: [0.1]}, trials: 2}\nseeds: 0-2\n"
    triples = b"a\tr\tb\nb\tr\tc\nc\tr\td\n"

    def experiment(folder: Path, _: int) -> Any:
        before = Path.cwd()
        os.chdir(folder)  # paths in it are as seen from here
        try:
            return load_config(folder / "e.yaml")
        finally:
            os.chdir(before)

    return [
        Reader(
            "cards",
            [{"card.yaml": card} for card in cards],
            lambda folder, _: Card.read(folder / "card.yaml"),
            made_yaml,
        ),
        Reader(
            "experiments",
            [*({"e.yaml": one} for one in experiments), {"e.yaml": own, "triples.tsv": triples}],
            experiment,
            made_yaml,
            0.2,
        ),
    ]


def _table_readers(room: Path) -> list[Reader]:
    import pandas

    from graphkit.data import EdgeTable, KnowledgeGraphTask, read_triples
    from graphkit.data.triples import file_bytes
    from graphkit.engine.predictions import read_queries

    rows = [(f"e{i}", f"r{i % 3}", f"e{i * 7 % 11}") for i in range(24)]
    tsv = "".join("\t".join(row) + "\n" for row in rows)
    csv = "source,type,target,split\n" + "".join(
        f'"{h}, x",{r},{t},{s}\n' for (h, r, t), s in zip(rows, ["train", "valid", "test"] * 8, strict=True)
    )
    frame, out = pandas.DataFrame(rows, columns=["head", "relation", "tail"]), io.BytesIO()
    frame.to_parquet(out)
    graph = nx.MultiDiGraph()
    for h, r, t in rows[:9]:
        graph.add_edge(h, t, relation=r, weight=0.5)
    graphml = "\n".join(nx.generate_graphml(graph)).encode()
    tables: list[Files] = [
        {"t.tsv": tsv.encode()},
        {"t.csv": csv.encode()},
        {"t.txt": tsv.replace("\t", " ").encode()},
        {"t.tsv.gz": _gz(tsv)},
        {"t.graphml": graphml},
        {"t.parquet": out.getvalue()},
        {"t.graphml.gz": gzip.compress(graphml)},
    ]

    def table(folder: Path, which: int) -> Any:
        return EdgeTable.read(folder / next(iter(tables[which]))).knowledge_graph_task(seed=1)

    task = KnowledgeGraphTask.from_names("toy", rows[:18], rows[18:21], rows[21:])

    def queries_of(folder: Path, _: int) -> Any:
        return read_queries(file_bytes(folder / "q.tsv"), task)

    queries = "e1\tr1\t?\n?\tr2\te3\n\ne4\tr0\t?\n".encode()
    make = _made(graphml=made_xml, parquet=made_table, other=made_table)
    return [
        Reader("edge tables", tables[:4], table, make, 1.5),
        Reader(
            "GraphML as an edge table",
            [tables[4], tables[6]],
            lambda folder, which: table(folder, (4, 6)[which]),
            _made(gz=made_xml, other=made_xml),
        ),
        Reader("Parquet", [tables[5]], lambda folder, _: table(folder, 5), None, 0.3),
        Reader("triples", [{"a.txt": tsv.encode()}], lambda folder, _: read_triples(folder / "a.txt"), make),
        Reader("queries", [{"q.tsv": queries}], queries_of, make),
    ]


def _pickle_readers(room: Path) -> list[Reader]:
    from graphkit.datasets.planetoid import read_planetoid
    from graphkit.datasets.restricted_pickle import read_arrays
    from graphkit.datasets.tensor_graphs import read_gnn_benchmark, read_lrgb, read_tensor_pickle, read_torch_tensors
    from graphkit.datasets.torch_files import read_torch_file, read_torch_tensor

    old = planetoid_samples.planetoid_files()
    matrix = scipy.sparse.csr_matrix(planetoid_samples.ALLX)
    new = planetoid_samples.planetoid_files(
        allx=pickle.dumps(matrix, 2),
        ally=pickle.dumps(planetoid_samples.ALLY, 2),
        graph=pickle.dumps(planetoid_samples.GRAPH, 2),
    )
    pickles = [
        old["ind.toy.allx"],
        old["ind.toy.graph"],
        pickle.dumps(matrix, 2),
        pickle.dumps({"a": np.arange(3), "b": [1, "x"]}, 4),
    ]
    arrays = {
        "head": np.arange(7),
        "text": np.array(["a", "b"]),
        "type": ["drug", "gene"],
        "count": 3,
        "rate": 0.5,
        "f": np.ones((2, 3)),
    }
    nested = {"train": {"edge": np.zeros((3, 2), np.int64)}, "none": None, "valid": {("a", "b", "c"): np.arange(2)}}
    tensor = torch.arange(6).reshape(2, 3)
    edges, x = torch.tensor([[0, 1], [1, 0]]), torch.ones(2, 3)
    superpixels = [(x, torch.ones(2, 2), edges, [0, 13]), (x, torch.ones(2, 2), edges, np.array([1, 2]))]
    benchmark = [
        [{"edge_index": edges, "x": x, "pos": x, "y": torch.tensor([1]), "edge_attr": torch.ones(2)}] * 2
        for _ in range(3)
    ]
    lrgb: list[Files] = [
        {f"{split}.pickle": pickle.dumps(superpixels) for split in ("train", "val", "test")},
        {f"{split}.pt": _pt(superpixels[:1], protocol=2) for split in ("train", "val", "test")},
    ]

    def torch_file(folder: Path, which: int) -> Any:
        return read_torch_file(folder / "a.pt", nested=which == 2)

    pickled = lambda rng, ending: hostile_pickle(rng)  # noqa: E731
    return [
        Reader(
            "Planetoid",
            [old, new],
            lambda folder, _: read_planetoid(_paths(folder)),
            _made(index=made_table, other=pickled),
        ),
        Reader(
            "restricted pickles",
            [{"a": one} for one in pickles],
            lambda folder, _: read_arrays(folder / "a"),
            pickled,
            2.0,
        ),
        Reader(
            "torch files",
            [{"a.pt": _pt(arrays)}, {"a.pt": _pt(arrays, False)}, {"a.pt": _pt(nested)}],
            torch_file,
            pickled,
            2.0,
        ),
        Reader(
            "torch tensor",
            [{"a.pt": _pt(tensor, protocol=2)}, {"a.pt": _pt(tensor, False, 2)}],
            lambda folder, _: read_torch_tensor(folder / "a.pt"),
            pickled,
        ),
        Reader(
            "torch tensors",
            [{"a.pt": _pt(superpixels[:1], protocol=2)}],
            lambda folder, _: read_torch_tensors(folder / "a.pt"),
            pickled,
        ),
        Reader(
            "tensor pickles",
            [{"a.pickle": pickle.dumps(superpixels)}],
            lambda folder, _: read_tensor_pickle(folder / "a.pickle"),
            pickled,
        ),
        Reader(
            "LRGB",
            lrgb,
            lambda folder, _: read_lrgb(_paths(folder), target="classes", level="node", coco=True),
            pickled,
        ),
        Reader(
            "GNN benchmark",
            [{"a.pt": _pt(benchmark, protocol=2)}],
            lambda folder, _: read_gnn_benchmark(folder / "a.pt", level="node"),
            pickled,
        ),
    ]


def _node_readers(room: Path) -> list[Reader]:
    from graphkit.datasets.geom_gcn import read_geom_gcn, read_geom_gcn_splits
    from graphkit.datasets.labelled_networks import read_airports, read_facebook100, read_wikics
    from graphkit.datasets.malnet import read_malnet
    from graphkit.datasets.matlab_networks import read_matlab_network
    from graphkit.datasets.npz_graphs import read_attributed_npz, read_edge_list_npz, read_telegram
    from graphkit.datasets.tu_dataset import read_tu_dataset

    n = 6
    masks = np.arange(2 * n).reshape(2, n) % 3
    edge_list = _npz(
        node_features=np.ones((n, 3), np.float32), node_labels=np.arange(n) % 2, edges=np.array([[0, 1], [2, 5]]), train_masks=masks == 0,
        val_masks=masks == 1, test_masks=masks == 2,
    )  # fmt: skip
    sparse = scipy.sparse.csr_matrix(np.eye(n, k=1))
    attributed = _npz(
        adj_data=sparse.data, adj_indptr=sparse.indptr, adj_indices=sparse.indices, adj_shape=sparse.shape, attr_data=sparse.data,
        attr_indptr=sparse.indptr, attr_indices=sparse.indices, attr_shape=sparse.shape, labels=np.arange(n), class_names=np.array(["a", "b"]),
    )  # fmt: skip
    adjacency, labels = io.BytesIO(), io.BytesIO()
    scipy.sparse.save_npz(adjacency, sparse)
    np.save(labels, np.arange(n))
    geom: Files = {
        "out1_graph_edges.txt": b"a\tb\n0\t1\n2\t5\n",
        "out1_node_feature_label.txt": b"n\tf\tl\n" + b"".join(b"%d\t1,0,2\t%d\n" % (i, i % 2) for i in range(n)),
        **{
            f"x_split_0.6_0.2_{i}.npz": _npz(train_mask=masks[0] == 0, val_mask=masks[0] == 1, test_mask=masks[0] == 2)
            for i in range(2)
        },
    }
    facebook, network, group = io.BytesIO(), io.BytesIO(), io.BytesIO()
    scipy.io.savemat(facebook, {"A": scipy.sparse.csc_matrix(sparse), "local_info": np.arange(7 * n).reshape(n, 7) % 3})
    scipy.io.savemat(
        network, {"net": scipy.sparse.csc_matrix(sparse), "group": scipy.sparse.csc_matrix(np.eye(n)[:, :2])}
    )
    scipy.io.savemat(group, {"net": scipy.sparse.csc_matrix(sparse), "group": np.eye(n)[:, :2]}, do_compression=True)
    wiki = {
        "features": [[0.5, 1.0]] * 3,
        "labels": [0, 1, 1],
        "links": [[1], [2, 0], []],
        "train_masks": [[True, False, False]] * 2,
        "val_masks": [[False, True, False]] * 2,
        "test_mask": [False, False, True],
        "stopping_masks": [],
    }
    tu = {
        "A": "1, 2\n2, 1\n3, 4\n4, 3\n",
        "graph_indicator": "1\n1\n2\n2\n",
        "graph_labels": "1\n-1\n",
        "node_labels": "0\n2\n1\n1\n",
        "edge_labels": "0\n0\n1\n1\n",
        "node_attributes": "0.5, 1\n1, 2\n1, 1\n0, 0\n",
        "edge_attributes": "1\n2\n3\n4\n",
    }
    graphs, splits = io.BytesIO(), io.BytesIO()
    names = [f"t{i % 2}/f/h{i}" for i in range(6)]
    with tarfile.open(fileobj=graphs, mode="w:gz", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            member = tarfile.TarInfo(f"malnet/{name}.edgelist")
            member.size = len(b"# x\n0 1\n1 2\n")
            archive.addfile(member, io.BytesIO(b"# x\n0 1\n1 2\n"))
    with zipfile.ZipFile(splits, "w") as archive:
        for i, split in enumerate(("train", "val", "test")):
            archive.writestr(f"s/type/{split}.txt", "\n".join(names[2 * i : 2 * i + 2]))

    def geom_gcn(folder: Path, _: int) -> Any:
        paths = _paths(folder)
        return read_geom_gcn_splits(paths, read_geom_gcn(paths).num_nodes)

    return [
        Reader("edge list npz", [{"a.npz": edge_list}], lambda folder, _: read_edge_list_npz(folder / "a.npz")),
        Reader("attributed npz", [{"a.npz": attributed}], lambda folder, _: read_attributed_npz(folder / "a.npz")),
        Reader(
            "Telegram",
            [{"a.npz": adjacency.getvalue(), "y.npy": labels.getvalue()}],
            lambda folder, _: read_telegram(folder / "a.npz", folder / "y.npy"),
        ),
        Reader("Geom-GCN", [geom], geom_gcn, _made(other=made_table)),
        Reader(
            "Geom-GCN columns",
            [geom],
            lambda folder, _: read_geom_gcn(_paths(folder), features="columns", channels=3),
            _made(other=made_table),
            0.3,
        ),
        Reader(
            "airports",
            [{"e.edgelist": b"10 20\n30 10\n", "labels-e.txt": b"node label\n10 0\n20 1\n30 1\n"}],
            lambda folder, _: read_airports(folder / "e.edgelist", folder / "labels-e.txt"),
            made_table,
        ),
        Reader("Facebook100", [{"a.mat": facebook.getvalue()}], lambda folder, _: read_facebook100(folder / "a.mat")),
        Reader(
            "MATLAB networks",
            [{"a.mat": network.getvalue()}, {"a.mat": group.getvalue()}],
            lambda folder, _: read_matlab_network(folder / "a.mat"),
        ),
        Reader(
            "WikiCS", [{"data.json": json.dumps(wiki).encode()}], lambda folder, _: read_wikics(folder / "data.json")
        ),
        Reader(
            "TUDataset",
            [{f"X_{kind}.txt": text.encode() for kind, text in tu.items()}],
            lambda folder, _: read_tu_dataset(_paths(folder)),
            made_table,
            1.5,
        ),
        Reader(
            "MalNet",
            [{"g.tar.gz": graphs.getvalue(), "s.zip": splits.getvalue()}],
            lambda folder, _: read_malnet(folder / "g.tar.gz", folder / "s.zip"),
        ),
    ]


def _ogb_readers(room: Path) -> list[Reader]:
    from graphkit.datasets.ogb import read_ogb_knowledge_graph
    from graphkit.datasets.ogb_graph import read_ogb_graph
    from graphkit.datasets.ogb_links import read_ogb_links
    from graphkit.datasets.ogb_nodes import read_ogb_nodes

    links, nodes, graphs = [], [], []
    for name in ("ogbl-ddi", "ogbl-collab", "ogbl-citation2"):
        ogb_graph_samples.write_links(room / "links", name, "time")
        links.append(_files(room / "links" / name.replace("-", "_")))
    for name in ("ogbn-arxiv", "ogbn-proteins", "ogbn-mag"):
        ogb_graph_samples.write_nodes(room / "nodes", name, "time")
        nodes.append(_files(room / "nodes" / name.replace("-", "_")))
    ogb_samples.write_biokg(room / "kg", zipped=True)
    ogb_samples.write_wikikg2(room / "kg")
    knowledge = [_files(room / "kg" / name) for name in ("ogbl_biokg", "ogbl_wikikg2")]
    graph, _, _ = ogb_graph_samples.node_content("ogbn-arxiv")
    edges = graph["edge_index"]
    typed, _, _ = ogb_graph_samples.node_content("ogbn-mag")
    joined = {"___".join(triple): one for triple, one in typed["edge_index_dict"].items()}
    graphs.append(
        {
            "raw/data.npz": _npz(
                edge_index=edges,
                num_nodes_list=np.array([graph["num_nodes"]]),
                num_edges_list=np.array([edges.shape[1]]),
                node_feat=graph["node_feat"],
            )
        }
    )
    graphs.append(
        {
            "raw/edge_index_dict.npz": _npz(**joined),
            "raw/num_nodes_dict.npz": _npz(
                **{kind: np.array([count]) for kind, count in typed["num_nodes_dict"].items()}
            ),
            "raw/num_edges_dict.npz": _npz(**{key: np.array([one.shape[1]]) for key, one in joined.items()}),
            "raw/node_feat_dict.npz": _npz(**typed["node_feat_dict"]),
        }
    )
    graphs.append(
        {"processed/data_processed": _pt({"graph": graph, "labels": np.zeros((graph["num_nodes"], 1), np.int64)})}
    )
    graphs.append({"processed/data_processed": _pt(typed)})
    return [
        Reader(
            "OGB links",
            links,
            lambda folder, _: read_ogb_links("x", _paths(folder)),
            _made(gz=made_table, other=made_table),
            2.0,
        ),
        Reader(
            "OGB nodes",
            nodes,
            lambda folder, _: read_ogb_nodes("x", _paths(folder)),
            _made(gz=made_table, other=made_table),
            2.0,
        ),
        Reader("OGB graphs", graphs, lambda folder, _: read_ogb_graph(_paths(folder)), None, 1.5),
        Reader(
            "OGB knowledge graphs",
            knowledge,
            lambda folder, _: read_ogb_knowledge_graph("x", _paths(folder)),
            _made(gz=made_table, other=made_table),
            2.0,
        ),
    ]


def _city_readers(room: Path) -> list[Reader]:
    from graphkit.data import CityGraph
    from graphkit.datasets import build_city
    from graphkit.datasets.city_archive import read_city_network
    from graphkit.datasets.city_sources import read_streets

    streets = nx.MultiDiGraph(name="town", crs="epsg:4326")
    for i in range(8):
        streets.add_node(i, x=2.0 + i / 100, y=48.0 + i * i / 1000, street_count=2, landuse="park" if i % 2 else "")
    for i in range(8):
        for u, v in ((i, (i + 1) % 8), ((i + 1) % 8, i)):
            streets.add_edge(
                u,
                v,
                osmid=i,
                length=30.5 + i,
                oneway=False,
                reversed=u > v,
                highway="residential",
                lanes="2",
                maxspeed="30 mph",
            )
    as_text = nx.MultiDiGraph(**{key: str(value) for key, value in streets.graph.items()})
    as_text.add_nodes_from(
        (node, {key: str(value) for key, value in data.items()}) for node, data in streets.nodes(data=True)
    )
    as_text.add_edges_from(
        (u, v, {key: str(value) for key, value in data.items()}) for u, v, data in streets.edges(data=True)
    )
    graphml = "\n".join(nx.generate_graphml(as_text)).encode()
    places = "".join(f'<node id="{i}" lon="{2 + i / 100}" lat="{48 + i * i / 1000}"/>\n' for i in range(8))
    ways = "".join(
        f'<way id="{i}">'
        + "".join(f'<nd ref="{ref}"/>' for ref in refs)
        + f'<tag k="highway" v="primary"/><tag k="oneway" v="{way}"/></way>\n'
        for i, (refs, way) in enumerate((((0, 1, 2, 3), "no"), ((3, 4, 5, 6, 7, 3), "yes"), ((2, 6, 99), "-1")))
    )
    osm = f'<?xml version="1.0"?>\n<osm version="0.6">\n{places}{ways}<way id="9"><nd ref="1"/><tag k="landuse" v="park"/></way></osm>'.encode()
    point = b"\x00\x01" + struct.pack("<i4d", 4326, *[0.0] * 4) + b"\x7c" + struct.pack("<i2d", 1, 2.0, 48.0) + b"\xfe"
    project = sqlite3.connect(":memory:")
    with contextlib.closing(project):
        project.execute("CREATE TABLE nodes (node_id INTEGER, geometry BLOB)")
        project.execute(
            "CREATE TABLE links (a_node INTEGER, b_node INTEGER, distance REAL, direction INTEGER, link_type TEXT, lanes_ab INTEGER, lanes_ba INTEGER, speed_ab REAL, speed_ba REAL)"
        )
        project.executemany(
            "INSERT INTO nodes VALUES (?, ?)",
            [(i, point[:43] + struct.pack("<2d", 2 + i / 100, 48 + i * i / 1000) + b"\xfe") for i in range(1, 5)],
        )
        project.executemany(
            "INSERT INTO links VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(i, i % 4 + 1, 10.5, i % 3 - 1, "street", 1, 2, 30.0, None) for i in range(1, 5)],
        )
        project.commit()
        sqlite = project.serialize()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("p/project_database.sqlite", sqlite)
    net = (
        b"<NUMBER OF NODES> 4\n<FIRST THRU NODE> 1\n<END OF METADATA>\n~\tinit_node\tterm_node\tcapacity\tlength\tspeed\tlink_type\t;\n"
        + b"".join(b"\t%d\t%d\t100.0\t5.5\t30\t1\t;\n" % (u, v) for u, v in ((1, 2), (2, 1), (2, 3), (3, 4), (4, 1)))
    )
    nodes = b"node\tX\tY\t;\n" + b"".join(b"%d\t%d.5\t%d\t;\n" % (i, i, i * i) for i in range(1, 5))
    geojson = json.dumps(
        {"features": [{"properties": {"id": i}, "geometry": {"coordinates": [i / 2, i * i]}} for i in range(1, 5)]}
    ).encode()
    minnesota = io.BytesIO()
    scipy.io.savemat(
        minnesota, {"A": scipy.sparse.csc_matrix(np.eye(5, k=1) + np.eye(5, k=-1)), "xy": np.arange(10.0).reshape(5, 2)}
    )
    edges = b"source,target,length,oneway,lanes,speed\n" + b"".join(
        b"a%d,a%d,%d.5,no,2,30\n" % (i, i + 1, i + 3) for i in range(5)
    )
    junctions = b"id,x,y,street_count\n" + b"".join(b"a%d,%d,%d,2\n" % (i, i, i * i) for i in range(6))
    sources: dict[str, list[tuple[str, Files]]] = {
        "GraphML of osmnx": [("a.graphml", {"a.graphml": graphml})],
        "OSM XML": [("a.osm", {"a.osm": osm}), ("a.osm.gz", {"a.osm.gz": gzip.compress(osm, 1)})],
        "AequilibraE": [("a.sqlite", {"a.sqlite": sqlite}), ("a.zip", {"a.zip": zipped.getvalue()})],
        "TNTP": [
            ("a_net.tntp", {"a_net.tntp": net, "a_node.tntp": nodes}),
            ("a_net.tntp", {"a_net.tntp": net, "a_nodes.geojson": geojson}),
        ],
        "road_spatial": [
            (
                "a.cedge",
                {
                    "a.cedge": b"".join(b"%d %d %d 1.5\n" % (i, i, i + 1) for i in range(4)),
                    "a.cnode": b"".join(b"%d %d.5 %d\n" % (i, i, i * i) for i in range(5)),
                },
            )
        ],
        "Minnesota": [("a.mat", {"a.mat": minnesota.getvalue()})],
        "street tables": [("edges.csv", {"edges.csv": edges, "nodes.csv": junctions})],
    }

    def reads(names: list[str]) -> Callable[[Path, int], Any]:
        def read(folder: Path, which: int) -> Any:
            streets = read_streets(folder / names[which])
            if streets.digest()[0] in "07e":  # what is read must also be fit for use, or be refused
                return build_city(streets, k=2, n_classes=2, split=(0.3, 0.3, 0.4))
            return streets.largest_part()

        return read

    make = _made(
        graphml=made_xml, osm=made_xml, gz=made_xml, other=made_table, sqlite=lambda rng, _: rng.randbytes(100)
    )
    found = [
        Reader(
            name,
            [files for _, files in variants],
            reads([first for first, _ in variants]),
            None if name in ("AequilibraE", "Minnesota") else make,
            1.3,
        )
        for name, variants in sources.items()
    ]
    city = build_city("synthetic:grid:60:1", k=2, n_classes=2)
    city.save(room / "city.npz")
    published = build_city("synthetic:grid:60:1", n_classes=10)
    published.write_reference(room / "town")
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted((room / "town").iterdir()):
            member = tarfile.TarInfo(f"town/{path.name}")
            member.size = path.stat().st_size
            archive.addfile(member, io.BytesIO(path.read_bytes()))
    found.append(
        Reader(
            "City-Networks",
            [{"town.tar.gz": held.getvalue()}],
            lambda folder, _: read_city_network(folder / "town.tar.gz", name="town"),
        )
    )
    found.append(
        Reader(
            "City-Networks folder",
            [{f"town/{name}": data for name, data in _files(room / "town").items()}],
            lambda folder, _: read_city_network(folder / "town", name="town"),
            lambda rng, _: hostile_pickle(rng),
            0.6,
        )
    )
    found.append(
        Reader(
            "city npz",
            [{"city.npz": (room / "city.npz").read_bytes()}],
            lambda folder, _: CityGraph.load(folder / "city.npz"),
        )
    )
    return found


def _archive_readers(room: Path) -> list[Reader]:
    """Fetching, but for the connection: the archive lies where the server's answer would."""
    from graphkit.datasets import archive as unpacking
    from graphkit.datasets.card import Card, CardFile
    from graphkit.datasets.locate import cache_folder
    from graphkit.datasets.pins import pin_path, pinned

    members = {"raw/edge.csv": b"0,1\n" * 20, "split/train.pt": b"x" * 300, "RELEASE_v1.txt": b"1"}
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"toy/{name}", content)
        archive.writestr("../outside", b"x")
    files = [CardFile(name, None, None, None) for name in members]
    card = Card(
        "toy",
        "toy",
        "link",
        "ogb_links",
        files,
        ["toy"],
        "",
        "",
        "",
        {},
        archive={"url": "https://example.org/toy.zip", "folder": "toy"},
    )

    def unpack(folder: Path, _: int) -> None:
        shutil.rmtree(cache_folder(), ignore_errors=True)
        before = unpacking.retrieve
        copy = folder / "fetched.zip"
        if (folder / "toy.zip").exists():
            copy.write_bytes((folder / "toy.zip").read_bytes())
        unpacking.retrieve = lambda *_, **__: copy
        offline = os.environ.pop("GRAPHKIT_OFFLINE", None)
        try:
            unpacking.unpack_archive(card)
        finally:
            unpacking.retrieve = before
            os.environ["GRAPHKIT_OFFLINE"] = offline or "0"

    def read_pin(folder: Path, _: int) -> Any:
        place = pin_path(card, files[0])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if (folder / "pin.json").exists():
            shutil.copyfile(folder / "pin.json", place)
        return pinned(card, files[0])

    record = json.dumps({"data set": "toy", "file": "a", "bytes": 3, "sha256": "0" * 64, "address": None}).encode()
    return [
        Reader("archives", [{"toy.zip": held.getvalue()}], unpack, None),
        Reader("records of first use", [{"pin.json": record}], read_pin, None, 0.3),
    ]


def _own_readers(room: Path) -> list[Reader]:
    """Files that graphkit itself wrote: caches, checkpoints, run directories, orbit blocks."""
    import graphkit as gk
    from graphkit.data import KnowledgeGraphTask
    from graphkit.data.orbit_files import read_orbit_adjacency, save_orbit_adjacency
    from graphkit.datasets.processed import read_processed, write_processed
    from graphkit.engine.checkpoint import read_metadata, read_tensors
    from graphkit.engine.config import load_config
    from graphkit.engine.orbit_blocks import write_orbit_blocks
    from graphkit.engine.pretrained_files import load_pretrained, save_pretrained
    from graphkit.engine.report import render
    from graphkit.engine.run import evaluate_run, run_experiment
    from graphkit.models import GMoPE
    from graphkit.ops import SimpleGraph, orbit_adjacency

    rows = [(f"e{i}", f"r{i % 2}", f"e{(i + 1) % 8}") for i in range(16)]
    write_processed(room / "processed.npz", KnowledgeGraphTask.from_names("toy", rows[:10], rows[10:13], rows[13:]))
    ring = SimpleGraph(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]), num_nodes=4)
    write_orbit_blocks(ring, room / "blocks", keys=[(2, 8, 8), (1, 8, 8)], memory=600)
    out = io.BytesIO()
    save_orbit_adjacency(out, orbit_adjacency(ring, num_nodes=4, keys=[(2, 8, 8)]), list("abcd"), ring)
    torch.manual_seed(0)
    save_pretrained(GMoPE(4, 8, num_experts=2), room / "pretrained.safetensors")
    triples = room / "triples.tsv"
    triples.write_text("".join("\t".join(row) + "\n" for row in rows))
    (room / "own.yaml").write_text(
        f"name: own\ndata: {{file: {triples}, valid: 0.2, test: 0.2}}\nmodel: {{name: DistMult, hidden_channels: 4}}\n"
        "train: {epochs: 2, lr: 0.1, checkpoint_every: 0}\nseeds: [0]\n"
    )
    run_experiment(load_config(room / "own.yaml"), room / "run")
    run = {
        name: data
        for name, data in _files(room / "run").items()
        if not name.startswith(".") and not name.endswith(".html")
    }
    tensors = {name: data for name, data in run.items() if name.endswith(".safetensors")}

    def safetensors_of(folder: Path, which: int) -> Any:
        path = next(folder.rglob("*.safetensors"), folder / "none.safetensors")
        return read_metadata(path), read_tensors(path)

    def report(folder: Path, which: int) -> Any:
        return [render([folder], format) for format in ("md", "csv", "json")]

    def resumed(folder: Path, which: int) -> Any:
        return list(evaluate_run(folder))

    assert gk is not None
    return [
        Reader(
            "processed forms",
            [{"a.npz": (room / "processed.npz").read_bytes()}],
            lambda folder, _: read_processed(folder / "a.npz", "toy"),
        ),
        Reader(
            "orbit adjacencies", [{"a.npz": out.getvalue()}], lambda folder, _: read_orbit_adjacency(folder / "a.npz")
        ),
        Reader("orbit blocks", [_files(room / "blocks")], lambda folder, _: read_orbit_adjacency(folder)),
        Reader("checkpoints", [{name: data} for name, data in tensors.items()], safetensors_of, None, 1.5),
        Reader(
            "pre-trained mixtures",
            [{"a.safetensors": (room / "pretrained.safetensors").read_bytes()}],
            lambda folder, _: load_pretrained(folder / "a.safetensors"),
            None,
            0.5,
        ),
        Reader("reports of run directories", [run], report, made_yaml, 0.4),
        Reader("evaluation of run directories", [run], resumed, made_yaml, 0.1),
    ]


def readers(room: Path) -> list[Reader]:
    """All of them; what they need is made below a folder."""
    families = (
        _yaml_readers,
        _table_readers,
        _pickle_readers,
        _node_readers,
        _ogb_readers,
        _city_readers,
        _archive_readers,
        _own_readers,
    )
    found = []
    for family in families:
        below = room / family.__name__
        below.mkdir(parents=True)
        found += family(below)
    return found
