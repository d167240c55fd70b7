"""Pre-computed features: recursion, decay, storage in files, memory estimates."""

import pytest
import torch

from graphkit.data import FeatureFile
from graphkit.errors import UserError
from graphkit.nn import hop_decay, pattern_features, pattern_words, propagate_pattern
from graphkit.nn.pattern_words import word_name

N, F = 50, 9


def sample():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(N, (2, 200), generator=generator), torch.randn(N, F, generator=generator)


def test_slots_hold_the_recursion():
    edge_index, x = sample()
    words = pattern_words(2)
    rows = pattern_features(edge_index, x, words, hops=3)
    assert rows.shape == (N, 1 + 3 * 6, F) and torch.equal(rows.values[:, 0], x)
    for number, word in enumerate(words):
        before = x
        for t, omega in enumerate(hop_decay("paper", 3), 1):
            before = propagate_pattern(edge_index, before, word_name(word), num_nodes=N, decay=omega, self_loops=True)
            torch.testing.assert_close(rows.values[:, 3 * number + t], before)


def test_decay_of_the_paper():
    found = hop_decay("paper", 5)
    assert found == pytest.approx([1.000001, 0.306854, -0.098611, -0.386293, -0.609437], abs=1e-6)
    assert (
        hop_decay("none", 2) == [1, 1] and hop_decay(lambda t: 1 / t, 2) == [1, 0.5] and hop_decay([2, 3], 2) == [2, 3]
    )
    assert hop_decay(0.9, 2) == [0.9, 0.9] and hop_decay(1, 0) == []
    for decay in (float("nan"), True):
        with pytest.raises(UserError, match="expected a finite number"):
            hop_decay(decay, 2)
    with pytest.raises(UserError, match="did you mean 'paper'"):
        hop_decay("papers", 2)
    with pytest.raises(UserError, match="1 numbers for 2 hops"):
        hop_decay([1.0], 2)


@pytest.mark.parametrize("chunk", [1, 4, None])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_files_and_chunks_hold_the_same(dtype, chunk, tmp_path, monkeypatch):
    edge_index, x = sample()
    words = pattern_words(2)
    memory = pattern_features(edge_index, x, words, dtype=dtype)
    for block in (64, 2**26):  # blocks of a few rows, and one block
        monkeypatch.setattr("graphkit.data.feature_rows._BLOCK_BYTES", block)
        disk = pattern_features(edge_index, x, words, dtype=dtype, storage="disk", folder=tmp_path, chunk=chunk)
        for index in (torch.arange(N), torch.tensor([7, 3, 3, 49]), torch.tensor([], dtype=torch.int64)):
            assert disk[index].dtype == torch.float32
            assert torch.equal(disk[index], memory[index])
        assert disk.shape == memory.shape and len(disk) == N


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_sums_over_hops_are_those_of_the_hops(hops, tmp_path):
    edge_index, x = sample()
    words = pattern_words(2)
    apart = pattern_features(edge_index, x.double(), words, hops=hops, decay="none").values
    sums = pattern_features(edge_index, x.double(), words, hops=hops, decay="none", sum_hops=True).values
    assert sums.shape == (N, 1 + len(words), F)
    assert torch.equal(sums[:, 0], apart[:, 0])
    for number in range(len(words)):
        steps = apart[:, 1 + number * hops : 1 + (number + 1) * hops]
        torch.testing.assert_close(sums[:, number + 1], apart[:, 0] + steps.sum(1))
    disk = pattern_features(
        edge_index, x, words, hops=hops, decay="none", sum_hops=True, storage="disk", folder=tmp_path, chunk=4
    )
    torch.testing.assert_close(disk[torch.tensor([3, 40])], sums[torch.tensor([3, 40])].float())


def test_the_file_goes_with_its_owner(tmp_path):
    edge_index, x = sample()
    rows = pattern_features(edge_index, x, pattern_words(1), storage="disk", folder=tmp_path)
    assert [path.name for path in next(tmp_path.iterdir()).iterdir()] == ["by_row"]
    del rows
    assert not list(tmp_path.iterdir())


def test_rows_asked_for_again_are_not_read_again(monkeypatch):
    edge_index, x = sample()
    rows = pattern_features(edge_index, x, pattern_words(1))
    index = torch.tensor([1, 2])
    first = rows[index]
    assert rows[index.clone()] is first and rows[torch.tensor([1, 3])] is not first
    index[0] = 5  # a set changed in place is another one
    assert torch.equal(rows[index], rows.values[torch.tensor([5, 2])])
    monkeypatch.setattr("graphkit.data.feature_rows._KEPT_BYTES", 0)
    assert rows[torch.tensor([4])] is not rows[torch.tensor([4])]


def test_too_little_memory_is_said_with_the_estimate(tmp_path, monkeypatch):
    edge_index, x = sample()
    with pytest.raises(UserError, match=r"50 nodes, 13 matrices, 9 channels\) take 0.0 GiB.*storage='disk'"):
        pattern_features(edge_index, x, pattern_words(2), memory=1000)
    assert pattern_features(edge_index, x, pattern_words(2), memory=1000, storage="disk", folder=tmp_path).shape == (
        N,
        13,
        F,
    )
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("graphkit.data.feature_rows.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match="GiB free, but features of this size need"):
        FeatureFile(tmp_path / "new", (100, 3, 4))


def test_a_file_is_whole_or_refused(tmp_path):
    file = FeatureFile(tmp_path / "one", (4, 2, 3))
    file.write(1, 1, torch.ones(4, 2))
    with pytest.raises(UserError, match="not all columns"):
        file.finish()
    for slot, begin, values in ((2, 0, torch.ones(4, 3)), (0, 2, torch.ones(4, 2)), (0, 0, torch.ones(3, 3))):
        with pytest.raises(UserError, match="expected columns of"):
            file.write(slot, begin, values)
    file.write(0, 0, torch.zeros(4, 3))
    file.write(1, 0, torch.full((4, 1), 2.0))
    assert file.finish()[torch.tensor([2])].tolist() == [[[0, 0, 0], [2, 1, 1]]]


def test_large_files_leave_memory_after_each_batch(tmp_path, monkeypatch):
    edge_index, x = sample()
    monkeypatch.setattr("graphkit.data.feature_rows._KEPT_BYTES", 0)
    rows = pattern_features(edge_index, x, pattern_words(1), storage="disk", dtype="float32", folder=tmp_path)
    wanted = pattern_features(edge_index, x, pattern_words(1)).values
    for index in (torch.arange(N), torch.tensor([4, 2])):
        assert torch.equal(rows[index], wanted[index])


def test_double_precision_stays_in_memory():
    edge_index, x = sample()
    assert pattern_features(edge_index, x.double(), pattern_words(1))[torch.arange(3)].dtype == torch.float64


def test_mistakes_are_named(tmp_path):
    edge_index, x = sample()
    for values, options, words in [
        (x.masked_fill(x > 2, torch.inf), {}, "no finite numbers"),
        (x.long(), {}, "no finite numbers"),
        (x, {"storage": "dsk"}, "did you mean 'disk'"),
        (x, {"dtype": "half"}, "unknown dtype"),
        (x, {"hops": 1.5}, "whole number"),
        (x * 1e5, {"storage": "disk", "dtype": "float16", "folder": tmp_path}, "range of float16"),
    ]:
        with pytest.raises(UserError, match=words):
            pattern_features(edge_index, values, pattern_words(1), **options)
