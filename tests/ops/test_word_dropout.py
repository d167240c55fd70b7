"""Dropout by given words: definition, both backends, gradients, determinism, registration, mistakes."""

import pytest
import torch

from graphkit import ops
from graphkit.errors import UserError

SIZES = [(0,), (1,), (7,), (33, 5), (3, 4, 70)]  # whole vectors of every width and rests


def sample(size, dtype=torch.float32):
    torch.manual_seed(sum(size))
    x = torch.randn(size, dtype=dtype)
    return x, torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dropped", [0, 1, 20000, 2**16 - 1])
def test_definition(size, dtype, dropped, backend):
    x, words = sample(size, dtype)
    out = ops.word_dropout(x, words, dropped)
    assert out.shape == x.shape
    scale = torch.tensor(2**16 / (2**16 - dropped), dtype=dtype)
    for i, value in enumerate(x.flatten()):
        word = (int(words[i // 4]) >> 16 * (i % 4)) & 0xFFFF
        word -= 2**16 if word >= 2**15 else 0
        kept = word >= dropped - 2**15
        assert out.flatten()[i] == (value * scale if kept else 0)


def test_every_word_decides_as_often_as_it_should():
    words = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.int64)
    for dropped in (0, 1, 12345, 2**15, 2**16 - 1):
        assert int((ops.word_dropout(torch.ones(2**16), words, dropped) == 0).sum()) == dropped


def test_what_is_not_finite_does_not_get_lost(backend):
    x, words = torch.tensor([float("inf"), float("nan"), -0.0, 1.0]), torch.zeros(1, dtype=torch.int64)
    gone = ops.word_dropout(x, words, 2**16 - 1)
    assert gone[:2].isnan().all() and torch.equal(gone[2:], torch.zeros(2)) and torch.signbit(gone[2])


def test_gradients(backend):
    x, words = sample((6, 5), torch.float64)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.word_dropout(x, words, 20000), x)
    assert torch.autograd.gradgradcheck(lambda x: ops.word_dropout(x, words, 20000).sin(), x)
    once = torch.autograd.grad(ops.word_dropout(x, words, 20000).sum(), x)[0]
    torch.testing.assert_close(once, ops.word_dropout(torch.ones_like(x), words, 20000))


def test_columns_are_dropped_as_rows_would_be(backend):
    x, words = sample((8, 6))
    assert torch.equal(ops.word_dropout(x.t(), words, 20000), ops.word_dropout(x.t().contiguous(), words, 20000))


def test_backends_and_threads_agree_to_the_last_bit():
    x, words = sample((300, 1111))
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(ops.word_dropout(x, words, 30000))
        with ops.force_backend("python"):
            results.append(ops.word_dropout(x, words, 30000))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_registration():
    x, words = sample((6, 5))
    for namespace in (torch.ops.graphkit, torch.ops.graphkit_python):
        torch.library.opcheck(namespace.word_dropout.default, (x.requires_grad_(), words, -12000, 1.25))


def test_mistakes_are_named():
    x, words = sample((6, 5))
    for call, message in [
        (lambda: ops.word_dropout(x.half(), words, 1), "float32 or float64"),
        (lambda: ops.word_dropout(x, words, 2**16), "from 0 to 65535"),
        (lambda: ops.word_dropout(x, words[1:], 1), "at least 8"),
        (lambda: ops.word_dropout(x, words.int(), 1), "expected int64"),
    ]:
        with pytest.raises(UserError, match=message):
            call()
