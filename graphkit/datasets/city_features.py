"""The 25 columns of a street and the 37 of a junction, as the generator of City-Networks makes them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from graphkit.datasets.city_streets import Streets
from graphkit.errors import UserError

__all__ = ["BLOCKS", "NUMERIC_COLUMNS", "CityFeatures", "city_features", "one_hot"]

# block -> (categories kept, columns in the published data)
BLOCKS = {"landuse": (8, 9), "oneway": (4, 2), "lanes": (8, 9), "reversed": (4, 3), "highway": (8, 9)}
NUMERIC_COLUMNS = (0, 1, 2, 12, 13)
_OTHERS, _NONE = "others", ""


class CityFeatures(NamedTuple):
    """What :func:`city_features` makes.

    Attributes:
        edge_index: ``[2, 2E]`` int64, both directions, sorted, merged.
        edge_attr: ``[2E, 25]`` float64.
        x_node: ``[N, 12]`` float64.
        x: ``[N, 37]`` float64.
        edge_names, names: of the columns of ``edge_attr`` and ``x``.
        vocab: categories of each block, ``""`` for a column that stays empty.
    """

    edge_index: np.ndarray
    edge_attr: np.ndarray
    x_node: np.ndarray
    x: np.ndarray
    edge_names: list[str]
    names: list[str]
    vocab: dict[str, list[str]]


def one_hot(
    values: np.ndarray, kept: int, width: int, categories: list[str] | None = None
) -> tuple[np.ndarray, list[str]]:
    """0-1 columns of the most frequent texts; the rest becomes ``others``.

    The columns come in the order of frequency after that, so ``others`` stands where its count puts it; equals come in the
    order of their texts. Missing columns up to ``width`` stay 0 and are called ``""``.

    Args:
        values: ``[M]`` texts.
        kept: categories with a column of their own.
        width: least number of columns.
        categories: columns of another city, taken as they are: a text that has none counts as ``others``, or not at all.

    Example:
        >>> one_hot(np.array(["a", "b", "c", "b", "c", "d"]), 1, 3)[1]
        ['others', 'b', '']
    """
    if categories is None:
        frequent = sorted(Counter(values.tolist()).items(), key=lambda item: (-item[1], item[0]))
        names = {text for text, _ in frequent[:kept]}
        mapped = [text if text in names else _OTHERS for text in values.tolist()]
        categories = [text for text, _ in sorted(Counter(mapped).items(), key=lambda item: (-item[1], item[0]))]
        categories += [_NONE] * (width - len(categories))
    place = {text: column for column, text in enumerate(categories) if text != _NONE}
    rest = place.get(_OTHERS, -1)
    column = np.array([place.get(text, rest) for text in values.tolist()], dtype=np.int64)
    out = np.zeros((len(values), len(categories)))
    rows = np.flatnonzero(column >= 0)
    out[rows, column[rows]] = 1
    return out, categories


def impute_speed(speed: np.ndarray, highway: np.ndarray) -> np.ndarray:
    """Missing speeds: the mean of the class of the street, else of all; 0 where no street has one.

    Of a street with several classes the first counts.

    Example:
        >>> impute_speed(np.array([30.0, np.nan, np.nan]), np.array(["a", "a", "b"])).tolist()
        [30.0, 30.0, 30.0]
    """
    known = ~np.isnan(speed)
    if not known.any():
        return np.zeros(len(speed))
    _, kind = np.unique([_first(text) for text in highway.tolist()], return_inverse=True)
    count = np.bincount(kind[known], minlength=kind.max() + 1)
    mean = np.bincount(kind[known], weights=speed[known], minlength=kind.max() + 1) / np.maximum(count, 1)
    mean[count == 0] = speed[known].mean()
    return np.where(known, speed, mean[kind])


def _first(text: str) -> str:
    if text.startswith("["):
        try:
            return str(ast.literal_eval(text)[0])
        except (ValueError, SyntaxError, IndexError, TypeError):
            return text
    return text


def city_features(streets: Streets, vocab: Mapping[str, list[str]] | None = None) -> CityFeatures:
    """Merged streets and their features.

    Every street is taken in both directions, rows of one ordered pair are averaged, numbers and 0-1 columns alike, and loops
    are dropped; a junction gets the mean of the streets that end there. So the length is the mean of parallel streets, and
    a street for both ways has 0.5 and 0.5 in ``reversed``.

    Args:
        streets: the network.
        vocab: categories of the blocks ``landuse``, ``oneway``, ``lanes``, ``reversed``, ``highway`` from another city, so that
            columns mean the same; None: learned here.

    Raises:
        UserError: for a vocabulary with unknown or missing blocks.

    Source:
        Liang et al., Towards quantifying long-range interactions in graph machine learning (ICLR 2026), the generator of
        the data.
    """
    if vocab is not None and set(vocab) != set(BLOCKS):
        raise UserError(
            f"category_vocab has the blocks {sorted(vocab)}, expected {sorted(BLOCKS)}; take another city's vocab"
        )
    n, found = streets.num_nodes, {}
    columns = {
        "landuse": np.array(["nan"] * n, dtype=object) if streets.landuse is None else streets.landuse,
        "oneway": np.array(["True" if one else "False" for one in streets.oneway], dtype=object),
        "lanes": streets.lanes, "reversed": streets.reversed, "highway": streets.highway,
    }  # fmt: skip
    coded = {}
    for block, (kept, width) in BLOCKS.items():
        coded[block], found[block] = one_hot(columns[block], kept, width, None if vocab is None else list(vocab[block]))
    speed = impute_speed(streets.speed, streets.highway)
    rows = np.column_stack(
        [streets.length, speed, *(coded[block] for block in ("oneway", "lanes", "reversed", "highway"))]
    )
    edge_index, edge_attr = merge_both_ways(streets.source, streets.target, rows, n)
    x_node = np.column_stack([streets.x, streets.y, streets.street_count, coded["landuse"]])
    incoming = np.zeros((n, rows.shape[1]))
    np.add.at(incoming, edge_index[1], edge_attr)
    incoming /= np.maximum(np.bincount(edge_index[1], minlength=n), 1)[:, None]
    edge_names = ["length", "speed_kph"] + [
        f"{block}: {text or '(empty)'}" for block in ("oneway", "lanes", "reversed", "highway") for text in found[block]
    ]
    names = ["x", "y", "street_count", *(f"landuse: {text or '(empty)'}" for text in found["landuse"])]
    names += [f"mean {name}" for name in edge_names]
    return CityFeatures(edge_index, edge_attr, x_node, np.column_stack([x_node, incoming]), edge_names, names, found)


def merge_both_ways(source: np.ndarray, target: np.ndarray, rows: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Both directions of every edge, sorted by source and target, equal pairs averaged, loops left out.

    Example:
        >>> index, mean = merge_both_ways(np.array([0, 1, 1]), np.array([1, 0, 1]), np.array([[2.0], [4.0], [9.0]]), 2)
        >>> index.tolist(), mean.tolist()
        ([[0, 1], [1, 0]], [[3.0], [3.0]])
    """
    proper = source != target
    a, b, rows = source[proper], target[proper], rows[proper]
    pairs, pair = np.unique(np.concatenate([a * n + b, b * n + a]), return_inverse=True)
    total = np.zeros((len(pairs), rows.shape[1]))
    np.add.at(total, pair, np.concatenate([rows, rows]))
    # the two directions of a street are the same to the bit
    opposite = np.searchsorted(pairs, pairs % n * n + pairs // n)
    total = np.where((pairs // n < pairs % n)[:, None], total, total[opposite])
    return np.stack([pairs // n, pairs % n]), total / np.bincount(pair, minlength=len(pairs))[:, None]
