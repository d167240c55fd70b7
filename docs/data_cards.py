"""The page of the data cards, from datasets/cards."""

from __future__ import annotations

from graphkit.datasets import Card, cards

__all__ = ["page"]

KINDS = {
    "knowledge_graph": "Knowledge graphs",
    "link": "Link sets",
    "graph": "Single graphs, for links or labels of nodes",
    "node": "Labels of nodes",
    "graphs": "Many graphs",
}
NOTICE = "<!-- written by docs/write_pages.py from datasets/cards; changes made by hand are lost -->"
INTRODUCTION = """\
What `gk.load(name)` knows: `graphkit data info NAME` shows the same with the SHA-256 of every file. Figures are checked by a
test wherever the files are at hand. `GRAPHKIT_DATA` names the folder with files in the public layouts.
"""


def page() -> str:
    """The page in Markdown: tables by kind, then every card."""
    found = cards()
    kinds = [*KINDS, *sorted({card.task for card in found} - set(KINDS))]
    text = ["# Data cards", "", NOTICE, "", INTRODUCTION]
    for kind in kinds:
        members = [card for card in found if card.task == kind]
        if not members:
            continue
        text += [f"## {KINDS.get(kind, kind)}", "", "| name | sizes | licence |", "| --- | --- | --- |"]
        text += [
            f"| [{card.name}](#{_anchor(card.name)}) | {_sizes(card)} | {_cell(card.licence)} |" for card in members
        ]
        text.append("")
        for card in members:
            text += [f"### {card.name}", "", *_details(card), ""]
    return "\n".join(text)


def _sizes(card: Card) -> str:
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in card.statistics.items())


def _details(card: Card) -> list[str]:
    lines = [f"{_text(card.title)}.", ""]
    lines += [f"* Sizes: {_sizes(card)}."]
    if card.aliases:
        lines.append("* Also called " + ", ".join(f"`{alias}`" for alias in card.aliases) + ".")
    if card.splits:
        lines.append("* Splits: " + ", ".join(f"`{name}` ({count})" for name, count in card.splits.items()) + ".")
    if card.direction:
        lines.append(f"* Directions: {'they mean something' if card.directed else 'none'}; {_text(card.direction)}.")
    lines.append(f"* Files: {len(card.files)}, from {_text(card.source)}. Licence: {_text(card.licence)}.")
    lines.append(f"* Cite: {_text(card.citation)}.")
    lines += [f"* Known: {_text(defect)}." for defect in card.defects]
    return lines


def _text(words: str) -> str:
    """Plain words in Markdown; what a card says has no markup."""
    for mark in "\\`*_[]<>$":
        words = words.replace(mark, f"\\{mark}")
    return words.rstrip(".")


def _cell(words: str) -> str:
    return _text(words).replace("|", "\\|")


def _anchor(name: str) -> str:
    """The anchor of a heading as GitHub makes it."""
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter in "-_ ").replace(" ", "-")
