"""Reading triples: what is accepted and how malformed files are refused."""

import pytest

from graphkit.data import read_triples
from graphkit.errors import UserError


def written(folder, content):
    path = folder / "facts.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("a\tr\tb\nc d\ts\te\n", {}),
        ("a\tr\tb\nc d\ts\te", {}),
        ("a\tr\tb\r\nc d\ts\te\r\n\r\n", {}),
        ("\ufeffa\tr\tb\nc d\ts\te\n\n", {}),
        ("2\na\tr\tb\nc d\ts\te\n", {"skip_first": True}),
        ("a,b,r\nc d,e,s\n", {"columns": ["head", "tail", "relation"], "delimiter": ","}),
    ],
)
def test_accepted_forms(tmp_path, content, options):
    assert read_triples(written(tmp_path, content), **options) == [("a", "r", "b"), ("c d", "s", "e")]


def test_any_blanks(tmp_path):
    assert read_triples(written(tmp_path, "a  r \t b\n"), delimiter=None) == [("a", "r", "b")]


def test_names_may_hold_unicode_line_separators(tmp_path):
    assert read_triples(written(tmp_path, "a\x85\tr\tb\u2028c\n")) == [("a\x85", "r", "b\u2028c")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tr\tb\na\tr\n", "line 2: found 2 names, expected three: head, relation, tail separated by tabs"),
        ("a r b\n", "line 1: found 1 name,"),
        ("a\tr\tb\tc\n", "line 1: found 4 names"),
        ("a\tr\tb\n\na\tr\tb\n", "line 2: found"),
        ("a\tr\tb\na\t\tb\n", "line 2: found an empty name"),
        ("a\tr\tb\na\tr\t\n", "line 2: found an empty name"),
        (b"a\tr\tb\nc\tr\t\xff\n", "line 2: not UTF-8"),
        ("", "holds no triple"),
        ("\n\n", "holds no triple"),
    ],
)
def test_malformed_files_are_named_with_their_line(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read_triples(written(tmp_path, content))
    assert "facts.txt" in str(caught.value)


def test_only_a_first_line_is_no_triple(tmp_path):
    with pytest.raises(UserError, match="holds no triple"):
        read_triples(written(tmp_path, "1\n"), skip_first=True)


def test_line_numbers_count_the_skipped_line(tmp_path):
    with pytest.raises(UserError, match="line 3"):
        read_triples(written(tmp_path, "2\na\tr\tb\nbad\n"), skip_first=True)


def test_wrong_paths_and_columns(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_triples(tmp_path / "none.txt")
    with pytest.raises(UserError, match="is a folder"):
        read_triples(tmp_path)
    with pytest.raises(UserError, match="columns are"):
        read_triples(written(tmp_path, "a\tr\tb\n"), columns=("head", "tail"))
