"""Every mistake that the relational operators notice, and the words with which they say so."""

# ruff: noqa: E501  (a table of mistakes, one a line)

import pytest
import torch

from graphkit import ops
from graphkit.errors import UserError

NAN = float("nan")


def call(*, pna=False, **changes):
    """A valid call on three nodes with some arguments replaced."""
    arguments = {
        "edge_index": torch.tensor([[0, 1], [1, 2]]),
        "edge_type": torch.tensor([0, 1]),
        "x": torch.ones(2, 3, 4),
        "relation": torch.ones(2, 4),
        "num_nodes": 3,
    } | changes
    positional = [arguments.pop(name) for name in ("edge_index", "edge_type", "x", "relation")]
    return (ops.relational_pna if pna else ops.relational_spmm)(*positional, **arguments)


HEADS, VALUES = torch.tensor([0, 1]), torch.ones(2, 4)

MISTAKES = {
    "edges of another shape": ({"edge_index": torch.zeros(3, 2, dtype=torch.int64)}, r"edge_index is \(3, 2\).*\[2, E\]"),
    "edges of one dimension": ({"edge_index": torch.zeros(2, dtype=torch.int64)}, r"edge_index is \(2,\).*\[2, E\]"),
    "edges that are a list": ({"edge_index": [[0, 1], [1, 2]]}, "edge_index is list.*int64 tensor"),
    "edges of int32": ({"edge_index": torch.tensor([[0, 1], [1, 2]]).int()}, r"edge_index has dtype torch.int32.*\.long\(\)"),
    "edges of floats": ({"edge_index": torch.tensor([[0.0, 1], [1, 2]])}, "edge_index has dtype torch.float32.*torch.int64"),
    "a target too high": ({"edge_index": torch.tensor([[0, 1], [1, 3]])}, r"edge_index holds node id 3.*\[0, 3\).*num_nodes"),
    "a source too high": ({"edge_index": torch.tensor([[7, 1], [1, 2]])}, r"edge_index holds node id 7.*\[0, 3\)"),
    "a negative id": ({"edge_index": torch.tensor([[0, -1], [1, 2]])}, r"edge_index holds node id -1.*\[0, 3\)"),
    "another number of nodes": ({"num_nodes": 4}, r"x has shape \(2, 3, 4\).*\[B, 4, D\]"),
    "a negative number of nodes": ({"num_nodes": -1, "edge_index": torch.empty(2, 0, dtype=torch.int64)}, "num_nodes=-1.*2.31"),
    "x without queries": ({"x": torch.ones(3, 4)}, r"x has shape \(3, 4\).*\[B, 3, D\].*queries, nodes, channels"),
    "x of numpy": ({"x": torch.ones(2, 3, 4).numpy()}, "x is a ndarray, expected a torch tensor.*as_tensor"),
    "relation as a list": ({"relation": [[1.0] * 4] * 2}, "relation is a list, expected a torch tensor"),
    "types as a list": ({"edge_type": [0, 1]}, "edge_type is a list, expected a torch tensor"),
    "x of integers": ({"x": torch.ones(2, 3, 4, dtype=torch.int64)}, "x has dtype torch.int64.*float32, float64 or bfloat16"),
    "x of float16": ({"x": torch.ones(2, 3, 4).half()}, "x has dtype torch.float16.*float32, float64 or bfloat16"),
    "x on another device": ({"x": torch.ones(2, 3, 4, device="meta")}, "x is on meta, relation on cpu.*one device"),
    "relation on another device": ({"relation": torch.ones(2, 4, device="meta")}, "relation on meta.*one device"),
    "relation of another width": ({"relation": torch.ones(2, 5)}, r"relation has shape \(2, 5\).*\[R, 4\] or \[2, R, 4\]"),
    "relation for another batch": ({"relation": torch.ones(3, 2, 4)}, r"relation has shape \(3, 2, 4\).*\[2, R, 4\]"),
    "relation of one dimension": ({"relation": torch.ones(4)}, r"relation has shape \(4,\).*\[R, 4\]"),
    "relation of four dimensions": ({"relation": torch.ones(1, 2, 2, 4)}, r"relation has shape.*\[R, 4\]"),
    "relation of another dtype": ({"relation": torch.ones(2, 4).double()}, "relation has dtype torch.float64 and x has torch.float32.*cast"),
    "too few relation rows": ({"relation": torch.ones(1, 4)}, r"edge_type holds 1, expected ids in \[0, 1\), the rows of relation"),
    "no relation rows": ({"relation": torch.ones(0, 4)}, r"edge_type holds 1, expected ids in \[0, 0\)"),
    "a negative relation": ({"edge_type": torch.tensor([0, -2])}, r"edge_type holds -2, expected ids in \[0, 2\)"),
    "too few types": ({"edge_type": torch.tensor([0])}, r"edge_type has shape \(1,\), expected \[2\], one value per edge"),
    "types in a column": ({"edge_type": torch.zeros(2, 1, dtype=torch.int64)}, r"edge_type has shape \(2, 1\), expected \[2\]"),
    "types of floats": ({"edge_type": torch.zeros(2)}, "edge_type has dtype torch.float32, expected torch.int64"),
    "types on another device": ({"edge_type": torch.zeros(2, dtype=torch.int64, device="meta")}, "edge_type is on meta.*one device"),
    "too many weights": ({"edge_weight": torch.ones(3)}, r"edge_weight has shape \(3,\), expected \[2\]"),
    "weights of integers": ({"edge_weight": torch.tensor([1, 2])}, "edge_weight has dtype torch.int64, expected torch.float32"),
    "weights that are no numbers": ({"edge_weight": torch.tensor([1, NAN])}, "edge_weight holds NaN"),
    "weights on another device": ({"edge_weight": torch.ones(2, device="meta")}, "edge_weight is on meta.*one device"),
    "a mask of another length": ({"edge_mask": torch.ones(1, dtype=torch.bool)}, r"edge_mask has shape \(1,\), expected \[2\]"),
    "a mask of numbers": ({"edge_mask": torch.ones(2)}, "edge_mask has dtype torch.float32, expected torch.bool"),
    "a mask of bytes": ({"edge_mask": torch.ones(2, dtype=torch.uint8)}, "edge_mask has dtype torch.uint8, expected torch.bool"),
    "a mask on another device": ({"edge_mask": torch.ones(2, dtype=torch.bool, device="meta")}, "edge_mask is on meta.*one device"),
    "a boundary of another shape": ({"boundary": torch.ones(2, 4)}, r"boundary is torch.float32 \(2, 4\), expected torch.float32 \(2, 3, 4\)"),
    "a boundary of another dtype": ({"boundary": torch.ones(2, 3, 4).double()}, "boundary is torch.float64.*expected torch.float32"),
    "a boundary on another device": ({"boundary": torch.ones(2, 3, 4, device="meta")}, "boundary is on meta.*one device"),
    "a boundary's heads on another device": ({"boundary": (HEADS.to("meta"), VALUES)}, "boundary is on meta.*one device"),
    "a boundary's values on another device": ({"boundary": (HEADS, VALUES.to("meta"))}, "boundary is on meta.*one device"),
    "a boundary with too few heads": ({"boundary": (HEADS[:1], VALUES)}, r"boundary is \(torch.int64 \(1,\).*int64 \[2\]"),
    "a boundary with int32 heads": ({"boundary": (HEADS.int(), VALUES)}, r"boundary is \(torch.int32.*int64 \[2\]"),
    "a boundary with other values": ({"boundary": (HEADS, VALUES[:, :3])}, r"torch.float32 \(2, 3\)\).*\[2, 4\]"),
    "a boundary with double values": ({"boundary": (HEADS, VALUES.double())}, r"torch.float64 \(2, 4\)\).*torch.float32 \[2, 4\]"),
    "a boundary's head too high": ({"boundary": (torch.tensor([0, 3]), VALUES)}, r"boundary source.*outside \[0, 3\)"),
    "a boundary's head negative": ({"boundary": (torch.tensor([-1, 0]), VALUES)}, r"boundary source.*outside \[0, 3\)"),
    "an unknown message": ({"message": "mull"}, "unknown message 'mull'; did you mean 'mul'"),
    "a message of the paper": ({"message": "distmult"}, "unknown message 'distmult'; .*(known|mean)"),
    "an odd width to rotate": ({"message": "rotate", "x": torch.ones(2, 3, 3), "relation": torch.ones(2, 3)}, r"odd number of channels \(3\)"),
}  # fmt: skip


