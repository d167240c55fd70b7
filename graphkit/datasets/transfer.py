"""One file from the network, quietly."""

from __future__ import annotations

import logging
from pathlib import Path

import pooch
import requests

__all__ = ["reason", "retrieve"]


def retrieve(url: str, folder: Path, name: str, digest: str | None, *, progress: bool = False) -> Path:
    """Fetch a file into a folder, under its name only once it is whole and, where known, its SHA-256 is right.

    Raises:
        requests.exceptions.RequestException: when the server cannot be reached or refuses.
        ValueError: for another hash.
        OSError: when the file cannot be written.

    Example:
        >>> retrieve("https://example.org/a.txt", Path("cache"), "a.txt", None)  # doctest: +SKIP
        PosixPath('cache/a.txt')
    """
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        known = digest and f"sha256:{digest}"
        return Path(pooch.retrieve(url, known_hash=known, fname=name, path=folder, progressbar=progress))
    finally:
        logger.setLevel(level)


def reason(error: requests.exceptions.RequestException) -> str:
    """Why fetching failed, in a few words.

    Example:
        >>> reason(requests.exceptions.ConnectionError())
        'no connection to the server'
    """
    if error.response is not None:
        return f"the server answers {error.response.status_code}"
    if isinstance(error, requests.exceptions.Timeout):
        return "the server does not answer in time"
    return "no connection to the server"
