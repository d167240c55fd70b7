"""Edges held by other libraries: networkx graphs, GraphML, columns of pandas and Parquet."""

from __future__ import annotations

import io
import os
import xml.etree.ElementTree
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graphkit.data.edge_columns import cell_name, choose_columns, split_number
from graphkit.data.edge_text import Edge
from graphkit.errors import UserError, nearest

if TYPE_CHECKING:
    import networkx

__all__ = ["column_edges", "networkx_edges", "node_names", "node_values", "parquet_columns", "read_graphml"]

_RELATIONS = ("relation", "predicate", "relationship", "rel", "type", "edge_type", "interaction", "label")


def column_edges(
    names: Sequence[str],
    values: Callable[[int], Sequence[Any]],
    columns: Mapping[str, int | str | None],
    where: str,
    one_relation: str = "edge",
) -> Iterator[Edge]:
    """Edges from named columns; ``values(i)`` gives the values of the i-th.

    Raises:
        UserError: naming column and row, counted from 0.
    """
    if not names:
        raise UserError(f"{where} has no columns; expected head, relation and tail, or head and tail")
    place = choose_columns(names, len(names), columns, where)
    heads, tails = values(place.head), values(place.tail)
    if not len(heads):
        raise UserError(f"{where} holds no edge; expected rows of head, relation, tail, or head, tail")
    relations = None if place.relation is None else values(place.relation)
    splits = None if place.split is None else values(place.split)
    for row, (head, tail) in enumerate(zip(heads, tails, strict=True)):
        yield Edge(
            cell_name(head, f"{where}, row {row}: the head"),
            one_relation if relations is None else cell_name(relations[row], f"{where}, row {row}: the relation"),
            cell_name(tail, f"{where}, row {row}: the tail"),
            None if splits is None else split_number(str(splits[row]), f"{where}, row {row}"),
        )


def parquet_columns(data: bytes, path: str | os.PathLike[str]) -> tuple[list[str], Callable[[int], list[Any]]]:
    """Names of the columns of a Parquet file, and a function that gives the values of the i-th.

    Raises:
        UserError: when pyarrow is not installed or the content is no Parquet.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f'{path}: reading Parquet needs pyarrow; pip install "graphkit-torch[tables]", or save the table as TSV'
        ) from None
    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is no whole Parquet file: {str(error).splitlines()[0]}") from None
    return [str(name) for name in table.column_names], lambda i: table.column(i).to_pylist()


def read_graphml(data: bytes, path: str | os.PathLike[str]) -> networkx.Graph:
    """The networkx graph in the content of a GraphML file.

    Raises:
        UserError: when the content is no GraphML.
    """
    import networkx

    try:
        return networkx.read_graphml(io.BytesIO(data))
    except xml.etree.ElementTree.ParseError as error:
        raise UserError(f"{path}, line {error.position[0]}: no XML ({error}); expected GraphML") from None
    except (networkx.NetworkXError, KeyError, ValueError, StopIteration) as error:
        raise UserError(f"{path} is no GraphML that networkx reads: {error}") from None


def networkx_edges(
    graph: networkx.Graph, relation: str | None, where: str, one_relation: str = "edge"
) -> Iterator[Edge]:
    """Edges of a networkx graph; of an undirected one in both directions.

    Raises:
        UserError: for an edge attribute that no edge has (the nearest one is suggested), an edge that lacks it, or a
            value that is neither text nor a whole number.
    """
    if graph.number_of_edges() == 0:
        raise UserError(f"{where} holds no edge")
    attribute = _relation_attribute(graph, relation, where)
    for source, target, values in graph.edges(data=True):
        name = one_relation
        if attribute is not None:
            if attribute not in values:
                raise UserError(f"{where}: the edge ({source}, {target}) lacks {attribute!r}, which other edges have")
            name = cell_name(values[attribute], f"{where}, edge ({source}, {target}): {attribute}")
        yield Edge(str(source), name, str(target), None)
        if not graph.is_directed() and source != target:
            yield Edge(str(target), name, str(source), None)


def _relation_attribute(graph: networkx.Graph, asked: str | None, where: str) -> str | None:
    present = {str(key) for _, _, values in graph.edges(data=True) for key in values}
    if asked is None:
        return next((name for name in _RELATIONS if name in present), None)
    if asked not in present:
        hint = nearest(asked, present, "edge attribute") if present else "no edge has any attribute"
        raise UserError(f"{where}: relation: {hint}")
    return asked


def node_names(graph: networkx.Graph, where: str) -> list[str]:
    """Names of the nodes of a networkx graph.

    Raises:
        UserError: for an empty name, or two nodes such as 1 and "1" that have one name.
    """
    names = [str(node) for node in graph.nodes]
    known = set(names)
    if "" in known:
        raise UserError(f"{where} has a node whose name is empty; rename it with networkx.relabel_nodes")
    if len(known) != len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise UserError(f"{where} has two nodes of the name {twice!r}; rename one with networkx.relabel_nodes")
    return names


def node_values(graph: networkx.Graph, attributes: Sequence[str], where: str) -> dict[str, list[Any]]:
    """Values of node attributes by the node's name.

    Raises:
        UserError: for an attribute that no node has (the nearest one is suggested), or a node that lacks it.
    """
    present = {str(key) for _, values in graph.nodes(data=True) for key in values}
    for name in attributes:
        if name not in present:
            hint = nearest(name, present, "node attribute") if present else "no node has any attribute"
            raise UserError(f"{where}: features: {hint}")
    found = {}
    for node, values in graph.nodes(data=True):
        lacking = next((name for name in attributes if name not in values), None)
        if lacking is not None:
            raise UserError(f"{where}: the node {str(node)!r} lacks {lacking!r}; give every node its features")
        found[str(node)] = [values[name] for name in attributes]
    return found
