"""Writes the bundled sample of a city and the cards of City-Networks.

    python datasets/build/city_cards.py

The sample is a synthetic city in the published format; the same script gives the same tensors. The published archives are not
needed: their sizes and git blob ids are known, their SHA-256 is recorded when a user first sees them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import yaml

from graphkit.data import CityGraph
from graphkit.datasets import build_city

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "https://github.com/LeonResearch/City-Networks/raw/ac754fb/data/{}.tar.gz"
CITATION = (
    "Liang et al.: Towards Quantifying Long-Range Interactions in Graph Machine Learning: a Large Graph Dataset and a "
    "Measurement, ICLR 2026"
)
DIRECTION = "streets, every one in both directions; one-way streets are a feature"
# nodes, undirected edges, git blob id of the archive since commit fab206a
CITIES = {
    "paris": (114_127, 182_511, "21f39978aa7eb378bf914eb01350fedce2b14ce6"),
    "shanghai": (183_917, 262_092, "8bb5689f01fcbaa818104f835641f85b2cfc6d9b"),
    "la": (240_587, 341_523, "ef47e9e805f5fc6a6ed43eca749d1dd926cfa8f2"),
    "london": (568_795, 756_502, "e78df404472412df3cec2ff499a0a3eab991aa5c"),
}
# earlier archives under the same names, by the beginning of their ids, in the order of the cities
EARLIER = {
    "the archive of commit ca396f5 (1 March 2025)": ("581538df", "485279b8", "21fbea7b", "03653579"),
    "the archive of commits f4d8aa3 and 493d47d (27 February 2025)": ("1a620073", "b6355f14", "61b39a9e", "3328f7b2"),
    "the first archive (commit b00cac9)": ("3454554c", "ef1325ac", "4741e363", "e13e06d9"),
}
PLACES = {"paris": "Paris", "shanghai": "Shanghai", "la": "Los Angeles", "london": "London"}
TRAPS = [
    "A random split of a label that is smooth over space: neighbours of test nodes are in train.",
    "Features are raw (degrees, metres, km/h and 0-1 columns); features='standardized' brings the quantities to one scale.",
    "The categorical columns of each city are ordered by frequency, so columns of two cities do not mean the same.",
]


def the_sample() -> CityGraph:
    return build_city("synthetic:city:420:7", name="sample", split=(0.3, 0.2, 0.5))


def packed_sample(city: CityGraph) -> bytes:
    """The archive, with no time and no owner in it."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(city.write_reference(folder))
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as compressed,
            tarfile.open(fileobj=compressed, mode="w") as archive,
        ):
            for file in files:
                content = file.read_bytes()
                member = tarfile.TarInfo(f"sample/{file.name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def card(name: str, **known: Any) -> dict[str, Any]:
    return {
        "name": f"city/{name}",
        "aliases": [],
        **known.pop("head"),
        "task": "node",
        "reader": "city_network",
        "options": {"name": name},
        **known,
        "directed": False,
        "direction": DIRECTION,
        "splits": {"official": 1},
    }


def main() -> None:
    city = the_sample()
    archive = packed_sample(city)
    target = ROOT / "samples" / "city-sample" / "sample.tar.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(archive)
    sizes = {split: int(mask.sum()) for split, mask in city.masks.items()}
    cards = [
        card(
            "sample",
            head={"title": "A small synthetic city with lattices, suburbs and a river, in the format of City-Networks"},
            folders=["city_network/sample/raw"],
            files=[
                {
                    "path": "sample.tar.gz",
                    "url": None,
                    "bytes": len(archive),
                    "sha256": hashlib.sha256(archive).hexdigest(),
                }
            ],
            licence="MIT, as graphkit",
            citation="none: generated, see datasets/build/city_cards.py",
            source="datasets/build/city_cards.py of graphkit",
            statistics={
                "nodes": city.num_nodes,
                "edges": city.edge_index.shape[1] // 2,
                "features": 37,
                "classes": 10,
                **sizes,
            },
            defects=[
                "Drawn at random: it serves to try things out, and figures on it say nothing of real cities.",
                *TRAPS[:2],
            ],
        )
    ]
    for number, (name, (nodes, edges, blob)) in enumerate(CITIES.items()):
        train = int(0.1 * nodes)
        cards.append(
            card(
                name,
                head={"title": f"City-Networks, {PLACES[name]}: junctions classified by how far 16 streets lead"},
                folders=[f"city_network/{name}/raw", f"{name}/raw"],
                files=[
                    {
                        "path": f"{name}.tar.gz",
                        "url": ADDRESS.format(name),
                        "bytes": None,
                        "sha256": None,
                        "instead": [f"{name}/edge_indices.pt"],
                        "git_blob": {"id": blob, "earlier": {ids[number]: what for what, ids in EARLIER.items()}},
                    }
                ],
                licence="OpenStreetMap contributors, ODbL (the data); the repository states none",
                citation=CITATION,
                source=f"LeonResearch/City-Networks, commit ac754fb, data/{name}.tar.gz, git blob {blob}",
                statistics={
                    "nodes": nodes,
                    "edges": edges,
                    "features": 37,
                    "classes": 10,
                    "train": train,
                    "valid": train,
                    "test": nodes - 2 * train,
                },
                defects=[
                    *TRAPS,
                    "Four generations of archives were published under one name; others than the last one are refused by their git "
                    "blob id. Of an unpacked folder only sizes are checked.",
                ],
            )
        )
    for content in cards:
        path = ROOT / "cards" / f"{content['name'].replace('/', '-')}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


if __name__ == "__main__":
    main()
