"""Where a node is in its graph: eigenvectors of the Laplacian and return probabilities of random walks."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor

from graphkit.data.random_streams import WALKS, uniform_below
from graphkit.errors import UserError, nearest

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = [
    "AddEncodings",
    "Encoding",
    "encode_graph",
    "encode_graphs",
    "laplacian_encoding",
    "random_walk_encoding",
    "sampled_walk_encoding",
]

_KINDS = ("laplacian", "random_walk", "sampled_walk")
_DENSE = 2000  # nodes up to which a Laplacian is decomposed as a whole
_ENTRIES = 2**24  # non-zeros of the rows of powers that are held at once
_WALKS = 200  # walks a node of "sampled_walk"


@dataclasses.dataclass(frozen=True, eq=False)
class Encoding:
    """Columns that say where a node is.

    Args:
        values: [N, P] float32.
        signed: [P] bool: columns whose sign means nothing, so that training flips it.

    Example:
        >>> Encoding(torch.zeros(3, 2), torch.tensor([True, False])).values.shape
        torch.Size([3, 2])
    """

    values: Tensor
    signed: Tensor


def encode_graph(edge_index: Tensor, num_nodes: int, encodings: Iterable[str]) -> Encoding:
    """The columns that some words ask for, side by side.

    ``"laplacian:8"`` are eight eigenvectors (:func:`laplacian_encoding`), ``"random_walk:16"`` return probabilities after 1
    to 16 steps (:func:`random_walk_encoding`), ``"sampled_walk:16"`` the same from 200 walks a node
    (:func:`sampled_walk_encoding`).

    Args:
        edge_index: [2, E] int64.
        num_nodes: N.
        encodings: words.

    Raises:
        UserError: for another word.

    Example:
        >>> encode_graph(torch.tensor([[0, 1], [1, 0]]), 2, ["laplacian:1", "random_walk:2"]).values.tolist()
        [[0.7071067690849304, 0.0, 1.0], [-0.7071067690849304, 0.0, 1.0]]
    """
    parts, signed = [torch.zeros(num_nodes, 0)], [torch.zeros(0, dtype=torch.bool)]
    for word in encodings:
        kind, size = _parsed(word)
        make = {
            "laplacian": laplacian_encoding, "random_walk": random_walk_encoding, "sampled_walk": sampled_walk_encoding
        }[kind]  # fmt: skip
        parts.append(make(edge_index, num_nodes, size))
        signed.append(torch.full((size,), kind == "laplacian"))
    return Encoding(torch.cat(parts, 1), torch.cat(signed))


def encode_graphs(graphs: Sequence[Data], encodings: Sequence[str]) -> Encoding | None:
    """:func:`encode_graph` of each of many graphs, rows graph after graph; None for no encodings.

    Example:
        >>> from torch_geometric.data import Data
        >>> pair = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)
        >>> encode_graphs([pair, pair], ["random_walk:2"]).values.tolist()
        [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """
    if not encodings:
        return None
    parts = [encode_graph(graph.edge_index, int(graph.num_nodes or 0), encodings) for graph in graphs]
    return Encoding(torch.cat([part.values for part in parts]), parts[0].signed)


class AddEncodings:
    """A transform for PyG's data sets: the columns of :func:`encode_graph` beside ``x``, signs as they come.

    Args:
        encodings: words such as ``"random_walk:16"``.

    Raises:
        UserError: for another word.

    Example:
        >>> from torch_geometric.data import Data
        >>> data = Data(x=torch.ones(2, 3), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> AddEncodings(["random_walk:2"])(data).x.shape
        torch.Size([2, 5])
    """

    def __init__(self, encodings: Sequence[str]) -> None:
        self.encodings = list(encodings)
        for word in self.encodings:
            _parsed(word)

    def __call__(self, data: Any) -> Any:
        data = copy.copy(data)
        values = encode_graph(data.edge_index, int(data.num_nodes), self.encodings).values
        data.x = values if data.x is None else torch.cat([data.x, values.to(data.x)], 1)
        return data


def laplacian_encoding(edge_index: Tensor, num_nodes: int, size: int) -> Tensor:
    r"""Eigenvectors of :math:`I - D^{-1/2} A D^{-1/2}` for the smallest eigenvalues but the first one.

    The graph is taken as undirected and without self-loops. The sign of a vector is such that its largest entry is positive, and
    means nothing: training should flip it. Vectors of one repeated eigenvalue are any basis of their space, so
    they depend on how the nodes are numbered. Up to 2,000 nodes the matrix is decomposed as a whole, beyond that by Lanczos
    iterations on the sparse matrix.

    Args:
        edge_index: [2, E] int64.
        num_nodes: N.
        size: number of vectors P; a graph with too few has columns of zeros.

    Returns:
        [N, P] float32, columns of length 1.

    Raises:
        UserError: for a size below 1.

    Source:
        Dwivedi et al.: Benchmarking Graph Neural Networks (JMLR 2023), section 4.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> laplacian_encoding(path, 3, 1).square().round(decimals=4).flatten().tolist()
        [0.5, 0.0, 0.5]
    """
    _check_size(size)
    out = torch.zeros(num_nodes, size)
    known = min(size, num_nodes - 1)
    if known < 1:
        return out
    matrix = _normalised(edge_index, num_nodes)
    if num_nodes <= max(_DENSE, size + 2):
        _, vectors = np.linalg.eigh(np.eye(num_nodes) - matrix.toarray())
    else:
        # the smallest of I - S are the largest of S, which Lanczos finds without a factorisation
        begin = np.random.Generator(np.random.Philox(0)).standard_normal(num_nodes)
        values, vectors = scipy.sparse.linalg.eigsh(matrix, k=known + 1, which="LA", v0=begin)
        vectors = vectors[:, np.argsort(-values, kind="stable")]
    vectors = vectors[:, 1 : known + 1]
    largest = vectors[np.abs(vectors).round(9).argmax(0), np.arange(known)]
    out[:, :known] = torch.from_numpy(vectors * np.where(largest < 0, -1.0, 1.0)).float()
    return out


def random_walk_encoding(edge_index: Tensor, num_nodes: int, size: int) -> Tensor:
    r"""Return probabilities of uniform walks after 1 to K steps, :math:`\operatorname{diag}((D^{-1} A)^j)`, exactly.

    A walk of j steps that returns is one of :math:`\lceil j/2 \rceil` steps that meets one of :math:`\lfloor j/2 \rfloor`
    backwards,

    .. math:: (P^{a+b})_{ii} = \sum_k (P^a)_{ik} ((P^\top)^b)_{ik},

    so only half the power is ever formed, a block of its rows at a time: memory is bounded, and work grows with the number of nodes
    within :math:`\lceil K/2 \rceil` hops, not with the square of N. Walks follow the edges as stored; repeated edges count
    once, and a walk ends, without a return, at a node that no edge leaves.

    Args:
        edge_index: [2, E] int64.
        num_nodes: N.
        size: K.

    Returns:
        [N, K] float32.

    Raises:
        UserError: for a size below 1.

    Source:
        Dwivedi et al.: Graph Neural Networks with Learnable Structural and Positional Representations (ICLR 2022), equation 11.

    Example:
        >>> path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> random_walk_encoding(path, 3, 2).tolist()
        [[0.0, 0.5], [0.0, 1.0], [0.0, 0.5]]
    """
    _check_size(size)
    forward = _transitions(edge_index, num_nodes)
    backward = forward.T.tocsr()
    out = np.zeros((num_nodes, size))
    pending = [slice(begin, min(begin + 4096, num_nodes)) for begin in range(0, num_nodes, 4096)][::-1]
    while pending:
        rows = pending.pop()
        if not _returns(forward, backward, rows, out):
            middle = (rows.start + rows.stop) // 2
            pending += [slice(middle, rows.stop), slice(rows.start, middle)]
    return torch.from_numpy(out).float()


def sampled_walk_encoding(
    edge_index: Tensor, num_nodes: int, size: int, *, walks: int = _WALKS, seed: int = 0
) -> Tensor:
    r"""An unbiased estimate of :func:`random_walk_encoding` from walks: the share of a node's walks that are back after j steps.

    Its standard deviation is at most :math:`1 / (2 \sqrt{M})` for M walks. Work and memory are M N a step, whatever the
    graph; the draws depend on (seed, step, node, walk) only.

    Args:
        edge_index: [2, E] int64.
        num_nodes: N.
        size: K.
        walks: walks a node M.
        seed: seed of the walks.

    Returns:
        [N, K] float32.

    Raises:
        UserError: for a size or a number of walks below 1.

    Example:
        >>> sampled_walk_encoding(torch.tensor([[0, 1], [1, 0]]), 2, 4).tolist()
        [[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]]
    """
    _check_size(size)
    _check_size(walks, "the number of walks a node")
    matrix = _pattern(edge_index, num_nodes)
    begin = torch.from_numpy(matrix.indptr.astype(np.int64))
    target = torch.from_numpy(matrix.indices.astype(np.int64))
    degree = begin[1:] - begin[:-1]
    home = torch.arange(num_nodes).repeat_interleave(walks)
    place, alive = home.clone(), torch.ones(home.numel(), dtype=torch.bool)
    out = torch.zeros(num_nodes, size)
    for step in range(size):
        alive &= degree[place] > 0
        drawn = uniform_below(degree[place].clamp(min=1), 1, seed=seed, epoch=0, step=step, stream=WALKS)[:, 0]
        moved = (begin[place] + drawn).clamp(max=max(target.numel() - 1, 0))
        place = torch.where(alive, target[moved], place) if target.numel() else place
        out[:, step] = (alive & (place == home)).view(num_nodes, walks).float().mean(1)
    return out


def _parsed(word: str) -> tuple[str, int]:
    found = re.fullmatch(r"(\w+):(\d+)", str(word))
    if not found:
        raise UserError(f"encoding {word!r} is none; expected words such as 'laplacian:8' or 'random_walk:16'")
    if found[1] not in _KINDS:
        raise UserError(f"encoding {word!r}: {nearest(found[1], _KINDS, 'kind')}")
    _check_size(int(found[2]), f"the size of encoding {word!r}")
    return found[1], int(found[2])


def _check_size(size: int, what: str = "size") -> None:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise UserError(f"{what} is {size!r}, expected a whole number from 1 upwards")


def _pattern(edge_index: Tensor, num_nodes: int) -> scipy.sparse.csr_matrix:
    """Ones where there is an edge from the row to the column, once each."""
    row, column = edge_index.cpu().numpy()
    matrix = scipy.sparse.coo_matrix((np.ones(len(row)), (row, column)), (num_nodes, num_nodes)).tocsr()
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def _transitions(edge_index: Tensor, num_nodes: int) -> scipy.sparse.csr_matrix:
    matrix = _pattern(edge_index, num_nodes)
    degree = np.diff(matrix.indptr)
    matrix.data /= np.repeat(degree, degree)
    return matrix


def _normalised(edge_index: Tensor, num_nodes: int) -> scipy.sparse.csr_matrix:
    kept = edge_index[:, edge_index[0] != edge_index[1]]
    matrix = _pattern(torch.cat([kept, kept.flip(0)], 1), num_nodes)
    degree = np.diff(matrix.indptr).astype(np.float64)
    scale = scipy.sparse.diags(np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0.0))
    return (scale @ matrix @ scale).tocsr()


def _returns(forward: Any, backward: Any, rows: slice, out: np.ndarray) -> bool:
    """Fill in the return probabilities of some rows; False, and nothing that lasts, where their powers are too many numbers."""
    left = forward[rows]
    right = scipy.sparse.identity(forward.shape[0], format="csr")[rows]
    for step in range(out.shape[1]):  # left is P^ceil, right the rows of its transpose to the floor
        if step:
            if step % 2:
                right = right @ backward
            else:
                left = left @ forward
            if left.nnz + right.nnz > _ENTRIES and rows.stop - rows.start > 1:
                return False
        out[rows, step] = np.asarray(left.multiply(right).sum(1)).ravel()
    return True
