"""Graphs to learn from without labels: one source, and batches that hold graphs of one source only."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import torch
from torch import Tensor

from graphkit.data.graph_partition import partition_graph
from graphkit.data.link_task import LinkTask
from graphkit.data.node_task import NodeTask
from graphkit.data.random_streams import permutation
from graphkit.errors import UserError
from graphkit.ops import SimpleGraph

__all__ = ["SourceBatch", "SourceGraph"]

_PIECE = 100  # nodes of a piece, in the mean


@dataclasses.dataclass(frozen=True, eq=False)
class SourceBatch:
    """Graphs of one source, joined into one without edges between them; no labels.

    Args:
        x: ``[N, F]`` features.
        graph: the undirected graph.
        graph_id: int64 ``[N]``, ascending from 0: the graph of each node.
        num_graphs: G.
        source: name of the source.
        whole: whether this is the source's whole graph, the same objects in every batch.

    Example:
        >>> graph = SimpleGraph(torch.tensor([[0], [1]]), num_nodes=2)
        >>> SourceBatch(torch.zeros(2, 3), graph, torch.zeros(2).long(), 1, "toy").num_nodes
        2
    """

    x: Tensor
    graph: SimpleGraph
    graph_id: Tensor
    num_graphs: int
    source: str
    whole: bool = False

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.x.size(0)


class SourceGraph:
    """What pre-training sees of a task: features and the edges that training may see. Labels are not kept.

    Args:
        name: name of the source.
        x: ``[N, F]`` features or None.
        edge_index: int64 ``[2, E]``; taken as undirected.
        graph_id: int64 ``[N]`` from 0, ascending, where the source is a set of graphs; None: one graph.

    Raises:
        UserError: for a source without nodes.

    Example:
        >>> source = SourceGraph("path", torch.eye(4), torch.tensor([[0, 1, 2], [1, 2, 3]]))
        >>> source.batch(source.x).num_graphs, source.batch(source.x, graphs=2, unit="subgraph").num_nodes
        (1, 4)
    """

    def __init__(
        self,
        name: str,
        x: Tensor | None,
        edge_index: Any,
        graph_id: Tensor | None = None,
        *,
        num_nodes: int | None = None,
    ) -> None:
        self.name, self.x = name, x
        nodes = num_nodes if x is None else x.size(0)
        if not nodes:
            raise UserError(f"{name} has no nodes to learn from")
        self.graph = edge_index if isinstance(edge_index, SimpleGraph) else SimpleGraph(edge_index, num_nodes=nodes)
        self.graph_id = graph_id
        self._pieces: dict[int, Tensor] = {}

    @classmethod
    def of(cls, task: Any) -> SourceGraph:
        """The source that a task is: of a link task the train edges alone, of a set of graphs those of train.

        Args:
            task: a NodeTask, a LinkTask, or a set of graphs that has ``together(graphs)`` and ``graphs_of("train")``.

        Raises:
            UserError: for another object.

        Example:
            >>> from torch_geometric.data import Data
            >>> data = Data(x=torch.eye(3), edge_index=torch.tensor([[0], [1]]), y=torch.tensor([0, 1, 0]))
            >>> mask = torch.ones(3).bool()
            >>> SourceGraph.of(NodeTask("toy", data, train=mask, valid=~mask, test=~mask)).graph.num_edges
            1
        """
        if isinstance(task, cls):
            return task
        if hasattr(task, "together"):
            data = task.together(task.graphs_of("train"))
            return cls(task.name, data.x, data.edge_index, data.batch, num_nodes=int(data.num_nodes))
        if isinstance(task, (NodeTask, LinkTask)):
            return cls(task.name, task.x, task.graph("train").edge_index, num_nodes=task.num_nodes)
        raise UserError(
            f"{type(task).__name__} is no source to pre-train on; pass node tasks, link tasks or sets of graphs"
        )

    @property
    def num_graphs(self) -> int:
        """Graphs of the source.

        Example:
            >>> SourceGraph("one", torch.eye(2), torch.tensor([[0], [1]])).num_graphs
            1
        """
        return 1 if self.graph_id is None else int(self.graph_id.max()) + 1

    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of features and of edges, so that a later task can be seen to be the same graph.

        Example:
            >>> sorted(SourceGraph("one", torch.eye(2), torch.tensor([[0], [1]])).fingerprint())
            ['edges', 'features']
        """
        edges = hashlib.sha256(self.graph.ptr.cpu().numpy().tobytes() + self.graph.col.cpu().numpy().tobytes())
        return {"features": _hashed(self.x), "edges": edges.hexdigest()}

    def pieces(self, seed: int = 0) -> Tensor:
        """int64 ``[N]``: the graph of each node, of a single graph the connected piece of about 100 nodes."""
        if self.graph_id is not None:
            return self.graph_id
        if seed not in self._pieces:
            parts = max(2, self.graph.num_nodes // _PIECE)
            self._pieces[seed] = partition_graph(self.graph, min(parts, self.graph.num_nodes), seed=seed)
        return self._pieces[seed]

    def batches(self, unit: str = "node", graphs: int = 128) -> int:
        """Batches of a pass; a last batch of one graph is merged with the one before.

        Example:
            >>> SourceGraph("one", torch.eye(2), torch.tensor([[0], [1]])).batches()
            1
        """
        if unit == "node" and self.graph_id is None:
            return 1
        count = int(self.pieces().max()) + 1
        return max(1, count // graphs + (count % graphs > 1))

    def batch(
        self, x: Tensor, *, unit: str = "node", graphs: int = 128, seed: int = 0, epoch: int = 0, step: int = 0
    ) -> SourceBatch:
        """A batch; it depends on (seed, epoch, step) only.

        Args:
            x: ``[N, d]``, the features as the model reads them.
            unit: ``"node"``: the whole graph; ``"subgraph"``: graphs of the source, or pieces of its one graph.
            graphs: graphs a batch.
            seed, epoch, step: place of the batch.

        Raises:
            UserError: for another unit.
        """
        if unit not in ("node", "subgraph"):
            raise UserError(f"unit is {unit!r}, expected 'node' or 'subgraph'")
        if unit == "node" and self.graph_id is None:
            return SourceBatch(
                x, self.graph, torch.zeros(len(x), dtype=torch.int64, device=x.device), 1, self.name, True
            )
        piece = self.pieces()
        count = int(piece.max()) + 1
        order = permutation(count, seed=seed, epoch=epoch)
        last = step + 1 >= self.batches(unit, graphs)
        chosen = order[step * graphs :] if last else order[step * graphs : (step + 1) * graphs]
        rank = torch.full((count,), -1)
        rank[chosen] = torch.arange(len(chosen))
        place = rank[piece]
        nodes = torch.argsort(place, stable=True)[int((place < 0).sum()) :]
        number = torch.full((len(piece),), -1)
        number[nodes] = torch.arange(len(nodes))
        row, col = self.graph.row().cpu(), self.graph.col.long().cpu()
        inside = (place[row] >= 0) & (place[row] == place[col])
        edges = torch.stack([number[row[inside]], number[col[inside]]]).to(x.device)
        graph = SimpleGraph(edges, num_nodes=len(nodes))
        return SourceBatch(x[nodes.to(x.device)], graph, place[nodes].to(x.device), len(chosen), self.name)


def _hashed(x: Tensor | None) -> str:
    if x is None:
        return "none"
    plain = x.detach().cpu()
    plain = plain.to_dense() if plain.layout != torch.strided else plain
    return hashlib.sha256(str(tuple(x.shape)).encode() + plain.float().contiguous().numpy().tobytes()).hexdigest()
