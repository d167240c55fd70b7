"""Pickles of arrays are read, and nothing that a file names is ever run."""

import collections
import os
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planetoid_samples import python2_array, python2_graph, python2_matrix, python3_pickle
from scipy.sparse import csr_matrix, issparse

from graphkit.datasets.restricted_pickle import read_arrays
from graphkit.errors import UserError


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "data"
        path.write_bytes(content)
        return read_arrays(path)

    return read


ARRAYS = [
    np.arange(12, dtype=np.int32).reshape(3, 4),
    np.arange(6, dtype=">i8"),
    np.linspace(0, 1, 7),
    np.array([True, False]),
    np.zeros((0, 3), dtype=np.float32),
    np.arange(300, dtype=np.uint8),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_of_python_2_and_3(read, array):
    for content in (python2_array(array), python3_pickle(array), python3_pickle(array, 4)):
        found = read(content)
        assert type(found) is np.ndarray and np.array_equal(found, array) and found.dtype == array.dtype
        assert found.flags.writeable and found.flags.owndata


def test_the_order_of_memory(read):
    array = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    assert np.array_equal(read(python2_array(array, "F")), array)
    assert np.array_equal(read(python3_pickle(np.asfortranarray(array))), array)


def test_matrices_of_python_2_and_3(read):
    matrix = csr_matrix(np.array([[0, 1, 0], [2, 0, 3]], dtype=np.float32))
    for content in (python2_matrix(matrix), python3_pickle(matrix), python3_pickle(matrix, 4)):
        found = read(content)
        assert issparse(found) and found.format == "csr" and np.array_equal(found.toarray(), matrix.toarray())


def test_plain_data(read):
    graph = {0: [1, 2], 5: [], 7: [0]}
    assert read(python2_graph(graph)) == graph
    assert read(python3_pickle(collections.defaultdict(list, graph))) == graph
    plain = {"a": (1, 2.5, None, True), "b": [b"raw", "text", [{}]]}
    for protocol in range(5):
        assert read(pickle.dumps(plain, protocol=protocol)) == plain


RAN = []


class Calls:
    """Reduces to a call, as a malicious file does."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def _ran(*arguments):
    RAN.append(arguments)


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("true",), "(posix|nt).system"),
        (eval, ("1",), "(__builtin__|builtins).eval"),
        (exec, ("1",), "(__builtin__|builtins).exec"),
        (__import__, ("os",), "(__builtin__|builtins).__import__"),
        (getattr, ("a", "upper"), "(__builtin__|builtins).getattr"),
        (np.load, ("x",), "numpy.load"),
        (np.frombuffer, (b"",), "numpy.frombuffer|numpy._core.multiarray.frombuffer"),
        (_ran, (1,), ".*_ran"),
        (pickle.loads, (b"N.",), "_?pickle.loads"),
    ],
)
def test_a_call_is_refused_before_it_is_made(read, function, arguments, name, protocol):
    malicious = {"data": [Calls(function, *arguments)]}
    with pytest.raises(UserError, match=f"names ({name}), and a data file needs arrays and numbers only"):
        read(pickle.dumps(malicious, protocol=protocol))
    assert not RAN


GLOBAL = b"\x80\x02c"


@pytest.mark.parametrize(
    "content",
    [
        GLOBAL + b"os\nsystem\n(U\x04truetR.",
        GLOBAL + b"numpy.core.multiarray\n_reconstruct\ncos\nsystem\n.",
        b"cos\nsystem\n.",
        b"(ios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\nU\x04trueo.",  # OBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x80\x02U\x04nameQ.",  # a persistent id
        b"Pname\n.",
        GLOBAL + b"numpy\nndarray.__class__\n.",
        GLOBAL + b"numpy\nndarray.tofile\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x1cndarray.__init__.__globals__\x93.",
    ],
)
def test_names_by_every_opcode_are_refused(read, content):
    with pytest.raises(UserError, match="and a data file needs arrays and numbers only"):
        read(content)


def test_extension_codes_are_refused(read):
    import copyreg

    copyreg.add_extension(__name__, "_ran", 77)
    try:
        with pytest.raises(UserError, match=r"is no pickle of arrays|needs arrays and numbers only"):
            read(b"\x80\x02\x82\x4d(tR.")
    finally:
        copyreg.remove_extension(__name__, "_ran", 77)
    assert not RAN


@pytest.mark.parametrize(
    "content",
    [
        python3_pickle(np.array([{}, []], dtype=object)),
        python3_pickle(np.array(["text"])),
        python3_pickle(np.zeros(2, dtype=[("a", "i4")])),
        python3_pickle(np.zeros(2, dtype="M8[s]")),
        python2_array(np.arange(6))[:-9],
        python2_array(np.arange(6, dtype=np.int32)).replace(b"J\x06\x00\x00\x00t", b"J\x07\x00\x00\x00t"),
        python2_array(np.arange(6, dtype=np.int32)).replace(b"J\x06\x00\x00\x00t", b"J\xff\xff\xff\x7ft"),
        python2_matrix(np.eye(3)).replace(
            b"J\x03\x00\x00\x00J\x03\x00\x00\x00\x86", b"J\x03\x00\x00\x00J\x01\x00\x00\x00\x86"
        ),
        b"",
        b"not a pickle",
        b"\x80\x02}.trailing"[:3],
        GLOBAL + b"numpy\nndarray\n.",  # a name alone
        GLOBAL + b"numpy\nndarray\n}U\x0d__setstate__NsU\x01aNsb.",  # state for a class
        GLOBAL + b"numpy\ndtype\nU\x02i4K\x00K\x01\x87R.",
        GLOBAL + b"__builtin__\nlist\n)R.",
        b"\x80\x04\x8f.",  # a set
        b"\x80\x02G\x3f\xf0\x00\x00\x00\x00\x00\x00}\x86R.",  # a call of a number
    ],
)
def test_other_contents_are_no_data(read, content):
    with pytest.raises(UserError, match="is no pickle of arrays"):
        read(content)


def test_what_a_file_does_to_a_stand_in_ends_with_it(read):
    array = np.arange(3)
    # BUILD with a pair of states sets attributes, here of the class that stands for numpy.ndarray
    spoils = GLOBAL + b"numpy\nndarray\n(N}U\x0c__setstate__Nstb."
    with pytest.raises(UserError):
        read(spoils)
    assert np.array_equal(read(python2_array(array)), array)


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="none cannot be read: No such file"):
        read_arrays(tmp_path / "none")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_or_read_as_data(tmp_path_factory, data):
    """Whatever bytes are flipped, nothing but a UserError comes out, and nothing is imported."""
    content = bytearray(data.draw(st.sampled_from([python2_matrix(np.eye(3)), python2_graph({0: [1], 1: [0]})])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(2, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "data"
    path.write_bytes(bytes(content))
    modules = set(sys.modules)
    try:
        found = read_arrays(path)
    except UserError:
        found = None
    assert (
        found is None or issparse(found) or isinstance(found, (np.ndarray, dict, list, tuple, str, bytes, int, float))
    )
    assert set(sys.modules) == modules
