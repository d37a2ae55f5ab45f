"""Members chosen: the best one, greedily with repetition, and as few as will do."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from ensembles import BestMember, EnsembleError, GreedySelection, WeightedVoting, frugal
from ensembles.calibration import scaled, temperature_of
from tests.helpers.members import independent, loss, noisy

seeds = st.integers(0, 10**6)


@given(seeds, st.integers(1, 6))
@settings(max_examples=25)
def test_the_best_member_is_the_one_of_lowest_log_loss(seed, m):
    p, y = noisy(seed, m, n=30)
    best = BestMember().fit(p, y)
    losses = [log_loss(y, q, labels=[0, 1, 2]) for q in p]
    assert best.used() == [int(np.argmin(losses))]
    np.testing.assert_allclose(best.predict_proba(p), p[best.used()[0]], atol=1e-12)


@given(seeds, st.integers(1, 9), st.integers(2, 60), st.integers(0, 12))
@settings(max_examples=40)
def test_greedy_selection_never_ends_worse_than_it_starts(seed, m, n, bags):
    p, y = noisy(seed, m, n, noise=np.random.default_rng(seed).uniform(0.1, 3))
    greedy = GreedySelection(bags=bags).fit(p, y)
    found = loss(greedy.predict_proba(p), y)
    assert found <= min(loss(q, y) for q in p) + 1e-12
    assert greedy.weights_.sum() == pytest.approx(1)
    assert (greedy.weights_ >= 0).all()


@given(seeds, st.integers(2, 4))
@settings(max_examples=20)
def test_greedy_selection_comes_near_the_best_weights(seed, m):
    p, y = noisy(seed, m, n=100)
    best = loss(WeightedVoting().fit(p, y).predict_proba(p), y)
    assert loss(GreedySelection().fit(p, y).predict_proba(p), y) <= best + 5e-3


@given(seeds, st.integers(1, 12))
@settings(max_examples=20)
def test_another_round_never_makes_it_worse(seed, rounds):
    p, y = noisy(seed, m=3, n=15, noise=2)
    fewer, more = (GreedySelection(r, bags=0).fit(p, y) for r in (rounds, rounds + 1))
    assert loss(more.predict_proba(p), y) <= loss(fewer.predict_proba(p), y) + 1e-12


def test_one_round_takes_the_best_member():
    p, y = noisy(3, m=5)
    greedy, best = GreedySelection(rounds=1, bags=0).fit(p, y), BestMember().fit(p, y)
    np.testing.assert_array_equal(greedy.weights_, best.weights_)


def test_rounds_without_bags_are_the_denominator_of_the_weights():
    p, y = noisy(4, m=4)
    weights = GreedySelection(rounds=7, bags=0).fit(p, y).weights_
    fits = [np.allclose(weights * size, np.round(weights * size)) for size in range(1, 8)]
    assert any(fits)


def test_the_seed_decides_the_bags_and_nothing_else_does():
    p, y = noisy(2, m=8, n=40, noise=2)
    fitted = [GreedySelection(seed=seed).fit(p, y).weights_ for seed in (0, 0, 1, 2, 3)]
    np.testing.assert_array_equal(fitted[0], fitted[1])


@pytest.mark.parametrize(("rounds", "bags"), [(0, 10), (-1, 0), (25, -1)])
def test_numbers_of_rounds_and_bags_that_cannot_be_are_refused(rounds, bags):
    p, y = noisy(0, n=10)
    with pytest.raises(EnsembleError, match=f"not {rounds} and {bags}"):
        GreedySelection(rounds, bags).fit(p, y)


def mean_loss(p: np.ndarray, y: np.ndarray, calibrate: bool) -> float:
    """Log loss of the members' mean, at its best temperature where it is calibrated."""
    mean = p.mean(axis=0)
    return loss(scaled(mean, temperature_of(mean, y)) if calibrate else mean, y)


def every_set(p: np.ndarray, y: np.ndarray, costs: np.ndarray, calibrate: bool):
    """(members, loss of their mean, cost) of every set there is."""
    return [
        (chosen, mean_loss(p[list(chosen)], y, calibrate), float(costs[list(chosen)].sum()))
        for size in range(1, len(p) + 1)
        for chosen in combinations(range(len(p)), size)
    ]


limits = st.none() | st.floats(0, 0.3)
shares = st.none() | st.floats(0.1, 1.2)


