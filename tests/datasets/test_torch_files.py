"""Files of torch.save: arrays come back as they were, and nothing in a file is ever run."""

import collections
import functools
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graphkit.datasets.torch_files import read_torch_file
from graphkit.errors import UserError

CONTENT = {
    "head": np.arange(7),
    "small": np.arange(6, dtype=np.int32).reshape(2, 3),
    "column": np.asfortranarray(np.arange(6.0).reshape(3, 2)),
    "big": np.array([1, 258], dtype=">i8"),
    "flag": np.array([True, False]),
    "half": np.array([0.5], dtype=np.float16),
    "empty": np.zeros((0, 500), dtype=np.int64),
    "text": np.array(["drug", "gene"]),
    "type": ["drug", "gene"] * 3,
    "count": 3,
    "rate": 0.5,
    "number": np.int64(9),
}

layouts = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


@layouts
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_layout_and_protocol(tmp_path, zipped, protocol):
    path = tmp_path / "train.pt"
    torch.save(CONTENT, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    found = read_torch_file(path)
    assert list(found) == list(CONTENT)
    for key, value in CONTENT.items():
        if isinstance(value, np.ndarray):
            assert found[key].dtype == value.dtype and found[key].shape == value.shape
            np.testing.assert_array_equal(found[key], value)
        else:
            assert found[key] == value


def test_names_of_older_numpy_are_known(tmp_path):
    path = tmp_path / "train.pt"
    torch.save({"head": np.arange(3)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert (old != data) or b"numpy.core.multiarray" in data
    path.write_bytes(old)
    assert read_torch_file(path)["head"].tolist() == [0, 1, 2]


def test_an_array_of_text_objects_is_a_list(tmp_path):
    torch.save({"type": np.array(["drug", "gene"], dtype=object)}, tmp_path / "a.pt")
    assert read_torch_file(tmp_path / "a.pt") == {"type": ["drug", "gene"]}
    torch.save({"type": np.array(["drug", 3], dtype=object)}, tmp_path / "b.pt")
    with pytest.raises(UserError, match="array of objects other than text"):
        read_torch_file(tmp_path / "b.pt")


@pytest.mark.data
def test_the_real_files_of_ogb(data_root):
    folder = data_root / "ogb" / "ogbl_ddi" / "split" / "target"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    valid, train = read_torch_file(folder / "valid.pt"), read_torch_file(folder / "train.pt")
    assert set(train) == {"edge"} and set(valid) == {"edge", "edge_neg"}
    assert train["edge"].shape == (1_067_911, 2) and train["edge"].dtype == np.int64
    assert valid["edge"].shape == (133_489, 2) and int(train["edge"].max()) < 4267
    reference = torch.load(folder / "train.pt", weights_only=False)  # its sum is listed among the data of the tests
    np.testing.assert_array_equal(train["edge"], reference["edge"])


class Trap:
    """Makes a folder when it is unpickled by a reader that runs what it is told."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


def attempts(trap):
    """Files that try to run something, by what they try."""
    mkdir = f"cos\nmkdir\n(V{trap}\ntR."
    return {
        "a call": pickle.dumps({"head": Trap(trap)}, protocol=2),
        "a call at the top": pickle.dumps(Trap(trap), protocol=4),
        "a call by opcode": mkdir.encode(),
        "an old instance": f"(V{trap}\nios\nmkdir\n.".encode(),
        "builtins": f"cbuiltins\neval\n(V__import__('os').mkdir({str(trap)!r})\ntR.".encode(),
        "a part of numpy": b"cnumpy\nload\n(Vx\ntR.",
        "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x13ndarray.__class__\x93(Vx\ntR.",
        "a class": pickle.dumps(collections.OrderedDict(a=1), protocol=2),
        "a partial": pickle.dumps(functools.partial(os.mkdir, str(trap)), protocol=2),
        "a state on a stand-in": f"cnumpy\ndtype\n}}(V__call__\ncos\nmkdir\nusb(V{trap}\ntR.".encode(),
        "attributes on a stand-in": b"cnumpy\ndtype\nN}(V__call__\nI1\nu\x86b.",
        "an extension": b"\x80\x02\x82\x01.",
        "another encoding": b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
    }


@layouts
@pytest.mark.parametrize("what", sorted(attempts("x")))
def test_malicious_files_are_refused_and_run_nothing(tmp_path, zipped, what):
    trap, path = tmp_path / "trap", tmp_path / "train.pt"
    body = attempts(trap)[what]
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", body)
    else:
        head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
        path.write_bytes(b"".join(pickle.dumps(value, protocol=2) for value in head) + body)
    with pytest.raises(UserError, match=r"train\.pt"):
        read_torch_file(path)
    assert not trap.exists()


def test_the_trap_would_have_worked(tmp_path):
    body = pickle.dumps({"head": Trap(tmp_path / "trap")}, protocol=2)
    pickle.loads(body)
    assert (tmp_path / "trap").is_dir()


def test_the_offender_is_named(tmp_path):
    torch.save({"head": Trap(tmp_path / "trap")}, tmp_path / "train.pt")
    with pytest.raises(UserError, match=r"asks for \w+\.mkdir, which is neither an array .* nothing of it was run"):
        read_torch_file(tmp_path / "train.pt")
    torch.save({"head": torch.arange(3)}, tmp_path / "tensor.pt")
    with pytest.raises(UserError, match=r"tensor\.pt (holds torch tensors|asks for torch)"):
        read_torch_file(tmp_path / "tensor.pt")


def crafted(state, dtype=b"cnumpy\ndtype\n(Vi8\nI00\nI01\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntb"):
    """A legacy file whose one array has a state of choice; ``%b`` in the state is its type."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR" + state.replace(b"%b", dtype) + b"b"
    head = [0x1950A86A20F9469CFC6C, 1001, {}]
    return b"".join(pickle.dumps(value, protocol=2) for value in head) + b"(Vhead\n" + array + b"d."


BYTES16 = b"c_codecs\nencode\n(V" + b"a" * 16 + b"\nVlatin1\ntR"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"(I1\n(I9\nt%bI00\n" + BYTES16 + b"t", "bytes do not fill its shape"),
        (b"(I1\n(I-2\nt%bI00\n" + BYTES16 + b"t", "without shape or type"),
        (b"(I1\n(I2\ntVi8\nI00\n" + BYTES16 + b"t", "without shape or type"),
        (b"(I1\n(I2\nt%bI00\nVaaaaaaaaaaaaaaaa\nt", "bytes do not fill its shape"),
        (b"N", "is damaged"),
    ],
)
def test_arrays_that_contradict_themselves(tmp_path, state, message):
    path = tmp_path / "train.pt"
    path.write_bytes(crafted(b"(I1\n(I2\nt%bI00\n" + BYTES16 + b"t"))
    assert read_torch_file(path)["head"].shape == (2,)
    path.write_bytes(crafted(state))
    with pytest.raises(UserError, match=message):
        read_torch_file(path)


