"""Writes the cards of the networks in the MATLAB files of SEAL.

    python datasets/build/network_cards.py ROOT

ROOT holds seal/ with the files of the source repository. Sizes and hashes are those of the files found; a
file that is not there gets none, and is then pinned when a user first sees it. Everything else of a card stands below.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import yaml

REPOSITORY, COMMIT, PLACE = "muhanzhang/SEAL", "ca1f019a15fb0c21796042165b4e6bee73981dd3", "MATLAB/data"
ZHANG_CHEN = "Zhang and Chen: Link Prediction Based on Graph Neural Networks, NeurIPS 2018"
NODE2VEC = "Grover and Leskovec: node2vec: Scalable Feature Learning for Networks, KDD 2016"
NO_FEATURES = "There are no features of the nodes; models that need some learn an embedding or take degrees."
ONE_GRAPH = "Edges are counted undirected; the file holds both directions of each."
UNSEEN = (
    "No hash of the file is known to this card: the first one that is used is recorded, and kept to. The statistics are "
    "published ones."
)

SETS = {
    "usair": {
        "file": "USAir.mat",
        "title": "USAir: airlines between airports of the United States",
        "citation": f"Batagelj and Mrvar: Pajek datasets, 2006; {ZHANG_CHEN}",
        "statistics": {"nodes": 332, "edges": 2126},
    },
    "ns": {
        "file": "NS.mat",
        "title": "NS: co-authors of papers on network science",
        "aliases": ["netscience"],
        "citation": (
            "Newman: Finding community structure in networks using the "
            f"eigenvectors of matrices, Physical Review E 2006; {ZHANG_CHEN}"
        ),
        "statistics": {"nodes": 1589, "edges": 2742},
        "defects": ["128 authors have no co-author."],
    },
    "pb": {
        "file": "PB.mat",
        "title": "PB: hyperlinks between political blogs of the United States",
        "citation": f"Adamic and Glance: The political blogosphere and the 2004 U.S. election, LinkKDD 2005; {ZHANG_CHEN}",
        "statistics": {"nodes": 1222, "edges": 16714},
        "defects": ["Only the largest component is in the file, and who links to whom is lost."],
    },
    "yeast": {
        "file": "Yeast.mat",
        "title": "Yeast: interactions between proteins of yeast",
        "citation": (
            "von Mering et al.: Comparative assessment of large-scale data sets of "
            f"protein-protein interactions, Nature 2002; {ZHANG_CHEN}"
        ),
        "statistics": {"nodes": 2375, "edges": 11693},
    },
    "celegans": {
        "file": "Celegans.mat",
        "title": "C.ele: neurons of the worm Caenorhabditis elegans and their connections",
        "aliases": ["c.ele", "c-ele"],
        "citation": f"Watts and Strogatz: Collective dynamics of small-world networks, Nature 1998; {ZHANG_CHEN}",
        "statistics": {"nodes": 297, "edges": 2148},
        "defects": ["The direction and the strength of the connections are not in the file."],
    },
    "power": {
        "file": "Power.mat",
        "title": "Power: the electrical grid of the western United States",
        "citation": f"Watts and Strogatz: Collective dynamics of small-world networks, Nature 1998; {ZHANG_CHEN}",
        "statistics": {"nodes": 4941, "edges": 6594},
    },
    "router": {
        "file": "Router.mat",
        "title": "Router: routers of the Internet and the connections between them",
        "citation": f"Spring, Mahajan and Wetherall: Measuring ISP topologies with Rocketfuel, SIGCOMM 2002; {ZHANG_CHEN}",
        "statistics": {"nodes": 5022, "edges": 6258},
    },
    "ecoli": {
        "file": "Ecoli.mat",
        "title": "E.coli: pairs of metabolites that a reaction of Escherichia coli joins",
        "aliases": ["e.coli", "e-coli"],
        "citation": (
            "Zhang, Cui, Jiang and Chen: Beyond Link Prediction: Predicting "
            f"Hyperlinks in Adjacency Space, AAAI 2018; {ZHANG_CHEN}"
        ),
        "statistics": {"nodes": 1805, "edges": 14660},
    },
    "blogcatalog": {
        "file": "BlogCatalog.mat",
        "title": "BlogCatalog: friends among bloggers, with their interests",
        "citation": f"Tang and Liu: Relational Learning via Latent Social Dimensions, KDD 2009; {NODE2VEC}; {ZHANG_CHEN}",
        "statistics": {"nodes": 10312, "edges": 333983, "labels": 39},
    },
    "wikipedia": {
        "file": "Wikipedia.mat",
        "title": "Wikipedia: words that stand close together in Wikipedia, with their parts of speech",
        "citation": f"Mahoney: Large text compression benchmark, 2011; {NODE2VEC}; {ZHANG_CHEN}",
        "statistics": {"nodes": 4777, "edges": 92295, "labels": 40},
        "defects": [
            "222 words stand close to themselves; these self-loops are dropped, and published counts of edges include them "
            "or count both directions.",
            "How often two words stand together is not in the file.",
        ],
    },
    "ppi": {
        "file": "PPI_subgraph.mat",
        "title": "PPI: interactions between human proteins, with the hallmark gene sets they belong to",
        "citation": (
            "Breitkreutz et al.: The BioGRID Interaction Database, Nucleic Acids "
            f"Research 2008; {NODE2VEC}; {ZHANG_CHEN}"
        ),
        "statistics": {"nodes": 3890, "edges": 37845, "labels": 50},
        "defects": [
            "894 proteins interact with themselves; these self-loops are dropped, and some published counts of edges include "
            "them."
        ],
    },
}  # fmt: skip


def card(name: str, root: Path) -> dict[str, object]:
    known = SETS[name]
    file = str(known["file"])
    path = root / "seal" / file
    content = path.read_bytes() if path.is_file() else None
    entry = {
        "path": file,
        "url": f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/{PLACE}/{file}",
        "bytes": len(content) if content else None,
        "sha256": hashlib.sha256(content).hexdigest() if content else None,
    }
    defects = [*known.get("defects", []), ONE_GRAPH, NO_FEATURES]  # type: ignore[misc]
    return {
        "name": name,
        "aliases": [f"seal/{name}", *known.get("aliases", [])],  # type: ignore[misc]
        "title": known["title"],
        "task": "graph",
        "reader": "matlab_network",
        "options": {},
        "folders": ["seal"],
        "files": [entry],
        "licence": "MIT (the repository; nothing is said of the network)",
        "citation": known["citation"],
        "source": f"{REPOSITORY}, commit {COMMIT}, {PLACE}/{file}",
        "statistics": known["statistics"],
        "defects": defects if content else [*defects, UNSEEN],
    }


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python datasets/build/network_cards.py ROOT   (ROOT holds seal/)")
    cards = Path(__file__).resolve().parent.parent / "cards"
    for name in SETS:
        text = yaml.safe_dump(card(name, Path(sys.argv[1])), sort_keys=False, allow_unicode=True, width=120)
        (cards / f"{name.replace('/', '-')}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
