"""What is known about a data set: files, hashes, licence, statistics, defects."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from graphkit.errors import UserError, nearest
from graphkit.strict_yaml import load_yaml

__all__ = ["Card", "CardFile"]


@dataclass(frozen=True)
class CardFile:
    """One file of a data set.

    Args:
        path: name of the file, below the folder of the data set.
        url: where it can be fetched; None: it must be placed by hand.
        bytes: size; None: not known.
        sha256: hash, in hexadecimal; None: not known. The first file seen is then recorded, and others are refused.
        also: other accepted contents with the same meaning, each ``{sha256, bytes, why}``.
        wheel: ``{distribution, member}`` when an installed Python distribution holds the file.
        split: the official split that the file belongs to; it is asked for only with that split.
        instead: files that may stand in its place, in the order in which they are looked for.
        git_blob: ``{id, earlier}`` where only the id that git gives to the content is known: it is checked in the place of the
            hash; ``earlier`` maps beginnings of the ids of earlier versions to what they are, to be named when one is met.

    Example:
        >>> CardFile("train.txt", "https://example.org/train.txt", 1, "00" * 32).accepted
        [(1, '0000000000000000000000000000000000000000000000000000000000000000')]
    """

    path: str
    url: str | None
    bytes: int | None
    sha256: str | None
    also: list[dict[str, Any]] = field(default_factory=list)
    wheel: dict[str, str] | None = None
    split: str | None = None
    instead: list[str] = field(default_factory=list)
    git_blob: dict[str, Any] | None = None

    @property
    def accepted(self) -> list[tuple[int, str]]:
        """All accepted (size, sha256); none where the card knows no hash."""
        known = [] if self.bytes is None or self.sha256 is None else [(self.bytes, self.sha256)]
        return [*known, *((int(other["bytes"]), str(other["sha256"])) for other in self.also)]


@dataclass(frozen=True)
class Card:
    """The card of a data set.

    Args:
        name: name for :func:`graphkit.datasets.load`.
        title: one line for people.
        task: kind of task, ``knowledge_graph``; ``graph`` for a graph that serves tasks of several kinds, ``graphs`` for many of
            them.
        reader: which reader of :mod:`graphkit.datasets.readers`.
        files: the files.
        folders: where the files lie below a root in the public layouts; the first one is the usual one.
        licence: as stated at the source.
        citation: whom to cite.
        source: where the files come from.
        statistics: sizes that a test checks.
        aliases: other names.
        options: arguments of the reader.
        defects: known defects, in plain words.
        directed: of graphs, whether the stored direction of an edge means something.
        direction: how that is known, and how the files store it, in words.
        splits: of graphs with labels, its splits of the nodes and how many folds each has, the usual one first: names of official
            ones, or the shares of one that is drawn, see :func:`graphkit.data.split_nodes`.
        metric: of graphs with labels, what models are compared by; None: accuracy.
        archive: ``{url, folder}`` of a zip file that holds the files, and their folder in it (``.``: none); it is
            fetched on request only.

    Example:
        >>> from graphkit.datasets import card
        >>> card("umls").statistics["entities"]
        135
    """

    name: str
    title: str
    task: str
    reader: str
    files: list[CardFile]
    folders: list[str]
    licence: str
    citation: str
    source: str
    statistics: dict[str, int]
    aliases: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)
    archive: dict[str, str] | None = None
    directed: bool | None = None
    direction: str = ""
    splits: dict[str, int] = field(default_factory=dict)
    metric: str | None = None

    def for_split(self, split: str | None) -> Card:
        """The card without the files that belong to another split of the nodes.

        Example:
            >>> from graphkit.datasets import card
            >>> len(card("cora").files), len(card("cora").for_split("public").files)
            (18, 8)
        """
        return replace(self, files=[file for file in self.files if file.split in (None, split)])

    def file(self, path: str) -> CardFile:
        """The file of a name, or what is known of one that stands in the place of another: its name alone.

        Example:
            >>> from graphkit.datasets import card
            >>> card("umls").file("train.txt").path
            'train.txt'
        """
        return next((file for file in self.files if file.path == path), CardFile(path, None, None, None))

    @property
    def slug(self) -> str:
        """The name as the name of a folder.

        Example:
            >>> from graphkit.datasets import card
            >>> card("fb15k-237/v1").slug
            'fb15k-237-v1'
        """
        return self.name.replace("/", "-")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Card:
        """The card in a YAML file.

        Raises:
            UserError: for a missing file, text that is no YAML, and missing or unknown keys.
        """
        path = Path(path)
        try:
            content = load_yaml(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"there is no data card {path}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"the data card {path} is no YAML text: {error}") from None
        _check_keys(content, cls, f"the data card {path}")
        for number, entry in enumerate(content["files"]):
            what = f"file {number} of the data card {path}"
            _check_keys(entry, CardFile, what)
            if (entry["bytes"] is None) != (entry["sha256"] is None) or (entry["bytes"] is None and entry.get("also")):
                raise UserError(f"{what}: bytes and sha256 are either both known or both null, and then without also")
        archive = content.get("archive")
        if archive is not None and (not isinstance(archive, dict) or set(archive) != {"url", "folder"}):
            raise UserError(f"the data card {path}: archive must be a mapping with the keys url and folder")
        content["files"] = [CardFile(**entry) for entry in content["files"]]
        return cls(**content)


def _check_keys(content: Any, target: type, what: str) -> None:
    known = {entry.name: entry for entry in fields(target)}
    if not isinstance(content, dict):
        raise UserError(f"{what} must be a mapping with the keys {', '.join(known)}")
    for key in content:
        if key not in known:
            raise UserError(f"{what}: " + nearest(str(key), known, "key"))
    optional = {"aliases", "options", "defects", "also", "wheel", "archive"}
    optional |= {"directed", "direction", "splits", "metric", "split", "instead", "git_blob"}
    missing = [key for key in known if key not in content and key not in optional]
    if missing:
        raise UserError(f"{what} lacks {', '.join(missing)}")
