"""``graphkit data build-city``."""

from __future__ import annotations

from pathlib import Path

from graphkit.cli.parser import CommandParser
from graphkit.cli.tables import pairs

__all__ = ["build_city"]


def build_city(words: list[str]) -> int:
    """Make a city to classify nodes of from a street network."""
    parser = CommandParser("data build-city")
    parser.add_argument("source", metavar="SOURCE", help="file or folder of streets, or synthetic:KIND:N:SEED")
    parser.add_argument(
        "--out", metavar="DIR", required=True, help="folder for NAME.npz and the files of the published format"
    )
    parser.add_argument("--name", metavar="NAME", help="what the city is called (default: as its source)")
    parser.add_argument("--k", type=int, default=16, metavar="K", help="hops of the balls (default: 16)")
    parser.add_argument("--classes", type=int, default=10, metavar="C", help="number of classes (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the split (default: 0)")
    parser.add_argument("--split", default="random", metavar="KIND", help="random (as published) or spatial_block")
    parser.add_argument("--threads", type=int, default=0, metavar="T", help="threads (default: those of torch)")
    chosen = parser.parse(words)
    from graphkit import datasets

    city = datasets.build_city(
        chosen.source,
        name=chosen.name,
        k=chosen.k,
        n_classes=chosen.classes,
        seed=chosen.seed,
        split_kind=chosen.split,
        num_threads=chosen.threads,
    )
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in city.name).strip(".") or "city"
    out = Path(chosen.out)
    files = city.write_reference(out / name / "raw" / name)
    saved = city.save(out / f"{name}.npz")
    score = city.ecc
    assert score is not None
    pairs(
        f"{city.name}: a city of {city.num_nodes:,} junctions",
        [
            ("streets", f"{city.edge_index.shape[1] // 2:,}"),
            ("features", str(city.x.shape[1])),
            ("classes", str(city.num_classes)),
            ("score", f"{float(score.min()):.1f} to {float(score.max()):.1f}"),
            ("train, valid, test", ", ".join(f"{int(mask.sum()):,}" for mask in city.masks.values())),
            ("digest", city.digest),
            ("everything", str(saved)),
            ("published format", f"{files[0].parent} ({len(files)} files)"),
        ],
    )
    return 0
