"""Graphs in NumPy's archives: a list of edges with masks, or compressed sparse matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from graphkit.datasets.npz_arrays import csr_edges, csr_rows, read_npz
from graphkit.datasets.stored_graph import StoredGraph
from graphkit.errors import UserError
from graphkit.files import ARRAY_DAMAGE

__all__ = ["read_attributed_npz", "read_edge_list_npz", "read_telegram"]


def read_edge_list_npz(path: Path) -> StoredGraph:
    """``node_features``, ``node_labels``, ``edges`` [E, 2] and ``{train,val,test}_masks`` [S, N].

    Args:
        path: the file.

    Raises:
        UserError: for a damaged file, or arrays that do not fit together.

    Source:
        Platonov et al.: A critical look at the evaluation of GNNs under heterophily (ICLR 2023).

    Example:
        >>> read_edge_list_npz(path).num_nodes  # doctest: +SKIP
        10000
    """
    names = ("node_features", "node_labels", "edges", "train_masks", "val_masks", "test_masks")
    arrays = read_npz(path, names)
    x, y, edges = (arrays[name] for name in names[:3])
    masks = {split: arrays[f"{key}_masks"] for split, key in (("train", "train"), ("valid", "val"), ("test", "test"))}
    try:
        nodes = y.size
        if y.ndim != 1 or x.ndim != 2 or len(x) != nodes:
            raise ValueError(f"features {x.shape} of labels {y.shape}")
        if edges.ndim != 2 or edges.shape[1] != 2:
            raise ValueError(f"edges {edges.shape}")
        if edges.size and not (int(edges.min()) >= 0 and int(edges.max()) < nodes):
            raise ValueError(f"an edge leads out of the nodes 0 .. {nodes - 1}")
        for split, mask in masks.items():
            if mask.ndim != 2 or mask.shape[1] != nodes or len(mask) != len(masks["train"]):
                raise ValueError(f"{split} masks {mask.shape}")
        return StoredGraph(
            torch.from_numpy(edges.astype(np.int64).T.copy()),
            nodes,
            torch.from_numpy(x.astype(np.float32)),
            torch.from_numpy(y.astype(np.int64)),
            {"official": {split: torch.from_numpy(mask.astype(bool)) for split, mask in masks.items()}},
        )
    except ARRAY_DAMAGE as error:
        raise UserError(f"the arrays of {path} do not fit together ({error})") from None


def read_attributed_npz(path: Path) -> StoredGraph:
    """Compressed sparse ``adj_*`` and, where there are any, ``attr_*`` and ``labels``, ``node_names``, ``class_names``.

    Edges lead from the row to the column. Names that the file holds as a pickle are left out.

    Args:
        path: the file.

    Raises:
        UserError: for a damaged file, or arrays that do not fit together.

    Source:
        Bojchevski and Günnemann: Deep Gaussian Embedding of Graphs (ICLR 2018); Shchur et al.: Pitfalls of Graph Neural
        Network Evaluation (2018).

    Example:
        >>> read_attributed_npz(path).num_nodes  # doctest: +SKIP
        2995
    """
    adjacency = ("adj_indptr", "adj_indices", "adj_shape")
    features = ("attr_data", "attr_indptr", "attr_indices", "attr_shape")
    arrays = read_npz(path, adjacency, (*features, "labels", "node_names", "class_names"))
    try:
        edges = csr_edges(arrays["adj_indptr"], arrays["adj_indices"], arrays["adj_shape"])
        nodes, x, y = int(arrays["adj_shape"][0]), None, None
        if "attr_data" in arrays:
            data, indptr, indices, shape = (arrays[name] for name in features)
            if int(shape[0]) != nodes or len(data) != len(indices):
                raise ValueError(f"features {tuple(map(int, shape))} of {nodes} nodes")
            dense = np.zeros(tuple(map(int, shape)), dtype=np.float32)
            dense[csr_rows(indptr, indices, shape), indices] = data
            x = torch.from_numpy(dense)
        if "labels" in arrays:
            if arrays["labels"].shape != (nodes,):
                raise ValueError(f"labels {arrays['labels'].shape} of {nodes} nodes")
            y = torch.from_numpy(arrays["labels"].astype(np.int64))
        names, classes = (arrays[key].tolist() if key in arrays else None for key in ("node_names", "class_names"))
        return StoredGraph(torch.from_numpy(edges), nodes, x, y, nodes=names, classes=classes)
    except ARRAY_DAMAGE as error:
        raise UserError(f"the arrays of {path} do not fit together ({error})") from None


def read_telegram(adjacency: Path, labels: Path) -> StoredGraph:
    """A matrix of :func:`scipy.sparse.save_npz` in compressed rows, and classes in an ``.npy`` file; weights are left out.

    Args:
        adjacency: ``telegram_adj.npz``.
        labels: ``telegram_labels.npy``.

    Raises:
        UserError: for a damaged file, or arrays that do not fit together.

    Example:
        >>> read_telegram(adjacency, labels).num_nodes  # doctest: +SKIP
        245
    """
    arrays = read_npz(adjacency, ("indptr", "indices", "shape", "format"))
    try:
        if arrays["format"].item() not in (b"csr", "csr"):
            raise ValueError(f"the matrix is stored as {arrays['format'].item()!r}, expected compressed rows")
        edges = csr_edges(arrays["indptr"], arrays["indices"], arrays["shape"])
        y = np.load(labels, allow_pickle=False)
        if y.shape != (int(arrays["shape"][0]),):
            raise ValueError(f"labels {y.shape} of {int(arrays['shape'][0])} nodes")
        return StoredGraph(torch.from_numpy(edges), len(y), y=torch.from_numpy(y.astype(np.int64)))
    except ARRAY_DAMAGE as error:
        raise UserError(f"{adjacency} and {labels.name} do not fit together ({error})") from None
