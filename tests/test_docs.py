"""The pages say what is true: their code runs, their links lead somewhere, the site holds every page and every public name.

A fenced block of Python in README.md or docs/*.md is run, one namespace a page, with trainings cut to two steps. Comments
in the Markdown, invisible to the reader, change that for the block below them:

    <!-- not run: why -->                    the block is left out, and the report of the tests says why
    <!-- run on "texas" for "actor" -->      a smaller data set of the same kind
    <!-- given:                              what the block takes for granted, run before it
    edge_index = ...
    -->
"""

import functools
import importlib
import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import graphkit as gk
from graphkit.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
DATA = Path(os.environ.get("GRAPHKIT_DATA") or ROOT.parent / "shared" / "data")
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ \t]*$", re.MULTILINE | re.DOTALL
)
COMMENT = re.compile(
    r"<!-- (?:given:\n(?P<given>.*)|not run: (?P<why>.+?) |run on (?P<small>\S+) for (?P<large>\S+) )-->", re.DOTALL
)

if str(DOCS) not in sys.path:
    sys.path.append(str(DOCS))


@dataclass
class Block:
    line: int
    code: str
    given: str
    not_run: str | None


def python_blocks(text):
    for match in BLOCK.finditer(text):
        if match["language"] != "python":
            continue
        above = text[: match.start()]
        block = Block(
            line=above.count("\n") + 1,  # of the page, for tracebacks
            code="\n".join(line.removeprefix(match["indent"]) for line in match["code"].split("\n")),
            given="",
            not_run=None,
        )
        while above.rstrip().endswith("-->"):
            start = above.rindex("<!--")
            comment = COMMENT.fullmatch(above[start:].rstrip())
            above = above[:start]
            if comment is None:
                break
            block.given += comment["given"] or ""
            block.not_run = comment["why"] or block.not_run
            if comment["large"]:
                assert comment["large"] in block.code
                block.code = block.code.replace(comment["large"], comment["small"])
        yield block


def shortened(function, **limits):
    """A training of a few steps instead of many."""

    @functools.wraps(function)
    def short(*arguments, **options):
        for name, limit in limits.items():
            options[name] = min(options.get(name, limit), limit)
        if options.get("splits") == "all":
            options["splits"] = [0, 1]
        return function(*arguments, **options)

    return short


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Somebody who tries a page in an empty folder, offline, and has little time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    if DATA.is_dir():
        monkeypatch.setenv("GRAPHKIT_DATA", str(DATA))
    monkeypatch.setattr(gk, "fit", shortened(gk.fit, epochs=1, max_steps=2), raising=False)
    monkeypatch.setattr(gk, "pretrain", shortened(gk.pretrain, epochs=1), raising=False)
    monkeypatch.setattr(gk, "tune", shortened(gk.tune, epochs=1), raising=False)
    torch.manual_seed(0)


def with_python(page):
    return bool(list(python_blocks(page.read_text("utf-8"))))


@pytest.mark.parametrize("page", [page for page in PAGES if with_python(page)], ids=lambda page: page.stem)
def test_code_runs(page, reader):
    namespace, left_out = {"__name__": "__main__"}, []
    for block in python_blocks(page.read_text("utf-8")):
        if block.not_run is not None:
            left_out.append(f"line {block.line}: {block.not_run}")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                exec(compile(block.given, f"{page.name}, given for line {block.line}", "exec"), namespace)
                exec(compile("\n" * block.line + block.code, page.name, "exec"), namespace)
            except UserError as error:
                if "GRAPHKIT_OFFLINE" not in str(error):
                    raise
                if os.environ.get("GRAPHKIT_REQUIRE_DATA"):
                    pytest.fail(f"{page.name}, line {block.line}: {error}")
                pytest.skip(f"{page.name}, from line {block.line} on: data that are not at hand")
    if left_out:
        print(f"{page.name}, not run: {'; '.join(left_out)}")


def outside_code(text):
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = BLOCK.sub("", text)
    return re.sub(r"`[^`\n]*`", "``", text)


def anchors(page):
    """The anchors of a page's headings, as GitHub and the site make them."""
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    api_pages = importlib.import_module("api_pages")
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_code(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        if other.parent == DOCS / "api":  # written when the site is built
            good = other.stem in (api_pages.TOP, *api_pages.ROOMS) and not anchor
        else:
            good = other.exists() and (not anchor or anchor in anchors(other))
        if not good:
            dead.append(target)
    assert dead == []


def test_every_page_is_in_the_table_of_contents():
    api_pages = importlib.import_module("api_pages")
    index = (DOCS / "index.md").read_text("utf-8")
    listed = [
        line
        for toctree in re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
        for line in toctree.splitlines()
        if line and not line.startswith(":")
    ]
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert sorted(listed) == sorted(pages | {f"api/{room}" for room in (api_pages.TOP, *api_pages.ROOMS)}), (
        "add the page to a toctree in docs/index.md"
    )


@pytest.mark.parametrize("room", ["ops", "nn", "models", "data", "datasets", "metrics", "analysis", "engine"])
def test_reference_has_every_public_name(room):
    api_pages = importlib.import_module("api_pages")
    assert room in api_pages.ROOMS
    text = api_pages.page(room)
    described = set(re.findall(rf"^\.\. (?:auto\w+:: graphkit\.{room}\.|py:data:: )(\w+)$", text, re.MULTILINE))
    assert described == set(importlib.import_module(f"graphkit.{room}").__all__)


def test_written_pages_are_up_to_date():
    write_pages = importlib.import_module("write_pages")
    assert [path.name for path in write_pages.outdated()] == [], "run: make tables"


def test_a_block_can_be_left_out_or_be_given_something():
    text = "a\n\n<!-- not run: needs a GPU -->\n```python\n1 / 0\n```\n\n<!-- given:\nx = 1\n-->\n\n  ```python\n  x\n  ```\n"
    first, second = python_blocks(text)
    assert (first.not_run, first.given, first.code) == ("needs a GPU", "", "1 / 0\n")
    assert (second.not_run, second.given, second.code.strip()) == (None, "x = 1\n", "x")


def test_a_block_can_run_on_smaller_data():
    (block,) = python_blocks(
        '<!-- run on "b" for "a" -->\n<!-- run on "d" for "c" -->\n\n```python\nx = "a" + "c"\n```\n'
    )
    assert block.code == 'x = "b" + "d"\n'


def test_formulae_of_the_site_are_mathml_and_what_cannot_be_written_so_is_named():
    pytest.importorskip("latex2mathml")
    pytest.importorskip("sphinx")
    from formulae import mathml

    written = mathml(r"\hat e_{ij} < \mathrm{ReLU}(x)", display=True)
    assert written.startswith("<math ") and 'display="block"' in written and "\\" not in written.split(">", 1)[1]
    assert 'alttext="\\hat e_{ij} &lt; ' in written
    for unknown in (r"\nosuchcommand x", r"a &= b"):
        with pytest.raises(ValueError, match="not known"):
            mathml(unknown)


def test_an_explanation_of_one_letter_is_no_numbered_list():
    conf = importlib.import_module("conf")
    lines = ["Args:", "    num_nodes: N.", "    dims: d. Beyond them columns are 0.", "    x: features."]
    conf.keep_letters(None, "function", "", None, None, lines)
    assert lines == ["Args:", "    num_nodes: \\N.", "    dims: \\d. Beyond them columns are 0.", "    x: features."]
