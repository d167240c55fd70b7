"""Heads on pairs: their definition, what they may depend on, what they tell apart."""

import pytest
import torch
from neighbor_graphs import N, every_pair, neighbours, random_edges, shaken, summed, two_steps

from graphkit.errors import UserError
from graphkit.nn import CommonNeighborHead
from graphkit.nn.common_neighbor import STRUCTURES, _few
from graphkit.nn.perceptron import Perceptron
from graphkit.ops import SimpleGraph

F = 6
PAIRS = every_pair()


def head_of(structure="pool", **options):
    return shaken(CommonNeighborHead(F, structure=structure, **options))


def states(seed=3, nodes=N):
    return torch.randn(nodes, F, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(head, x, edges, pairs=PAIRS, removed=(), nodes=N):
    """Scores straight from the definition, one pair at a time."""
    around = neighbours(edges, removed, nodes)
    far = two_steps(around)
    pooled = x if head.node_mlp is None else x + head.node_mlp(x)
    scores = []
    for i, j in pairs.t().tolist():
        ends, common = {i, j}, around[i] & around[j]
        state = head.pair_mlp((x[i] * x[j])[None])
        count = torch.tensor([[float(len(common))]], dtype=x.dtype)
        pool = summed(pooled, common)[None]
        if head.structure == "concat_count":
            scores.append(head.readout(torch.cat([count, state], 1))[0, 0])
            continue
        if head.structure == "count":
            state = state + head.beta * head.pool_mlp(count)
        if head.pools:
            state = state + head.beta * head.pool_mlp(pool)
        if head.structure == "second_order":
            mixed = summed(pooled, (around[i] & far[j]) - ends) + summed(pooled, (far[i] & around[j]) - ends)
            state = state + head.other_mlp(mixed[None])
        if head.structure == "difference":
            alone = summed(pooled, around[i] - around[j] - ends) + summed(pooled, around[j] - around[i] - ends)
            state = state + head.other_mlp(alone[None])
        scores.append(head.readout(state)[0, 0])
    return torch.stack(scores)


OPTIONS = [{}, {"node_mlp": False, "tail_activation": False}, {"layer_norm": False, "two_layer_readout": True}]


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.no_grad()
def test_scores_are_their_definition(structure, options):
    edges, x, head = random_edges(), states(), head_of(structure, **options)
    torch.testing.assert_close(head(x, edges, PAIRS), by_hand(head, x, edges), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
@torch.no_grad()
def test_removed_edges_are_as_if_they_had_never_been(structure):
    edges, x, head = random_edges(), states(), head_of(structure)
    gone = torch.cat([edges[:, :5], edges[:, 2:4].flip(0), torch.tensor([[0], [1]])], 1)
    graph = SimpleGraph(torch.cat([edges, edges.flip(0), edges[:, :3]], 1), num_nodes=N)
    scores = head(x, graph, PAIRS, removed=graph.removed_by(gone))
    torch.testing.assert_close(scores, by_hand(head, x, edges, removed=gone.t().tolist()), rtol=1e-9, atol=1e-9)
    kept = torch.tensor([pair for pair in edges.t().tolist() if pair not in gone.t().tolist()]).t()
    torch.testing.assert_close(scores, head(x, kept, PAIRS), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("structure", STRUCTURES)
@torch.no_grad()
def test_a_pair_scores_the_same_both_ways_in_any_order_and_company(structure):
    edges, x, head = random_edges(), states(), head_of(structure)
    scores = head(x, edges, PAIRS)
    assert torch.equal(scores, head(x, edges, PAIRS.flip(0)))
    order = torch.randperm(PAIRS.size(1), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head(x, edges, PAIRS[:, order]), scores[order], rtol=1e-12, atol=1e-12)
    parts = torch.cat([head(x, edges, part) for part in PAIRS.split(7, 1)])
    torch.testing.assert_close(parts, scores, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("structure", STRUCTURES)
@torch.no_grad()
def test_renaming_nodes_changes_nothing(structure):
    edges, x, head = random_edges(), states(), head_of(structure)
    name = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    moved = torch.empty_like(x)
    moved[name] = x
    torch.testing.assert_close(head(moved, name[edges], name[PAIRS]), head(x, edges, PAIRS), rtol=1e-10, atol=1e-10)


def test_the_perceptron_on_few_nodes_and_on_all_gives_the_same():
    edges, x = random_edges(), states()
    graph, few = SimpleGraph(edges, num_nodes=N), PAIRS[:, :5]
    assert _few(graph, few) and not _few(graph, PAIRS)
    found = []
    for whole in (False, True):
        head, own = head_of(), x.clone().requires_grad_()
        scores = head(own, graph, few, pooled=head.pooled_states(own) if whole else None)
        scores.sum().backward()
        found.append([scores.detach(), own.grad, *(p.grad for p in head.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_empty_sums_share_their_work_exactly():
    head = head_of(dropout=0.5)  # too many for the sums over dropped entries
    rows = torch.zeros(40, F, dtype=torch.float64)
    rows[::5] = states()[:8]
    for mode in (False, True):
        head.train(mode)
        found = []
        for of in (head.pool_mlp, head.pool_mlp.of_mostly_zero):
            torch.manual_seed(0)
            head.zero_grad()
            out = of(rows)
            out.square().sum().backward()
            found.append([out.detach(), *(p.grad.clone() for p in head.pool_mlp.parameters())])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_rows_of_empty_sums_have_the_law_of_dropout():
    """Every row's mask can be read off its result; the values are those of the mask, the masks those of dropout."""
    torch.manual_seed(0)
    mlp = Perceptron([3, 4, 40, 40], "ldrlndr", dropout=0.1, layer_norm=False).double().train()
    first, drop, _, second = list(mlp)[:4]
    first.bias.copy_(torch.tensor([1.0, 2.0, -1.0, 0.5]))
    mlp.pop(-1), mlp.pop(-1)
    torch.nn.init.normal_(second.weight)
    x = torch.zeros(6000, 3, dtype=torch.float64)
    x[0] = 1
    out = mlp.of_mostly_zero(x)[1:]
    masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    active = torch.tensor([0, 1, 3])
    scale = 1 / (1 - drop.p)
    expected = (masks * first.bias[active] * scale) @ second.weight[:, active].T + second.bias
    distance = (out[:, None] - expected).abs().amax(2)
    near, which = distance.min(1)
    assert float(near.max()) < 1e-9
    share = torch.bincount(which, minlength=8) / len(out)
    law = (masks * 0.9 + (1 - masks) * 0.1).prod(1)
    assert bool(((share - law).abs() < 4 * (law * (1 - law) / len(out)).sqrt() + 1e-4).all())


def test_gradients_of_rows_of_empty_sums():
    mlp = Perceptron([3, 4, 5, 5], "ldrl", dropout=0.1).double().train()
    x = torch.zeros(9, 3, dtype=torch.float64)
    x[2] = 1

    def of(weight, bias):
        torch.manual_seed(0)
        return torch.func.functional_call(mlp, {"3.weight": weight, "0.bias": bias}, (x,))

    mlp.forward = mlp.of_mostly_zero
    torch.manual_seed(3)
    given = (
        torch.randn(5, 4, dtype=torch.float64, requires_grad=True),
        torch.randn(4, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(of, given)


@torch.no_grad()
def test_capped_pools_have_the_expectation_of_whole_ones():
    x, edges = states(), random_edges(edges=60)
    graph, pairs = SimpleGraph(edges, num_nodes=N), PAIRS
    head = head_of(max_common=2, node_mlp=False).train()
    whole = head_of(node_mlp=False).sums(x, x, graph, pairs, None)[0]
    torch.manual_seed(0)
    draws = torch.stack([head.sums(x, x, graph, pairs, None)[0] for _ in range(400)])
    error = (draws.mean(0) - whole).abs() / (draws.std(0) / 400**0.5).clamp(min=1e-9)
    assert float((error < 3).double().mean()) > 0.98 and float(error.max()) < 6
    loose = head_of(max_common=N, node_mlp=False).train()
    torch.testing.assert_close(loose.sums(x, x, graph, pairs, None)[0], whole)
    head.eval()
    assert torch.equal(head(x, graph, pairs), head(x, graph, pairs))


@torch.no_grad()
def test_edge_dropout_is_for_training_and_takes_both_directions():
    x, edges, head = states(), random_edges(), head_of("count", edge_dropout=0.4)
    head.pool_mlp = torch.nn.Identity()
    graph = SimpleGraph(edges, num_nodes=N)
    assert head.without_dropped(graph, None) is None
    whole = head.sums(x, None, graph, PAIRS, None)[0]
    head.train()
    torch.manual_seed(0)
    masks = [head.without_dropped(graph, graph.removed_by(edges[:, :1])) for _ in range(3000)]
    first = int(graph.edge_ids(edges[:, :1]))
    assert all(bool(mask[first]) for mask in masks)
    dropped = torch.stack([head.without_dropped(graph, None) for _ in range(3000)])
    assert abs(float(dropped.double().mean()) - 0.4) < 0.01
    counts = torch.stack([head.sums(x, None, graph, PAIRS, mask)[0] for mask in dropped[:1500]]).mean(0)
    torch.testing.assert_close(counts, 0.36 * whole, rtol=0.0, atol=0.15)


@torch.no_grad()
def test_pools_tell_apart_what_counts_cannot():
    """Pairs (0, 1) and (0, 2) have one common neighbour each, whose states differ; 1 and 2 have the same state."""
    edges, pairs = torch.tensor([[0, 1, 0, 2], [3, 3, 4, 4]]), torch.tensor([[0, 0], [1, 2]])
    x = states(nodes=5)
    x[2] = x[1]
    counted, pooled = head_of("count")(x, edges, pairs), head_of("pool")(x, edges, pairs)
    torch.testing.assert_close(counted[0], counted[1], rtol=1e-12, atol=1e-12)
    assert abs(float(pooled[0] - pooled[1])) > 1e-3


def test_a_node_and_itself_count_all_neighbours_and_edges_may_be_none():
    x, head = states(), head_of("count")
    head.pool_mlp = torch.nn.Identity()
    graph = SimpleGraph(random_edges(), num_nodes=N)
    selves = torch.arange(N).expand(2, -1)
    assert torch.equal(head.sums(x, None, graph, selves, None)[0][:, 0].long(), graph.degree)
    for structure in STRUCTURES:
        alone = head_of(structure)(x, torch.zeros(2, 0, dtype=torch.int64), PAIRS)
        assert bool(alone.isfinite().all()) and alone.shape == (PAIRS.size(1),)
        assert head_of(structure)(x, graph, PAIRS[:, :0]).shape == (0,)


def test_the_released_slip_builds_smaller_heads():
    clean = CommonNeighborHead(F, structure="second_order", edge_dropout=0.4)
    slip = CommonNeighborHead(F, structure="second_order", edge_dropout=0.4, compat=True)
    assert clean.node_mlp is not None and slip.node_mlp is None and slip.edge_dropout == 0
    bare = CommonNeighborHead(F, structure="difference", compat=True)
    assert not any(isinstance(module, torch.nn.LayerNorm) for module in bare.modules())
    assert CommonNeighborHead(F, compat=True).node_mlp is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure": "pol"}, "unknown structure 'pol'; did you mean 'pool'"),
        ({"dropout": 1.0}, "dropout is 1.0, expected a probability"),
        ({"edge_dropout": -0.1}, "edge_dropout is -0.1"),
    ],
)
def test_choices_that_cannot_be(options, message):
    with pytest.raises(UserError, match=message):
        CommonNeighborHead(F, **options)


def test_pairs_that_are_none():
    x, head = states(), head_of()
    with pytest.raises(UserError, match=r"pairs hold node id 14, expected ids in \[0, 14\)"):
        head(x, random_edges(), torch.tensor([[0], [14]]))
    with pytest.raises(UserError, match="expected an int64 tensor of shape"):
        head(x, random_edges(), torch.tensor([0, 1]))
    with pytest.raises(UserError, match="was made for 14 nodes"):
        head(x[:5], SimpleGraph(random_edges(), num_nodes=N), PAIRS)
