"""Files whose card knows no hash: the first one seen is recorded, and later ones must be the same."""

from __future__ import annotations

import json
from pathlib import Path

from graphkit.datasets.card import Card, CardFile
from graphkit.datasets.locate import cache_folder
from graphkit.errors import UserError
from graphkit.files import atomic_write

__all__ = ["pin", "pin_path", "pinned"]


def pin_path(entry: Card, file: CardFile) -> Path:
    """Where the record of a file is kept: the folder ``pins`` of the cache."""
    return cache_folder() / "pins" / entry.slug / f"{file.path}.json"


def pinned(entry: Card, file: CardFile) -> tuple[int, str] | None:
    """The (size, sha256) that was recorded of a file; None where none was seen yet.

    Raises:
        UserError: when the record is damaged; it is not taken for a missing one, or any file would pass.
    """
    path = pin_path(entry, file)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return int(record["bytes"]), str(record["sha256"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"the record {path} of {file.path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"the record {path} of {file.path} of the data set {entry.name!r} is damaged; "
            "make sure that the file is the right one, then remove the record to pin it anew"
        ) from None


def pin(entry: Card, file: CardFile, size: int, digest: str) -> None:
    """Record a file that no record knows.

    Raises:
        UserError: when the record cannot be written; without it a later file could not be compared.
    """
    path = pin_path(entry, file)
    record = {"data set": entry.name, "file": file.path, "bytes": size, "sha256": digest, "address": file.url}
    try:
        with atomic_write(path) as out:
            out.write((json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))
    except OSError as error:
        raise UserError(
            f"the card of {entry.name!r} knows no hash of {file.path}, and its first hash cannot be recorded as {path} "
            f"({error.strerror}); set GRAPHKIT_CACHE to a folder that can be written to"
        ) from None
