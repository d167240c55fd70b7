"""HeaRT's negatives in the cache: made once for what they depend on, made anew where the file is damaged."""

import numpy as np
import pytest
import torch

import graphkit.datasets.heart_cache as heart_cache
from graphkit.data import heart_negatives
from graphkit.datasets.heart_cache import cached_heart_negatives, heart_path

EDGES = torch.combinations(torch.arange(14)).t()[:, ::3]
PARTS = {"train": EDGES[:, :20], "valid": EDGES[:, 20:24], "test": EDGES[:, 24:], "num_nodes": 20}
OPTIONS = {"x": torch.rand(20, 3, generator=torch.Generator().manual_seed(0)), "num_negatives": 6}


@pytest.fixture
def made(monkeypatch):
    """How often they are made."""
    calls = []

    def counting(*parts, **options):
        calls.append(parts)
        return heart_negatives(*parts, **options)

    monkeypatch.setattr(heart_cache, "heart_negatives", counting)
    return calls


def test_made_once_and_the_same(made, cache):
    plain = heart_negatives(**PARTS, **OPTIONS)
    for _ in range(3):
        found = cached_heart_negatives(**PARTS, **OPTIONS)
        assert all(
            torch.equal(ours, theirs) and ours.dtype == torch.int64 for ours, theirs in zip(found, plain, strict=True)
        )
    assert len(made) == 1
    (path,) = (cache / "processed").glob("heart-*.npz")
    assert path == heart_path(**PARTS, **OPTIONS)
    with np.load(path, allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} == {"i"}


def test_the_key_follows_everything_they_depend_on():
    changes = [
        {},
        {"train": PARTS["train"][:, 1:]},
        {"train": PARTS["train"].flip(1)},
        {"valid": PARTS["test"], "test": PARTS["valid"]},
        {"num_nodes": 21},
        {"x": None},
        {"x": OPTIONS["x"].double()},
        {"x": OPTIONS["x"] + 1},
        {"num_negatives": 8},
        {"seed": 43},
        {"tolerance": 1e-5},
    ]
    assert len({heart_path(**{**PARTS, **OPTIONS, **change}) for change in changes}) == len(changes)


@pytest.mark.parametrize("spoil", [lambda data: data[:100], lambda data: b"", lambda data: data[:-40]])
def test_a_damaged_file_is_made_anew(made, spoil):
    first = cached_heart_negatives(**PARTS, **OPTIONS)
    path = heart_path(**PARTS, **OPTIONS)
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    again = cached_heart_negatives(**PARTS, **OPTIONS)
    assert len(made) == 2 and all(torch.equal(ours, theirs) for ours, theirs in zip(first, again, strict=True))
    cached_heart_negatives(**PARTS, **OPTIONS)
    assert len(made) == 2


def test_a_file_of_other_negatives_or_a_pickle_is_not_taken(made):
    first = cached_heart_negatives(**PARTS, **OPTIONS)
    path = heart_path(**PARTS, **OPTIONS)
    np.savez(path, valid=np.zeros((2, 1, 6), np.int32), test=np.zeros((2, 1, 6), np.int32))
    assert torch.equal(cached_heart_negatives(**PARTS, **OPTIONS)[0], first[0]) and len(made) == 2
    objects = np.empty(1, dtype=object)
    np.savez(path, valid=objects, test=objects)
    assert torch.equal(cached_heart_negatives(**PARTS, **OPTIONS)[0], first[0]) and len(made) == 3


def test_a_cache_that_cannot_be_written_to_is_tolerated(made, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        cached_heart_negatives(**PARTS, **OPTIONS)
    assert len(made) == 2
