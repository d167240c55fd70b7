"""Query files and the forms of their answers."""

import csv
import io
import json

import pytest
import torch

from graphkit.data import KnowledgeGraphTask
from graphkit.engine.predictions import answers, answers_csv, answers_json, check_predicts, read_queries
from graphkit.errors import UserError
from graphkit.models import NBFNet

FACTS = [("ann", "knows", "bob"), ("bob", "knows", "cid"), ("cid", "likes", "dora")]


@pytest.fixture(scope="module")
def task():
    return KnowledgeGraphTask.from_names("people", FACTS, [("ann", "likes", "cid")], [("bob", "likes", "dora")])


@pytest.fixture(scope="module")
def model(task):
    torch.manual_seed(0)
    return NBFNet.for_task(task, hidden_channels=8, num_layers=2)


def test_lines_are_read_or_named(task):
    content = (
        "\ufeffann\tknows\t?\r\n\n?\tlikes\tdora\n?\tlikes\t?\nann\tlikes\tdora\n"
        "ann knows ?\nann\tknows\t?\tx\nanne\tknows\t?\nann\tknowz\t?\n  \nbob\tknows^-1\t?"
    ).encode()
    good, bad = read_queries(content, task)
    assert good == [(1, ("ann", "knows", None)), (3, (None, "likes", "dora")), (11, ("bob", "knows^-1", None))]
    assert [number for number, _ in bad] == [4, 5, 6, 7, 8, 9]
    texts = dict(bad)
    assert "found two '?'" in texts[4] and "found no '?'" in texts[5]
    assert "found 1 field" in texts[6] and "found 4 fields" in texts[7]
    assert "did you mean 'ann'" in texts[8] and "did you mean 'knows'" in texts[9]


def test_bytes_that_are_no_text_are_one_bad_line(task):
    good, bad = read_queries(b"ann\tknows\t?\n\xff\xfe\tknows\t?\nbob\tknows\t?\n", task)
    assert [number for number, _ in good] == [1, 3]
    assert bad[0][0] == 2 and "not UTF-8" in bad[0][1]


def test_thousands_of_wrong_names_cost_no_thousand_searches(task, monkeypatch):
    import graphkit.data.names

    calls = []
    real = graphkit.data.names.nearest
    monkeypatch.setattr(graphkit.data.names, "nearest", lambda *a: calls.append(1) or real(*a))
    _, bad = read_queries(b"".join(b"x%d\tknows\t?\n" % i for i in range(3000)), task)
    assert len(bad) == 3000 and len(calls) <= 20
    assert bad[-1] == (3000, "unknown entity 'x2999'")


def test_answers_in_all_forms(model, task):
    queries = [("ann", "knows", None), (None, "likes", "dora")]
    entries = answers(model, task, queries, 10, filtered=False)
    assert [entry["query"] for entry in entries] == [
        {"head": "ann", "relation": "knows", "tail": None},
        {"head": None, "relation": "likes", "tail": "dora"},
    ]
    for entry, query in zip(entries, model.answer_queries(task, queries, 10, False), strict=True):
        assert [(row["entity"], row["score"]) for row in entry["top"]] == query
    assert {row["entity"] for row in entries[0]["top"] if row["known"]} == {"bob"}
    assert {row["entity"] for row in entries[1]["top"] if row["known"]} == {"bob", "cid"}  # a test and a train fact
    assert not any(row["known"] for entry in answers(model, task, queries) for row in entry["top"])
    assert json.loads(answers_json(entries)) == entries
    rows = list(csv.DictReader(io.StringIO(answers_csv(entries))))
    assert len(rows) == 8
    assert [row["tail"] for row in rows[:4]] == [row["entity"] for row in entries[0]["top"]]
    assert all(row["head"] == "ann" and row["asked"] == "tail" for row in rows[:4])
    assert all(row["tail"] == "dora" and row["asked"] == "head" for row in rows[4:])
    assert [float(row["score"]) for row in rows[4:]] == [row["score"] for row in entries[1]["top"]]
    assert answers(model, task, []) == []


def test_what_predicts_nothing_is_refused(model, task):
    check_predicts(model, task)
    with pytest.raises(UserError, match="Linear on people predicts no entities"):
        check_predicts(torch.nn.Linear(1, 1), task)
