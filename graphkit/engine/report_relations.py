"""The report's section on relations: ranks by category and by relation, tails and heads apart."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from graphkit.engine.plots import can_plot
from graphkit.engine.relation_plots import categories_plot, relations_plot, shortened
from graphkit.engine.relation_record import mean_over_seeds, read_relations
from graphkit.engine.report_blocks import Block, Drawing, Paragraph, Section, Table
from graphkit.engine.run_record import RunRecord
from graphkit.engine.table_formats import DASH, number

__all__ = ["relations_section"]

_ROWS = 25


def relations_section(run: RunRecord) -> Section | None:
    """Ranks of the test triples by category of relation and by relation; None where the run recorded none.

    Raises:
        UserError: where a file of the run is damaged.

    Example:
        >>> relations_section(read_run("runs/nbfnet/umls")).title      # doctest: +SKIP
        'Relations'
    """
    found = read_relations(run.folder, run.seeds)
    if not found:
        return None
    categories = mean_over_seeds(found.values(), "categories", "category")
    relations = mean_over_seeds(found.values(), "relations", "relation")
    threshold = next(iter(found.values())).get("threshold", 1.5)
    over = "one seed" if len(found) == 1 else f"{len(found)} seeds, with their deviation"
    blocks: list[Block] = [
        Paragraph(
            f"A category says how many heads and tails belong together: 1-N is one head with many tails. A side counts "
            f"as N from {threshold:g} entities in the mean, counted over the train facts: tails per (head, relation), "
            f"heads per (relation, tail). Means over {over}."
        )
    ]
    drawings = can_plot()
    if drawings:
        words = "MRR per category of relation, tail and head queries apart"
        blocks.append(Drawing("relation_categories", categories_plot(categories), words))
    blocks.append(_categories(categories))
    shown = relations[:_ROWS]
    if drawings and shown:
        words = "MRR of the most frequent relations, tail and head queries apart"
        caption = "The relations with the most test triples; their number stands in brackets."
        blocks.append(Drawing("relations", relations_plot(relations), words, caption))
    blocks.append(_relations(shown, len(relations)))
    if len(relations) > len(shown):
        blocks.append(
            Paragraph(f"All {len(relations)} relations with test triples: seed-*/test_relations.json.", note=True)
        )
    return Section("Relations", blocks)


def _categories(rows: list[dict[str, Any]]) -> Table:
    header = ["Category", "Relations", "Test triples", "Tail MRR", "Head MRR"]
    header += [f"{side} Hits@{k}" for k in (1, 10) for side in ("Tail", "Head")]
    body = [
        [row["category"], f"{row['relations']:,}", f"{row['triples']:,}", _spread(row, "tail"), _spread(row, "head")]
        + [number(row[side].get(f"hits@{k}"), 3) for k in (1, 10) for side in ("tail", "head")]
        for row in rows
    ]
    return Table(header, body, list(range(1, len(header))), caption="By category")


def _relations(rows: list[dict[str, Any]], total: int) -> Table:
    header = ["Relation", "Category", "Tails per head", "Heads per tail", "Test triples", "Tail MRR", "Head MRR"]
    body = [
        [
            shortened(str(row["relation"]), 60), row["category"], number(row.get("tails_per_head"), 2) or DASH,
            number(row.get("heads_per_tail"), 2) or DASH, f"{row['triples']:,}", _spread(row, "tail"),
            _spread(row, "head"),
        ]
        for row in rows
    ]  # fmt: skip
    caption = "By relation" if total == len(rows) else f"By relation: the {len(rows)} most frequent of {total}"
    return Table(header, body, list(range(2, len(header))), caption=caption)


def _spread(row: Mapping[str, Any], side: str) -> str:
    values = row["seeds"][side]["mrr"]
    spread = f" ± {number(statistics.stdev(values), 3)}" if len(values) > 1 else ""
    return number(row[side]["mrr"], 3) + spread
