"""Fetching: from a server on this machine, never when offline, never half a file."""

import functools
import http.server
import os
import resource
import shutil
import socket
import threading

import pytest

import graphkit.datasets as datasets
from graphkit.errors import UserError


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(toy, tmp_path):
    """The toy card with addresses on a local server; its files are no longer under the root."""
    folder = tmp_path / "served"
    shutil.move(toy.raw, folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    for file in toy.content["files"]:
        file["url"] = f"http://127.0.0.1:{server.server_port}/{file['path']}"
    toy.write()
    toy.served = folder
    yield toy
    server.shutdown()
    server.server_close()


def test_missing_files_are_fetched_into_the_cache_once(served, cache, capsys):
    assert {place.origin for place in datasets.where(served.name)} == {"missing"}
    assert not [ok for _, ok, _ in datasets.verify(served.name) if ok]
    task = datasets.load(served.name)
    assert task.num_entities == 6
    assert sorted(path.name for path in (cache / "raw" / "toy").iterdir()) == ["test.txt", "train.txt", "valid.txt"]
    shutil.rmtree(served.served)
    assert [place.origin for place in datasets.fetch(served.name)] == ["cache"] * 3
    assert all(ok for _, ok, _ in datasets.verify(served.name))
    assert capsys.readouterr() == ("", "")


def test_a_wrong_file_on_the_server_is_refused(served, cache):
    (served.served / "valid.txt").write_text("something else")
    with pytest.raises(
        UserError, match=r"valid.txt is not what the card of 'toy' expects .*place it by hand as .GRAPH"
    ):
        datasets.load(served.name)
    assert [path.name for path in (cache / "raw" / "toy").iterdir()] == ["train.txt"]


def test_a_file_that_is_not_on_the_server(served):
    (served.served / "test.txt").unlink()
    with pytest.raises(UserError, match=r"fetching http.*test.txt failed \(the server answers 404\)"):
        datasets.fetch(served.name)


def test_an_altered_file_in_the_cache_is_refused_not_replaced(served, cache):
    datasets.fetch(served.name)
    file = cache / "raw" / "toy" / "train.txt"
    file.write_text("altered")
    with pytest.raises(UserError, match="is truncated"):
        datasets.load(served.name)
    assert file.read_text() == "altered"


def test_no_server(toy):
    shutil.rmtree(toy.root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for file in toy.content["files"]:
        file["url"] = f"http://127.0.0.1:{port}/{file['path']}"
    toy.write()
    with pytest.raises(
        UserError, match=r"no connection to the server.*place it by hand as .GRAPHKIT_DATA/toy/raw/train"
    ):
        datasets.load(toy.name)


def test_offline_no_connection_is_opened(served, monkeypatch):
    def refuse(*_, **__):
        pytest.fail("a connection was opened")

    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for call in (datasets.load, datasets.fetch):
        with pytest.raises(
            UserError, match=r"GRAPHKIT_OFFLINE is set; .*place it by hand as .GRAPHKIT_DATA/toy/raw/train"
        ):
            call(served.name)


def test_an_explicit_root_fetches_nothing(served, tmp_path):
    with pytest.raises(UserError, match="lacks files"):
        datasets.fetch(served.name, root=tmp_path)


def test_a_file_without_an_address_must_be_placed_by_hand(toy):
    shutil.rmtree(toy.root)
    with pytest.raises(UserError, match=r"has no address to fetch it from; place it by hand as .GRAPHKIT_DATA/toy/raw"):
        datasets.load(toy.name)


def test_a_cache_without_room_for_a_download(served, tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the cache folder should be")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(blocked))
    with pytest.raises(UserError, match="cannot be written to"):
        datasets.load(served.name)


def test_files_in_folders_are_fetched_into_folders(served, cache):
    """As of GraIL's data sets: KEY/train.txt and KEY_ind/train.txt have one name in two folders."""
    for number, file in enumerate(served.content["files"]):
        folder = served.served / f"part{number}"
        folder.mkdir()
        shutil.move(served.served / file["path"], folder / "rows.txt")
        file["url"] = file["url"].replace(file["path"], f"part{number}/rows.txt")
        file["path"] = f"part{number}/rows.txt"
    served.write()
    places = datasets.fetch(served.name)
    assert [place.path for place in places] == [cache / "raw" / "toy" / f"part{n}" / "rows.txt" for n in range(3)]
    shutil.rmtree(served.served)
    assert [place.origin for place in datasets.fetch(served.name)] == ["cache"] * 3


def in_children(count, call):
    """Exit statuses of forks that make the call: 0, or 2 for a UserError, which is told through a pipe."""
    children, told = [], []
    for number in range(count):
        receive, send = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                call(number)
                status = 0
            except UserError as error:
                os.write(send, str(error).encode())
                status = 2
            finally:
                os._exit(status)
        os.close(send)
        children.append((pid, receive))
    statuses = []
    for pid, receive in children:
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        with os.fdopen(receive, "rb") as file:
            told.append(file.read().decode())
    return statuses, told


def test_several_processes_on_one_cache_at_once(served, cache):
    """Each fetches, verifies, reads and writes the processed form; none sees half a file of another."""
    read = cache.parent / "read"
    read.mkdir()

    def work(number):
        for _ in range(3):
            task = datasets.load(served.name)
            (read / str(number)).write_text(
                repr([task.triples(split).tolist() for split in ("train", "valid", "test")])
            )

    statuses, told = in_children(4, work)
    assert statuses == [0] * 4, told
    assert len({path.read_text() for path in read.iterdir()}) == 1
    assert all(ok for _, ok, _ in datasets.verify(served.name))
    assert sorted(path.name for path in (cache / "raw" / "toy").iterdir()) == ["test.txt", "train.txt", "valid.txt"]
    assert len(list((cache / "processed").iterdir())) == 1


def test_a_disk_that_is_full_while_fetching(served, cache):
    def work(_):
        resource.setrlimit(resource.RLIMIT_FSIZE, (30, 30))  # bytes
        datasets.fetch(served.name)

    statuses, told = in_children(1, work)
    assert statuses == [2] and "train.txt of 'toy' cannot be written to" in told[0]
    assert [path.name for path in cache.rglob("*") if path.is_file()] == []  # no half a file, no remains
    assert [place.origin for place in datasets.fetch(served.name)] == ["cache"] * 3
