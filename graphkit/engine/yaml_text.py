"""YAML read strictly: numbers as people write them, no key twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from graphkit.errors import UserError

__all__ = ["dump_yaml", "parse_value", "read_yaml"]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: 5e-3 is a number here and text in YAML 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_repeats)


class _Dumper(yaml.SafeDumper):
    """Short lists on one line, so that a file can be read at a glance."""

    def short_list(self, data: list[Any] | tuple[Any, ...]) -> yaml.Node:
        flat = all(not isinstance(one, (list, dict)) for one in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", list(data), flow_style=flat)


_Dumper.add_representer(list, _Dumper.short_list)
_Dumper.add_representer(tuple, _Dumper.short_list)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping at the top of a YAML file.

    Raises:
        UserError: naming the file, and the line where it is not YAML.
    """
    try:
        value = yaml.load(path.read_bytes().decode("utf-8"), Loader=_Loader)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        raise UserError(f"{path}{line}: {getattr(error, 'problem', None) or 'not YAML'}") from error
    if not isinstance(value, dict):
        raise UserError(
            f"{path} holds {'nothing' if value is None else type(value).__name__}, expected a mapping of sections"
        )
    return value


def parse_value(text: str) -> Any:
    """A value from a command line: YAML where it is YAML, else the text itself.

    Example:
        >>> parse_value("3e-3"), parse_value("[1, 2]"), parse_value("null"), parse_value("pna")
        (0.003, [1, 2], None, 'pna')
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text


def dump_yaml(value: dict[str, Any]) -> str:
    """YAML with the keys in the order of the mapping; the same value gives the same text.

    Example:
        >>> print(dump_yaml({"b": [1, 2], "a": 1e-05}), end="")
        b: [1, 2]
        a: 1.0e-05
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
