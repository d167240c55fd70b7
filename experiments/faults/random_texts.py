"""Random texts of a format: tables, XML, YAML."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable

from mutations import EXTREMES

__all__ = ["by_ending", "made_table", "made_xml", "made_yaml"]


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
    "1", "2", "3", "a", "b", "d0", "d1", "x", "y", "length", "highway", "residential", "oneway", "yes", "-1",
    "directed", "undirected", "node", "edge", "int", "long", "double", "boolean", "string", "10.5", "nan", "1e999",
    "", "street_count", "maxspeed", "lanes", "landuse", "http://graphml.graphdrawing.org/xmlns", "9" * 30, "[1, 2]",
    "[", "true", "false", "id", "osmid", "weight",
]  # fmt: skip
_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE osm [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b']><osm><node id="1" lon="&j;" lat="1"/>&j;</osm>'
)
_OUTSIDE = (
    b'<?xml version="1.0"?><!DOCTYPE graphml [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b'<graphml><graph><node id="&x;"/>&x;</graph></graphml>'
)


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
    "1", "-1", "0", "1e3", "1.5", ".nan", ".inf", "null", "~", "true", "no", "x", "''", "[]", "{}", "[1, 2]",
    "{a: 1}", "[x, [y, {z: 1}]]", "umls", "cora", "NBFNet", "GCN", "2020-01-01", "2020-01-01 10:00:00",
    "!!binary aGk=", "!!set {a, b}", "!!python/name:os.system", "!!omap [a: 1]", "!!timestamp 2020-99-99", "0-9",
    "0-99999999999", "99999999999999999999", "all", "? [a, b]", "? {a: 1}", "&a x", "*a", "!!float x", "!!int x",
    "&a [*a]", "&a {b: *a}", "seed", "mrr", "{? [a] : b}", "!!str 1", "0x1F", "0o7", "1_000", "12:30:45", "=", "<<",
]  # fmt: skip
_BOMB = b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 9)
)
_KEYS = [
    "name", "reference", "protocol", "data", "loader", "model", "train", "seeds", "budget", "splits", "submission",
    "tune", "title", "task", "reader", "files", "folders", "licence", "citation", "source", "statistics", "aliases",
    "options", "archive", "path", "url", "bytes", "sha256", "also", "lr", "epochs", "file", "space", "select", "ties",
    "metrics", "paper", "hidden_channels", "num_layers", "1", "null", "<<", "x", "[a]", "{a: 1}", "split_seed",
    "fold", "variant", "root", "schedule", "optimizer", "weight_decay", "batch_size",
]  # fmt: skip


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


def by_ending(**kinds: Callable[[random.Random, str], bytes]) -> Callable[[random.Random, str], bytes]:
    def make(rng: random.Random, ending: str) -> bytes:
        return kinds.get(ending, kinds["other"])(rng, ending)

    return make
