"""Data sets that come in versions: another version than the card's is told apart before anything is read."""

from __future__ import annotations

import os
import re
from pathlib import Path

from graphkit.datasets.card import Card
from graphkit.datasets.locate import download_folder, possible_folders
from graphkit.errors import UserError

__all__ = ["check_release"]

_RELEASE = re.compile(r"RELEASE_v(\d+)\.txt")


def check_release(entry: Card, root: str | os.PathLike[str] | None = None) -> None:
    """Refuse a folder that holds another version of the data set, by the name of its release note.

    OGB puts ``RELEASE_v1.txt`` into the folder of a data set. A folder without any note is refused later, by the name of
    the missing file.

    Raises:
        UserError: naming the folder, the version found and the one expected.

    Example:
        >>> from graphkit.datasets import card
        >>> check_release(card("umls"))  # has no versions
    """
    wanted = next((file.path for file in entry.files if _RELEASE.fullmatch(file.path)), None)
    if wanted is None:
        return
    for folder in _folders(entry, root):
        found = sorted(path.name for path in folder.glob("RELEASE_v*.txt") if _RELEASE.fullmatch(path.name))
        if found and wanted not in found:
            raise UserError(
                f"{folder} holds version {_version(found[-1])} of {entry.name!r} ({found[-1]}), expected version "
                f"{_version(wanted)} ({wanted}); move that folder aside, then place version {_version(wanted)} there or "
                f"fetch it with `graphkit data fetch {entry.name}`; nothing was changed"
            )


def _folders(entry: Card, root: str | os.PathLike[str] | None) -> list[Path]:
    if root is not None:
        return possible_folders(entry, root, deep=True)
    data = os.environ.get("GRAPHKIT_DATA")
    return [*(possible_folders(entry, data) if data else []), download_folder(entry)]


def _version(name: str) -> str:
    found = _RELEASE.fullmatch(name)
    assert found is not None
    return found.group(1)
