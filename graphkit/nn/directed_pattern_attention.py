"""ADPA's two attentions: over the hops of each directed pattern, and over the patterns."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphkit.errors import UserError, nearest
from graphkit.ops import hop_combine, hop_products

__all__ = ["HOP_ATTENTIONS", "PATTERN_ATTENTIONS", "DirectedPatternAttention", "HopAttention"]

HOP_ATTENTIONS = ("original", "ori_ref", "gate", "simple", "recursive", "none")
PATTERN_ATTENTIONS = ("original", "gate", "ori_ref", "jk", "none")
_SQUASH = ("sigmoid", "none")

#: which vectors of the weight hop t is multiplied with, of so many
_PICKS: dict[str, Callable[[int, int], list[int]]] = {
    "original": lambda t, count: [t, count - 1],
    "ori_ref": lambda t, count: [0, 1],
    "gate": lambda t, count: [0],
    "recursive": lambda t, count: [0, 1],
}


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise UserError(nearest(str(value), known, what))
    return value


def _scrambled(scores: Tensor) -> Tensor:
    """[n, ..., L] as if laid out choice by choice and then read node by node: the released code's mistake."""
    by_choice = scores.movedim(0, -1).flatten(-2)  # [..., L n]
    return by_choice.unflatten(-1, (scores.shape[0], scores.shape[-1])).movedim(-2, 0)


