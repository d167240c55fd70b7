"""Why a model believes a triple: the paths whose edges its score depends on most."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.data import MessageGraph
from graphkit.data.query_batches import device_of
from graphkit.errors import UserError
from graphkit.models.relation_names import relation_name, relation_number
from graphkit.nn import heaviest_walks

__all__ = ["PathExplanation", "triple_edges"]

Step = tuple[str, str, str]


class PathExplanation:
    """Gives a model that has ``edge_importance`` the paths behind its scores, by name.

    ``edge_importance(graph, head, relation, tail, edge_mask=None) -> [T, E]`` is the derivative of the triple's score
    by the weight that edge e has in layer t.

    Example:
        >>> from graphkit.data import KnowledgeGraphTask
        >>> class Even(PathExplanation):
        ...     def edge_importance(self, graph, head, relation, tail, *, edge_mask=None):
        ...         return torch.ones(2, graph.num_edges)
        >>> task = KnowledgeGraphTask.from_names("toy", [("a", "r", "b"), ("c", "r", "b")], [], [("a", "r", "c")])
        >>> Even().explain(task, "a", "r", "c")
        [([('a', 'r', 'b'), ('b', 'r^-1', 'c')], 1.0)]
    """

    @torch.inference_mode(False)  # derivatives are needed, wherever this is called
    def explain(
        self,
        task: Any,
        head: str | int,
        relation: str | int,
        tail: str | int,
        k: int = 5,
        *,
        beam_width: int = 10,
        split: str = "test",
        exclude_triple: bool = True,
    ) -> list[tuple[list[Step], float]]:
        r"""The k paths from head to tail that matter most to the score of the triple, as (path, weight).

        A path's weight is the mean of its edges' importances, the t-th edge counting with its importance in layer t:

        .. math:: weight(e_1, \dots, e_\ell) = \frac1\ell \sum_{t=1}^{\ell} \frac{\partial\, score}{\partial w^{(t)}_{e_t}}

        Paths are found by :func:`graphkit.nn.heaviest_walks`; they end when they first arrive at the tail, so a triple
        whose head is its tail has none.

        Args:
            task: the knowledge graph.
            head, tail: names or ids.
            relation: name or id; a name with ``^-1`` at its end explains the inverse query, that for the head.
            k: most paths; where fewer arrive within T edges, fewer are given.
            beam_width: walks of each length that the search keeps at a node.
            split: whose message graph, and for inductive tasks whose entities.
            exclude_triple: whether the triple itself and its inverse are taken out of the message graph first, as in
                training, should they be there: a known fact would else explain itself.

        Returns:
            pairs of a path, a list of (head, relation, tail) names along the way where inverse relations end in
            ``^-1``, and its weight; the largest first, equal ones: the shorter first.

        Raises:
            UserError: for an unknown name (the nearest one is suggested), an id out of range, k or a beam width below
                1, an unknown split, or a model that gives NaN.

        Source:
            Zhu et al., Neural Bellman-Ford Networks (NeurIPS 2021), interpretation of predictions by paths.

        Example:
            >>> import graphkit as gk
            >>> model, task = gk.load_model("runs/umls"), gk.load("umls")  # doctest: +SKIP
            >>> for path, weight in model.explain(task, "virus", "causes", "mental_process"):  # doctest: +SKIP
            ...     print(weight, path)
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise UserError(f"k is {k!r}, expected a whole number from 1 upwards")
        source, target = task.entity_id(head, split=split), task.entity_id(tail, split=split)
        number = relation_number(task, relation)
        graph = task.graph(split)
        graph = graph.to(device_of(self, graph))
        mask = None
        if exclude_triple:
            mask = torch.ones(graph.num_edges, dtype=torch.bool, device=graph.device)
            mask[triple_edges(graph, source, number, target)] = False
        importance = self.edge_importance(graph, source, number, target, edge_mask=mask)
        walks = heaviest_walks(
            graph.csr, importance, source, target, num_nodes=graph.num_nodes, beam_width=beam_width, edge_mask=mask
        )
        names = task.entities_of(split)
        found: dict[tuple[Step, ...], float] = {}
        for walk in walks:
            if len(found) == k:
                break
            begin, end = graph.edge_index[:, walk.edges].tolist()
            kinds = graph.edge_type[walk.edges].tolist()
            steps = zip(begin, kinds, end, strict=True)
            path = tuple((names[u], relation_name(task, r), names[v]) for u, r, v in steps)
            found.setdefault(path, walk.weight)  # a fact that stands twice gives the same path twice
        return [(list(path), weight) for path, weight in found.items()]

    def edge_importance(
        self, graph: MessageGraph, head: int, relation: int, tail: int, *, edge_mask: Tensor | None = None
    ) -> Tensor:
        """Derivative ``[T, E]`` of a triple's score by the weight of every edge in every layer."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its edges matter")


def triple_edges(graph: MessageGraph, head: int, relation: int, tail: int) -> Tensor:
    """Edges that are the triple or its inverse, int64 ``[M]``; relation in [0, 2R).

    Example:
        >>> triple_edges(MessageGraph.from_triples(torch.tensor([[0, 0, 1], [1, 0, 0]]), 2, 1), 0, 0, 1).tolist()
        [0, 2]
    """
    base = graph.num_base_relations
    ends = torch.tensor([[head, tail], [tail, head]], device=graph.device)
    kinds = torch.tensor([relation, (relation + base) % (2 * base)], device=graph.device)
    pair, edge = graph.csr.edges_between(ends[0], ends[1])
    return edge[graph.edge_type[edge] == kinds[pair]]
