"""Data sets that are published as one archive: fetched when asked for, never on the side of a load."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
import zlib
from pathlib import Path

import requests

from graphkit.datasets.card import Card, CardFile
from graphkit.datasets.locate import download_folder, locate
from graphkit.datasets.transfer import reason, retrieve
from graphkit.errors import UserError
from graphkit.files import atomic_write

__all__ = ["unpack_archive"]


def unpack_archive(entry: Card, *, progress: bool = False) -> None:
    """Fetch the archive of a data set and keep the card's files of it in the cache; the archive itself is removed.

    Nothing happens where all files are here already. Only the members that the card names are unpacked, under the names
    of the card, so a path inside of the archive leads nowhere else.

    Raises:
        UserError: with ``GRAPHKIT_OFFLINE`` set, for a failing connection, a damaged archive, one that lacks a file of the
            card, or a full disk.

    Example:
        >>> from graphkit.datasets import card
        >>> unpack_archive(card("ogbl-biokg"))  # doctest: +SKIP
    """
    missing = [file for file, place in zip(entry.files, locate(entry), strict=True) if place.path is None]
    if entry.archive is None or not missing:
        return
    url, folder = entry.archive["url"], download_folder(entry)
    by_hand = f"or unpack it by hand as $GRAPHKIT_DATA/{entry.folders[0]}"
    if os.environ.get("GRAPHKIT_OFFLINE", "0") not in ("", "0"):
        raise UserError(
            f"{entry.name!r} is not on this machine and GRAPHKIT_OFFLINE is set; unset it to fetch {url}, {by_hand}"
        )
    try:
        archive = retrieve(url, folder, ".archive.zip", None, progress=progress)
    except requests.exceptions.RequestException as error:
        raise UserError(f"fetching {url} failed ({reason(error)}); try again, {by_hand}") from None
    except OSError as error:
        raise UserError(f"{url} cannot be written to {folder} ({error.strerror})") from None
    try:
        _unpack(entry, missing, archive, folder)
    finally:
        # A damaged archive would otherwise be taken for a fetched one the next time.
        with contextlib.suppress(OSError):
            archive.unlink()


def _unpack(entry: Card, files: list[CardFile], archive: Path, folder: Path) -> None:
    assert entry.archive is not None
    inside = entry.archive["folder"]
    try:
        with zipfile.ZipFile(archive) as members:
            names = set(members.namelist())
            prefix = "" if inside == "." else f"{inside}/"
            lacking = [file.path for file in files if f"{prefix}{file.path}" not in names]
            if lacking:
                # A large archive that was cut off may end in one of its members that is an archive itself.
                raise UserError(
                    f"{entry.archive['url']} lacks or was cut off before {', '.join(lacking)} in its folder {inside}"
                )
            for file in files:
                # Reading to the end checks the member's CRC; only then does the file get its name.
                with members.open(f"{prefix}{file.path}") as source, atomic_write(folder / file.path) as target:
                    shutil.copyfileobj(source, target, 2**20)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(f"{entry.archive['url']} is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise UserError(
            f"{entry.name!r} cannot be unpacked to {folder} ({error.strerror}); make room, then fetch again"
        ) from None
