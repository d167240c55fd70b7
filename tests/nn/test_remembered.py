"""What is remembered of a graph, how long, and how much of it."""

import pytest
import torch

from graphkit.data.feature_rows import FeatureRows
from graphkit.nn.remembered import remembered


@pytest.fixture
def asked():
    """``ask(key)`` and how often a result of that key was computed."""
    x, edges, made = torch.ones(3, 2), torch.tensor([[0], [1]]), []

    def ask(key, result=None):
        def make():
            made.append(key)
            return torch.zeros(256) if result is None else result

        return remembered(x, edges, (key,), make)

    return ask, made, x


def test_the_last_four_asked_for_are_kept(asked):
    ask, made, _ = asked
    for key in "abcd":
        ask(key)
    assert ask("a") is ask("a") and made == list("abcd")
    ask("e")  # b was asked for longest ago
    for key in "acde":
        ask(key)
    assert made == list("abcde")
    ask("b")
    assert made == list("abcdeb")


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: [[t], [t[:0]]], lambda t: FeatureRows(t.view(4, 8, 8))])
def test_large_results_go_before_another_is_computed(asked, wrap, monkeypatch):
    monkeypatch.setattr("graphkit.nn.remembered._KEPT_BYTES", 1500)
    ask, made, _ = asked
    for key in "abac":
        ask(key, wrap(torch.zeros(256)))  # 1 KiB
    assert made == list("abc")
    ask("a")  # it was asked for after b
    assert made == list("abc")
    ask("b")
    assert made == list("abcb")


def test_a_change_in_place_is_noticed(asked):
    ask, made, x = asked
    ask("a")
    x.add_(1)
    ask("a")
    assert made == ["a", "a"]
