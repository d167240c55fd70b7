"""Writes the cards of graphs with labelled nodes.

    python datasets/build/node_cards.py ROOT

ROOT holds the families' folders as the cards name them. Sizes and hashes are those of the files found; a file that is not
there gets none, and is then pinned when a user first sees it. Everything else of a card stands below.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import yaml

RAW = "https://raw.githubusercontent.com"
GEOM_GCN = f"{RAW}/graphdml-uiuc-jlu/geom-gcn/f1fc0d14b3b019c562737240d06ec83b07d16a8f"
HETEROPHILOUS = f"{RAW}/yandex-research/heterophilous-graphs/a431395582e929d88271309716bea4fe24ce6318/data"
GRAPH_DATA = f"{RAW}/EdisonLeeeee/GraphData"
LINKX = f"{RAW}/CUAI/Non-Homophily-Large-Scale/82f8f05c5c3ec16bd5b505cc7ad62ab5e09051e6/data/facebook100"
WIKI_CS = f"{RAW}/pmernyei/wiki-cs-dataset/f5207315d649377f936edb66d7d93f5342f01d81/dataset"
STRUC2VEC = f"{RAW}/leoribeiro/struc2vec/77b4cc63e79a37b1496f340c7772d932038417ec/graph"
TELEGRAM = (
    f"{RAW}/SherylHYX/pytorch_geometric_signed_directed/ecdf3fcf94b148ae9350c848e7774915495170d9/datasets/telegram"
)
DIGCN = f"{RAW}/flyingtango/DiGCN/0b87d1917493b32683f3f04c00fa9453eb884ec6/code/data/citeseer/raw"

PEI = "Pei et al.: Geom-GCN: Geometric Graph Convolutional Networks, ICLR 2020"
PLATONOV = (
    "Platonov et al.: A critical look at the evaluation of GNNs under heterophily: Are we really making "
    "progress?, ICLR 2023"
)
WEBKB = f"Craven et al.: Learning to Extract Symbolic Knowledge from the World Wide Web, AAAI 1998; {PEI}"
MUSAE = "Rozemberczki, Allen and Sarkar: Multi-Scale Attributed Node Embedding, Journal of Complex Networks 2021"
SHCHUR = "Shchur et al.: Pitfalls of Graph Neural Network Evaluation, 2018"
BOJCHEVSKI = "Bojchevski and Günnemann: Deep Gaussian Embedding of Graphs, ICLR 2018"
FACEBOOK = (
    "Traud, Mucha and Porter: Social structure of Facebook networks, Physica A 2012; Lim et al.: "
    "Large Scale Learning on "
    "Non-Homophilous Graphs: New Benchmarks and Strong Simple Methods, NeurIPS 2021"
)

UNSEEN = (
    "No hash of {} is known here; that of the first use is recorded and kept to. Sizes that rest on it "
    "are published ones."
)
ONCE = (
    "The file is an undirected list that stores every edge once, from the smaller to the larger id, "
    "without opposites: read "
    "as directed it encodes how the nodes were numbered."
)
RAW_WORDS = "Words are 0 and 1 as they are; many papers divide each row by its sum (features='rows')."
SIX = "The file names say 0.6 and 0.2; the masks hold 48, 32 and 20 % of the nodes."
NO_SPLIT = "There is no official split; it is drawn here, and figures of different papers rest on different draws."
TWINS = (
    "Platonov et al. found that many nodes repeat others on both sides of the split, which flatters figures; the variants "
    "filtered and filtered_directed leave them out."
)
LINKS = "hyperlinks from page to page, kept as they were found"
PER_CLASS = {"20-per-class/500/rest": 10, "20-per-class/500/rest/numpy": 10}


def geom_gcn(name: str, folder: str, raw: str, splits: str, **rest: Any) -> dict[str, Any]:
    files = {f: f"{GEOM_GCN}/new_data/{raw}/{f}" for f in ("out1_graph_edges.txt", "out1_node_feature_label.txt")}
    files |= {f"{splits}_split_0.6_0.2_{k}.npz": f"{GEOM_GCN}/splits/{splits}_split_0.6_0.2_{k}.npz" for k in range(10)}
    return {
        "name": name,
        "reader": "geom_gcn",
        "folders": [folder],
        "files": files,
        "licence": "none stated",
        "splits": {"geom-gcn": 10},
        "source": f"graphdml-uiuc-jlu/geom-gcn, commit f1fc0d1, new_data/{raw} and splits",
        **rest,
    }


def edge_list(name: str, file: str, folders: list[str], **rest: Any) -> dict[str, Any]:
    return {
        "name": name,
        "reader": "edge_list_npz",
        "folders": folders,
        "files": {f"{file}.npz": f"{HETEROPHILOUS}/{file}.npz"},
        "licence": "MIT (the repository; nothing is said of the data)",
        "splits": {"official": 10},
        "source": f"yandex-research/heterophilous-graphs, commit a431395, data/{file}.npz",
        **rest,
    }


def attributed(name: str, folder: str, file: str, url: str, **rest: Any) -> dict[str, Any]:
    repository, commit, path = re.findall(rf"{RAW}/([^/]+/[^/]+)/(\w{{7}})\w+/(.*)", url)[0]
    return {
        "name": name,
        "reader": "attributed_npz",
        "folders": [folder],
        "files": {file: url},
        "splits": PER_CLASS,
        "licence": "MIT (the repository; nothing is said of the data)",
        "source": f"{repository}, commit {commit}, {path}",
        **rest,
    }


def sizes(nodes: int, edges: int, features: int, classes: int, arcs: int | None = None) -> dict[str, int]:
    """``edges`` without direction, ``arcs`` with; repeats and self-loops are not counted."""
    found = {"nodes": nodes, "edges": edges, "features": features, "classes": classes}
    return found if arcs is None else {**found, "arcs": arcs}


def webkb() -> list[dict[str, Any]]:
    what = "web pages of the computer science department, with words and what they are about"
    cards = []
    for name, title, raw, loops, statistics, more in (
        (
            "texas",
            "Texas",
            325,
            16,
            sizes(183, 279, 1703, 5, 309),
            ["Class 1 has a single node, so most folds lack it somewhere."],
        ),
        ("wisconsin", "Wisconsin", 515, 16, sizes(251, 450, 1703, 5, 499), []),
    ):
        counts = f"The file has {raw} lines, {loops} of them self-loops, which are dropped."
        cards.append(
            geom_gcn(
                name,
                f"webkb/{name}/raw",
                name,
                name,
                aliases=[f"webkb/{name}"],
                title=f"{title}: {what}",
                citation=WEBKB,
                statistics=statistics,
                directed=True,
                direction=LINKS,
                defects=[counts, *more, SIX, RAW_WORDS],
            )
        )
        once = sizes(*list(statistics.values())[:4])
        cards.append(
            edge_list(
                f"{name}/canonical",
                name,
                ["heterophilous_npz"],
                title=f"{title}: {what}; an undirected list",
                citation=WEBKB,
                statistics=once,
                directed=False,
                direction=f"links of either direction, joined. {ONCE}",
                defects=[
                    f"{ONCE} The card {name!r} keeps the links' directions; nodes, words, classes and "
                    "splits are the same.",
                    *more,
                    RAW_WORDS,
                ],
            )
        )
    twin = (
        "Features and classes are those of Texas: out1_node_feature_label.txt is the same file byte "
        "for byte in both folders of the "
        "source, while the links and the splits are Cornell's. Figures on it say nothing of Cornell; "
        "the card 'cornell' has "
        "Cornell's own pages."
    )
    cards.append(
        edge_list(
            "cornell",
            "cornell",
            ["heterophilous_npz"],
            aliases=["webkb/cornell", "cornell/canonical"],
            title=f"Cornell: {what}",
            citation=WEBKB,
            statistics=sizes(183, 277, 1703, 5),
            directed=False,
            direction=(
                "links of either direction, joined; no file with Cornell's pages and the links' "
                f"directions is known here. {ONCE}"
            ),
            defects=[
                ONCE,
                "The files of Geom-GCN, which most papers read, give Cornell the pages of Texas "
                "(card 'cornell/geom-gcn').",
                RAW_WORDS,
            ],
        )
    )
    cards.append(
        geom_gcn(
            "cornell/geom-gcn",
            "webkb/cornell/raw",
            "cornell",
            "cornell",
            title="Cornell's links with the pages of Texas, as most papers read them",
            citation=WEBKB,
            statistics=sizes(183, 277, 1703, 5, 295),
            directed=True,
            direction=LINKS,
            defects=[twin, "The file has 298 lines, 3 of them self-loops, which are dropped.", SIX, RAW_WORDS],
        )
    )
    return cards


def actor() -> list[dict[str, Any]]:
    title = "Actor: people who appear on the same Wikipedia page, with keywords of their pages"
    citation = f"Tang et al.: Social Influence Analysis in Large-scale Networks, KDD 2009; {PEI}"
    return [
        geom_gcn(
            "actor",
            "actor/raw",
            "film",
            "film",
            aliases=["film"],
            title=title,
            citation=citation,
            options={"features": "columns", "channels": 932},
            statistics=sizes(7600, 26659, 932, 5, 29926),
            directed=True,
            direction=(
                "kept as the file has it, 22 % of the entries with their opposite; to appear together is "
                "mutual, so what a direction means is not clear"
            ),
            defects=["The file has 33,391 lines; 122 are self-loops and 3,343 repeats, which are dropped.", SIX],
        ),
        edge_list(
            "actor/canonical",
            "actor",
            ["heterophilous_npz"],
            title=f"{title}; an undirected list",
            citation=citation,
            statistics=sizes(7600, 26659, 932, 5),
            directed=False,
            direction=f"to appear together is mutual. {ONCE}",
            defects=[ONCE],
        ),
    ]


def wikipedia() -> list[dict[str, Any]]:
    cards = []
    for name, original, filtered in (
        ("chameleon", sizes(2277, 31371, 2325, 5, 36051), sizes(890, 8854, 2325, 5, 13534)),
        ("squirrel", sizes(5201, 198353, 2089, 5, 216933), sizes(2223, 46998, 2089, 5, 65578)),
    ):
        title = (
            f"{name.capitalize()}: Wikipedia pages about {name}s that link to each other, with nouns and "
            "monthly traffic in five classes"
        )
        bare = {"chameleon": (233, 94, 50), "squirrel": (165, 113, 140)}[name]
        empty = "{} nodes have no feature at all."
        loops = f"{bare[2]} self-loops are dropped."
        unseen = [] if name == "chameleon" else [UNSEEN.format("out1_node_feature_label.txt")]
        folder = f"wikipedia_network/{name}/geom_gcn/raw"
        common = {"citation": f"{MUSAE}; {PEI}"}
        cards.append(
            geom_gcn(
                name,
                folder,
                name,
                name,
                aliases=[f"wikipedia/{name}"],
                title=title,
                statistics=original,
                directed=True,
                direction=LINKS,
                defects=[TWINS, empty.format(bare[0]), loops, SIX, *unseen],
                **common,
            )
        )
        common["citation"] = f"{MUSAE}; {PLATONOV}"
        for variant, what, statistics, directed, defects in (
            ("directed", "as published", original, True, [TWINS, empty.format(bare[0]), loops]),
            ("canonical", "an undirected list", original, False, [ONCE, TWINS, empty.format(bare[0])]),
            ("filtered_directed", "repeated pages removed", filtered, True, [empty.format(bare[1]), loops]),
            ("filtered", "repeated pages removed, an undirected list", filtered, False, [ONCE, empty.format(bare[1])]),
        ):
            file = name if variant == "canonical" else f"{name}_{variant}"
            cards.append(
                edge_list(
                    f"{name}/{variant}",
                    file,
                    ["heterophilous_npz"],
                    title=f"{title}; {what}",
                    statistics=statistics if directed else {key: statistics[key] for key in list(statistics)[:4]},
                    directed=directed,
                    direction=LINKS if directed else f"links of either direction, joined. {ONCE}",
                    defects=defects,
                    **common,
                )
            )
    return cards


def heterophilous() -> list[dict[str, Any]]:
    cards = []
    for name, title, statistics, metric, why, more in (
        (
            "roman-empire",
            "Roman-empire: words of a long article, joined by order and grammar; the class is the syntactic role",
            sizes(22662, 32927, 300, 18),
            None,
            "joined when one follows the other or depends on it",
            ["unseen"],
        ),
        (
            "amazon-ratings",
            "Amazon-ratings: products often bought together, with mean word vectors; the class is the mean rating",
            sizes(24492, 93050, 300, 5),
            None,
            "bought together is mutual",
            ["unseen"],
        ),
        (
            "minesweeper",
            "Minesweeper: the fields of a 100 x 100 grid; the class says whether a mine is there",
            sizes(10000, 39402, 7, 2),
            "roc_auc",
            "neighbouring fields",
            ["Half of the fields do not show how many mines are beside them; a feature of its own says which."],
        ),
        (
            "tolokers",
            "Tolokers: workers who took part in the same task; the class says who was banned",
            sizes(11758, 519000, 10, 2),
            "roc_auc",
            "to take part in the same task is mutual",
            ["22 % of the nodes are of class 1, so 78 % accuracy comes for free."],
        ),
        (
            "questions",
            "Questions: users who answered each other; the class says who stayed active",
            sizes(48921, 153540, 301, 2),
            "roc_auc",
            "joined when one answered the other; by whom is lost",
            ["unseen", "97 % of the nodes are of one class."],
        ),
    ):
        file = name.replace("-", "_")
        more = [UNSEEN.format(f"{file}.npz") if text == "unseen" else text for text in more]
        cards.append(
            edge_list(
                name,
                file,
                [f"heterophilous_graphs/{file}/raw", "heterophilous_npz"],
                aliases=[] if file == name else [file],
                title=title,
                citation=PLATONOV,
                statistics=statistics,
                directed=False,
                direction=f"{why}. {ONCE}",
                defects=[ONCE, *more],
                **({"metric": metric} if metric else {}),
            )
        )
    return cards


def citations() -> list[dict[str, Any]]:
    cites = "a document cites another, kept as it was found; which end cites is not stated"
    first, second = "42f597791942733efa1a4099f1aa376a426ff024", "e766147ccf09e2e29ea449a4029482c21a93aa7d"
    return [
        attributed(
            "cora_ml",
            "citation_full/cora_ml/raw",
            "cora_ml.npz",
            f"{GRAPH_DATA}/{first}/datasets/cora_ml.npz",
            aliases=["coraml"],
            title="CoraML: citations among machine learning papers, with words and topics",
            citation=BOJCHEVSKI,
            statistics=sizes(2995, 8158, 2879, 7, 8416),
            directed=True,
            direction=cites,
            defects=[NO_SPLIT, RAW_WORDS],
        ),
        attributed(
            "citeseer_full",
            "citation_full/citeseer/raw",
            "citeseer.npz",
            f"{GRAPH_DATA}/{second}/datasets/citeseer_full.npz",
            title="CiteSeer in the larger release: 4,230 papers",
            citation=BOJCHEVSKI,
            statistics=sizes(4230, 5337, 602, 6, 5358),
            directed=True,
            direction=cites,
            defects=["89 documents have no word.", NO_SPLIT, "This is not Planetoid's CiteSeer of 3,327 documents."],
        ),
        attributed(
            "cora/directed",
            "directed_citation/cora/raw",
            "cora.npz",
            f"{GRAPH_DATA}/{first}/datasets/cora.npz",
            title="Cora: citations with their direction, the 2,708 papers of Planetoid's Cora",
            citation=BOJCHEVSKI,
            statistics=sizes(2708, 5278, 1433, 7, 5429),
            directed=True,
            direction=cites,
            defects=[
                NO_SPLIT,
                "Documents are in another order than in Planetoid's files, so Planetoid's splits do not fit.",
                RAW_WORDS,
            ],
        ),
        attributed(
            "citeseer/directed",
            "directed_citation/citeseer/raw",
            "citeseer.npz",
            f"{DIGCN}/citeseer.npz",
            title="CiteSeer: citations with their direction, 3,312 papers",
            citation="Tong et al.: Digraph Inception Convolutional Networks, NeurIPS 2020",
            statistics=sizes(3312, 4536, 3703, 6, 4591),
            directed=True,
            direction=cites,
            defects=[
                "The file has 4,715 entries, 124 of them self-loops, which are dropped; 48 documents have no citation.",
                NO_SPLIT,
                RAW_WORDS,
            ],
        ),
        attributed(
            "amazon-computers",
            "amazon/Computers/raw",
            "amazon_electronics_computers.npz",
            f"{GRAPH_DATA}/{second}/datasets/amazon_computers.npz",
            aliases=["amazon/computers"],
            title="Amazon-Computers: products bought together, with words of reviews and a category",
            citation=SHCHUR,
            statistics=sizes(13752, 245861, 767, 10),
            directed=False,
            direction=(
                "bought together is mutual in meaning; 71 % of the stored entries lack their opposite, "
                "and papers add them"
            ),
            defects=["281 products have no edge.", NO_SPLIT, RAW_WORDS],
        ),
        attributed(
            "amazon-photo",
            "amazon/Photo/raw",
            "amazon_electronics_photo.npz",
            f"{GRAPH_DATA}/{second}/datasets/amazon_photo.npz",
            aliases=["amazon/photo"],
            title="Amazon-Photo: products bought together, with words of reviews and a category",
            citation=SHCHUR,
            statistics=sizes(7650, 119081, 745, 8),
            directed=False,
            direction=(
                "bought together is mutual in meaning; 66 % of the stored entries lack their opposite, "
                "and papers add them"
            ),
            defects=["115 products have no edge; one self-loop is dropped.", NO_SPLIT, RAW_WORDS],
        ),
        attributed(
            "coauthor-cs",
            "coauthor/CS/raw",
            "ms_academic_cs.npz",
            f"{GRAPH_DATA}/{second}/datasets/coauthor_cs.npz",
            aliases=["coauthor/cs"],
            title="Coauthor-CS: authors who wrote together, with keywords and a field",
            citation=SHCHUR,
            statistics=sizes(18333, 81894, 6805, 15),
            directed=False,
            direction="to write together is mutual; both directions are stored",
            defects=[NO_SPLIT],
        ),
        attributed(
            "coauthor-physics",
            "coauthor/Physics/raw",
            "ms_academic_phy.npz",
            f"{GRAPH_DATA}/{second}/datasets/coauthor_physics.npz",
            aliases=["coauthor/physics"],
            title="Coauthor-Physics: authors who wrote together, with keywords and a field",
            citation=SHCHUR,
            statistics=sizes(34493, 247962, 8415, 5),
            directed=False,
            direction="to write together is mutual; both directions are stored",
            defects=["Features are held as a dense matrix, 1.2 GB.", NO_SPLIT],
        ),
        attributed(
            "polblogs",
            "polblogs",
            "polblogs.npz",
            f"{GRAPH_DATA}/{first}/datasets/polblogs.npz",
            title="PolBlogs: hyperlinks among blogs on US politics of 2004, liberal or conservative",
            citation="Adamic and Glance: The Political Blogosphere and the 2004 U.S. Election, LinkKDD 2005",
            statistics=sizes(1490, 16715, 0, 2, 19022),
            directed=True,
            direction="hyperlinks from blog to blog, kept as they were found",
            defects=[
                "There are no features; by default degrees stand in.",
                "266 blogs have no link; 3 self-loops are dropped.",
                NO_SPLIT,
            ],
        )
        | {"splits": {"60/20/20": 10}},
    ]


def others() -> list[dict[str, Any]]:
    cards = [
        {
            "name": "wikics",
            "aliases": ["wiki-cs"],
            "title": "WikiCS: hyperlinks among Wikipedia pages on computer science, with mean word vectors",
            "reader": "wikics",
            "folders": ["wikics/raw", "wikics"],
            "files": {"data.json": f"{WIKI_CS}/data.json"},
            "licence": "MIT",
            "citation": "Mernyei and Cangea: Wiki-CS: A Wikipedia-Based Benchmark for Graph Neural Networks, 2020",
            "source": "pmernyei/wiki-cs-dataset, commit f520731, dataset/data.json",
            "statistics": sizes(11701, 215603, 300, 10, 290519),
            "directed": True,
            "direction": LINKS,
            "splits": {"official": 20},
            "defects": [
                UNSEEN.format("data.json"),
                "The file has 297,110 links; repeats and self-loops are dropped.",
                "Papers differ in whether they join the directions; the benchmark's own figures do.",
                "The 3,505 nodes that the file keeps for stopping early are in no split; here one "
                "validation set stops and selects.",
                "Train and validation differ between the twenty splits, the test nodes are the same.",
            ],
        },
        {
            "name": "telegram",
            "title": "Telegram: channels that pass on each other's messages, in four groups",
            "reader": "telegram",
            "folders": ["telegram"],
            "licence": "MIT (the repository; nothing is said of the data)",
            "files": {name: f"{TELEGRAM}/{name}" for name in ("telegram_adj.npz", "telegram_labels.npy")},
            "citation": (
                "Bovet and Grindrod: Organization and evolution of the UK far-right network on Telegram, "
                "Applied Network Science 2022; Zhang et al.: MagNet: A Neural Network for Directed Graphs, NeurIPS 2021"
            ),
            "source": "SherylHYX/pytorch_geometric_signed_directed, commit ecdf3fc, datasets",
            "statistics": sizes(245, 8126, 0, 4, 8912),
            "directed": True,
            "direction": "messages passed on from one channel to another, kept as they were found",
            "splits": {"60/20/20": 10},
            "defects": [
                "There are no features; by default degrees stand in.",
                "Edges carry counts of messages, which are left out.",
                NO_SPLIT,
            ],
        },
    ]
    mutual = (
        "the source treats the networks as undirected; every pair is stored once, so a stored direction means nothing"
    )
    for name, title, statistics, more in (
        ("usa", "USA", sizes(1190, 13599, 0, 4), []),
        ("brazil", "Brazil", sizes(131, 1003, 0, 4), ["71 self-loops are dropped."]),
        (
            "europe",
            "Europe",
            sizes(399, 5993, 0, 4),
            ["2 self-loops are dropped.", "All edges lead from the larger to the smaller id."],
        ),
    ):
        cards.append(
            {
                "name": f"airports/{name}",
                "aliases": [f"{name}-airports"],
                "title": f"Airports of {title}, joined by flights, in quarters of activity",
                "reader": "airports",
                "folders": [f"airports/{name}/raw"],
                "files": {f: f"{STRUC2VEC}/{f}" for f in (f"{name}-airports.edgelist", f"labels-{name}-airports.txt")},
                "licence": "MIT (the repository; nothing is said of the data)",
                "citation": (
                    "Ribeiro, Saverese and Figueiredo: struc2vec: Learning Node Representations from "
                    "Structural Identity, KDD 2017"
                ),
                "source": "leoribeiro/struc2vec, commit 77b4cc6, graph",
                "statistics": statistics,
                "directed": False,
                "direction": mutual,
                "splits": {"60/20/20": 10},
                "defects": [
                    "There are no features; by default degrees stand in, which nearly give the class away.",
                    *more,
                    NO_SPLIT,
                ],
            }
        )
    for name, file, title, statistics, unlabelled in (
        ("amherst41", "Amherst41", "Amherst College", sizes(2235, 90954, 1193, 2), 203),
        ("cornell5", "Cornell5", "Cornell University", sizes(18660, 790777, 4735, 2), 1838),
        ("johnshopkins55", "Johns%20Hopkins55", "Johns Hopkins University", sizes(5180, 186586, 2406, 2), 418),
        ("reed98", "Reed98", "Reed College", sizes(962, 18812, 745, 2), 97),
        ("penn94", "Penn94", "the University of Pennsylvania", sizes(41554, 1362229, 4814, 2), None),
    ):
        seen = (
            f"{unlabelled:,} people do not say their gender and have no class."
            if unlabelled
            else UNSEEN.format("the file")
        )
        cards.append(
            {
                "name": name,
                "aliases": [f"facebook100/{name}", f"linkx/{name}"],
                "title": f"Facebook in 2005 at {title}: friends; the class is the gender",
                "reader": "facebook100",
                "folders": [f"linkx/{name}/raw"],
                "files": {"data.mat": f"{LINKX}/{file}.mat"},
                "licence": "none stated",
                "citation": FACEBOOK,
                "source": (
                    f"CUAI/Non-Homophily-Large-Scale, commit 82f8f05, data/facebook100/{file.replace('%20', ' ')}.mat"
                ),
                "statistics": statistics,
                "directed": False,
                "direction": "friends are mutual; both directions are stored",
                "splits": {"50/25/25": 5},
                "defects": [
                    seen,
                    "0, for nothing said, is a feature like others.",
                    "LINKX's own five splits of 50, 25 and 25 % are in files apart; these are drawn "
                    "here with the same shares.",
                ],
            }
        )
    return cards


def card(known: dict[str, Any], root: Path) -> dict[str, Any]:
    files = []
    for path, url in known["files"].items():
        found = next((root / folder / path for folder in known["folders"] if (root / folder / path).is_file()), None)
        content = found.read_bytes() if found else None
        digest = hashlib.sha256(content).hexdigest() if content else None
        files.append({"path": path, "url": url, "bytes": len(content) if content else None, "sha256": digest})
    whole = {"aliases": [], "task": "graph", "options": {}, **known, "files": files}
    order = (
        "name",
        "aliases",
        "title",
        "task",
        "reader",
        "options",
        "folders",
        "files",
        "licence",
        "citation",
        "source",
        "statistics",
        "directed",
        "direction",
        "splits",
        "metric",
        "defects",
    )
    return {key: whole[key] for key in order if key in whole}


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(
            "usage: python datasets/build/node_cards.py ROOT   (ROOT holds webkb, actor, "
            "wikipedia_network and their siblings)"
        )
    folder = Path(__file__).resolve().parent.parent / "cards"
    for known in (*webkb(), *actor(), *wikipedia(), *heterophilous(), *citations(), *others()):
        text = yaml.safe_dump(card(known, Path(sys.argv[1])), sort_keys=False, allow_unicode=True, width=120)
        (folder / f"{known['name'].replace('/', '-')}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
