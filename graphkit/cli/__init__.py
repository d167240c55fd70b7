"""The command line, ``graphkit``: subcommands, messages and exit status."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from graphkit._version import __version__
from graphkit.cli.parser import CommandParser, command_of
from graphkit.errors import DataWarning, SaidByFirst, UserError

__all__ = ["main"]

_FIRST_SPEAKS = 30.0  # seconds after which a process that is still there was alone with its mistake, and says it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0: success; 1: a fault of graphkit's own; 2: bad input, with one message on standard error; 130: control-C.
    ``--debug``, anywhere on the line, shows the traceback as well. Of torchrun's processes, the first one speaks for
    all; another says what happened to itself alone.

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
        if _said_by_first(error):
            # torchrun ends all processes with the first that leaves, and that has to be the one that speaks
            time.sleep(_FIRST_SPEAKS)
        return _fail(str(error), 2, debug)
    except KeyboardInterrupt:
        again = words if "--resume" in words or words[:1] != ["run"] else [*words, "--resume"]
        hint = f"; go on with: {'torchrun ... -m graphkit' if _joined() else 'graphkit'} {shlex.join(again)}"
        return 130 if _rank() else _fail(f"interrupted{hint if words[:1] == ['run'] else ''}", 130, debug)
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
    """What a person should know of the data is shown as a line, once, without the place in graphkit that says it."""
    with warnings.catch_warnings():
        others, said = warnings.showwarning, set[str]()

        def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
            if issubclass(category, DataWarning):
                if str(message) not in said:  # an evaluation after each epoch says the same
                    sys.stderr.write(f"graphkit: warning: {message}\n")
                said.add(str(message))
            else:
                others(message, category, *place, **options)

        warnings.showwarning = show
        warnings.simplefilter("always", DataWarning)
        yield


def _fail(message: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"graphkit{f' (process {_rank()})' if _rank() else ''}: {message}\n")
    return status


def _rank() -> int:
    """Number of this process among those of torchrun, from 0."""
    return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def _joined() -> bool:
    """Whether this process has met others of torchrun's."""
    return "torch.distributed" in sys.modules and sys.modules["torch.distributed"].is_initialized()


def _said_by_first(error: UserError) -> bool:
    """Before the processes have met they do the same, a mistake on the command line is everybody's."""
    return bool(_rank()) and (isinstance(error, SaidByFirst) or not _joined())
