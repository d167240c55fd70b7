"""A street network as a graph to classify nodes of: features, labels, splits and where they come from."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.data.node_task import NodeTask
from graphkit.errors import UserError
from graphkit.files import ARRAY_DAMAGE, atomic_write

__all__ = ["CityGraph"]

_FORMAT = 1
_NODE_SPLITS = ("train", "valid", "test")


@dataclass(eq=False)
class CityGraph:
    """An undirected street network with what is known of its junctions and streets.

    Args:
        name: what it is called.
        edge_index: ``[2, 2E]`` int64, both directions of each street, sorted, without repeats and self-loops.
        x: ``[N, F]`` float32; for ``city37`` the 12 columns of ``x_node`` and the means of ``edge_attr`` over the streets
            of a node.
        x_node: ``[N, 12]`` float32: longitude, latitude (or metres), street count, land use.
        edge_attr: ``[2E, 25]`` float32: length (m), speed (km/h), one-way, lanes, reversed, highway.
        y: ``[N]`` int64 classes, 0 the most accessible.
        ecc: ``[N]`` float64, the score behind the classes (unit of the lengths, metres as a rule); None where unknown.
        pos: ``[N, 2]`` float64: longitude and latitude in degrees, or x and y in metres (``meta["crs"]``).
        masks: ``train``, ``valid`` and ``test``, each ``[N]`` bool.
        feature_names: of the columns of ``x``.
        vocab: categories of each block of columns, in their order; None where unknown.
        node_ids: names of the junctions at the source, or None.
        meta: how it was made, plain values.

    Raises:
        UserError: for tensors that do not fit together.

    Example:
        >>> from graphkit.datasets import build_city
        >>> city = build_city("synthetic:grid:60")
        >>> city.x.shape[1], sorted(city.y.unique().tolist()) == list(range(10))
        (37, True)
    """

    name: str
    edge_index: Tensor
    x: Tensor
    x_node: Tensor
    edge_attr: Tensor | None
    y: Tensor
    ecc: Tensor | None
    pos: Tensor
    masks: dict[str, Tensor]
    feature_names: list[str] | None = None
    vocab: dict[str, list[str]] | None = None
    node_ids: list[str] | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, e = len(self.y), self.edge_index.shape[-1]
        fits = self.edge_index.shape == (2, e) and self.x.dim() == 2 and len(self.x) == len(self.x_node) == n
        fits &= self.pos.shape == (n, 2) and (self.ecc is None or len(self.ecc) == n)
        fits &= self.edge_attr is None or len(self.edge_attr) == e
        fits &= set(self.masks) == set(_NODE_SPLITS) and all(mask.shape == (n,) for mask in self.masks.values())
        if not fits:
            raise UserError(
                f"{self.name}: features {list(self.x.shape)}, edges {list(self.edge_index.shape)}, labels [{n}] and masks do not "
                "fit together"
            )

    def __repr__(self) -> str:
        return (
            f"CityGraph({self.name!r}, nodes={self.num_nodes}, streets={self.edge_index.shape[1] // 2}, "
            f"features={self.x.shape[1]}, classes={self.num_classes})"
        )

    @property
    def num_nodes(self) -> int:
        return len(self.y)

    @property
    def num_classes(self) -> int:
        return int(self.y.max()) + 1 if len(self.y) else 0

    @property
    def digest(self) -> str:
        """SHA-256 of edges, positions to six decimals and labels: equal for equal cities, whatever made them.

        Example:
            >>> from graphkit.datasets import build_city
            >>> build_city("synthetic:grid:60").digest == build_city("synthetic:grid:60", num_threads=1).digest
            True
        """
        whole = hashlib.sha256(self.edge_index.contiguous().numpy().tobytes())
        whole.update((np.round(self.pos.numpy(), 6) + 0.0).tobytes())
        whole.update(self.y.numpy().tobytes())
        return whole.hexdigest()

    def data(self, *, structure_only: bool = False) -> Any:
        """PyG's container with ``x``, ``edge_index``, ``y``, ``pos``, ``ecc``, ``edge_attr`` and masks.

        Args:
            structure_only: whether to leave out the features.
        """
        from torch_geometric.data import Data

        data = Data(edge_index=self.edge_index, y=self.y, pos=self.pos, num_nodes=self.num_nodes)
        if not structure_only:
            data.x = self.x
            if self.edge_attr is not None:
                data.edge_attr = self.edge_attr
        if self.ecc is not None:
            data.ecc = self.ecc
        data.train_mask, data.val_mask, data.test_mask = (self.masks[split] for split in _NODE_SPLITS)
        return data

    def task(self) -> NodeTask:
        """Classification of the junctions. The classes are ordered; the score behind them is not part of what a model sees.

        Example:
            >>> from graphkit.datasets import build_city
            >>> build_city("synthetic:grid:60").task().directed
            False
        """
        data = self.data()
        if self.ecc is not None:
            del data.ecc
        provenance = {"city": {key: value for key, value in self.meta.items()}, "digest": self.digest}
        return NodeTask(self.name, data, directed=False, ordered=True, score=self.ecc, provenance=provenance)

    def line_graph(self) -> Tensor:
        """``[2, L]`` int64: pairs of columns of ``edge_index`` that follow each other in a node, for learning on streets.

        A street does not follow its own opposite direction.

        Example:
            >>> from graphkit.datasets import build_city
            >>> build_city("synthetic:grid:60").line_graph().shape[0]
            2
        """
        source, target = self.edge_index
        ptr = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(source, minlength=self.num_nodes).cumsum(0)])
        degree = (ptr[1:] - ptr[:-1])[target]
        first = torch.repeat_interleave(torch.arange(len(target)), degree)
        offset = torch.arange(len(first)) - (degree.cumsum(0) - degree)[first]
        second = ptr[target][first] + offset
        keep = target[second] != source[first]
        return torch.stack([first[keep], second[keep]])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to one ``.npz`` file, whole or not at all.

        Raises:
            UserError: for another ending.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise UserError(f"{path} does not end in .npz; name the file NAME.npz")
        arrays = {
            "edge_index": self.edge_index, "x": self.x, "x_node": self.x_node, "edge_attr": self.edge_attr, "y": self.y,
            "ecc": self.ecc, "pos": self.pos, **{f"{split}_mask": mask for split, mask in self.masks.items()},
        }  # fmt: skip
        words = {
            "format": _FORMAT, "name": self.name, "feature_names": self.feature_names, "vocab": self.vocab,
            "node_ids": self.node_ids, "meta": self.meta,
        }  # fmt: skip
        text = np.frombuffer(json.dumps(words, ensure_ascii=False).encode("utf-8"), dtype=np.uint8)
        kept = {key: value.numpy() for key, value in arrays.items() if value is not None}
        with atomic_write(path) as file:
            np.savez_compressed(file, allow_pickle=False, words=text, **kept)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CityGraph:
        """What :meth:`save` wrote.

        Raises:
            UserError: for a missing or damaged file, or one of another format.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                words = json.loads(file["words"].tobytes().decode("utf-8"))
                if words["format"] != _FORMAT:
                    raise UserError(f"{path} has format {words['format']!r}, expected {_FORMAT}; build the city again")
                arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != "words"}
            masks = {split: arrays.pop(f"{split}_mask") for split in _NODE_SPLITS}
            words.pop("format")
            optional: dict[str, Any] = {"edge_attr": None, "ecc": None, **arrays}
            return cls(**words, **optional, masks=masks)
        except FileNotFoundError:
            raise UserError(f"there is no file {path}; expected one that CityGraph.save wrote") from None
        except ARRAY_DAMAGE as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path} is damaged or was not written by CityGraph.save ({error})") from None

    def write_reference(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write the files of the published archives: plain tensors, masks as indices, as the reference generator does.

        Put the folder as ``ROOT/NAME/raw/NAME`` (or pack it as ``NAME.tar.gz``) for
        :class:`torch_geometric.datasets.CityNetwork`. What is unknown, such as the score, is left out.

        Returns:
            the paths written.
        """
        files = {
            "node_features_augmented.pt": self.x,
            "node_features.pt": self.x_node,
            "edge_indices.pt": self.edge_index,
            "edge_features.pt": self.edge_attr,
            f"{self.meta.get('n_classes', 10)}-chunk_{self.meta.get('k', 16)}-hop_node_labels.pt": self.y,
            f"{self.meta.get('k', 16)}-hop_eccentricities.pt": None if self.ecc is None else self.ecc.float(),
            **{f"{split}_mask.pt": self.masks[split].nonzero().flatten() for split in _NODE_SPLITS},
        }
        written = []
        for name, tensor in files.items():
            if tensor is not None:
                with atomic_write(Path(folder) / name) as file:
                    torch.save(tensor.clone(), file)
                written.append(Path(folder) / name)
        return written
