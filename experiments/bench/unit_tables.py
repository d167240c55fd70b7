"""Measured tables whose figures are for one step, one token or one node: implementations need not do equally many."""

from __future__ import annotations

from table_text import Row, beside, faster, figure, ratios, table

HEADS = ["what", "on", "time, peak memory", "faster than"]


def walks(rows: list[Row]) -> str:
    """Of bench_walks.py: nanoseconds a step, microseconds a token, tokens a second."""

    def cells(r: Row) -> list[str]:
        on = f"{r['nodes']:,} nodes, {r['entries']:,} entries"
        if r["what"] == "walks":
            what = f"{r['walks']} walks of {r['length']} steps from each node"
            return [what, on, beside(r["times"], r["ns_per_step"], "ns a step"), ratios(r)]
        if r["what"] == "induced edges":
            what = f"edges inside {r['tokens']:,} tokens of {r['nodes_per_token']:.0f} nodes"
            return [what, on, beside(r["times"], r["us_per_token"], "µs a token"), ratios(r)]
        alone, with_edges = r["times"].values()
        shown = (
            f"{figure(r['ns_per_step'])} ns a step, {r['tokens_per_second']:,.0f} tokens a second, {alone['peak_mib']:.0f} MiB; "
            f"with edges, in batches: {r['tokens_per_second_with_edges']:,.0f} tokens a second, {with_edges['peak_mib']:.0f} MiB"
        )
        return [f"tokens, m = {r['m']}, M = {r['walks']}, s = {r['repeats']}", on, shown, ""]

    return table(HEADS, [cells(r) for r in rows])


def influence(rows: list[Row]) -> str:
    """Of bench_influence.py: milliseconds a node asked for."""

    def cells(r: Row) -> list[str]:
        on = f"{r['nodes']:,} nodes"
        if r["what"] == "size":
            return [
                "GCN, influence",
                f"grid, {on}",
                beside(r["times"], {"graphkit": r["ms_per_node"]}, "ms a node"),
                "",
            ]
        if "ms_per_node" in r:
            rest = {name: value for name, value in r["ms_per_node"].items() if name != "graphkit"}
            shown = beside(r["times"], r["ms_per_node"], "ms a node")
            what = f"{r['model']}, up to {r['hops']} hops"
            return [what, f"{r['what']}, {on}", shown, faster(r["ms_per_node"]["graphkit"], rest)]
        asked = {name: r.get(f"{name}_asked", r["asked"]) for name in r["times"]}
        per_seed = {name: time["median"] / asked[name] * 1e3 for name, time in r["times"].items()}
        once = per_seed.pop("sorting the edges", None)
        shown = beside({name: r["times"][name] for name in per_seed}, per_seed, "ms a seed")
        if once is not None:
            shown += f"; sorting the edges once {figure(r['times']['sorting the edges']['median'])} s"
        own = per_seed.pop("graphkit")
        what = f"{r['what']}, {r['hops']} hops" if "hops" in r else r["what"]
        return [what, f"grid, {on}", shown, faster(own, per_seed)]

    return table(HEADS, [cells(r) for r in rows])


def eccentricity(rows: list[Row]) -> str:
    """Of bench_eccentricity.py: microseconds a node."""

    def cells(r: Row) -> list[str]:
        per_node = r["microseconds_per_node"]
        others = {name: value for name, value in per_node.items() if name != "graphkit"}
        return [
            f"balls of {r['ball_mean']:.0f} nodes, at most {r['ball_max']:,}",
            f"{r['graph']}, {r['nodes']:,} nodes, {r['edges']:,} edges",
            beside(r["times"], per_node, "µs a node"),
            faster(per_node["graphkit"], others),
        ]

    return table(HEADS, [cells(r) for r in rows])


def mixtures(rows: list[Row]) -> str:
    """Of bench_gmope.py: seconds a step."""

    def cells(r: Row) -> list[str]:
        on = f"random edges as many as {r['graph']} has: {r['nodes']:,} nodes, {r['edges']:,} edges"
        return [r["what"], on, beside(r["times"]), ratios(r)]

    return table(HEADS, [cells(r) for r in rows])


def dropout(rows: list[Row]) -> str:
    """Of bench_dropout.py: seconds a call."""
    return table(HEADS, [[r["what"], f"{r['shape'][0]:,} x {r['shape'][1]}", beside(r["times"]), ratios(r)] for r in rows])


def node_steps(rows: list[Row]) -> str:
    """Of bench_node_step.py: seconds a step."""

    def cells(r: Row) -> list[str]:
        on = f"{r['graph']}: {r['nodes']:,} nodes, {r['edges']:,} edges, {r['features']:,} features, {r['filled']:.0%} not 0"
        return [r["what"], on, beside(r["times"]), ratios(r)]

    return table(HEADS, [cells(r) for r in rows])


def processes(rows: list[Row]) -> str:
    """Of bench_processes.py: seconds a step or a block, alone and together."""
    heads = ["what", "on", "joint batch", "alone, s", "processes", "together, s", "faster", "losses apart by: first step; any"]

    def cells(r: Row) -> list[str]:
        alone, together = (figure(time["median"] / r["units"]) for time in r["times"].values())
        trains = r["what"] == "training"
        on = r["case"] if trains else f"power law, {r['nodes']:,} nodes, {r['edges']:,} edges"
        what = "a training step" if trains else f"a block of orbit adjacencies, of {r['units']}"
        apart = r.get("loss_difference")
        shown = ("dropout" if apart is None else "; ".join(f"{one:.1e}" for one in apart)) if trains else ""
        batch = str(r["batch"]) if trains else ""
        return [what, on, batch, alone, str(r["processes"]), together, f"{r['ratio']:.2f}x", shown]

    return table(heads, [cells(r) for r in rows])
