"""How the operators are registered with torch, and which backend serves them."""

import threading

import pytest
import torch
from relational_samples import make_inputs

from graphkit import ops
from graphkit.errors import UserError
from graphkit.ops import _library
from graphkit.ops.relational_reference import MESSAGES, REDUCES

NAMESPACES = ["graphkit", "graphkit_python"]


def arguments(inputs, *, with_arg=True):
    """What relational_spmm hands to the registered operator."""
    graph = ops.CSRGraph(inputs.edges, num_nodes=inputs.num_nodes)
    source, value = inputs.boundary if isinstance(inputs.boundary, tuple) else (None, inputs.boundary)
    tensors = [
        graph.ptr, graph.source, graph.by_position(inputs.kind, torch.int32),
        None if inputs.weight is None else graph.by_position(inputs.weight, torch.float64),
        None if inputs.mask is None else graph.by_position(inputs.mask, torch.uint8),
        inputs.x, inputs.relation, source, value, graph.t_ptr, graph.t_target, graph.t_position,
    ]  # fmt: skip
    return tensors, (MESSAGES[inputs.message], REDUCES[inputs.reduce]), (0.0, with_arg)


CASES = [
    ("mul", "sum", {}),
    ("add", "mean", {"weighted": True, "masked": True, "boundary": "dense"}),
    ("rotate", "max", {"boundary": "sparse", "dependent": True}),
    ("min", "min", {"masked": True}),
    ("mul", "pna", {"weighted": True, "masked": True, "boundary": "sparse", "dependent": True}),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("message", "reduce", "options"), CASES)
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_opcheck(namespace, message, reduce, options):
    inputs = make_inputs(message, reduce, channels=2, **options)
    for leaf in inputs.leaves().values():
        leaf.requires_grad_()
    tensors, codes, rest = arguments(inputs)
    operator = getattr(torch.ops, namespace).relational_aggregate.default
    torch.library.opcheck(operator, (*tensors, *codes, *rest))


@pytest.mark.parametrize(("message", "reduce", "options"), CASES)
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_opcheck_of_the_backward(namespace, message, reduce, options):
    inputs = make_inputs(message, reduce, channels=2, **options)
    tensors, codes, rest = arguments(inputs)
    operators = getattr(torch.ops, namespace)
    out, arg = operators.relational_aggregate(*tensors, *codes, *rest)
    needs = 1 | 2 | 4 * (inputs.weight is not None) | 8 * (inputs.boundary is not None)
    saved = out if reduce == "pna" else out.new_empty(0)
    for wanted in {needs, 1, 2}:
        torch.library.opcheck(
            operators.relational_aggregate_backward.default,
            (*tensors, saved, arg, torch.ones_like(out), *codes, wanted),
            test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
        )


@pytest.mark.parametrize("reduce", list(REDUCES))
def test_positions_are_given_only_when_asked_for(backend, reduce):
    tensors, codes, _ = arguments(make_inputs("mul", reduce))
    operator = getattr(torch.ops, _library._NAMESPACES[backend]).relational_aggregate
    without, none = operator(*tensors, *codes, 0.0, False)
    with_arg, positions = operator(*tensors, *codes, 0.0, True)
    assert torch.equal(without, with_arg) and none.numel() == 0
    assert positions.numel() == {"pna": 2, "max": 1, "min": 1}.get(reduce, 0) * tensors[5].numel()


def test_positions_name_the_winner(backend):
    inputs = make_inputs("mul", "max", channels=3, masked=True)
    tensors, codes, _ = arguments(inputs)
    operator = getattr(torch.ops, _library._NAMESPACES[backend]).relational_aggregate
    out, positions = operator(*tensors, *codes, 0.0, True)
    graph = ops.CSRGraph(inputs.edges, num_nodes=inputs.num_nodes)
    for b, v, c in torch.cartesian_prod(torch.arange(2), torch.arange(7), torch.arange(3)).tolist():
        position = int(positions[b, v, c])
        if position < 0:
            assert out[b, v, c] == 0
            continue
        edge = graph.perm[position]
        assert inputs.edges[1, edge] == v and inputs.mask[edge]
        assert out[b, v, c] == inputs.x[b, inputs.edges[0, edge], c] * inputs.relation[inputs.kind[edge], c]


