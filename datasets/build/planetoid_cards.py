"""Writes the cards of the Planetoid data sets from the raw files.

    python datasets/build/planetoid_cards.py ROOT

ROOT holds Cora/raw, CiteSeer/raw and PubMed/raw with the files of the source repository. Sizes and hashes are those of
the files found; a file that is not there gets none, and is then pinned when a user first sees it. Everything else of a
card stands below.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import yaml

COMMIT = "af6abf468a772cc055bec88c52e4d6f51b7c37e3"
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
    },
}


def card(name: str, root: Path) -> dict[str, object]:
    known = SETS[name]
    files = []
    for part in PARTS:
        file = f"ind.{name}.{part}"
        path = root / str(known["folder"]) / "raw" / file
        content = path.read_bytes() if path.is_file() else None
        files.append(
            {
                "path": file,
                "url": f"https://raw.githubusercontent.com/kimiyoung/planetoid/{COMMIT}/data/{file}",
                "bytes": len(content) if content else None,
                "sha256": hashlib.sha256(content).hexdigest() if content else None,
            }
        )
    return {
        "name": name,
        "aliases": [f"planetoid/{name}"],
        "title": known["title"],
        "task": "graph",
        "reader": "planetoid",
        "options": {},
        "folders": [f"planetoid/{known['folder']}/raw"],
        "files": files,
        "licence": LICENCE,
        "citation": CITATION,
        "source": f"kimiyoung/planetoid, commit {COMMIT}, data/ind.{name}.*",
        "statistics": known["statistics"],
        "defects": known["defects"],
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
