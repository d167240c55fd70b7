"""A small graph of one's own, written as a file of triples."""

import random
from pathlib import Path


def write_triples(path: Path, seed: int = 0) -> Path:
    """Six dense groups of ten entities, few triples between them."""
    draw = random.Random(seed)
    rows = set()
    for group in range(6):
        for i in range(10):
            rows.update((f"g{group}n{i}", f"r{draw.randrange(3)}", f"g{group}n{draw.randrange(10)}") for _ in range(4))
        rows.add((f"g{group}n0", "r0", f"g{(group + 1) % 6}n0"))
    path.write_text("head\trelation\ttail\n" + "".join("\t".join(row) + "\n" for row in sorted(rows)))
    return path
