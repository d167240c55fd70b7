"""The selective scan: definition, gradients, exact properties of the recurrence, determinism, registration, mistakes."""

import pytest
import torch
from scan_definition import scan

from graphkit import ops
from graphkit.errors import UserError
from graphkit.ops import selective_scan_reference as reference

LENGTHS = (1, 2, 3, 4, 5, 17, 31, 32, 33, 63, 64, 65, 129)
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def sample(sequences, length, channels, states, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed + 1000 * length + 10 * channels + states)

    def draw(*size):
        return torch.randn(*size, dtype=torch.float64, generator=generator)

    of_parameters = torch.float32 if dtype == torch.bfloat16 else dtype
    rows = {
        "u": (sequences, length, channels), "delta": (sequences, length, channels), "z": (sequences, length, channels),
        "B": (sequences, length, states), "C": (sequences, length, states),
    }  # fmt: skip
    drawn = {name: draw(*size).to(dtype) for name, size in rows.items()}
    drawn["A"] = (-3 * draw(channels, states).abs()).to(of_parameters)
    drawn |= {"D": draw(channels).to(of_parameters), "delta_bias": draw(channels).to(of_parameters)}
    return {name: drawn[name] for name in NAMES}


def run(inputs, **options):
    rows = dict(inputs)
    positional = [rows.pop(name) for name in ("u", "delta", "A", "B", "C", "D")]
    return ops.selective_scan(*positional, **rows, **options)


def with_gradients(inputs, **options):
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    y = run(leaves, **options)
    weight = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).sin().view(y.shape).to(y.dtype)
    y.backward(weight)
    return [y.detach(), *(leaves[name].grad for name in NAMES)]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("reverse", [False, True])
