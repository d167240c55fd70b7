"""Tasks on a graph of one's own: splits that can be answered, that do not leak, and that can be made again."""

import random
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.data import EdgeTable, InductiveKnowledgeGraphTask, LeakError
from graphkit.data.triple_splits import hold_out
from graphkit.errors import DataWarning, UserError


def graph(entities=30, relations=4, edges=400, seed=0):
    """Rows of a random graph; relation r0 is symmetric, r1 the inverse of r2."""
    draw = random.Random(seed)
    rows = set()
    while len(rows) < edges:
        head, tail, relation = draw.randrange(entities), draw.randrange(entities), draw.randrange(relations)
        rows.add((f"e{head}", f"r{relation}", f"e{tail}"))
        if relation in (0, 1, 2):
            rows.add((f"e{tail}", f"r{(0, 2, 1)[relation]}", f"e{head}"))
    return sorted(rows)


def as_sets(task):
    return [set(map(tuple, task.triples(split).tolist())) for split in ("train", "valid", "test")]


def test_a_split_has_the_sizes_asked_for_and_answers_can_be_reached():
    table = EdgeTable.from_triples(graph(), name="toy")
    n = len(table.triples)
    task = table.knowledge_graph_task(seed=3, valid=0.15, test=0.2)
    train, valid, test = as_sets(task)
    assert (len(valid), len(test)) == (round(n * 0.15), round(n * 0.2)) and len(train | valid | test) == n
    assert {h for h, _, _ in train} | {t for _, _, t in train} == set(range(task.num_entities))
    assert {r for _, r, _ in train} == set(range(task.num_relations))
    assert task.name == "toy" and task.entities == table.entities
    assert not any("without an edge" in what for what, _, _ in task.leak_check().notes)


def test_mirrors_stay_on_one_side_and_what_remains_is_counted():
    table = EdgeTable.from_triples(graph())
    task = table.knowledge_graph_task()
    train, valid, test = as_sets(task)
    held = valid | test
    assert any((t, r, h) in held for h, r, t in held if h != t)
    assert not any((t, r, h) in train for h, r, t in held)
    notes = {what: count for what, count, _ in task.leak_check().notes}
    assert "test triples whose mirror (t, r, h) is a train fact" not in notes
    assert notes["test triples whose entities a train fact joins, from tail to head"] > 0
    assert task.provenance["leak_check"] == notes


def test_together_pair_leaves_no_train_fact_between_the_entities_of_a_held_out_one():
    rows = graph(entities=60)
    task = EdgeTable.from_triples(rows).knowledge_graph_task(together="pair")
    train, valid, test = as_sets(task)
    joined = {frozenset((h, t)) for h, _, t in train}
    assert not any(frozenset((h, t)) in joined for h, _, t in valid | test)
    assert len(test) == round(len(rows) * 0.1)
    assert not any("joins" in what or "mirror" in what for what, _, _ in task.leak_check().notes)


def test_a_split_depends_on_the_seed_and_not_on_the_order_of_the_rows():
    rows = graph()
    task = EdgeTable.from_triples(rows).knowledge_graph_task(seed=1)
    random.Random(5).shuffle(rows)
    assert as_sets(EdgeTable.from_triples(rows).knowledge_graph_task(seed=1)) == as_sets(task)
    assert as_sets(EdgeTable.from_triples(rows).knowledge_graph_task(seed=2)) != as_sets(task)


def test_where_few_triples_qualify_the_splits_are_smaller_and_it_is_said():
    star = [(f"leaf{i}", "to", "hub") for i in range(90)]
    ring = [(f"e{i}", "to", f"e{(i + k) % 5}") for i in range(5) for k in (1, 2)]
    with pytest.warns(
        DataWarning, match=r"toy: valid and test got \d and \d triples instead of 10 and 10: every other"
    ):
        task = EdgeTable.from_triples(star + ring, name="toy").knowledge_graph_task()
    made = task.provenance["split"]
    assert made["wanted"] == [10, 10] and made["held_out"] == [len(task.valid), len(task.test)]
    assert abs(len(task.valid) - len(task.test)) <= 1
    assert not any("leaf" in task.entities[int(h)] for h, _, _ in torch.cat([task.valid, task.test]))


