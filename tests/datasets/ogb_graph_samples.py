"""Small graphs in the files of the Open Graph Benchmark: by hand as its archives unpack, or by its own saver."""

import contextlib
import io

import numpy as np
import torch
from ogb_samples import write_gzip

NODES, FEATURES = 40, 3
SIZES = {"train": 90, "valid": 12, "test": 10}
POOL, OWN = 130, 20
KINDS = {"author": 6, "field_of_study": 3, "institution": 2, "paper": 9}
TRIPLES = (
    ("author", "affiliated_with", "institution"),
    ("author", "writes", "paper"),
    ("paper", "cites", "paper"),
    ("paper", "has_topic", "field_of_study"),
)


def _table(path, rows):
    write_gzip(path, [",".join(map(str, row)) for row in rows])


def pairs(rng, count, *, avoid=()):
    """Different pairs of two nodes, u < v."""
    seen, rows = set(avoid), []
    while len(rows) < count:
        u, v = sorted(rng.choice(NODES, 2, replace=False).tolist())
        if (u, v) not in seen:
            seen.add((u, v))
            rows.append((u, v))
    return np.array(rows)


def link_content(name, seed=0):
    """(graph, splits) of a set that is made like the one named; graph as OGB's reader gives it, without inverse edges."""
    rng = np.random.default_rng(seed)
    chosen = pairs(rng, sum(SIZES.values()) + 2 * POOL)
    parts, start = {}, 0
    for split, size in SIZES.items():
        parts[split] = chosen[start : start + size]
        start += size
    splits = {}
    for split, edges in parts.items():
        if name == "ogbl-citation2":
            splits[split] = {"source_node": edges[:, 1], "target_node": edges[:, 0]}
            if split != "train":
                splits[split]["target_node_neg"] = rng.integers(NODES, size=(len(edges), OWN))
            continue
        if name == "ogbl-collab" and split == "train":
            edges = np.concatenate([edges[:-5], edges[:5, ::-1]])  # some stand twice, in either direction
        if name == "ogbl-collab" and split == "test":
            edges = np.concatenate([edges[:-1], parts["valid"][:1]])
        splits[split] = {"edge": edges}
        if name == "ogbl-collab":
            splits[split]["weight"] = rng.integers(1, 5, size=len(edges))
            splits[split]["year"] = rng.integers(1970, 2019, size=len(edges))
        if split != "train":
            splits[split]["edge_neg"] = chosen[start : start + POOL]
            start += POOL
    train = splits["train"]
    edge_index = train["edge"].T if "edge" in train else np.stack([train["source_node"], train["target_node"]])
    graph = {"edge_index": edge_index, "edge_feat": None, "node_feat": None, "num_nodes": NODES}
    if name == "ogbl-ppa":
        graph["node_feat"] = np.eye(FEATURES, dtype=np.int64)[rng.integers(FEATURES, size=NODES)]
    elif name != "ogbl-ddi":
        graph["node_feat"] = rng.standard_normal((NODES, FEATURES)).astype(np.float32)
    if name == "ogbl-collab":
        graph["edge_weight"], graph["edge_year"] = train["weight"][:, None], train["year"][:, None]
    if name == "ogbl-citation2":
        graph["node_year"] = rng.integers(1990, 2020, size=(NODES, 1))
    return graph, splits


def write_links(root, name, split, seed=0, zipped=True):
    """The folder of a link set, as its archive unpacks; returns (graph, splits)."""
    graph, splits = link_content(name, seed)
    folder = root / name.replace("-", "_")
    for part, content in splits.items():
        (folder / "split" / split).mkdir(parents=True, exist_ok=True)
        target = folder / "split" / split / f"{part}.pt"
        torch.save(content, target, pickle_protocol=4, _use_new_zipfile_serialization=zipped)
    write_graph(folder, graph)
    (folder / "RELEASE_v1.txt").write_text(f"# Release note for {name}\n")
    if name == "ogbl-ddi":
        write_gzip(
            folder / "mapping" / "nodeidx2drugid.csv.gz", ["node idx,drug id", *(f"{i},DB{i}" for i in range(NODES))]
        )
    return graph, splits


def write_graph(folder, graph):
    raw = folder / "raw"
    _table(raw / "edge.csv.gz", graph["edge_index"].T)
    _table(raw / "num-node-list.csv.gz", [[graph["num_nodes"]]])
    _table(raw / "num-edge-list.csv.gz", [[graph["edge_index"].shape[1]]])
    (folder / "processed").mkdir(exist_ok=True)
    for key, values in graph.items():
        if key not in ("edge_index", "num_nodes") and values is not None:
            _table(raw / f"{key.replace('_feat', '-feat')}.csv.gz", values)


