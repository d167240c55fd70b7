"""Tokens of nodes by random walks, drawn once, anew in every epoch or anew in every step."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest
from graphkit.ops import CSRGraph, WalkTokens, undirected_edges, walk_tokens
from graphkit.ops.common_neighbors_reference import philox
from graphkit.ops.csr import as_csr
from graphkit.ops.walks import LONGEST_WALK, MOST_REPEATS, MOST_WALKS, check_whole, draw_name

__all__ = ["WalkTokenizer"]

_MODES = ("static", "epoch", "step")
_LAST = 2**32 - 1  # the counter has 32 bits


class WalkTokenizer(nn.Module):
    r"""The tokens of Graph Mamba: for every node m s sets of nodes that random walks visit, see :func:`graphkit.ops.walk_tokens`.

    A node's tokens follow from the seed, the counter and the node's key; the mode says how the counter runs.

    ================  ==========================================  ==================
    mode              counter in training                         counter otherwise
    ================  ==========================================  ==================
    ``"static"``      0; the s tokens of a length are shuffled    0
    ``"epoch"``       1 + epoch, set by :meth:`begin_epoch`        0
    ``"step"``        1, 2, 3, ...: one more in every call         0
    ================  ==========================================  ==================

    Args:
        walk_length: m, 0 to 255.
        walks: M, 1 to 4096.
        repeats: s, 0 to 4096.
        mode: ``"static"`` (the paper: sampled before training), ``"epoch"`` or ``"step"``.
        seed: 0 to 2^64 - 1.
        undirected: walk on the undirected graph: both directions of every edge, copies dropped. Without it edges are followed
            as stored.
        return_walks, return_edges: what else a call returns.

    Shapes: see :class:`graphkit.ops.WalkTokens`. ``edge_id`` names columns of the ``edge_index`` that was handed in.

    Raises:
        UserError: an unknown mode, a number outside its range.

    Source:
        Behrouz, Hashemi, Graph Mamba: towards learning on graphs with state space models (KDD 2024), section 4.1. The modes
        ``"epoch"`` and ``"step"`` are not in the paper.

    Example:
        >>> tokenizer = WalkTokenizer(walk_length=2, walks=4, repeats=3, mode="epoch")
        >>> tokens = tokenizer(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
        >>> tokens.ptr.shape, tokens.nodes[0].item()
        (torch.Size([19]), 0)
    """

    clock: Tensor

    def __init__(
        self,
        walk_length: int,
        walks: int,
        repeats: int,
        *,
        mode: str = "epoch",
        seed: int = 0,
        undirected: bool = True,
        return_walks: bool = False,
        return_edges: bool = False,
    ) -> None:
        super().__init__()
        check_whole("walk_length", walk_length, 0, LONGEST_WALK, "a draw has 8 bits for the length")
        check_whole("walks", walks, 1, MOST_WALKS, "a draw has 12 bits for the walk")
        check_whole("repeats", repeats, 0, MOST_REPEATS, "a draw has 12 bits for the repeat")
        check_whole("seed", seed, 0, 2**64 - 1, "it is a key of 64 bits")
        if mode not in _MODES:
            raise UserError(nearest(str(mode), _MODES, "mode"))
        self.walk_length, self.walks, self.repeats = walk_length, walks, repeats
        self.mode, self.seed, self.undirected = mode, seed, undirected
        self.return_walks, self.return_edges = return_walks, return_edges
        # of training: 1 + epoch, or the number of calls; a checkpoint holds it
        self.register_buffer("clock", torch.tensor(1 if mode == "epoch" else 0))
        self._kept: tuple[Any, ...] | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Tells the epoch that begins, counted from 0; other modes than ``"epoch"`` do not mind.

        Example:
            >>> tokenizer = WalkTokenizer(2, 1, 1)
            >>> tokenizer.begin_epoch(4)
            >>> int(tokenizer.clock)
            5
        """
        check_whole("epoch", epoch, 0, _LAST - 1, "the counter of the draws has 32 bits")
        if self.mode == "epoch":
            self.clock.fill_(epoch + 1)

    def forward(
        self,
        edge_index: Tensor | CSRGraph,
        num_nodes: int,
        nodes: Tensor | None = None,
        *,
        counter: int | None = None,
        node_key: Tensor | None = None,
    ) -> WalkTokens:
        """Tokens of some nodes.

        Args:
            edge_index: int64 ``[2, E]``, PyG's ``EdgeIndex`` or a :class:`graphkit.ops.CSRGraph`; what is derived from it is
                kept until another one comes.
            num_nodes: N.
            nodes: int64 ``[S]``, or None: all nodes.
            counter: a counter of the caller's instead of the mode's; nothing is shuffled or counted then.
            node_key: int64 ``[N]``, as for :func:`graphkit.ops.sample_walks`.
        """
        graph, origin = self._graph(edge_index, num_nodes)
        start = torch.arange(num_nodes, device=graph.device) if nodes is None else nodes
        shuffle = self.training and counter is None and self.mode == "static"
        tokens = walk_tokens(
            graph, start, num_nodes=num_nodes, walk_length=self.walk_length, walks=self.walks, repeats=self.repeats,
            seed=self.seed, counter=self._tick() if counter is None else counter, node_key=node_key,
            return_walks=self.return_walks, return_edges=self.return_edges,
        )  # fmt: skip
        if shuffle and self.repeats > 1 and self.walk_length:
            tokens = tokens.permute(self._shuffled(start if node_key is None else node_key[start]))
        if origin is not None and tokens.edge_id is not None:
            tokens = tokens._replace(edge_id=origin[tokens.edge_id])
        return tokens

    def _tick(self) -> int:
        """The counter of this call; calls in training are counted."""
        if not self.training:
            return 0
        if self.mode != "epoch":
            self.clock += 1
        return 0 if self.mode == "static" else int(self.clock) & _LAST

    def _shuffled(self, key: Tensor) -> Tensor:
        """A permutation of the tokens that moves those of one node and length among themselves.

        It follows from the seed, the clock and the node's key, like the draws, so it does not depend on the batch. Draws of
        walks have a length from 1; length 0 is free to name these.
        """
        m, s = self.walk_length, self.repeats
        length = torch.arange(m, device=key.device).repeat_interleave(s)
        name = draw_name(0, torch.arange(s, device=key.device).repeat(m), length)
        low, name = torch.broadcast_tensors(key[:, None] & _LAST, name)
        clock = torch.full_like(low, int(self.clock) & _LAST)
        words = torch.stack([low, clock, name, ((key[:, None] >> 32) << 16).expand_as(low)], -1)
        word = philox(words.reshape(-1, 4), self.seed)[:, 0].view(-1, s)
        first = torch.arange(len(word), device=key.device)[:, None] * s
        return (torch.sort(word, dim=1, stable=True).indices + first).flatten()

    def _graph(self, edge_index: Tensor | CSRGraph, num_nodes: int) -> tuple[CSRGraph, Tensor | None]:
        """The graph that is walked on, and the given column of each of its edges; made once for one edge list."""
        lasting, version = True, 0
        if isinstance(edge_index, Tensor):
            lasting = not edge_index.is_inference()  # what inference mode made counts no versions
            version = edge_index._version if lasting else 0
        kept = self._kept
        if (
            kept is not None
            and lasting
            and kept[0]() is edge_index
            and kept[1] == (version, num_nodes, self.undirected)
        ):
            return kept[2], kept[3]
        if not self.undirected:
            graph, origin = as_csr(edge_index, num_nodes), None
        else:
            given = as_csr(edge_index, num_nodes).edge_index if isinstance(edge_index, CSRGraph) else edge_index
            with torch.inference_mode(False):
                edges, origin = undirected_edges(given, num_nodes=num_nodes)
                graph = CSRGraph(edges, num_nodes=num_nodes)
        if lasting:
            self._kept = (weakref.ref(edge_index), (version, num_nodes, self.undirected), graph, origin)
        return graph, origin

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}  # a copy of the module makes its own

    def extra_repr(self) -> str:
        return (
            f"walk_length={self.walk_length}, walks={self.walks}, repeats={self.repeats}, mode={self.mode!r}, "
            f"seed={self.seed}, undirected={self.undirected}"
        )
