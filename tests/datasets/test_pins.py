"""Files whose card knows no hash: recorded at first use, refused when they change."""

import functools
import http.server
import json
import os
import shutil
import threading

import pytest

import graphkit.datasets as datasets
from graphkit.cli import main
from graphkit.errors import UserError


@pytest.fixture
def unknown(toy):
    """The toy card without the size and hash of its test split."""
    toy.content["files"][2].update(bytes=None, sha256=None)
    toy.write()
    return toy


def record(cache):
    return cache / "pins" / "toy" / "test.txt.json"


def test_the_first_use_records_and_a_change_is_refused(unknown, cache):
    assert datasets.load(unknown.name, root=unknown.root).test.size(0) == 1
    pinned = json.loads(record(cache).read_text())
    data = (unknown.raw / "test.txt").read_bytes()
    assert pinned["bytes"] == len(data) and len(pinned["sha256"]) == 64 and pinned["file"] == "test.txt"
    assert [path.name for path in (cache / "pins" / "toy").iterdir()] == ["test.txt.json"]  # only what is unknown
    datasets.load(unknown.name, root=unknown.root)
    before = record(cache).read_bytes()
    (unknown.raw / "test.txt").write_text("spain\tborders\titaly\n")
    with pytest.raises(UserError, match=r"is not the test.txt that the data set 'toy' had at its first use") as caught:
        datasets.load(unknown.name, root=unknown.root)
    assert pinned["sha256"] in str(caught.value) and str(record(cache)) in str(caught.value)
    assert record(cache).read_bytes() == before
    # what the message says helps
    record(cache).unlink()
    assert datasets.load(unknown.name, root=unknown.root).test.size(0) == 1
    assert json.loads(record(cache).read_text())["sha256"] != pinned["sha256"]


def test_provenance_names_the_hash(unknown):
    task = datasets.load(unknown.name, root=unknown.root)
    files = task.provenance["files"]
    assert files["test.txt"]["pinned"] is True and "pinned" not in files["train.txt"]
    assert len(files["test.txt"]["sha256"]) == 64


def test_verify_says_so_and_records_nothing(unknown, cache):
    rows = datasets.verify(unknown.name, unknown.root)
    assert [ok for _, ok, _ in rows] == [True, True, True]
    assert "known to no card or record yet" in rows[2][2] and "known to" not in rows[0][2]
    assert not record(cache).exists()
    datasets.load(unknown.name, root=unknown.root)
    assert "as at first use" in datasets.verify(unknown.name, unknown.root)[2][2]
    (unknown.raw / "test.txt").write_text("spain\tborders\titaly\n")
    assert [ok for _, ok, _ in datasets.verify(unknown.name, unknown.root)] == [True, True, False]


def test_a_damaged_record_is_not_taken_for_none(unknown, cache):
    datasets.load(unknown.name, root=unknown.root)
    for text in ("", "{", "[]", '{"bytes": 3}'):
        record(cache).write_text(text)
        with pytest.raises(UserError, match="is damaged; make sure that the file is the right one"):
            datasets.load(unknown.name, root=unknown.root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written(unknown, cache):
    cache.mkdir()
    cache.chmod(0o555)
    try:
        with pytest.raises(UserError, match=r"its first hash cannot be recorded .* set GRAPHKIT_CACHE"):
            datasets.load(unknown.name, root=unknown.root)
    finally:
        cache.chmod(0o755)


def test_a_file_where_the_folder_of_records_should_be(unknown, cache):
    cache.mkdir()
    (cache / "pins").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be (read|recorded)"):
        datasets.load(unknown.name, root=unknown.root)


@pytest.fixture
def served(unknown, tmp_path):
    """The unknown file from a local server, the others from there too."""
    folder = tmp_path / "served"
    shutil.move(unknown.raw, folder)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    for file in unknown.content["files"]:
        file["url"] = f"http://127.0.0.1:{server.server_port}/{file['path']}"
    unknown.write()
    unknown.served = folder
    yield unknown
    server.shutdown()
    server.server_close()


def test_a_later_fetch_must_bring_the_first_file(served, cache):
    datasets.fetch(served.name)
    assert record(cache).exists()
    fetched = cache / "raw" / "toy" / "test.txt"
    fetched.unlink()
    datasets.fetch(served.name)  # the same again
    fetched.unlink()
    (served.served / "test.txt").write_text("spain\tborders\titaly\n")
    with pytest.raises(UserError, match="is not what the data set 'toy' had at its first use"):
        datasets.fetch(served.name)
    assert not fetched.exists()


def test_the_command_line_says_what_is_unknown(unknown, capsys):
    assert main(["data", "info", unknown.name]) == 0
    assert "recorded" in capsys.readouterr().out
    assert main(["data", "verify", unknown.name, "--root", str(unknown.root)]) == 0
    assert "but for 1 of 3" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "fields",
    [{"bytes": None}, {"sha256": None}, {"bytes": None, "sha256": None, "also": [{"bytes": 1, "sha256": "0"}]}],
)
def test_half_known_files_are_refused(toy, fields):
    toy.content["files"][0].update(fields)
    toy.write()
    with pytest.raises(
        UserError, match=r"file 0 of the data card .*: bytes and sha256 are either both known or both null"
    ):
        datasets.card(toy.name)