def test_forced_python_never_reaches_the_kernel(monkeypatch):
    inputs = make_inputs("mul", "sum")
    asked = []
    original = _library._NAMESPACES
    monkeypatch.setattr(_library, "_NAMESPACES", {k: asked.append(k) or v for k, v in original.items()})
    with ops.force_backend("python"):
        assert ops.backend_of("relational_spmm") == ops.backend_of("relational_pna") == "python"
        wanted = inputs.run()
        with ops.force_backend("python"):
            pass
        assert ops.backend_of("relational_spmm") == "python"
    torch.testing.assert_close(inputs.run(), wanted)


def test_a_failure_inside_the_context_leaves_no_trace():
    before = ops.backend_of("relational_spmm")
    with pytest.raises(ZeroDivisionError), ops.force_backend("python"):
        raise ZeroDivisionError
    assert ops.backend_of("relational_spmm") == before


def test_the_gradient_stays_with_the_backend_of_the_forward():
    inputs = make_inputs("mul", "max")
    inputs.x.requires_grad_()
    with ops.force_backend("python"):
        out = inputs.run()
    names = []

    class Listener(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            names.append(str(function))
            return function(*args, **(kwargs or {}))

    with Listener():
        out.sum().backward()
    assert any("relational_aggregate_backward" in name for name in names)
    assert all(name.startswith("graphkit_python.") for name in names if "relational" in name)


def test_another_thread_is_not_forced():
    if ops.backend_of("relational_spmm") != "native":
        pytest.skip("the extension is not built")
    seen = []
    with ops.force_backend("python"):
        thread = threading.Thread(target=lambda: seen.append(ops.backend_of("relational_spmm")))
        thread.start(), thread.join()
    assert seen == ["native"]


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(UserError, match="unknown backend 'pyhton'; did you mean 'python'"), ops.force_backend("pyhton"):
        pass
    with pytest.raises(UserError, match="unknown operator 'relational_spm'; did you mean 'relational_spmm'"):
        ops.backend_of("relational_spm")


def test_a_backend_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr(_library, "library_file", lambda device="cpu": None)
    with pytest.raises(UserError, match="not built"), ops.force_backend("native"):
        pass
    monkeypatch.setattr(_library.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"graphkit-torch\[scatter\]"), ops.force_backend("scatter"):
        pass


def test_no_kernel_is_claimed_for_a_device_without_one():
    assert ops.backend_of("relational_spmm", "meta") == "python"


def test_every_public_operator_is_declared_in_every_namespace():
    assert set(ops.OPS) >= {"relational_spmm", "relational_pna"}
    for public, operator in ops.OPS.items():
        assert callable(getattr(ops, public))
        for namespace in ("graphkit", "graphkit_python", "graphkit_scatter"):
            assert hasattr(getattr(torch.ops, namespace), operator), (namespace, operator)


def test_fake_tensors_pass_through_the_public_function():
    inputs = make_inputs("mul", "pna")
    graph = ops.CSRGraph(inputs.edges, num_nodes=inputs.num_nodes)
    wanted = inputs.run(graph)
    traced = torch.export.export(Aggregate(graph, inputs), (inputs.x, inputs.relation)).module()
    torch.testing.assert_close(traced(inputs.x, inputs.relation), wanted)


class Aggregate(torch.nn.Module):
    def __init__(self, graph, inputs):
        super().__init__()
        self.graph, self.inputs = graph, inputs

    def forward(self, x, relation):
        return ops.relational_pna(self.graph, self.inputs.kind, x, relation, num_nodes=self.inputs.num_nodes)
