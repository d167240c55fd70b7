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
    parser.add_argument("--fold", type=int, metavar="FOLD", help="of a run over several splits, one (default: all)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu or cuda")
    arguments = parser.parse(words)

    from graphkit.engine.distributed import joined
    from graphkit.engine.run import evaluate_run

    rows: list[list[object]] = []
    names: list[str] = []
    folded = False
    for found in evaluate_run(arguments.run_dir, arguments.split, arguments.seed, arguments.device, arguments.fold):
        folded = found["fold"] is not None
        names = names or list(found["metrics"])
        metrics = found["metrics"]
        cells = ["" if name not in metrics else _shown(name, metrics[name]) for name in names]
        rows.append(
            [
                found["seed"],
                *([found["fold"]] if folded else []),
                *cells,
                _compared(found["metrics"], found["recorded"]),
            ]
        )
    if not joined().first:
        return 0
    print_table(["seed>", *(["fold>"] if folded else []), *(f"{name}>" for name in names), "beside the record"], rows)
    console().print(f"{arguments.run_dir}, {arguments.split} split; nothing was written")
    return 0


def _shown(name: str, value: float) -> str:
    return f"{value:.4f}" if name != "count" else str(int(value))


def _compared(metrics: dict[str, float], recorded: dict[str, float] | None) -> str:
    if recorded is None:
        return "not recorded"
    shared = metrics.keys() & recorded.keys()
    largest = max((abs(metrics[name] - recorded[name]) for name in shared), default=0.0)
    return "identical" if largest == 0 else f"differs by up to {largest:.2g}"
