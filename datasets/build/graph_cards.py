"""Writes the cards of collections of graphs.

    python datasets/build/graph_cards.py ROOT

ROOT holds the families' folders as the cards name them. Sizes and hashes are those of the files found; a file that is not
there gets none, and is then pinned when a user first sees it. Everything else of a card stands below.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import yaml

TU = (
    "https://raw.githubusercontent.com/XuelinHu/Matrix-ResGNN-GraphClassificatio/"
    "f76543d8bd82c7ebe1c16f59d9219d038c62ac8e/data/TUDataset"
)
MORRIS = (
    "Morris et al.: TUDataset: A collection of benchmark datasets for learning with graphs, GRL+ workshop at ICML 2020"
)
BORGWARDT = f"Borgwardt et al.: Protein function prediction via graph kernels, Bioinformatics 2005; {MORRIS}"
LRGB = "Dwivedi et al.: Long Range Graph Benchmark, NeurIPS Datasets and Benchmarks 2022"
BENCHMARK = "Dwivedi et al.: Benchmarking Graph Neural Networks, JMLR 2023"
NOT_AT_HAND = (
    "The files were not at hand: no hash is known here, that of the first use is recorded and kept to; sizes are "
    "published ones, and the reader was tried on files of the same form only."
)
SMALL = "Ten folds of {} graphs: the deviation over folds is larger than most differences between models."
TWINS = "Some graphs are others again under another numbering (see leak_check), as Ivanov et al. (2019) found in many of TUDataset."
BOTH = "Both directions of every edge are stored."


def tu_dataset() -> list[dict[str, Any]]:
    known = [
        (
            "MUTAG",
            "nitroaromatic compounds; the class says whether they change the genes of bacteria",
            ["edge_labels"],
            {"graphs": 188, "nodes": 3371, "edges": 3721, "features": 7, "edge_features": 4, "classes": 2},
            "Debnath et al.: Structure-activity relationship of mutagenic aromatic and heteroaromatic nitro compounds, Journal of "
            f"Medicinal Chemistry 1991; {MORRIS}",
            [],
        ),
        (
            "PROTEINS",
            "secondary structure elements of proteins; the class says whether they are enzymes",
            ["node_attributes"],
            {"graphs": 1113, "nodes": 43471, "edges": 81044, "features": 3, "classes": 2},
            BORGWARDT,
            [
                "One attribute of a node besides its label (features='attributes').",
                "The number of nodes alone tells the classes apart rather well; compare with a model without edges.",
            ],
        ),
        (
            "ENZYMES",
            "secondary structure elements of enzymes; the class is the kind of reaction",
            ["node_attributes"],
            {"graphs": 600, "nodes": 19580, "edges": 37282, "features": 3, "classes": 6},
            BORGWARDT,
            ["Eighteen attributes of a node besides its label (features='attributes')."],
        ),
    ]
    cards = []
    for name, title, more, statistics, citation, defects in known:
        kinds = ["A", "graph_indicator", "graph_labels", "node_labels", *more]
        cards.append(
            {
                "name": name.lower(),
                "aliases": [f"tudataset/{name.lower()}"],
                "title": f"{name}: {title}",
                "reader": "tu_dataset",
                "folders": [f"tudataset/{name}/raw"],
                "files": {f"{name}_{kind}.txt": f"{TU}/{name}/raw/{name}_{kind}.txt" for kind in kinds},
                "licence": "none stated at the source; the copy fetched here is in a repository under GPL-3.0",
                "citation": citation,
                "source": "TUDataset, www.chrsmrrs.com/graphkerneldatasets, as copied in XuelinHu/Matrix-ResGNN-GraphClassificatio",
                "statistics": statistics,
                "splits": {"10-fold": 10},
                "defects": [
                    "There is no official split; ten stratified folds are drawn here, and figures of different papers rest on "
                    "different draws and often select on the test part.",
                    SMALL.format(statistics["graphs"]),
                    TWINS,
                    BOTH,
                    *defects,
                ],
            }
        )
    return cards


def lrgb() -> list[dict[str, Any]]:
    known = [
        (
            "peptides-func",
            "Peptides-func: peptides as molecules; ten labels of what they do",
            "peptidesfunc",
            "pt",
            {"target": "labels", "level": "graph", "molecules": True},
            {"graphs": 15535, "features": 174, "edge_features": 13, "labels": 10},
            "ap",
            [
                "Features are OGB's nine columns of atoms and three of bonds; models get their categories as zeros and "
                "ones, which with a linear map is OGB's encoder."
            ],
        ),
        (
            "peptides-struct",
            "Peptides-struct: peptides as molecules; eleven values of their shape",
            "peptidesstruct",
            "pt",
            {"target": "values", "level": "graph", "molecules": True},
            {"graphs": 15535, "features": 174, "edge_features": 13, "values": 11},
            "mae",
            ["Values are standardized in the files.", "Features are those of peptides-func."],
        ),
        (
            "pascalvoc-sp",
            "PascalVOC-SP: superpixels of photographs; the class of a node is the thing in it",
            "voc_superpixels_edge_wt_region_boundary",
            "pickle",
            {"target": "classes", "level": "node"},
            {"graphs": 11355, "features": 14, "edge_features": 2, "classes": 21},
            "macro_f1",
            ["Features are not standardized, which Toenshoff et al. found to matter.", "Most nodes are background."],
        ),
        (
            "coco-sp",
            "COCO-SP: superpixels of photographs; the class of a node is the thing in it",
            "coco_superpixels_edge_wt_region_boundary",
            "pickle",
            {"target": "classes", "level": "node", "coco": True},
            {"graphs": 123286, "features": 14, "edge_features": 2, "classes": 81},
            "macro_f1",
            ["Classes are numbered with gaps in the files; they are closed.", "All graphs are held in memory at once."],
        ),
    ]
    addresses = {
        "peptides-func": "https://www.dropbox.com/s/ycsq37q8sxs1ou8/peptidesfunc.zip?dl=1",
        "peptides-struct": "https://www.dropbox.com/s/zgv4z8fcpmknhs8/peptidesstruct.zip?dl=1",
        "pascalvoc-sp": "https://www.dropbox.com/s/8x722ai272wqwl4/pascalvocsp.zip?dl=1",
        "coco-sp": "https://www.dropbox.com/s/r6ihg1f4pmyjjy0/cocosp.zip?dl=1",
    }
    cards = []
    for name, title, folder, suffix, options, statistics, metric, defects in known:
        cards.append(
            {
                "name": name,
                "aliases": [f"lrgb/{name}"],
                "title": title,
                "reader": "lrgb",
                "options": options,
                "folders": [f"lrgb/{name}/raw", f"{name}/raw"],
                "files": dict.fromkeys(f"{word}.{suffix}" for word in ("train", "val", "test")),
                "licence": "CC BY-NC 4.0 (peptides) as stated in its repository"
                if "pept" in name
                else "as of the photographs",
                "citation": LRGB,
                "source": "github.com/vijaydwivedi75/lrgb",
                "archive": {"url": addresses[name], "folder": folder},
                "statistics": statistics,
                "splits": {"official": 1},
                "metric": metric,
                "defects": [NOT_AT_HAND, *defects],
            }
        )
    return cards


def benchmark() -> list[dict[str, Any]]:
    known = [
        (
            "mnist-superpixels",
            "MNIST",
            "MNIST: superpixels of handwritten digits",
            "graph",
            {"graphs": 70000, "features": 3, "classes": 10},
            None,
            ["Intensity of a superpixel, then its two coordinates."],
        ),
        (
            "cifar10-superpixels",
            "CIFAR10",
            "CIFAR10: superpixels of small photographs",
            "graph",
            {"graphs": 60000, "features": 5, "classes": 10},
            None,
            ["Three colours of a superpixel, then its two coordinates."],
        ),
        (
            "pattern",
            "PATTERN",
            "PATTERN: blocks of random graphs, some of which are planted",
            "node",
            {"graphs": 14000, "features": 3, "classes": 2},
            "balanced_accuracy",
            ["Generated; both splits follow one law."],
        ),
    ]
    return [
        {
            "name": name,
            "aliases": [f"gnn-benchmark/{file.lower()}"],
            "title": title,
            "reader": "gnn_benchmark",
            "options": {"level": level},
            "folders": [f"gnn_benchmark/{file}/raw", f"{file}/raw"],
            "files": {f"{file}_v2.pt": None},
            "licence": "not checked: the files were not at hand; see the repository",
            "citation": BENCHMARK,
            "source": "github.com/graphdeeplearning/benchmarking-gnns, in the form that PyG publishes",
            "archive": {"url": f"https://data.pyg.org/datasets/benchmarking-gnns/{file}_v2.zip", "folder": "."},
            "statistics": statistics,
            "splits": {"official": 1},
            **({} if metric is None else {"metric": metric}),
            "defects": [NOT_AT_HAND, *defects],
        }
        for name, file, title, level, statistics, metric, defects in known
    ]


def malnet() -> list[dict[str, Any]]:
    return [
        {
            "name": "malnet-tiny",
            "title": "MalNet-Tiny: who calls whom in programs for telephones; the class is the type of malware",
            "reader": "malnet",
            "folders": ["malnet_tiny/raw", "MalNetTiny/raw"],
            "files": dict.fromkeys(("malnet-graphs-tiny.tar.gz", "split_info_tiny.zip")),
            "licence": "not checked: the files were not at hand; see the site",
            "citation": "Freitas et al.: A Large-Scale Database for Graph Representation Learning, NeurIPS Datasets and "
            "Benchmarks 2021",
            "source": "mal-net.org",
            "statistics": {"graphs": 5000, "features": 2, "classes": 5},
            "splits": {"official": 1},
            "defects": [
                NOT_AT_HAND,
                "The two archives have addresses without encryption only (malnet.cc.gatech.edu/graph-data/ and "
                "/split-info/), so they are not fetched: place them by hand, as they are.",
                "No features; ln(1 + degree), in and out, stand in. Papers often use local degree profiles.",
            ],
        }
    ]


def synthetic() -> list[dict[str, Any]]:
    shared = {
        "reader": "generated",
        "folders": ["synthetic"],
        "files": {},
        "licence": "generated here; none needed",
        "citation": "graphkit",
        "source": "graphkit/datasets/synthetic.py",
        "splits": {"official": 1},
    }
    drawn = "Generated from split_seed (0 by default); the sizes are those of seed 0."
    return [
        {
            **shared,
            "name": "synthetic/path-parity",
            "title": "is the number of marked nodes within six hops odd? Asked of every node of 1,000 paths",
            "options": {"generator": "path_parity", "one_in": 5},
            "statistics": {"graphs": 1000, "nodes": 24050, "edges": 23050, "features": 2, "classes": 2},
            "defects": [
                drawn,
                "Made to need what is far away: one node in five is marked, and from what is within two hops 53 % of the answers "
                "are known.",
            ],
        },
        {
            **shared,
            "name": "synthetic/chain-copy",
            "title": "which of four symbols stands at the far end? Asked of one end of 4,000 chains",
            "options": {"generator": "chain_copy", "graphs": 4000},
            "statistics": {"graphs": 4000, "nodes": 96359, "edges": 92359, "features": 6, "classes": 4},
            "defects": [drawn, "One node of each chain is asked, so 4,000 answers in all; chance is one in four."],
        },
    ]


def card(known: dict[str, Any], root: Path) -> dict[str, Any]:
    files = []
    for path, url in known["files"].items():
        found = next((root / folder / path for folder in known["folders"] if (root / folder / path).is_file()), None)
        content = found.read_bytes() if found else None
        digest = hashlib.sha256(content).hexdigest() if content else None
        files.append({"path": path, "url": url, "bytes": len(content) if content else None, "sha256": digest})
    whole = {"aliases": [], "task": "graphs", "options": {}, **known, "files": files}
    order = (
        "name",
        "aliases",
        "title",
        "task",
        "reader",
        "options",
        "folders",
        "files",
        "archive",
        "licence",
        "citation",
        "source",
        "statistics",
        "splits",
        "metric",
        "defects",
    )
    return {key: whole[key] for key in order if key in whole}


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python datasets/build/graph_cards.py ROOT   (ROOT holds tudataset and its siblings)")
    folder = Path(__file__).resolve().parent.parent / "cards"
    for known in (*tu_dataset(), *lrgb(), *benchmark(), *malnet(), *synthetic()):
        text = yaml.safe_dump(card(known, Path(sys.argv[1])), sort_keys=False, allow_unicode=True, width=120)
        (folder / f"{known['name'].replace('/', '-')}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