def test_too_few_triples_for_a_split():
    star = [(f"leaf{i}", "to", "hub") for i in range(90)]
    with pytest.raises(
        UserError, match=r"star: valid and test: 90 triples are too few to hold out 10% and 10%: of 0 every"
    ):
        EdgeTable.from_triples(star, name="star").knowledge_graph_task()
    with pytest.raises(UserError, match="1 triples are too few"):
        EdgeTable.from_triples([("a", "r", "b")]).knowledge_graph_task()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid": 0}, "valid is 0, expected a share"),
        ({"test": 1.0}, "test is 1.0, expected a share"),
        ({"test": True}, "test is True, expected a share"),
        ({"valid": 0.5, "test": 0.5}, "leave nothing for train"),
        ({"together": "mirrors"}, "unknown value of together 'mirrors'; did you mean 'mirror'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UserError, match=message):
        EdgeTable.from_triples(graph()).knowledge_graph_task(**options)


def with_split(folder, *rows):
    path = folder / "x.tsv"
    path.write_text("head\trelation\ttail\tsplit\n" + "".join("\t".join(row) + "\n" for row in rows))
    return EdgeTable.read(path)


def test_a_ready_split_is_taken_as_it_is(tmp_path):
    rows = [("a", "r", "b", "train"), ("b", "r", "c", "valid"), ("c", "r", "d", "test")]
    task = with_split(tmp_path, *rows).knowledge_graph_task(seed=9, name="mine")
    assert [task.triples(s).tolist() for s in ("train", "valid", "test")] == [[[0, 0, 1]], [[1, 0, 2]], [[2, 0, 3]]]
    assert task.name == "mine" and task.provenance["split"] == {"kind": "as given with the edges"}
    assert task.provenance["leak_check"]["entities of test without an edge in its message graph"] == 2


def test_a_ready_split_that_leaks_or_lacks_a_part_is_refused(tmp_path):
    rows = [("a", "r", "b", "train"), ("b", "r", "c", "valid"), ("a", "r", "b", "test")]
    with pytest.raises(LeakError, match=r"triples of test are in train too: 1 cases, such as \(a, r, b\)"):
        with_split(tmp_path, *rows).knowledge_graph_task()
    with pytest.raises(UserError, match="x: the split that came with the edges has no test triples"):
        with_split(tmp_path, *rows[:2]).knowledge_graph_task()


def test_duplicates_count_within_a_split_only(tmp_path):
    rows = [("a", "r", "b", "train"), ("a", "r", "b", "train"), ("a", "r", "b", "test")]
    with pytest.warns(DataWarning, match="1 of 3 edges repeat"):
        table = with_split(tmp_path, *rows)
    assert table.splits.tolist() == [0, 2]


def test_provenance_says_how_the_task_came_about(tmp_path):
    path = tmp_path / "g.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in [*graph(), ("loop", "r3", "loop")]))
    task = EdgeTable.read(path).knowledge_graph_task(seed=4)
    assert task.provenance["files"][str(path)]["sha256"] and task.provenance["edges"]["self_loops"] >= 1
    made = task.provenance["split"]
    assert (made["kind"], made["seed"], made["valid"], made["together"]) == ("made", 4, 0.1, "mirror")


def test_features_are_not_used_and_it_is_said():
    nx = pytest.importorskip("networkx")
    ring = nx.circulant_graph(12, [1, 2, 3])
    nx.set_node_attributes(ring, 1.0, "x")
    with pytest.warns(DataWarning, match="its node features are not used"):
        EdgeTable.from_networkx(ring, features=["x"]).knowledge_graph_task()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2), st.integers(0, 7)), min_size=3, max_size=60, unique=True),
    st.sampled_from(["mirror", "pair"]),
    st.integers(0, 3),
)
def test_no_group_is_torn_and_nothing_loses_its_last_train_triple(rows, together, seed):
    triples = torch.tensor(sorted(rows))
    try:
        held = hold_out(triples, 8, 3, [0.2, 0.2], seed=seed, together=together)
    except UserError as error:
        assert "too few" in str(error)
        return
    assert sum(held.counts) <= sum(held.wanted)
    train = triples[held.part == 0]
    assert set(triples[:, [0, 2]].flatten().tolist()) == set(train[:, [0, 2]].flatten().tolist())
    assert set(triples[:, 1].tolist()) == set(train[:, 1].tolist())
    sides: dict = {}
    for (head, relation, tail), side in zip(triples.tolist(), held.part.tolist(), strict=True):
        key = (frozenset((head, tail)), relation if together == "mirror" else None)
        assert sides.setdefault(key, side) == side


def towns(groups=6, size=12, seed=0):
    """Dense groups with few triples between them."""
    draw = random.Random(seed)
    rows = set()
    for group in range(groups):
        for i in range(size):
            for _ in range(4):
                rows.add((f"g{group}n{i}", f"r{draw.randrange(3)}", f"g{group}n{draw.randrange(size)}"))
        rows.add((f"g{group}n0", "r0", f"g{(group + 1) % groups}n0"))
    return sorted(rows)


def in_names(task, triples, split):
    entities = task.entities_of(split)
    return {(entities[h], task.relations[r], entities[t]) for h, r, t in triples.tolist()}


