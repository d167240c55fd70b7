"""The CUDA kernels against the bodies in torch on the same device. Skipped where there is no device or no such extension."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from relational_samples import BOUNDARIES, MESSAGES, REDUCES, make_inputs, random_edges, random_inputs

from graphkit import ops
from graphkit.ops.relational_reference import MESSAGES as MESSAGE_CODES
from graphkit.ops.relational_reference import REDUCES as REDUCE_CODES

DEVICE = "cuda"
DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def missing():
    if not torch.cuda.is_available():
        return "no CUDA device"
    return "" if ops.backend_of("relational_spmm", DEVICE) == "native" else "graphkit._C_cuda is not built"


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "the kernels are there")


def placed(inputs, dtype=torch.float64):
    """The same call on the device."""

    def move(value):
        return None if value is None else value.to(DEVICE)

    inputs = inputs.to(dtype)
    source_and_value = isinstance(inputs.boundary, tuple)
    boundary = tuple(move(part) for part in inputs.boundary) if source_and_value else move(inputs.boundary)
    return replace(
        inputs, edges=move(inputs.edges), kind=move(inputs.kind), x=move(inputs.x), relation=move(inputs.relation),
        weight=move(inputs.weight), mask=move(inputs.mask), boundary=boundary,
    )  # fmt: skip


def gradients(inputs):
    """The output and the gradients of its product with fixed random numbers."""
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in inputs.leaves().items()}
    out = inputs.with_leaves(leaves).run()
    generator = torch.Generator().manual_seed(1)
    out.backward(torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out))
    return out.detach(), {name: tensor.grad for name, tensor in leaves.items()}


def assert_equals_python(inputs):
    out, found = gradients(inputs)
    with ops.force_backend("python"):
        wanted_out, wanted = gradients(inputs)
    dtype = inputs.x.dtype
    assert out.dtype == dtype and out.shape == wanted_out.shape
    tolerance = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 2**-7}[dtype]
    largest = wanted_out.abs().max().item() if wanted_out.numel() else 0  # the terms of a hub's sum cancel
    torch.testing.assert_close(out.double(), wanted_out.double(), rtol=tolerance, atol=tolerance * max(1, largest))
    for name, gradient in found.items():
        assert gradient.dtype == dtype and gradient.shape == wanted[name].shape
        # sums over edges and queries cancel: judged by the size of the whole gradient. With bfloat16 both backends read back
        # a mean and a deviation rounded from float32 values that differ in their last bits.
        size = wanted[name].double().norm()
        allowed = {torch.float64: 1e-10, torch.float32: 2e-4, torch.bfloat16: 0.03}[dtype]
        assert (gradient.double() - wanted[name].double()).norm() <= allowed * size + 1e-9, name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_equals_the_body_in_torch(message, reduce, dtype):
    # row 1 and source 2 are shared by several pieces of 64 items
    edges = random_edges(40, 500, hub=200)
    channels = {False: 34, True: 32}  # not a multiple of a vector, and one
    for boundary, weighted, masked, dependent in product(BOUNDARIES, (False, True), (False, True), (False, True)):
        inputs = random_inputs(edges, 40, message, reduce, weighted=weighted, masked=masked, boundary=boundary,
                               dependent=dependent, channels=channels[masked], batches=3)  # fmt: skip
        assert_equals_python(placed(inputs, dtype))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 12, 31, 33, 64, 96, 130, 512, 1024])
@pytest.mark.parametrize("batches", [1, 2, 33])
def test_any_number_of_channels_and_queries(channels, batches):
    edges = random_edges(20, 150, hub=70)
    for message, reduce in (("mul", "pna"), ("add", "max"), ("rotate", "sum")):
        width = 2 * channels if message == "rotate" else channels
        inputs = random_inputs(edges, 20, message, reduce, weighted=True, masked=True, boundary="sparse", channels=width,
                               batches=batches)  # fmt: skip
        assert_equals_python(placed(inputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_hubs(message, reduce, dtype):
    edges = random_edges(300, 43_000, hub=20_000)
    for masked in (False, True):
        inputs = random_inputs(edges, 300, message, reduce, weighted=True, masked=masked, boundary="sparse", dependent=masked,
                               channels=8)  # fmt: skip
        assert_equals_python(placed(inputs, dtype))


@pytest.mark.parametrize("reduce", ["max", "min", "pna"])
def test_ties_go_to_the_boundary_and_the_lowest_position(reduce):
    for boundary in BOUNDARIES:
        inputs = random_inputs(random_edges(50, 5000, hub=2000), 50, "add", reduce, weighted=True, masked=True,
                               boundary=boundary, channels=5)  # fmt: skip
        # few distinct values: many equal messages in every piece
        inputs = inputs.with_leaves({name: tensor.round() for name, tensor in inputs.leaves().items()})
        inputs.weight = torch.ones_like(inputs.weight)
        assert_equals_python(placed(inputs))


@pytest.mark.parametrize("size", [0, 63, 64, 65, 1023, 1024, 1025])
def test_rows_that_end_at_the_border_of_a_piece(size):
    for reduce, rest in product(REDUCES, (0, 1, 62, 63, 64)):
        number = size + rest
        edges = torch.stack([torch.arange(number) % 3, (torch.arange(number) >= size).long()])
        inputs = random_inputs(edges, 3, "mul", reduce, weighted=True, boundary="dense", channels=4, batches=1)
        assert_equals_python(placed(inputs))


def test_more_relations_than_edges():
    for dependent in (False, True):
        inputs = random_inputs(random_edges(30, 200), 30, "mul", "pna", boundary="sparse", dependent=dependent,
                               num_relations=5000)  # fmt: skip
        assert_equals_python(placed(inputs))


@pytest.mark.parametrize("reduce", REDUCES)
def test_nothing_to_do(reduce):
    none = torch.empty(2, 0, dtype=torch.int64)
    for edges, nodes, batches in ((none, 4, 2), (none, 1, 1), (none, 0, 2), (random_edges(4, 9), 4, 0)):
        for dependent in (False, True):
            boundary = "dense" if nodes == 0 else "sparse"
            inputs = random_inputs(edges, nodes, "mul", reduce, weighted=True, masked=True, boundary=boundary,
                                   dependent=dependent, channels=8, batches=batches)  # fmt: skip
            assert_equals_python(placed(inputs))


def test_rows_without_messages_hold_empty():
    for reduce in REDUCES:
        inputs = placed(replace(make_inputs("mul", reduce, masked=True), empty=7.5))
        inputs.mask[:] = False
        assert (inputs.run() == 7.5).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduce", REDUCES)
def test_runs_repeat_bit_for_bit(reduce, dtype):
    edges = random_edges(300, 20_000, hub=5000)
    for message in MESSAGES:
        inputs = placed(random_inputs(edges, 300, message, reduce, weighted=True, masked=True, boundary="sparse",
                                      channels=32, batches=5), dtype)  # fmt: skip
        out, found = gradients(inputs)
        for _ in range(3):
            again, found_again = gradients(inputs)
            assert torch.equal(out, again)
            assert all(torch.equal(found[name], found_again[name]) for name in found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_addresses_that_are_no_multiple_of_a_vector(dtype):
    for reduce in REDUCES:
        inputs = placed(random_inputs(random_edges(40, 500), 40, "mul", reduce, boundary="dense", channels=32), dtype)
        shifted = {}
        for name, tensor in inputs.leaves().items():
            shifted[name] = torch.empty(tensor.numel() + 1, dtype=dtype, device=tensor.device)[1:].view(tensor.shape)
            shifted[name].copy_(tensor)
            assert shifted[name].data_ptr() % 16 != 0 and shifted[name].is_contiguous()
        # not bit for bit: the compiler may fuse other products and sums where it reads one channel at a time
        torch.testing.assert_close(inputs.run(), inputs.with_leaves(shifted).run())
        leaves = {name: tensor.requires_grad_() for name, tensor in shifted.items()}
        inputs.with_leaves(leaves).run().sum().backward()
        wanted = {name: tensor.clone().requires_grad_() for name, tensor in inputs.leaves().items()}
        inputs.with_leaves(wanted).run().sum().backward()
        for name, leaf in leaves.items():
            torch.testing.assert_close(leaf.grad, wanted[name].grad)


def test_a_small_deviation_beside_a_large_mean():
    for count in (2, 10, 1001, 20_000):
        values = 1e4 + 0.01 * (torch.arange(count) % 2).float()
        x = torch.zeros(1, count + 1, 4, device=DEVICE)
        x[0, 1:] = values.unsqueeze(1).to(DEVICE)
        edges = torch.stack([torch.arange(1, count + 1), torch.zeros(count, dtype=torch.int64)]).to(DEVICE)
        kind = torch.zeros(count, dtype=torch.int64, device=DEVICE)
        out = ops.relational_pna(edges, kind, x, torch.ones(1, 4, device=DEVICE), num_nodes=count + 1)
        wanted = values.double().std(correction=0).expand(4)
        torch.testing.assert_close(out[0, 0, 3].double().cpu(), wanted, rtol=1e-3, atol=0)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("message", MESSAGES)
def test_gradcheck(message, reduce, boundary):
    edges = torch.tensor([[0, 0, 0, 1, 2, 4, 2, 1], [1, 1, 2, 1, 4, 0, 0, 4]])
    inputs = placed(random_inputs(edges, 5, message, reduce, weighted=True, masked=boundary == "sparse", boundary=boundary,
                                  dependent=boundary != "dense", channels=2, num_relations=2))  # fmt: skip
    leaves = {name: tensor.requires_grad_() for name, tensor in inputs.leaves().items()}
    assert torch.autograd.gradcheck(
        lambda *values: inputs.with_leaves(dict(zip(leaves, values, strict=True))).run(), tuple(leaves.values())
    )


def arguments(inputs):
    """What the public functions hand to the registered operator."""
    graph = ops.CSRGraph(inputs.edges, num_nodes=inputs.num_nodes)
    source, value = inputs.boundary if isinstance(inputs.boundary, tuple) else (None, inputs.boundary)
    real = torch.float64 if inputs.x.dtype == torch.float64 else torch.float32
    weight = None if inputs.weight is None else graph.by_position(inputs.weight, real)
    keep = None if inputs.mask is None else graph.by_position(inputs.mask, torch.uint8)
    tensors = [graph.ptr, graph.source, graph.by_position(inputs.kind, torch.int32), weight, keep, inputs.x, inputs.relation,
               source, value, graph.t_ptr, graph.t_target, graph.t_position]  # fmt: skip
    return tensors, (MESSAGE_CODES[inputs.message], REDUCE_CODES[inputs.reduce])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("reduce", REDUCES)
def test_opcheck(reduce, boundary):
    inputs = placed(make_inputs("mul", reduce, weighted=True, masked=True, boundary=boundary, channels=4))
    tensors, codes = arguments(inputs)
    out, arg = torch.ops.graphkit.relational_aggregate(*tensors, *codes, 0.0, True)
    torch.library.opcheck(
        torch.ops.graphkit.relational_aggregate_backward.default,
        (*tensors, out, arg, torch.ones_like(out), *codes, 7 + 8 * (boundary != "none")),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )
    for leaf in inputs.leaves().values():
        leaf.requires_grad_()
    tensors, codes = arguments(inputs)
    torch.library.opcheck(torch.ops.graphkit.relational_aggregate.default, (*tensors, *codes, 0.0, True))


def needs_device_memory(gigabytes):
    free = torch.cuda.mem_get_info()[0] / 2**30
    if free < gigabytes:
        pytest.skip(f"needs {gigabytes} GiB of device memory, {free:.0f} are free")


@pytest.mark.parametrize("reduce", REDUCES)
def test_nothing_waits_for_the_host(reduce):
    """A CUDA graph cannot hold a synchronisation or a copy to the host: recording one fails if there is any."""
    inputs = placed(random_inputs(random_edges(300, 20_000, hub=5000), 300, "mul", reduce, weighted=True, masked=True,
                                  boundary="sparse", channels=32), torch.float32)  # fmt: skip
    tensors, codes = arguments(inputs)

    def both():
        out, arg = torch.ops.graphkit.relational_aggregate(*tensors, *codes, 0.0, True)
        return out, *torch.ops.graphkit.relational_aggregate_backward(
            *tensors, out, arg, torch.ones_like(out), *codes, 15
        )

    wanted = both()
    torch.cuda.synchronize()
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        found = both()
    recorded.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_work_goes_to_the_current_stream():
    inputs = placed(random_inputs(random_edges(300, 20_000), 300, "mul", "pna", channels=32), torch.float32)
    wanted = inputs.run()
    late = torch.zeros_like(inputs.x)
    tensors, codes = arguments(replace(inputs, x=late))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    # the operator itself, because the public function waits for the stream when it checks values
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # a kernel on another stream would read the zeros
        late.copy_(inputs.x)
        out, _ = torch.ops.graphkit.relational_aggregate(*tensors, *codes, 0.0, False)
    torch.cuda.current_stream().wait_stream(stream)
    assert torch.equal(out, wanted)


def test_memory_stays_far_below_one_message_per_edge():
    inputs = placed(
        random_inputs(random_edges(2000, 200_000), 2000, "mul", "pna", channels=32, batches=16), torch.float32
    )
    messages = 16 * 200_000 * 32 * 4
    gradients(inputs)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    gradients(inputs)
    assert torch.cuda.max_memory_allocated() - before < messages / 2


def test_more_than_two_to_the_31_elements():
    needs_device_memory(28)
    nodes, channels = 2**26 + 3, 32
    x = torch.zeros(1, nodes, channels, dtype=torch.bfloat16, device=DEVICE)
    x[0, -2:] = torch.tensor([[2.0], [3.0]], device=DEVICE)
    x.requires_grad_()
    edges = torch.tensor([[nodes - 1, nodes - 2, 0], [nodes - 2, nodes - 1, 1]], device=DEVICE)
    relation = torch.full((1, channels), 5.0, dtype=torch.bfloat16, device=DEVICE)
    out = ops.relational_spmm(edges, torch.zeros(3, dtype=torch.int64, device=DEVICE), x, relation, num_nodes=nodes)
    assert out[0, -2:, 0].tolist() == [15.0, 10.0] and not out[0, :-2].any()
    (grad,) = torch.autograd.grad(out, x, torch.ones_like(out))
    assert grad[0, -2:, 0].tolist() == [5.0, 5.0] and grad[0, 0, 0] == 5 and not grad[0, 1:-2].any()
