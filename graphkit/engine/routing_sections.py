"""The section of a run's report on expert usage, from the field ``"routing"`` of its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphkit.engine.plots import can_plot
from graphkit.engine.report_blocks import Block, Drawing, Paragraph, Section, Table
from graphkit.engine.routing_plots import gate_plot, prompt_plot, usage_plot
from graphkit.engine.run_record import RunRecord, read_epochs
from graphkit.engine.table_formats import DASH, number

__all__ = ["routing_section", "usage_blocks"]

#: fields of a record, what they are called, their decimals
_FIGURES = (
    ("effective_experts", "Effective experts", 2),
    ("active", "Experts in use", 2),
    ("entropy", "Entropy of a decision", 3),
    ("entropy_of_mean", "Entropy of the mean", 3),
    ("source_information", "Information on the source (nats)", 3),
    ("fluctuation", "Changed choices", 3),
)
_GAINS = (
    ("mixture", "Mixture"),
    ("uniform", "Uniform average"),
    ("best_single", "Best single expert"),
    ("oracle", "Best expert of each instance"),
    ("mixture_error", "Calibration error"),
)


def routing_section(run: RunRecord) -> Section | None:
    """Who is used, which source goes to whom, how prompts point; None for a run without such records.

    Example:
        >>> routing_section(read_run("runs/gmope/cora")).title      # doctest: +SKIP
        'Expert usage'
    """
    epochs, _ = read_epochs(run.folder)
    found = [epoch for epoch in epochs if _readable(epoch.get("routing"))]
    return Section("Expert usage", usage_blocks(found)) if found else None


def usage_blocks(epochs: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Tables and plots of epochs that have a record of routing.

    Plots are of the first training; tables have the last epoch of every training.

    Args:
        epochs: epoch events with ``"seed"``, ``"epoch"`` and ``"routing"``
            (:meth:`graphkit.analysis.RoutingMonitor.record`), sorted; at least one.

    Example:
        >>> routing = {"experts": 2, "sources": ["cora"], "utilisation": [1.0, 1.0], "importance": [0.5, 0.5],
        ...            "importance_by_source": [[0.5, 0.5]], "effective_experts": 2.0, "dead": []}
        >>> [type(block).__name__ for block in usage_blocks([{"seed": 0, "epoch": 1, "routing": routing}])]
        ['Paragraph', 'Table', 'Drawing', 'Drawing']
    """
    last = {(event["seed"], event.get("fold")): event for event in epochs}
    first = next(iter(last))
    own = [event for event in epochs if (event["seed"], event.get("fold")) == first]
    routing = own[-1]["routing"]
    blocks: list[Block] = [
        Paragraph(
            "Entropies are shares of the largest possible. A low one of a decision beside a high one of the mean: experts are "
            "specialised. Both low: collapse. Both high: the router does nothing.",
            note=True,
        ),
        _figures(last),
    ]
    blocks += [Paragraph(words) for words in _warnings(routing)]
    gains = [
        (key, event["routing"]["gains"])
        for key, event in last.items()
        if isinstance(event["routing"].get("gains"), Mapping)
    ]
    if gains:
        blocks += _gains(gains)
    if can_plot():
        count = [event for event in own if len(event["routing"]["utilisation"]) == routing["experts"]]
        usage = usage_plot([event["epoch"] for event in count], [event["routing"]["utilisation"] for event in count])
        blocks.append(Drawing("expert-usage", usage, "Share of assignments of each expert, epoch by epoch"))
        gates = gate_plot(routing["sources"], routing["importance_by_source"])
        blocks.append(Drawing("gate-per-source", gates, "Mean gate of each expert, a row per source, last epoch"))
        if routing.get("prompt_cosines"):
            prompts = prompt_plot(routing["prompt_cosines"])
            caption = "Prompts at right angles do not make experts different; compare what they say (CKA)."
            blocks.append(
                Drawing("prompt-cosines", prompts, "Cosines between the prompts of experts, last epoch", caption)
            )
    return blocks


def _figures(last: Mapping[tuple[int, Any], Mapping[str, Any]]) -> Table:
    shown = [entry for entry in _FIGURES if any(event["routing"].get(entry[0]) is not None for event in last.values())]
    folds = any(fold is not None for _, fold in last)
    body = []
    for (seed, fold), event in last.items():
        routing = event["routing"]
        place = [str(seed), *([str(fold)] if folds else []), str(event["epoch"])]
        dead = ", ".join(map(str, routing.get("dead", []))) or "none"
        body.append([*place, *(_number(routing.get(name), decimals) for name, _, decimals in shown), dead])
    header = ["Seed", *(["Fold"] if folds else []), "Epoch", *(title for _, title, _ in shown), "Dead experts"]
    return Table(header, body, range(len(header) - 1))


def _gains(gains: Sequence[tuple[tuple[int, Any], Mapping[str, Any]]]) -> list[Block]:
    body = [[str(key[0]), *(_number(gain.get(name), 4) for name, _ in _GAINS)] for key, gain in gains]
    table = Table(
        ["Seed", *(title for _, title in _GAINS)], body, range(len(_GAINS) + 1), caption="What the mixture wins"
    )
    useless = [str(key[0]) for key, gain in gains if gain.get("useful") is False]
    if not useless:
        return [table]
    words = f"The mixture is no better than the uniform average of its experts (seed {', '.join(useless)}): no use of its router."
    return [table, Paragraph(words)]


def _warnings(routing: Mapping[str, Any]) -> list[str]:
    said = []
    effective, experts = routing.get("effective_experts"), routing["experts"]
    if isinstance(effective, (int, float)) and experts > 1 and effective < 1.05:
        said.append("Routing has collapsed: one expert does nearly all the work.")
    entropy = routing.get("entropy")
    if isinstance(entropy, (int, float)) and experts > 1 and entropy > 0.99:
        said.append("The router does nothing: every decision is close to uniform.")
    return said


def _number(value: Any, decimals: int) -> str:
    return number(float(value), decimals) if isinstance(value, (int, float)) and not isinstance(value, bool) else DASH


def _readable(routing: Any) -> bool:
    """Whether a record has what the section needs, in the shapes it needs."""
    if not isinstance(routing, Mapping) or not isinstance(routing.get("experts"), int):
        return False
    count, sources, gates = routing["experts"], routing.get("sources"), routing.get("importance_by_source")
    rows = [routing.get("utilisation"), *(gates if isinstance(gates, list) else [None])]
    return (
        isinstance(sources, list)
        and len(sources) == len(rows) - 1
        and all(
            isinstance(row, list) and len(row) == count and all(isinstance(v, (int, float)) for v in row)
            for row in rows
        )
    )
