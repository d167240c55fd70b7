"""Parsers whose complaints are UserErrors with the nearest known word."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from graphkit.errors import UserError, nearest

__all__ = ["COMMANDS", "CommandParser", "command_of"]

#: command -> what it does; each has a module of its name with ``main(words) -> exit status``
COMMANDS = {
    "run": "train and evaluate an experiment, and write its report",
    "evaluate": "score the best weights of a run again",
    "predict": "the entities that complete a triple, for one query or a file of them",
    "explain": "the paths of the graph that speak for a triple",
    "report": "result table over one or several runs",
    "data": "data sets: list, info, fetch, verify, where",
    "analyze": "what a graph is like, and where link prediction fails on it",
    "doctor": "what is installed here and whether it works",
}


def command_of(name: str) -> Callable[[list[str]], int]:
    """The function of a command; its module is imported only now.

    Raises:
        UserError: for an unknown command.
    """
    if name not in COMMANDS:
        raise UserError(f"{nearest(name, COMMANDS, 'command')} (graphkit --help lists them)")
    return importlib.import_module(f"graphkit.cli.{name}").main


class CommandParser(argparse.ArgumentParser):
    """An argparse parser for one command.

    Example:
        >>> parser = CommandParser("report")
        >>> _ = parser.add_argument("--format")
        >>> parser.parse(["--fromat", "md"])
        Traceback (most recent call last):
        graphkit.errors.UserError: unknown option '--fromat'; did you mean '--format'? (see graphkit report --help)
    """

    def __init__(self, command: str = "", **options: Any) -> None:
        self.command = f"graphkit {command}".strip()
        name = command.split(" ")[0]
        options.setdefault("description", COMMANDS.get(name))
        super().__init__(prog=self.command, allow_abbrev=False, **options)

    @classmethod
    def overview(cls) -> CommandParser:
        """The parser that only prints what commands there are."""
        commands = "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())
        parser = cls(
            description="Link prediction and node classification on graphs.",
            usage="graphkit COMMAND ... [--debug]",
            epilog=f"commands:\n{commands}\n\ngraphkit COMMAND --help says more; --debug shows tracebacks.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--version", action="store_true", help="show the version and leave")
        return parser

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parsed words.

        Raises:
            UserError: for anything unknown, missing or malformed.
        """
        arguments, rest = self.parse_known_args(list(words))
        if rest:
            word = rest[0].partition("=")[0]
            if not word.startswith("-"):
                self.error(f"{word!r} was not expected")
            known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
            self.error(nearest(word, known, "option"))
        return arguments

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.command} --help)")
