"""Node labels from embeddings of every orbit adjacency, of random walks, and of combinations: which help, which do not?

    python experiments/orbits/label_prediction.py [--data ppi wikipedia blogcatalog cora] [--matrices 2:9:10 deepwalk ...]
           [--folds 10] [--dims 128] [--shift 1] [--report]

For every data set and matrix: shifted positive PMI, truncated SVD to 128 dimensions, one-vs-rest logistic regression, 10
folds, micro and macro F1. An orbit adjacency that is not symmetric and its transpose share one factorisation: the
left vectors are those of (h, i, j), the right ones those of (h, j, i).

Matrices: the 28 orbit adjacencies (1:0:0 is the adjacency matrix); deepwalk-3 and deepwalk-10, what DeepWalk factorises for
a window of 3 and of 10; combinations of embeddings to the same 128 dimensions: all, visible and hidden (all orbit
adjacencies, those that walks of up to three steps see, the others), deepwalk+hidden, and deepwalk+visible to compare it
with. Combinations come after what they are made of.

What is done already is not done again: results are lines of experiments/results/orbits/DATA.jsonl, embeddings lie in
--work (runs/orbits). --report alone writes the table and the pictures from the results that are there. Data sets are
taken from GRAPHKIT_DATA: seal/{PPI_subgraph,Wikipedia,BlogCatalog}.mat and planetoid/Cora.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from graphkit import ops  # noqa: E402
from graphkit.analysis.label_prediction import predict_labels  # noqa: E402
from graphkit.analysis.pair_embedding import combine_embeddings, embed, orbit_pmi, walk_pmi  # noqa: E402
from graphkit.analysis.walk_visibility import VISIBLE_KEYS  # noqa: E402
from graphkit.data.orbit_files import key_text, parse_keys  # noqa: E402
from graphkit.engine.environment import git_commit  # noqa: E402
from graphkit.errors import UserError, nearest  # noqa: E402
from graphkit.files import atomic_write  # noqa: E402

RESULTS = ROOT / "experiments" / "results" / "orbits"
KEYS = [key_text(key) for key in ops.ORBIT_KEYS]
VISIBLE = {key_text(key) for key in VISIBLE_KEYS}
WINDOWS = {"deepwalk-3": 3, "deepwalk-10": 10}
COMBINED = {
    "all": KEYS,
    "visible": [key for key in KEYS if key in VISIBLE],
    "hidden": [key for key in KEYS if key not in VISIBLE],
    "deepwalk+visible": ["deepwalk-10", *(key for key in KEYS if key in VISIBLE)],
    "deepwalk+hidden": ["deepwalk-10", *(key for key in KEYS if key not in VISIBLE)],
}
MATRICES = [*KEYS, *WINDOWS, *COMBINED]
TITLES = {"ppi": "PPI", "wikipedia": "Wikipedia", "blogcatalog": "BlogCatalog", "cora": "Cora"}


# ---------------------------------------------------------------- data


def data_root() -> Path:
    root = Path(os.environ.get("GRAPHKIT_DATA", ""))
    if not os.environ.get("GRAPHKIT_DATA") or not root.is_dir():
        raise UserError("GRAPHKIT_DATA names no folder; set it to the one that holds seal/ and planetoid/")
    return root


def read(name: str) -> tuple[ops.SimpleGraph, np.ndarray]:
    """The graph and its labels, bool [N, L]."""
    if name == "cora":
        from graphkit.datasets.planetoid import read_planetoid

        folder = data_root() / "planetoid" / "Cora" / "raw"
        found = read_planetoid({path.name: path for path in folder.iterdir()})
        return ops.SimpleGraph(found.edges, num_nodes=found.num_nodes), np.eye(7, dtype=bool)[found.y.numpy()]
    import scipy.io
    import scipy.sparse

    file = {"ppi": "PPI_subgraph.mat", "wikipedia": "Wikipedia.mat", "blogcatalog": "BlogCatalog.mat"}[name]
    path = data_root() / "seal" / file
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    content = scipy.io.loadmat(str(path), variable_names=["net", "group"])
    group = content["group"]
    return ops.from_scipy(content["net"]), (group.toarray() if scipy.sparse.issparse(group) else group) > 0


# ---------------------------------------------------------------- embeddings


class Embeddings:
    """The embeddings of one data set, kept in a folder; each is made when it is first asked for."""

    def __init__(self, graph: ops.SimpleGraph, folder: Path, dims: int, shift: float, memory: int) -> None:
        self.graph, self.folder, self.dims, self.shift, self.memory = graph, folder, dims, shift, memory

    def get(self, matrix: str) -> tuple[np.ndarray, dict[str, Any]]:
        """The vectors [N, d], and how they came about."""
        path = self.folder / f"{matrix.replace(':', '_')}-d{self.dims}-k{self.shift:g}.npz"
        if not path.exists():
            for name, vectors, facts in self._make(matrix):
                other = self.folder / f"{name.replace(':', '_')}-d{self.dims}-k{self.shift:g}.npz"
                with atomic_write(other) as file:
                    np.savez(file, vectors=vectors, facts=np.array(json.dumps(facts)))
        with np.load(path, allow_pickle=False) as data:
            return data["vectors"], json.loads(str(data["facts"]))

    def _make(self, matrix: str) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        begin = time.perf_counter()
        if matrix in COMBINED:
            parts = [self.get(part)[0] for part in COMBINED[matrix]]
            yield matrix, combine_embeddings(parts, self.dims), {"seconds": time.perf_counter() - begin}
            return
        if matrix in WINDOWS:
            operator = walk_pmi(self.graph, window=WINDOWS[matrix], shift=self.shift, memory=self.memory)
        else:
            key = parse_keys(matrix)[0]
            operator = orbit_pmi(self.graph, key, shift=self.shift, memory=self.memory)
        found = embed(operator, self.dims)
        facts = {"entries": operator.entries, "streamed": not operator.kept, "seconds": time.perf_counter() - begin}
        yield matrix, found.row, facts
        if matrix not in WINDOWS and key[1] != key[2]:
            yield key_text((key[0], key[2], key[1])), found.column, facts


# ---------------------------------------------------------------- results


def identity(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("matrix", "dims", "shift", "folds", "seed"))


def commit() -> str | None:
    """The commit that is measured; results that are written meanwhile do not make it another one."""
    found = git_commit()
    if found is None or not found.endswith("-dirty"):
        return found
    command = [
        "git",
        "-C",
        str(ROOT),
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":(exclude)experiments/results",
    ]
    changed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return found if changed else found.removesuffix("-dirty")


def read_results(name: str) -> list[dict[str, Any]]:
    path = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def add_result(name: str, record: dict[str, Any]) -> None:
    """The file as it was with one more line, whole at any moment."""
    records = [*read_results(name), record]
    with atomic_write(RESULTS / f"{name}.jsonl") as file:
        file.write("".join(json.dumps(one) + "\n" for one in records).encode())


def run(name: str, arguments: argparse.Namespace) -> None:
    done = {identity(record) for record in read_results(name)}
    common = {"dims": arguments.dims, "shift": arguments.shift, "folds": arguments.folds, "seed": arguments.seed}
    wanted = [matrix for matrix in arguments.matrices if identity({"matrix": matrix, **common}) not in done]
    if not wanted:
        return
    graph, labels = read(name)
    embeddings = Embeddings(graph, arguments.work / name, arguments.dims, arguments.shift, arguments.memory)
    for matrix in wanted:
        vectors, facts = embeddings.get(matrix)
        begin = time.perf_counter()
        scores = predict_labels(vectors, labels, folds=arguments.folds, seed=arguments.seed)
        record = {
            "data": name, "nodes": graph.num_nodes, "edges": graph.num_edges, "labels": labels.shape[1], "matrix": matrix,
            **common, "micro_f1": scores.mean("micro"), "micro_se": scores.standard_error("micro"),
            "macro_f1": scores.mean("macro"), "macro_se": scores.standard_error("macro"), "micro": scores.micro,
            "macro": scores.macro, "c": scores.c, **{f"embedding_{key}": value for key, value in facts.items()},
            "seconds": time.perf_counter() - begin, "commit": commit(),
        }  # fmt: skip
        add_result(name, record)
        print(
            f"{name:<12}{matrix:<18}micro {100 * record['micro_f1']:.2f} ± {100 * record['micro_se']:.2f}  "
            f"macro {100 * record['macro_f1']:.2f} ± {100 * record['macro_se']:.2f}  "
            f"({facts['seconds']:.1f} s to embed, {record['seconds']:.1f} s to predict)",
            flush=True,
        )


# ---------------------------------------------------------------- report


def difference(one: dict[str, Any], other: dict[str, Any], average: str) -> str:
    """Mean difference over the folds, which are the same nodes, and its standard error."""
    values = 100 * (np.array(one[average]) - np.array(other[average]))
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{values.mean():+.2f} ± {error:.2f}"


def report(arguments: argparse.Namespace) -> None:
    """Table and pictures from the results of the data sets; figures are F1 in per cent, mean and standard error of folds."""
    from graphkit.analysis.orbit_plots import plot_key_scores, plot_orbit_profile
    from graphkit.analysis.orbit_profile import orbit_profile

    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in TITLES:
        same = [r for r in read_results(name) if (r["dims"], r["shift"]) == (arguments.dims, arguments.shift)]
        if same:
            found[name] = {record["matrix"]: record for record in same}
    if not found:
        raise UserError(
            f"{RESULTS} holds no results with dims={arguments.dims} and shift={arguments.shift:g}; run it first"
        )
    lines = ["<!-- written by experiments/orbits/label_prediction.py; changes made by hand are lost -->", ""]
    lines += ["# Node labels from orbit adjacencies", ""]
    first = next(iter(next(iter(found.values())).values()))
    lines += [
        f"Micro and macro F1 in per cent, mean ± standard error of {first['folds']} folds; {arguments.dims} dimensions of shifted"
        f" positive PMI (k = {arguments.shift:g}); one-vs-rest logistic regression, the number of labels of a node known, the"
        " penalty chosen within the training nodes. *seen*: walks of up to three steps see the orbit adjacency.",
        "",
    ]
    for name, records in found.items():
        some = next(iter(records.values()))
        title = f"{some['nodes']:,} nodes, {some['edges']:,} edges, {some['labels']} labels"
        lines += [f"## {TITLES[name]}: {title}", "", *verdict(records), ""]
        lines += ["| matrix | seen | micro F1 | macro F1 | micro, less DeepWalk's |", "|---|---|---:|---:|---:|"]
        base = records.get("deepwalk-10")
        for matrix in sorted(records, key=lambda one: -records[one]["micro_f1"]):
            record = records[matrix]
            seen = "" if matrix not in KEYS else "yes" if matrix in VISIBLE else "no"
            shown = matrix + (" (adjacency)" if matrix == "1:0:0" else "")
            beside = difference(record, base, "micro") if base and base is not record else ""
            lines.append(
                f"| {shown} | {seen} | {100 * record['micro_f1']:.2f} ± {100 * record['micro_se']:.2f}"
                f" | {100 * record['macro_f1']:.2f} ± {100 * record['macro_se']:.2f} | {beside} |"
            )
        scores = {parse_keys(one)[0]: 100 * record["micro_f1"] for one, record in records.items() if one in KEYS}
        if scores:
            reference = None if base is None else 100 * base["micro_f1"]
            label = "micro F1, per cent" if base is None else "micro F1 less that of DeepWalk, per cent"
            figure = plot_key_scores(scores, title=TITLES[name], label=label, reference=reference)
            save(figure, RESULTS / f"{name}-scores.png")
            lines += ["", f"![Micro F1 of each orbit adjacency]({name}-scores.png)"]
        try:
            graph, labels = read(name)
        except (UserError, OSError):
            graph = None
        if graph is not None:
            counts = ops.orbit_counts(graph, num_nodes=graph.num_nodes)
            save(plot_orbit_profile(orbit_profile(counts, labels), title=TITLES[name]), RESULTS / f"{name}-profile.png")
        if (RESULTS / f"{name}-profile.png").exists():
            lines += ["", f"![Orbits of each class]({name}-profile.png)"]
        lines.append("")
    with atomic_write(RESULTS / "README.md") as file:
        file.write(("\n".join(lines).rstrip() + "\n").encode())
    print(f"wrote {RESULTS / 'README.md'}")


def verdict(records: dict[str, dict[str, Any]]) -> list[str]:
    """What the results say about the claim that orbit adjacencies which walks do not see help."""
    best: Callable[[list[str]], str | None] = lambda some: max(  # noqa: E731
        (one for one in some if one in records), key=lambda one: records[one]["micro_f1"], default=None
    )
    seen, hidden = best(COMBINED["visible"]), best(COMBINED["hidden"])
    lines = []
    if seen and hidden:
        lines.append(
            f"* The best of those that walks do not see is {hidden}, of those they see {seen}: micro F1"
            f" {difference(records[hidden], records[seen], 'micro')} (both picked after the scores were seen)."
        )
    for one, other, text in (
        ("hidden", "visible", "All that walks do not see, against all they see"),
        ("all", "visible", "All 28 against those that walks see"),
        ("deepwalk+hidden", "deepwalk-10", "DeepWalk with what it does not see, against DeepWalk alone"),
        (
            "deepwalk+hidden",
            "deepwalk+visible",
            "DeepWalk with what it does not see, against DeepWalk with what it sees",
        ),
        ("all", "1:0:0", "All 28 against the adjacency matrix"),
    ):
        if one in records and other in records:
            micro, macro = (difference(records[one], records[other], average) for average in ("micro", "macro"))
            lines.append(f"* {text}: micro {micro}, macro {macro}.")
    return lines


def save(figure: Any, path: Path) -> None:
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(TITLES), metavar="NAME")
    parser.add_argument("--matrices", nargs="+", default=MATRICES, metavar="MATRIX")
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--shift", type=float, default=1.0)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--memory", type=float, default=2.0, help="GiB that the entries of a matrix may take to be kept"
    )
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "orbits")
    parser.add_argument("--report", action="store_true", help="only write the table and the pictures")
    arguments = parser.parse_args(words)
    arguments.memory = int(arguments.memory * 2**30)
    try:
        for given, known, what in ((arguments.data, TITLES, "data set"), (arguments.matrices, MATRICES, "matrix")):
            for word in given:
                if word not in known:
                    raise UserError(nearest(word, known, what))
        if not arguments.report:
            for name in arguments.data:
                run(name, arguments)
        report(arguments)
    except UserError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
