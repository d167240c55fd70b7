"""Our reader of MATLAB's files against scipy's writer, and damaged files byte by byte."""

import struct

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from graphkit.datasets.matlab_file import read_matlab_file
from graphkit.errors import UserError

DENSE = {
    "f": np.arange(6.0).reshape(2, 3), "i": np.array([[1, -2]], np.int16),
    "u": np.array([[255]], np.uint8), "b": np.array([[True, False]]),
    "cube": np.arange(24, dtype=np.int32).reshape(2, 3, 4), "empty": np.zeros((0, 3)), "one": np.array([[7]], np.int64),
}  # fmt: skip
SPARSE = scipy.sparse.csc_matrix(np.array([[0, 1.5, 0], [0, 0, 2], [3, 0, 0]]))


@pytest.mark.parametrize("compressed", [True, False])
def test_what_scipy_writes(tmp_path, compressed):
    path = tmp_path / "a.mat"
    scipy.io.savemat(
        path, {**DENSE, "A": SPARSE, "words": "text", "cell": np.array([1, "x"], object)}, do_compression=compressed
    )
    found = read_matlab_file(path, [*DENSE, "A", "absent"])
    assert set(found) == {*DENSE, "A"}
    for name in DENSE:
        expected = scipy.io.loadmat(path)[name]
        assert found[name].shape == expected.shape
        np.testing.assert_array_equal(found[name], expected)
    assert (found["A"] != SPARSE).nnz == 0 and found["A"].shape == (3, 3)


def test_the_other_byte_order(tmp_path):
    def element(kind, content):
        return struct.pack(">2I", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    inner = element(6, struct.pack(">2I", 6, 0)) + element(5, struct.pack(">2i", 1, 2)) + element(1, b"xy")
    inner += element(9, struct.pack(">2d", 0.5, -3))
    (tmp_path / "a.mat").write_bytes(b" " * 124 + struct.pack(">H", 0x0100) + b"MI" + element(14, inner))
    assert read_matlab_file(tmp_path / "a.mat", ["xy"])["xy"].tolist() == [[0.5, -3.0]]


@pytest.mark.parametrize("compressed", [True, False])
def test_every_cut_and_every_flipped_byte(tmp_path, compressed):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"A": SPARSE, "xy": np.arange(6.0).reshape(3, 2)}, do_compression=compressed)
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data), 1):
        for bad in (data[:place], data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]):
            path.write_bytes(bad)
            try:
                found = read_matlab_file(path, ["A", "xy"])
                if "A" in found:
                    found["A"].tocoo()
            except UserError as error:
                assert "is no whole MATLAB file" in str(error)
                refused += 1
    assert refused > len(data) / 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([[1j]]), "holds complex numbers"),
        ("text", "holds no numbers"),
        (np.array([1, "x"], object), "holds no numbers"),
    ],
)
def test_what_is_no_array_of_real_numbers(tmp_path, value, message):
    scipy.io.savemat(tmp_path / "a.mat", {"A": value})
    with pytest.raises(UserError, match=message):
        read_matlab_file(tmp_path / "a.mat", ["A"])
    with pytest.raises(UserError, match="does not exist"):
        read_matlab_file(tmp_path / "b.mat", ["A"])
