"""YAML and tables."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any

import networkx as nx
from random_texts import by_ending, made_table, made_xml, made_yaml
from reader import ROOT, Files, Reader, gzip_bytes

__all__ = ["table_readers", "yaml_readers"]


def yaml_readers(room: Path) -> list[Reader]:
    from graphkit.datasets import Card
    from graphkit.engine.config import load_config

    cards = [
        (ROOT / "datasets" / "cards" / f"{name}.yaml").read_bytes()
        for name in ("usair", "synthetic-path-parity", "ogbl-ddi")
    ]
    experiments = [path.read_bytes() for path in sorted((ROOT / "experiments" / "nbfnet").glob("*.yaml"))[:4]]
    experiments += [path.read_bytes() for path in sorted((ROOT / "experiments" / "graph_mamba").glob("*.yaml"))[:3]]
    own = b"name: own\ndata: {file: triples.tsv, valid: 0.2}\nmodel: {name: DistMult}\n"
    own += b"tune: {space: {train.lr: [0.1]}, trials: 2}\nseeds: 0-2\n"
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


def table_readers(room: Path) -> list[Reader]:
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
        {"t.tsv.gz": gzip_bytes(tsv)},
        {"t.graphml": graphml},
        {"t.parquet": out.getvalue()},
        {"t.graphml.gz": gzip.compress(graphml)},
    ]

    def table(folder: Path, which: int) -> Any:
        return EdgeTable.read(folder / next(iter(tables[which]))).knowledge_graph_task(seed=1)

    task = KnowledgeGraphTask.from_names("toy", rows[:18], rows[18:21], rows[21:])

    def queries_of(folder: Path, _: int) -> Any:
        return read_queries(file_bytes(folder / "q.tsv"), task)

    queries = b"e1\tr1\t?\n?\tr2\te3\n\ne4\tr0\t?\n"
    make = by_ending(graphml=made_xml, parquet=made_table, other=made_table)
    return [
        Reader("edge tables", tables[:4], table, make, 1.5),
        Reader(
            "GraphML as an edge table",
            [tables[4], tables[6]],
            lambda folder, which: table(folder, (4, 6)[which]),
            by_ending(gz=made_xml, other=made_xml),
        ),
        Reader("Parquet", [tables[5]], lambda folder, _: table(folder, 5), None, 0.3),
        Reader("triples", [{"a.txt": tsv.encode()}], lambda folder, _: read_triples(folder / "a.txt"), make),
        Reader("queries", [{"q.tsv": queries}], queries_of, make),
    ]
