"""The result table as Markdown, CSV and JSON, and the wording of its cells."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence

from graphkit.engine.reference import LOWER_IS_BETTER
from graphkit.engine.result_table import Row

__all__ = [
    "COLUMNS",
    "cells",
    "duration",
    "gibibytes",
    "markdown_escape",
    "markdown_table",
    "metric_name",
    "number",
    "rows_csv",
    "rows_json",
    "spans",
]

COLUMNS = (
    "experiment", "data", "metric", "paper", "ours", "difference", "verdict", "params", "device", "time per seed",
    "commit",
)  # fmt: skip
NUMERIC = frozenset({"paper", "ours", "difference", "params", "time per seed"})
_REPEATED = ("experiment", "data", "params", "device", "time per seed", "commit")
MINUS, DASH, DOWN = "\u2212", "\u2013", "\u2193"
_NAMES = {
    "mr": f"MR {DOWN}",
    "mrr": "MRR",
    "tail_mrr": "MRR, tails",
    "head_mrr": "MRR, heads",
    "auc": "AUC",
    "ap": "AP",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "mae": f"MAE {DOWN}",
    "class_mae": f"Class error {DOWN}",
    "spearman": "Spearman",
    "roc_auc": "ROC-AUC",
}


def metric_name(metric: str) -> str:
    """Name of a metric as people write it; an arrow marks those where lower is better.

    Example:
        >>> metric_name("hits@10"), metric_name("tail_mrr")
        ('Hits@10', 'MRR, tails')
    """
    return _NAMES.get(metric) or (f"Hits{metric[4:]}" if metric.startswith("hits@") else metric)


def number(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """A number with a typographic minus and no negative zero; empty for None.

    Example:
        >>> number(0.00012, 3, sign=True), number(-0.0001, 3), number(None, 3)
        ('+0.000', '0.000', '')
    """
    if value is None:
        return ""
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS) if text.startswith("-") else ("+" if sign and value > 0 else "") + text


def duration(seconds: float | None) -> str:
    """Seconds in the units a person would say.

    Example:
        >>> duration(8.21), duration(83), duration(7300)
        ('8.2 s', '1 min 23 s', '2 h 1 min')
    """
    if seconds is None:
        return ""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def gibibytes(mebibytes: int) -> str:
    """An amount of memory in the unit people compare machines by.

    Example:
        >>> gibibytes(2950), gibibytes(310)
        ('2.9 GiB', '0.3 GiB')
    """
    return f"{mebibytes / 1024:.1f} GiB"


def spans(numbers: Iterable[int]) -> str:
    """Seeds or splits as the command line takes them.

    Example:
        >>> spans([0, 1, 2, 7])
        '0-2,7'
    """
    found: list[list[int]] = []
    for one in sorted(numbers):
        if found and one == found[-1][-1] + 1:
            found[-1][1:] = [one]
        else:
            found.append([one])
    return ",".join("-".join(map(str, span)) for span in found)


def cells(row: Row, *, above: Row | None = None) -> list[str]:
    """Cells of a row in the order of ``COLUMNS``; with the row above given, what repeats in it is left blank.

    Example:
        >>> from graphkit.engine.result_table import result_rows
        >>> line = {"seed": 0, "split": "test", "metrics": {"mrr": 0.5}}
        >>> cells(result_rows("nbfnet/umls", {"data": {"name": "umls"}}, [line])[0])[:3]
        ['nbfnet/umls', 'umls', 'MRR']
    """
    values = _cells(row)
    if above is not None and above.experiment == row.experiment and above.split == row.split:
        over = _cells(above)
        for position, column in enumerate(COLUMNS):
            if column in _REPEATED and (values[position] == over[position] or (row.kind, column) == ("beside", "data")):
                values[position] = ""
    return values


def _cells(row: Row) -> list[str]:
    beside = row.kind == "beside"
    return [
        f"beside: {row.label}" if beside else row.experiment,
        row.data,
        metric_name(row.metric),
        number(row.paper, row.paper_decimals) or DASH,
        DASH if beside or row.ours is None else _ours(row),
        number(row.difference, row.decimals, sign=True) or DASH,
        "cited, not re-run" if beside else judged(row),
        "" if beside or row.parameters is None else f"{row.parameters:,}",
        "" if beside else row.device + (f", {gibibytes(row.peak_mib)}" if row.peak_mib else ""),
        "" if beside else duration(row.seconds),
        "" if beside else row.commit,
    ]


def judged(row: Row) -> str:
    """The verdict of a row; where lower is better, it says what above and below amount to.

    Example:
        >>> from graphkit.engine.result_table import result_rows
        >>> line = {"seed": 0, "split": "test", "metrics": {"mr": 1.8}}
        >>> judged(result_rows("nbfnet/umls", {"reference": {"metrics": {"mr": 2.1}}}, [line])[0])
        'below (better)'
    """
    meaning = {"above": " (worse)", "below": " (better)"} if row.metric in LOWER_IS_BETTER else {}
    return row.verdict + meaning.get(row.verdict, "")


def _ours(row: Row) -> str:
    count = f"n={row.n}" if row.n >= row.planned else f"n={row.n} of {row.planned}"
    spread = f" ± {number(row.std, row.decimals)}" if row.std is not None else ""
    return f"{number(row.ours, row.decimals)}{spread} ({count})"


def markdown_escape(text: object) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no end of a table cell.

    Example:
        >>> markdown_escape("a|b <i>")
        'a\\\\|b &lt;i&gt;'
    """
    shown = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*[]|":
        shown = shown.replace(mark, f"\\{mark}")
    return shown


def markdown_table(header: Sequence[str], body: Iterable[Sequence[str]], numeric: Iterable[int] = ()) -> str:
    """A Markdown table; the columns in ``numeric`` are set flush right.

    Example:
        >>> print(markdown_table(["seed", "mrr"], [["0", "0.5"]], numeric=[1]))
        | seed | mrr |
        | --- | ---: |
        | 0 | 0.5 |
    """
    right = set(numeric)
    rule = ["---:" if position in right else "---" for position in range(len(header))]
    escaped = [[markdown_escape(cell) for cell in row] for row in (header, *body)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (escaped[0], rule, *escaped[1:]))


def rows_csv(rows: Iterable[Row]) -> str:
    """Rows as CSV with a header, in full precision; one column per field of ``Row``.

    Example:
        >>> rows_csv([]).split(",")[:3]
        ['experiment', 'data', 'split']
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [field.name for field in dataclasses.fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    return buffer.getvalue()


def rows_json(rows: Iterable[Row]) -> str:
    """Rows as a JSON list of objects, in full precision; one key per field of ``Row``.

    Example:
        >>> rows_json([])
        '[]\\n'
    """
    return json.dumps([dataclasses.asdict(row) for row in rows], indent=2, ensure_ascii=False) + "\n"


def numeric_columns() -> list[int]:
    """Positions in ``COLUMNS`` that hold numbers.

    Example:
        >>> numeric_columns()
        [3, 4, 5, 7, 9]
    """
    return [position for position, column in enumerate(COLUMNS) if column in NUMERIC]
