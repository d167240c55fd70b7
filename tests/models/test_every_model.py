"""What every model must do; a new model adds one line to SAMPLES."""

import pytest
import torch
from torch_geometric.data import Data

from graphkit.data import KnowledgeGraphTask, LinkTask, NodeTask
from graphkit.models import SIZES, registry


def knowledge_graph(seed=0, entities=12):
    """Two relations that are each other's inverse: one tells the other when its own edge is hidden."""
    step = torch.randperm(entities, generator=torch.Generator().manual_seed(seed)).tolist()
    facts = [(f"e{i}", "gives", f"e{step[i]}") for i in range(entities)]
    facts += [(f"e{step[i]}", "takes", f"e{i}") for i in range(entities)]
    return KnowledgeGraphTask.from_names("inverses", facts, facts[:2], facts[2:4])


def neighbours(entities=12):
    """Pairs that are beside each other: a symmetric relation, which DistMult and TransE can tell as well."""
    pairs = [(f"e{i}", "beside", f"e{i + 1}") for i in range(0, entities, 2)]
    facts = pairs + [(b, r, a) for a, r, b in pairs]
    return KnowledgeGraphTask.from_names("neighbours", facts, facts[:2], facts[2:4])


def labelled_nodes(nodes=12):
    """A ring whose nodes have features of their own and two classes."""
    ring = torch.arange(nodes)
    edge_index = torch.cat([torch.stack([ring, (ring + 1) % nodes]), torch.stack([ring, (ring + 5) % nodes])], 1)
    x = torch.cat([6 * torch.eye(nodes), torch.ones(nodes, 1)], 1)
    data = Data(x=x, edge_index=edge_index, y=(ring // 3) % 2)
    parts = {"train": ring < 8, "valid": (ring >= 8) & (ring < 10), "test": ring >= 10}
    return NodeTask("ring", data, **parts)


def cliques(count=4, size=4):
    """Groups whose members are all joined; a hidden edge is told by the others of its group."""
    inside = torch.combinations(torch.arange(size)).t()
    edges = torch.cat([inside + size * group for group in range(count)], 1)
    return LinkTask.from_edges("cliques", edges, count * size, split="80/10/10", x=torch.eye(count * size))


SAMPLES = {
    "NCN": (cliques, {"hidden_channels": 32}),
    "NCNC": (cliques, {"hidden_channels": 32, "learn_prior": True}),
    "NBFNet": (knowledge_graph, {"hidden_channels": 16, "num_layers": 2}),
    "DistMult": (neighbours, {"hidden_channels": 32}),
    "ComplEx": (knowledge_graph, {"hidden_channels": 32, "objective": "softmax", "regularizer_weight": 1e-5}),
    "RotatE": (knowledge_graph, {"hidden_channels": 32, "objective": "margin", "margin": 0.5}),
    "TransE": (neighbours, {"hidden_channels": 32, "objective": "margin", "margin": 0.3}),
    "GraphMamba": (
        labelled_nodes,
        {"hidden_channels": 16, "walk_length": 2, "walks": 2, "repeats": 1, "mpnn_norm": "layer", "train_ties": "key"},
    ),
    "GraphMambaLinks": (
        cliques,
        {"hidden_channels": 64, "walk_length": 2, "walks": 8, "train_ties": "key", "sampling": "static"},
    ),
    "MLP": (labelled_nodes, {"hidden_channels": 16, "dropout": 0.0}),
    "GCN": (labelled_nodes, {"hidden_channels": 32, "dropout": 0.0}),
    "GraphSAGE": (labelled_nodes, {"hidden_channels": 16, "dropout": 0.0}),
    "GAT": (labelled_nodes, {"hidden_channels": 32, "heads": 4, "dropout": 0.0}),
    "SGC": (labelled_nodes, {"hops": 1}),
    "APPNP": (labelled_nodes, {"hidden_channels": 16, "hops": 3, "alpha": 0.5, "dropout": 0.0}),
    "GPRGNN": (labelled_nodes, {"hidden_channels": 16, "hops": 3, "dropout": 0.0}),
    "DirGNN": (labelled_nodes, {"hidden_channels": 16, "dropout": 0.0}),
    "LINKX": (labelled_nodes, {"hidden_channels": 16, "dropout": 0.0}),
    "GIN": (labelled_nodes, {"hidden_channels": 16, "dropout": 0.0}),
    "GatedGCN": (labelled_nodes, {"hidden_channels": 16, "num_layers": 2, "norm": "layer"}),
    "GPS": (labelled_nodes, {"hidden_channels": 16, "num_layers": 2, "norm": "layer"}),
    "ChebNet": (labelled_nodes, {"hidden_channels": 16, "dropout": 0.0}),
    "SGFormer": (labelled_nodes, {"hidden_channels": 16, "num_layers": 2, "dropout": 0.0, "attention_dropout": 0.0}),
    "ADPA": (labelled_nodes, {"hidden_channels": 16, "dropout": 0.0}),
    "GMoPE": (
        labelled_nodes,
        {"hidden_channels": 32, "num_layers": 2, "dropout": 0.0, "ortho_weight": 0.01, "loss_scale": "mean"},
    ),
}


#: a rate of its own where that of training_step makes the loss jump, by rounding alone
RATES = {"GraphMambaLinks": 1e-3}


def options_of(task, positives, negatives):
    """Options of a loader that the task has."""
    few = {"batch_size": positives}
    return few if isinstance(task, NodeTask) else {**few, "num_negatives": negatives}


@pytest.fixture(params=sorted(name for name, model in registry().items() if model.trainable))
def sample(request):
    make, options = SAMPLES[request.param]
    task = make()
    torch.manual_seed(0)
    return task, registry()[request.param].for_task(task, **options)


def test_config_makes_the_same_model(sample):
    task, model = sample
    again = type(model)(**model.config)
    again.load_state_dict(model.state_dict())
    batch = next(iter(task.loader("train", **options_of(task, 4, 3))))
    assert torch.equal(model.loss(batch), again.loss(batch))
    assert set(model.sizes) <= SIZES and set(model.sizes) <= set(model.config)


def test_every_parameter_gets_a_finite_gradient(sample):
    task, model = sample
    model.loss(next(iter(task.loader("train", **options_of(task, 8, 4))))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


def test_overfits_a_tiny_sample(sample):
    task, model = sample
    rate = {"lr": RATES[type(model).__name__]} if type(model).__name__ in RATES else {}
    losses = [model.training_step(task, **rate, **options_of(task, 4, 8)) for _ in range(200)]
    assert sum(losses[-10:]) / 10 < 0.1 < losses[0]


def test_a_model_can_be_copied_and_counted(sample):
    _, model = sample
    assert model.num_parameters() == sum(p.numel() for p in model.parameters()) > 0
