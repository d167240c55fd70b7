"""Protocols of link prediction: sizes, who is told from whom, what is drawn anew."""

import os

import pytest
import torch
from link_samples import TableScorer, random_edges

import graphkit as gk
from graphkit.data import PROTOCOLS, LinkTask, undirected_edges
from graphkit.data.link_protocols import apply_protocol
from graphkit.data.non_edges import pair_numbers
from graphkit.errors import UserError


def keys(pairs):
    return set(pair_numbers(pairs.flatten(1)).tolist())


def edges_like(count, nodes, seed=0):
    return undirected_edges(random_edges(nodes, count, seed))


def task_of(protocol, nodes=80, edges=700, **options):
    options = {"metrics": ("mrr", "hits@20"), **options}
    return LinkTask.from_edges("toy", random_edges(nodes, edges), nodes, protocol=protocol, **options)


@pytest.mark.parametrize(
    ("edges", "sizes"),
    [(5278, (3696, 527, 1055, 1055, 1055)), (4552, (3187, 455, 910, 910, 910))],
)
def test_ncn_sizes_of_cora_and_citeseer(edges, sizes):
    parts = apply_protocol("ncn", edges_like(edges, 300), 300)
    names = ("train", "valid", "test", "valid_negatives", "test_negatives")
    assert tuple(parts[name].size(1) for name in names) == sizes


@pytest.mark.data
@pytest.mark.parametrize(("name", "sizes"), [("cora", (3696, 527, 1055)), ("citeseer", (3187, 455, 910))])
def test_ncn_on_the_real_data(name, sizes, tmp_path, monkeypatch):
    from graphkit.datasets import where

    if not os.environ.get("GRAPHKIT_DATA") or any(place.path is None for place in where(name)):
        pytest.skip(f"{name} is not in GRAPHKIT_DATA")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path))
    task = gk.load(name, task="link", protocol="ncn", split_seed=3)
    assert tuple(task.edges(split).size(1) for split in ("train", "valid", "test")) == sizes
    assert task.negatives("valid").size(1) == task.negatives("test").size(1) == sizes[2]
    assert task.primary_metric == "hits@100" and task.provenance["protocol"]["name"] == "ncn"
    assert task.leak_check() and task.provenance["split"]["shares"] == "70/10/20"
    assert task.fingerprint() != gk.load(name, task="link", protocol="ncn", split_seed=4).fingerprint()


@pytest.mark.parametrize("protocol", ["ncn", "pooled"])
def test_fixed_negatives_avoid_every_edge_of_the_graph_and_each_other(protocol):
    task = task_of(protocol)
    every = keys(random_edges(80, 700))
    assert keys(task.train) | keys(task.valid) | keys(task.test) == every and task.statistics()["edges"] == 700
    negatives = [keys(task.negatives(split)) for split in ("valid", "test")]
    assert not negatives[0] & every and not negatives[1] & every and not negatives[0] & negatives[1]
    counts = [140, 140] if protocol == "ncn" else [35, 70]
    assert list(map(len, negatives)) == counts == [task.negatives(split).size(1) for split in ("valid", "test")]
    notes = [what for what, _, _ in task.leak_check().notes]
    assert "validation negatives that are test edges" not in notes


def test_ncn_gives_back_a_half_of_the_fifth_that_was_taken_for_valid():
    edges = edges_like(703, 80)
    parts = apply_protocol("ncn", edges, 80, seed=5)
    base = apply_protocol("random", edges, 80, split="60/20/20", seed=5)
    assert torch.equal(parts["train"][:, : base["train"].size(1)], base["train"]) and torch.equal(
        parts["test"], base["test"]
    )
    back = parts["train"][:, base["train"].size(1) :]
    assert keys(back) | keys(parts["valid"]) == keys(base["valid"]) and not keys(back) & keys(parts["valid"])
    assert (back.size(1), parts["valid"].size(1)) == (70, 70)
    # shuffled, not the first half in the order of the first draw
    assert keys(back) != keys(base["valid"][:, :70])


