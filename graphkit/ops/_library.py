"""How an operator comes to be: one schema, a body in torch, a native kernel where there is one, gradients, a fake.

Every operator exists under three namespaces with the same schema and the same gradient formula:

``graphkit``          the native kernel for the tensor's device if the extension is built, else the body in torch
``graphkit_python``   always the body in torch
``graphkit_scatter``  a body on torch-scatter's kernels, where one is given

The public functions call the first unless :func:`force_backend` says otherwise, so no caller asks what is installed.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from graphkit.errors import UserError, nearest

__all__ = [
    "OPS",
    "backend_of",
    "call",
    "define",
    "force_backend",
    "library_file",
    "load_native",
    "no_second_derivative",
    "public",
]

_NAMESPACES = {"native": "graphkit", "python": "graphkit_python", "scatter": "graphkit_scatter"}
_LIBRARIES = {name: torch.library.Library(name, "FRAGMENT") for name in _NAMESPACES.values()}
_FORCED: contextvars.ContextVar[str | None] = contextvars.ContextVar("graphkit_backend", default=None)
_HAS_SCATTER_BODY: set[str] = set()

#: public name -> the operator that serves it
OPS: dict[str, str] = {}


def define(
    schema: str,
    body: Callable[..., Any],
    *,
    fake: Callable[..., Any],
    setup_context: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
    scatter_body: Callable[..., Any] | None = None,
) -> None:
    """Registers an operator under every namespace.

    Args:
        schema: torch's schema string, ``name(Tensor x, ...) -> Tensor``.
        body: the operator in plain torch; serves every device that has no kernel.
        fake: gives results of the right shapes and dtypes without computing them.
        setup_context, backward: as for ``torch.library.register_autograd``; ``backward`` gets the namespace's
            operators as its first argument, so that the gradient stays with the backend of the forward.
        scatter_body: the operator on torch-scatter.
    """
    name = schema.partition("(")[0]
    if scatter_body is not None:
        _HAS_SCATTER_BODY.add(name)
    for backend, namespace in _NAMESPACES.items():
        library = _LIBRARIES[namespace]
        library.define(schema)
        chosen = scatter_body if backend == "scatter" and scatter_body is not None else body
        library.impl(name, chosen, "CompositeExplicitAutograd")
        torch.library.register_fake(f"{namespace}::{name}", fake, lib=library)
        if backward is not None:
            operators = getattr(torch.ops, namespace)
            torch.library.register_autograd(
                f"{namespace}::{name}",
                lambda ctx, *grads, _operators=operators: backward(_operators, ctx, *grads),
                setup_context=setup_context,
                lib=library,
            )


def no_second_derivative(operators: Any, ctx: Any, *grads: Any) -> Any:
    """The gradient of an operator that is itself a gradient: refused, because leaving it out would be silently wrong."""
    raise UserError(
        "second derivatives of this operator are not defined; write the layer in plain torch where they are needed"
    )


def public(name: str, operator: str) -> None:
    """Notes which operator serves a public function, for :func:`backend_of`."""
    OPS[name] = operator


def call(operator: str, *arguments: Any) -> Any:
    """Calls an operator through the backend in force."""
    namespace = _NAMESPACES[_FORCED.get() or "native"]
    return getattr(getattr(torch.ops, namespace), operator)(*arguments)


def library_file(device: str = "cpu") -> Path | None:
    """The extension for a device type, if it was built."""
    stem = "_C" if device == "cpu" else f"_C_{device}"
    folder = Path(__file__).resolve().parent.parent
    return next(iter(sorted(folder.glob(f"{stem}.*so")) + sorted(folder.glob(f"{stem}.*pyd"))), None)


def load_native() -> None:
    """Loads what was built and this torch can run. An absent file leaves the bodies in torch in charge."""
    for device in ("cpu", "cuda"):
        file = library_file(device)
        if file is not None and (device == "cpu" or torch.version.cuda is not None):
            torch.ops.load_library(str(file))


def _has_kernel(operator: str, device: str) -> bool:
    key = {"cpu": "CPU", "cuda": "CUDA"}.get(device)
    return key is not None and torch._C._dispatch_has_kernel_for_dispatch_key(f"graphkit::{operator}", key)


def _check(backend: str) -> None:
    if backend not in _NAMESPACES:
        raise UserError(nearest(backend, _NAMESPACES, "backend"))
    if backend == "native" and library_file() is None:
        raise UserError(
            "the native backend was asked for, but the extension is not built; reinstall graphkit with a C++ compiler"
        )
    if backend == "scatter" and importlib.util.find_spec("torch_scatter") is None:
        raise UserError("the scatter backend needs torch-scatter; install graphkit-torch[scatter]")


def backend_of(name: str, device: str = "cpu") -> str:
    """Which backend serves a public operator: ``"native"``, ``"python"`` or ``"scatter"``.

    Args:
        name: a public name of ``graphkit.ops``.
        device: device type, ``"cpu"`` or ``"cuda"``.

    Raises:
        UserError: no such operator.

    Example:
        >>> from graphkit import ops
        >>> with ops.force_backend("python"):
        ...     ops.backend_of("relational_spmm")
        'python'
    """
    if name not in OPS:
        raise UserError(nearest(name, OPS, "operator"))
    forced = _FORCED.get()
    if forced == "python" or (forced == "scatter" and OPS[name] in _HAS_SCATTER_BODY):
        return forced
    return "native" if forced != "scatter" and _has_kernel(OPS[name], device) else "python"


@contextlib.contextmanager
def force_backend(backend: str) -> Iterator[None]:
    """Within the context every operator of graphkit runs on one backend.

    Args:
        backend: ``"python"`` (bodies in torch), ``"native"`` (the extension) or ``"scatter"`` (torch-scatter where an
            operator has such a body, else torch).

    Raises:
        UserError: an unknown backend, or one that is not installed.

    Example:
        >>> from graphkit import ops
        >>> with ops.force_backend("python"):
        ...     out = ops.relational_spmm(torch.tensor([[0], [1]]), torch.tensor([0]), torch.ones(1, 2, 3),
        ...                               torch.ones(1, 3), num_nodes=2)
        >>> out[0, 1].tolist()
        [1.0, 1.0, 1.0]
    """
    _check(backend)
    token = _FORCED.set(backend)
    try:
        yield
    finally:
        _FORCED.reset(token)
