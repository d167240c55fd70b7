"""YAML read strictly: numbers as people write them, no key twice, nothing that grows or turns in a circle by its aliases."""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = ["load_yaml"]

_VALUES, _DEPTH = 100_000, 60


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


def load_yaml(text: str) -> Any:
    """The value of a YAML text, of plain values only.

    Raises:
        yaml.YAMLError: for whatever is wrong with it: a value that is none of its tag, such as the 40th of a month, a key
            that is a list, aliases that name what they stand in, or that unfold to more than 100 000 values.

    Example:
        >>> load_yaml("{lr: 5e-3, seeds: [0, 1]}")
        {'lr': 0.005, 'seeds': [0, 1]}
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise
    except RecursionError:
        raise yaml.MarkedYAMLError(problem="values are nested too deeply") from None
    except Exception as error:  # constructors of PyYAML let through what a value makes int, float or datetime say
        raise yaml.MarkedYAMLError(problem=f"a value that is none of its kind ({error})") from None
    _unfolded(value, {}, 0)
    return value


def _unfolded(value: Any, known: dict[int, int], depth: int) -> int:
    """How many values there are when every alias is written out."""
    if not isinstance(value, (dict, list, set, tuple)):
        return 1
    if depth > _DEPTH:
        raise yaml.MarkedYAMLError(problem="values are nested too deeply, or an alias names what it stands in")
    if id(value) not in known:
        inner = [*value, *value.values()] if isinstance(value, dict) else list(value)
        known[id(value)] = 1 + sum(_unfolded(one, known, depth + 1) for one in inner)
    if known[id(value)] > _VALUES:
        raise yaml.MarkedYAMLError(problem=f"its aliases unfold to more than {_VALUES} values")
    return known[id(value)]