class HopAttention(nn.Module):
    r"""Node-wise weights over the hops of each pattern, before any other layer.

    .. math:: H_{P,i} = \sum_{t=0}^{K} a_{P,i,t} X_{P,i}^{(t)}, \qquad a_{P,i} = \mathrm{softmax}_t(\sigma(s_{P,i,t}))

    ===============  ===============================================================  ===================
    kind             score s                                                          numbers per pattern
    ===============  ===============================================================  ===================
    ``"original"``   :math:`w [X^{(0)} .. X^{(K)}, X^{(t)}] + b` (jumping knowledge)  (K + 2) F + 1
    ``"ori_ref"``    :math:`w [X^{(0)}, X^{(t)}] + b` (initial residual)              2 F + 1
    ``"gate"``       :math:`w X^{(t)} + b`                                            F + 1
    ``"recursive"``  :math:`w [X^{(t)}, \sum_{l<t} a_l X^{(l)}] + b`                  2 F + 1
    ``"simple"``     :math:`v_t`, the same for all nodes                              K + 1
    ``"none"``       plain sum over the hops                                          0
    ===============  ===============================================================  ===================

    With the sigmoid inside the softmax every weight of L hops lies in (1 / (1 + (L - 1) e), e / (e + L - 1)): no hop can
    be chosen alone. In ``"recursive"`` the weights of the sum are the softmax over the hops before.

    Args:
        in_channels: F.
        hops: K.
        num_patterns: p; all are computed together.
        kind: as above.
        squash: ``"sigmoid"`` or ``"none"``.
        legacy_scramble: for ``"original"`` and ``"ori_ref"``, the released code's reshape, which hands each node scores of
            other nodes and hops. Only to reproduce published figures; all nodes must then be given at once.

    Raises:
        UserError: an unknown kind or squash.

    Source:
        Sun et al., Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node Classification (ICDE 2024);
        ``"recursive"``: Zhang et al., Graph Attention Multi-Layer Perceptron (KDD 2022).

    Example:
        >>> attention = HopAttention(4, hops=2, num_patterns=6)
        >>> attention(torch.randn(5, 1 + 6 * 2, 4)).shape
        torch.Size([5, 6, 4])
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        hops: int,
        num_patterns: int = 1,
        *,
        kind: str = "original",
        squash: str = "sigmoid",
        legacy_scramble: bool = False,
    ) -> None:
        super().__init__()
        self.kind, self.squash = _one_of(kind, HOP_ATTENTIONS, "hop attention"), _one_of(squash, _SQUASH, "squash")
        self.in_channels, self.hops, self.num_patterns = in_channels, hops, num_patterns
        self.legacy_scramble = legacy_scramble and kind in ("original", "ori_ref")
        parts = {"original": hops + 2, "ori_ref": 2, "gate": 1, "recursive": 2}.get(kind)
        self.weight = self.bias = None
        if parts is not None:
            self.weight = nn.Parameter(torch.empty(num_patterns, parts, in_channels))
            self.bias = nn.Parameter(torch.empty(num_patterns))
        elif kind == "simple":
            self.weight = nn.Parameter(torch.empty(num_patterns, hops + 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights as those of a linear layer of the same inputs; ``"simple"`` begins with equal weights."""
        if self.weight is not None:
            bound = 1 / math.sqrt(self.weight[0].numel()) if self.weight.dim() == 3 else 0.0
            nn.init.uniform_(self.weight, -bound, bound)
            if self.bias is not None:
                nn.init.uniform_(self.bias, -bound, bound)

    @property
    def vectors(self) -> Tensor | None:
        """``[p, q, F]``: scores are made of the hops' inner products with these; None where features have no say."""
        return self.weight if self.kind in _PICKS else None

    def weights(self, features: Tensor) -> Tensor:
        """Weights of the hops, ``[n, p, K + 1]``; they sum to 1, except for ``"none"``, where each is 1.

        Args:
            features: ``[n, 1 + p K, F]``: hop 0, then hops 1..K of each pattern.
        """
        vectors = self.vectors
        if vectors is None:
            return self._fixed(features)
        return self._of_scores(hop_products(features, vectors[:, self._picks(vectors)]))

    def weights_of(self, products: Tensor) -> Tensor:
        """The same from inner products.

        Args:
            products: ``[n, p, K + 1, q]`` of every hop with each of :attr:`vectors`; q = 0 where there are none.
        """
        vectors = self.vectors
        if vectors is None:
            return self._fixed(products)
        picks = self._picks(vectors).expand(*products.shape[:2], -1, -1)
        return self._of_scores(products.gather(3, picks))

    def forward(self, features: Tensor) -> Tensor:
        """The weighted sums over the hops, ``[n, p, F]``.

        Args:
            features: ``[n, 1 + p K, F]``: hop 0, then hops 1..K of each pattern.
        """
        return hop_combine(features, self.weights(features).to(features.dtype)).transpose(0, 1)

    def _squashed(self, scores: Tensor) -> Tensor:
        return scores.sigmoid() if self.squash == "sigmoid" else scores

    def _picks(self, vectors: Tensor) -> Tensor:
        """int64 ``[K + 1, 1 or 2]``: which of the vectors each hop is multiplied with."""
        picks = [_PICKS[self.kind](t, vectors.shape[1]) for t in range(self.hops + 1)]
        return torch.tensor(picks, device=vectors.device)

    def _fixed(self, like: Tensor) -> Tensor:
        size = (len(like), self.num_patterns, self.hops + 1)
        return like.new_ones(size) if self.weight is None else self._squashed(self.weight).softmax(-1).expand(size)

    def _of_scores(self, products: Tensor) -> Tensor:
        """Weights from products ``[n, p, K + 1, 1 or 2]``, the candidate's last."""
        assert self.bias is not None
        if self.kind == "recursive":
            return self._recursive(products)
        scores = products[..., -1] + self.bias[:, None]
        if self.kind == "original":
            scores = scores + products[..., 0].sum(-1, keepdim=True)
        if self.kind == "ori_ref":
            scores = scores + products[..., :1, 0]
        return self._squashed(_scrambled(scores) if self.legacy_scramble else scores).softmax(-1)

    def _recursive(self, products: Tensor) -> Tensor:
        assert self.bias is not None
        own, history = products.unbind(-1)
        scores = [self._squashed(own[..., 0] + self.bias)]
        for t in range(1, self.hops + 1):
            before = torch.stack(scores, -1).softmax(-1)
            past = (before * history[..., :t]).sum(-1)
            scores.append(self._squashed(own[..., t] + past + self.bias))
        return torch.stack(scores, -1).softmax(-1)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, hops={self.hops}, num_patterns={self.num_patterns}, kind={self.kind!r}"