def test_definition(length, reverse, backend):
    for channels, states in ((1, 1), (7, 4), (33, 8)) if length < 6 else ((5, 16),):
        inputs = sample(2, length, channels, states)
        lengths = torch.tensor([length, length // 2])
        options = {"delta_softplus": True, "lengths": lengths, "reverse": reverse}
        torch.testing.assert_close(run(inputs, **options), scan(**inputs, **options), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("left_out", [("D",), ("z",), ("delta_bias",), ("D", "z", "delta_bias")])
def test_definition_without_options(left_out, backend):
    inputs = {name: None if name in left_out else tensor for name, tensor in sample(3, 6, 5, 3).items()}
    inputs["delta"] = inputs["delta"].abs()
    torch.testing.assert_close(run(inputs), scan(**inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("states", [1, 4, 8, 16, 19])
def test_lower_precision(dtype, tolerance, states, backend):
    for channels in (1, 32, 33, 128):
        inputs = sample(2, 65, channels, states, dtype)
        wide = {name: tensor.double() for name, tensor in inputs.items()}
        found = run(inputs, delta_softplus=True)
        assert found.dtype == dtype
        with ops.force_backend("python"):
            wanted = run(wide, delta_softplus=True)
        torch.testing.assert_close(found.double(), wanted, rtol=tolerance, atol=tolerance * 3)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradcheck(reverse, backend):
    inputs = sample(2, 4, 3, 2)
    lengths = torch.tensor([4, 2])

    def function(*tensors):
        return run(dict(zip(NAMES, tensors, strict=True)), delta_softplus=True, lengths=lengths, reverse=reverse)

    assert torch.autograd.gradcheck(function, tuple(t.requires_grad_() for t in inputs.values()))


@pytest.mark.parametrize("length", [5, 32, 33, 70, 100])
@pytest.mark.parametrize("sequences", [2, 70])
@pytest.mark.parametrize("states", [3, 8, 16])
def test_gradients_of_both_backends(length, sequences, states):
    if sequences * length > 3000:
        return
    inputs = sample(sequences, length, 37, states)
    lengths = torch.arange(sequences) * 7 % (length + 1)
    results = []
    for backend in ("native", "python"):
        with ops.force_backend(backend):
            results.append(with_gradients(inputs, delta_softplus=True, lengths=lengths, reverse=True))
    for native, python in zip(*results, strict=True):
        torch.testing.assert_close(native, python, rtol=1e-11, atol=1e-11)


def test_gradients_by_autograd():
    """The formulas of the gradient against torch's own differentiation of the recurrence."""
    inputs = {name: tensor.requires_grad_() for name, tensor in sample(1, 40, 3, 4).items()}
    dt = torch.nn.functional.softplus(inputs["delta"] + inputs["delta_bias"])
    h, rows = torch.zeros(1, 3, 4, dtype=torch.float64), []
    for t in range(40):
        u, b, c = inputs["u"][:, t], inputs["B"][:, t, None], inputs["C"][:, t, None]
        h = torch.exp(dt[:, t, :, None] * inputs["A"]) * h + (dt[:, t] * u)[..., None] * b
        rows.append(((h * c).sum(-1) + inputs["D"] * u) * torch.nn.functional.silu(inputs["z"][:, t]))
    y = torch.stack(rows, 1)
    weight = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).sin().view(y.shape)
    wanted = [y.detach(), *torch.autograd.grad(y, list(inputs.values()), weight)]
    found = with_gradients({name: t.detach() for name, t in inputs.items()}, delta_softplus=True)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_pair_operator_is_associative():
    """(a, v) then (a', v') is (a a', a' v + v'); (1, 0) changes nothing."""
    generator = torch.Generator().manual_seed(0)
    pairs = [tuple(torch.rand(2, 50, dtype=torch.float64, generator=generator)) for _ in range(3)]

    def after(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    left, right = after(after(pairs[0], pairs[1]), pairs[2]), after(pairs[0], after(pairs[1], pairs[2]))
    torch.testing.assert_close(left, right, rtol=1e-15, atol=1e-15)
    assert all(
        torch.equal(a, b) for a, b in zip(after((torch.ones(50), torch.zeros(50)), pairs[0]), pairs[0], strict=True)
    )


@pytest.mark.parametrize("chunk", [1, 2, 7, 16, 64, 1000])
def test_any_chunk_gives_the_same(chunk, monkeypatch):
    inputs = sample(2, 100, 4, 3)
    with ops.force_backend("python"):
        wanted = with_gradients(inputs, delta_softplus=True)
        monkeypatch.setattr(reference, "_CHUNK", chunk)
        found = with_gradients(inputs, delta_softplus=True)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_step_of_zero_freezes_the_state(dtype, backend):
    """With steps of 0 between, the state read at the end is bit for bit the one before them."""
    inputs = sample(1, 50, 20, 16, dtype)
    inputs |= {"D": None, "z": None, "delta_bias": None}
    inputs["delta"] = inputs["delta"].abs()
    inputs["delta"][:, 10:] = 0
    inputs["C"][:, 9:] = inputs["C"][:, 9:10].clone()
    y = run(inputs)
    assert all(torch.equal(y[:, 9], y[:, t]) for t in range(10, 50))


@pytest.mark.parametrize("states", [5, 16])
def test_reverse_is_flip_scan_flip(states, backend):
    inputs, lengths = sample(3, 40, 19, states), torch.tensor([40, 0, 33])

    def flipped(rows):
        return torch.stack([torch.cat([r[:n].flip(0), r[n:]]) for r, n in zip(rows, lengths.tolist(), strict=True)])

    turned = {name: flipped(t) if t.dim() == 3 else t for name, t in inputs.items()}
    options = {"delta_softplus": True, "lengths": lengths}
    assert torch.equal(run(inputs, reverse=True, **options), flipped(run(turned, **options)))


@pytest.mark.parametrize("rest", [float("nan"), 1e30])
@pytest.mark.parametrize("reverse", [False, True])
def test_padding_has_no_say(rest, reverse, backend):
    inputs, lengths = sample(3, 6, 5, 4), torch.tensor([6, 2, 0])
    long = {}
    for name, tensor in inputs.items():
        if tensor.dim() == 3:
            tensor = torch.cat([tensor, torch.full((3, 30, tensor.shape[2]), rest, dtype=tensor.dtype)], 1)
            for s, length in enumerate(lengths.tolist()):
                tensor[s, length:] = rest
        long[name] = tensor
    options = {"delta_softplus": True, "lengths": lengths, "reverse": reverse}
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in long.items()}
    run(leaves, **options)[:, :6].square().sum().backward()
    short = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    y = run(short, **options)
    y.square().sum().backward()
    assert torch.equal(run(long, **options)[:, :6], y)
    for name in NAMES:
        grad = leaves[name].grad
        assert torch.equal(grad[:, :6] if grad.dim() == 3 else grad, short[name].grad), name
        assert grad.dim() != 3 or not grad[:, 6:].any()


def test_packed_padded_and_one_by_one(backend):
    inputs, lengths = sample(4, 40, 6, 8), torch.tensor([40, 1, 0, 35])
    padded = run(inputs, delta_softplus=True, lengths=lengths)
    packed_rows = {
        name: torch.cat([t[s, :n] for s, n in enumerate(lengths.tolist())]) if t.dim() == 3 else t
        for name, t in inputs.items()
    }
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    packed = run(packed_rows, delta_softplus=True, ptr=ptr)
    assert torch.equal(packed, torch.cat([padded[s, :n] for s, n in enumerate(lengths.tolist())]))
    for s, n in enumerate(lengths.tolist()):
        one = {name: t[s : s + 1, :n] if t.dim() == 3 else t for name, t in inputs.items()}
        assert torch.equal(run(one, delta_softplus=True)[0], padded[s, :n])
    packed_rows["u"] = packed_rows["u"].clone()
    packed_rows["u"][:40] += 1  # the first sequence alone
    assert torch.equal(run(packed_rows, delta_softplus=True, ptr=ptr)[40:], packed[40:])


def test_causality(backend):
    inputs = sample(1, 6, 3, 2)
    jacobian = (
        torch.autograd.functional.jacobian(lambda u: run({**inputs, "u": u})[0].sum(-1), inputs["u"])[:, 0]
        .abs()
        .sum(-1)
    )
    assert torch.equal(jacobian.triu(1), torch.zeros(6, 6, dtype=torch.float64))
    assert bool((jacobian + torch.ones(6, 6).triu(1) > 0).all())


@pytest.mark.parametrize("sequences", [1, 3, 200])
def test_threads_do_not_matter(sequences):
    inputs = sample(sequences, 9 if sequences > 3 else 300, 70, 16, torch.float32)
    results = []
    for threads in (1, 2, 8):
        torch.set_num_threads(threads)
        results.append(with_gradients(inputs, delta_softplus=True))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("channels", [64, 80, 40])
def test_gradients_larger_than_the_caches(channels):
    """Rows of whole lines are then stored past the caches; those of few sequences are not, and have to be the same numbers."""
    inputs = sample(500, 70, channels, 2, torch.float32)
    weight = torch.randn(500, 70, channels)
    rows = ("u", "delta", "B", "C", "z")

    def gradients(count):
        leaves = {name: (t[:count] if name in rows else t).clone().requires_grad_() for name, t in inputs.items()}
        run(leaves, delta_softplus=True).backward(weight[:count])
        return [leaves[name].grad for name in rows]

    for many, few in zip(gradients(500), gradients(70), strict=True):
        assert torch.equal(many[:70], few)


@pytest.mark.parametrize("scale", [1e-3, 30.0, 1000.0])
def test_extreme_steps_stay_finite(scale, backend):
    inputs = sample(1, 300, 5, 16, torch.float32)
    inputs["delta"] = inputs["delta"].abs() * scale
    found = with_gradients(inputs, delta_softplus=True)
    assert all(bool(torch.isfinite(t).all()) for t in found)


def test_nothing_of_all_states_is_kept():
    inputs = {name: t.requires_grad_() for name, t in sample(1, 6400, 16, 16, torch.float32).items()}
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        run(inputs, delta_softplus=True)
    assert max(sizes) <= 6400 * 16  # never [L, D, N]


@pytest.mark.parametrize("namespace", ["graphkit", "graphkit_python"])
def test_registration(namespace):
    rows = {
        name: t.flatten(0, 1).requires_grad_() if t.dim() == 3 else t.requires_grad_()
        for name, t in sample(2, 33, 3, 2).items()
    }
    begin, length = torch.tensor([0, 33]), torch.tensor([33, 30])
    operators = getattr(torch.ops, namespace)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    arguments = tuple(rows[name] for name in NAMES)
    torch.library.opcheck(
        operators.selective_scan.default, (*arguments, True, begin, length, False, True), test_utils=tests
    )
    arguments = tuple(t.detach() for t in arguments)
    y, states = operators.selective_scan(*arguments, True, begin, length, False, True)
    torch.library.opcheck(
        operators.selective_scan_backward.default,
        (torch.ones_like(y), states, *arguments, True, begin, length, False),
        test_utils=tests,
    )


def test_empty(backend):
    for shape in ((0, 5), (3, 0), (0, 0)):
        inputs = sample(*shape, 4, 2)
        assert run(inputs).shape == (*shape, 4)
        assert with_gradients(inputs)[3].eq(0).all()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"u": torch.zeros(2, 3, 4, dtype=torch.float16)}, {}, "u is torch.float16"),
        ({"A": torch.zeros(5, 2, dtype=torch.float64)}, {}, r"u is \[2, 3, 4\] and A \[5, 2\]"),
        (
            {"B": torch.zeros(2, 3, 3, dtype=torch.float64)},
            {},
            r"B is torch.float64 \[2, 3, 3\], expected torch.float64 \[2, 3, 2\]",
        ),
        ({"delta": torch.zeros(2, 3, 4)}, {}, "delta is torch.float32"),
        ({"D": torch.zeros(3, dtype=torch.float64)}, {}, r"D is torch.float64 \[3\]"),
        ({}, {"lengths": torch.tensor([4, 1])}, "lengths go from 1 to 4, expected 0 to 3"),
        ({}, {"lengths": torch.tensor([1])}, "expected int64"),
        ({}, {"ptr": torch.tensor([0, 3])}, r"expected \[S, L, D\], or \[R, D\] with ptr"),
    ],
)
def test_mistakes(change, options, message):
    with pytest.raises(UserError, match=message):
        run({**sample(2, 3, 4, 2), **change}, **options)


def test_packed_mistakes():
    rows = {name: t.flatten(0, 1) if t.dim() == 3 else t for name, t in sample(2, 3, 4, 2).items()}
    with pytest.raises(UserError, match="packed rows"):
        run(rows)
    for ptr in ([0, 4], [1, 6], [0, 5, 3, 6]):
        with pytest.raises(UserError, match="rise from 0 to the number of rows, 6"):
            run(rows, ptr=torch.tensor(ptr))


def test_second_derivative_is_refused():
    inputs = {name: t.requires_grad_() for name, t in sample(1, 3, 2, 2).items()}
    (first,) = torch.autograd.grad(run(inputs).sum(), inputs["u"], create_graph=True)
    with pytest.raises(UserError, match="second derivatives"):
        first.sum().backward()
