"""YAML of experiments: read strictly, written for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from graphkit.errors import UserError
from graphkit.strict_yaml import load_yaml

__all__ = ["dump_yaml", "parse_value", "read_yaml"]


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
        value = load_yaml(path.read_bytes().decode("utf-8"))
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
        return load_yaml(text)
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
