"""Directed patterns against dense products, and the identities that they obey."""

import itertools
import sys

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import DirectedPattern, propagate_pattern
from graphkit.nn.pattern_words import closed_walks, formed, parse_word, pattern_words, transposed, walks, word_name
from graphkit.ops import DirectedGraph

WORDS = pattern_words(4)
N = 30


def random_edges(seed=0, nodes=N, edges=110):
    """With loops, duplicates, sinks and sources."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(nodes - 4, (2, edges), generator=generator)
    return torch.cat([edge_index, torch.tensor([[nodes - 1, 0, 3, 5], [0, nodes - 2, 3, 5]])], 1)


def dense(edge_index, nodes=N):
    matrix = torch.zeros(nodes, nodes, dtype=torch.float64)
    matrix[edge_index[0], edge_index[1]] = 1
    return matrix.fill_diagonal_(0)


def product(matrix, word, cap=None):
    keep = torch.ones(len(matrix), dtype=torch.float64)
    if cap is not None:
        keep = ((matrix.sum(0) <= cap) & (matrix.sum(1) <= cap)).double()
    out = None
    for letter in word:
        factor = matrix.t() if letter else matrix
        out = factor if out is None else out * keep @ factor
    return out


def power(degree, exponent):
    if exponent == 0:
        return torch.ones_like(degree)
    return torch.tensor([d**exponent if d > 0 else 0.0 for d in degree.tolist()], dtype=torch.float64)


def normalised(p, norm, a):
    if norm == "none":
        return p
    rows = p.sum(1)
    columns = p.sum(0) if norm == "row_col" else rows
    return power(rows, a - 1)[:, None] * p * power(columns, -a)


def features(nodes=N, channels=6):
    return torch.randn(nodes, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("word", WORDS, ids=word_name)
def test_every_word_is_its_dense_product(word):
    edge_index, x = random_edges(), features()
    for norm, a in [
        ("none", 0.5),
        ("row_col", 0.5),
        ("row_row", 0.3),
        ("row_col", 0.0),
        ("row_row", 0.0),
        ("row_col", 1.0),
    ]:
        wanted = normalised(product(dense(edge_index), word), norm, a) @ x
        for materialize in ("never", "always", "auto"):
            found = propagate_pattern(
                edge_index, x, word_name(word), num_nodes=N, norm=norm, exponent=a, materialize=materialize
            )
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("word", pattern_words(3), ids=word_name)
@pytest.mark.parametrize("diagonal", ["keep", "drop"])
@pytest.mark.parametrize("cap", [None, 4, 0])
@pytest.mark.parametrize("binarize", [False, True])
def test_diagonal_hubs_counts_and_loops(word, diagonal, cap, binarize):
    edge_index, x = random_edges(1), features()
    p = product(dense(edge_index), word, cap)
    p = (p > 0).double() if binarize else p.clone()
    if diagonal == "drop":
        p.fill_diagonal_(0)
    if len(word) == 1:
        p = p + torch.eye(N, dtype=torch.float64)
    options = {"diagonal": diagonal, "degree_cap": cap, "binarize": binarize, "self_loops": True}
    for norm in ("none", "row_col", "row_row"):
        pattern = DirectedPattern(edge_index, word, num_nodes=N, norm=norm, **options)
        torch.testing.assert_close(pattern(x), normalised(p, norm, 0.5) @ x, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("word", pattern_words(3), ids=word_name)
def test_walks_closed_walks_and_the_product(word):
    edge_index = random_edges(2)
    graph, p = DirectedGraph(edge_index, num_nodes=N), product(dense(edge_index), word)
    assert torch.equal(walks(graph, word), p.sum(1)) and torch.equal(walks(graph, transposed(word)), p.sum(0))
    assert torch.equal(closed_walks(graph, word), p.diagonal())
    assert torch.equal(closed_walks(graph, word, 3), product(dense(edge_index), word, 3).diagonal())
    made, rows = formed(graph, word), torch.zeros(N, N, dtype=torch.float64)
    rows[tuple(made.edge_index)] = made.value
    assert torch.equal(rows, p)


def test_closed_walks_by_blocks(monkeypatch):
    graph = DirectedGraph(random_edges(3), num_nodes=N)
    wanted = closed_walks(graph, parse_word("A A^T A"))
    monkeypatch.setattr(sys.modules["graphkit.nn.pattern_words"], "_BLOCK_WALKS", 7)
    assert torch.equal(closed_walks(graph, parse_word("A A^T A")), wanted)


def test_transposes_of_products():
    edge_index = random_edges(4)
    eye = torch.eye(N, dtype=torch.float64)
    forms = {w: propagate_pattern(edge_index, eye, word_name(w), num_nodes=N, norm="none") for w in WORDS}
    for word in WORDS:
        assert torch.equal(forms[word].t(), forms[transposed(word)])
    for name in ("A A^T", "A^T A"):
        matrix = forms[parse_word(name)]
        assert torch.equal(matrix, matrix.t()) and float(torch.linalg.eigvalsh(matrix).min()) > -1e-9


def test_symmetric_graphs_cannot_tell_the_words_apart():
    edge_index = random_edges(5)
    both = torch.cat([edge_index, edge_index.flip(0)], 1)
    for diagonal in ("keep", "drop"):
        for k in (1, 2, 3):
            results = [
                propagate_pattern(both, features(), word_name(w), num_nodes=N, diagonal=diagonal)
                for w in pattern_words(k, lowest=k)
            ]
            for other in results[1:]:
                torch.testing.assert_close(other, results[0], rtol=1e-12, atol=1e-12)


def test_reversed_edges_swap_the_letters():
    edge_index = random_edges(6)
    for word in pattern_words(3):
        swapped = word_name(tuple(not letter for letter in word))
        torch.testing.assert_close(
            propagate_pattern(edge_index.flip(0), features(), word_name(word), num_nodes=N),
            propagate_pattern(edge_index, features(), swapped, num_nodes=N), rtol=1e-13, atol=1e-13,
        )  # fmt: skip


def test_the_letter_a_gathers_from_out_neighbours():
    edge_index, x = torch.tensor([[0], [1]]), torch.tensor([[1.0], [10.0]])
    assert propagate_pattern(edge_index, x, "A", num_nodes=2).flatten().tolist() == [10.0, 0.0]
    assert propagate_pattern(edge_index, x, "A^T", num_nodes=2).flatten().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("norm", ["row_row", "row_col"])
def test_exponent_zero_is_a_random_walk(norm):
    edge_index = random_edges(7)
    for word in pattern_words(2):
        rows = propagate_pattern(
            edge_index, torch.eye(N, dtype=torch.float64), word_name(word), num_nodes=N, norm=norm, exponent=0.0
        ).sum(1)
        has = product(dense(edge_index), word).sum(1) > 0
        torch.testing.assert_close(rows, has.double(), rtol=1e-12, atol=1e-12)


def test_released_norm_silences_sinks():
    """With row sums on both sides, a node without a row sends nothing; with column sums it does."""
    edge_index, x = torch.tensor([[0, 1], [1, 2]]), torch.eye(3)
    assert not propagate_pattern(edge_index, x, "A A", num_nodes=3, norm="row_row").any()
    assert propagate_pattern(edge_index, x, "A A", num_nodes=3, norm="row_col")[0, 2] == 1


def test_hops_and_decay():
    edge_index, x = random_edges(8), features()
    once = propagate_pattern(edge_index, x, "A^T A", num_nodes=N)
    twice = propagate_pattern(edge_index, once, "A^T A", num_nodes=N)
    assert torch.equal(propagate_pattern(edge_index, x, "A^T A", num_nodes=N, hops=2), twice)
    found = propagate_pattern(edge_index, x, "A^T A", num_nodes=N, hops=2, decay=[2.0, -0.5])
    torch.testing.assert_close(found, -twice)
    assert propagate_pattern(edge_index, x, hops=0, num_nodes=N) is x


@pytest.mark.parametrize("width", [1, 4, 6, 50])
def test_columns_in_chunks_are_the_same_to_the_last_bit(width):
    edge_index = random_edges(9)
    x = features(channels=11).requires_grad_()
    whole = propagate_pattern(edge_index, x, "A A^T A", num_nodes=N)
    chunked = propagate_pattern(edge_index, x, "A A^T A", num_nodes=N, chunk=width)
    assert torch.equal(whole, chunked)
    assert torch.equal(*(torch.autograd.grad(out.square().sum(), x)[0] for out in (whole, chunked)))
    assert torch.equal(propagate_pattern(edge_index, x.detach(), "A A^T A", num_nodes=N, chunk=width), whole)


def test_gradcheck():
    edge_index = random_edges(10, nodes=8, edges=20)
    x = features(8, 2).requires_grad_()
    for word, diagonal in itertools.product(("A", "A A^T", "A^T A A"), ("keep", "drop")):
        assert torch.autograd.gradcheck(
            lambda v, w=word, d=diagonal: propagate_pattern(edge_index, v, w, num_nodes=8, diagonal=d), (x,)
        )


def test_half_precision_is_computed_in_single():
    edge_index, x = random_edges(11), features()
    wanted = propagate_pattern(edge_index, x.bfloat16().float(), "A A", num_nodes=N)
    assert torch.equal(propagate_pattern(edge_index, x.bfloat16(), "A A", num_nodes=N), wanted.bfloat16())


def test_materialize_follows_the_entries():
    chain = torch.tensor([[0, 1], [1, 2]])
    assert DirectedPattern(chain, "A A", num_nodes=3).formed  # one walk against four factors
    assert not DirectedPattern(random_edges(), "A A^T", num_nodes=N).formed
    pattern = DirectedPattern(random_edges(), "A A^T", num_nodes=N)
    matrix = dense(random_edges())
    assert pattern.entries == int(matrix.sum(0).square().sum()) >= int((matrix @ matrix.t() > 0).sum())
    assert DirectedPattern(chain, "A", num_nodes=3, materialize="auto").formed is False


def test_graph_without_edges():
    for word in pattern_words(2):
        found = propagate_pattern(torch.empty(2, 0, dtype=torch.int64), features(), word_name(word), num_nodes=N)
        assert not found.any()


def test_mistakes_are_named():
    edge_index, x = random_edges(), features()
    for word, options, words in [
        ("B", {}, "letters A and A\\^T"),
        ("", {}, "letters A and A\\^T"),
        ("A", {"norm": "row"}, "unknown norm 'row'"),
        ("A", {"exponent": 1.5}, "from 0 to 1"),
        ("A", {"diagonal": "no"}, "unknown diagonal"),
        ("A", {"hops": -1}, "whole number from 0"),
        ("A", {"hops": 2, "decay": [1.0]}, "1 numbers for 2 hops"),
        ("A", {"binarize": True, "materialize": "never"}, "degree_cap"),
        ("A", {"degree_cap": -1}, "degree_cap is -1"),
    ]:
        with pytest.raises(UserError, match=words):
            propagate_pattern(edge_index, x, word, num_nodes=N, **options)
    with pytest.raises(UserError, match="floating point"):
        propagate_pattern(edge_index, x.long(), num_nodes=N)
    with pytest.raises(UserError, match="shape"):
        propagate_pattern(edge_index, x[1:], num_nodes=N)
    with pytest.raises(UserError, match=r"may take .* GiB .*never"):
        DirectedPattern(edge_index, "A A", num_nodes=N, materialize="always", memory=100)
    with pytest.raises(UserError, match="order is 0"):
        pattern_words(0)
