"""Writes the measured tables between the markers `<!-- bench:begin -->` and `<!-- bench:end -->` of the pages in docs/.

python experiments/bench/write_bench_tables.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import scale_tables
import unit_tables
from table_text import Row, ratios, table

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def relational(rows: list[Row]) -> str:
    heads = [
        "graph",
        "B x D",
        "operator",
        "pass",
        "seconds",
        "faster than",
        "extra MiB",
        "of the output",
        "torch's MiB",
    ]
    return table(
        heads,
        [
            [
                r["graph"], f"{r['B']} x {r['D']}", r["kind"], r["what"], f"{r['times']['graphkit']['median']:.4f}", ratios(r),
                f"{r['times']['graphkit']['peak_mib']:.0f}", f"{r['output_mib']:.0f}", f"{r['times']['torch']['peak_mib']:.0f}",
            ]
            for r in rows
        ],
    )  # fmt: skip


def sweep(rows: list[Row]) -> str:
    heads = ["E", "B x D", "shape", "operator", "pass", "seconds", "ns per edge, query and channel"]
    return table(
        heads,
        [
            [
                f"{r['E']:,}",
                f"{r['B']} x {r['D']}",
                r["shape"],
                r["kind"],
                r["what"],
                f"{r['seconds']:.4f}",
                f"{r['ns_per_element']:.3f}",
            ]
            for r in rows
        ],
    )


def steps(rows: list[Row]) -> str:
    heads = ["graph", "batch", "graphkit s", "unfused torch s", "faster", "graphkit MiB", "unfused MiB", "steps timed"]
    return table(
        heads,
        [
            [
                r["graph"], str(r["batch"]), f"{r['times']['graphkit']['median']:.4f}",
                f"{r['times']['unfused torch']['median']:.3f}", f"{r['ratio']:.1f}x",
                f"{max(r['times']['graphkit']['peak_mib'], r.get('steps', {}).get('peak_mib', 0)):.0f}",
                f"{r['times']['unfused torch']['peak_mib']:.0f}",
                f"{r['steps']['count']} at {r['steps']['median']:.4f} s" if "steps" in r else str(r["times"]["graphkit"]["rounds"]),
            ]
            for r in rows
        ],
    )  # fmt: skip


def distributed(rows: list[Row]) -> str:
    heads = ["graph", "layers x channels", "queries", "alone s", "processes", "together s", "faster", "same ranks"]

    def cells(r: Row) -> list[str]:
        alone, together = (time["median"] for time in r["times"].values())
        return [
            r["graph"], f"{r['layers']} x {r['channels']}", f"{r['queries']:,}", f"{alone:.2f}", str(r["processes"]),
            f"{together:.2f}", f"{r['ratio']:.2f}x", "yes" if r["same_ranks"] else "no",
        ]  # fmt: skip

    return table(heads, [cells(r) for r in rows])


def predict(rows: list[Row]) -> str:
    heads = ["model and graph", "queries", "how", "seconds", "ms per query", "peak MiB"]
    return table(
        heads,
        [
            [
                r["experiment"], f"{r['queries']:,}", r["what"] + (f", {r['batch_size']} at once" if r["batch_size"] else ""),
                f"{r['seconds']:.1f}", f"{1000 * r['seconds_per_query']:.1f}", f"{r['peak_mib']:.0f}",
            ]
            for r in rows
        ],
    )  # fmt: skip


def path_deletion() -> str:
    """How far the score falls without the explaining path; written by experiments/nbfnet/path_deletion.py."""
    files = sorted((ROOT / "experiments" / "results").glob("path_deletion-*.json"))
    heads = [
        "run",
        "triples",
        "fall without the path",
        "without random paths",
        "difference",
        "path falls more",
        "p (Wilcoxon)",
    ]
    rows = []
    for file in files:
        r = json.loads(file.read_text())
        rows.append(
            [
                file.stem.removeprefix("path_deletion-"), str(r["n"]), f"{r['mean_drop_top']:.3f}",
                f"{r['mean_drop_random']:.3f}", f"{r['mean_difference']:.3f} ± {r['standard_error']:.3f} (standard error)",
                f"{r['share_top_drops_more']:.0%}", f"{r['p_value']:.1e}",
            ]
        )  # fmt: skip
    return "### Scores without the explaining path\n\n" + (table(heads, rows) if rows else "Not run.")


PEER_HEADS = ["graph", "what", "seconds", "peak MiB", "beside", "faster"]


def peer_cells(r: Row) -> list[str]:
    own, others = r["times"]["graphkit"], {k: t for k, t in r["times"].items() if k != "graphkit"}
    beside = [f"{name} {t['median']:.4f} s, {t['peak_mib']:.0f} MiB" for name, t in others.items() if "median" in t]
    name = r["graph"].replace("_", " ")
    return [name, r["what"], f"{own['median']:.4f}", f"{own['peak_mib']:.0f}", "; ".join(beside), ratios(r)]


def ran(rows: list[Row]) -> list[Row]:
    return [r for r in rows if "median" in r.get("times", {}).get("graphkit", {}) and "graph" in r]


def peers(rows: list[Row]) -> str:
    """A line for every case that graphkit ran, with the peers that ran beside it."""
    return table(PEER_HEADS, [peer_cells(r) for r in ran(rows)])


def orbits(rows: list[Row]) -> str:
    """The same, and what the memory is made of."""

    def cells(r: Row) -> list[str]:
        own = r["times"]["graphkit"]
        parts = " + ".join(f"{own[part]:.0f}" for part in ("base_mib", "result_mib") if part in own)
        whole, added = r.get("memory_ratio", {}), r.get("added_memory_ratio", {})
        return [*peer_cells(r), parts, "; ".join(f"{whole[k]:.1f}x / {added[k]:.1f}x {k}" for k in whole)]

    heads = [*PEER_HEADS, "of the peak: imports + result", "less memory, with / without imports"]
    return table(heads, [cells(r) for r in ran(rows)])


def pair_sweep(rows: list[Row]) -> str:
    heads = ["degree", "pairs", *(f"{what}, ns a pair" for what in rows[0]["times"])]
    return table(
        heads,
        [
            [
                str(r["degree"]),
                f"{r['pairs']:,}",
                *(f"{1e9 * t['median'] / r['pairs']:.0f}" for t in r["times"].values()),
            ]
            for r in rows
        ],
    )


def epochs(rows: list[Row]) -> str:
    heads = ["model", "implementation", "seconds an epoch", "least", "times graphkit's", "peak MiB"]
    return table(
        heads,
        [
            [
                r["model"],
                r["implementation"],
                f"{r['median']:.3f}",
                f"{r['min']:.3f}",
                f"{r['ratio']:.2f}",
                f"{r['peak_mib']:.0f}",
            ]
            for r in rows
        ],
    )


def ppa(rows: list[Row]) -> str:
    heads = ["what", "seconds", "peak GiB so far"]
    return table(heads, [[r["what"], f"{r['seconds']:.1f}", f"{r['peak_gib']:.2f}"] for r in rows])


def directed(rows: list[Row]) -> str:
    heads = ["what", "on", "seconds, peak MiB", "faster"]

    def measured(r: Row) -> str:
        if r["what"] == "amud":
            return f"orders 1 and 2 in {r['seconds']:.1f} s, {r['peak_mib']:,.0f} MiB"
        if r["what"] == "streaming":
            return (
                f"features into a file of {r['file_gib']:.1f} GiB in {r['precompute_seconds']:.0f} s, an epoch of 5 % of the nodes "
                f"{r['epoch_seconds']:.0f} s; {1024 * r['peak_gib']:,.0f} MiB, the whole process"
            )
        first = r.get("first_step_seconds", {})
        return "; ".join(
            f"{name} {t['median']:.4f} s, {t['peak_mib']:.0f} MiB"
            + (f" (first step {first[name]:.2f} s)" if name in first else "")
            for name, t in r["times"].items()
        )

    def cells(r: Row) -> list[str]:
        width = r.get("channels") or r.get("features")
        on = f"{r['nodes']:,} nodes, {r['edges']:,} edges" + (f", {width:,} channels" if width else "")
        named = f"{r['graph']}: " if "graph" in r else ""
        what = " ".join([r["what"], r.get("word", "")]).strip()
        return [what, named + on, measured(r), ratios({"ratio": r.get("ratio", {})})]

    return table(heads, [cells(r) for r in rows])


def scans(rows: list[Row]) -> str:
    heads = ["sequences x steps x channels x states", "pass", "seconds", "ns per state", "peak MiB", "faster than"]

    def cells(r: Row) -> list[str]:
        own = r["times"]["graphkit"]
        others = [f"{ratio:.1f}x {name} ({r['times'][name]['peak_mib']:.0f} MiB)" for name, ratio in r["ratio"].items()]
        return [
            r["graph"], r["what"], f"{own['median']:.4f}", f"{r['ns_per_state']:.3f}", f"{own['peak_mib']:.0f}", ", ".join(others),
        ]  # fmt: skip

    return table(heads, [cells(r) for r in rows])


# measurements by page: file in results/, heading, how its rows are shown
PAGES = {
    "nbfnet": {
        "relational": ("Operators against gather, `index_add` and `scatter_reduce`", relational),
        "nbfnet_step": ("One training step of six layers", steps),
        "nbfnet_steps": ("Training steps on the full graphs", steps),
        "relational_sweep": ("Growth of the cost", sweep),
        "distributed": ("Evaluation by several processes", distributed),
        "predict": ("Answering queries", predict),
    },
    "common-neighbors": {
        "common_neighbors": ("100,000 pairs", peers),
        "common_neighbors_sweep": ("Growth of the cost", pair_sweep),
    },
    "ncn": {
        "ncn_epoch": ("A training epoch on Cora", epochs),
        "ppa_scale": ("A graph of ogbl-ppa's size", ppa),
    },
    "topological-concentration": {"concentration": ("Topological concentration and its parts", peers)},
    "adpa": {"directed": ("Directed patterns, and an epoch of ADPA", directed)},
    "node-classification": {"node_step": ("A training step of the baselines", unit_tables.node_steps)},
    "kernels": {"dropout": ("Dropout", unit_tables.dropout)},
    "graph-mamba": {"selective_scan": ("Selective scan", scans)},
    "orbits": {"orbits": ("Orbit adjacencies and counts", orbits)},
    "walk-tokens": {"walks": ("Walks, induced edges and tokens", unit_tables.walks)},
    "influence": {"influence": ("Influence by hop", unit_tables.influence)},
    "city-networks": {"eccentricity": ("Eccentricity in balls of 16 hops", unit_tables.eccentricity)},
    "scale": {
        "processes": ("Training and orbit blocks by several processes", unit_tables.processes),
        "scale": ("Operators by the number of edges, and their work in parts", scale_tables.scale),
    },
    "gmope": {"gmope": ("Experts in one pass, and tuning with a cache", unit_tables.mixtures)},
}


def text(page: str) -> str:
    parts = []
    for name, (title, render) in PAGES[page].items():
        file = Path(__file__).parent / "results" / f"{name}.json"
        if not file.exists():
            parts.append(f"### {title}\n\nNot run.")
            continue
        found = json.loads(file.read_text())
        machine = found["machine"]
        threads, how = f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}", "all implementations in turn in one process"
        if name in ("distributed", "processes"):
            threads, how = "one thread a process", "one process and several in turn"
        elif name == "scale":
            how = "each operator and size in a process of its own"
        elif name == "orbits":
            how = "each implementation in a process of its own, whose imports the memory holds too"
        where = f"{machine['processor']}, {threads}, torch {machine['torch']}, {machine['date']}, commit {machine['commit']}"
        if "allocator" in machine:
            where += ", " + " ".join(f"`{name}={value}`" for name, value in machine["allocator"].items())
        parts.append(f"### {title}\n\n{where}; medians of the rounds, {how}.\n\n{render(found['rows'])}")
    return "\n\n".join([*parts, path_deletion()] if page == "nbfnet" else parts)


def written(name: str, page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"docs/{name}.md lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text(name)}\n{END}{after}"


if __name__ == "__main__":
    for name in PAGES:
        file = ROOT / "docs" / f"{name}.md"
        page = file.read_text("utf-8")
        new = written(name, page)
        if new != page and "--check" in sys.argv:
            sys.exit(f"docs/{name}.md is outdated; run {Path(__file__).name}")
        file.write_text(new, "utf-8")
