"""Every example of the package runs, and every public name has one."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil

import pytest
import torch

import graphkit

NO_EXAMPLES = {"__main__", "_C", "_C_cuda"}  # the last two are libraries, loaded by torch
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(graphkit.__path__, "graphkit.") if m.name.split(".")[-1] not in NO_EXAMPLES
)
EXTRAS = {"matplotlib", "ogb", "pykeen", "tensorboard", "torch_scatter"}
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def module_of(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in EXTRAS:
            pytest.skip(f"{error.name} is not installed")
        raise


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    module = module_of(name)
    monkeypatch.chdir(tmp_path)  # an example may write files
    torch.manual_seed(0)
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    report = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def public_names():
    for room in ("ops", "nn", "analysis", "models", "metrics", "data"):
        module = importlib.import_module(f"graphkit.{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield pytest.param(thing, id=f"{room}.{name}")


@pytest.mark.parametrize("thing", list(public_names()))
def test_public_names_have_an_example(thing):
    text = inspect.getdoc(thing) or ""
    assert text.split("\n")[0].strip(), "no summary"
    examples = doctest.DocTestParser().get_examples(text)
    assert examples, f"{thing.__qualname__} shows no example"


def test_all_lists_what_is_there():
    for room in ("ops", "nn", "analysis", "models", "metrics", "data", "datasets", "engine"):
        module = importlib.import_module(f"graphkit.{room}")
        assert [name for name in module.__all__ if not hasattr(module, name)] == []
        assert len(set(module.__all__)) == len(module.__all__)
