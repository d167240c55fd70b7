"""Changes of bytes: blind ones, and ones inside of containers, whose checksums and lengths are put right again."""

from __future__ import annotations

import ast
import contextlib
import gzip
import io
import json
import pickle
import pickletools
import random
import re
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

__all__ = ["EXTREMES", "changed", "hostile_pickle"]

#: texts that readers of numbers, names and paths stumble over
EXTREMES = [
    b"", b"-1", b"0", b"-0", b"1", b"2", b"1e309", b"-1e309", b"1e-320", b"nan", b"inf", b"-inf", b"0x10", b"1_000",
    b"1.5", b"1e3", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809",
    b"4294967296", b"2147483648", b"99999999999", b"1" * 400, b"1" * 5000, "\u0661".encode(), "\u00b2".encode(),
    b"\x00", b"\xff\xfe", b"\xc3", b"\r", b"\r\n", b"\n\n", b"\t", b" ", b",", b";", b"|", b'"', b'""', b"'", b"[",
    b"]", b"{", b"}", b"[" * 3000, b"{a: " * 400, b"(" * 500, b"&", b"&a [*a]", b"*a",
    b"!!python/object/apply:os.system [x]", b"!", b"<", b">", b"<a>", b"&x;", b"%", b"%s", b"{0}", b"\\", b"#", b"~",
    b"../../escape", b"/tmp/escape", b"true", b"false", b"null", b"None", b"yes", b"2020-01-01", b"2020-99-99",
    b"12:30:45", b"0o17", "\u2028".encode(), "\ufeff".encode(), "\U0001f600".encode(), b"a" * 70000, b"['a', 'b']",
    b"[1, 2", b"1 mph", b"1;2",
]  # fmt: skip
_INTEGERS = (0, 1, 2, 3, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NAMES = [
    "../escape", "/tmp/escape", "..\\escape", "a/../../escape", "", ".", "..", "x" * 300, "data.pkl", "\u0000",
    "caf\u00e9", "a//b",
]  # fmt: skip


def changed(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """A changed copy; two thirds of the changes are made inside of the container that the bytes are, where they are one."""
    if rng.random() < 0.65:
        with contextlib.suppress(Exception):  # a file that is damaged already is only changed blindly
            return _inside(data, rng, others, 0)
    return _blindly(data, rng, others)


def _blindly(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(_EDITS)(data, rng, others)
    return data


def _place(data: bytes, rng: random.Random) -> int:
    return rng.randrange(len(data) + 1)


def _flip(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    if not data:
        return b"\x00"
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def _byte(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    place = _place(data, rng)
    return (
        data[:place] + bytes([rng.choice((0, 9, 10, 13, 32, 34, 44, 128, 255, rng.randrange(256)))]) + data[place + 1 :]
    )


def _cut(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    return data[: _place(data, rng)]


def _drop(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place + rng.choice((1, 2, 4, 8, 16, 64)) :]


def _repeat(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place : place + rng.choice((1, 4, 16, 64))] * rng.choice((2, 3, 50)) + data[place:]


def _splice(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    return data[: _place(data, rng)] + other[_place(other, rng) :][:4096]


def _extreme(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    place = _place(data, rng)
    return data[:place] + rng.choice(EXTREMES) + data[place + rng.choice((0, 0, 1, 4)) :]


def _integer(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    place, size = _place(data, rng), rng.choice((2, 4, 8))
    value = (rng.choice(_INTEGERS) % 2 ** (8 * size)).to_bytes(size, rng.choice(("little", "big")))
    return data[:place] + value + data[place + size :]


def _number(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    found = [match.span() for match in _NUMBER.finditer(data[:20000])]
    if not found:
        return _extreme(data, rng, others)
    begin, end = rng.choice(found)
    return data[:begin] + rng.choice(EXTREMES) + data[end:]


def _lines(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    what = rng.randrange(5)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif what == 2:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif what == 3:
        lines[at] = rng.choice(EXTREMES)
    else:
        parts = re.split(rb"([\t,; |]+)", lines[at])
        parts[rng.randrange(len(parts))] = rng.choice(EXTREMES)
        lines[at] = b"".join(parts)
    return b"\n".join(lines)


_EDITS: list[Callable[[bytes, random.Random, list[bytes]], bytes]] = [
    _flip, _flip, _byte, _cut, _drop, _repeat, _splice, _extreme, _extreme, _integer, _number, _number, _lines,
    _lines,
]  # fmt: skip


def _inside(data: bytes, rng: random.Random, others: list[bytes], depth: int) -> bytes:
    if depth > 3 or not data:
        return _blindly(data, rng, others)
    if data[:2] == b"\x1f\x8b":
        return _in_gzip(data, rng, others, depth)
    if data[:4] == b"PK\x03\x04":
        return _in_zip(data, rng, others, depth)
    if data[:6] == b"\x93NUMPY":
        return _in_npy(data, rng, others)
    if data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return _in_pickle(data, rng, others)
    if data[:15] == b"SQLite format 3":
        return _in_sqlite(data, rng)
    if len(data) > 9 and data[8:9] == b"{" and struct.unpack_from("<Q", data)[0] <= len(data):
        return _in_safetensors(data, rng, others)
    if data[:1] in (b"{", b"["):
        return _in_json(data, rng, others)
    return _blindly(data, rng, others)


def _in_gzip(data: bytes, rng: random.Random, others: list[bytes], depth: int) -> bytes:
    content = zlib.decompress(data, 31)
    if len(content) > 262 and content[257:262] == b"ustar":
        return gzip.compress(_in_tar(content, rng, others, depth), 1)
    if rng.random() < 0.01:
        return gzip.compress(content + b"\n" * 30_000_000, 6)  # much from little
    return gzip.compress(_inside(content, rng, others, depth + 1), 1)


def _in_tar(data: bytes, rng: random.Random, others: list[bytes], depth: int) -> bytes:
    members = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            members.append((member, b"" if file is None else file.read()))
    at = rng.randrange(len(members))
    member, content = members[at]
    what = rng.random()
    if what < 0.6:
        content = _inside(content, rng, others, depth + 1)
    elif what < 0.7:
        member.name = rng.choice(_NAMES)
    elif what < 0.85:
        link = tarfile.TarInfo(rng.choice((member.name, "a/link", "../escape")))
        link.type = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE))
        link.linkname = rng.choice(("/etc/passwd", "../../escape", member.name))
        members.insert(rng.randrange(len(members) + 1), (link, b""))
    else:
        del members[at]
    members = [(one, content if one is member else held) for one, held in members]
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.USTAR_FORMAT if rng.random() < 0.5 else tarfile.PAX_FORMAT
    ) as new:
        for one, held in members:
            one.size = len(held)
            with contextlib.suppress(ValueError):
                new.addfile(one, io.BytesIO(held))
    return out.getvalue()


def _in_zip(data: bytes, rng: random.Random, others: list[bytes], depth: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    what = rng.random()
    if what < 0.75:
        members[at] = name, _inside(content, rng, others, depth + 1)
    elif what < 0.82:
        members[at] = rng.choice(_NAMES), content
    elif what < 0.88:
        members.append((rng.choice([*_NAMES, *(other for other, _ in members)]), rng.choice(members)[1]))
    elif what < 0.94:
        members[at] = name, rng.choice(members)[1]
    else:
        del members[at]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.2 else zipfile.ZIP_STORED) as new:
        for name, content in members:
            with contextlib.suppress(ValueError, UnicodeError):
                new.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


_DESCRIPTIONS = [
    "<i8", ">i8", "<i4", "<u8", "<f8", "<f4", "<f2", "|b1", "|u1", "|O", "<U3", "<U0", "|S2", "|S0", "<c16", "<M8[s]",
    "|V8", "?", "i", [["a", "<i8"]], "<i99", "", 3,
]  # fmt: skip
_SHAPES = [
    (), (0,), (1,), (2,), (-1,), (10**9,), (10**12,), (2**63,), (2**40, 2**40), (0, 2**62), (1, 1), (3, 0), "x",
    (1.5,), (2, 2, 2),
]  # fmt: skip


def _in_npy(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    size = struct.unpack_from("<H", data, 8)[0]
    header, content = ast.literal_eval(data[10 : 10 + size].decode("latin1")), data[10 + size :]
    what = rng.random()
    if what < 0.3:
        header["descr"] = rng.choice(_DESCRIPTIONS)
    elif what < 0.6:
        shape = list(header["shape"])
        if shape and rng.random() < 0.6:
            shape[rng.randrange(len(shape))] += rng.choice((-1, 1, 2, -2, 1000))
            header["shape"] = tuple(shape)
        else:
            header["shape"] = rng.choice(_SHAPES)
    elif what < 0.65:
        header["fortran_order"] = rng.choice((True, 1, None))
    elif what < 0.95 and content:  # values, one of them another
        content = _value(content, rng, header["descr"])
    else:
        content = _blindly(content, rng, others)
    text = (
        repr(header) if rng.random() < 0.97 else _blindly(repr(header).encode(), rng, others).decode("latin1")
    ) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", min(len(text), 65535)) + text.encode("latin1")[:65535] + content


def _value(content: bytes, rng: random.Random, description: Any) -> bytes:
    size = int(re.sub(r"\D", "", str(description)) or 1)
    place = rng.randrange(max(1, len(content) // max(1, size))) * size
    if str(description)[1:2] == "f" and size in (4, 8):
        value = struct.pack("<" + {4: "f", 8: "d"}[size], rng.choice((float("nan"), float("inf"), -1.0, 0.0, 3e38)))
    else:
        value = (rng.choice((*_INTEGERS, -1, -2, 5, 7, 10, 40)) % 2 ** (8 * size)).to_bytes(size, "little")
    return content[:place] + value + content[place + size :]


_CALLS = [
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("numpy", "fromfile"),
    ("builtins", "getattr"), ("numpy", "load"), ("torch", "load"), ("builtins", "open"), ("pathlib", "Path"),
    ("collections", "OrderedDict"), ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
    ("copyreg", "_reconstructor"), ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "scalar"),
    ("torch._utils", "_rebuild_tensor_v2"), ("torch.storage", "_load_from_bytes"),
    ("scipy.sparse._csr", "csr_matrix"), ("torch", "FloatStorage"), ("builtins", "bytes"), ("builtins", "list"),
    ("numpy._core.numeric", "_frombuffer"), ("collections", "defaultdict"),
]  # fmt: skip
_ARGUMENTS = [
    None, True, 0, -1, 2**70, 1.5, float("nan"), "", "touch escape", "i8", "O8", "V8", "<f8", b"", b"x" * 16, (), [],
    {}, (0,), (10**12,), (-1,), ("a",), [1, [2, "x"]], {"_shape": (2, 2)}, {1: {2: 3}}, "latin1",
    (3, "<", None, None, None, -1, -1, 0),
]  # fmt: skip


def hostile_pickle(rng: random.Random) -> bytes:
    """A pickle that names things that a data file has no use for, or hands arguments of the wrong kinds to what it may name."""
    parts = [b"\x80\x02", rng.choice((b"", b"]", b"}", b"("))]
    for _ in range(rng.randint(1, 4)):
        room, name = rng.choice(_CALLS)
        parts.append(b"c" + room.encode() + b"\n" + name.encode() + b"\n")
        arguments = [rng.choice(_ARGUMENTS) for _ in range(rng.randint(0, 4))]
        parts.append(b"(" + b"".join(_bare(argument) for argument in arguments) + b"t")
        parts.append(rng.choice((b"R", b"R", b"R", b"\x81")))
        if rng.random() < 0.4:
            parts.append(_bare(rng.choice(_ARGUMENTS)) + b"b")
        if rng.random() < 0.3:
            parts.append(rng.choice((b"a", b"s", b"e", b"u", b"0", b"2", b"\x85", b"Q", b"q\x00", b"h\x00")))
    return b"".join(parts) + b"."


def _bare(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1]


def _in_pickle(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    if rng.random() < 0.1:
        return hostile_pickle(rng)
    if rng.random() < 0.02:
        return b"\x80\x02" + b"]" * 20000 + b"a" * 19999 + b"."
    places = [place for _, _, place in pickletools.genops(data)] if len(data) < 50000 else []
    if not places:
        return _blindly(data, rng, others)
    spans = list(zip(places, [*places[1:], len(data)], strict=True))
    for _ in range(rng.choice((1, 1, 2))):
        begin, end = rng.choice(spans)
        what = rng.random()
        if what < 0.45:
            new = _bare(rng.choice(_ARGUMENTS)) if rng.random() < 0.7 else _bare(rng.choice(_INTEGERS))
        elif what < 0.65:
            new = b""
        elif what < 0.8:
            first, last = rng.choice(spans)
            new = data[first:last]
        elif what < 0.9:
            new = data[begin:end] * 2
        else:
            room, name = rng.choice(_CALLS)
            new = b"c" + room.encode() + b"\n" + name.encode() + b"\n"
        data = data[:begin] + new + data[end:]
        with contextlib.suppress(Exception):
            places = [place for _, _, place in pickletools.genops(data)]
            spans = list(zip(places, [*places[1:], len(data)], strict=True))
            continue
        break
    return data


_CELLS = [
    None, 0, 1, -1, 2**62, 1.5, float("inf"), -1e308, "", "x", "nan", b"", b"\x00\x01" + b"\x00" * 60, b"\x01" * 60,
    "1", "inf", 10**15,
]  # fmt: skip


def _in_sqlite(data: bytes, rng: random.Random) -> bytes:
    database = sqlite3.connect(":memory:")
    with contextlib.closing(database):
        database.deserialize(data) if hasattr(database, "deserialize") else None
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = rng.choice(tables)
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        what = rng.random()
        if what < 0.75:
            column = rng.choice(columns)
            row = "" if rng.random() < 0.3 else f"WHERE rowid = {rng.randint(1, 4)}"
            with contextlib.suppress(sqlite3.Error):
                database.execute(f"UPDATE {table} SET {column} = ? {row}", (rng.choice(_CELLS),))
        elif what < 0.85:
            database.execute(
                f"DELETE FROM {table}" + (f" WHERE rowid = {rng.randint(1, 4)}" if rng.random() < 0.6 else "")
            )
        elif what < 0.93:
            database.execute(f"ALTER TABLE {table} RENAME COLUMN {rng.choice(columns)} TO other")
        else:
            database.execute(f"ALTER TABLE {table} RENAME TO other")
            if rng.random() < 0.3:  # a view that never ends
                database.execute(
                    f"CREATE VIEW {table} AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
                    "SELECT x AS node_id, x AS geometry, x AS a_node, x AS b_node FROM c"
                )
        database.commit()
        return database.serialize()


def _in_safetensors(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    size = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + size])
    if rng.random() < 0.5 and "graphkit" in header.get("__metadata__", {}):
        inner = json.loads(header["__metadata__"]["graphkit"])
        header["__metadata__"]["graphkit"] = json.dumps(_tree(inner, rng))
    else:
        header = _tree(header, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 1.5, float("nan"), float("inf"), 2**31, 2**63, -(2**63), 10**400, 10**12, "", "x",
    "nan", "../../escape", [], {}, [[]], [None], {"a": 1}, [1, 2], ["x"], "0" * 300, "\u0000", "\ud800", "F32", "I64",
    [0, 0], [10**12],
]  # fmt: skip


def _tree(value: Any, rng: random.Random) -> Any:
    """A JSON value with one of its nodes replaced, taken out, doubled or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        what = rng.random()
        if what < 0.75:
            return {**value, key: _tree(value[key], rng)}
        if what < 0.88:
            return {name: one for name, one in value.items() if name != key}
        return {**value, rng.choice(("x", "", "../escape", key + "2", "0")): value[key]}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        return [
            *value[:at],
            *([_tree(value[at], rng)] if rng.random() < 0.8 else [value[at]] * rng.choice((0, 2))),
            *value[at + 1 :],
        ]
    return rng.choice(_VALUES)


def _in_json(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    try:
        return json.dumps(_tree(json.loads(data), rng)).encode("utf-8", "surrogatepass")
    except ValueError:
        lines = data.split(b"\n")  # a value a line
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(_tree(json.loads(lines[at]), rng)).encode("utf-8", "surrogatepass")
        return b"\n".join(lines)