def test_the_seed_alone_decides():
    first, again, other = (task_of("ncn", split_seed=seed).fingerprint() for seed in (0, 0, 1))
    assert first == again and not set(first.values()) & set(other.values())


def test_the_record_names_the_protocol():
    record = task_of("pooled").provenance["protocol"]
    assert record["name"] == "pooled" and record["about"] == PROTOCOLS["pooled"].about
    assert record["metrics"] == ["mrr", "hits@20"] and set(record["ties"]) == {"mrr", "hits@K"}
    assert record["negatives"] == {"valid": "35 in one pool, fixed", "test": "70 in one pool, fixed"}
    assert record["use_valedges"] is False and record["negatives_avoid"] == "split"
    assert (
        task_of("random", num_negatives=3).provenance["protocol"]["negatives"]["test"].startswith("3 per edge, drawn")
    )


@pytest.mark.parametrize("protocol", ["ncn", "pooled"])
def test_an_edge_is_ranked_among_all_negatives_of_its_split(protocol):
    task, model = task_of(protocol, metrics=("mrr", "hits@20", "auc")), TableScorer(80)
    found = task.evaluate(model, "test")
    positive, negative = (model.table[pairs[0], pairs[1]] for pairs in (task.test, task.negatives("test")))
    ranks = [1 + int((negative > p).sum()) for p in positive]  # no ties in this table
    assert found["mrr"] == pytest.approx(sum(1 / rank for rank in ranks) / len(ranks), abs=1e-12)
    assert found["hits@20"] == sum(rank <= 20 for rank in ranks) / len(ranks)
    assert found["count"] == positive.numel() + negative.numel()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "nnc"}, "unknown protocol of link prediction 'nnc'; did you mean 'ncn'"),
        ({"protocol": "ncn", "split": "85/5/10"}, "the protocol 'ncn' splits 70/10/20, not '85/5/10'; leave out split"),
        ({"protocol": "ncn", "num_negatives": 2}, "the protocol 'ncn' has a number of negatives of its own"),
        (
            {"protocol": "pooled", "metrics": ["hits@50"]},
            "toy, valid: hits@50 needs at least 50 negatives, there are 35",
        ),
        ({"protocol": "ncn", "nodes": 40}, "280 different negatives were asked for, but only 80 pairs"),
        ({"protocol": "ncn", "x": torch.zeros(3, 1)}, r"x of toy is \[3, 1\], expected a row for each of the 80 nodes"),
    ],
)
def test_what_a_protocol_cannot_do_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        task_of(**options)


@pytest.mark.data
def test_heart_on_the_real_data_is_made_once(tmp_path, monkeypatch):
    from graphkit.datasets import heart_cache, where

    if not os.environ.get("GRAPHKIT_DATA") or any(place.path is None for place in where("cora")):
        pytest.skip("cora is not in GRAPHKIT_DATA")
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path))
    task = gk.load("cora", task="link", protocol="heart")
    assert task.negatives("valid").shape == (2, 263, 500) and task.negatives("test").shape == (2, 527, 500)
    assert task.leak_check() and task.provenance["protocol"]["name"] == "heart"
    monkeypatch.setattr(heart_cache, "heart_negatives", lambda *_, **__: pytest.fail("they were made again"))
    again = gk.load("cora", task="link", protocol="heart")
    assert again.fingerprint() == task.fingerprint()
    # hard: the first negatives of an edge share neighbours, which pairs drawn at random hardly do
    adjacency = torch.zeros(2708, 2708, dtype=torch.bool)
    adjacency[task.data.edge_index[0], task.data.edge_index[1]] = True
    random = task.non_edges("test").draw(527, seed=0, epoch=0, step=0)
    hard, easy = (
        (adjacency[u] & adjacency[v]).any(1).double().mean() for u, v in (task.negatives("test")[:, :, 0], random)
    )
    assert hard > 0.5 and easy < 0.05
