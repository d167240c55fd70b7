"""PyG transforms that give any network of nodes the orbits of its graph: as features of nodes and edges, or as edges.

Imported by its own name, ``from graphkit.data.orbit_transforms import AddOrbitCounts``, because PyG takes seconds to import.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphkit.errors import UserError
from graphkit.ops import ORBIT_KEYS, SimpleGraph, orbit_adjacency, orbit_counts

__all__ = ["AddOrbitCounts", "AddOrbitEdgeFeatures", "AddOrbitEdges"]

Key = tuple[int, int, int]


class AddOrbitCounts(BaseTransform):
    """Appends the counts of the 15 orbits with up to four nodes to the node features.

    The edges are taken as undirected; loops and copies do not count.

    Args:
        orbits: which of 0 to 14; None: all.
        log1p: whether ``log(1 + count)`` is given, since counts range over many orders of magnitude.
        attr_name: where they go; ``"x"`` appends them to the features that are there.

    Raises:
        UserError: an unknown orbit, a graph without ``edge_index``, node features that are not ``[N, F]``.

    Source:
        Przulj, Biological network comparison using graphlet degree distribution (Bioinformatics 2007).

    Example:
        >>> data = Data(edge_index=torch.tensor([[0, 0, 0], [1, 2, 3]]), num_nodes=4)
        >>> AddOrbitCounts([0, 6, 7], log1p=False)(data).x.tolist()
        [[3.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    """

    def __init__(self, orbits: Iterable[int] | None = None, *, log1p: bool = True, attr_name: str = "x") -> None:
        self.orbits = list(range(15)) if orbits is None else list(orbits)
        for orbit in self.orbits:
            if isinstance(orbit, bool) or not isinstance(orbit, int) or not 0 <= orbit < 15:
                raise UserError(f"orbit {orbit!r}, expected numbers from 0 to 14")
        self.log1p, self.attr_name = log1p, attr_name

    def forward(self, data: Data) -> Data:
        """The same data with the counts as further columns."""
        graph = _simple(data)
        counts = orbit_counts(graph, num_nodes=graph.num_nodes)[:, self.orbits].to(torch.float64)
        counts = (counts.log1p() if self.log1p else counts).to(torch.get_default_dtype())
        there = getattr(data, self.attr_name, None)
        if there is not None:
            if not isinstance(there, Tensor) or there.dim() not in (1, 2) or there.shape[0] != graph.num_nodes:
                raise UserError(
                    f"data.{self.attr_name} is no matrix with one row for each of {graph.num_nodes} nodes; give attr_name="
                    " another name"
                )
            there = there[:, None] if there.dim() == 1 else there
            dtype = there.dtype if there.is_floating_point() else counts.dtype
            counts = torch.cat([there.to(dtype), counts.to(there.device, dtype)], 1)
        data[self.attr_name] = counts.to(data.edge_index.device)
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(orbits={self.orbits}, log1p={self.log1p}, attr_name={self.attr_name!r})"


class AddOrbitEdgeFeatures(BaseTransform):
    """Appends, for every edge that is stored, its entries of orbit adjacencies to the edge features.

    That suits hop 1, whose orbit adjacencies live on the edges. Entry (u, v) of key (1, i, j) belongs to the edge from u
    to v: u is on orbit i and v on orbit j. Loops get 0.

    Args:
        keys: orbit adjacencies (1, i, j); None: all 18 but (1, 0, 0), which is 1.
        log1p: whether ``log(1 + value)`` is given.
        attr_name: where they go; appended to what is there.

    Raises:
        UserError: a key that is unknown or of another hop, edge features that are not ``[E, F]``.

    Example:
        >>> data = Data(edge_index=torch.tensor([[0, 1, 2, 2], [1, 2, 0, 3]]), num_nodes=4)
        >>> AddOrbitEdgeFeatures([(1, 10, 10), (1, 11, 9)], log1p=False)(data).edge_attr.tolist()
        [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, keys: Iterable[Key] | None = None, *, log1p: bool = True, attr_name: str = "edge_attr") -> None:
        self.keys = _known([key for key in ORBIT_KEYS if key[0] == 1 and key != (1, 0, 0)] if keys is None else keys)
        far = [key for key in self.keys if key[0] != 1]
        if far:
            raise UserError(f"{far[0]} is about pairs that are not adjacent; use AddOrbitEdges, or keys of hop 1")
        self.log1p, self.attr_name = log1p, attr_name

    def forward(self, data: Data) -> Data:
        """The same data with the values as further columns."""
        graph = _simple(data)
        n, edges = graph.num_nodes, data.edge_index.cpu()
        found = orbit_adjacency(graph, num_nodes=n, keys=self.keys)
        real = edges[0] != edges[1]
        place = torch.searchsorted(graph.row() * n + graph.col, edges[0, real] * n + edges[1, real])
        values = torch.zeros(edges.shape[1], len(self.keys), dtype=torch.float64)
        for k, key in enumerate(self.keys):
            values[real, k] = found[key].values()[place].to(torch.float64)
        values = (values.log1p() if self.log1p else values).to(torch.get_default_dtype())
        there = getattr(data, self.attr_name, None)
        if there is not None:
            if not isinstance(there, Tensor) or there.dim() not in (1, 2) or there.shape[0] != edges.shape[1]:
                raise UserError(
                    f"data.{self.attr_name} is no matrix with one row for each of {edges.shape[1]} edges; give attr_name="
                    " another name"
                )
            there = there[:, None] if there.dim() == 1 else there
            dtype = there.dtype if there.is_floating_point() else values.dtype
            values = torch.cat([there.to(dtype), values.to(there.device, dtype)], 1)
        data[self.attr_name] = values.to(data.edge_index.device)
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(keys={self.keys}, log1p={self.log1p}, attr_name={self.attr_name!r})"


class AddOrbitEdges(BaseTransform):
    """Adds the entries of orbit adjacencies as edges of further types, with their values as weights.

    The edges that are there keep their ``edge_type`` (0 where there is none) and ``edge_weight`` (1 where there is none).
    The k-th key gets the k-th type above them, and entry (u, v) is an edge from v to u, so that a layer of PyG's
    gathers at u what the matrix gathers there. For layers with relations ``edge_type`` is enough;
    ``data.to_heterogeneous()`` makes edge types of it.

    Args:
        keys: orbit adjacencies (hop, i, j).
        weight: of an edge with value m: ``"value"`` is m, ``"log1p"`` is log(1 + m), ``"mean"`` is m over the sum of its
            row, ``"symmetric"`` is m over the square root of the sums of row and column, ``"one"`` is 1.
        memory: bytes that the orbit adjacencies may take, as for :func:`graphkit.ops.orbit_adjacency`.

    Raises:
        UserError: an unknown key or weight; attributes of edges other than type and weight, which new edges lack; a
            result that does not fit into memory.

    Example:
        >>> path = Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3)
        >>> data = AddOrbitEdges([(2, 1, 1)])(path)
        >>> data.edge_index[:, 4:].tolist(), data.edge_type.tolist()
        ([[2, 0], [0, 2]], [0, 0, 0, 0, 1, 1])
    """

    def __init__(self, keys: Iterable[Key], *, weight: str = "log1p", memory: int | None = None) -> None:
        self.keys, self.weight, self.memory = _known(keys), weight, memory
        if weight not in _WEIGHTS:
            raise UserError(f"weight is {weight!r}, expected one of {', '.join(_WEIGHTS)}")

    def forward(self, data: Data) -> Data:
        """The same data with more edges."""
        graph = _simple(data)
        n, count = graph.num_nodes, data.edge_index.shape[1]
        others = [
            name for name in data.keys()  # noqa: SIM118  (Data iterates over pairs)
            if data.is_edge_attr(name) and name not in ("edge_index", "edge_type", "edge_weight")
        ]  # fmt: skip
        if others:
            raise UserError(
                f"the edges have {others[0]}, which new edges would lack; drop it, or add the orbits of edges with"
                " AddOrbitEdgeFeatures"
            )
        device, dtype = data.edge_index.device, torch.get_default_dtype()
        types = data.edge_type if "edge_type" in data else torch.zeros(count, dtype=torch.int64, device=device)
        weights = data.edge_weight if "edge_weight" in data else torch.ones(count, dtype=dtype, device=device)
        first = int(types.max()) + 1 if count else 1
        parts = [(data.edge_index, types, weights)]
        found = orbit_adjacency(graph, num_nodes=n, keys=self.keys, memory=self.memory)
        for k, key in enumerate(self.keys):
            matrix = found.pop(key)
            rows = torch.repeat_interleave(torch.arange(n), matrix.crow_indices().diff().long())
            kept = matrix.values() != 0
            rows, columns, values = rows[kept], matrix.col_indices()[kept].long(), matrix.values()[kept]
            weight = _WEIGHTS[self.weight](values.to(torch.float64), rows, columns, n).to(weights.dtype)
            kind = torch.full((len(rows),), first + k, dtype=types.dtype)
            parts.append((torch.stack([columns, rows]).to(device), kind.to(device), weight.to(device)))
        data.edge_index, data.edge_type, data.edge_weight = (
            torch.cat(pieces, dim=-1) for pieces in zip(*parts, strict=True)
        )
        data.num_nodes = n
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(keys={self.keys}, weight={self.weight!r})"


def _sums(values: Tensor, at: Tensor, n: int) -> Tensor:
    return values.new_zeros(n).index_add_(0, at, values)[at]


_WEIGHTS: dict[str, Any] = {
    "value": lambda values, rows, columns, n: values,
    "log1p": lambda values, rows, columns, n: values.log1p(),
    "mean": lambda values, rows, columns, n: values / _sums(values, rows, n),
    "symmetric": lambda values, rows, columns, n: values / (_sums(values, rows, n) * _sums(values, columns, n)).sqrt(),
    "one": lambda values, rows, columns, n: torch.ones_like(values),
}


def _known(keys: Iterable[Key]) -> list[Key]:
    """Keys as :func:`orbit_adjacency` knows them; it says what is wrong with others."""
    return list(orbit_adjacency(torch.empty(2, 0, dtype=torch.int64), num_nodes=0, keys=keys))


def _simple(data: Data) -> SimpleGraph:
    edges = getattr(data, "edge_index", None)
    if not isinstance(data, Data) or not isinstance(edges, Tensor):
        raise UserError(f"got {type(data).__name__} without edge_index, expected a PyG Data with edges of one kind")
    return SimpleGraph(edges.detach().cpu(), num_nodes=int(data.num_nodes or 0))
