"""What walks see of the orbit adjacencies, against walks themselves."""

import networkx as nx
import pytest
import torch

from graphkit import ops
from graphkit.analysis.walk_visibility import HIDDEN_KEYS, VISIBLE_KEYS, walk_coefficients
from graphkit.errors import UserError


def test_thirteen_and_fifteen():
    assert len(VISIBLE_KEYS) == 13 and len(HIDDEN_KEYS) == 15
    assert sorted([*VISIBLE_KEYS, *HIDDEN_KEYS]) == sorted(ops.ORBIT_KEYS)
    seen = set(VISIBLE_KEYS)
    assert all(((hop, j, i) in seen) == ((hop, i, j) in seen) for hop, i, j in ops.ORBIT_KEYS)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_walks_are_sums_of_visible_orbit_adjacencies(steps, seed):
    graph = nx.gnp_random_graph(30, [0.1, 0.25, 0.6][seed], seed=seed)
    a = torch.from_numpy(nx.to_numpy_array(graph)).long()
    off = 1 - torch.eye(30, dtype=torch.int64)
    found = ops.orbit_adjacency(ops.from_networkx(graph), num_nodes=30)
    expected = sum(c * found[key].to_dense().long() for key, c in walk_coefficients(steps).items())
    assert torch.equal(off * torch.linalg.matrix_power(a, steps), expected)


def test_hidden_ones_can_change_while_no_walk_notices():
    """Walks give every pair of a star's leaves the same number, whatever the star; (2, 6, 6) does not."""
    for leaves in (3, 5):
        star = ops.from_networkx(nx.star_graph(leaves))
        found = ops.orbit_adjacency(star, num_nodes=leaves + 1)
        assert found[2, 6, 6].to_dense()[1, 2] == leaves - 2 and found[2, 1, 1].to_dense()[1, 2] == 1


@pytest.mark.parametrize("steps", [0, 4, 1.5])
def test_other_lengths(steps):
    with pytest.raises(UserError, match="expected 1, 2 or 3"):
        walk_coefficients(steps)
