"""Fetching files into the cache."""

from __future__ import annotations

import os
from pathlib import Path

import requests

from graphkit.datasets.archive import unpack_archive
from graphkit.datasets.card import Card, CardFile
from graphkit.datasets.catalogue import card
from graphkit.datasets.integrity import check_file
from graphkit.datasets.locate import Place, download_folder, expected_path, locate
from graphkit.datasets.pins import pinned
from graphkit.datasets.release import check_release
from graphkit.datasets.transfer import reason, retrieve
from graphkit.errors import UserError

__all__ = ["download", "fetch", "obtain"]


def download(entry: Card, file: CardFile, *, progress: bool = False) -> Path:
    """Fetch one file into the cache, under its name only once its hash is right.

    A hash that the card does not know is recorded with the first fetch.

    Raises:
        UserError: with ``GRAPHKIT_OFFLINE`` set, for a file without an address, a failing connection, a full disk,
            or a wrong hash; it says which file to place where.
    """
    by_hand = f"or place it by hand as {expected_path(entry, file, '$GRAPHKIT_DATA')}"
    missing = f"{file.path} of the data set {entry.name!r} is not on this machine"
    if file.url is None:
        raise UserError(f"{missing} and has no address to fetch it from; {by_hand.removeprefix('or ')}")
    if os.environ.get("GRAPHKIT_OFFLINE", "0") not in ("", "0"):
        raise UserError(f"{missing} and GRAPHKIT_OFFLINE is set; unset it to fetch {file.url}, {by_hand}")
    folder = download_folder(entry)
    first = pinned(entry, file) if file.sha256 is None else None
    digest = first[1] if first else file.sha256
    try:
        # pooch writes to a temporary file, compares the hash and only then gives the file its name.
        path = retrieve(file.url, folder, file.path, digest, progress=progress)
    except requests.exceptions.RequestException as error:
        raise UserError(f"{missing} and fetching {file.url} failed ({reason(error)}); try again, {by_hand}") from None
    except ValueError as error:
        what = "the data set {!r} had at its first use" if first else "the card of {!r} expects"
        raise UserError(f"{file.url} is not what {what.format(entry.name)} ({error}); {by_hand}") from None
    except OSError as error:
        raise UserError(f"{file.path} of {entry.name!r} cannot be written to {folder} ({error.strerror})") from None
    check_file(entry, file, path)
    return path


def obtain(
    entry: Card, root: str | os.PathLike[str] | None = None, *, progress: bool = False
) -> list[tuple[CardFile, Place, str]]:
    """Every file of a card, found or fetched, and verified: (file, place, sha256).

    Raises:
        UserError: for files that are missing, altered or out of reach.
    """
    check_release(entry, root)
    result = []
    places = list(dict.fromkeys(locate(entry, root)))
    missing = [place.file for place in places if place.path is None]
    if entry.archive is not None and missing:
        raise _in_archive(entry, missing, len(places))
    for place in places:
        file = entry.file(place.file)
        if place.path is None:
            place = Place(file.path, download(entry, file, progress=progress), "cache")
        assert place.path is not None
        result.append((file, place, check_file(entry, file, place.path)))
    return result


def _in_archive(entry: Card, missing: list[str], total: int) -> UserError:
    assert entry.archive is not None
    what = f"none of the {total} files of the data set {entry.name!r} is on this machine"
    if len(missing) < total:
        what = (
            f"{', '.join(missing)} of the data set {entry.name!r} {'is' if len(missing) == 1 else 'are'} not on this machine "
            f"({total - len(missing)} of its {total} files are)"
        )
    return UserError(
        f"{what}; `graphkit data fetch {entry.name}` fetches and unpacks the archive {entry.archive['url']}, or place the "
        f"archive's folder {entry.archive['folder']} by hand as $GRAPHKIT_DATA/{entry.folders[0]}"
    )


def fetch(
    name: str, root: str | os.PathLike[str] | None = None, *, variant: str | None = None, progress: bool = False
) -> list[Place]:
    """Make sure that every file of a data set is on this machine and whole; fetch what is missing.

    Args:
        name: name of the data set.
        root: look here only, and fetch nothing.
        variant: member of a family.
        progress: whether to show a bar while fetching.

    A data set that is published as one archive is fetched here and nowhere else.

    Returns:
        (file, path, origin) for each file.

    Raises:
        UserError: for an unknown data set, no connection, or an altered file.

    Example:
        >>> fetch("umls")[0].file  # doctest: +SKIP
        'train.txt'
    """
    entry = card(name, variant=variant)
    if root is None:
        check_release(entry)
        unpack_archive(entry, progress=progress)
    return [place for _, place, _ in obtain(entry, root, progress=progress)]
