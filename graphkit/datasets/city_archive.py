"""The published archives of City-Networks: told apart by their content, read without unpacking, checked."""

from __future__ import annotations

import io
import tarfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from graphkit.data import CityGraph
from graphkit.datasets.card import Card
from graphkit.datasets.catalogue import card
from graphkit.datasets.city_features import NUMERIC_COLUMNS
from graphkit.datasets.integrity import git_blob, other_version
from graphkit.datasets.stored_graph import StoredGraph
from graphkit.datasets.torch_files import read_torch_tensor
from graphkit.errors import DataWarning, UserError, nearest

__all__ = ["CITIES", "VERIFY", "check_generation", "published", "read_city", "read_city_network"]

CITIES = ("paris", "shanghai", "la", "london")
VERIFY = ("warn", "strict", "off")

_NEEDED = {
    "x": "node_features_augmented.pt",
    "x_node": "node_features.pt",
    "edge_index": "edge_indices.pt",
    "y": "10-chunk_16-hop_node_labels.pt",
    "train": "train_mask.pt",
    "valid": "valid_mask.pt",
    "test": "test_mask.pt",
}
_OPTIONAL = {"edge_attr": "edge_features.pt", "ecc": "16-hop_eccentricities.pt"}
_FILES = {**_NEEDED, **_OPTIONAL}


def published(name: str) -> Card | None:
    """The card of a published city, or None."""
    return card(f"city/{name}") if name in CITIES else None


def check_generation(path: Path, name: str, verify: str = "warn") -> str:
    """The git blob id of an archive, after it was compared with the published one.

    Args:
        path: the archive.
        name: of the city; one that was not published is not compared.
        verify: ``"strict"`` refuses another archive, ``"warn"`` warns, ``"off"`` says nothing.

    Raises:
        UserError: for an unknown ``verify``, and with ``"strict"`` another archive; a known earlier one is named.
    """
    if verify not in VERIFY:
        raise UserError(nearest(str(verify), VERIFY, "verify"))
    entry = published(name)
    other = None if entry is None or verify == "off" else other_version(entry, entry.files[0], path)
    if other is not None and verify == "strict":
        raise UserError(other)
    if other is not None:
        warnings.warn(other, DataWarning, stacklevel=3)
    return git_blob(path)


def read_city(source: Path, name: str, *, verify: str = "warn") -> CityGraph:
    """The city in an archive or in a folder of its ``.pt`` files.

    Masks may be bool or indices. An archive is read in place: nothing is unpacked, members under other names are ignored, links and
    paths that lead out of it are refused.

    Args:
        source: ``NAME.tar.gz``, or a folder that holds the files or a folder NAME with them.
        name: of the city; for the four published ones the sizes are checked, unless ``verify`` is ``"off"``.
        verify: as in :func:`check_generation`.

    Raises:
        UserError: for missing, damaged or foreign content, tensors that do not fit together, edges in one direction only, nodes
            in two splits.
    """
    meta: dict[str, object] = {"name": name}
    if source.is_dir():
        folder = source if (source / _FILES["edge_index"]).exists() or not (source / name).is_dir() else source / name
        found = _collect(lambda file: folder / file if (folder / file).is_file() else None, str(folder))
    elif not source.exists():
        raise UserError(f"there is no archive {source}")
    else:
        meta["git_blob"] = check_generation(source, name, verify)
        found = _from_archive(source, name)
    city = _checked(found, str(source), name, meta)
    entry = published(name)
    if verify != "off" and entry is not None:
        nodes, edges = (entry.statistics[key] for key in ("nodes", "edges"))
        if (city.num_nodes, city.edge_index.shape[1]) != (nodes, 2 * edges):
            sizes = f"{city.num_nodes} nodes and {city.edge_index.shape[1]} directed edges"
            text = f"{source} holds {sizes}; {name} has {nodes} and {2 * edges}"
            if verify == "strict":
                raise UserError(text + "; replace it by the published archive")
            warnings.warn(text, DataWarning, stacklevel=2)
    return city


def _collect(find: Callable[[str], Path | io.BytesIO | None], where: str) -> dict[str, Tensor]:
    found = {}
    for key, file in _FILES.items():
        held = find(file)
        if held is not None:
            found[key] = read_torch_tensor(held, f"{file} of {where}")
        elif key in _NEEDED and not (
            (key == "x" and find(_FILES["x_node"])) or (key == "x_node" and find(_FILES["x"]))
        ):
            raise UserError(f"{where} lacks {file}; expected {', '.join(_NEEDED.values())}")
    return found