def test_inductive_parts_the_entities_and_accounts_for_every_triple():
    rows = [*towns(), ("g0n0", "only here", "g0n1"), ("g3n0", "only there", "g3n1")]
    task = EdgeTable.from_triples(rows, name="towns").knowledge_graph_task(inductive=True, seed=1, valid=0.1, test=0.2)
    assert isinstance(task, InductiveKnowledgeGraphTask) and task.shared_entities() == []
    assert not set(task.entities) & set(task.test_entities)
    made = task.provenance["split"]
    seen = in_names(task, torch.cat([task.train, task.valid]), "train")
    unseen = in_names(task, torch.cat([task.test_facts, task.test]), "test")
    assert seen | unseen < set(rows) and not seen & unseen
    dropped = made["dropped_between_the_graphs"] + made["dropped_relation_not_in_training"]
    assert len(seen) + len(unseen) + dropped == len(rows)
    assert made["held_out"] == [len(task.valid), len(task.test)] == made["wanted"]
    assert set(task.test_facts[:, 1].tolist()) | set(task.test[:, 1].tolist()) <= set(task.train[:, 1].tolist())
    notes = [what for what, _, _ in task.leak_check().notes]
    assert not any("without an edge" in what or "mirror" in what for what in notes)


def test_the_test_graph_hangs_together():
    table = EdgeTable.from_triples(towns())
    made = table.knowledge_graph_task(inductive=True, test_entities=0.34).provenance["split"]
    assert made["dropped_between_the_graphs"] < 0.1 * len(table.triples)  # at random it would be about 45 %


def test_a_ready_inductive_split(tmp_path):
    texts = {"train": "a\tr\tb\nb\tr\tc\n", "valid": "a\tr\tc\n", "test_facts": "x\tr\ty\n", "test": "y\tr\tx\n"}
    for part, text in texts.items():
        (tmp_path / f"{part}.txt").write_text(text)
    files = {part: tmp_path / f"{part}.txt" for part in texts}
    table = EdgeTable.read(files)
    task = table.knowledge_graph_task(inductive=True)
    assert task.entities == ["a", "b", "c"] and task.test_entities == ["x", "y"]
    assert task.test_facts.tolist() == [[0, 0, 1]] and task.test.tolist() == [[1, 0, 0]]
    with pytest.raises(UserError, match=r"has test_facts, .* pass inductive=True"):
        table.knowledge_graph_task()
    del files["test_facts"]
    with pytest.raises(UserError, match="has no test_facts triples: the known facts of the test graph"):
        EdgeTable.read(files).knowledge_graph_task(inductive=True)
    (tmp_path / "test_facts.txt").write_text("x\tr\ty\na\tr\tx\n")
    with pytest.warns(DataWarning, match="1 entities of the test graph, such as 'a', are in the training graph too"):
        EdgeTable.read({**files, "test_facts": tmp_path / "test_facts.txt"}).knowledge_graph_task(inductive=True)


def test_too_few_triples_for_two_graphs():
    with pytest.raises(UserError, match=r"test, of the test graph: .* too few"):
        EdgeTable.from_triples(towns(2, 5)).knowledge_graph_task(inductive=True, test_entities=0.2)
    with pytest.raises(UserError, match="test_entities is 1, expected a share"):
        EdgeTable.from_triples(towns()).knowledge_graph_task(inductive=True, test_entities=1)


def test_link_task_counts_an_edge_once_and_takes_features(tmp_path):
    nx = pytest.importorskip("networkx")
    ring = nx.circulant_graph(20, [1, 2])
    nx.set_node_attributes(ring, {node: float(node) for node in ring}, "x")
    task = EdgeTable.from_networkx(ring, features=["x"], name="ring").link_task(seed=3, split="50/25/25")
    assert task.statistics() == {"nodes": 20, "edges": 40, "features": 1, "train": 20, "valid": 10, "test": 10}
    assert [task.x[task.node_id(str(node))].item() for node in ring] == list(map(float, ring))
    assert task.provenance["split"]["seed"] == 3 and task.provenance["edges"]["self_loops"] == 0


def test_link_task_from_a_ready_split(tmp_path):
    rows = [("a", "r", "b", "train"), ("b", "s", "a", "train"), ("b", "r", "c", "valid"), ("c", "r", "d", "test")]
    table = with_split(tmp_path, *rows)
    with pytest.warns(DataWarning, match="its 2 relations count as one"):
        task = table.link_task()
    assert [task.edges(split).t().tolist() for split in ("train", "valid", "test")] == [[[0, 1]], [[1, 2]], [[2, 3]]]
    leaking = with_split(tmp_path, *rows, ("d", "r", "b", "train"), ("b", "r", "d", "test"))
    with pytest.warns(DataWarning), pytest.raises(LeakError, match="edges of test are in train too"):
        leaking.link_task()


def test_the_page_on_own_data_runs_and_prints_what_it_says(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).resolve().parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(.*?)```\s+prints\s+```\n(.*?)```", page, re.DOTALL).groups()
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out.startswith(f"{shown}leak check of people: passed\n")
