"""Every reader of files from outside, with small valid files to begin from; the files are made here or by the tests' samples."""

from __future__ import annotations

from pathlib import Path

from city_readers import city_readers
from node_readers import node_readers
from ogb_readers import ogb_readers
from own_readers import archive_readers, own_readers
from pickle_readers import pickle_readers
from reader import Files, Reader
from text_readers import table_readers, yaml_readers

__all__ = ["Files", "Reader", "readers"]


def readers(room: Path, *, runs: bool = True) -> list[Reader]:
    """All of them; what they need is made below a folder. ``runs``: also what a training leaves, which takes seconds to make."""
    families = (
        yaml_readers,
        table_readers,
        pickle_readers,
        node_readers,
        ogb_readers,
        city_readers,
        archive_readers,
        *([own_readers] if runs else []),
    )
    found = []
    for family in families:
        below = room / family.__name__
        below.mkdir(parents=True)
        found += family(below)
    return found
