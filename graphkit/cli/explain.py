"""``graphkit explain``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphkit.cli.parser import CommandParser
from graphkit.cli.tables import console, print_table
from graphkit.errors import UserError, nearest

__all__ = ["main"]

_ENDINGS = (".html", ".svg", ".png", ".json")


def main(words: list[str]) -> int:
    """Print, and on request draw, the paths that speak for a triple."""
    parser = CommandParser("explain")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="what graphkit run wrote")
    parser.add_argument("head", metavar="HEAD", help="name of the head")
    parser.add_argument(
        "relation", metavar="RELATION", help="the relation; with ^-1 at its end, the query for the head"
    )
    parser.add_argument("tail", metavar="TAIL", help="name of the tail")
    parser.add_argument("--k", type=int, default=5, metavar="K", help="most paths (default: 5)")
    parser.add_argument("--beam", type=int, default=10, metavar="W", help="width of the beam search (default: 10)")
    parser.add_argument(
        "--keep_triple", action="store_true", help="leave the triple in the message graph if it is there"
    )
    parser.add_argument("--split", default="test", metavar="SPLIT", help="whose message graph (default: test)")
    parser.add_argument("--seed", type=int, metavar="SEED", help="whose weights (default: the best on validation)")
    parser.add_argument("--device", metavar="DEVICE", help="cpu or cuda")
    parser.add_argument("--html", metavar="FILE", help="write a page with the drawing")
    parser.add_argument("--out", metavar="FILE", help="write a .html, .svg, .png or .json file")
    arguments = parser.parse(words)
    writers = [_writer(arguments.html, ".html")] if arguments.html else []
    writers += [_writer(arguments.out, None)] if arguments.out else []

    from graphkit.engine.explanation_blocks import rank_text, triple_text
    from graphkit.engine.explanations import can_explain, explained, step_text
    from graphkit.engine.recorded import recorded_run

    model, task, _ = recorded_run(arguments.run_dir, arguments.seed, arguments.device)
    if not can_explain(model, task):
        raise UserError(
            f"{type(model).__name__} on {task.name} explains no triples; expected a run of NBFNet on a knowledge graph"
        )
    entry = explained(
        model, task, arguments.head, arguments.relation, arguments.tail, arguments.k, split=arguments.split,
        beam_width=arguments.beam, exclude_triple=not arguments.keep_triple,
    )  # fmt: skip
    title = f"{triple_text(entry['triple'])}{rank_text(entry['rank'])}"
    if not entry["paths"]:
        title += ": no path joins them within the layers of the model"
    console().print(title, markup=False, soft_wrap=True)
    if entry["paths"]:
        print_table(("weight>", "path"), [(f"{p['weight']:.4f}", step_text(p["edges"])) for p in entry["paths"]])
    for write in writers:
        console().print(f"written: {write(entry)}", markup=False)
    return 0


def _writer(out: str, ending: str | None) -> Callable[[dict[str, Any]], str]:
    """A function that writes a file as its ending says; a mistake shows before anything is computed."""
    from graphkit.engine.plots import can_plot

    kind = ending or Path(out).suffix
    if kind not in _ENDINGS:
        raise UserError(f"{nearest(kind, _ENDINGS, 'ending')} (--out {out})")
    if kind in (".svg", ".png") and not can_plot():
        raise UserError('a drawing needs matplotlib, which is not installed: pip install "graphkit-torch[plots]"')

    def write(entry: dict[str, Any]) -> str:
        from graphkit.engine.run_directory import writing

        content = _content(entry, kind)
        with writing(Path(out)) as file:
            file.write(content)
        return out

    return write


def _content(entry: dict[str, Any], kind: str) -> bytes:
    import json

    if kind == ".json":
        return (json.dumps(entry, indent=1, ensure_ascii=False) + "\n").encode()
    if kind == ".html":
        from graphkit.engine.explanation_blocks import explanations_blocks, triple_text
        from graphkit.engine.report_blocks import Headline, Section
        from graphkit.engine.report_html import html_page

        page = html_page(
            Headline(triple_text(entry["triple"])), [Section("Explained prediction", explanations_blocks([entry]))]
        )
        return page.encode()
    from graphkit.engine.path_plot import paths_plot

    plot = paths_plot([(path["weight"], path["edges"]) for path in entry["paths"]])
    return plot.svg if kind == ".svg" else plot.png
