import pytest

from graphkit.engine.state import TrainingState
from graphkit.errors import UserError


def closed(*scores, patience=None):
    """A state after epochs of one step each, validated with the given scores."""
    state = TrainingState()
    improved = []
    for score in scores:
        state.count(1.0)
        improved.append(state.end_epoch({"mrr": score}, "mrr", patience, last=False))
    return state, improved


def test_the_earliest_of_equal_validations_is_the_best():
    state, improved = closed(0.2, 0.5, 0.5, 0.4)
    assert improved == [True, True, False, False]
    assert state.best == {"epoch": 2, "metrics": {"mrr": 0.5}} and state.stale == 2


def test_a_tie_uses_up_patience():
    assert not closed(0.5, 0.5, patience=2)[0].finished
    assert closed(0.5, 0.5, 0.5, patience=2)[0].finished


def test_a_validation_that_is_not_a_number_is_refused():
    with pytest.raises(UserError, match="'mrr' is not a number"):
        closed(0.5, float("nan"))


def test_an_epoch_without_batches_is_refused():
    with pytest.raises(UserError, match="gave no batch"):
        TrainingState().end_epoch(None, "mrr", None, last=True)
