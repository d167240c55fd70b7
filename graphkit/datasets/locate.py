"""Where the files of a data set are."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import NamedTuple

import pooch

from graphkit.datasets.card import Card, CardFile
from graphkit.datasets.catalogue import card
from graphkit.errors import UserError
from graphkit.shipped import shipped

__all__ = ["Place", "cache_folder", "download_folder", "expected_path", "locate", "possible_folders", "where"]


class Place(NamedTuple):
    """Where a file is: its name, the path (None: nowhere yet) and what led there.

    Example:
        >>> Place("train.txt", None, "missing").path is None
        True
    """

    file: str
    path: Path | None
    origin: str


def cache_folder() -> Path:
    """Folder for downloads and processed forms: ``GRAPHKIT_CACHE``, or the user's cache folder of the system.

    Example:
        >>> cache_folder().name != ""
        True
    """
    return Path(os.environ.get("GRAPHKIT_CACHE") or pooch.os_cache("graphkit"))


def download_folder(entry: Card) -> Path:
    """Where downloads of a data set go."""
    return cache_folder() / "raw" / entry.slug


def expected_path(entry: Card, file: CardFile, root: str | os.PathLike[str]) -> Path:
    """Where the public layout puts a file under a root."""
    return Path(root) / entry.folders[0] / file.path


def locate(entry: Card, root: str | os.PathLike[str] | None = None) -> list[Place]:
    """The place of each file of a card, without opening a connection or looking inside; ``file`` is what was found, which
    may be a file that stands in the place of another.

    An explicit root is the only place looked at; it may be the folder that holds the families' folders, or any folder
    further down to the one that holds the files. Without one: ``GRAPHKIT_DATA``, then an installed distribution that
    carries the file, the samples that travel with graphkit, then the download cache.

    Raises:
        UserError: when a root is given and a file is not there; the files expected are named.
    """
    if root is None:
        return [_search(entry, file) for file in entry.files]
    places = []
    for file in entry.files:
        name, path = _below(entry, file, root, deep=True) or (file.path, None)
        places.append(Place(name, path, "root"))
    missing = [file for file, place in zip(entry.files, places, strict=True) if place.path is None]
    if missing:
        expected = ", ".join(str(expected_path(entry, file, root)) for file in missing)
        raise UserError(f"root={str(root)!r} lacks files of the data set {entry.name!r}; expected {expected}")
    return places


def _search(entry: Card, file: CardFile) -> Place:
    data = os.environ.get("GRAPHKIT_DATA")
    if data and (found := _below(entry, file, data)):
        return Place(found[0], found[1], "GRAPHKIT_DATA")
    if file.wheel and (held := _in_distribution(**file.wheel)):
        return Place(file.path, *held)
    for folder, origin in ((_samples() / entry.slug, "graphkit"), (download_folder(entry), "cache")):
        for name in (file.path, *file.instead):
            if (path := folder / name).is_file():
                return Place(name, path, origin)
    return Place(file.path, None, "missing")


def _samples() -> Path:
    """The folder of the samples that travel with graphkit, one folder a data set."""
    try:
        return shipped("samples")
    except FileNotFoundError:  # a build without samples
        return Path("samples")


def possible_folders(entry: Card, root: str | os.PathLike[str], *, deep: bool = False) -> list[Path]:
    """Where the folder of a data set may be below a root; ``deep``: the root may lie anywhere on the way to it."""
    found = []
    for folder in entry.folders:
        parts = Path(folder).parts
        found += [Path(root).joinpath(*parts[skipped:]) for skipped in range(len(parts) + 1 if deep else 1)]
    return found


def _below(entry: Card, file: CardFile, root: str | os.PathLike[str], *, deep: bool = False) -> tuple[str, Path] | None:
    """(name, path) of a file, or of one that stands in its place."""
    for name in (file.path, *file.instead):
        for folder in possible_folders(entry, root, deep=deep):
            if (folder / name).is_file():
                return name, folder / name
    return None


def _in_distribution(distribution: str, member: str) -> tuple[Path, str] | None:
    """A file of an installed distribution, found without importing it."""
    try:
        found = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(member)))
    return (path, f"{distribution} {found.version}") if path.is_file() else None


def where(name: str, root: str | os.PathLike[str] | None = None, *, variant: str | None = None) -> list[Place]:
    """The place of each file of a data set: (file, path or None, origin).

    Origins are ``root``, ``GRAPHKIT_DATA``, a distribution with its version, ``graphkit`` (a sample), ``cache`` and
    ``missing``. Nothing is fetched or read.

    Raises:
        UserError: for an unknown data set, or a file missing from an explicit root.

    Example:
        >>> [place.file for place in where("umls")]
        ['train.txt', 'valid.txt', 'test.txt']
    """
    return locate(card(name, variant=variant), root)
