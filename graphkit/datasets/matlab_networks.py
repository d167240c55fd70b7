"""Networks in MATLAB's files: an adjacency matrix and, where there are any, labels of the nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.datasets.matlab_file import read_matlab_file
from graphkit.datasets.stored_graph import StoredGraph
from graphkit.errors import UserError

__all__ = ["read_matlab_network"]


def read_matlab_network(path: Path, adjacency: str = "net", labels: str = "group") -> StoredGraph:
    """A sparse adjacency matrix [N, N] and, where the file has them, labels [N, T], sparse or dense.

    Every entry that is not zero is an edge, row to column; weights are left out. Self-loops are kept as they stand.

    Args:
        path: a file of MATLAB's format 5, whose arrays of numbers are read and nothing else.
        adjacency: name of the matrix, ``net`` in the files of SEAL and ``network`` in those of DeepWalk.
        labels: name of the labels.

    Raises:
        UserError: for a damaged file, one of another format, or matrices that do not fit together.

    Source:
        Zhang and Chen: Link Prediction Based on Graph Neural Networks (NeurIPS 2018); Perozzi et al.: DeepWalk (KDD 2014).

    Example:
        >>> import tempfile
        >>> from scipy.io import savemat
        >>> from scipy.sparse import csc_matrix
        >>> path = Path(tempfile.mkdtemp()) / "pair.mat"
        >>> savemat(path, {"net": csc_matrix(np.array([[0.0, 1], [1, 0]]))})
        >>> read_matlab_network(path).edges.tolist()
        [[0], [1]]
    """
    from scipy.sparse import issparse

    try:
        content: dict[str, Any] = read_matlab_file(path, [adjacency, labels])
        if adjacency not in content:
            raise ValueError(f"no matrix {adjacency!r} in it")
        matrix = content[adjacency]
        if not issparse(matrix) or matrix.dtype.kind not in "biuf":
            raise ValueError(f"{adjacency!r} is no sparse matrix of numbers")
        nodes = matrix.shape[0]
        if matrix.shape != (nodes, nodes):
            raise ValueError(f"{adjacency!r} is {matrix.shape}, not square")
        matrix = matrix.tocoo()
        kept = matrix.data != 0
        edges = np.stack([matrix.row[kept], matrix.col[kept]]).astype(np.int64)
        y = content.get(labels)
        if y is not None and issparse(y):
            y = y.toarray()
        if y is not None and (y.dtype.kind not in "biuf" or y.ndim != 2 or y.shape[0] != nodes):
            raise ValueError(f"{labels!r} is {y.dtype} {y.shape}, expected numbers, one row for each of {nodes} nodes")
        found = None if y is None else torch.from_numpy((y != 0).astype(np.float32))
        return StoredGraph(torch.from_numpy(edges), nodes, y=found)
    except (ValueError, MemoryError) as error:
        raise UserError(f"{path} is no network in a MATLAB file ({error}); replace it by the original") from None
