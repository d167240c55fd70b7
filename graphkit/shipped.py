"""Where the data cards and the experiment files are: inside the wheel, or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped"]

_FOLDERS = {"cards": "datasets/cards", "samples": "datasets/samples", "experiments": "experiments"}


def shipped(what: str) -> Path:
    """Folder of a kind of shipped file: ``"cards"``, ``"samples"`` or ``"experiments"``.

    Raises:
        FileNotFoundError: when neither a wheel nor a checkout holds it.

    Example:
        >>> shipped("cards").name
        'cards'
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "shipped_files" / what, package.parent / _FOLDERS[what]):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the {what} that ship with graphkit are missing; reinstall the package")
