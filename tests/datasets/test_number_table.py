"""Tables of numbers in compressed text: the same in pieces of any size, and no line that is not a row of numbers."""

import gzip
import tracemalloc

import numpy as np
import pytest

from graphkit.datasets.number_table import read_numbers
from graphkit.errors import UserError


def write(path, text):
    path.write_bytes(gzip.compress(text if isinstance(text, bytes) else text.encode()))
    return path


@pytest.mark.parametrize("piece", [1, 7, 64, 2**24])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_pieces_of_any_size_give_the_same(piece, end, tmp_path):
    table = np.random.default_rng(0).integers(-(2**62), 2**62, size=(50, 3))
    separator = "\r\n" if end == "\r\n" else "\n"
    path = write(tmp_path / "a.csv.gz", separator.join(",".join(map(str, row)) for row in table) + end)
    for rows in (None, 50):
        found = read_numbers(path, np.int64, rows=rows, piece=piece)
        assert found.dtype == np.int64 and (found == table).all()


def test_floats_are_read_to_the_last_digit(tmp_path):
    table = np.random.default_rng(1).standard_normal((40, 4)).astype(np.float32)
    text = "\n".join(",".join(map(repr, row.tolist())) for row in table)
    path = write(tmp_path / "a.csv.gz", text + "\n1e-3,nan,-inf,0\n")
    found = read_numbers(path, np.float32, columns=4, rows=41, piece=100)
    np.testing.assert_array_equal(found[:40], table)
    np.testing.assert_array_equal(found[40], np.float32([1e-3, np.nan, -np.inf, 0]))


def test_an_empty_file_has_no_rows(tmp_path):
    assert read_numbers(write(tmp_path / "a.csv.gz", ""), np.int64, columns=2).shape == (0, 2)
    with pytest.raises(UserError, match="has 0 lines, but the files beside it name 3; it was cut off"):
        read_numbers(tmp_path / "a.csv.gz", np.int64, columns=2, rows=3)


@pytest.mark.parametrize("piece", [3, 2**24])
@pytest.mark.parametrize(
    ("text", "line", "shown"),
    [
        ("1,2\n3,4\n5\n", 3, "'5'"),
        ("1,2\n3,4,5\n6\n", 2, "'3,4,5'"),  # as many numbers as two whole lines
        ("1,2\n\n3,4\n", 2, "''"),
        ("1,2\n3,x\n", 2, "'3,x'"),
        ("1,2\n3, \n", 2, "'3, '"),
        ("1,2\n3,4.5\n", 2, "'3,4.5'"),
        ("1,2\n3 4,5\n", 2, "'3 4,5'"),
        ("1,2\n3,\xff\n", 2, "'3,"),
        ("a,b\n1,2\n", 1, "'a,b'"),
    ],
)
def test_the_first_bad_line_is_named(text, line, shown, piece, tmp_path):
    path = write(tmp_path / "a.csv.gz", text)
    with pytest.raises(UserError) as told:
        read_numbers(path, np.int64, columns=2, piece=piece)
    assert f"line {line}: found {shown}" in str(told.value)
    assert "expected 2 whole numbers between commas" in str(told.value)


def test_damage_and_absence_are_told(tmp_path):
    whole = gzip.compress(b"1,2\n" * 1000)
    for raw in (whole[:-6], whole[:30] + b"\0" * 5 + whole[35:], b"1,2\n"):
        (tmp_path / "a.csv.gz").write_bytes(raw)
        with pytest.raises(UserError, match=r"a\.csv\.gz( is damaged|, line)"):
            read_numbers(tmp_path / "a.csv.gz", np.int64)
    with pytest.raises(UserError, match="does not exist; unpack OGB's archive as a whole"):
        read_numbers(tmp_path / "none.csv.gz", np.int64)


def test_memory_is_the_table_and_a_piece(tmp_path):
    rows = 200_000
    path = write(tmp_path / "a.csv.gz", "123456,654321\n" * rows)
    tracemalloc.start()
    found = read_numbers(path, np.int64, columns=2, rows=rows, piece=2**16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.shape == (rows, 2) and peak < found.nbytes + 24 * 2**16
