"""Stacking: scikit-learn's logistic regression, and what it does about classes it has not seen."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ensembles import EnsembleError, PredictionTable, SoftVoting, Stacking
from tests.helpers.members import experts, loss, noisy, reordered, tables


def by_scikit_learn(p: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    x = np.log(np.concatenate(list(p), axis=1))
    exact = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000)
    return exact.fit(x, y).predict_proba(x)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("strength", [0.01, 0.1, 1.0])
def test_it_is_the_logistic_regression_of_log_probabilities(k, strength):
    p, y = noisy(k, m=3, n=300, k=k)
    found = Stacking(C=strength).fit(p, y).predict_proba(p)
    expected = by_scikit_learn(p, y, strength)
    assert abs(found - expected).max() < 0.02  # the solver ends earlier than it could
    assert abs(found - expected).mean() < 0.004


def test_the_strength_is_that_of_cross_validation_where_none_is_given():
    p, y = noisy(0, m=2, n=200)
    stack = Stacking().fit(p, y)
    assert stack.C_ in (0.001, 0.01, 0.1, 1.0)
    again = Stacking(C=stack.C_).fit(p, y)
    np.testing.assert_array_equal(stack.coef_, again.coef_)
    assert stack.C is None


def test_where_there_is_nothing_to_learn_the_penalty_is_strong():
    p, _ = noisy(0, m=3, n=100)
    assert Stacking().fit(p, np.random.default_rng(9).integers(0, 3, 100)).C_ == 0.001


def test_it_learns_to_trust_each_member_for_its_own_class():
    p, y = experts(0, 600)
    stack = Stacking().fit(p, y)
    for c in range(3):
        trust = stack.coef_[c].reshape(3, 3)[:, c]  # of each member's probability for class c
        assert trust.argmax() == c
    unseen, truth = experts(1, 3000)
    found, mean = stack.predict_proba(unseen), SoftVoting().fit(p, y).predict_proba(unseen)
    assert loss(found, truth) < 0.5 * loss(mean, truth)
    assert (found.argmax(axis=1) == truth).mean() > (mean.argmax(axis=1) == truth).mean() + 0.02


@pytest.mark.parametrize("strength", [None, 0.1])
@pytest.mark.parametrize("seen", [[0, 2, 3], [1, 3], [2]])
def test_classes_without_a_sample_keep_the_mean_probability(seen, strength):
    p, y = noisy(3, m=3, n=200, k=4)
    rows = np.isin(y, seen)
    stack = Stacking(C=strength).fit(p[:, rows], y[rows])
    found, mean = stack.predict_proba(p), p.mean(axis=0)
    unseen = [c for c in range(4) if c not in seen]
    np.testing.assert_allclose(found[:, unseen], mean[:, unseen], atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    assert stack.present_.tolist() == [c in seen for c in range(4)]


def test_what_two_seen_classes_of_four_get_is_shared_as_scikit_learn_says():
    p, y = noisy(4, m=2, n=300, k=4)
    rows = np.isin(y, [1, 3])
    p, y = p[:, rows], y[rows]
    found = Stacking(C=0.1).fit(p, y).predict_proba(p)[:, [1, 3]]
    shares = found / found.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, by_scikit_learn(p, y, 0.1), atol=0.02)


def test_one_class_alone_leaves_the_mean():
    p, _ = noisy(0, m=3, n=20)
    for strength in (None, 1.0):
        stack = Stacking(C=strength).fit(p, np.full(20, 2))
        np.testing.assert_allclose(stack.predict_proba(p), p.mean(axis=0), atol=1e-12)


def test_members_that_leave_nothing_for_the_seen_classes_do_no_harm():
    p, y = noisy(0, m=2, n=30)
    y = y % 2  # class 2 does not occur
    sure = np.tile([0.0, 0.0, 1.0], (2, 5, 1))
    np.testing.assert_allclose(Stacking(C=1.0).fit(p, y).predict_proba(sure), sure[0])


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_few_samples_are_enough(n):
    # whichever folds their names put them into
    for number in range(15):
        p, _ = noisy(number, m=2, n=n)
        labels = np.arange(n) % 2
        ids = [f"{number}/{i}" for i in range(n)]
        found = [PredictionTable.of(q, labels, ids=ids) for q in p]
        result = Stacking().fit(found).predict_proba(found)
        np.testing.assert_allclose(result.sum(axis=1), 1)


@pytest.mark.parametrize("strength", [0, -1.0, np.nan])
def test_a_strength_that_cannot_be_is_refused(strength):
    p, y = noisy(0, n=10)
    with pytest.raises(EnsembleError, match="C must be above 0"):
        Stacking(C=strength).fit(p, y)


def test_classes_in_another_order_than_it_was_fitted_on_are_not_mixed_up():
    p, y = experts(0, 300)
    fitted = Stacking(C=0.1).fit(tables(p, y))
    order = np.array([2, 0, 1])
    turned = [reordered(t, np.arange(300), order) for t in tables(p, y)]
    expected = fitted.predict_proba(tables(p, y))
    found = fitted.predict_proba(turned)  # in the order of classes_, as in scikit-learn
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(fitted.classes_, tables(p, y)[0].classes)


def test_nothing_is_said_about_convergence():
    p, y = noisy(0, m=4, n=150, k=4, noise=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Stacking().fit(p, y)
        Stacking(C=100.0).fit(p, y)