def test_records_and_strange_types_are_refused(tmp_path):
    path = tmp_path / "train.pt"
    for array in (np.zeros(2, dtype=[("a", "i4"), ("b", "O")]), np.zeros(2, dtype="M8[s]"), np.zeros(2, dtype="c16")):
        torch.save({"head": array}, path)
        with pytest.raises(UserError, match=r"an array of (type|records)|asks for"):
            read_torch_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([np.arange(2)], "holds a list, expected a mapping"),
        ({3: np.arange(2)}, "names a value 3"),
        ({"a": {"b": 1}}, "'a' is neither an array"),
        ({"a": [np.arange(2)]}, "'a' is neither an array"),
        ({"a": None}, "'a' is neither an array"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(UserError, match=message):
        read_torch_file(tmp_path / "a.pt")


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_torch_file(tmp_path / "none.pt")
    with pytest.raises(UserError, match="is damaged"):
        read_torch_file(tmp_path)
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", "x")
    with pytest.raises(UserError, match=r"without the data\.pkl"):
        read_torch_file(path)
    for data in (b"", b"PK\x03\x04", b"hello", pickle.dumps(3), struct.pack("<q", 7)):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"a\.pt (is damaged|was not written by torch\.save)"):
            read_torch_file(path)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_anywhere_gives_one_sentence_or_a_plain_mapping(tmp_path_factory, data):
    buffer = io.BytesIO()
    torch.save({"head": np.arange(5), "type": ["a"]}, buffer, _use_new_zipfile_serialization=data.draw(st.booleans()))
    whole = bytearray(buffer.getvalue())
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        place, flip = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
        assume(whole[place] ^ flip != ord("r"))  # might ask the interpreter for a memo of many gigabytes
        whole[place] ^= flip
    path = tmp_path_factory.mktemp("damage") / "a.pt"
    path.write_bytes(bytes(whole))
    try:
        found = read_torch_file(path)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(found, dict)


def test_a_member_marked_as_encrypted_is_damage(tmp_path):
    buffer = io.BytesIO()
    torch.save({"head": np.arange(5)}, buffer)
    whole = bytearray(buffer.getvalue())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = whole.find(start)
        while place >= 0:
            whole[place + flags] |= 1
            place = whole.find(start, place + 1)
    path = tmp_path / "a.pt"
    path.write_bytes(bytes(whole))
    with pytest.raises(UserError, match=r"a\.pt is damaged"):
        read_torch_file(path)


def test_mappings_within_are_read_on_request_only(tmp_path):
    path, edges = tmp_path / "data_processed", np.array([[0], [1]])
    inner = {("author", "writes", "paper"): edges, "none": None, "deeper": {"a": edges, "n": np.int64(3)}}
    torch.save({"graph": inner, "labels": None}, path, pickle_protocol=4)
    with pytest.raises(UserError, match="'graph' is neither an array"):
        read_torch_file(path)
    found = read_torch_file(path, nested=True)
    assert found["labels"] is None and found["graph"]["none"] is None and found["graph"]["deeper"]["n"] == 3
    np.testing.assert_array_equal(found["graph"]["author", "writes", "paper"], edges)
    np.testing.assert_array_equal(found["graph"]["deeper"]["a"], edges)
    for content, message in (
        ({"a": {"b": torch.zeros(2)}}, "torch"),
        ({"a": {"b": [np.zeros(2)]}}, "'b' is neither an array"),
        ({"a": {("b", 1): 2}}, "names a value"),
        ({("a", "b"): 1}, "names a value"),
    ):
        torch.save(content, path, pickle_protocol=4)
        with pytest.raises(UserError, match=message):
            read_torch_file(path, nested=True)
    loop = {}
    loop["self"] = loop
    torch.save(loop, path, pickle_protocol=4)
    with pytest.raises(UserError, match="is damaged or was not written by"):
        read_torch_file(path, nested=True)
