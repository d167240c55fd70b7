"""Writes the cards of Cora and CiteSeer as rows of citations, from the original files.

    python datasets/build/citation_cards.py ROOT

ROOT holds cora/cora.cites and citeseer/citeseer.cites. Sizes, hashes and counts are those of the files found.
Everything else of a card stands below.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import yaml

RAW = "https://raw.githubusercontent.com"
CITATION = (
    "Sen, Namata, Bilgic, Getoor, Gallagher and Eliassi-Rad: Collective Classification in Network Data, AI Magazine 2008"
)
PLACES = {
    "cora": ("tkipf/pygcn", "1600b5b748b3976413d1e307540ccc62605b4d6d", "data/cora/cora.cites"),
    "citeseer": ("bwilder0/clusternet", "b6acabbf054f2da73f80a543892c30a5f006b7b6", "data/citeseer/citeseer_old.cites"),
}
DEFECTS = {
    "cora": [
        "151 pairs of documents cite each other and have two rows, so of a split of the rows some links are in train and in "
        "test: 24 of the 544 test rows of NBFNet's split.",
    ],
    "citeseer": [
        "124 rows are documents that cite themselves; they are no links here. 56 pairs of documents cite each other and have two "
        "rows.",
        "15 of the documents are known by their citations alone.",
        "The order of the rows could be compared with no second copy of the file.",
    ],
}


def card(name: str, root: Path) -> dict[str, object]:
    path = root / name / f"{name}.cites"
    content = path.read_bytes()
    rows = [line.split() for line in content.decode().splitlines()]
    edges = {frozenset(row) for row in rows if row[0] != row[1]}
    repository, commit, place = PLACES[name]
    return {
        "name": f"{name}/citations",
        "aliases": [],
        "title": f"{'Cora' if name == 'cora' else 'CiteSeer'}: the rows of the published file of citations, in their order",
        "task": "graph",
        "reader": "citation_rows",
        "options": {},
        "folders": [f"linqs/{name}", name],
        "files": [
            {
                "path": path.name,
                "url": f"{RAW}/{repository}/{commit}/{place}",
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
        "licence": "not stated",
        "citation": CITATION,
        "source": f"the file of the LINQS group, as kept by {repository}, commit {commit[:7]}, {place}",
        "statistics": {"nodes": len({name for row in rows for name in row}), "edges": len(edges), "arcs": len(rows)},
        "directed": True,
        "direction": "the cited document stands first in its row",
        "defects": DEFECTS[name],
    }


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(
            "usage: python datasets/build/citation_cards.py ROOT   (ROOT holds cora/cora.cites, citeseer/citeseer.cites)"
        )
    cards = Path(__file__).resolve().parent.parent / "cards"
    for name in PLACES:
        text = yaml.safe_dump(card(name, Path(sys.argv[1])), sort_keys=False, allow_unicode=True, width=120)
        (cards / f"{name}-citations.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
