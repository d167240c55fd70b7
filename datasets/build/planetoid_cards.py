"""Writes the cards of the Planetoid data sets from the raw files.

    python datasets/build/planetoid_cards.py ROOT

ROOT holds Cora/raw, CiteSeer/raw and PubMed/raw with the files of the source repository, and beside each raw a folder
geom-gcn/raw with the splits of Geom-GCN. Sizes and hashes are those of
the files found; a file that is not there gets none, and is then pinned when a user first sees it. Everything else of a
card stands below.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import yaml

COMMIT = "af6abf468a772cc055bec88c52e4d6f51b7c37e3"
GEOM_GCN = (
    "https://raw.githubusercontent.com/graphdml-uiuc-jlu/geom-gcn/f1fc0d14b3b019c562737240d06ec83b07d16a8f/splits"
)
PARTS = ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index")
LICENCE = "MIT (the repository; nothing is said of the documents)"
CITATION = (
    "Sen, Namata, Bilgic, Getoor, Gallagher and Eliassi-Rad: Collective Classification in Network Data, AI Magazine 2008; "
    "Yang, Cohen and Salakhutdinov: Revisiting Semi-Supervised Learning with Graph Embeddings, ICML 2016"
)
DIRECTIONS = (
    "Citations are stored in both directions, so who cites whom is lost; other releases of the same network keep it."
)
RAW_WORDS = "Words are 0 and 1 as they are; many papers divide each row by its sum."
SETS = {
    "cora": {
        "folder": "Cora",
        "title": "Cora: citations among machine learning papers, with words and topics",
        "statistics": {"nodes": 2708, "edges": 5278, "features": 1433, "classes": 7},
        "defects": [
            "Edges are counted undirected, without repeats; with both directions counted they are 10,556. The raw "
            "adjacency has 10,858 entries, 302 of them repeats.",
            DIRECTIONS,
            RAW_WORDS,
        ],
        "splits": ["The splits of Geom-GCN hold 1,192, 796 and 497 documents, those of the largest component alone."],
    },
    "citeseer": {
        "folder": "CiteSeer",
        "title": "CiteSeer: citations among computer science papers, with words and topics",
        "statistics": {"nodes": 3327, "edges": 4552, "features": 3703, "classes": 6},
        "defects": [
            "15 documents have neither words nor a class nor a row in the files: their numbers are missing from "
            "test.index. 48 documents have no citation.",
            "Edges are counted undirected, without self-loops and repeats; with both directions counted they are 9,104. The "
            "raw adjacency has 9,464 entries: 248 are self-loops of 124 documents and 112 are repeats.",
            DIRECTIONS,
            RAW_WORDS,
        ],
        "splits": [
            "Of the splits of Geom-GCN, numbers 4 and 5 hold two thirds of the documents of the others; documents without a class, "
            "up to 11 a split, are taken out of them here (other loaders give them class 0)."
        ],
    },
    "pubmed": {
        "folder": "PubMed",
        "title": "PubMed: citations among papers on diabetes, with word weights and topics",
        "statistics": {"nodes": 19717, "edges": 44324, "features": 500, "classes": 3},
        "defects": [
            "The features are TF-IDF weights, not words.",
            "No hash of ind.pubmed.allx is known to this card: the first file that is used is recorded, and kept to.",
            DIRECTIONS,
        ],
        "splits": [],
    },
}


def entry(path: Path, address: str) -> dict[str, object]:
    content = path.read_bytes() if path.is_file() else None
    digest = hashlib.sha256(content).hexdigest() if content else None
    size = len(content) if content else None
    return {"path": path.name, "url": f"{address}/{path.name}", "bytes": size, "sha256": digest}


def card(name: str, root: Path) -> dict[str, object]:
    known = SETS[name]
    folder, data = root / str(known["folder"]), f"https://raw.githubusercontent.com/kimiyoung/planetoid/{COMMIT}/data"
    files = [entry(folder / "raw" / f"ind.{name}.{part}", data) for part in PARTS]
    splits = [f"{name}_split_0.6_0.2_{k}.npz" for k in range(10)]
    files += [{**entry(folder / "geom-gcn" / "raw" / file, GEOM_GCN), "split": "geom-gcn"} for file in splits]
    return {
        "name": name,
        "aliases": [f"planetoid/{name}"],
        "title": known["title"],
        "task": "graph",
        "reader": "planetoid",
        "options": {},
        "folders": [f"planetoid/{known['folder']}/raw", f"planetoid/{known['folder']}/geom-gcn/raw"],
        "files": files,
        "licence": LICENCE,
        "citation": CITATION,
        "source": f"kimiyoung/planetoid, commit {COMMIT}, data/ind.{name}.*; "
        "splits of Geom-GCN: graphdml-uiuc-jlu/geom-gcn, commit f1fc0d1",
        "statistics": known["statistics"],
        "directed": False,
        "direction": "citations in both directions, whichever paper cites",
        "splits": {"public": 1, "geom-gcn": 10},
        "defects": [*known["defects"], *known["splits"]],  # type: ignore[misc]
    }


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(
            "usage: python datasets/build/planetoid_cards.py ROOT   (ROOT holds Cora/raw, CiteSeer/raw, PubMed/raw)"
        )
    cards = Path(__file__).resolve().parent.parent / "cards"
    for name in SETS:
        text = yaml.safe_dump(card(name, Path(sys.argv[1])), sort_keys=False, allow_unicode=True, width=120)
        (cards / f"{name}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
