"""The files of one run and how they are written."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from graphkit.errors import UserError
from graphkit.files import atomic_write

__all__ = ["RunDirectory", "epoch_line", "read_lines", "told", "writing"]


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into a message for a person."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; what was there before is intact; make room or choose "
            "another folder, then go on with resume"
        ) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """:func:`graphkit.files.atomic_write`, with the operating system's refusal told to the person.

    Raises:
        UserError: when the disk is full or the folder may not be written; the previous file is intact.
    """
    with told(path), atomic_write(path) as file:
        yield file


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Records of a JSON-lines file; a line torn by a kill is left out; no file, no records."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text("utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            records.append(json.loads(line))
    return records


class RunDirectory:
    """Names and writers of the files in a run directory.

    Args:
        path: the folder.
        fold: number of the split that a training is on, where its task has several; its files lie one folder deeper, and its
            records name it.

    Example:
        >>> RunDirectory("runs/umls").checkpoint(3).as_posix()
        'runs/umls/seed-3/checkpoint.safetensors'
        >>> RunDirectory("runs/texas", fold=7).best(3).as_posix()
        'runs/texas/seed-3/fold-7/best.safetensors'
    """

    def __init__(self, path: str | os.PathLike[str], fold: int | None = None) -> None:
        self.path, self.fold = Path(path), fold
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.results = self.path / "results.jsonl"
        self.log = self.path / "log.jsonl"

    def folder(self, seed: int) -> Path:
        """Where the files of a training lie."""
        return self.path / f"seed-{seed}" / ("" if self.fold is None else f"fold-{self.fold}")

    def checkpoint(self, seed: int) -> Path:
        return self.folder(seed) / "checkpoint.safetensors"

    def best(self, seed: int) -> Path:
        return self.folder(seed) / "best.safetensors"

    def test_ranks(self, seed: int) -> Path:
        return self.folder(seed) / "test_ranks.safetensors"

    def explanations(self, seed: int) -> Path:
        return self.folder(seed) / "explanations.json"

    def test_relations(self, seed: int) -> Path:
        return self.folder(seed) / "test_relations.json"

    def trainings(self) -> list[tuple[int, int | None]]:
        """(seed, fold) of every training that has best weights, in order; fold is None where there is one split."""
        found = []
        for best in (*self.path.glob("seed-*/best.safetensors"), *self.path.glob("seed-*/fold-*/best.safetensors")):
            named = re.fullmatch(r"seed-(\d+)(?:/fold-(\d+))?", best.parent.relative_to(self.path).as_posix())
            if named:
                found.append((int(named[1]), None if named[2] is None else int(named[2])))
        return sorted(found, key=lambda pair: (pair[0], -1 if pair[1] is None else pair[1]))

    def has_content(self) -> bool:
        """True when it holds anything besides the lock and remains of an unfinished write."""
        return self.path.is_dir() and any(not entry.name.startswith(".") for entry in self.path.iterdir())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out for a block, and clear what a killed process left half written.

        The operating system drops the lock with the process, so a kill leaves nothing behind. Systems without ``fcntl``
        have no lock.

        Raises:
            UserError: when another process works in the directory.
        """
        with told(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / ".lock").open("ab")
        with file:
            try:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:
                pass
            except OSError as error:
                raise UserError(
                    f"another process is at work in {self.path}; wait for it or use another folder"
                ) from error
            for pattern in (".*.part", "seed-*/.*.part", "seed-*/fold-*/.*.part"):
                for remains in self.path.glob(pattern):
                    remains.unlink(missing_ok=True)
            yield

    def append_log(self, record: dict[str, Any]) -> None:
        record = self._named(record)
        with told(self.log):
            self.path.mkdir(parents=True, exist_ok=True)
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def restore_log(self, seed: int, history: list[dict[str, Any]]) -> None:
        """Make the epoch lines of a training equal to the history in its checkpoint: none twice, none missing."""
        if not self.log.exists() and not history:
            return
        wanted = {record["epoch"]: self._named(epoch_line(seed, record)) for record in history}
        kept = []
        for line in read_lines(self.log):
            own = line.get("event") == "epoch" and (line.get("seed"), line.get("fold")) == (seed, self.fold)
            if not own or wanted.pop(line["epoch"], None) is not None:
                kept.append(line)
        self._rewrite(self.log, kept + list(wanted.values()))

    def write_results(self, lines: list[dict[str, Any]]) -> None:
        """Add lines to results.jsonl in one atomic write; a line of the same seed, fold and split is replaced."""

        def key(line: dict[str, Any]) -> tuple[Any, ...]:
            return line["seed"], line.get("fold"), line["split"]

        new = set(map(key, lines))
        kept = [line for line in read_lines(self.results) if key(line) not in new]
        self._rewrite(self.results, kept + lines)

    def results_of(self, seed: int) -> dict[str, dict[str, Any]]:
        """Lines of a training by split."""
        lines = read_lines(self.results)
        return {line["split"]: line for line in lines if (line["seed"], line.get("fold")) == (seed, self.fold)}

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write environment.json; a run that goes on elsewhere keeps the first one and logs what is different now."""
        if not self.environment.exists():
            with writing(self.environment) as file:
                file.write((json.dumps(environment, indent=2) + "\n").encode())
            return
        try:
            before = json.loads(self.environment.read_text("utf-8"))
        except ValueError as error:
            raise UserError(f"{self.environment} is damaged ({error}); restore or remove it") from error
        if before != json.loads(json.dumps(environment)):
            self.append_log({"event": "environment", "now": environment})

    def _named(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record with the fold in it, where there is one."""
        return record if self.fold is None or "seed" not in record else {**record, "fold": self.fold}

    def _rewrite(self, path: Path, records: list[dict[str, Any]]) -> None:
        with writing(path) as file:
            file.write("".join(json.dumps(record) + "\n" for record in records).encode())


def epoch_line(seed: int, record: dict[str, Any]) -> dict[str, Any]:
    """A line of log.jsonl from a record of the history."""
    return {"event": "epoch", "seed": seed, **record}
