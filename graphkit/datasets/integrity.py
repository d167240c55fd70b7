"""Sizes and hashes of files against their card."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from graphkit.datasets.card import Card, CardFile
from graphkit.datasets.catalogue import card
from graphkit.datasets.locate import locate
from graphkit.datasets.pins import pin, pin_path, pinned
from graphkit.errors import UserError

__all__ = ["check_file", "git_blob", "other_version", "sha256", "verify"]


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal.

    Example:
        >>> len(sha256(__file__))
        64
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def git_blob(path: str | os.PathLike[str]) -> str:
    """The id that git gives to the content of a file: SHA-1 of ``blob SIZE``, a zero byte and the bytes.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a"
        >>> _ = path.write_bytes(b"hello" + bytes([10]))
        >>> git_blob(path)
        'ce013625030ba8dba906f756967f9e9ca394464a'
    """
    path = Path(path)
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def other_version(entry: Card, file: CardFile, path: Path) -> str | None:
    """What a file is instead of the one whose git blob id the card knows; None where it is that one, or no id is known."""
    if file.git_blob is None:
        return None
    found, wanted = git_blob(path), str(file.git_blob["id"])
    if found == wanted:
        return None
    earlier = next((what for id, what in file.git_blob["earlier"].items() if found.startswith(str(id))), None)
    what = f"an earlier version, {earlier}: other data under the same name" if earlier else "no version that is known"
    return (
        f"{path} of the data set {entry.name!r} is {what} (git blob {found}, expected {wanted}); replace the file by the one "
        f"from {file.url}"
    )


def check_file(entry: Card, file: CardFile, path: Path, *, record: bool = True) -> str:
    """The SHA-256 of a file that is what its card says.

    Where the card knows no hash, the first file seen is recorded in the cache and takes the card's place from then on;
    ``record=False`` only looks.

    Raises:
        UserError: for another size or hash, or a file that cannot be read; what was expected and found is named.
            Nothing is deleted.
    """
    try:
        size = path.stat().st_size
        found = sha256(path)
    except OSError as error:
        raise UserError(f"{path} of the data set {entry.name!r} cannot be read: {error.strerror}") from None
    if (size, found) in file.accepted:
        return found
    if not file.accepted:
        if other := other_version(entry, file, path):
            raise UserError(other)
        return _check_pin(entry, file, path, (size, found), record)
    fault = "truncated" if size < min(accepted for accepted, _ in file.accepted) else "altered"
    expected = " or ".join(f"{accepted} bytes with sha256 {digest}" for accepted, digest in file.accepted)
    raise UserError(
        f"{path} of the data set {entry.name!r} is {fault}: expected {expected}, found {size} bytes with sha256 "
        f"{found}; replace the file by the original" + (f" from {file.url}" if file.url else "")
    )


def _check_pin(entry: Card, file: CardFile, path: Path, seen: tuple[int, str], record: bool) -> str:
    first = pinned(entry, file)
    if first is None and record:
        pin(entry, file, *seen)
    if first is None or first == seen:
        return seen[1]
    raise UserError(
        f"{path} is not the {file.path} that the data set {entry.name!r} had at its first use: that one had {first[0]} "
        f"bytes with sha256 {first[1]}, this one has {seen[0]} bytes with sha256 {seen[1]}; put the first file back, or "
        f"remove its record {pin_path(entry, file)} if this one is right"
    )


def verify(
    name: str, root: str | os.PathLike[str] | None = None, *, variant: str | None = None
) -> list[tuple[str, bool, str]]:
    """Check each file of a data set where it is: (file, whether it is whole, message).

    Raises:
        UserError: for an unknown data set, or a file missing from an explicit root.

    Example:
        >>> [len(row) for row in verify("umls")]
        [3, 3, 3]
    """
    entry = card(name, variant=variant)
    results = []
    for place in dict.fromkeys(locate(entry, root)):
        file = entry.file(place.file)
        if place.path is None:
            results.append((file.path, False, f"missing; fetch it, or place it as {entry.folders[0]}/{file.path}"))
            continue
        try:
            digest = check_file(entry, file, place.path, record=False)
            first = None if file.accepted else pinned(entry, file)
        except UserError as error:
            results.append((file.path, False, str(error)))
        else:
            known = "" if file.accepted else ", as at first use" if first else ", known to no card or record yet"
            results.append((file.path, True, f"sha256 {digest}{known}, {place.path} ({place.origin})"))
    return results
