"""The paired test: equal classifiers are seldom called different, groups count once."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from ensembles.paired import is_distinguishable, p_value


def test_of_independent_samples_it_is_students_t():
    difference = np.random.default_rng(0).normal(0.1, 1, 200)
    assert p_value(difference) == pytest.approx(ttest_1samp(difference, 0).pvalue)


def test_copies_add_nothing():
    difference = np.random.default_rng(0).normal(0.2, 1, 60)
    groups = np.repeat(np.arange(60), 9)
    assert p_value(difference[groups], groups) == pytest.approx(p_value(difference))
    assert p_value(difference[groups]) < p_value(difference) / 100


@pytest.mark.parametrize("n", [0, 1, 20, 39])
def test_few_samples_cannot_tell(n):
    assert p_value(np.full(n, 5.0)) == 1.0


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("n", [40, 200])
def test_equal_classifiers_are_called_different_in_one_case_of_twenty(n, size):
    rng, groups = np.random.default_rng(n), np.repeat(np.arange(n), size)
    found = [
        is_distinguishable(rng.normal(size=n)[groups] + 0.3 * rng.normal(size=n * size), groups)
        for _ in range(1000)
    ]
    assert 0.03 < np.mean(found) < 0.07


@pytest.mark.parametrize("difference", [np.zeros(100), np.full(100, 1e-16), np.full(100, -1e-12)])
def test_rounding_is_no_difference(difference):
    assert not is_distinguishable(difference)


def test_the_same_difference_everywhere_is_one():
    assert is_distinguishable(np.full(100, 0.1))
