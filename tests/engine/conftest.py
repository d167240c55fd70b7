import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def task():
    from toy import ToyTask

    return ToyTask()


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Path of the tiny experiment; what is cached stays in the test's folder."""
    from tiny_experiment import write_tiny_experiment

    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    return write_tiny_experiment(tmp_path)
