"""Files in Planetoid's layout, made up: written as Python 2 wrote them, with NumPy's and SciPy's names of that time."""

import io
import pickle
import struct

import numpy as np
from scipy.sparse import csr_matrix


def _text(value):
    raw = value if isinstance(value, bytes) else value.encode("latin1")
    return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw


def _number(value):
    return b"J" + struct.pack("<i", value)


def _array(array, order="C"):
    code = f"{array.dtype.kind}{array.dtype.itemsize}"
    dtype = b"cnumpy\ndtype\n" + _text(code) + b"K\x00K\x01\x87R"
    big = b">" if array.dtype.byteorder == ">" else b"<" if array.dtype.itemsize > 1 else b"|"
    dtype += b"(K\x03" + _text(big) + b"NNN" + 2 * _number(-1) + b"K\x00tb"
    shape = b"(" + b"".join(_number(size) for size in array.shape) + b"t"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    fortran = b"\x88" if order == "F" else b"\x89"
    return made + b"(K\x01" + shape + dtype + fortran + _text(array.tobytes(order)) + b"tb"


def python2_array(array, order="C"):
    """A pickle of protocol 2 as Python 2 wrote it for an array."""
    return b"\x80\x02" + _array(np.asarray(array), order) + b"."


def python2_matrix(matrix):
    """The same for a CSR matrix."""
    matrix = csr_matrix(matrix)
    state = b"}(" + _text("_shape") + b"".join(_number(size) for size in matrix.shape) + b"\x86"
    for name in ("data", "indices", "indptr"):
        state += _text(name) + _array(getattr(matrix, name))
    return b"\x80\x02cscipy.sparse.csr\ncsr_matrix\n)\x81" + state + _text("maxprint") + _number(50) + b"ub."


def python2_graph(graph):
    """The same for a ``defaultdict(list)`` of neighbours."""
    out = io.BytesIO()
    out.write(b"\x80\x02ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R(")
    for node, neighbours in graph.items():
        out.write(_number(node) + b"](" + b"".join(map(_number, neighbours)) + b"e")
    out.write(b"u.")
    return out.getvalue()


# five documents in order, test documents 8, 5, 7: document 6 is nowhere but in the graph
ALLX = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]], dtype=np.float32)
ALLY = np.eye(2, dtype=np.int32)[[0, 1, 1, 0, 1]]
TX = np.array([[0, 1, 1], [1, 1, 1], [1, 0, 0]], dtype=np.float32)
TY = np.eye(2, dtype=np.int32)[[1, 0, 0]]
GRAPH = {0: [1, 2, 1], 1: [0], 2: [0, 2, 8], 3: [4], 4: [3, 5], 5: [4, 7], 6: [], 7: [5], 8: [2]}
INDEX = "8\n5\n7\n"


def planetoid_files(name="toy", **changes):
    """Contents by file name; ``changes`` by part, such as ``graph=b"..."``."""
    parts = {
        "x": python2_matrix(ALLX[:2]), "y": python2_array(ALLY[:2]), "allx": python2_matrix(ALLX),
        "ally": python2_array(ALLY), "tx": python2_matrix(TX), "ty": python2_array(TY), "graph": python2_graph(GRAPH),
        "test.index": INDEX.encode(), **changes,
    }  # fmt: skip
    return {f"ind.{name}.{part}": content for part, content in parts.items()}


def python3_pickle(thing, protocol=2):
    return pickle.dumps(thing, protocol=protocol)
