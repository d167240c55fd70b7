"""Drawings of paths."""

import pytest

from graphkit.engine.path_plot import paths_plot, shown_lines

PATHS = [
    (0.5, [("ann", "knows", "bob"), ("bob", "likes^-1", "cid")]),
    (-0.25, [(f"n{i}", "r" * 60, f"n{i + 1}") for i in range(7)]),
]


def test_drawn_the_same_each_time_and_the_settings_left_alone():
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    first = paths_plot(PATHS)
    assert first == paths_plot(PATHS) and dict(matplotlib.rcParams) == before
    assert first.png.startswith(b"\x89PNG") and b"<svg" in first.svg
    # no file of anywhere else and no formula out of names
    assert b"http://" not in first.svg.replace(b"http://www.w3.org", b"").replace(b"http://purl.org", b"").replace(
        b"http://creativecommons.org", b""
    )
    assert paths_plot([(1.0, [("$x^2$", "$\\frac{", "a\nb")])]).png.startswith(b"\x89PNG")
    assert paths_plot([]).png.startswith(b"\x89PNG")


def height(plot):
    return int.from_bytes(plot.png[20:24], "big")


def test_a_long_path_goes_on_below():
    pytest.importorskip("matplotlib")
    edges = [(f"n{i}", "r", f"n{i + 1}") for i in range(7)]
    heights = [height(paths_plot([(1.0, edges[:length])])) for length in range(1, 8)]
    assert heights[0] == heights[1] == heights[2] < heights[3] == heights[4] == heights[5] < heights[6]


@pytest.mark.parametrize(
    ("name", "letters", "most", "lines"),
    [
        ("steroid", 18, 2, ["steroid"]),
        ("body_space_or_junction", 18, 2, ["body_space_or_", "junction"]),
        ("two words", 5, 2, ["two", "words"]),
        ("/film/film/starring", 12, 3, ["/film/film/", "starring"]),
        ("", 5, 2, [""]),
        ("affects^-1", 16, 3, ["affects^-1"]),
    ],
)
def test_names_break_where_words_end(name, letters, most, lines):
    assert shown_lines(name, letters, most) == lines


@pytest.mark.parametrize("size", [5, 16, 33, 47, 48, 49, 90, 500])
@pytest.mark.parametrize("word", ["a", "ab_", "/m", "x y"])
def test_lines_never_exceed_their_room_and_keep_the_mark(size, word):
    name = (word * size)[:size] + "^-1"
    lines = shown_lines(name, 16, 3)
    assert len(lines) <= 3 and all(0 < len(line) <= 16 for line in lines)
    assert lines[-1].endswith("-1")
    whole = "".join(lines)
    assert ("…" in whole) or whole.replace(" ", "") == name.replace(" ", "")
