"""``graphkit evaluate``."""

from __future__ import annotations

from graphkit.cli.parser import CommandParser
from graphkit.cli.tables import console, print_table

__all__ = ["main"]


def main(words: list[str]) -> int:
    """Score the best weights of a run again and compare with what the run recorded."""
    parser = CommandParser("evaluate")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="what graphkit run wrote")
    parser.add_argument("--split", default="test", metavar="SPLIT", help="train, valid or test (default: test)")
    parser.add_argument("--seed", type=int, metavar="SEED", help="one seed (default: all)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu or cuda")
    arguments = parser.parse(words)

    from graphkit.engine.distributed import joined
    from graphkit.engine.run import evaluate_run

    rows: list[list[object]] = []
    names: list[str] = []
    for found in evaluate_run(arguments.run_dir, arguments.split, arguments.seed, arguments.device):
        names = names or list(found["metrics"])
        cells = [f"{found['metrics'][name]:.4f}" if name != "count" else int(found["metrics"][name]) for name in names]
        rows.append([found["seed"], *cells, _compared(found["metrics"], found["recorded"])])
    if not joined().first:
        return 0
    print_table(["seed>", *(f"{name}>" for name in names), "beside the record"], rows)
    console().print(f"{arguments.run_dir}, {arguments.split} split; nothing was written")
    return 0


def _compared(metrics: dict[str, float], recorded: dict[str, float] | None) -> str:
    if recorded is None:
        return "not recorded"
    shared = metrics.keys() & recorded.keys()
    largest = max((abs(metrics[name] - recorded[name]) for name in shared), default=0.0)
    return "identical" if largest == 0 else f"differs by up to {largest:.2g}"
