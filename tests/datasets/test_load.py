"""From a name to a task: sources, verification, the cache, and what is never written."""

import importlib.metadata
import os

import numpy as np
import pytest
import torch

import graphkit.datasets as datasets
from graphkit.errors import UserError


def listing(folder):
    return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*"))


def same(first, second):
    splits = all(torch.equal(first.triples(s), second.triples(s)) for s in ("train", "valid", "test"))
    return splits and first.entities == second.entities and first.relations == second.relations


needs_wheel = pytest.mark.skipif(
    not any(d.metadata["Name"] == "pykeen" for d in importlib.metadata.distributions()),
    reason="pykeen, whose wheel carries UMLS, is not installed",
)


@needs_wheel
def test_an_installed_distribution_is_found_without_importing_it(monkeypatch):
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    places = datasets.where("umls")
    assert [place.origin.split()[0] for place in places] == ["pykeen"] * 3
    import sys

    loaded = "pykeen" in sys.modules
    assert datasets.load("umls").statistics() == datasets.card("umls").statistics
    assert ("pykeen" in sys.modules) == loaded


@pytest.mark.data
@needs_wheel
def test_the_wheel_and_the_public_layout_give_the_same_task(data_root):
    from_root = datasets.load("umls", root=data_root)
    from_wheel = datasets.load("umls")
    assert same(from_root, from_wheel)
    origins = [task.provenance["files"]["train.txt"] for task in (from_root, from_wheel)]
    assert origins[0]["origin"] == "root" and origins[1]["origin"].startswith("pykeen ")
    assert origins[0]["sha256"] != origins[1]["sha256"]


def test_provenance_is_plain(toy):
    import json

    provenance = datasets.load(toy.name, root=toy.root).provenance
    assert json.loads(json.dumps(provenance)) == provenance
    assert provenance["card"] == "toy" and provenance["options"] == {}
    assert str(toy.root) not in json.dumps(provenance)


def test_a_root_may_be_any_folder_down_to_the_files(toy):
    for root in (toy.root, toy.root / "toy", toy.raw):
        assert [place.path for place in datasets.where(toy.name, root)] == [
            toy.raw / f"{split}.txt" for split in ("train", "valid", "test")
        ]


def test_an_explicit_root_without_a_file_says_what_was_expected(toy, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", str(toy.root))
    with pytest.raises(UserError, match=r"lacks files of the data set 'toy'; expected .*toy/raw/train.txt, .*test.txt"):
        datasets.load(toy.name, root=toy.root / "elsewhere")


def test_the_environment_names_a_root(toy, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", str(toy.root))
    assert {place.origin for place in datasets.where(toy.name)} == {"GRAPHKIT_DATA"}
    assert datasets.load(toy.name).num_entities == 6


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-3], "is truncated: expected 67 bytes with sha256 .*, found 64 bytes with sha256"),
        (lambda data: data.replace(b"rome", b"nome"), "is altered: expected 67 bytes .*, found 67 bytes"),
        (lambda data: data + b"\n", "is altered"),
    ],
)
def test_spoilt_files_are_refused_and_kept(toy, spoil, message):
    datasets.load(toy.name, root=toy.root)  # a processed form must not hide the fault
    file = toy.raw / "train.txt"
    spoilt = spoil(file.read_bytes())
    file.write_bytes(spoilt)
    with pytest.raises(UserError, match=message) as caught:
        datasets.load(toy.name, root=toy.root)
    assert str(file) in str(caught.value) and toy.content["files"][0]["sha256"] in str(caught.value)
    assert file.read_bytes() == spoilt
    assert [ok for _, ok, _ in datasets.verify(toy.name, toy.root)] == [False, True, True]


def test_other_accepted_contents(toy):
    import hashlib

    data = (toy.raw / "train.txt").read_bytes().rstrip(b"\n")
    (toy.raw / "train.txt").write_bytes(data)
    toy.content["files"][0]["also"] = [
        {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "why": "the last line has no end"}
    ]
    toy.write()
    assert datasets.load(toy.name, root=toy.root).train.size(0) == 3


def test_nothing_is_written_below_a_root(toy, cache):
    before = listing(toy.root)
    for folder in (toy.raw, toy.raw.parent, toy.root):
        folder.chmod(0o555)
    try:
        datasets.load(toy.name, root=toy.root)
        datasets.verify(toy.name, toy.root)
        assert listing(toy.root) == before
    finally:
        for folder in (toy.root, toy.raw.parent, toy.raw):
            folder.chmod(0o755)
    assert len(list((cache / "processed").iterdir())) == 1


def processed(cache):
    (path,) = (cache / "processed").glob("*.npz")
    return path


def test_the_processed_form_is_used_and_holds_no_pickle(toy, cache, monkeypatch):
    first = datasets.load(toy.name, root=toy.root)
    with np.load(processed(cache), allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} == {"i", "u"}
    monkeypatch.setattr("graphkit.datasets.loading.read", lambda *_: pytest.fail("the files were read again"))
    again = datasets.load(toy.name, root=toy.root)
    assert same(first, again) and again.provenance == first.provenance


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"nonsense",
        lambda data: data.replace(b"madrid", b"mxdrid"),
    ],
)
def test_a_damaged_processed_form_is_built_again(toy, cache, spoil):
    first = datasets.load(toy.name, root=toy.root)
    whole = processed(cache).read_bytes()
    spoilt = spoil(whole)
    assert spoilt != whole
    processed(cache).write_bytes(spoilt)
    assert same(datasets.load(toy.name, root=toy.root), first)
    with np.load(processed(cache)) as arrays:
        assert arrays["train"].shape == (3, 3)


def test_a_pickle_in_the_cache_is_not_run(toy, cache, tmp_path):
    first = datasets.load(toy.name, root=toy.root)
    trap = tmp_path / "trap"

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(trap),))

    objects = np.empty(1, dtype=object)
    objects[0] = Trap()
    np.savez(processed(cache), train=objects, valid=objects, test=objects, names=objects)
    assert same(datasets.load(toy.name, root=toy.root), first)
    assert not trap.exists()


def test_a_cache_that_cannot_be_written_to_is_tolerated(toy, tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the cache folder should be")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(blocked))
    assert datasets.load(toy.name, root=toy.root).num_entities == 6


def test_the_key_of_the_processed_form_follows_options_and_hashes(toy):
    from graphkit.datasets.card import Card
    from graphkit.datasets.processed import processed_path

    card = Card.read(toy.path)
    plain = processed_path(card, {"train.txt": "a"})
    assert processed_path(card, {"train.txt": "b"}) != plain
    toy.write(options={"skip_first": True})
    assert processed_path(Card.read(toy.path), {"train.txt": "a"}) != plain


def test_unknown_options_are_refused(toy):
    with pytest.raises(UserError, match="unknown option 'varaint'; did you mean 'variant'"):
        datasets.load(toy.name, root=toy.root, varaint="s1")
    with pytest.raises(UserError, match="toy has a split of its own; leave out fold"):
        datasets.load(toy.name, root=toy.root, fold=0)
