"""The sections of a run's report, each a function of the run. To add one: write it and name it in ``SECTIONS``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from graphkit.engine.environment_tables import environment_blocks
from graphkit.engine.explanation_blocks import explanations_blocks
from graphkit.engine.explanations import read_explanations
from graphkit.engine.plots import can_plot, rank_shares, ranks_plot, training_plot
from graphkit.engine.reference import METRICS
from graphkit.engine.report_blocks import Block, Code, Drawing, Headline, Paragraph, Section, Table
from graphkit.engine.report_links import is_link_run, link_protocol_entries
from graphkit.engine.report_nodes import is_node_run, node_protocol_entries
from graphkit.engine.report_relations import relations_section
from graphkit.engine.result_table import VERDICT_RULE, Row, data_name, planned_seeds, result_rows
from graphkit.engine.routing_sections import routing_section
from graphkit.engine.run_record import RunRecord, read_epochs, read_ranks
from graphkit.engine.table_formats import COLUMNS, cells, duration, judged, metric_name, number, numeric_columns, spans

__all__ = ["SECTIONS", "headline", "result_blocks", "sections", "selected"]

_NO_PLOTS = 'Plots are left out: matplotlib is not installed (pip install "graphkit-torch[plots]").'


def sections(run: RunRecord) -> list[Section]:
    """Sections of a run's report, in order; those that have nothing to show are left out.

    Raises:
        UserError: where a file of the run is damaged.

    Example:
        >>> [section.title for section in sections(read_run("runs/nbfnet/umls"))][0]      # doctest: +SKIP
        'Result'
    """
    return [section for section in (build(run) for build in SECTIONS) if section is not None]


def headline(run: RunRecord) -> Headline:
    """The selecting metric on the test split, and the paper's figure beside it.

    Where the paper has no figure for this metric but for others, the first of those stands instead.

    Example:
        >>> headline(read_run("runs/nbfnet/umls")).metric      # doctest: +SKIP
        'MRR'
    """
    rows = [row for row in result_rows(run.name, run.config, run.results) if row.kind == "experiment" and row.n]
    if not rows:
        return Headline(run.name)
    row = selected(run, rows)
    figure = number(row.ours, row.decimals) + (f" ± {number(row.std, row.decimals)}" if row.std is not None else "")
    count = f"n = {row.n}" if row.n >= row.planned else f"n = {row.n} of {row.planned}"
    paper = f", paper {number(row.paper, row.paper_decimals)}" if row.paper is not None else ""
    return Headline(run.name, metric_name(row.metric), figure, f"{row.data} test, {count}{paper}".strip(), judged(row))


def selected(run: RunRecord, rows: Sequence[Row]) -> Row:
    """The row that a run leads with, among its rows of the test split; at least one has to hold a figure of ours.

    It is the selecting metric or, where the paper has no figure for it but for others, the first of those.

    Example:
        >>> run = read_run("runs/nbfnet/umls")      # doctest: +SKIP
        >>> selected(run, result_rows(run.name, run.config, run.results)).metric      # doctest: +SKIP
        'mrr'
    """
    ours = [row for row in rows if row.kind == "experiment" and row.n]
    row = next((row for row in ours if row.metric == _selecting(run)), ours[0])
    return row if row.paper is not None else next((other for other in ours if other.paper is not None), row)


def result_blocks(rows: Sequence[Row], *, caption: str = "", leave_out: Collection[str] = ()) -> list[Block]:
    """The result table, and the rule behind its verdicts where a published figure is compared.

    Args:
        rows: rows of one split; on any split but the test split nothing is compared, so those columns are left out.
        caption: words above the table.
        leave_out: names of further columns to leave out.

    Example:
        >>> len(result_blocks(result_rows("nbfnet/umls", {"reference": {"metrics": {"mrr": 0.9}}}, [])))
        2
    """
    published = any(row.split == "test" for row in rows)
    left_out = {*leave_out, *(() if published else ("paper", "difference", "verdict"))}
    kept = [position for position, column in enumerate(COLUMNS) if column not in left_out]
    body = [cells(row, above=above) for above, row in zip([None, *rows], rows, strict=False)]
    table = Table(
        [COLUMNS[position].capitalize() for position in kept],
        [[row[position] for position in kept] for row in body],
        [place for place, position in enumerate(kept) if position in numeric_columns()],
        kept.index(COLUMNS.index("verdict")) if published else None,
        caption,
    )
    compared = any(row.kind == "experiment" and row.paper is not None for row in rows)
    return [table, Paragraph(VERDICT_RULE, note=True)] if compared else [table]


def _result(run: RunRecord) -> Section:
    blocks: list[Block] = []
    missing = sorted(set(planned_seeds(run.config)) - set(run.seeds))
    if missing:
        blocks.append(Paragraph(f"Unfinished: no result yet for {_plural(len(missing), 'seed')} ({spans(missing)})."))
    rows = result_rows(run.name, run.config, run.results)
    if not missing and rows[0].n < rows[0].planned and run.folds:
        blocks.append(
            Paragraph(f"Unfinished: {rows[0].n} of {rows[0].planned} trainings, one a seed and split, have a result.")
        )
    # what is the same in every row of one run stands below the table, so that the table fits a page
    shared = ("data", "params", "device", "time per seed", "commit")
    blocks += result_blocks(rows, leave_out=shared)
    facts = dict(zip(COLUMNS, cells(rows[0]), strict=True))
    body = [[name.capitalize(), facts[name]] for name in shared if facts[name]]
    if body:
        blocks.append(Table(["", ""], body))
    sources = dict.fromkeys((row.label or "paper", row.source) for row in rows if row.source)
    if sources:
        shown = "; ".join(f"{label}: {source}" for label, source in sources)
        blocks.append(Paragraph(f"Sources: {shown}.", note=True))
    for split in sorted({line["split"] for line in run.results} - {"test"}):
        title = "Validation split" if split == "valid" else f"Split {split}"
        rows = result_rows(run.name, run.config, run.results, split=split)
        blocks += result_blocks(rows, caption=title, leave_out=("experiment", *shared))
    return Section("Result", blocks)


def _training(run: RunRecord) -> Section | None:
    epochs, damaged = read_epochs(run.folder)
    blocks: list[Block] = []
    if epochs:
        if can_plot():
            lines = [line for line in run.results if isinstance(line.get("epoch"), int)]
            best = {(line["seed"], line.get("fold")): line["epoch"] for line in lines}
            trainings, metric = {(event["seed"], event.get("fold")) for event in epochs}, _selecting(run)
            count = _plural(len(trainings), "training" if run.folds else "seed")
            alternative = f"Training loss and validation {metric_name(metric)} per epoch, {count}"
            caption = "A star marks the epoch whose weights were kept: the best on validation."
            blocks.append(Drawing("training", training_plot(epochs, best, metric), alternative, caption))
        else:
            blocks.append(Paragraph(_NO_PLOTS))
    if damaged:
        blocks.append(
            Paragraph(f"{_plural(damaged, 'line')} of log.jsonl could not be read and were left out.", note=True)
        )
    return Section("Training", blocks) if blocks else None


def _ranks(run: RunRecord) -> Section | None:
    by_seed = read_ranks(run.folder, run.seeds)
    sides = ("tail", "head")
    pooled = {side: [ranks[side] for ranks in by_seed.values() if side in ranks] for side in sides}
    ranks = {side: np.concatenate(parts) for side, parts in pooled.items() if sum(map(len, parts))}
    if not ranks:
        return None
    blocks: list[Block] = []
    if can_plot():
        alternative = "Histogram of the ranks of the known entity, tail and head queries apart"
        caption = f"Test facts pooled over {_plural(len(by_seed), 'seed')}; bins grow with the rank."
        blocks.append(Drawing("ranks", ranks_plot(ranks), alternative, caption))
    else:
        blocks.append(Paragraph(_NO_PLOTS))
    body = []
    for side, values in ranks.items():
        first = rank_shares(values)[0][1]
        body.append([f"{side}s", f"{len(values):,}", f"{first:.1f} %", f"{np.median(values):g}", f"{values.max():g}"])
    blocks.append(Table(["Queries for", "Queries", "Ranked first", "Median rank", "Worst rank"], body, [1, 2, 3, 4]))
    return Section("Ranks", blocks)


def _explanations(run: RunRecord) -> Section | None:
    by_seed = read_explanations(run.folder, run.seeds)
    if not by_seed:
        return None
    seed, entries = next(iter(by_seed.items()))
    count = _plural(len(entries), "test triple")
    words = f"What the model of seed {seed} rests on in {count}, evenly spaced over the split and not chosen by result."
    return Section("Explained predictions", [Paragraph(words), *explanations_blocks(entries)])


def _seeds(run: RunRecord) -> Section:
    lines = sorted(
        run.results,
        key=lambda line: (line["split"] != "test", line["split"], line["seed"], line.get("fold") or 0),
    )
    present = set().union(*(line["metrics"] for line in lines))
    metrics = [metric for metric in METRICS if metric in present] + sorted(present.difference((*METRICS, "count")))
    body = []
    for line in lines:
        seconds = line.get("seconds")
        body.append(
            [str(line["seed"]), *([str(line.get("fold", ""))] if run.folds else []), line["split"], str(line.get("epoch", "")), *(
                number(float(line["metrics"][metric]), 2 if metric == "mr" else 4) if metric in line["metrics"] else ""
                for metric in metrics
            ), str(line.get("steps", "")), duration(seconds) if isinstance(seconds, (int, float)) else ""]
        )  # fmt: skip
    fold = ["Fold"] if run.folds else []
    header = ["Seed", *fold, "Split", "Best epoch", *map(metric_name, metrics), "Steps", "Time"]
    words = [place for place, name in enumerate(header) if name != "Split"]
    return Section("Seeds and splits" if run.folds else "Seeds", [Table(header, body, words)])


def _protocol(run: RunRecord) -> Section:
    protocol, loader, train = (_part(run.config, key) for key in ("protocol", "loader", "train"))
    reference, evaluation = _part(run.config, "reference"), _part(train, "evaluation")
    first = run.results[0]
    ties = protocol.get("ties") or first.get("ties") or "not recorded"
    meaning = {
        "pessimistic": "a tied candidate counts as ranked ahead of the known entity",
        "optimistic": "a tied candidate counts as ranked behind the known entity",
        "mean": "tied candidates share the mean of their ranks",
    }.get(str(ties))
    filtered = evaluation.get("filtered", protocol.get("filtered", True))
    candidates = "filtered: other known facts are left out" if filtered else "raw: other known facts are candidates too"
    candidates = _part(run.environment, "data").get("candidates") or candidates
    negatives = loader.get("num_negatives")
    of_nodes, data = is_node_run(run), _part(run.config, "data")
    ranked = not is_link_run(run) and not of_nodes
    what = "fact" if ranked else "edge"
    strict = f"never {'a fact' if ranked else 'an edge'} of the training split"
    strict = strict if loader.get("strict", True) else f"unchecked: may be {what}s"
    select, sampled = metric_name(_selecting(run)), data.get("valid_triples")
    validated = f"a fixed sample of {sampled:,} validation triples" if sampled else "the validation split"
    entries: list[tuple[str, Any]] = [
        ("Selection", f"epoch with the best {select} on {validated}; the test split is not looked at"),
        ("Ties", (f"{ties}: {meaning}" if meaning else ties) if ranked else None),
        ("Candidates", (candidates if run.config else "not recorded") if ranked else None),
        *(node_protocol_entries(run) if of_nodes else [] if ranked else link_protocol_entries(run)),
        ("Seeds", f"{spans(run.seeds)} (n = {len(run.seeds)})"),
        (
            "Negatives in training" if not ranked else "Negatives",
            f"{negatives} per {what}, {strict}" if negatives is not None else None,
        ),
        ("Data", data_name(run.config, run.results)),
        ("Budget", run.config.get("budget")),
    ]
    entries += [(f"Reference: {key}", value) for key, value in reference.items() if key not in ("metrics", "beside")]
    if reference.get("beside"):
        entries.append(("Baselines", "figures cited from their sources, not run or tuned here"))
    body = [[name, _said(value)] for name, value in entries if value not in (None, "", False, {})]
    return Section("Protocol", [Table(["", ""], body)])


def _configuration(run: RunRecord) -> Section:
    if not run.config_text:
        return Section("Configuration", [Paragraph("The run directory has no config.yaml.")])
    return Section("Configuration", [Code(run.config_text, "yaml")])


def _environment(run: RunRecord) -> Section | None:
    blocks = environment_blocks(run.environment, run.results)
    return Section("Environment", blocks) if blocks else None


def _reproduce(run: RunRecord) -> Section:
    commits = list(dict.fromkeys(str(line["commit"]) for line in run.results if line.get("commit")))
    blocks: list[Block] = []
    if run.config_text:
        blocks.append(
            Paragraph("From the folder of this report; the configuration above holds every option of the run.")
        )
        out = shlex.quote(f"../{run.folder.resolve().name}-again")
        blocks.append(Code(f"graphkit run config.yaml --seeds {spans(run.seeds)} --out {out}", "sh"))
    else:
        blocks.append(
            Paragraph("The run was started from Python and has no config.yaml: repeat the call of graphkit.fit.")
        )
    if commits:
        blocks.append(Paragraph(f"Commit: {', '.join(commits)}."))
    return Section("How to reproduce", blocks)


SECTIONS: list[Callable[[RunRecord], Section | None]] = [
    _result,
    _training,
    _ranks,
    relations_section,
    routing_section,
    _explanations,
    _seeds,
    _protocol,
    _configuration,
    _environment,
    _reproduce,
]


def _selecting(run: RunRecord) -> str:
    select = _part(run.config, "protocol").get("select") or _part(run.config, "train").get("select")
    return str(select or next((line["select"] for line in run.results if line.get("select")), "mrr"))


def _part(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = config.get(key)
    return part if isinstance(part, Mapping) else {}


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{metric_name(str(key))} {_said(inner)}" for key, inner in value.items())
    return "yes" if value is True else str(value)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
