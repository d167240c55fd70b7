"""What a task on OGB's files measures is what OGB's evaluators measure, ties included."""

import contextlib
import importlib.metadata
import io

import numpy as np
import pytest
import torch
from ogb_graph_samples import write_links, write_nodes
from ogb_samples import write_card

import graphkit.datasets as datasets
from graphkit.metrics import roc_auc

LINKS = {"ogbl-ddi": "target", "ogbl-collab": "time", "ogbl-ppa": "throughput", "ogbl-citation2": "time"}
NODES = {"ogbn-arxiv": "time", "ogbn-products": "sales_ranking", "ogbn-mag": "time"}

pytestmark = pytest.mark.skipif(
    not any(d.metadata["Name"] == "ogb" for d in importlib.metadata.distributions()), reason="ogb is not installed"
)


def evaluator(kind, name):
    import ogb.linkproppred
    import ogb.nodeproppred

    with contextlib.redirect_stdout(io.StringIO()):
        return (ogb.linkproppred if kind == "link" else ogb.nodeproppred).Evaluator(name)


def sample(root, name, split):
    (write_links if name in LINKS else write_nodes)(root, name, split)
    entry = datasets.card(name)
    return datasets.load(write_card(root / "card.yaml", root, entry, options=entry.options), root=root)


class FewValues:
    """Scores a pair by a few values, so that many are level."""

    def __init__(self, values, classes=5):
        self.values, self.classes = values, classes

    def of(self, pairs):
        return ((pairs[0] * 31 + pairs[1] * 17) % self.values).float()

    def score_pairs(self, graph, pairs, *, batch_size=None, progress=None):
        return self.of(pairs)

    def score_nodes(self, data, nodes):
        return torch.stack([(nodes * (2 * column + 3) % self.values).float() for column in range(self.classes)], 1)


@pytest.mark.parametrize("values", [1, 3, 12, 1000])
@pytest.mark.parametrize("name", LINKS)
def test_links(name, values, tmp_path):
    task, model = sample(tmp_path, name, LINKS[name]), FewValues(values)
    for split in ("valid", "test"):
        scores = {"y_pred_pos": model.of(task.edges(split)), "y_pred_neg": model.of(task.negatives(split))}
        theirs = evaluator("link", name).eval(scores)
        mine = task.evaluate(model, split)
        if name == "ogbl-citation2":
            for metric in ("mrr", "hits@1", "hits@3", "hits@10"):
                assert mine[metric] == pytest.approx(float(theirs[f"{metric}_list"].mean()), abs=1e-6)
        else:
            assert mine[task.primary_metric] == pytest.approx(theirs[task.primary_metric], abs=1e-12)


@pytest.mark.parametrize("values", [1, 2, 5, 1000])
@pytest.mark.parametrize("name", NODES)
def test_nodes(name, values, tmp_path):
    task = sample(tmp_path, name, NODES[name])
    model = FewValues(values, task.out_channels)
    nodes = task.nodes_of("test")
    predicted = model.score_nodes(None, nodes).argmax(1, keepdim=True)
    theirs = evaluator("node", name).eval({"y_true": task.y[nodes][:, None], "y_pred": predicted})
    assert task.evaluate(model, "test")["accuracy"] == pytest.approx(theirs["acc"], abs=1e-12)


@pytest.mark.parametrize("values", [1, 2, 6, 10**6])
def test_proteins(values):
    """112 functions; one of them has no positive and counts for nothing."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=(60, 112)).astype(np.float32)
    labels[:, 7] = 0
    scores = rng.integers(values, size=(60, 112)).astype(np.float32)
    theirs = evaluator("node", "ogbn-proteins").eval({"y_true": labels, "y_pred": scores})
    assert roc_auc(scores, labels) == pytest.approx(theirs["rocauc"], abs=1e-12)
