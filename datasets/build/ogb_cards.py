"""Writes the cards of the Open Graph Benchmark's graphs.

    python datasets/build/ogb_cards.py ROOT

ROOT holds ogbl_ddi and its siblings as OGB unpacks them. Sizes and hashes are those of the files found; a file that is not
there gets none, and is then pinned when a user first sees it. Everything else of a card stands below; sizes of sets that
are not there are the published ones.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import yaml

CITATION = "Hu et al.: Open Graph Benchmark: Datasets for Machine Learning on Graphs, NeurIPS 2020"
ADDRESS = "https://snap.stanford.edu/ogb/data"
UNSEEN = (
    "No hash of the files is known here; those of the first use are recorded and kept to. The statistics are published ones, "
    "the files were not at hand."
)
PROCESSED = "processed/data_processed"
GRAPH = ["raw/data.npz", PROCESSED]
TYPED = ["raw/edge_index_dict.npz", PROCESSED]
SIZES = {"raw/num-node-list.csv.gz": GRAPH, "raw/num-edge-list.csv.gz": GRAPH}
MAG = (
    "author___affiliated_with___institution",
    "author___writes___paper",
    "paper___cites___paper",
    "paper___has_topic___field_of_study",
)
SPLITS = ("train", "valid", "test")


def link_files(split: str, *, features: bool) -> dict[str, list[str]]:
    """By path, what may stand in its place."""
    graph = {**SIZES, **({"raw/node-feat.csv.gz": GRAPH} if features else {})}
    return {**{f"split/{split}/{part}.pt": [f"split/{split}/split_dict.pt"] for part in SPLITS}, **graph}


def node_files(split: str, *others: str) -> dict[str, list[str]]:
    graph = dict.fromkeys(("raw/edge.csv.gz", *SIZES, *others), GRAPH)
    labels = {"raw/node-label.csv.gz": ["raw/node-label.npz", PROCESSED]}
    return {**graph, **labels, **{f"split/{split}/{p}.csv.gz": [f"split/{split}/split_dict.pt"] for p in SPLITS}}


def mag_files() -> dict[str, list[str]]:
    edges = [f"raw/relations/{triple}/{file}.csv.gz" for triple in MAG for file in ("edge", "num-edge-list")]
    nodes = ["raw/node-feat/paper/node-feat.csv.gz", "raw/node-feat/paper/node_year.csv.gz"]
    graph = dict.fromkeys(["raw/num-node-dict.csv.gz", "raw/triplet-type-list.csv.gz", *edges, *nodes], TYPED)
    labels = {"raw/node-label/paper/node-label.csv.gz": ["raw/node-label.npz", PROCESSED]}
    return {**graph, **labels, **{f"split/time/paper/{p}.csv.gz": ["split/time/split_dict.pt"] for p in SPLITS}}


def link_sizes(nodes: int, features: int, train: int, valid: int, test: int) -> dict[str, int]:
    return {
        "nodes": nodes, "edges": train + valid + test, "features": features, "train": train, "valid": valid, "test": test,
    }  # fmt: skip


def node_sizes(
    nodes: int, edges: int, features: int, classes: int, train: int, valid: int, test: int
) -> dict[str, int]:
    return {
        "nodes": nodes, "edges": edges, "features": features, "classes": classes,
        "train": train, "valid": valid, "test": test,
    }  # fmt: skip


SETS: dict[str, dict[str, Any]] = {
    "ogbl-ddi": {
        "title": "ogbl-ddi: drugs and which of them interact, split by the protein that they target",
        "archive": "ddi",
        "options": {"metric": "hits@20", "both_directions": True, "negatives_avoid": "split"},
        "files": {**link_files("target", features=False), "mapping/nodeidx2drugid.csv.gz": []},
        "licence": "CC0",
        "statistics": link_sizes(4267, 0, 1067911, 133489, 133489),
        "defects": [
            "Nodes have no features. 15 % of all pairs are edges, so random pairs are often edges: train with strict "
            "negatives.",
            "The given negatives of valid and test are edges of no split.",
        ],
    },
    "ogbl-collab": {
        "title": "ogbl-collab: authors and their joint papers, split by year",
        "archive": "collab",
        "options": {"metric": "hits@50", "both_directions": True, "repeats": True, "valedges_allowed": True},
        "files": link_files("time", features=True),
        "licence": "ODC-BY",
        "statistics": link_sizes(235868, 128, 1179052, 60084, 46329),
        "defects": [
            "An edge repeats, one for each year, and test repeats edges of earlier splits: the task is who collaborates in a "
            "given year.",
            "OGB allows validation edges for training and as input here and nowhere else, once hyper-parameters are fixed; "
            "use_valedges=True takes them as input for test, and results record it.",
            UNSEEN,
        ],
    },
    "ogbl-ppa": {
        "title": "ogbl-ppa: proteins and their associations, split by how they were found",
        "archive": "ppassoc",
        "options": {"metric": "hits@100", "both_directions": True},
        "files": link_files("throughput", features=True),
        "licence": "CC0",
        "statistics": link_sizes(576289, 58, 21231931, 6062562, 3031780),
        "defects": ["The features are the species of a protein, one of 58, as zeros and a one.", UNSEEN],
    },
    "ogbl-citation2": {
        "title": "ogbl-citation2: papers and whom they cite, split by year",
        "archive": "citation-v2",
        "options": {"metric": "mrr", "directed": True, "repeats": True},
        "files": link_files("time", features=True),
        "licence": "ODC-BY",
        "statistics": link_sizes(2927963, 128, 30387995, 86596, 86596),
        "defects": [
            "Citations have a direction, which the edges keep; messages flow both ways.",
            "Each edge of valid and test has 1,000 negatives of its own, with its source kept: 1.4 GB a split.",
            UNSEEN,
        ],
    },
    "ogbn-arxiv": {
        "title": "ogbn-arxiv: computer science papers and whom they cite, with subject areas",
        "archive": "arxiv",
        "options": {"metric": "accuracy"},
        "files": node_files("time", "raw/node-feat.csv.gz", "raw/node_year.csv.gz"),
        "licence": "ODC-BY",
        "statistics": node_sizes(169343, 1166243, 128, 40, 90941, 29799, 48603),
        "defects": [UNSEEN],
    },
    "ogbn-products": {
        "title": "ogbn-products: products bought together, with categories",
        "archive": "products",
        "options": {"metric": "accuracy", "both_directions": True},
        "files": node_files("sales_ranking", "raw/node-feat.csv.gz"),
        "licence": "Amazon's licence for its product data",
        "statistics": node_sizes(2449029, 61859140, 100, 47, 196615, 39323, 2213091),
        "defects": [UNSEEN],
    },
    "ogbn-proteins": {
        "title": "ogbn-proteins: proteins of eight species with 112 functions, and eight kinds of evidence that they associate",
        "archive": "proteins",
        "options": {"metric": "roc_auc", "both_directions": True},
        "files": {
            **node_files("species", "raw/edge-feat.csv.gz"),
            "raw/node_species.csv.gz": ["raw/species.csv.gz", *GRAPH],
        },
        "licence": "CC0",
        "statistics": node_sizes(132534, 39561252, 0, 112, 86619, 21236, 24679),
        "defects": ["Nodes have no features; edges have eight each. classes counts 112 tasks of yes or no.", UNSEEN],
    },
    "ogbn-mag": {
        "title": "ogbn-mag: papers, authors, institutions and fields of study, with the venues of papers",
        "archive": "mag",
        "release": 2,
        "options": {"metric": "accuracy"},
        "files": mag_files(),
        "licence": "ODC-BY",
        "statistics": node_sizes(1939743, 21111007, 128, 349, 629571, 64879, 41939),
        "defects": ["Papers alone have features and labels.", UNSEEN],
    },
}


def card(name: str, root: Path) -> dict[str, Any]:
    known = SETS[name]
    links = name.startswith("ogbl-")
    folder, release = name.replace("-", "_"), known.get("release", 1)
    files = []
    for path, instead in {f"RELEASE_v{release}.txt": [], **known["files"]}.items():
        place = root / folder / path
        content = place.read_bytes() if place.is_file() else None
        entry: dict[str, Any] = {
            "path": path,
            "url": None,
            "bytes": len(content) if content else None,
            "sha256": hashlib.sha256(content).hexdigest() if content else None,
        }
        files.append({**entry, "instead": list(instead)} if instead else entry)
    return {
        "name": name,
        "aliases": [folder],
        "title": known["title"],
        "task": "link" if links else "node",
        "reader": "ogb_links" if links else "ogb_nodes",
        "options": known["options"],
        "folders": [f"ogb/{folder}", folder],
        "archive": {
            "url": f"{ADDRESS}/{'linkproppred' if links else 'nodeproppred'}/{known['archive']}.zip",
            "folder": known["archive"],
        },
        "files": files,
        "licence": known["licence"],
        "citation": CITATION,
        "source": f"ogb.stanford.edu, {name}, version {release}",
        "statistics": known["statistics"],
        "defects": known["defects"],
    }


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python datasets/build/ogb_cards.py ROOT   (ROOT holds ogbl_ddi and its siblings)")
    cards = Path(__file__).resolve().parent.parent / "cards"
    for name in SETS:
        text = yaml.safe_dump(card(name, Path(sys.argv[1])), sort_keys=False, allow_unicode=True, width=120)
        (cards / f"{name}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
