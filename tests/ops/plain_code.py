"""CUDA kernels compiled as plain C++: their code runs on a CPU, one thread after the other."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

COMPILER = shutil.which("c++") or shutil.which("g++")
KERNELS = Path(__file__).resolve().parents[2] / "cpp_ext" / "cuda"


def compiled(name, folder):
    """The library of NAME.cpp beside this file; skips where there is no compiler."""
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    # all that the kernels take from CUDA when they run on a CPU
    (folder / "cuda_runtime_api.h").write_text("typedef void* cudaStream_t;\n")
    source, library = Path(__file__).with_name(f"{name}.cpp"), folder / f"{name}.so"
    flags = ["-std=c++20", "-O1", "-fPIC", "-shared", "-w"]
    subprocess.run([COMPILER, *flags, f"-I{folder}", f"-I{KERNELS}", str(source), "-o", str(library)], check=True)
    made = ctypes.CDLL(str(library))
    if hasattr(made, "result_bytes"):
        made.result_bytes.restype = ctypes.c_int64
    return made


def run(function, *arguments):
    """Calls with tensors as pointers, None as a null pointer, whole numbers as int64."""
    convert = {bool: ctypes.c_bool, int: ctypes.c_int64, type(None): lambda _: ctypes.c_void_p(None)}
    function.restype = None
    function(*(ctypes.c_void_p(a.data_ptr()) if torch.is_tensor(a) else convert[type(a)](a) for a in arguments))


def results(library, dtypes):
    """What the last call has left, one tensor for each dtype."""
    taken = []
    for i, dtype in enumerate(dtypes):
        size = library.result_bytes(ctypes.c_int64(i))
        tensor = torch.empty(size // dtype.itemsize, dtype=dtype)
        library.take_result(ctypes.c_int64(i), ctypes.c_void_p(tensor.data_ptr()))
        taken.append(tensor)
    return taken
