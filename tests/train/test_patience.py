"""When a training ends before its last epoch."""

import numpy as np
import pytest

from zoo.train.augment import Policy
from zoo.train.fit import FixedEpochs, Hyperparameters, State, Validation

NOTHING = Validation(np.zeros((0, 8, 8, 3), np.uint8), np.zeros(0, int), np.zeros(0, int))


def ends_after(losses: list[float], patience: int, start: float = np.inf) -> int:
    """Epochs that are trained of these, for a start of this validation loss."""
    plan = Hyperparameters(
        len(losses), 32, 0.1, "sgd", 1.0, 1.0, patience, Policy("none", "none", "none"), 0
    )
    state = State(next_epoch=0, best_epoch=0, best_loss=start)
    for number, loss in enumerate(losses, start=1):
        state.next_epoch = number
        state.history.append({"epoch": number, "val_loss": loss})
        if loss < state.best_loss:
            state.best_loss, state.best_epoch = loss, number
        if state.finished(plan, NOTHING):
            return number
    raise AssertionError("it never ends")


@pytest.mark.parametrize(
    ("losses", "patience", "epochs"),
    [
        ([0.5, 0.4, 0.3, 0.2], 1, 4),
        ([0.5, 0.6, 0.3, 0.2], 1, 2),
        ([0.5, 0.6, 0.7, 0.4, 0.5, 0.6, 0.7, 0.1], 3, 7),
        ([0.5, 0.6, 0.7, 0.8], 0, 4),
        ([0.5, 0.5, 0.5, 0.5], 2, 3),
    ],
    ids=["falls", "rises", "comes back once", "no patience is asked", "no better"],
)
def test_patience_counts_epochs_since_the_best(losses, patience, epochs):
    assert ends_after(losses, patience) == epochs


def test_epochs_that_get_better_go_on_though_the_probe_is_not_beaten_yet():
    # as seen on ELPV: the first epochs of a large rate are worse than the probe at 0.294
    losses = [0.332, 0.374, 0.322, 0.297, 0.286, 0.283]
    assert ends_after(losses, 4, start=0.294) == 6
    assert ends_after([0.4, 0.41, 0.42, 0.43, 0.44, 0.45], 4, start=0.294) == 5


def test_a_refit_has_no_patience_to_lose():
    plan = Hyperparameters(9, 32, 0.1, "sgd", 1.0, 1.0, 1, Policy("none", "none", "none"), 0)
    history = [{"epoch": i, "train_loss": 1.0} for i in range(1, 6)]
    state = State(next_epoch=5, best_epoch=5, best_loss=np.inf, history=history)
    assert not state.finished(plan, FixedEpochs(epochs=6, averaged=True))
    assert state.finished(plan, FixedEpochs(epochs=5, averaged=True))
