"""Operators: tensors in, tensors out. Each has a body in torch and, where the extension is built, a native kernel."""

from graphkit.ops import relational_reference  # noqa: F401  (declares the operators)
from graphkit.ops._library import OPS, backend_of, force_backend, load_native
from graphkit.ops.csr import CSRGraph
from graphkit.ops.pna_update import DegreeClasses, classes_of_degrees, degree_classes, pna_update
from graphkit.ops.relational import relational_pna, relational_spmm

load_native()

__all__ = [
    "OPS", "CSRGraph", "DegreeClasses", "backend_of", "classes_of_degrees", "degree_classes", "force_backend", "pna_update",
    "relational_pna", "relational_spmm",
]  # fmt: skip
