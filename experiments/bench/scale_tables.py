"""Tables of bench_scale.py: cost by size, what it comes to for 10^9 edges, and what divides into parts."""

from __future__ import annotations

import math

from table_text import Row, figure, table

# how the cases of scale_cases.py and the checks of scale_shards.py are called
TITLES = {
    "csr": "`CSRGraph`, all sorted forms",
    "simple": "`SimpleGraph`",
    "relational": "`relational_spmm`",
    "neighbors": "`common_neighbors`",
    "cn_pool": "`cn_pool`",
    "directed": "pattern A Aᵀ",
    "orbits": "`orbit_counts`",
    "concentration": "`approximate_concentration`, 64 columns",
    "scan": "`selective_scan`",
    "walks": "`sample_walks`, 4 walks of 8 steps",
    "tokens": "`walk_tokens`, m = 4, M = 4, s = 2",
    "eccentricity": "`khop_eccentricity`, 16 hops",
    "balls": "`hop_balls`, 16 hops",
    "queries": "queries of a layer of NBFNet",
    "pairs": "pairs of `cn_pool`",
    "orbit_rows": "rows of orbit adjacencies",
    "starts": "start nodes of walks",
    "sequences": "sequences of `selective_scan`",
    "layer": "nodes of a layer, 1 hop of ghosts",
    "orbit_count": "nodes of `orbit_counts`, 3 hops of ghosts",
    "ball": "nodes of `khop_eccentricity`, as many hops of ghosts",
}


def scale(rows: list[Row]) -> str:
    kinds = {kind: [row for row in rows if row["what"] == kind] for kind in ("cost", "shards", "ghosts")}
    parts = []
    if kinds["cost"]:
        parts += [_costs(kinds["cost"]), _extrapolated(kinds["cost"])]
    if kinds["shards"]:
        parts.append(_shards(kinds["shards"]))
    if kinds["ghosts"]:
        parts.append(_ghosts(kinds["ghosts"]))
    return "\n\n".join(parts)


def _costs(rows: list[Row]) -> str:
    """Every size that was measured, side by side."""
    sizes = sorted({row["edges"] for row in rows})
    heads = ["operator", "unit", *(f"{edges:,} edges" for edges in sizes)]
    lines = []
    for case in dict.fromkeys(row["case"] for row in rows):
        own = {row["edges"]: row for row in rows if row["case"] == case}
        unit = next((row["unit"] for row in own.values() if "unit" in row), "")
        lines.append([TITLES.get(case, case), unit, *(_cell(own.get(edges)) for edges in sizes)])
    return "Nanoseconds a unit, peak MiB of the call, MiB of its input:\n\n" + table(heads, lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    if "stopped" in row:
        return row["stopped"]
    return f"{figure(row['ns_per_unit'])} ns, {row['peak_mib']:.0f}, {row['input_mib']:.0f}"


def _extrapolated(rows: list[Row]) -> str:
    """Hours and memory at 10^9 edges, if a unit costs what it costs at the largest measured size."""
    heads = ["operator", "from", "growth of the time", "work for 10⁹ edges", "hours on these threads", "GiB"]
    lines = []
    for case in dict.fromkeys(row["case"] for row in rows):
        own = sorted((row for row in rows if row["case"] == case and "unit" in row), key=lambda row: row["edges"])
        if not own:
            continue
        last = own[-1]
        growth = ""
        if len(own) > 1:  # of the time a unit: 0 where it does not grow
            before = own[-2]
            step = math.log(last["edges"] / before["edges"])
            growth = f"a unit: E^{math.log(last['ns_per_unit'] / before['ns_per_unit']) / step:.2f}"
        units = last["units_of_1e9"]
        memory = _memory(last) * 1e9 / last["edges"]
        if len(own) > 1:  # what Python itself holds does not grow
            memory = (_memory(last) - _memory(own[-2])) * 1e9 / (last["edges"] - own[-2]["edges"])
        lines.append(
            [
                TITLES.get(case, case), f"{last['edges']:,} edges", growth, f"{units:.1e} {last['unit']}",
                figure(units * last["ns_per_unit"] / 3.6e12), f"{max(memory, 0) / 1024:,.0f}",
            ]
        )  # fmt: skip
    words = (
        "What a unit costs at the largest measured size, times the units of 10⁹ edges, and memory as it grew between the two "
        "largest. Not measured; the growth says how far to trust it:"
    )
    return f"{words}\n\n{table(heads, lines)}"


def _memory(row: Row) -> float:
    """What grows with the graph: the input, and the call where it does all of the graph's work."""
    return row["input_mib"] + (0 if row["sampled"] else row["peak_mib"])


def _shards(rows: list[Row]) -> str:
    heads = ["divided", "parts", "equal bits", "largest difference", "ghosts for each node of its own"]

    def cells(r: Row) -> list[str]:
        ghosts = "" if r["ghosts"] is None else f"{r['ghosts']:.2f}"
        return [
            TITLES.get(r["check"], r["check"]),
            str(r["parts"]),
            "yes" if r["equal"] else "no",
            f"{r['largest_difference']:.1e}",
            ghosts,
        ]

    return "Work in parts against the whole, simulated on 3,000 edges:\n\n" + table(heads, [cells(r) for r in rows])


def _ghosts(rows: list[Row]) -> str:
    heads = ["graph", "edges", "parts", "ghosts of 1 hop", "of 3 hops"]
    found = {(r["graph"], r["edges"], r["parts"], r["hops"]): r["per_node"] for r in rows}
    lines = [
        [graph, f"{edges:,}", str(parts), figure(found[graph, edges, parts, 1]), figure(found[graph, edges, parts, 3])]
        for graph, edges, parts in dict.fromkeys(key[:3] for key in found)
    ]
    return "Ghosts for each node of a part's own:\n\n" + table(heads, lines)
