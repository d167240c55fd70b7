"""Knowledge graphs in the files of the Open Graph Benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.data import OGBKnowledgeGraphTask
from graphkit.datasets.ogb_names import read_mapping, read_rows, whole_number
from graphkit.datasets.torch_files import read_torch_file
from graphkit.errors import UserError, nearest

__all__ = ["read_ogb_knowledge_graph"]

_SPLITS = ("train", "valid", "test")
_TYPED, _UNTYPED = "num-node-dict.csv.gz", "num-node-list.csv.gz"
_RELATIONS = ("relidx2relname.csv.gz", "reltype2relid.csv.gz")
_ONE_TYPE = ""  # no entity type of OGB's has this name


def read_ogb_knowledge_graph(name: str, paths: Mapping[str, Path]) -> OGBKnowledgeGraphTask:
    """The task in OGB's files, as OGB unpacks them.

    * ``split/*/train.pt``, ``valid.pt``, ``test.pt``: mappings with ``head``, ``relation`` and ``tail`` ([n] whole
      numbers), for typed entities ``head_type`` and ``tail_type`` (n names), beyond train ``head_neg`` and ``tail_neg``
      ([n, K]; of the type of what they replace). Entities are numbered within their type.
    * ``raw/num-node-dict.csv.gz`` (typed: a column of one number a type) or ``raw/num-node-list.csv.gz``.
    * ``mapping/TYPE_entidx2name.csv.gz`` or ``mapping/nodeidx2entityid.csv.gz``, and ``mapping/relidx2relname.csv.gz`` or
      ``mapping/reltype2relid.csv.gz``: a title, then a number and a name a line.

    Ids are OGB's; of typed entities those of the first type come first, types in the order of their names, and a name
    gets its type in front: ``drug:CID000002173``. The ``.pt`` files are read without running anything
    (:func:`graphkit.datasets.torch_files.read_torch_file`).

    Args:
        name: name of the data set.
        paths: the files by their path below the folder of the data set.

    Raises:
        UserError: for a missing, damaged or unexpected file; the file is named.

    Source:
        Hu et al., Open Graph Benchmark: Datasets for Machine Learning on Graphs, NeurIPS 2020.

    Example:
        >>> read_ogb_knowledge_graph("ogbl-biokg", paths).entity_types["drug"]  # doctest: +SKIP
        10533
    """
    files = {Path(path).name: place for path, place in paths.items()}
    missing = [f"{split}.pt" for split in _SPLITS if f"{split}.pt" not in files]
    if not any(count in files for count in (_TYPED, _UNTYPED)):
        missing.append(f"{_TYPED} or {_UNTYPED}")
    if not any(relations in files for relations in _RELATIONS):
        missing.append(" or ".join(_RELATIONS))
    if missing:
        raise UserError(f"the files of {name!r} lack {', '.join(missing)}; unpack OGB's archive as a whole")
    sizes = _sizes(files)
    entities = _entity_names(files, sizes)
    relations = read_mapping(next(files[known] for known in _RELATIONS if known in files))
    ids = _Ids(sizes, len(relations))
    triples, negatives = {}, {}
    for split in _SPLITS:
        path = files[f"{split}.pt"]
        content = read_torch_file(path)
        triples[split] = ids.triples(content, path)
        if split != "train":
            negatives[split] = ids.negatives(content, path)
    return OGBKnowledgeGraphTask(
        name, triples["train"], triples["valid"], triples["test"], entities, _told_apart(relations), negatives,
        None if list(sizes) == [_ONE_TYPE] else sizes,
    )  # fmt: skip


def _sizes(files: Mapping[str, Path]) -> dict[str, int]:
    """Number of entities of each type, in the order of their names."""
    path = files[_TYPED if _TYPED in files else _UNTYPED]
    rows = read_rows(path)
    names = rows[0] if path.name == _TYPED else [_ONE_TYPE]
    counts = rows[-1]
    if len(rows) != 1 + (path.name == _TYPED) or len(counts) != len(names) or None in map(whole_number, counts):
        raise UserError(f"{path} should hold one whole number a type of entity, for a single graph")
    return {kind: int(count) for kind, count in sorted(zip(names, counts, strict=True))}


def _entity_names(files: Mapping[str, Path], sizes: Mapping[str, int]) -> list[str]:
    result: list[str] = []
    for kind, size in sizes.items():
        file = "nodeidx2entityid.csv.gz" if kind == _ONE_TYPE else f"{kind}_entidx2name.csv.gz"
        if file not in files:
            raise UserError(f"there is no mapping/{file} for the entities of type {kind!r}")
        names = read_mapping(files[file])
        if len(names) != size:
            raise UserError(f"{files[file]} names {len(names)} entities, expected {size}")
        result += names if kind == _ONE_TYPE else [f"{kind}:{one}" for one in names]
    return _told_apart(result)


class _Ids:
    """Checks OGB's arrays and turns numbers within a type into ids."""

    def __init__(self, sizes: Mapping[str, int], num_relations: int) -> None:
        self.kinds, self.num_relations = list(sizes), num_relations
        self.size = np.array(list(sizes.values()), dtype=np.int64)
        self.start = np.cumsum(self.size) - self.size

    def triples(self, content: Mapping[str, Any], path: Path) -> Tensor:
        """[n, 3] int64."""
        rows = len(_whole(content, "head", path, 1))
        head, tail = (self._entities(content, side, side, path, rows) for side in ("head", "tail"))
        relation = _whole(content, "relation", path, 1)
        if len(relation) != rows or (rows and not (relation.min() >= 0 and relation.max() < self.num_relations)):
            raise UserError(
                f"{path}: 'relation' should hold {rows} numbers below {self.num_relations}, the number of relations"
            )
        return torch.from_numpy(np.stack([head, relation, tail], axis=1))

    def negatives(self, content: Mapping[str, Any], path: Path) -> tuple[Tensor, Tensor]:
        """(tail negatives [n, K], head negatives [n, K]), int32 to halve their size."""
        rows = len(_whole(content, "head", path, 1))
        tail, head = (self._entities(content, f"{side}_neg", side, path, rows) for side in ("tail", "head"))
        return torch.from_numpy(tail.astype(np.int32)), torch.from_numpy(head.astype(np.int32))

    def _entities(self, content: Mapping[str, Any], key: str, side: str, path: Path, rows: int) -> np.ndarray:
        values = _whole(content, key, path, 2 if key.endswith("_neg") else 1)
        kind = self._kinds(content, f"{side}_type", path, rows)
        if len(values) != rows:
            raise UserError(f"{path}: {key!r} has {len(values)} rows, expected {rows}")
        shape = (-1,) + (1,) * (values.ndim - 1)
        bad = (values < 0) | (values >= self.size[kind].reshape(shape))
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            raise UserError(
                f"{path}: row {row} of {key!r} names an entity outside of 0 .. {self.size[kind][row] - 1}"
                + (f" of type {self.kinds[kind[row]]!r}" if self.kinds != [_ONE_TYPE] else "")
            )
        return values + self.start[kind].reshape(shape)

    def _kinds(self, content: Mapping[str, Any], key: str, path: Path, rows: int) -> np.ndarray:
        """Place of the type of each row."""
        if self.kinds == [_ONE_TYPE]:
            return np.zeros(rows, dtype=np.int64)
        if key not in content:
            raise UserError(f"{path} has no {key!r}; expected the types of {rows} entities")
        names = content[key]
        place = {kind: i for i, kind in enumerate(self.kinds)}
        try:
            kinds = np.fromiter((place[name] for name in names), dtype=np.int64)
        except KeyError as error:
            raise UserError(f"{path}: " + nearest(str(error.args[0]), self.kinds, "type of entity")) from None
        except TypeError:
            kinds = np.zeros(0, dtype=np.int64)
        if len(kinds) != rows:
            raise UserError(f"{path}: {key!r} should be a list of {rows} names of types")
        return kinds


def _whole(content: Mapping[str, Any], key: str, path: Path, dimensions: int) -> np.ndarray:
    if key not in content:
        raise UserError(f"{path} has no {key!r}; it has {', '.join(map(repr, content)) or 'nothing'}")
    values = content[key]
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu" or values.ndim != dimensions:
        shape = "[n]" if dimensions == 1 else "[n, K]"
        found = f"{values.dtype} {list(values.shape)}" if isinstance(values, np.ndarray) else type(values).__name__
        raise UserError(f"{path}: {key!r} is {found}, expected an array of whole numbers {shape}")
    return values.astype(np.int64)


def _told_apart(names: list[str]) -> list[str]:
    """Names must be unique: those that occur several times get their id behind them."""
    count = Counter(names)
    if len(count) == len(names):
        return names
    return [name if count[name] == 1 else f"{name} #{i}" for i, name in enumerate(names)]
