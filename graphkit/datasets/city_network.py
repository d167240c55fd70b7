"""The published City-Networks as a data set in the manner of PyG."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from graphkit.data import CityGraph, standardize
from graphkit.datasets.city_archive import CITIES, VERIFY, check_generation, published, read_city
from graphkit.datasets.city_features import NUMERIC_COLUMNS
from graphkit.datasets.locate import cache_folder
from graphkit.datasets.transfer import reason, retrieve
from graphkit.errors import UserError, nearest

__all__ = ["CityNetwork"]

_VERSION = 1  # of the processed form


class CityNetwork:
    """One of the four City-Networks: ``data[0]`` is PyG's container.

    In order these are looked for: the folder ``root/NAME/raw/NAME``, the archive ``root/NAME/raw/NAME.tar.gz`` (where PyG's
    loader puts them), the processed form in graphkit's cache, and at last the network (never with ``GRAPHKIT_OFFLINE=1``),
    at the address of a commit instead of a branch. Unlike PyG's loader, the archive is compared with the published one, both
    sets of features come from one processed form, masks are bool, and a processed form alone is enough.

    Args:
        root: folder as PyG's loader has it.
        name: ``"paris"``, ``"shanghai"``, ``"la"`` or ``"london"``; with a source, any.
        augmented: 37 columns, or the first 12.
        source: instead of ``root``, an archive, a folder with the ``.pt`` files, or one with a folder NAME.
        verify: ``"warn"``, ``"strict"`` or ``"off"``, see :func:`check_generation`.
        keep_edge_attr: whether ``edge_attr`` [2E, 25] is attached, where the archive has it.
        mask_type: ``"bool"`` or ``"index"``.
        standardize: ``"train"`` or ``"all"`` brings the columns of quantities (position, street count, length, speed) to mean 0 and
            deviation 1 over those nodes; None: raw, as published.
        transform: called with the container.
        force_reload: whether to read the archive again.

    Attributes:
        city: the :class:`CityGraph`.

    Raises:
        UserError: for an unknown name or option, content that is missing, altered or out of reach.

    Example:
        >>> from graphkit.shipped import shipped
        >>> data = CityNetwork(None, "sample", source=shipped("samples") / "city-sample" / "sample.tar.gz")[0]
        >>> data.x.shape[1], data.train_mask.dtype
        (37, torch.bool)
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None,
        name: str,
        *,
        augmented: bool = True,
        source: str | os.PathLike[str] | None = None,
        verify: str = "warn",
        keep_edge_attr: bool = False,
        mask_type: str = "bool",
        standardize: str | None = None,
        transform: Callable[[Any], Any] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.name, self.augmented, self.transform = str(name).lower(), augmented, transform
        for what, value, known in (
            ("verify", verify, VERIFY),
            ("mask_type", mask_type, ("bool", "index")),
            ("standardize", standardize, (None, "train", "all")),
        ):
            if value not in known:
                raise UserError(nearest(str(value), [str(one) for one in known], what))
        if source is None and self.name not in CITIES:
            raise UserError(nearest(self.name, CITIES, "city"))
        if source is None and root is None:
            raise UserError("root is missing; give the folder that holds or shall hold NAME/raw/NAME.tar.gz")
        self.city = self._city(
            None if root is None else Path(root), None if source is None else Path(source), verify, force_reload
        )
        self._keep_edge_attr, self._mask_type, self._standardize = keep_edge_attr, mask_type, standardize

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        if index not in (0, -1):
            raise IndexError(f"a city is one graph; index {index} is out of range")
        data = self.city.data()
        if not self.augmented:
            data.x = self.city.x_node
        if not self._keep_edge_attr and "edge_attr" in data:
            del data.edge_attr
        if self._standardize is not None:
            columns = [column for column in NUMERIC_COLUMNS if column < data.x.shape[1]]
            data.x = standardize(data.x, columns, data.train_mask if self._standardize == "train" else None)
        if self._mask_type == "index":
            for key in ("train_mask", "val_mask", "test_mask"):
                data[key] = data[key].nonzero().flatten()
        return data if self.transform is None else self.transform(data)

    def __repr__(self) -> str:
        return f"CityNetwork({self.name!r}, nodes={self.city.num_nodes}, features={self.num_features}, classes={self.num_classes})"

    @property
    def num_features(self) -> int:
        return int((self.city.x if self.augmented else self.city.x_node).shape[1])

    @property
    def num_classes(self) -> int:
        return self.city.num_classes

    def _city(self, root: Path | None, source: Path | None, verify: str, again: bool) -> CityGraph:
        if source is not None:
            if not source.exists():
                raise UserError(
                    f"there is no file or folder {source}; expected {self.name}.tar.gz or a folder of its .pt files"
                )
            return self._read(source, verify, again)
        assert root is not None
        raw = root / self.name / "raw"
        archive = raw / f"{self.name}.tar.gz"
        for place in (raw / self.name, archive):
            if place.exists():
                return self._read(place, verify, again)
        entry = published(self.name)
        assert entry is not None and entry.files[0].git_blob is not None and entry.files[0].url is not None
        processed = self._processed(entry.files[0].git_blob["id"])
        if processed.is_file() and not again:
            with contextlib.suppress(UserError):  # a damaged one is made again
                return CityGraph.load(processed)
        self._fetch(entry.files[0].url, raw, archive)
        return self._read(archive, verify, again)

    def _processed(self, blob: str) -> Path:
        return cache_folder() / "processed" / f"city-{self.name}-{blob}-v{_VERSION}.npz"

    def _read(self, place: Path, verify: str, again: bool) -> CityGraph:
        if place.is_dir():
            return read_city(place, self.name, verify=verify)
        processed = self._processed(check_generation(place, self.name, verify))
        if processed.is_file() and not again:
            with contextlib.suppress(UserError):
                return CityGraph.load(processed)
        city = read_city(
            place, self.name, verify="strict" if verify == "strict" else "off"
        )  # a warning was given above
        with contextlib.suppress(OSError):  # a cache that cannot be written to is no error
            city.save(processed)
        return city

    def _fetch(self, address: str, raw: Path, archive: Path) -> None:
        by_hand = f"or place it by hand as {archive}"
        if os.environ.get("GRAPHKIT_OFFLINE", "0") not in ("", "0"):
            raise UserError(
                f"{archive} is not there and GRAPHKIT_OFFLINE is set; unset it to fetch {address}, {by_hand}"
            )
        try:
            retrieve(address, raw, archive.name, None)
        except requests.exceptions.RequestException as error:
            raise UserError(f"fetching {address} failed ({reason(error)}); try again, {by_hand}") from None
        except OSError as error:
            raise UserError(f"{archive} cannot be written ({error.strerror})") from None
