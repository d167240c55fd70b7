"""A toy knowledge graph task and a DistMult-like model: just enough for the engine, without reading any data."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import torch

N, R = 12, 2


@dataclasses.dataclass
class Batch:
    triples: torch.Tensor

    def to(self, device):
        return Batch(self.triples.to(device))


class Loader:
    """Counter-based, as the contract asks: batch k of an epoch depends on (seed, epoch, k) only."""

    def __init__(self, triples, batch_size, seed, epoch, start):
        order = torch.randperm(len(triples), generator=torch.Generator().manual_seed(1000 * seed + epoch))
        self.batches, self.start, self.key = list(triples[order].split(batch_size)), start, (seed, epoch)

    def __len__(self):
        return len(self.batches) - self.start

    def __iter__(self):
        for k in range(self.start, len(self.batches)):
            generator = torch.Generator().manual_seed(hash((*self.key, k)) % 2**31)
            positive = self.batches[k]
            negative = positive.clone()
            negative[:, 2] = torch.randint(N, (len(positive),), generator=generator)
            yield Batch(torch.stack([positive, negative], dim=1))


class ToyTask:
    name, primary_metric, num_entities, num_relations = "toy", "mrr", N, R

    def __init__(self, repeat=4):
        self.provenance = {"card": "toy", "hashes": {"train.txt": "0" * 64}}
        generator = torch.Generator().manual_seed(7)

        def draw(n):
            head, relation = torch.randint(N, (n,), generator=generator), torch.randint(R, (n,), generator=generator)
            return torch.stack([head, relation, (head + 1 + relation) % N], dim=1)

        self.train, self.valid, self.test = draw(10 * repeat), draw(8), draw(8)
        self.scored = []

    def loader(self, split="train", *, batch_size=8, seed=0, epoch=0, start=0):
        return Loader(getattr(self, split), batch_size, seed, epoch, start)

    @torch.no_grad()
    def evaluate(self, model, split="valid", *, ties="pessimistic", return_ranks=False, progress=None):
        self.scored.append(split)
        torch.rand(3)  # an evaluation that draws must not change the training
        was, _ = model.training, model.eval()
        triples = getattr(self, split)
        scores = model.score(triples[:, 0], triples[:, 1])
        target = scores.gather(1, triples[:, 2:])
        above, equal = (scores > target).sum(1), (scores == target).sum(1) - 1
        ranks = 1 + above + {"pessimistic": 1, "optimistic": 0}[ties] * equal
        model.train(was)
        if progress is not None:
            progress(len(triples), len(triples))
        metrics = {"mrr": (1 / ranks.double()).mean().item(), "mr": ranks.double().mean().item()}
        return {**metrics, "ranks": {"tail": ranks, "head": ranks}} if return_ranks else metrics


class ToyModel(torch.nn.Module):
    def __init__(self, num_relations, hidden_channels=8, *, dropout=0.1):
        super().__init__()
        self.config = {"num_relations": num_relations, "hidden_channels": hidden_channels, "dropout": dropout}
        self.entity = torch.nn.Embedding(N, hidden_channels)
        self.relation = torch.nn.Embedding(num_relations, hidden_channels)
        self.norm = torch.nn.BatchNorm1d(hidden_channels)  # buffers must survive too
        self.dropout = torch.nn.Dropout(dropout)

    @classmethod
    def for_task(cls, task, **options):
        return cls(task.num_relations, **options)

    def score(self, head, relation):
        return self.dropout(self.norm(self.entity(head) * self.relation(relation))) @ self.entity.weight.T

    def loss(self, batch):
        positive, negative = batch.triples[:, 0], batch.triples[:, 1]
        scores = self.score(positive[:, 0], positive[:, 1])
        margin = scores.gather(1, negative[:, 2:]) - scores.gather(1, positive[:, 2:])
        jitter = 1 + 0.01 * (random.random() + np.random.rand())  # every global stream takes part
        return jitter * torch.nn.functional.softplus(margin).mean()


def toy_model(seed=0, **options):
    torch.manual_seed(seed)
    return ToyModel(R, **options)
