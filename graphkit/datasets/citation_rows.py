"""Citations as they were published: one row for each, in the order of the file."""

from __future__ import annotations

from pathlib import Path

import torch

from graphkit.data.triples import file_bytes, text_lines
from graphkit.datasets.stored_graph import StoredGraph
from graphkit.errors import UserError

__all__ = ["read_citation_rows"]


def read_citation_rows(path: Path) -> StoredGraph:
    """``NAME.cites``: the names of two documents a row, the cited one first.

    Rows keep their order, and documents that cite each other their two rows, for splits that depend on both. Documents
    are numbered as they first appear.

    Args:
        path: the file.

    Raises:
        UserError: for a file that is missing, empty or not text, and for a row that does not hold two names.

    Source:
        Sen, Namata, Bilgic, Getoor, Gallagher, Eliassi-Rad: Collective Classification in Network Data (AI Magazine 2008).

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "toy.cites"
        >>> _ = file.write_text("35\\t1033\\n1033\\t35\\n35\\t40\\n")
        >>> graph = read_citation_rows(file)
        >>> graph.edge_index.tolist(), graph.nodes
        ([[0, 1, 0], [1, 0, 2]], ['35', '1033', '40'])
    """
    numbers: dict[str, int] = {}
    ends: list[int] = []
    for line, text in enumerate(text_lines(file_bytes(path), path), start=1):
        names = text.split()
        if len(names) != 2:
            raise UserError(
                f"{path}, line {line}: expected the names of two documents, found {len(names)}: {text[:80]!r}"
            )
        ends += (numbers.setdefault(name, len(numbers)) for name in names)
    if not ends:
        raise UserError(f"{path} holds no citation; expected one a line: the cited document and the one that cites it")
    return StoredGraph(torch.tensor(ends, dtype=torch.int64).view(-1, 2).t(), len(numbers), nodes=list(numbers))
