"""Commands that README and the docs print have words that graphkit knows; nothing is computed."""

import re
import shlex
from pathlib import Path

import pytest

from graphkit.cli.parser import CommandParser, command_of
from graphkit.engine.config import load_config
from graphkit.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BEGINS = re.compile(r"^(?:    )?(?:OMP_NUM_THREADS=\d+ )?(?:graphkit|torchrun .*-m graphkit\.cli) (?=\S)")


class Parsed(Exception):
    pass


def commands(text):
    """Words of every printed command, in fenced or indented code; what a person is to fill in is left out."""
    fenced = False
    for line in text.splitlines():
        fenced = not fenced if line.startswith("```") else fenced
        begin = BEGINS.match(line)
        if begin and (fenced or line.startswith("    ")):
            words = shlex.split(line[begin.end() :], comments=True)
            if not any(re.fullmatch(r"[A-Z]{3,}", word) for word in words):
                yield words


def checked(words, monkeypatch):
    """Parse a command as graphkit does, up to where its work would begin."""

    def parse(self, given):
        raise Parsed(CommandParser_parse(self, given))

    monkeypatch.setattr(CommandParser, "parse", parse)
    with pytest.raises(Parsed) as parsed:
        command_of(words[0])(words[1:])
    return parsed.value.args[0]


CommandParser_parse = CommandParser.parse
FOUND = [(page.stem, words) for page in PAGES for words in commands(page.read_text("utf-8"))]


def test_there_are_commands():
    assert len(FOUND) > 50 and {words[0] for _, words in FOUND} >= {
        "run",
        "analyze",
        "predict",
        "explain",
        "orbits",
        "data",
    }


@pytest.mark.parametrize(
    ("page", "words"), FOUND, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_words_are_known(page, words, monkeypatch):
    found = checked(words, monkeypatch)
    config = getattr(found, "config", None)
    if words[0] == "run" and config is not None and "/" in config:
        overrides = [word for word in words if re.match(r"--(?!data\.)[a-z_]+\.", word)]
        values = [words[words.index(word) + 1] for word in overrides]
        if config == "nbfnet/own":
            return  # needs the file
        load_config(config, [one for pair in zip(overrides, values, strict=True) for one in pair])


@pytest.mark.parametrize(
    "line",
    ["graphkit analyze cora --html x.html   what it is like", "graphkit report a --fromat md", "graphkit dta list"],
)
def test_a_wrong_command_is_noticed(line, monkeypatch):
    (words,) = commands(f"```\n{line}\n```")
    with pytest.raises(UserError):
        checked(words, monkeypatch)
