"""Builds the native extension where torch and a compiler are at hand; everything else about the package is in setup.cfg."""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
REQUIRED = os.environ.get("GRAPHKIT_BUILD_EXT") == "1"
STABLE_ABI = "0x020a000000000000"  # torch 2.10: the oldest torch the binary runs on


def pure(reason):
    """No extension: a pure-Python wheel, unless the extension was asked for."""
    if REQUIRED:
        raise SystemExit(f"graphkit: GRAPHKIT_BUILD_EXT=1 but the extension cannot be built: {reason}")
    print(f"graphkit: building without the native extension ({reason}); operators run in plain torch, slower")
    return {}


def extension():
    if os.environ.get("GRAPHKIT_BUILD_EXT") == "0":
        return pure("GRAPHKIT_BUILD_EXT=0")
    try:
        import torch
        from torch.utils import cpp_extension
    except ImportError:
        return pure("torch is not installed in the build environment; use --no-build-isolation")
    compiler = os.environ.get("CXX") or "c++"
    if shutil.which(compiler.split()[0]) is None and shutil.which("g++") is None:
        return pure("no C++ compiler found; install g++ or clang")

    class build_ext(cpp_extension.BuildExtension):
        left_out = ()

        def build_extension(self, extension):
            """The CUDA library may fail, for a toolkit that does not fit torch's, and the CPU one is still of use."""
            try:
                super().build_extension(extension)
            except Exception as error:
                if REQUIRED or not extension.name.endswith("_cuda"):
                    raise
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                print(f"graphkit: building without CUDA kernels ({reason}); on a GPU operators run in plain torch")
                self.left_out = (*self.left_out, extension)

        def build_extensions(self):
            super().build_extensions()
            self.extensions = [extension for extension in self.extensions if extension not in self.left_out]

        def run(self):
            try:
                super().run()
            except Exception as error:
                pure(f"the compiler failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
                self.extensions = []

        def get_outputs(self):
            return [file for file in super().get_outputs() if os.path.exists(file)]

    def sources(folder, *endings):
        found = (ROOT / "cpp_ext" / folder).iterdir()
        return sorted(str(path.relative_to(ROOT)) for path in found if path.suffix in endings)

    flags = [
        "-g0",
        "-std=c++20",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-Wno-psabi",
        f"-DTORCH_TARGET_VERSION={STABLE_ABI}",
    ]
    shared = {"py_limited_api": True, "include_dirs": [str(ROOT / "cpp_ext" / "cpu")]}
    modules = [
        cpp_extension.CppExtension(
            "graphkit._C", sources("cpu", ".cpp"), extra_compile_args={"cxx": ["-O3", *flags]}, **shared
        )
    ]
    if torch.version.cuda is not None and shutil.which("nvcc"):
        if not torch.cuda.is_available():  # torch would ask the GPU that is not here what to compile for
            os.environ.setdefault("TORCH_CUDA_ARCH_LIST", "7.5;8.0;9.0+PTX")
        modules.append(
            cpp_extension.CUDAExtension(
                "graphkit._C_cuda",
                sources("cuda", ".cpp", ".cu"),
                extra_compile_args={
                    "cxx": ["-O3", *flags, "-DUSE_CUDA"],
                    "nvcc": ["-O3", "-std=c++20", "-DUSE_CUDA", flags[-1]],
                },
                **shared,
            )
        )
    return {
        "ext_modules": modules,
        "cmdclass": {"build_ext": build_ext},
        "options": {"bdist_wheel": {"py_limited_api": "cp310"}},
    }


class build_with_cards(build_py):
    """The cards, samples and experiments at the top of the checkout travel inside the wheel."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "graphkit" / "shipped_files"
        for name, folder in (
            ("cards", "datasets/cards"),
            ("samples", "datasets/samples"),
            ("experiments", "experiments"),
        ):
            for file in (ROOT / folder).rglob("*"):
                if file.is_file() and (name != "experiments" or file.suffix == ".yaml"):
                    to = target / name / file.relative_to(ROOT / folder)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, to)


arguments = extension()
arguments.setdefault("cmdclass", {})["build_py"] = build_with_cards
setup(**arguments)
