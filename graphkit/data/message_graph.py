"""The graph along which messages flow: facts and their inverses, or undirected edges in both directions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from graphkit.ops import CSRGraph, SimpleGraph

__all__ = ["MessageGraph"]


@dataclass(frozen=True, eq=False)
class MessageGraph:
    """A multi-relational graph that holds every fact and, after all facts, every inverse.

    Edge e of the first half is a fact (head, r, tail); edge e + E / 2 is (tail, r + R, head), with R the number of
    base relations, so a head query (?, r, t) is the tail query (t, r + R, ?). An undirected graph without relations
    (:meth:`from_edges`) holds both directions of an edge in the same places, all of the one type 0.

    Args:
        edge_index: [2, E] int64, row 0 sources, row 1 targets.
        edge_type: [E] int64 in [0, num_relations).
        num_nodes: number of nodes N.
        num_relations: 2R, inverses counted; 1 without relations.
        x: what is known of the nodes, a row each, or None.

    Example:
        >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), num_nodes=2, num_base_relations=1)
        >>> graph.edge_index.tolist(), graph.edge_type.tolist()
        ([[0, 1], [1, 0]], [0, 1])
    """

    edge_index: Tensor
    edge_type: Tensor
    num_nodes: int
    num_relations: int
    x: Tensor | None = field(default=None, repr=False)
    _moved: dict[torch.device, MessageGraph] = field(default_factory=dict, repr=False)

    @classmethod
    def from_triples(cls, triples: Tensor, num_nodes: int, num_base_relations: int) -> MessageGraph:
        """The graph of facts [n, 3] (head, relation, tail) and their inverses.

        Example:
            >>> MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1).num_edges
            2
        """
        head, relation, tail = triples.t().contiguous()
        edge_index = torch.stack([torch.cat([head, tail]), torch.cat([tail, head])])
        edge_type = torch.cat([relation, relation + num_base_relations])
        return cls(edge_index, edge_type, num_nodes, 2 * num_base_relations)

    @classmethod
    def from_edges(cls, edges: Tensor, num_nodes: int, x: Tensor | None = None) -> MessageGraph:
        """The graph of undirected edges [2, n] without relations: both directions of every edge have type 0.

        Args:
            edges: [2, n] int64.
            num_nodes: N.
            x: features, a row for each node, or None.

        Example:
            >>> graph = MessageGraph.from_edges(torch.tensor([[0], [1]]), num_nodes=2)
            >>> graph.edge_index.tolist(), graph.num_relations
            ([[0, 1], [1, 0]], 1)
        """
        edge_index = torch.cat([edges, edges.flip(0)], 1)
        return cls(edge_index, torch.zeros_like(edge_index[0]), num_nodes, 1, x)

    @cached_property
    def with_self_loops(self) -> MessageGraph:
        """The same graph with one more edge at every node, to itself, of type 0; they come after all others.

        Example:
            >>> MessageGraph.from_edges(torch.tensor([[0], [1]]), num_nodes=2).with_self_loops.edge_index.tolist()
            [[0, 1, 0, 1], [1, 0, 0, 1]]
        """
        node = torch.arange(self.num_nodes, device=self.device)
        edge_index = torch.cat([self.edge_index, node.expand(2, -1)], 1)
        edge_type = torch.cat([self.edge_type, torch.zeros_like(node)])
        return MessageGraph(edge_index, edge_type, self.num_nodes, self.num_relations, self.x)

    @property
    def num_edges(self) -> int:
        """Number of edges, inverses counted.

        Example:
            >>> MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1).num_edges
            2
        """
        return int(self.edge_index.size(1))

    @property
    def num_base_relations(self) -> int:
        """Number of relations without inverses, R.

        Example:
            >>> MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1).num_base_relations
            1
        """
        return self.num_relations // 2

    @property
    def device(self) -> torch.device:
        """Where the edges lie.

        Example:
            >>> MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1).device
            device(type='cpu')
        """
        return self.edge_index.device

    @cached_property
    def csr(self) -> CSRGraph:
        """The sorted forms that the operators use, built once."""
        from graphkit.ops import CSRGraph

        return CSRGraph(self.edge_index, num_nodes=self.num_nodes)

    @cached_property
    def simple(self) -> SimpleGraph:
        """The undirected simple graph behind the edges, built once; relations play no part.

        Example:
            >>> MessageGraph.from_edges(torch.tensor([[0], [1]]), num_nodes=2).simple
            SimpleGraph(num_nodes=2, num_edges=1)
        """
        from graphkit.ops import SimpleGraph

        return SimpleGraph(self.edge_index, num_nodes=self.num_nodes)

    def to(self, device: Any) -> MessageGraph:
        """The graph on a device. The same call gives the same object, so its sorted forms are built once there too.

        Example:
            >>> graph = MessageGraph.from_triples(torch.tensor([[0, 0, 1]]), 2, 1)
            >>> graph.to("cpu") is graph
            True
        """
        device = torch.device(device)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        if device == self.device:
            return self
        if device not in self._moved:
            self._moved[device] = MessageGraph(
                self.edge_index.to(device), self.edge_type.to(device), self.num_nodes, self.num_relations,
                None if self.x is None else self.x.to(device),
            )  # fmt: skip
        return self._moved[device]
