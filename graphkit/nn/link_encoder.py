"""States of the nodes of an undirected graph, made once for all pairs that are scored."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.errors import UserError, nearest
from graphkit.nn.dropout import Dropout, dropout
from graphkit.nn.sparse_features import sparse_features
from graphkit.ops import CSRGraph, SimpleGraph, masked_spmm
from graphkit.ops.simple_graph import as_simple

__all__ = ["CONVOLUTIONS", "LinkEncoder"]

#: norm, self-loops and reduce of each kind of layer
CONVOLUTIONS = {
    "gcn": ("sym", True, "sum"),
    "sage": ("none", False, "mean"),
    "gin": ("none", False, "sum"),
    "max": ("none", False, "max"),
    "puregcn": ("sym", True, "sum"),
    "puresum": ("none", False, "sum"),
    "puremean": ("none", False, "mean"),
    "puremax": ("none", False, "max"),
}


class LinkEncoder(nn.Module):
    r"""Message passing for link prediction, from which edges can be taken out without rebuilding anything.

    Kinds of layers, A being the graph that is left:

    =====================================  =========================================================================
    ``gcn``                                :math:`(D + I)^{-1/2} (A + I) (D + I)^{-1/2} X W + b`
    ``sage``, ``gin``, ``max``             mean, sum or maximum over neighbours of :math:`X W`, plus b
    ``puregcn``, ``puresum``,              the same aggregations of X, without weights
    ``puremean``, ``puremax``
    ``none``                               no layers
    =====================================  =========================================================================

    Layers with weights are followed by layer norm, dropout and ReLU, but for the last of several. Weightless layers are
    followed by nothing, the last by dropout; they come after a linear map of the features.

    Bags of words and other features with few non-zeros are multiplied as sparse matrices, their dropout included; the
    result is that of the dense product.

    Args:
        in_channels: features of a node; 0 for a graph without features, whose nodes get a free embedding each.
        hidden_channels: F.
        num_layers: L.
        conv: kind of the layers.
        num_nodes: N, for free embeddings.
        embedding: features name a category each (one-hot rows, or whole numbers [N] or [N, 1]), which gets a free
            embedding; ``in_channels`` is the number of categories.
        jk: the states are :math:`\sum_l c_l X_l` over the layers, c learned; they start at 1 / L.
        residual: adds a layer's input to its output where their widths agree.
        layer_norm: whether layers with weights normalise.
        input_dropout: of the features.
        dropout: after the linear map or the embedding, and in layers with weights.
        tail_dropout: after the last of weightless layers.
        edge_dropout: each layer leaves edges out with this probability, in both directions together, and divides the
            others by 1 - p (``max``: without dividing).
        compat: as the released code: c starts at normal random numbers, and edge dropout takes the two directions of an
            edge separately (not for ``max``).

    Raises:
        UserError: an unknown kind, or a number out of range.

    Source:
        Wang, Yang, Zhang: Neural Common Neighbor with Completion for Link Prediction (ICLR 2024), appendix; Xu et al.,
        Jumping Knowledge Networks (ICML 2018).

    Example:
        >>> edges = torch.tensor([[0, 1], [1, 2]])
        >>> LinkEncoder(5, 8, 2, conv="puregcn")(torch.randn(3, 5), edges).shape
        torch.Size([3, 8])
        >>> LinkEncoder(0, 8, 1, conv="puresum", num_nodes=3)(None, edges).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        *,
        conv: str = "gcn",
        num_nodes: int | None = None,
        embedding: bool = False,
        jk: bool = False,
        residual: bool = False,
        layer_norm: bool = True,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        tail_dropout: float = 0.0,
        edge_dropout: float = 0.0,
        compat: bool = False,
    ) -> None:
        super().__init__()
        if conv not in (*CONVOLUTIONS, "none"):
            raise UserError(nearest(str(conv), (*CONVOLUTIONS, "none"), "encoder"))
        if in_channels < 0 or hidden_channels < 1 or num_layers < 0:
            raise UserError(
                f"in_channels is {in_channels}, hidden_channels {hidden_channels}, num_layers {num_layers}; expected at "
                "least 0, 1 and 0"
            )
        rates = {"input_dropout": input_dropout, "dropout": dropout, "tail_dropout": tail_dropout}
        for name, value in {**rates, "edge_dropout": edge_dropout}.items():
            if not 0 <= value < 1:
                raise UserError(f"{name} is {value}, expected a probability of at least 0 and below 1")
        num_layers = 0 if conv == "none" else num_layers
        pure = num_layers == 0 or conv.startswith("pure")
        self.in_channels, self.conv, self.residual = in_channels, conv, residual
        self.input_dropout, self.edge_dropout, self.compat = input_dropout, edge_dropout, compat
        self.categories = embedding
        self.embedding: nn.Embedding | None = None
        if in_channels == 0 or embedding:
            rows = in_channels or num_nodes
            if not rows:
                raise UserError("the graph has no features, so each node gets an embedding of its own; pass num_nodes")
            self.embedding = nn.Embedding(rows, hidden_channels)
            nn.init.orthogonal_(self.embedding.weight)
        first = hidden_channels if pure or self.embedding is not None else in_channels
        from_features = pure and self.embedding is None
        self.input = nn.Linear(in_channels, hidden_channels) if from_features else None
        self.dropout = Dropout(dropout)
        widths = [first, *[hidden_channels] * (num_layers - 1)]
        self.lins = nn.ModuleList([] if pure else [nn.Linear(width, hidden_channels) for width in widths])
        self.blocks = nn.ModuleList()
        for layer in range(num_layers):
            last = layer == num_layers - 1
            parts: list[nn.Module] = []
            if pure:
                parts = [Dropout(tail_dropout)] if last else []
            elif not last or num_layers == 1:
                norm = [nn.LayerNorm(hidden_channels)] if layer_norm else []
                parts = [*norm, Dropout(dropout), nn.ReLU()]
            self.blocks.append(nn.Sequential(*parts))
        self.jk = nn.Parameter(torch.full((num_layers,), 1 / max(num_layers, 1))) if jk and num_layers else None
        if compat and self.jk is not None:
            nn.init.normal_(self.jk)

    def forward(
        self,
        x: Tensor | None,
        edge_index: Tensor | CSRGraph | SimpleGraph,
        *,
        removed: Tensor | None = None,
        edge_weight: Tensor | None = None,
        loop_weight: Tensor | None = None,
    ) -> Tensor:
        """States [N, F].

        Args:
            x: [N, in_channels] features, categories [N] or [N, 1] with ``embedding``, None for a graph without.
            edge_index: the graph, undirected; int64 [2, E], or a form of it that the operators know.
            removed: uint8 [M], edges that are taken out, see :meth:`graphkit.ops.SimpleGraph.removed_by`.
            edge_weight: [2 M], weights of the messages, one for each entry of the :class:`graphkit.ops.SimpleGraph`, that every
                layer sums with instead of its own; those of edges that are left stay what they are, nothing is normalised.
            loop_weight: [N], with ``edge_weight``: the weight of a node's own state; None: 0.

        Raises:
            UserError: features, a graph or weights that do not fit the encoder.
        """
        if loop_weight is not None and edge_weight is None:
            raise UserError("loop_weight goes with edge_weight; pass both")
        own = self.embedding is not None and not self.categories
        if own:
            num_nodes = self.embedding.num_embeddings  # type: ignore[union-attr]
        elif x is None:
            raise UserError(f"the encoder was made for {self.in_channels} features a node, but the graph has none")
        else:
            num_nodes = x.size(0)
        graph = as_simple(edge_index, num_nodes)
        h = self._start(x)
        hidden = []
        for depth, block in enumerate(self.blocks):
            before, h = h, self._layer(h, depth, graph, removed, edge_weight, loop_weight)
            h = block(h)
            if self.residual and before is not None and before.shape == h.shape:
                h = h + before
            hidden.append(h)
        if self.jk is not None:
            h = sum(weight * state for weight, state in zip(self.jk, hidden, strict=True))  # type: ignore[assignment]
        return h

    def _start(self, x: Tensor | None) -> Tensor:
        """What the first layer reads; features whose first map belongs to that layer come as they are."""
        if self.embedding is not None:
            rows = self.embedding.weight if not self.categories else self.embedding(self._category(x))
            return self.dropout(rows)
        assert x is not None
        if x.dim() != 2 or x.size(1) != self.in_channels:
            raise UserError(
                f"x is {list(x.shape)}, expected [N, {self.in_channels}], the features this encoder was made for"
            )
        return x if self.input is None else self.dropout(self._of_features(self.input, x, bias=True))

    def _category(self, x: Tensor | None) -> Tensor:
        assert x is not None
        if not x.is_floating_point():
            category = x.reshape(-1) if x.dim() == 1 or x.size(1) == 1 else x.argmax(1)
        else:
            if bool((x.count_nonzero(1) != 1).any()):
                raise UserError("embedding=True takes one category a node: whole numbers, or rows with a single 1")
            category = x.argmax(1)
        if category.numel() and not 0 <= int(category.min()) <= int(category.max()) < self.in_channels:
            raise UserError(f"categories lie outside of 0 to {self.in_channels - 1}, for which the encoder was made")
        return category

    def _of_features(self, linear: nn.Linear, x: Tensor, *, bias: bool) -> Tensor:
        rows = sparse_features(x)
        if rows is None:
            return F.linear(
                dropout(x, self.input_dropout, self.training).to(linear.weight.dtype),
                linear.weight,
                linear.bias if bias else None,
            )
        out = rows.product(linear.weight, dropout=self.input_dropout, training=self.training)
        return out + linear.bias if bias else out

    def _layer(
        self,
        h: Tensor,
        depth: int,
        graph: SimpleGraph,
        removed: Tensor | None,
        edge_weight: Tensor | None,
        loop_weight: Tensor | None,
    ) -> Tensor:
        norm, loops, reduce = CONVOLUTIONS[self.conv]
        if edge_weight is not None:
            norm, loops, reduce = "none", False, "max" if reduce == "max" else "sum"
        bias = None
        if len(self.lins):
            linear = self.lins[depth]
            assert isinstance(linear, nn.Linear)
            bias = linear.bias
            given = depth == 0 and self.embedding is None
            h = self._of_features(linear, h, bias=False) if given else F.linear(h, linear.weight)
        weight = None
        if self.training and self.edge_dropout > 0:
            if reduce == "max":
                dropped = torch.rand(graph.num_edges, device=h.device) < self.edge_dropout
                removed = dropped if removed is None else dropped | removed.bool()
            elif self.compat:
                weight = F.dropout(h.new_ones(len(graph.col), dtype=torch.float32), self.edge_dropout)
            else:
                weight = F.dropout(h.new_ones(graph.num_edges, dtype=torch.float32), self.edge_dropout)[
                    graph.edge.long()
                ]
        if edge_weight is not None:
            weight = edge_weight if weight is None else edge_weight * weight
        out = masked_spmm(
            graph, h, num_nodes=graph.num_nodes, norm=norm, self_loops=loops, reduce=reduce, edge_weight=weight,
            removed=removed,
        )  # fmt: skip
        if loop_weight is not None:
            out = out + (loop_weight[:, None] * h).to(out.dtype)
        return out if bias is None else out + bias
