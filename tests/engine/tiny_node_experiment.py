"""Thirty nodes with two classes, three official splits and a card of their own, and an experiment on them."""

import hashlib
from pathlib import Path

import numpy as np
import yaml

NODES, FOLDS = 30, 3


def write_tiny_node_experiment(folder: Path, **sections) -> Path:
    """Write data, card and experiment below a folder; returns the path of the experiment."""
    rng = np.random.default_rng(0)
    y = np.arange(NODES) % 2
    x = (rng.normal(size=(NODES, 6)) + 0.8 * y[:, None]).astype(np.float32)
    edges = np.array([[i, (i + step) % NODES] for i in range(NODES) for step in (2, 5)])
    masks = np.zeros((3, FOLDS, NODES), dtype=bool)
    for fold in range(FOLDS):
        for mask, part in zip(masks, np.split(rng.permutation(NODES), (14, 22)), strict=True):
            mask[fold, part] = True
    data = folder / "data" / "tiny"
    data.mkdir(parents=True)
    named = dict(zip(("train_masks", "val_masks", "test_masks"), masks, strict=True))
    np.savez(data / "tiny.npz", node_features=x, node_labels=y, edges=edges, **named)
    content = (data / "tiny.npz").read_bytes()
    file = {"path": "tiny.npz", "url": None, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    card = {
        "name": "tiny-nodes", "title": "Tiny", "task": "graph", "reader": "edge_list_npz", "files": [file], "folders": ["tiny"],
        "licence": "none", "citation": "none", "source": "made up", "statistics": {}, "directed": True,
        "direction": "steps go forward", "splits": {"official": FOLDS},
    }  # fmt: skip
    (folder / "nodes.yaml").write_text(yaml.safe_dump(card))
    experiment = {
        "name": "tiny/nodes",
        "reference": {"paper": "Nobody", "metrics": {"accuracy": "0.80"}},
        "data": {"name": str(folder / "nodes.yaml"), "root": str(folder / "data"), "task": "node"},
        "model": {"name": "GCN", "hidden_channels": 8, "dropout": 0.2},
        "train": {"epochs": 12, "lr": 0.02, "patience": 6},
        "splits": "all",
        "seeds": [0, 1],
        **sections,
    }  # fmt: skip
    path = folder / "tiny_nodes.yaml"
    path.write_text(
        yaml.safe_dump({key: value for key, value in experiment.items() if value is not None}, sort_keys=False)
    )
    return path
