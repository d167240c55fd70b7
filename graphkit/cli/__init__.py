"""The command line, ``graphkit``: subcommands, messages and exit status."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from graphkit._version import __version__
from graphkit.cli.parser import CommandParser, command_of
from graphkit.errors import DataWarning, UserError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0: success; 1: a fault of graphkit's own; 2: bad input, with one message on standard error; 130: control-C.
    ``--debug``, anywhere on the line, shows the traceback as well.

    Example:
        >>> main(["--version"])  # doctest: +ELLIPSIS
        graphkit ...
        0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        with _warnings_in_a_line():
            return _run(words)
    except SystemExit as stop:  # argparse, after printing the help
        return stop.code if isinstance(stop.code, int) else 0
    except UserError as error:
        return _fail(str(error), 2, debug)
    except KeyboardInterrupt:
        again = words if "--resume" in words or words[:1] != ["run"] else [*words, "--resume"]
        hint = f"; go on with: graphkit {shlex.join(again)}" if words[:1] == ["run"] else ""
        return _fail(f"interrupted{hint}", 130, debug)
    except BrokenPipeError:  # the reader of our output has gone, as in `graphkit data list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        hint = "" if debug else "; run it again with --debug for the traceback"
        return _fail(f"unexpected {type(error).__name__}: {error}{hint}", 1, debug)


def _run(words: list[str]) -> int:
    if "--version" in words[:1]:
        sys.stdout.write(f"graphkit {__version__}\n")
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        CommandParser.overview().print_help()
        return 0
    return command_of(words[0])(words[1:])


@contextlib.contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """What a person should know of the data is shown as a line, without the place in graphkit that says it."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
            if issubclass(category, DataWarning):
                sys.stderr.write(f"graphkit: warning: {message}\n")
            else:
                others(message, category, *place, **options)

        warnings.showwarning = show
        warnings.simplefilter("always", DataWarning)
        yield


def _fail(message: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"graphkit: {message}\n")
    return status
