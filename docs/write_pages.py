"""Write the pages of docs/ that come from other files of the repository: data cards and the list of experiments.

python docs/write_pages.py            rewrite them
python docs/write_pages.py --check    change nothing; exit status 1 where one is out of date
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [path for path in (str(HERE.parent), str(HERE)) if path not in sys.path]

import data_cards  # noqa: E402
import experiment_list  # noqa: E402

from graphkit.files import atomic_write  # noqa: E402


def outdated() -> dict[Path, str]:
    """Pages that differ from what the repository gives, with the text they should have."""
    fresh = {HERE / "data-cards.md": data_cards.page(), HERE / "experiments.md": experiment_list.page(HERE.parent)}
    return {path: text for path, text in fresh.items() if not path.exists() or path.read_text("utf-8") != text}


def main(words: Sequence[str]) -> int:
    """Run from the command line; the exit status."""
    changes = outdated()
    for path, text in changes.items():
        if "--check" in words:
            print(f"docs/{path.name} is out of date; run: python docs/write_pages.py", file=sys.stderr)
        else:
            with atomic_write(path) as file:
                file.write(text.encode("utf-8"))
            print(f"docs/{path.name}: written")
    return 1 if changes and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
