"""Diversity against counting by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles import Diversity, EnsembleError
from tests.helpers.members import independent, loss, noisy, tables


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 30), st.integers(2, 4))
@settings(max_examples=30)
def test_it_is_what_counting_gives(seed, m, n, k):
    p, y = noisy(seed, m, n, k)
    found = Diversity.of(p, y)
    said = [[int(np.argmax(row)) for row in member] for member in p]
    wrong = [{i for i in range(n) if said[a][i] != y[i]} for a in range(m)]
    for a in range(m):
        assert found.losses[a] == pytest.approx(loss(p[a], y))
        rest = np.delete(p, a, axis=0).mean(axis=0)
        gain = loss(rest, y) - loss(p.mean(axis=0), y)
        assert found.contributions[a] == pytest.approx(gain, abs=1e-9)
        for b in range(m):
            differ = sum(one != other for one, other in zip(said[a], said[b], strict=True))
            assert found.disagreement[a, b] == pytest.approx(differ / n)
            assert found.double_fault[a, b] == pytest.approx(len(wrong[a] & wrong[b]) / n)
            either = wrong[a] | wrong[b]
            expected = len(wrong[a] & wrong[b]) / len(either) if either else 1
            assert found.overlap[a, b] == pytest.approx(expected)
    assert found.unsolved == pytest.approx(len(set.intersection(*wrong)) / n)


def test_copies_add_nothing_and_err_together():
    p, y = noisy(0, m=1, n=80)
    found = Diversity.of(np.repeat(p, 3, axis=0), y)
    np.testing.assert_allclose(found.contributions, 0, atol=1e-12)
    np.testing.assert_array_equal(found.overlap, 1)
    np.testing.assert_array_equal(found.disagreement, 0)
    assert found.unsolved == pytest.approx(found.double_fault[0, 0])


def test_noise_harms_and_an_independent_member_helps():
    p, y = independent(0, m=3)
    noise = np.random.default_rng(0).dirichlet(np.ones(4) * 0.1, (1, 400))
    contributions = Diversity.of(np.concatenate([p, noise]), y).contributions
    assert (contributions[:3] > 0).all()
    assert contributions[3] < 0
    mistakes = Diversity.of(p, y).double_fault
    assert mistakes[0, 1] == pytest.approx(mistakes[0, 0] * mistakes[1, 1], abs=0.03)


def test_tables_are_joined_by_name():
    p, y = noisy(0, m=2, n=30)
    one, two = tables(p, y)
    found = Diversity.of([one, two.rows(np.arange(30)[::-1])])
    np.testing.assert_allclose(found.disagreement, Diversity.of(p, y).disagreement)
    with pytest.raises(EnsembleError, match="member 2"):
        Diversity.of([one, two.rows(np.arange(29))])
