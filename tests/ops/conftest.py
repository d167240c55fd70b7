"""Makes the samples beside the tests importable, and runs a test once for every backend that is installed."""

import os
import sys
from pathlib import Path

import pytest
import torch

from graphkit import ops
from graphkit.errors import UserError

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["native", "python"])
def backend(request):
    try:
        with ops.force_backend(request.param):
            yield request.param
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from threads and suffer where cores are shared; tests of threading set their own number.

    With GRAPHKIT_TEST_THREADS all tests have threads, for a sanitizer that looks for data races (experiments/faults).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("GRAPHKIT_TEST_THREADS", "1")))
    yield
    torch.set_num_threads(before)
