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


def changed(right, gained, lost=0):
    """Right where it was and on more images, less some."""
    found = right.copy()
    found[np.flatnonzero(~right)[:gained]] = True
    found[np.flatnonzero(right)[:lost]] = False
    return table(found)


def test_two_seeds_must_agree_and_tell_of_these_networks_only():
    right = np.arange(400) % 10 < 8
    base = [table(right)] * 2
    clear = judge([changed(right, 60), changed(right, 20)], base)
    assert (clear.by_accuracy, clear.by_log_loss) == ("better", "better")
    assert (clear.seeds, clear.of) == (2, "networks")
    torn = judge([changed(right, 60), changed(right, 0, 3)], base)
    assert torn.p_value < 0.05
    assert torn.by_accuracy == torn.by_log_loss == "not distinguishable"
    assert judge(base, [changed(right, 60), changed(right, 20)]).by_accuracy == "worse"


def test_of_three_seeds_recipes_are_judged_by_how_much_seeds_differ():
    right = np.arange(400) % 10 < 8
    base = [table(right)] * 3
    steady = judge([changed(right, gained) for gained in (38, 40, 42)], base)
    assert (steady.by_accuracy, steady.by_log_loss, steady.of) == ("better", "better", "recipes")
    assert steady.accuracy == pytest.approx(0.1)
    assert steady.low < steady.log_loss < steady.high < 0
    back = judge(base, [changed(right, gained) for gained in (38, 40, 42)])
    assert (back.by_accuracy, back.by_log_loss) == ("worse", "worse")
    # the same mean, and networks that differ much between seeds
    torn = judge([changed(right, gained) for gained in (0, 40, 80)], base)
    assert torn.accuracy == pytest.approx(steady.accuracy)
    assert (torn.by_accuracy, torn.by_log_loss) == ("not distinguishable",) * 2


def test_rows_without_randomness_are_recipes_with_one_run():
    right = np.arange(400) % 10 < 8
    one, other = changed(right, 60), table(right)
    assert judge([one], [other]).of == "networks"
    assert judge([one], [other], seeded=False).of == "recipes"


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_few_images_tell_no_difference_of_losses(seeds):
    sure, unsure = [table(np.ones(39, bool), c) for c in (0.9, 0.8)]
    found = judge([sure] * seeds, [unsure] * seeds)
    assert found.high < 0
    assert found.by_log_loss == "cannot be told"


def test_equal_rows_are_not_distinguishable_five_times_in_a_hundred_at_most():
    rng, seen = np.random.default_rng(1), 0
    for _ in range(60):
        a, b = ([table(rng.random(200) < 0.85) for _ in range(2)] for _ in range(2))
        seen += judge(a, b).by_accuracy != "not distinguishable"
    assert seen <= 6


def test_other_images_are_refused():
    with pytest.raises(EnsembleError, match="do not go together"):
        judge([table(np.ones(30))] * 2, [table(np.ones(31))] * 2)
