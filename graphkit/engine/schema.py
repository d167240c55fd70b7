"""Python signatures as schemas of options, by jsonargparse, with messages for people."""

from __future__ import annotations

import copy
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, Union

import jsonargparse

from graphkit.errors import UserError, nearest

__all__ = ["type_name", "typed_options"]


def typed_options(
    schema: Callable[..., Any],
    values: Mapping[str, Any],
    *,
    what: str,
    where: Callable[[str], str],
    without: Collection[str] = (),
) -> dict[str, Any]:
    """Options checked and completed against the signature of a function or class.

    Args:
        schema: the function, or the class whose constructor counts (``**options`` handed to a base class are followed).
        values: the options as read from YAML or a command line.
        what: what messages call an option, such as ``"option of train"``.
        where: from the name of an option to the words that locate it.
        without: parameters that are nobody's to set.

    Returns:
        every option of the schema in the order of the signature: the given value, else the default.

    Raises:
        UserError: for an unknown option (with the nearest known one), a wrong type (with the expected one), or a
            missing option.

    Example:
        >>> def train(*, epochs: int = 20, lr: float = 0.005): ...
        >>> typed_options(train, {"lr": "1e-2"}, what="option", where=str)
        {'epochs': 20, 'lr': 0.01}
    """
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    skip: set[str | int] = {name for name in without if name in _parameters(schema)}
    if inspect.isclass(schema):
        parser.add_class_arguments(schema, skip=skip)
    else:
        parser.add_function_arguments(schema, skip=skip)
    known = [action.dest for action in parser._actions if action.dest != "help"]
    for name in values:
        if name not in known:
            raise UserError(f"{where(name)}: {nearest(str(name), known, what)}")
    required = [action.dest for action in parser._actions if action.required and action.dest not in values]
    if required:
        raise UserError(f"{where(required[0])} is missing; {schema.__name__} needs {', '.join(required)}")
    # jsonargparse reads text as YAML where a type takes more than text: "#x.tsv" would become null
    text = {
        name: value
        for name, value in values.items()
        if isinstance(value, str) and _takes_text(_annotation(schema, name))
    }
    try:
        given = copy.deepcopy({**values, **dict.fromkeys(text, "text")})  # it changes what it gets
        parsed = {**parser.parse_object(given).as_dict(), **text}
    except jsonargparse.ArgumentError as error:
        raise UserError(_told(error, schema, values, where)) from error
    for name, value in values.items():  # jsonargparse takes null for any type
        if value is None and not _takes_null(_annotation(schema, name)):
            raise UserError(f"{where(name)} is null, expected {type_name(_annotation(schema, name))}")
    return {name: parsed[name] for name in known}


def type_name(annotation: Any) -> str:
    """A type in words.

    Example:
        >>> type_name(int | None), type_name(Literal["pna", "sum"])
        ('a whole number or null', "one of 'pna', 'sum'")
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(one) for one in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments)) if len(arguments) > 1 else repr(arguments[0])
    if origin in (list, tuple, set, Collection) and arguments:
        return f"a list, each {type_name(arguments[0])}"
    words = {
        int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null",
        list: "a list", tuple: "a list", dict: "a mapping", Any: "anything",
    }  # fmt: skip
    return words.get(origin or annotation, getattr(annotation, "__name__", str(annotation)))


def _told(error: Exception, schema: Any, values: Mapping[str, Any], where: Callable[[str], str]) -> str:
    found = re.search(r'key "([^".]+)', str(error))
    name = found.group(1) if found else ""
    annotation = _annotation(schema, name)
    if annotation is None:
        return f"{where(name)}: {' '.join(str(error).split())}"
    value = values[name]
    shown = "null" if value is None else repr(value)
    return f"{where(name)} is {shown}, expected {type_name(annotation)}"


def _takes_null(annotation: Any) -> bool:
    return annotation in (None, Any) or type(None) in typing.get_args(annotation)


def _takes_text(annotation: Any) -> bool:
    return annotation is str or str in typing.get_args(annotation)


def _functions(schema: Any) -> list[Any]:
    if not inspect.isclass(schema):
        return [schema]
    return [vars(base)["__init__"] for base in schema.__mro__ if "__init__" in vars(base)]


def _parameters(schema: Any) -> set[str]:
    return {name for function in _functions(schema) for name in inspect.signature(function).parameters}


def _annotation(schema: Any, name: str) -> Any:
    for function in _functions(schema):
        parameter = inspect.signature(function).parameters.get(name)
        if parameter is not None and parameter.annotation is not inspect.Parameter.empty:
            return typing.get_type_hints(function)[name]
    return None