def node_content(name, seed=0):
    """(graph, labels, splits) of a set that is made like the one named."""
    rng = np.random.default_rng(seed)
    if name == "ogbn-mag":
        graph = {
            "num_nodes_dict": dict(KINDS),
            "edge_index_dict": {
                triple: np.stack([rng.integers(KINDS[triple[0]], size=7), rng.integers(KINDS[triple[2]], size=7)])
                for triple in TRIPLES
            },
            "node_feat_dict": {"paper": rng.standard_normal((KINDS["paper"], FEATURES)).astype(np.float32)},
            "node_year": {"paper": rng.integers(2010, 2020, size=(KINDS["paper"], 1))},
        }
        order = rng.permutation(KINDS["paper"])
        labels = {"paper": rng.integers(4, size=(KINDS["paper"], 1))}
        return graph, labels, {"train": order[:4], "valid": order[4:6], "test": order[6:]}
    edge_index = pairs(rng, 70).T
    graph = {"edge_index": edge_index, "edge_feat": None, "node_feat": None, "num_nodes": NODES}
    labels = rng.integers(5, size=(NODES, 1))
    if name == "ogbn-proteins":
        graph["edge_feat"] = rng.random((70, 8)).astype(np.float32)
        graph["node_species"] = rng.integers(3000, 9000, size=(NODES, 1))
        labels = rng.integers(2, size=(NODES, 6))
    else:
        graph["node_feat"] = rng.standard_normal((NODES, FEATURES)).astype(np.float32)
    if name == "ogbn-arxiv":
        graph["node_year"] = rng.integers(1990, 2020, size=(NODES, 1))
    order = rng.permutation(NODES)
    return graph, labels, {"train": order[:20], "valid": order[20:30], "test": order[30:]}


def write_nodes(root, name, split, seed=0):
    """The folder of a node set, as its archive unpacks; returns (graph, labels, splits)."""
    graph, labels, splits = node_content(name, seed)
    folder = root / name.replace("-", "_")
    below = folder / "split" / split
    if name == "ogbn-mag":
        raw, below = folder / "raw", below / "paper"
        kinds = ["paper", "author", "institution", "field_of_study"]  # the columns are not in the order of the names
        write_gzip(raw / "num-node-dict.csv.gz", [",".join(kinds), ",".join(str(KINDS[kind]) for kind in kinds)])
        write_gzip(raw / "triplet-type-list.csv.gz", [",".join(triple) for triple in reversed(TRIPLES)])
        for triple, edges in graph["edge_index_dict"].items():
            _table(raw / "relations" / "___".join(triple) / "edge.csv.gz", edges.T)
            _table(raw / "relations" / "___".join(triple) / "num-edge-list.csv.gz", [[edges.shape[1]]])
        for key in ("node_feat_dict", "node_year"):
            file = key.removesuffix("_dict").replace("_feat", "-feat")
            _table(raw / "node-feat" / "paper" / f"{file}.csv.gz", graph[key]["paper"])
        for file in (raw / "nodetype-has-label.csv.gz", below.parent / "nodetype-has-split.csv.gz"):
            write_gzip(file, [",".join(kinds), "True,False,False,False"])
        _table(raw / "node-label" / "paper" / "node-label.csv.gz", labels["paper"])
        (folder / "processed").mkdir()
    else:
        write_graph(folder, graph)
        _table(folder / "raw" / "node-label.csv.gz", labels)
    for part, nodes in splits.items():
        _table(below / f"{part}.csv.gz", nodes[:, None])
    (folder / f"RELEASE_v{2 if name == 'ogbn-mag' else 1}.txt").write_text("# Release note\n")
    return graph, labels, splits


def save_with_ogb(root, name, split, graph, splits, labels=None):
    """The folder that OGB's own saver makes of the same content."""
    from ogb.io import DatasetSaver

    hetero, release = "edge_index_dict" in graph, 2 if name == "ogbn-mag" else 1
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        saver = DatasetSaver(dataset_name=name, is_hetero=hetero, version=release, root=str(root / "made"))
        saver.save_graph_list([graph])
        saver.save_split(splits, split_name=split)
        if labels is not None:
            saver.save_target_labels(labels)
    folder = root / name.replace("-", "_")
    next((root / f"made_{name.split('-')[0]}_{name.split('-')[1]}").glob(name.split("-")[1])).rename(folder)
    return folder
