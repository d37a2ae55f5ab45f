"""Verdicts over seeds, against tests that are known."""

import numpy as np
import pytest
from scipy.stats import binomtest

from ensembles import EnsembleError, PredictionTable
from ensembles.comparison import compare
from zoo.benchmarking.verdict import judge, sign_flip


def table(right, confidence=0.9):
    """Predictions of two classes that are right where they are said to be."""
    p = np.where(right, confidence, 1 - confidence)
    labels = np.arange(len(right)) % 2
    columns = np.where((labels == 0)[:, None], np.stack([p, 1 - p], 1), np.stack([1 - p, p], 1))
    return PredictionTable.of(columns, labels)


@pytest.mark.parametrize(("up", "down"), [(9, 1), (6, 6), (0, 5), (30, 10)])
def test_flipping_signs_is_mcnemars_test_where_there_is_one_seed(up, down):
    difference = np.array([1.0] * up + [-1.0] * down + [0.0] * 100)
    exact = binomtest(up, up + down, 0.5).pvalue
    assert sign_flip(difference) == pytest.approx(exact, abs=0.015)
    less = binomtest(up, up + down, 0.5, alternative="less").pvalue
    assert sign_flip(difference, less=True) == pytest.approx(less, abs=0.015)


def test_nothing_differs():
    assert sign_flip(np.zeros(10)) == 1.0


def test_one_seed_is_judged_as_zoo_ensemble_does():
    rng = np.random.default_rng(0)
    a, b = (table(rng.random(300) < share) for share in (0.95, 0.75))
    found, known = judge([a], [b]), compare(a, b)
    assert (found.by_accuracy, found.by_log_loss) == (known.by_accuracy, known.by_log_loss)
    assert (found.p_value, found.low, found.high) == (known.p_value, known.low, known.high)
    assert found.by_accuracy == "better"


def test_several_seeds_must_agree():
    right = np.arange(400) % 10 < 8
    much, less, more = right.copy(), right.copy(), right.copy()
    much[np.flatnonzero(~right)[:60]] = True
    more[np.flatnonzero(~right)[:20]] = True
    less[np.flatnonzero(right)[:3]] = False
    base = [table(right)] * 3
    clear = judge([table(much), table(more), table(more)], base)
    assert (clear.by_accuracy, clear.by_log_loss, clear.seeds) == ("better", "better", 3)
    assert clear.accuracy == pytest.approx((60 + 20 + 20) / 3 / 400)
    torn = judge([table(much), table(more), table(less)], base)
    assert torn.p_value < 0.05
    assert torn.by_accuracy == torn.by_log_loss == "not distinguishable"
    assert judge(base, [table(much), table(more), table(more)]).by_accuracy == "worse"


def test_few_images_tell_no_difference_of_losses_over_seeds_either():
    sure, unsure = [table(np.ones(12, bool), c) for c in (0.9, 0.8)]
    assert compare(sure, unsure).by_log_loss == "not distinguishable"
    found = judge([sure, sure], [unsure, unsure])
    assert found.high < 0
    assert found.by_log_loss == "not distinguishable"


def test_equal_rows_are_not_distinguishable_five_times_in_a_hundred_at_most():
    rng, seen = np.random.default_rng(1), 0
    for _ in range(60):
        a, b = ([table(rng.random(200) < 0.85) for _ in range(2)] for _ in range(2))
        seen += judge(a, b).by_accuracy != "not distinguishable"
    assert seen <= 6


def test_other_images_are_refused():
    with pytest.raises(EnsembleError, match="do not go together"):
        judge([table(np.ones(30))] * 2, [table(np.ones(31))] * 2)
