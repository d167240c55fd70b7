"""Knowledge graph embeddings with the parameters of PyG's ``nn.kge``: DistMult, ComplEx, RotatE, TransE."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.data import MessageGraph, QueryBatch
from graphkit.errors import UserError, nearest
from graphkit.models.base import Model
from graphkit.models.entity_prediction import EntityPrediction

__all__ = ["ComplEx", "DistMult", "KnowledgeGraphEmbedding", "RotatE", "TransE"]

Objective = Literal["logistic", "softmax", "margin"]
Regularizer = Literal["n3", "l2"]

# Entities per candidate up to which scoring all entities and picking the candidates is faster than gathering their
# vectors: one matrix product against a gather and its backward.
_ENTITIES_PER_CANDIDATE = 16


class KnowledgeGraphEmbedding(EntityPrediction, Model):
    r"""What the embedding models share: a vector per query, a vector per entity, and a comparison of the two.

    A triple is scored as PyG's model of the same name scores it. A head query (?, r, t) is exact: it compares t, moved
    back along r, with all entities.

    Args:
        num_entities: N.
        num_relations: R, relations without inverses.
        hidden_channels: channels of PyG's model; complex ones in ComplEx and RotatE.
        objective: ``"logistic"``: :math:`\frac12(\ell^+ + \sum_i w_i \ell^-_i)` with :math:`\ell^\pm =
            \mathrm{softplus}(\mp s)`; ``"softmax"``: cross entropy of the positive among its negatives;
            ``"margin"``: :math:`\sum_i w_i \max(0, margin - s^+ + s^-_i)`.
        margin: of the margin objective; in RotatE and TransE also what the logistic one adds to the negative distance.
        adversarial_temperature: the weights w of the negatives are softmax(score / temperature), without gradient; 0
            weights them equally. Not used by the softmax objective.
        regularizer: ``"n3"`` or ``"l2"``, the third or second power of the moduli of a positive triple's parameters.
        regularizer_weight: its weight, 0 for none.

    Raises:
        UserError: a size, weight or choice that does not exist.

    Source:
        Sun, Deng, Nie, Tang: RotatE (ICLR 2019), section 3.3 (self-adversarial logistic objective); Lacroix, Usunier,
        Obozinski: Canonical Tensor Decomposition for Knowledge Base Completion (ICML 2018), the nuclear 3-norm (N3).

    Example:
        >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), num_nodes=3, num_base_relations=1)
        >>> DistMult(3, 1, 8).score_queries(graph, torch.tensor([0]), torch.tensor([0])).shape
        torch.Size([1, 3])
    """

    sizes = ("num_entities", "num_relations")
    scale = 1.0  # factor on the scores in training
    logistic_offset = 0.0  # what the logistic objective adds to a score

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        hidden_channels: int = 64,
        *,
        objective: Objective = "logistic",
        margin: float = 1.0,
        adversarial_temperature: float = 1.0,
        regularizer: Regularizer = "n3",
        regularizer_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if num_entities < 1 or num_relations < 1 or hidden_channels < 1:
            raise UserError("num_entities, num_relations and hidden_channels must be at least 1")
        for what, value, known in (("objective", objective, Objective), ("regularizer", regularizer, Regularizer)):
            if value not in get_args(known):
                raise UserError(nearest(str(value), get_args(known), what))
        for name, number in (
            ("margin", margin),
            ("adversarial_temperature", adversarial_temperature),
            ("regularizer_weight", regularizer_weight),
        ):
            if not 0 <= number < float("inf"):
                raise UserError(f"{name} is {number}, expected a finite number of at least 0")
        self.num_entities, self.num_relations, self.hidden_channels = num_entities, num_relations, hidden_channels
        self.objective, self.margin, self.adversarial_temperature = objective, margin, adversarial_temperature
        self.regularizer, self.regularizer_weight = regularizer, regularizer_weight
        self.network = self.make_network()

    def make_network(self) -> Any:
        """PyG's model, which holds the parameters."""
        raise NotImplementedError(f"{type(self).__name__} names no model of PyG")

    def entity_vectors(self) -> Tensor:
        """One vector per entity, as queries are compared with it, ``[N, D]``."""
        raise NotImplementedError

    def query_vectors(self, entities: Tensor, relations: Tensor, direction: Tensor) -> Tensor:
        """One vector per query, ``[Q, D]``.

        Args:
            entities: int64 ``[Q]``.
            relations: int64 ``[Q]`` in ``[0, R)``.
            direction: ``[Q, 1]``, 1 where tails are asked for, -1 where heads are.
        """
        raise NotImplementedError

    def compare(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """Scores ``[..., q, c]`` of ``queries`` ``[..., q, D]`` and ``candidates`` ``[..., c, D]``."""
        raise NotImplementedError

    def squared_moduli(self, head: Tensor, relation: Tensor, tail: Tensor) -> list[Tensor]:
        """Squares of the moduli that the regularizer looks at, each ``[B, hidden_channels]``."""
        raise NotImplementedError

    def score_queries(self, graph: MessageGraph, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores of all entities as tails.

        Args:
            graph: the message graph; only its sizes matter.
            heads: int64 ``[Q]``.
            relations: int64 ``[Q]`` in ``[0, 2R)``; r + R asks for heads.

        Returns:
            ``[Q, N]``.
        """
        self._check_sizes(graph)
        return self.compare(self._queries(heads, relations), self.entity_vectors())

    def forward(self, batch: QueryBatch) -> Tensor:
        """Scores ``[B, 1 + n]`` of a batch's triples."""
        self._check_sizes(batch.graph)
        sources, relations, targets = batch.tail_form()
        # rounding the scores to 8 bits would make them worse and gain nothing: there is little to multiply
        with torch.autocast(targets.device.type, enabled=False):
            queries, entities = self._queries(sources, relations), self.entity_vectors()
            if self.num_entities <= _ENTITIES_PER_CANDIDATE * targets.size(1):
                return self.compare(queries, entities).gather(1, targets)
            return self.compare(queries.unsqueeze(1), F.embedding(targets, entities)).squeeze(1)

    def loss(self, batch: QueryBatch) -> Tensor:
        """The objective, mean over rows, and the weighted regularizer, mean over the positive triples."""
        scores = self.scale * self(batch)
        positive, negative = scores[:, :1], scores[:, 1:]
        if self.objective == "softmax":
            target = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
            loss = F.cross_entropy(scores, target)
        elif self.objective == "margin":
            loss = (self._weights(negative) * F.relu(self.margin - positive + negative)).sum(1).mean()
        else:
            offset = self.logistic_offset
            wrong = (self._weights(negative) * F.softplus(negative + offset)).sum(1)
            loss = ((F.softplus(-positive - offset).squeeze(1) + wrong) / 2).mean()
        if self.regularizer_weight == 0:
            return loss
        power = 1.5 if self.regularizer == "n3" else 1.0
        squares = self.squared_moduli(*batch.triples[:, 0].unbind(1))
        return loss + self.regularizer_weight * sum(s.pow(power).sum(1).mean() for s in squares)

    def query_bytes(self, graph: MessageGraph) -> int:
        """Bytes that one query of :meth:`score_queries` needs at its peak, for choosing a batch size."""
        # distances and scores; entity and relation parts of a query, their products and the vector made of them
        return self.network.node_emb.weight.element_size() * (2 * graph.num_nodes + 10 * self.hidden_channels)

    def _queries(self, entities: Tensor, relations: Tensor) -> Tensor:
        direction = torch.where(relations < self.num_relations, 1.0, -1.0).to(self.network.node_emb.weight.dtype)
        return self.query_vectors(entities, relations % self.num_relations, direction.unsqueeze(1))

    def _weights(self, negative: Tensor) -> Tensor:
        if self.adversarial_temperature == 0:
            return torch.full_like(negative, 1 / negative.size(1))
        return (negative.detach() / self.adversarial_temperature).softmax(1)

    def _distance(self, queries: Tensor, candidates: Tensor, p: float = 2.0) -> Tensor:
        # Neither form holds a vector per pair. Through a matrix product it is many times faster and loses digits of
        # distances near 0: good enough for a gradient, not for a rank.
        fast = self.training and torch.is_grad_enabled()
        mode = "use_mm_for_euclid_dist" if fast else "donot_use_mm_for_euclid_dist"
        return torch.cdist(queries, candidates, p=p, compute_mode=mode)

    def _check_sizes(self, graph: MessageGraph) -> None:
        sizes = graph.num_nodes, graph.num_base_relations
        if sizes != (self.num_entities, self.num_relations):
            raise UserError(
                f"the graph has {sizes[0]} entities and {sizes[1]} relations, the model {self.num_entities} and "
                f"{self.num_relations}; an embedding model serves only the graph it was made for"
            )


class DistMult(KnowledgeGraphEmbedding):
    r"""Relations as diagonal matrices, :math:`s(h, r, t) = \sum_k h_k r_k t_k`; symmetric in h and t.

    Args, objectives and Raises as in :class:`KnowledgeGraphEmbedding`.

    Source:
        Yang, Yih, He, Gao, Deng: Embedding Entities and Relations for Learning and Inference in Knowledge Bases
        (ICLR 2015), section 3.2; parameters and initial values of ``torch_geometric.nn.kge.DistMult``.

    Example:
        >>> DistMult(5, 2, 8).num_parameters()
        56
    """

    def make_network(self) -> Any:
        from torch_geometric.nn import kge  # seconds to import, and few need it

        return kge.DistMult(self.num_entities, self.num_relations, self.hidden_channels, self.margin)

    def entity_vectors(self) -> Tensor:
        return self.network.node_emb.weight

    def query_vectors(self, entities: Tensor, relations: Tensor, direction: Tensor) -> Tensor:
        return self.network.node_emb(entities) * self.network.rel_emb(relations)

    def compare(self, queries: Tensor, candidates: Tensor) -> Tensor:
        return queries @ candidates.mT

    def squared_moduli(self, head: Tensor, relation: Tensor, tail: Tensor) -> list[Tensor]:
        vectors = self.network.node_emb(head), self.network.rel_emb(relation), self.network.node_emb(tail)
        return [vector.square() for vector in vectors]


class ComplEx(KnowledgeGraphEmbedding):
    r"""Complex diagonal matrices, :math:`s(h, r, t) = \mathrm{Re} \sum_k h_k r_k \bar t_k`.

    Args, objectives and Raises as in :class:`KnowledgeGraphEmbedding`.

    Source:
        Trouillon, Welbl, Riedel, Gaussier, Bouchard: Complex Embeddings for Simple Link Prediction (ICML 2016),
        equation 9; parameters and initial values of ``torch_geometric.nn.kge.ComplEx``.

    Example:
        >>> ComplEx(5, 2, 8).num_parameters()
        112
    """

    def make_network(self) -> Any:
        from torch_geometric.nn import kge  # seconds to import, and few need it

        return kge.ComplEx(self.num_entities, self.num_relations, self.hidden_channels)

    def entity_vectors(self) -> Tensor:
        return torch.cat([self.network.node_emb.weight, self.network.node_emb_im.weight], 1)

    def query_vectors(self, entities: Tensor, relations: Tensor, direction: Tensor) -> Tensor:
        re, im = self.network.node_emb(entities), self.network.node_emb_im(entities)
        # Re(h r conj(t)) = Re(conj(t conj(r)) h): backwards along r is forwards along its conjugate
        rel_re, rel_im = self.network.rel_emb(relations), direction * self.network.rel_emb_im(relations)
        return torch.cat([re * rel_re - im * rel_im, re * rel_im + im * rel_re], 1)

    def compare(self, queries: Tensor, candidates: Tensor) -> Tensor:
        return queries @ candidates.mT

    def squared_moduli(self, head: Tensor, relation: Tensor, tail: Tensor) -> list[Tensor]:
        net = self.network
        parts = [(net.node_emb, net.node_emb_im, head), (net.rel_emb, net.rel_emb_im, relation)]
        parts.append((net.node_emb, net.node_emb_im, tail))
        return [re(index).square() + im(index).square() for re, im, index in parts]


class RotatE(KnowledgeGraphEmbedding):
    r"""Relations as rotations, :math:`s(h, r, t) = margin - \| h \circ e^{i \theta_r} - t \|_2` in complex space.

    Args, objectives and Raises as in :class:`KnowledgeGraphEmbedding`; the regularizer looks at the entities alone, for
    rotations have modulus 1.

    Source:
        Sun, Deng, Nie, Tang: RotatE: Knowledge Graph Embedding by Relational Rotation in Complex Space (ICLR 2019),
        section 3.2; parameters and initial values of ``torch_geometric.nn.kge.RotatE``.

    Example:
        >>> RotatE(5, 2, 8).num_parameters()
        96
    """

    def make_network(self) -> Any:
        from torch_geometric.nn import kge  # seconds to import, and few need it

        return kge.RotatE(self.num_entities, self.num_relations, self.hidden_channels, self.margin)

    def entity_vectors(self) -> Tensor:
        return torch.cat([self.network.node_emb.weight, self.network.node_emb_im.weight], 1)

    def query_vectors(self, entities: Tensor, relations: Tensor, direction: Tensor) -> Tensor:
        re, im = self.network.node_emb(entities), self.network.node_emb_im(entities)
        # a rotation keeps distances: |h e^(i theta) - t| = |t e^(-i theta) - h|
        phase = direction * self.network.rel_emb(relations)
        cos, sin = phase.cos(), phase.sin()
        return torch.cat([re * cos - im * sin, re * sin + im * cos], 1)

    def compare(self, queries: Tensor, candidates: Tensor) -> Tensor:
        return self.margin - self._distance(queries, candidates)

    def squared_moduli(self, head: Tensor, relation: Tensor, tail: Tensor) -> list[Tensor]:
        re, im = self.network.node_emb, self.network.node_emb_im
        return [re(index).square() + im(index).square() for index in (head, tail)]


class TransE(KnowledgeGraphEmbedding):
    r"""Relations as translations, :math:`s(h, r, t) = -\| \hat h + r - \hat t \|_p`; entities have norm 1.

    Args:
        p_norm: p, of the distance and of the norm of the entities.
        scale: factor on the scores in training, for entities of norm 1 keep all distances within a few units.

    The other arguments, objectives and Raises as in :class:`KnowledgeGraphEmbedding`; the regularizer looks at the
    relations alone, for entities are normalised.

    Source:
        Bordes, Usunier, Garcia-Duran, Weston, Yakhnenko: Translating Embeddings for Modeling Multi-relational Data
        (NeurIPS 2013), equation 1; parameters and initial values of ``torch_geometric.nn.kge.TransE``.

    Example:
        >>> TransE(5, 2, 8).num_parameters()
        56
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        hidden_channels: int = 64,
        *,
        p_norm: float = 1.0,
        scale: float = 1.0,
        objective: Objective = "logistic",
        margin: float = 1.0,
        adversarial_temperature: float = 1.0,
        regularizer: Regularizer = "n3",
        regularizer_weight: float = 0.0,
    ) -> None:
        if not 1 <= p_norm < float("inf"):
            raise UserError(f"p_norm is {p_norm}, expected a finite number of at least 1")
        if not 0 < scale < float("inf"):
            raise UserError(f"scale is {scale}, expected a finite number above 0")
        self.p_norm, self.scale = p_norm, scale
        super().__init__(
            num_entities, num_relations, hidden_channels, objective=objective, margin=margin,
            adversarial_temperature=adversarial_temperature, regularizer=regularizer,
            regularizer_weight=regularizer_weight,
        )  # fmt: skip
        self.logistic_offset = margin  # PyG's RotatE has the margin in its score, its TransE has not

    def make_network(self) -> Any:
        from torch_geometric.nn import kge  # seconds to import, and few need it

        return kge.TransE(self.num_entities, self.num_relations, self.hidden_channels, self.margin, self.p_norm)

    def entity_vectors(self) -> Tensor:
        return F.normalize(self.network.node_emb.weight, p=self.p_norm, dim=-1)

    def query_vectors(self, entities: Tensor, relations: Tensor, direction: Tensor) -> Tensor:
        start = F.normalize(self.network.node_emb(entities), p=self.p_norm, dim=-1)
        return start + direction * self.network.rel_emb(relations)  # |h + r - t| = |t - r - h|

    def compare(self, queries: Tensor, candidates: Tensor) -> Tensor:
        return -self._distance(queries, candidates, self.p_norm)

    def squared_moduli(self, head: Tensor, relation: Tensor, tail: Tensor) -> list[Tensor]:
        return [self.network.rel_emb(relation).square()]
