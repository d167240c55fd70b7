"""A citation network of thirty documents with a card of its own, and a link experiment on it."""

import hashlib
import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml
from scipy.sparse import csr_matrix

NODES, TEST = 30, 6


def write_tiny_link_experiment(folder: Path, **sections) -> Path:
    """Write data in Planetoid's layout, card and experiment below a folder; returns the path of the experiment."""
    rng = np.random.default_rng(0)
    graph = defaultdict(list)
    for i in range(NODES):
        for step in (1, 2):
            graph[i].append((i + step) % NODES)
            graph[(i + step) % NODES].append(i)
    x = (rng.random((NODES, 5)) < 0.4).astype(np.float32)
    y = np.eye(3, dtype=np.int32)[np.arange(NODES) % 3]
    known = NODES - TEST
    parts = {
        "x": csr_matrix(x[:4]), "y": y[:4], "tx": csr_matrix(x[known:]), "ty": y[known:], "allx": csr_matrix(x[:known]),
        "ally": y[:known], "graph": graph,
    }  # fmt: skip
    contents = {part: pickle.dumps(thing, protocol=2) for part, thing in parts.items()}
    contents["test.index"] = "".join(f"{i}\n" for i in range(known, NODES)).encode()
    data = folder / "data" / "tiny"
    data.mkdir(parents=True)
    files = []
    for part, content in contents.items():
        (data / f"ind.tiny.{part}").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        files.append({"path": f"ind.tiny.{part}", "url": None, "bytes": len(content), "sha256": digest})
    card = {
        "name": "tiny-graph", "title": "Tiny", "task": "graph", "reader": "planetoid", "files": files, "folders": ["tiny"],
        "licence": "none", "citation": "none", "source": "made up", "statistics": {},
    }  # fmt: skip
    (folder / "graph.yaml").write_text(yaml.safe_dump(card))
    experiment = {
        "name": "tiny/link",
        "reference": {"paper": "Nobody", "metrics": {"auc": "0.90", "ap": "0.80"}},
        "protocol": {"select": "auc"},
        "data": {
            "name": str(folder / "graph.yaml"), "root": str(folder / "data"), "task": "link", "split": "70/10/20",
            "split_seed": 3,
        },
        "loader": {"batch_size": 8},
        "model": {
            "name": "NBFNet", "hidden_channels": 4, "num_layers": 2, "symmetric": True, "dependent": False,
            "remove_one_hop": True, "adversarial_temperature": 0,
        },
        "train": {"epochs": 2, "lr": 0.01},
        "seeds": [0, 1],
        **sections,
    }  # fmt: skip
    path = folder / "tiny_link.yaml"
    path.write_text(yaml.safe_dump(experiment, sort_keys=False))
    return path
