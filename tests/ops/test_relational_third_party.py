"""The relational operators against other people's kernels."""

import pytest
import scipy.sparse
import torch
from relational_samples import BOUNDARIES, MESSAGES, REDUCES, make_inputs, random_edges, random_inputs

from graphkit import ops


def matrices(inputs):
    """One sparse matrix (target, source) per relation; parallel edges add up."""
    num_nodes, num_relations = inputs.num_nodes, inputs.relation.shape[-2]
    for kind in range(num_relations):
        chosen = inputs.kind == kind
        if inputs.mask is not None:
            chosen &= inputs.mask
        weight = torch.ones(len(inputs.kind), dtype=torch.float64) if inputs.weight is None else inputs.weight
        source, target = inputs.edges[:, chosen].numpy()
        yield kind, scipy.sparse.csr_array((weight[chosen].numpy(), (target, source)), shape=(num_nodes, num_nodes))


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("message", ["mul", "add"])
def test_sums_are_products_with_sparse_matrices(backend, message, dependent):
    inputs = random_inputs(random_edges(80, 900), 80, message, "sum", weighted=True, masked=True, dependent=dependent)
    wanted = torch.zeros_like(inputs.x)
    for b in range(len(inputs.x)):
        relation = inputs.relation[b] if dependent else inputs.relation
        for kind, matrix in matrices(inputs):
            x = inputs.x[b] * relation[kind] if message == "mul" else inputs.x[b] + relation[kind]
            wanted[b] += torch.from_numpy(matrix @ x.numpy())
    torch.testing.assert_close(inputs.run(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_torch_scatter_backend(message, reduce, boundary):
    pytest.importorskip("torch_scatter")
    inputs = make_inputs(message, reduce, weighted=True, masked=True, boundary=boundary, dependent=True)
    wanted_out, wanted = inputs.gradients()
    with ops.force_backend("scatter"):
        out, gradients = inputs.gradients()
    torch.testing.assert_close(out, wanted_out, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradients, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_aggregations_of_pyg(backend, reduce):
    scatter = pytest.importorskip("torch_geometric.utils").scatter
    inputs = random_inputs(random_edges(40, 300), 40, "rotate", reduce)
    source, target = inputs.edges
    x, relation = torch.complex(*inputs.x.chunk(2, -1)), torch.complex(*inputs.relation.chunk(2, -1))
    message = x[:, source] * relation[inputs.kind]
    message = torch.cat([message.real, message.imag], -1)
    wanted = scatter(message, target, dim=1, dim_size=40, reduce=reduce)
    torch.testing.assert_close(inputs.run(), wanted, rtol=1e-12, atol=1e-12)


def test_torch_scatter_serves_graphs_without_edges_and_says_so():
    pytest.importorskip("torch_scatter")
    with ops.force_backend("scatter"):
        assert ops.backend_of("relational_spmm") == "scatter"
        for reduce in REDUCES:
            for graph in ("edgeless", "one node"):
                inputs = make_inputs("mul", reduce, graph=graph)
                with ops.force_backend("python"):
                    wanted = inputs.run()
                torch.testing.assert_close(inputs.run(), wanted)
