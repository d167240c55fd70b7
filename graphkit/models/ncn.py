"""NCN and NCNC: neural common neighbours, with completion (Wang, Yang, Zhang, ICLR 2024)."""

from __future__ import annotations

from typing import Any

from graphkit.errors import UserError, nearest
from graphkit.models.pair_prediction import PairPrediction
from graphkit.nn import CommonNeighborHead, CompletedNeighborHead, LinkEncoder, MessageReweighting

__all__ = ["NCN", "NCNC"]

_STRUCTURES = {
    "gae": "none", "gae_cn": "count", "gae_cn_concat": "concat_count", "ncn": "pool", "ncn2": "second_order",
    "ncn_diff": "difference",
}  # fmt: skip


class NCN(PairPrediction):
    r"""Scores a pair by its two nodes and by the states of their common neighbours.

    .. math:: h = \mathrm{GNN}(A, X), \quad s_{ij} = \mathrm{MLP}\Bigl(h_i \circ h_j,\ \sum_{u \in N(i) \cap N(j)} h_u\Bigr)

    The GNN runs once on the graph, whatever the number of pairs. In training the edges of the batch are hidden from it
    and from the common neighbours.

    Args:
        in_channels: features of a node; 0 where there are none.
        hidden_channels: F.
        num_layers: layers of the GNN.
        num_nodes: N; needed only where there are no features, and for re-weighting.
        encoder: kind of the GNN's layers, see :class:`graphkit.nn.LinkEncoder`: ``"gcn"``, ``"sage"``, ``"gin"``,
            ``"max"``, ``"puregcn"``, ``"puresum"``, ``"puremean"``, ``"puremax"`` or ``"none"``.
        embedding: features name a category each, which gets an embedding.
        jk: the states are a learned combination of all layers.
        residual: adds a layer's input to its output.
        encoder_layer_norm: whether layers with weights normalise.
        input_dropout: of the features.
        dropout: in the GNN.
        tail_dropout: after weightless layers.
        edge_dropout: of the edges along which messages flow.
        predictor: ``"ncn"``; ``"gae"`` (no common neighbours), ``"gae_cn"`` and ``"gae_cn_concat"`` (their number),
            ``"ncn2"`` and ``"ncn_diff"`` (further sets), see :class:`graphkit.nn.CommonNeighborHead`.
        predictor_dropout: in the head.
        predictor_edge_dropout: of the edges that make common neighbours.
        predictor_layer_norm: whether the head normalises.
        node_mlp: states of neighbours go through a perceptron before they are summed.
        tail_activation: as in the head.
        two_layer_readout: as in the head.
        beta: first value of the weight of common neighbours.
        max_common: at most so many common neighbours are summed, sampled without bias; None: all.
        remove_targets: hide the edges of the batch in training.
        frozen_encoder: keep the weights of the GNN, and run it as in evaluation.
        num_edges: undirected edges of the train graph; needed only for re-weighting.
        reweighting_gamma: renew the weights of the GNN's messages in training, by what the head thinks of the products of the
            states of each train edge, and how strongly; see :class:`graphkit.nn.MessageReweighting`. For the encoders ``"gcn"``,
            ``"puregcn"``, ``"sage"`` and ``"puremean"``. None: not at all. Edges hidden in training lose their weight, those of
            the others stay what they are.
        reweighting_warm_up: epochs before the first update.
        reweighting_interval: updates come after those epochs whose number is a multiple of it.
        reweighting_aggregate: weights of the surroundings with which neighbours are compared, ``"gcn"`` or ``"sage"``.
        reweighting_compat: as the released code of re-weighting, which transposes its shares.
        compat: as the released code, see :class:`graphkit.nn.LinkEncoder` (random weights of ``jk``, edge dropout by
            direction) and :class:`graphkit.nn.CommonNeighborHead` (mis-built NCN2 and NCN-diff).

    Raises:
        UserError: a choice that does not exist or a number out of range.

    Source:
        Wang, Yang, Zhang: Neural Common Neighbor with Completion for Link Prediction (ICLR 2024), equations 5-6.

    Example:
        >>> import torch
        >>> from graphkit.data import MessageGraph
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 1, 2], [1, 2, 3]]), 4, x=torch.eye(4))
        >>> NCN(4, 8, 1).eval().score_pairs(graph, torch.tensor([[0, 1], [2, 3]])).shape
        torch.Size([2])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 256,
        num_layers: int = 1,
        *,
        num_nodes: int | None = None,
        encoder: str = "puregcn",
        embedding: bool = False,
        jk: bool = True,
        residual: bool = False,
        encoder_layer_norm: bool = True,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        tail_dropout: float = 0.0,
        edge_dropout: float = 0.0,
        predictor: str = "ncn",
        predictor_dropout: float = 0.0,
        predictor_edge_dropout: float = 0.0,
        predictor_layer_norm: bool = True,
        node_mlp: bool = True,
        tail_activation: bool = True,
        two_layer_readout: bool = False,
        beta: float = 1.0,
        max_common: int | None = None,
        remove_targets: bool = True,
        frozen_encoder: bool = False,
        num_edges: int | None = None,
        reweighting_gamma: float | None = None,
        reweighting_warm_up: int = 50,
        reweighting_interval: int = 50,
        reweighting_aggregate: str = "gcn",
        reweighting_compat: bool = False,
        compat: bool = False,
    ) -> None:
        super().__init__()
        structure = self._structure(predictor)
        self.remove_targets, self.frozen_encoder = remove_targets, frozen_encoder
        self.encoder = LinkEncoder(
            in_channels, hidden_channels, num_layers, conv=encoder, num_nodes=num_nodes, embedding=embedding, jk=jk,
            residual=residual, layer_norm=encoder_layer_norm, input_dropout=input_dropout, dropout=dropout,
            tail_dropout=tail_dropout, edge_dropout=edge_dropout, compat=compat,
        )  # fmt: skip
        self.predictor = self._head(
            hidden_channels, structure=structure, dropout=predictor_dropout, edge_dropout=predictor_edge_dropout,
            layer_norm=predictor_layer_norm, node_mlp=node_mlp, tail_activation=tail_activation,
            two_layer_readout=two_layer_readout, beta=beta, max_common=max_common, compat=compat,
        )  # fmt: skip
        self.reweighting = None
        if reweighting_gamma is not None:
            self.reweighting = MessageReweighting(
                num_nodes, num_edges, conv=encoder, gamma=reweighting_gamma, warm_up=reweighting_warm_up,
                interval=reweighting_interval, aggregate=reweighting_aggregate, compat=reweighting_compat,
            )  # fmt: skip
        if frozen_encoder:
            self.encoder.requires_grad_(False).eval()

    @staticmethod
    def _structure(predictor: str) -> str:
        if predictor not in _STRUCTURES:
            raise UserError(nearest(str(predictor), _STRUCTURES, "predictor"))
        return _STRUCTURES[predictor]

    def _head(self, channels: int, **options: Any) -> CommonNeighborHead:
        return CommonNeighborHead(channels, **options)


class NCNC(NCN):
    r"""NCN whose common neighbours are completed by the links that it expects to be missing.

    .. math:: s_{ij} = \mathrm{MLP}\Bigl(h_i \circ h_j,\ \sum_{u \in N(i) \cup N(j)} P_{uij} h_u\Bigr)

    P is 1 for a common neighbour; for a neighbour of i alone it is the calibrated probability of the link (j, u), which
    the same model of depth k - 1 gives, without gradient; depth 0 is NCN. i and j themselves are left out.

    A trained NCN hands its weights over with :meth:`from_ncn`, or in an experiment file with ``train: {start: RUN}``.

    Args:
        in_channels, hidden_channels, num_layers, num_nodes, encoder, embedding, jk, residual, encoder_layer_norm,
            input_dropout, dropout, tail_dropout, edge_dropout: as for :class:`NCN`.
        predictor: ``"ncnc"``, or ``"gae_cn"``: the expected number of common neighbours.
        predictor_dropout, predictor_edge_dropout, predictor_layer_norm, node_mlp, tail_activation, two_layer_readout,
            beta, max_common, remove_targets, frozen_encoder, num_edges, reweighting_gamma, reweighting_warm_up,
            reweighting_interval, reweighting_aggregate, reweighting_compat: as for :class:`NCN`.
        depth: k.
        scale, offset, prior, completion_weight: the calibration, see
            :func:`graphkit.nn.completed_neighbor.completion_probability` (``completion_weight`` is its ``weight``).
        learn_prior: the prior is a perceptron of the pair's states instead.
        max_residual: in training, at most so many neighbours of either node alone are completed, sampled without bias;
            None: all.
        max_residual_eval: the same in evaluation.
        split_size: missing links scored at once; changes memory only.
        compat: as for :class:`NCN`, and see :class:`graphkit.nn.CompletedNeighborHead` (transformed inner states,
            repeated edge dropout, missing links scored at every occurrence in training).

    Raises:
        UserError: a choice that does not exist or a number out of range.

    Source:
        Wang, Yang, Zhang: Neural Common Neighbor with Completion for Link Prediction (ICLR 2024), equations 7-8.

    Example:
        >>> import torch
        >>> from graphkit.data import MessageGraph
        >>> graph = MessageGraph.from_edges(torch.tensor([[0, 1, 2], [1, 2, 3]]), 4, x=torch.eye(4))
        >>> NCNC.from_ncn(NCN(4, 8, 1), depth=2).eval().score_pairs(graph, torch.tensor([[0, 1], [2, 3]])).shape
        torch.Size([2])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 256,
        num_layers: int = 1,
        *,
        num_nodes: int | None = None,
        encoder: str = "puregcn",
        embedding: bool = False,
        jk: bool = True,
        residual: bool = False,
        encoder_layer_norm: bool = True,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        tail_dropout: float = 0.0,
        edge_dropout: float = 0.0,
        predictor: str = "ncnc",
        predictor_dropout: float = 0.0,
        predictor_edge_dropout: float = 0.0,
        predictor_layer_norm: bool = True,
        node_mlp: bool = True,
        tail_activation: bool = True,
        two_layer_readout: bool = False,
        beta: float = 1.0,
        max_common: int | None = None,
        remove_targets: bool = True,
        frozen_encoder: bool = False,
        num_edges: int | None = None,
        reweighting_gamma: float | None = None,
        reweighting_warm_up: int = 50,
        reweighting_interval: int = 50,
        reweighting_aggregate: str = "gcn",
        reweighting_compat: bool = False,
        depth: int = 1,
        scale: float = 5.0,
        offset: float = 3.0,
        prior: float = 0.5,
        completion_weight: float = 1.0,
        learn_prior: bool = False,
        max_residual: int | None = None,
        max_residual_eval: int | None = None,
        split_size: int | None = None,
        compat: bool = False,
    ) -> None:
        self._completion: dict[str, Any] = {  # what _head adds, which the constructor below calls
            "depth": depth, "scale": scale, "offset": offset, "prior": prior, "weight": completion_weight,
            "learn_prior": learn_prior, "max_residual": max_residual, "max_residual_eval": max_residual_eval,
            "split_size": split_size,
        }  # fmt: skip
        super().__init__(
            in_channels, hidden_channels, num_layers, num_nodes=num_nodes, encoder=encoder, embedding=embedding, jk=jk,
            residual=residual, encoder_layer_norm=encoder_layer_norm, input_dropout=input_dropout, dropout=dropout,
            tail_dropout=tail_dropout, edge_dropout=edge_dropout, predictor=predictor,
            predictor_dropout=predictor_dropout, predictor_edge_dropout=predictor_edge_dropout,
            predictor_layer_norm=predictor_layer_norm, node_mlp=node_mlp, tail_activation=tail_activation,
            two_layer_readout=two_layer_readout, beta=beta, max_common=max_common, remove_targets=remove_targets,
            frozen_encoder=frozen_encoder, num_edges=num_edges, reweighting_gamma=reweighting_gamma,
            reweighting_warm_up=reweighting_warm_up, reweighting_interval=reweighting_interval,
            reweighting_aggregate=reweighting_aggregate, reweighting_compat=reweighting_compat, compat=compat,
        )  # fmt: skip

    @staticmethod
    def _structure(predictor: str) -> str:
        completed = {"ncnc": "pool", "gae_cn": "count"}
        if predictor not in completed:
            raise UserError(nearest(str(predictor), completed, "predictor"))
        return completed[predictor]

    def _head(self, channels: int, **options: Any) -> CommonNeighborHead:
        return CompletedNeighborHead(channels, **options, **self._completion)

    @classmethod
    def from_ncn(cls, model: NCN, **options: Any) -> NCNC:
        """A NCNC with the options and weights of a trained NCN.

        Args:
            model: for a run directory, ``gk.load_model("runs/...")``.
            options: of the completion, such as ``scale``, and others that differ.

        Raises:
            UserError: for a model with another predictor than ``"ncn"`` or ``"gae_cn"``, or options that change a
                weight's shape.

        Example:
            >>> NCNC.from_ncn(NCN(4, 8, 1), prior=0.1).num_parameters() == NCN(4, 8, 1).num_parameters()
            True
        """
        config = dict(model.config)
        names = {"ncn": "ncnc", "ncnc": "ncnc", "gae_cn": "gae_cn"}
        if config["predictor"] not in names:
            raise UserError(
                f"the model has the predictor {config['predictor']!r}; completion begins with 'ncn' or 'gae_cn'"
            )
        made = cls(**{**config, "predictor": names[config["predictor"]], **options})
        own, given = made.state_dict(), model.state_dict()
        for name, tensor in given.items():
            if name not in own or own[name].shape != tensor.shape:
                raise UserError(
                    f"the NCN has {name} of shape {list(tensor.shape)}, the NCNC has not; leave sizes alone"
                )
        made.load_state_dict(given, strict=False)
        return made
