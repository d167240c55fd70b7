"""The part of a page that a program writes, between two marks."""

from __future__ import annotations

import sys
from pathlib import Path

from graphkit.files import atomic_write


def write_between(page: Path, begin: str, end: str, new: str, *, check: bool, command: str) -> int:
    """Put ``new`` between the marks of a page; with ``check`` change nothing, and say where it is out of date: 1, else 0."""
    before = page.read_text("utf-8")
    head, rest = before.split(begin, 1)
    after = f"{head}{begin}\n{new}\n{end}{rest.split(end, 1)[1]}"
    if check:
        if after != before:
            print(f"{page}: out of date; run python {command}", file=sys.stderr)
        return int(after != before)
    with atomic_write(page) as file:
        file.write(after.encode())
    return 0
