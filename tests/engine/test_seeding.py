import os
import random

import numpy as np
import torch

from graphkit.engine.seeding import deterministic_algorithms, preserved_rng, rng_state, seeded, set_rng_state


def draw():
    return (
        torch.rand(()).item(),
        torch.randn(()).item(),
        np.random.rand(),
        np.random.randn(),
        random.random(),
        random.gauss(0, 1),
    )


def test_states_go_through_json_and_come_back():
    import json

    draw()  # leaves half a Gaussian pair in numpy's and Python's generators
    state = json.loads(json.dumps(rng_state()))
    first = draw()
    set_rng_state(state)
    assert draw() == first
    assert draw() != first


def test_seeded_blocks_agree_and_leave_the_outside_alone():
    state = rng_state()
    expected = draw()
    set_rng_state(state)
    with seeded(3):
        a = draw()
    assert draw() == expected
    with seeded(3):
        assert draw() == a
    with seeded(4):
        assert draw() != a


def test_preserved_rng_after_an_exception():
    state = rng_state()
    expected = draw()
    set_rng_state(state)
    try:
        with preserved_rng():
            draw()
            raise KeyError
    except KeyError:
        pass
    assert draw() == expected


def test_deterministic_algorithms_are_put_back():
    variable, threads = os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None), torch.get_num_threads()
    try:
        with deterministic_algorithms(True):
            assert torch.are_deterministic_algorithms_enabled() and os.environ["CUBLAS_WORKSPACE_CONFIG"]
            torch.set_num_threads(1)
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == threads and "CUBLAS_WORKSPACE_CONFIG" not in os.environ
        torch.use_deterministic_algorithms(True, warn_only=True)
        with deterministic_algorithms(True):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        if variable is not None:
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = variable