@pytest.mark.parametrize("pna", [False, True], ids=["spmm", "pna"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(backend, mistake, pna):
    changes, words = MISTAKES[mistake]
    with pytest.raises(UserError, match=words):
        call(pna=pna, **changes)


def test_the_call_without_a_mistake_works(backend):
    assert call().shape == (2, 3, 4) and call(pna=True).shape == (2, 3, 4, 4)


def test_unknown_reductions_are_refused():
    with pytest.raises(UserError, match="unknown reduce 'sun'; did you mean 'sum'"):
        call(reduce="sun")
    with pytest.raises(UserError, match="unknown reduce 'pna'; known: max, mean, min, sum"):
        call(reduce="pna")  # another function, with another shape


def test_a_graph_for_another_number_of_nodes():
    graph = ops.CSRGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3)
    with pytest.raises(UserError, match="num_nodes is 4, but the CSRGraph was made for 3 nodes"):
        call(edge_index=graph, num_nodes=4, x=torch.ones(2, 4, 4))


def test_relation_ids_are_checked_again_for_another_relation():
    # the bounds of the sorted ids are remembered with them
    graph, kind = ops.CSRGraph(torch.tensor([[0, 1], [1, 2]]), num_nodes=3), torch.tensor([0, 1])
    call(edge_index=graph, edge_type=kind)
    with pytest.raises(UserError, match="edge_type holds 1"):
        call(edge_index=graph, edge_type=kind, relation=torch.ones(1, 4))
    call(edge_index=graph, edge_type=kind)
    kind[0] = 5
    with pytest.raises(UserError, match="edge_type holds 5"):
        call(edge_index=graph, edge_type=kind)


def test_relation_rows_without_edges_get_no_gradient(backend):
    relation = torch.ones(5, 4, requires_grad=True)
    call(relation=relation).sum().backward()
    assert relation.grad.sum(1).nonzero().flatten().tolist() == [0, 1]


def test_an_error_is_a_value_error_of_one_sentence():
    with pytest.raises(ValueError) as caught:
        call(edge_type=torch.tensor([0]))
    assert "\n" not in str(caught.value)
