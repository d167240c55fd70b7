"""Rows shared by several pieces of work, threads, and the order of the edges."""

import pytest
import torch
from relational_samples import MESSAGES, REDUCES, by_definition, random_edges, random_inputs

from graphkit import ops

HUB = 20_000  # a piece holds at least 4096 edges


@pytest.fixture(scope="module")
def hubs():
    """Node 1 has 20,000 edges into it, node 2 as many out of it."""
    return random_edges(300, 2 * HUB + 3000, hub=HUB)


def needs_native():
    if ops.backend_of("relational_spmm") != "native":
        pytest.skip("the extension is not built")


@pytest.mark.parametrize("boundary", ["none", "sparse"])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_hubs_equal_the_body_in_torch(hubs, message, reduce, boundary):
    needs_native()
    inputs = random_inputs(hubs, 300, message, reduce, weighted=True, masked=boundary == "sparse", boundary=boundary,
                           dependent=boundary == "sparse", channels=6)  # fmt: skip
    out, gradients = inputs.gradients()
    with ops.force_backend("python"):
        wanted_out, wanted = inputs.gradients()
    torch.testing.assert_close(out, wanted_out, rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(gradients, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("reduce", ["max", "min", "pna"])
def test_ties_in_hubs_go_to_the_lowest_position(hubs, reduce):
    needs_native()
    inputs = random_inputs(hubs, 300, "add", reduce, weighted=True, masked=True, channels=5)
    # few distinct values: thousands of equal messages in every piece
    inputs.x, inputs.relation = inputs.x.round(), inputs.relation.round()
    inputs.weight = torch.ones_like(inputs.weight)
    out, gradients = inputs.gradients()
    with ops.force_backend("python"):
        wanted_out, wanted = inputs.gradients()
    torch.testing.assert_close(out, wanted_out, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradients, wanted, rtol=1e-10, atol=1e-9)


def test_one_row_over_many_pieces_by_definition(backend):
    edges = torch.stack([torch.arange(HUB) % 40, torch.full((HUB,), 7)])
    for reduce in ("sum", "pna"):
        inputs = random_inputs(edges, 40, "mul", reduce, weighted=True, channels=1, batches=1)
        torch.testing.assert_close(inputs.run(), by_definition(inputs), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_rows_that_end_at_the_border_of_a_piece(offset):
    # row 0 has its last edge, or its end, exactly where the second piece begins: 2 * 4096 items in all
    needs_native()
    first = 4096 + offset
    edges = torch.stack([torch.arange(8192 - 3) % 3, (torch.arange(8192 - 3) >= first).long()])
    for reduce in REDUCES:
        inputs = random_inputs(edges, 3, "mul", reduce, weighted=True, boundary="dense", channels=3, batches=1)
        out, gradients = inputs.gradients()
        with ops.force_backend("python"):
            wanted_out, wanted = inputs.gradients()
        torch.testing.assert_close(out, wanted_out, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(gradients, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("reduce", REDUCES)
def test_results_do_not_depend_on_threads(backend, hubs, reduce, dependent):
    inputs = random_inputs(hubs, 300, "rotate", reduce, weighted=True, masked=True, boundary="sparse",
                           dependent=dependent, channels=6, batches=3).to(torch.float32)  # fmt: skip
    results = []
    for threads in (1, 2, 3, 2) if backend == "native" else (1, 2):
        torch.set_num_threads(threads)
        results.append(inputs.gradients())
    for out, gradients in results[1:]:
        assert torch.equal(out, results[0][0])
        for name, gradient in gradients.items():
            assert torch.equal(gradient, results[0][1][name]), name


@pytest.mark.parametrize("reduce", REDUCES)
def test_results_do_not_depend_on_the_order_of_distinct_edges(backend, reduce):
    edges = random_edges(120, 9000, distinct=True)
    inputs = random_inputs(edges, 120, "mul", reduce, weighted=True, masked=True, boundary="dense", channels=5).to(
        torch.float32
    )
    out, gradients = inputs.gradients()
    order = torch.randperm(9000, generator=torch.Generator().manual_seed(1))
    inputs.edges, inputs.kind = edges[:, order], inputs.kind[order]
    inputs.weight, inputs.mask = inputs.weight[order], inputs.mask[order]
    permuted_out, permuted = inputs.gradients()
    assert torch.equal(permuted_out, out)
    gradients["weight"] = gradients["weight"][order]
    for name, gradient in permuted.items():
        assert torch.equal(gradient, gradients[name]), name


def test_many_relations_share_fewer_tables():
    # as many relations as edges: bellman_ford gives every edge a relation of its own
    needs_native()
    edges = random_edges(200, 12_000)
    for dependent in (False, True):
        inputs = random_inputs(edges, 200, "mul", "sum", dependent=dependent, channels=2, num_relations=12_000)
        inputs.kind = torch.arange(12_000)
        _, gradients = inputs.gradients()
        with ops.force_backend("python"):
            _, wanted = inputs.gradients()
        torch.testing.assert_close(gradients, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("batches", [1, 5, 70])
@pytest.mark.parametrize("dependent", [False, True])
def test_any_number_of_queries(batches, dependent):
    # the number of pieces follows the number of queries; each query stands for itself
    needs_native()
    edges = random_edges(100, 12_000, hub=5000)
    inputs = random_inputs(edges, 100, "mul", "pna", weighted=True, boundary="sparse", dependent=dependent, channels=2,
                           batches=batches)  # fmt: skip
    out, gradients = inputs.gradients()
    with ops.force_backend("python"):
        wanted_out, wanted = inputs.gradients()
    torch.testing.assert_close(out, wanted_out, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradients, wanted, rtol=1e-9, atol=1e-9)
