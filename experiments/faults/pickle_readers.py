"""Pickles and what torch.save wrote."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import planetoid_samples
import scipy.sparse
import torch
from mutations import hostile_pickle
from random_texts import by_ending, made_table
from reader import Files, Reader, paths, pt_bytes

__all__ = ["pickle_readers"]


def pickle_readers(room: Path) -> list[Reader]:
    from graphkit.datasets.planetoid import read_planetoid
    from graphkit.datasets.restricted_pickle import read_arrays
    from graphkit.datasets.tensor_graphs import read_gnn_benchmark, read_lrgb, read_tensor_pickle, read_torch_tensors
    from graphkit.datasets.torch_files import read_torch_file, read_torch_tensor

    old = planetoid_samples.planetoid_files()
    matrix = scipy.sparse.csr_matrix(planetoid_samples.ALLX)
    new = planetoid_samples.planetoid_files(
        allx=pickle.dumps(matrix, 2),
        ally=pickle.dumps(planetoid_samples.ALLY, 2),
        graph=pickle.dumps(planetoid_samples.GRAPH, 2),
    )
    pickles = [
        old["ind.toy.allx"],
        old["ind.toy.graph"],
        pickle.dumps(matrix, 2),
        pickle.dumps({"a": np.arange(3), "b": [1, "x"]}, 4),
    ]
    arrays = {
        "head": np.arange(7),
        "text": np.array(["a", "b"]),
        "type": ["drug", "gene"],
        "count": 3,
        "rate": 0.5,
        "f": np.ones((2, 3)),
    }
    nested = {"train": {"edge": np.zeros((3, 2), np.int64)}, "none": None, "valid": {("a", "b", "c"): np.arange(2)}}
    tensor = torch.arange(6).reshape(2, 3)
    edges, x = torch.tensor([[0, 1], [1, 0]]), torch.ones(2, 3)
    superpixels = [(x, torch.ones(2, 2), edges, [0, 13]), (x, torch.ones(2, 2), edges, np.array([1, 2]))]
    benchmark = [
        [{"edge_index": edges, "x": x, "pos": x, "y": torch.tensor([1]), "edge_attr": torch.ones(2)}] * 2
        for _ in range(3)
    ]
    lrgb: list[Files] = [
        {f"{split}.pickle": pickle.dumps(superpixels) for split in ("train", "val", "test")},
        {f"{split}.pt": pt_bytes(superpixels[:1], protocol=2) for split in ("train", "val", "test")},
    ]

    def torch_file(folder: Path, which: int) -> Any:
        return read_torch_file(folder / "a.pt", nested=which == 2)

    pickled = lambda rng, ending: hostile_pickle(rng)  # noqa: E731
    return [
        Reader(
            "Planetoid",
            [old, new],
            lambda folder, _: read_planetoid(paths(folder)),
            by_ending(index=made_table, other=pickled),
        ),
        Reader(
            "restricted pickles",
            [{"a": one} for one in pickles],
            lambda folder, _: read_arrays(folder / "a"),
            pickled,
            2.0,
        ),
        Reader(
            "torch files",
            [{"a.pt": pt_bytes(arrays)}, {"a.pt": pt_bytes(arrays, False)}, {"a.pt": pt_bytes(nested)}],
            torch_file,
            pickled,
            2.0,
        ),
        Reader(
            "torch tensor",
            [{"a.pt": pt_bytes(tensor, protocol=2)}, {"a.pt": pt_bytes(tensor, False, 2)}],
            lambda folder, _: read_torch_tensor(folder / "a.pt"),
            pickled,
        ),
        Reader(
            "torch tensors",
            [{"a.pt": pt_bytes(superpixels[:1], protocol=2)}],
            lambda folder, _: read_torch_tensors(folder / "a.pt"),
            pickled,
        ),
        Reader(
            "tensor pickles",
            [{"a.pickle": pickle.dumps(superpixels)}],
            lambda folder, _: read_tensor_pickle(folder / "a.pickle"),
            pickled,
        ),
        Reader(
            "LRGB",
            lrgb,
            lambda folder, _: read_lrgb(paths(folder), target="classes", level="node", coco=True),
            pickled,
        ),
        Reader(
            "GNN benchmark",
            [{"a.pt": pt_bytes(benchmark, protocol=2)}],
            lambda folder, _: read_gnn_benchmark(folder / "a.pt", level="node"),
            pickled,
        ),
    ]
