"""Projection on principal directions against torch's singular value decomposition."""

import pytest
import torch

from graphkit.errors import UserError
from graphkit.nn import principal_projection


@pytest.mark.parametrize("shape", [(40, 9), (9, 40), (12, 12)])
@pytest.mark.parametrize("channels", [1, 5, 9])
def test_singular_vectors(shape, channels):
    x = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = principal_projection(x, channels)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    wanted = u[:, :channels] * s[:channels]
    sign = v[:channels].t().gather(0, v[:channels].t().abs().argmax(0, keepdim=True)).sign()
    torch.testing.assert_close(found, wanted * sign)
    assert torch.equal(found, principal_projection(x, channels))


def test_full_rank_keeps_all_inner_products_and_nothing_stays_nothing():
    x = torch.randn(6, 30, generator=torch.Generator().manual_seed(0))
    x[2] = 0
    found = principal_projection(x, 10)
    torch.testing.assert_close(found @ found.t(), x @ x.t(), rtol=1e-4, atol=1e-4)
    assert not found[2].any() and not found[:, 5:].any()
    assert not principal_projection(torch.zeros(3, 4), 2).any()


def test_mistakes_are_named():
    for channels in (0, 5, True):
        with pytest.raises(UserError, match="from 1 to 4"):
            principal_projection(torch.ones(3, 4), channels)