def _from_archive(path: Path, name: str) -> dict[str, Tensor]:
    held: dict[str, io.BytesIO] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                parts = Path(member.name).parts
                if member.issym() or member.islnk() or member.isdev() or member.name.startswith("/") or ".." in parts:
                    raise UserError(
                        f"{path} holds {member.name!r}, a link or a path out of the archive; it is not read"
                    )
                if member.isfile() and len(parts) == 2 and parts[0] == name and parts[1] in _FILES.values():
                    file = archive.extractfile(member)
                    assert file is not None
                    held[parts[1]] = io.BytesIO(file.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path} is damaged or no .tar.gz file ({error}); fetch it again") from None
    return _collect(held.get, f"the folder {name} of {path}")


def _checked(found: dict[str, Tensor], where: str, name: str, meta: dict[str, object]) -> CityGraph:
    edge_index, y = found["edge_index"], found["y"]
    n = y.numel()
    if y.dim() != 1 or y.dtype != torch.int64 or not n or int(y.min()) < 0:
        raise UserError(f"{where}: labels are {y.dtype} {list(y.shape)}, expected int64 [N] classes from 0")
    if edge_index.dim() != 2 or edge_index.shape[0] != 2 or edge_index.dtype != torch.int64:
        raise UserError(f"{where}: edges are {edge_index.dtype} {list(edge_index.shape)}, expected int64 [2, E]")
    for key in ("x", "x_node"):
        if key in found and (found[key].dim() != 2 or len(found[key]) != n or not bool(found[key].isfinite().all())):
            raise UserError(f"{where}: {_FILES[key]} is {list(found[key].shape)}, expected finite numbers [{n}, F]")
    if edge_index.numel() and not (int(edge_index.min()) >= 0 and int(edge_index.max()) < n):
        raise UserError(f"{where}: an edge leads out of the nodes 0 .. {n - 1}")
    if bool((edge_index[0] == edge_index[1]).any()):
        raise UserError(f"{where} holds self-loops; the published cities have none")
    forth, back = edge_index[0] * n + edge_index[1], edge_index[1] * n + edge_index[0]
    if not torch.equal(forth.sort().values, back.sort().values):
        raise UserError(
            f"{where} holds edges in one direction only; the first archives were directed: replace it by "
            "the archive of commit ac754fb"
        )
    masks = {split: _mask(found[split], n, split, where) for split in ("train", "valid", "test")}
    twice = sum(mask.int() for mask in masks.values())
    if bool((twice > 1).any()):  # type: ignore[union-attr]
        raise UserError(f"{where}: node {int((twice > 1).nonzero()[0])} is in two splits")  # type: ignore[union-attr]
    x_node = found.get("x_node", found["x"][:, :12] if "x" in found else None)
    x = found.get("x", x_node)
    assert x is not None and x_node is not None
    ecc = found.get("ecc")
    return CityGraph(
        name, edge_index, x.float(), x_node.float(), found.get("edge_attr"), y, None if ecc is None else ecc.double().flatten(),
        x_node[:, :2].double(), masks, meta={**meta, "k": 16, "n_classes": int(y.max()) + 1, "crs": "lonlat"},
    )  # fmt: skip


def _mask(values: Tensor, n: int, split: str, where: str) -> Tensor:
    """bool ``[N]``, from bool ``[N]`` or indices."""
    if values.dim() == 1 and values.dtype in (torch.bool, torch.uint8) and len(values) == n:
        return values.bool()
    if values.dim() != 1 or values.dtype not in (torch.int32, torch.int64):
        raise UserError(
            f"{where}: the {split} mask is {values.dtype} {list(values.shape)}, expected bool [{n}] or indices"
        )
    index = values.long()
    if len(index) and not (int(index.min()) >= 0 and int(index.max()) < n):
        raise UserError(
            f"{where}: the {split} mask names node {int(index[(index < 0) | (index >= n)][0])}, expected ids in [0, {n})"
        )
    if len(index.unique()) != len(index):
        raise UserError(f"{where}: the {split} mask names a node twice; expected bool [{n}] or different indices")
    mask = torch.zeros(n, dtype=torch.bool)
    mask[index] = True
    return mask


def read_city_network(source: Path, *, name: str) -> StoredGraph:
    """A city as :func:`graphkit.datasets.load` takes it; an archive must be the published one.

    Raises:
        UserError: as :func:`read_city` with ``verify="strict"``.
    """
    city = read_city(source, name, verify="strict")
    masks = {"official": {split: mask[None] for split, mask in city.masks.items()}}
    numeric = NUMERIC_COLUMNS if city.x.shape[1] == 37 else None
    return StoredGraph(
        city.edge_index,
        city.num_nodes,
        city.x,
        city.y,
        masks,
        pos=city.pos,
        numeric=numeric,
        ordered=True,
        score=city.ecc,
    )
