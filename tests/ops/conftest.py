"""Makes the samples beside the tests importable, and runs a test once for every backend that is installed."""

import sys
from pathlib import Path

import pytest

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
