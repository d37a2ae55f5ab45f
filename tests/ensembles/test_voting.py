"""Fixed and weighted votes against what they are defined as."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import gmean

from ensembles import EnsembleError, GeometricVoting, HardVoting, SoftVoting, WeightedVoting
from tests.helpers.members import loss, noisy

seeds = st.integers(0, 10**6)


def combined(combiner, p, y):
    return combiner.fit(p, y).predict_proba(p)


@given(seeds, st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any))
@settings(max_examples=30)
def test_whole_weights_are_copies_of_members(seed, weights):
    p, y = noisy(seed, m=len(weights), n=9)
    copies = np.repeat(p, weights, axis=0)
    for kind in (SoftVoting, GeometricVoting):
        np.testing.assert_allclose(
            combined(kind(weights), p, y), combined(kind(), copies, y), atol=1e-12
        )
        np.testing.assert_allclose(
            combined(kind(), np.concatenate([p, p]), y), combined(kind(), p, y), atol=1e-12
        )


def test_the_mean_is_the_mean():
    p = np.array([[[0.5, 0.5], [0.1, 0.9]], [[1.0, 0.0], [0.3, 0.7]]])
    y = np.array([0, 1])
    np.testing.assert_allclose(combined(SoftVoting(), p, y), [[0.75, 0.25], [0.2, 0.8]])
    np.testing.assert_allclose(combined(SoftVoting([3, 1]), p, y), [[0.625, 0.375], [0.15, 0.85]])


@given(seeds, st.integers(1, 5), st.integers(2, 6))
@settings(max_examples=30)
def test_the_geometric_mean_is_that_of_scipy(seed, m, k):
    p, y = noisy(seed, m, 15, k)
    weights = np.random.default_rng(seed).uniform(0.1, 2, m)
    for given_ in (None, weights):
        mean = gmean(
            p,
            axis=0,
            weights=None if given_ is None else np.tile(given_[:, None, None], (1, 15, k)),
        )
        expected = mean / mean.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(combined(GeometricVoting(given_), p, y), expected, atol=1e-12)


def test_a_veto_counts_more_in_the_geometric_mean():
    p, y = np.array([[[0.9, 0.1]], [[1e-6, 1 - 1e-6]]]), np.array([0])
    assert combined(GeometricVoting(), p, y)[0, 0] < 0.01 < combined(SoftVoting(), p, y)[0, 0]


@given(seeds, st.integers(1, 6), st.integers(2, 5))
@settings(max_examples=60)
def test_the_majority_wins_and_ties_go_by_mean_probability(seed, m, k):
    p = np.random.default_rng(seed).dirichlet(np.ones(k), (m, 12))
    voting = HardVoting().fit(p, np.zeros(12, int))
    found, first = voting.predict_proba(p), voting.predict(p)
    for i in range(12):
        votes = Counter(int(row.argmax()) for row in p[:, i])
        most = max(votes.values())
        tied = [c for c, count in votes.items() if count == most]
        assert first[i] == max(tied, key=lambda c: p[:, i, c].mean())
        for c in range(k):  # shares of votes, one more of them the mean
            assert found[i, c] == pytest.approx((votes[c] + p[:, i, c].mean()) / (m + 1))


@given(seeds)
@settings(max_examples=20)
def test_copies_of_all_members_change_no_majority(seed):
    p, y = noisy(seed, m=4, n=20)
    once, twice = HardVoting().fit(p, y), HardVoting().fit(np.concatenate([p, p]), y)
    np.testing.assert_array_equal(once.predict(p), twice.predict(np.concatenate([p, p])))


def lowest_loss(p: np.ndarray, y: np.ndarray) -> float:
    """The lowest log loss that any weights reach, by another solver from several starts."""
    chosen = p[:, np.arange(len(y)), y].T
    best = np.inf
    for start in [np.full(len(p), 1 / len(p)), *(0.9 * np.eye(len(p)) + 0.1 / len(p))]:
        found = minimize(
            lambda w: -np.log(chosen @ w).mean(),
            start / start.sum(),
            jac=lambda w: -(chosen / (chosen @ w)[:, None]).mean(axis=0),
            bounds=[(0, 1)] * len(p),
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        w = np.clip(found.x, 0, None)
        best = min(best, -np.log(chosen @ (w / w.sum())).mean())
    return best


# what the search leaves, and what leaving out members of next to no weight may cost
NEAR = 1e-5 + 1e-4


@given(seeds, st.integers(1, 6), st.integers(5, 80), st.integers(2, 4))
@settings(max_examples=40)
def test_no_weights_are_better(seed, m, n, k):
    rng = np.random.default_rng(seed)
    p, y = noisy(seed, m, n, k, noise=rng.uniform(0.1, 3))
    voting = WeightedVoting().fit(p, y)
    found = loss(voting.predict_proba(p), y)
    assert found <= lowest_loss(p, y) + NEAR
    assert found <= loss(p.mean(axis=0), y) + 1e-12  # where it starts
    assert voting.weights_.sum() == pytest.approx(1)
    assert (voting.weights_ >= 0).all()


def test_two_members_get_the_weights_of_a_grid():
    p, y = noisy(5, m=2, n=500)
    grid = np.linspace(0, 1, 2001)
    losses = [loss(w * p[0] + (1 - w) * p[1], y) for w in grid]
    weights = WeightedVoting(tolerance=1e-9, max_iterations=10**5).fit(p, y).weights_
    assert weights[0] == pytest.approx(grid[int(np.argmin(losses))], abs=2e-3)


def test_a_mixture_is_taken_apart():
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(5) * 0.5, (2, 20_000))
    source = np.where((rng.random(20_000) < 0.7)[:, None], a, b)
    y = (source.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    weights = WeightedVoting().fit([a, b], y).weights_
    assert weights[0] == pytest.approx(0.7, abs=0.02)


def test_members_of_no_use_get_no_weight_at_all():
    p, y = noisy(1, m=1, n=600, noise=0.0)
    noise = np.random.default_rng(0).dirichlet(np.ones(3), (3, 600))
    voting = WeightedVoting().fit([noise[0], p[0], *noise[1:]], y)
    assert voting.weights_.tolist() == [0, 1, 0, 0]
    assert voting.used() == [1]


def test_members_that_are_nearly_the_same_need_more_steps_than_the_default():
    sure = np.random.default_rng(0).uniform(0.2, 0.9, 300)
    good, worse = (np.stack([s, 1 - s], axis=1) for s in (sure, sure * 0.998))
    y = np.zeros(300, int)
    members = [worse] * 9 + [good]
    found = WeightedVoting(tolerance=1e-6, max_iterations=10**5).fit(members, y)
    assert loss(found.predict_proba(members), y) <= loss(good, y) + 1e-6 + 1e-4


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_of_very_many_members_none_is_left_out_for_its_small_share():
    p, y = noisy(0, m=1, n=6, k=2)
    everyone = np.repeat(p, 1200, axis=0)
    voting = WeightedVoting().fit(everyone, y)
    np.testing.assert_allclose(voting.weights_, 1 / 1200)
    np.testing.assert_allclose(voting.predict_proba(everyone), p[0])


def test_no_step_leaves_the_weights_equal():
    p, y = noisy(0, m=4)
    np.testing.assert_allclose(WeightedVoting(max_iterations=0).fit(p, y).weights_, 0.25)


BAD_WEIGHTS = {
    "too few": ([1.0, 2.0], "3 members need 3 weights, not 2"),
    "too many": ([1, 1, 1, 1], "not 4"),
    "one number": (1.0, "3 weights"),
    "a column": ([[1], [1], [1]], "3 weights"),
    "negative": ([1, -0.5, 1], "-0.5"),
    "all zero": ([0, 0, 0], "all zero"),
    "not a number": ([1, np.nan, 1], "nan"),
    "infinite": ([1, np.inf, 1], "inf"),
    "text": (["much", "some", "none"], None),
}


@pytest.mark.parametrize("kind", [SoftVoting, GeometricVoting])
@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_weights_that_cannot_be_are_refused(case, kind):
    weights, content = BAD_WEIGHTS[case]
    p, y = noisy(0, m=3, n=10)
    with pytest.raises(EnsembleError, match=content):
        kind(weights).fit(p, y)


def test_huge_and_tiny_weights_are_as_good_as_any():
    p, y = noisy(0, m=2, n=10)
    for weights in ([1e308, 1e308], [5e-324, 5e-324]):
        np.testing.assert_allclose(SoftVoting(weights).fit(p, y).weights_, [0.5, 0.5])
