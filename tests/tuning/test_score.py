"""The number that trials are compared by."""

import numpy as np
import pytest

from zoo.errors import ZooError
from zoo.tuning.score import METRICS, better, check_metric, direction, epoch_score, measure, score


def table(right, sure, n=100):
    """Probabilities of two classes with so many right, each with the same confidence."""
    labels = np.arange(n) % 2
    said = np.where(np.arange(n) < right, labels, 1 - labels)
    p = np.full((n, 2), 1 - sure)
    p[np.arange(n), said] = sure
    return labels, p


def test_log_loss_decides_among_equally_accurate_and_never_against_an_image():
    def reached(right, sure):
        return score("accuracy", measure(*table(right, sure)), 100)

    assert reached(90, 0.9) > reached(90, 0.99)
    assert reached(91, 0.999) > reached(90, 0.9)
    assert reached(90, 0.9) == pytest.approx(0.9, abs=0.005)


@pytest.mark.parametrize("metric", METRICS)
def test_better_follows_the_metric(metric):
    good, bad = (score(metric, measure(*table(right, 0.8)), 100) for right in (95, 60))
    assert better(metric, good, bad)
    assert not better(metric, bad, good)
    assert direction(metric) == ("minimize" if metric == "log_loss" else "maximize")
    low, high = {"val_loss": 0.9, "val_accuracy": 0.5}, {"val_loss": 0.1, "val_accuracy": 0.9}
    assert better(metric, epoch_score(metric, high, 100), epoch_score(metric, low, 100))


def test_a_metric_that_is_not_defined_is_told():
    labels, p = np.zeros(10, np.int64), np.full((10, 2), 0.5)
    found = measure(labels, p)
    assert found["auc"] is None
    with pytest.raises(ZooError, match="auc is not defined"):
        score("auc", found, 10)


def test_an_unknown_metric_is_refused():
    with pytest.raises(ZooError, match="did you mean 'accuracy'"):
        check_metric("acuracy")
