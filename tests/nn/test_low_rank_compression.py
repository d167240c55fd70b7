"""Linear maps as thin products and some rows."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN

from graphkit.errors import UserError
from graphkit.nn import ExpertList
from graphkit.nn.low_rank_compression import LowRankSparseLinear, RowImportance, compress, cubic_keep, low_rank, rank_of


def test_full_rank_is_exact():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).double(), torch.randn(5, 6, dtype=torch.float64)
    thin, _ = compress(net, rank=9, keep=0.0)
    torch.testing.assert_close(thin(x), net(x), rtol=0, atol=1e-12)
    graph, edges = GCN(6, 8, 2, 3).double(), torch.randint(5, (2, 12))
    thin, counts = compress(graph, rank=8, keep=0.0)
    torch.testing.assert_close(thin(x, edges), graph(x, edges), rtol=0, atol=1e-12)
    assert set(counts) == {"convs.0.lin", "convs.1.lin"}


def test_product_is_the_closest_of_its_rank():
    torch.manual_seed(0)
    w = torch.randn(7, 5, dtype=torch.float64)
    s = torch.linalg.svdvals(w)
    for rank in (1, 3, 5):
        u, v = low_rank(w, rank)
        assert u.shape == (7, rank) and v.shape == (rank, 5)
        assert float((w - u @ v).norm()) == pytest.approx(float(s[rank:].norm()), abs=1e-10)


def test_rows_that_the_product_serves_worst():
    torch.manual_seed(0)
    w = torch.outer(torch.ones(6), torch.randn(5))
    w[4] = torch.randn(5)  # one row does not fit a rank of 1
    thin = LowRankSparseLinear(w, None, rank=1, keep=1 / 6)
    assert thin.rows.tolist() == [4]
    torch.testing.assert_close(thin.weight[4], w[4])
    x = torch.randn(3, 5)
    torch.testing.assert_close(thin(x), x @ thin.weight.t())
    all_rows = LowRankSparseLinear(w, torch.ones(6), rank=1, keep=1.0)
    torch.testing.assert_close(all_rows(x), x @ w.t() + 1)


def test_pruning_by_importance():
    thin = LowRankSparseLinear(torch.randn(6, 5), None, rank=1, keep=1.0)
    thin.prune(0.5, torch.tensor([0.0, 5.0, 1.0, 4.0, 0.0, 3.0]))
    assert thin.rows.tolist() == [1, 3, 5] and thin.sparse.shape == (3, 5)
    assert thin(torch.randn(2, 5)).shape == (2, 6)
    thin.prune(0.0)
    torch.testing.assert_close(thin.weight, thin.u @ thin.v)
    assert thin(torch.randn(2, 5)).shape == (2, 6)


def test_importance_is_smoothed():
    importance, s = RowImportance(), torch.randn(3, 2, requires_grad=True)
    expected = torch.zeros(3)
    for step in range(3):
        s.grad = None
        (s * (step + 1)).sum().backward()
        found = importance.update(s)
        expected = 0.85 * expected + 0.15 * (s * s.grad).sum(1).abs()
        torch.testing.assert_close(found, expected.detach())


def test_schedule_and_rank():
    shares = [cubic_keep(step, 10, 0.1) for step in range(12)]
    assert shares[0] == 1.0 and shares[10] == shares[11] == 0.1 and shares == sorted(shares, reverse=True)
    assert shares[5] == pytest.approx(0.1 + 0.9 / 8)
    for h, w in ((64, 64), (7, 100)):
        assert rank_of(0.4, h, w) * (h + w) <= 0.4 * h * w + (h + w)


def test_shared_experts_stay_shared_and_count_once():
    one = nn.Linear(16, 16)
    bank = ExpertList([one, one, nn.Linear(16, 16)], per_token=True)
    thin, counts = compress(bank, ratio=0.5, keep=0.0)
    assert thin.experts[0] is thin.experts[1] and len(counts) == 2
    assert all(after < before for before, after in counts.values())
    assert isinstance(compress(one, rank=2)[0], LowRankSparseLinear)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rank_of(0.0, 3, 3), "ratio is 0.0"),
        (lambda: low_rank(torch.ones(2, 2), 0), "rank is 0"),
        (lambda: compress(nn.Linear(2, 2)), "pass either rank or ratio"),
        (lambda: compress(nn.ReLU(), rank=1), "there is no linear map in ReLU"),
        (lambda: LowRankSparseLinear(torch.ones(2, 2), None, rank=1, keep=2), "keep is 2"),
        (lambda: RowImportance().update(torch.ones(2, 2)), "S has no gradient"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(UserError, match=message):
        make()