class DirectedPatternAttention(nn.Module):
    r"""Joins what the patterns have to say about a node.

    With the encoded channels :math:`Z_0` (the node's own features) and :math:`Z_1 .. Z_p` (patterns):

    ==============  ==========================================================================  ============
    kind            result                                                                      out_channels
    ==============  ==========================================================================  ============
    ``"original"``  the channels side by side, each times a learned number drawn from N(0, 1)   (p + 1) D
    ``"gate"``      :math:`\sum_P a_P Z_P`, score :math:`w Z_P + b`                             D
    ``"ori_ref"``   the same with score :math:`w [Z_0, Z_P] + b`                                D
    ``"jk"``        the same with scores :math:`W [Z_0 .. Z_p] + b`                             D
    ``"none"``      :math:`\sum_P Z_P`                                                          D
    ==============  ==========================================================================  ============

    Weights are a = softmax(sigmoid(score)) over the channels of a node.

    Args:
        channels: D.
        num_patterns: number of channels, p + 1.
        kind: as above.
        squash: ``"sigmoid"`` or ``"none"``.
        legacy_scramble: for ``"ori_ref"``, as in :class:`HopAttention`.

    Raises:
        UserError: an unknown kind or squash.

    Source:
        Sun et al., Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node Classification (ICDE 2024),
        directed pattern attention.

    Example:
        >>> attention = DirectedPatternAttention(8, num_patterns=7, kind="gate")
        >>> z = torch.randn(5, 7, 8)
        >>> attention(z).shape, bool((attention.weights(z).sum(1) - 1).abs().max() < 1e-6)
        (torch.Size([5, 8]), True)
    """

    def __init__(
        self,
        channels: int,
        num_patterns: int,
        *,
        kind: str = "original",
        squash: str = "sigmoid",
        legacy_scramble: bool = False,
    ) -> None:
        super().__init__()
        self.kind = _one_of(kind, PATTERN_ATTENTIONS, "pattern attention")
        self.squash = _one_of(squash, _SQUASH, "squash")
        self.channels, self.num_patterns = channels, num_patterns
        self.legacy_scramble = legacy_scramble and kind == "ori_ref"
        self.scale = nn.Parameter(torch.empty(num_patterns)) if kind == "original" else None
        inputs = {"gate": channels, "ori_ref": 2 * channels, "jk": num_patterns * channels}.get(kind)
        self.linear = None if inputs is None else nn.Linear(inputs, num_patterns if kind == "jk" else 1)
        self.reset_parameters()

    @property
    def out_channels(self) -> int:
        """Width of the result."""
        return self.channels * (self.num_patterns if self.kind == "original" else 1)

    def reset_parameters(self) -> None:
        """Fresh random parameters."""
        if self.scale is not None:
            nn.init.normal_(self.scale)
        if self.linear is not None:
            self.linear.reset_parameters()

    def weights(self, z: Tensor) -> Tensor:
        """Weights of the channels, ``[n, p + 1]``.

        Args:
            z: ``[n, p + 1, D]``, the node's own channel first.
        """
        if self.scale is not None:
            return self.scale.expand(len(z), -1)
        if self.linear is None:
            return z.new_ones(z.shape[:2])
        if self.kind == "jk":
            scores = self.linear(z.flatten(1))
        elif self.kind == "ori_ref":
            scores = self.linear(torch.cat([z[:, :1].expand_as(z), z], -1))[..., 0]
        else:
            scores = self.linear(z)[..., 0]
        scores = _scrambled(scores) if self.legacy_scramble else scores
        return (scores.sigmoid() if self.squash == "sigmoid" else scores).softmax(-1)

    def forward(self, z: Tensor) -> Tensor:
        """``[n, out_channels]`` from the channels ``[n, p + 1, D]``, the node's own first."""
        weighted = z * self.weights(z)[..., None]
        return weighted.flatten(1) if self.kind == "original" else weighted.sum(1)

    def extra_repr(self) -> str:
        return f"{self.channels}, num_patterns={self.num_patterns}, kind={self.kind!r}"