@given(seeds, st.integers(1, 5), limits, shares, st.booleans())
@settings(max_examples=50)
def test_the_frugal_set_is_that_of_trying_all(seed, m, within, share, calibrate):
    p, y = noisy(seed, m, n=25, noise=1.5)
    costs = np.random.default_rng(seed).uniform(0.5, 3, m)
    budget = None if share is None else share * float(costs.sum())
    affordable = [s for s in every_set(p, y, costs, calibrate) if budget is None or s[2] <= budget]
    asked = {"within": within, "budget": budget, "calibrate": calibrate}
    if not affordable:
        with pytest.raises(EnsembleError, match=f"{costs.min():.3g}"):
            frugal(p, y, costs, **asked)
        return
    found = frugal(p, y, costs, **asked)
    if within is None:
        members, expected, cost = min(affordable, key=lambda s: s[1])
    else:
        lowest = min(s[1] for s in affordable)
        enough = [s for s in affordable if s[1] <= lowest + within]
        members, expected, cost = min(enough, key=lambda s: (len(s[0]), s[1]))
    assert found.members == members
    assert found.loss == pytest.approx(expected)
    assert found.cost == pytest.approx(cost)


def test_members_cost_one_each_where_nothing_is_said():
    p, y = independent(2, m=3)
    assert (frugal(p, y).members, frugal(p, y).cost) == ((0, 1, 2), 3.0)
    assert frugal(p, y, budget=2.9).cost == 2.0


def test_copies_and_noise_are_left_out():
    p, y = independent(1, m=2, n=300)
    noise = np.random.default_rng(0).dirichlet(np.ones(4), 300)
    found = frugal(np.stack([p[0], noise, p[0], p[1]]), y, within=0.01)
    assert found.members in ((0, 3), (2, 3))


@given(seeds, st.none() | st.floats(0, 0.1), st.none() | st.floats(0.15, 1), st.booleans())
@settings(max_examples=10)
def test_many_members_are_chosen_from_nearly_as_well(seed, within, share, calibrate):
    p, y = noisy(seed, m=11, n=60, noise=np.random.default_rng(seed).uniform(0.5, 3, (11, 1, 1)))
    costs = np.random.default_rng(seed).uniform(0.5, 2, 11)
    budget = np.inf if share is None else share * float(costs.sum())
    found = frugal(
        p, y, costs, within=within, budget=None if share is None else budget, calibrate=calibrate
    )
    numbers = list(found.members)
    assert numbers == sorted(set(numbers))
    assert found.cost == pytest.approx(costs[numbers].sum())
    assert found.cost <= budget
    assert found.loss == pytest.approx(mean_loss(p[numbers], y, calibrate))
    alone = [mean_loss(p[[i]], y, calibrate) for i in range(11) if costs[i] <= budget]
    assert found.loss <= min(alone) + (within or 0) + 1e-12
    masks = (np.arange(1, 2**11)[:, None] >> np.arange(11) & 1).astype(float)
    losses = -np.log(masks @ p[:, np.arange(60), y] / masks.sum(axis=1, keepdims=True)).mean(axis=1)
    assert found.loss <= losses[masks @ costs <= budget].min() + (within or 0) + 0.03


def test_of_many_members_the_good_ones_are_kept():
    p, y = independent(2, m=3, n=400)
    noise = np.random.default_rng(0).dirichlet(np.ones(4), (9, 400))
    everyone = np.concatenate([noise[:5], p, noise[5:]])
    for calibrate in (True, False):
        assert frugal(everyone, y, calibrate=calibrate).members == (5, 6, 7)
        assert frugal(everyone, y, within=0.01, calibrate=calibrate).members == (5, 6, 7)


def test_of_many_members_a_good_one_that_is_too_dear_does_not_hide_the_others():
    p, y = independent(2, m=3, n=400)
    noise = np.random.default_rng(0).dirichlet(np.ones(4), (9, 400))
    costs = [50.0] + [1.0] * 11
    few = frugal(np.concatenate([p, noise])[:6], y, costs[:6], budget=2)
    many = frugal(np.concatenate([p, noise]), y, costs, budget=2)
    assert few.members == many.members == (1, 2)


P, Y = noisy(0, m=3, n=10)
BAD = {
    "negative budget": ((P, Y), {"budget": -1.0}, "budget must not be negative"),
    "negative within": ((P, Y), {"within": -0.1}, "within must not be negative"),
    "within no number": ((P, Y), {"within": np.nan}, "within"),
    "too little": ((P, Y, [2.0, 3.0, 4.0]), {"budget": 1.5}, "cheapest alone costs 2"),
    "no members": ((P[:0], Y), {}, None),
    "too few costs": ((P, Y, [1.0, 2.0]), {}, None),
    "too many costs": ((P, Y, [1.0, 2.0, 3.0, 4.0]), {}, None),
    "costs no numbers": ((P, Y, [1.0, np.nan, 1.0]), {}, None),
    "labels out of range": ((P, Y + 1), {}, None),
    "too few labels": ((P, Y[:5]), {}, None),
    "logits": ((np.log(P), Y), {}, None),
}


@pytest.mark.parametrize("case", BAD)
def test_what_no_set_can_be_chosen_from_is_refused(case):
    args, limits, content = BAD[case]
    with pytest.raises(EnsembleError, match=content):
        frugal(*args, **limits)
