"""A city to classify nodes of, from anybody's streets."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from graphkit._version import __version__
from graphkit.data import CityGraph
from graphkit.datasets.city_features import CityFeatures, city_features
from graphkit.datasets.city_labels import quantile_labels, split_city
from graphkit.datasets.city_sources import read_streets
from graphkit.datasets.city_streets import Streets, local_metres
from graphkit.errors import DataWarning, UserError, nearest
from graphkit.ops import khop_eccentricity

__all__ = ["build_city"]

_RELABEL, _CRS = ("source", "morton"), ("utm", "degrees")
_FEATURE_SETS = ("city37", "geometry")
_GEOMETRY = (0, 1, 2, 12)


def build_city(
    source: Any,
    *,
    name: str | None = None,
    k: int = 16,
    n_classes: int = 10,
    weight: str | None = "length",
    ball_metric: str = "hops",
    path_scope: str = "induced",
    split: Sequence[float] = (0.1, 0.1, 0.8),
    seed: int = 0,
    split_kind: str = "random",
    feature_set: str | Callable[[Streets, CityFeatures], np.ndarray] = "city37",
    landuse: Any = None,
    crs: str = "utm",
    category_vocab: Mapping[str, list[str]] | None = None,
    relabel: str = "source",
    compat: bool = False,
    num_threads: int = 0,
) -> CityGraph:
    """An undirected street network with features, and classes by the eccentricity inside k-hop balls.

    The largest part is kept, streets are merged, and the score of a junction is the weighted distance to the farthest junction
    of its k-hop ball, see :func:`graphkit.ops.khop_eccentricity`. The same source gives the same bits with any number of threads.

    Args:
        source: :class:`Streets`, a networkx graph as osmnx makes them, a pair (streets, junctions) of tables, or a path: GraphML
            of osmnx, OSM XML or PBF, a project or zip file of AequilibraE, TNTP, ``NAME.cedge`` beside ``NAME.cnode``, a
            MATLAB file with ``A`` and ``xy``, ``edges.csv`` beside ``nodes.csv``; or ``"synthetic:KIND:N:SEED"``,
            see :func:`synthetic_streets`.
        name: what the city is called; None: what the source says.
        k: hops of the balls, or metres with ``ball_metric="distance"``.
        n_classes: number of classes.
        weight: ``"length"``, or None for hops.
        ball_metric: ``"hops"`` or ``"distance"``.
        path_scope: ``"induced"`` (as published) or ``"global"``.
        split: shares of train, valid and test.
        seed: of the split.
        split_kind: ``"random"`` (as published) or ``"spatial_block"``; see :func:`split_city`.
        feature_set: ``"city37"`` (as published), ``"geometry"`` (position, street count, mean length), or a function of the
            streets and their :class:`CityFeatures` that returns ``[N, F]``.
        landuse: land use of the junctions: ``[N]`` texts, a mapping from the name of a junction to a text, or a pair (positions
            ``[P, 2]``, P texts), of which each junction takes the nearest; None: what the source says, else unknown.
        crs: how nearest is measured: ``"utm"`` in metres, ``"degrees"`` as in the published data.
        category_vocab: ``vocab`` of another city, so that columns mean the same.
        relabel: order of the nodes: ``"source"`` or ``"morton"`` (near nodes have near ids).
        compat: whether small places are labelled by the published rule, which may leave classes empty.
        num_threads: of torch while this runs; 0: as they are.

    Raises:
        UserError: for a source that cannot be read, bad lengths, a place with fewer than two junctions or fewer than
            ``n_classes``, and options out of range. Nothing is written.

    Source:
        Liang et al., Towards quantifying long-range interactions in graph machine learning (ICLR 2026).

    Example:
        >>> city = build_city("synthetic:grid:300:1")
        >>> city.masks["train"].sum().item() == int(0.1 * city.num_nodes)
        True
    """
    if relabel not in _RELABEL:
        raise UserError(nearest(str(relabel), _RELABEL, "relabel"))
    if crs not in _CRS:
        raise UserError(nearest(str(crs), _CRS, "crs"))
    if not callable(feature_set) and feature_set not in _FEATURE_SETS:
        raise UserError(nearest(str(feature_set), _FEATURE_SETS, "feature_set"))
    if weight not in ("length", None):
        raise UserError(f"weight is {weight!r}, expected 'length' or None (hops)")
    streets = read_streets(source)
    given = streets.digest()
    if landuse is not None:
        streets = _with_landuse(streets, landuse, crs)
    streets = streets.largest_part()
    if relabel == "morton":
        streets = _reordered(streets, morton_order(streets.x, streets.y))
    zero = int((streets.length == 0).sum())
    if zero:
        warnings.warn(
            f"{streets.name} has {zero} streets of length 0; they count as they are", DataWarning, stacklevel=2
        )
    features = city_features(streets, category_vocab)
    edge_index = torch.from_numpy(features.edge_index.copy())
    lengths = torch.from_numpy(features.edge_attr[:, 0].copy()) if weight else None
    with _threads(num_threads):
        ecc = khop_eccentricity(
            edge_index, num_nodes=streets.num_nodes, k=k, weight=lengths, path_scope=path_scope, ball_metric=ball_metric
        )
    assert isinstance(ecc, torch.Tensor)
    label = quantile_labels(ecc.numpy(), n_classes, compat=compat)
    masks = split_city(streets.num_nodes, split, seed=seed, kind=split_kind, x=streets.x, y=streets.y)
    x, names = _chosen(feature_set, streets, features)
    meta = {
        **streets.meta, "source": {"name": streets.name, "sha256": given}, "crs": streets.crs, "k": k, "n_classes": n_classes,
        "weight": weight, "ball_metric": ball_metric, "path_scope": path_scope, "split": [float(share) for share in split],
        "split_kind": split_kind, "seed": seed, "relabel": relabel, "compat": compat, "zero_length_streets": zero,
        "feature_set": feature_set if isinstance(feature_set, str) else getattr(feature_set, "__name__", "own"),
        "versions": {"graphkit": __version__, "numpy": np.__version__, "torch": torch.__version__},
    }  # fmt: skip
    city = CityGraph(
        name or streets.name,
        edge_index,
        torch.from_numpy(x.astype(np.float32)),
        torch.from_numpy(features.x_node.astype(np.float32)),
        torch.from_numpy(features.edge_attr.astype(np.float32)),
        torch.from_numpy(label),
        ecc,
        torch.from_numpy(np.stack([streets.x, streets.y], 1)),
        {part: torch.from_numpy(mask) for part, mask in masks.items()},
        names,
        features.vocab,
        streets.node_ids,
        meta,
    )
    city.meta["digest"] = city.digest
    return city


def _chosen(feature_set: Any, streets: Streets, features: CityFeatures) -> tuple[np.ndarray, list[str]]:
    if feature_set == "city37":
        return features.x, features.names
    if feature_set == "geometry":
        return features.x[:, _GEOMETRY], [features.names[column] for column in _GEOMETRY]
    x = np.asarray(feature_set(streets, features), dtype=np.float32)
    if x.ndim != 2 or len(x) != streets.num_nodes or not np.isfinite(x).all():
        raise UserError(f"feature_set returned {x.shape}, expected finite numbers [{streets.num_nodes}, F]")
    return x, [f"feature {column}" for column in range(x.shape[1])]


def _with_landuse(streets: Streets, landuse: Any, crs: str) -> Streets:
    if isinstance(landuse, Mapping):
        texts = [str(landuse.get(streets.node_name(node), "nan")) for node in range(streets.num_nodes)]
        return replace(streets, landuse=texts)
    if isinstance(landuse, tuple) and len(landuse) == 2:
        texts = nearest_tag(streets, np.asarray(landuse[0], dtype=np.float64), list(landuse[1]), crs)
        return replace(streets, landuse=texts, meta={**streets.meta, "landuse": f"nearest tagged point, in {crs}"})
    if len(landuse) != streets.num_nodes:
        raise UserError(f"landuse has {len(landuse)} entries, expected one for each of {streets.num_nodes} junctions")
    return replace(streets, landuse=list(landuse))


def nearest_tag(streets: Streets, points: np.ndarray, tags: Sequence[str], crs: str = "utm") -> list[str]:
    """The text of the point nearest to each junction; of points as near the first."""
    from scipy.spatial import cKDTree

    if points.ndim != 2 or points.shape != (len(tags), 2) or not len(tags) or not np.isfinite(points).all():
        raise UserError(
            f"land use has points {points.shape} and {len(tags)} texts, expected [P, 2] finite positions and P texts"
        )
    here = np.stack([streets.x, streets.y], 1)
    if streets.crs == "lonlat" and crs == "utm":
        origin = float(streets.x.mean()), float(streets.y.mean())
        points, here = (np.stack(local_metres(place[:, 0], place[:, 1], origin), 1) for place in (points, here))
    return [str(tags[which]) for which in cKDTree(points).query(here)[1]]


def morton_order(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Nodes along a Z-shaped curve over the plane, 2^16 cells a side.

    Example:
        >>> morton_order(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])).tolist()
        [0, 3, 2, 1]
    """
    code = np.zeros(len(x), dtype=np.uint64)
    for shift, values in ((0, x), (1, y)):
        extent = max(float(np.ptp(values)), 1e-300)
        cell = ((values - values.min()) / extent * (2**16 - 1)).astype(np.uint64)
        for bit in range(16):
            code |= (cell >> np.uint64(bit) & np.uint64(1)) << np.uint64(2 * bit + shift)
    return np.argsort(code, kind="stable")


def _reordered(streets: Streets, order: np.ndarray) -> Streets:
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    return replace(
        streets, source=number[streets.source], target=number[streets.target], x=streets.x[order], y=streets.y[order],
        street_count=streets.street_count[order], landuse=None if streets.landuse is None else streets.landuse[order],
        node_ids=None if streets.node_ids is None else [streets.node_ids[node] for node in order],
    )  # fmt: skip


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 4 * (os.cpu_count() or 1) + 64:
        raise UserError(f"num_threads is {number!r}, expected 0 (as torch has them) or a whole number of threads")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(number or before)
        yield
    finally:
        torch.set_num_threads(before)
