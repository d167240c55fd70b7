"""``graphkit data``."""

from __future__ import annotations

import sys

from graphkit.cli.parser import CommandParser
from graphkit.cli.tables import console, pairs, print_table
from graphkit.errors import UserError, nearest

__all__ = ["main"]

_ACTIONS = ("list", "info", "fetch", "verify", "where", "build-city")


def main(words: list[str]) -> int:
    """List, describe, fetch, verify or find data sets; make one of a street network."""
    if words[:1] == ["build-city"]:
        from graphkit.cli.build_city import build_city

        return build_city(words[1:])
    parser = CommandParser("data")
    parser.add_argument("action", metavar="ACTION", help="list, info, fetch, verify, where or build-city")
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of a data set")
    parser.add_argument("--root", metavar="DIR", help="folder with files in the public layout; then nothing is fetched")
    arguments = parser.parse(words)
    if arguments.action not in _ACTIONS:
        raise UserError(nearest(arguments.action, _ACTIONS, "action of graphkit data"))
    if arguments.action == "list":
        return _list()
    if arguments.name is None:
        raise UserError(f"name a data set, as in graphkit data {arguments.action} umls (graphkit data list shows them)")
    actions = {"info": _info, "fetch": _fetch, "verify": _verify, "where": _where}
    return actions[arguments.action](arguments.name, arguments.root)


def _list() -> int:
    from graphkit.datasets import cards
    from graphkit.datasets.locate import locate

    rows = []
    for card in cards():
        here = all(place.path is not None for place in locate(card))
        rows.append(
            (card.name, card.task.replace("_", " "), _sizes(card.statistics), "yes" if here else "no", card.title)
        )
    print_table(("name", "task", "sizes", "here", "title"), rows)
    return 0


def _info(name: str, root: str | None) -> int:
    from graphkit.datasets import card

    entry = card(name)
    lines = [
        ("name", entry.name),
        ("also called", ", ".join(entry.aliases)),
        ("task", entry.task.replace("_", " ")),
        *((key.replace("_", " "), f"{value:,}") for key, value in entry.statistics.items()),
        ("licence", entry.licence),
        ("source", entry.source),
        ("citation", entry.citation),
        *(("known defect", defect) for defect in entry.defects),
    ]
    pairs(entry.title, [line for line in lines if line[1]])
    unknown = "not known; recorded at first use"
    within = f"in {entry.archive['url']}" if entry.archive else "none; place it by hand"
    print_table(
        ("file", "bytes>", "sha256", "address"),
        [
            (f.path, "" if f.bytes is None else f"{f.bytes:,}", f.sha256 or unknown, f.url or within)
            for f in entry.files
        ],
    )
    return 0


def _fetch(name: str, root: str | None) -> int:
    from graphkit.datasets import fetch

    places = fetch(name, root, progress=sys.stderr.isatty())
    print_table(("file", "origin", "path"), [(place.file, place.origin, place.path) for place in places])
    return 0


def _verify(name: str, root: str | None) -> int:
    from graphkit.datasets import card, verify

    results = verify(name, root)
    print_table(
        ("file", "whole", "what was found"), [(file, "yes" if ok else "no", text) for file, ok, text in results]
    )
    bad = [file for file, ok, _ in results if not ok]
    if bad:
        raise UserError(f"{name}: {', '.join(bad)} missing or not as in the card; see the table for what to do")
    unknown = sum(not file.accepted for file in card(name).files)
    besides = f", but for {unknown} of {len(results)} whose hash it does not know" if unknown else ""
    console().print(f"{name}: all files are as in the card{besides}")
    return 0


def _where(name: str, root: str | None) -> int:
    from graphkit.datasets import where

    print_table(("file", "origin", "path"), [(p.file, p.origin, p.path or "nowhere yet") for p in where(name, root)])
    return 0


def _sizes(statistics: dict[str, int]) -> str:
    return ", ".join(
        f"{value:,} {key}"
        for key, value in statistics.items()
        if key in ("entities", "relations", "train", "graphs", "nodes", "edges")
    )
