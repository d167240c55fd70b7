"""A batch divided among processes: rows, loss and gradients are those of the whole."""

import pytest
import torch
from query_samples import batch_of, double_model, message_graph, random_triples

from graphkit.data import QueryBatch


@pytest.fixture
def batch():
    triples = random_triples()
    return batch_of(message_graph(triples), triples[:7])


@pytest.mark.parametrize("remove_one_hop", [False, True])
@pytest.mark.parametrize("size", [2, 3, 9])
def test_shares_add_up_to_the_joint_batch(batch, size, remove_one_hop):
    model = double_model(remove_one_hop=remove_one_hop)
    shares = [share for share in (batch.share(rank, size) for rank in range(size)) if share.weight]
    torch.testing.assert_close(torch.cat([model(share) for share in shares]), model(batch), rtol=0, atol=1e-12)
    loss = model.loss(batch)
    parts = sum(model.loss(share) * share.weight for share in shares)
    expected, found = (torch.autograd.grad(one, list(model.parameters())) for one in (loss, parts))
    torch.testing.assert_close(parts, loss, rtol=0, atol=1e-6)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("remove_one_hop", [False, True])
def test_the_joint_batch_decides_what_is_removed(batch, remove_one_hop):
    """Without it a process would see the edges that give the others' answers away, and another loss."""
    model = double_model(remove_one_hop=remove_one_hop)
    first = batch.share(0, 2)
    assert torch.equal(model.easy_edge_mask(first), model.easy_edge_mask(batch))
    apart = QueryBatch(batch.graph, first.triples)
    assert int(model.easy_edge_mask(apart).sum()) > int(model.easy_edge_mask(batch).sum())
    torch.testing.assert_close(model(first)[:3], model(batch)[:3], rtol=0, atol=1e-12)
