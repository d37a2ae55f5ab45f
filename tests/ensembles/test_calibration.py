"""Temperature scaling: it finds the temperature; few samples leave it near 1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.special import softmax as scipy_softmax

from ensembles.calibration import fit_temperature, scaled, temperature_of
from tests.helpers.members import logits_and_labels


def loss_at(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    log_p = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-log_p[np.arange(len(labels)), labels].mean())


def objective(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Minus the log of the posterior: labels, a fifth of an unknown label, a prior on log T."""
    log_p, n = log_softmax(logits.astype(np.float64) / temperature, axis=1), len(labels)
    prior = np.log(temperature) ** 2 / (2 * 0.5**2)
    return float(n * loss_at(logits, labels, temperature) - 0.2 * log_p.mean() + prior)


def exact(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature by another solver."""
    found = minimize_scalar(
        lambda x: objective(logits, labels, np.exp(x)),
        bounds=(np.log(0.05), np.log(20)),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(found.x))


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_recovered(temperature):
    logits, labels = logits_and_labels(0, 4000, 4)
    found = fit_temperature((logits * temperature).astype(np.float32), labels)
    assert found == pytest.approx(temperature, rel=0.06)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 5), st.floats(0, 50))
def test_what_is_minimized_is_never_above_that_of_no_scaling(seed, n, k, width):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, width, (n, k)).astype(np.float32)
    labels = rng.integers(0, k, n)
    temperature = fit_temperature(logits, labels)
    assert 0.05 <= temperature <= 20
    before, after = objective(logits, labels), objective(logits, labels, temperature)
    assert after <= before + 1e-3 / n


def test_no_temperature_nearby_is_better():
    logits, labels = logits_and_labels(1, 300, 3, 2.0)
    best = fit_temperature(logits * 3, labels)
    loss = loss_at(logits * 3, labels, best)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 200))
    assert loss <= min(loss_at(logits * 3, labels, t) for t in grid) + 5e-4


@given(st.integers(0, 10**6), st.integers(2, 5), st.floats(0.1, 10))
def test_it_is_that_of_another_solver_or_none(seed, k, factor):
    logits, labels = logits_and_labels(seed, 100, k)
    found = fit_temperature(logits * factor, labels)
    assert found == 1.0 or found == pytest.approx(exact(logits * factor, labels), rel=1e-3)


@given(st.integers(0, 10**6), st.integers(20, 60), st.sampled_from([0.5, 1.0, 1.5, 3.0]))
def test_it_is_left_out_just_where_leaving_one_out_says_so(seed, n, factor):
    logits, labels = logits_and_labels(seed, n, 3)
    logits = logits * factor
    rows = np.arange(n)
    scaled_loss = np.mean(
        [
            loss_at(logits[[i]], labels[[i]], exact(logits[rows != i], labels[rows != i]))
            for i in rows
        ]
    )
    gain = loss_at(logits, labels) - scaled_loss
    if abs(gain) > 2e-3:  # a Newton step is not exact, nor need it be
        assert (fit_temperature(logits, labels) != 1.0) == (gain > 0)


def test_what_copies_seem_to_show_is_not_taken_for_evidence():
    taken = {1: 0, 8: 0}
    for seed in range(40):
        logits, labels = logits_and_labels(seed, 25, 3)
        for copies in taken:
            units = np.repeat(np.arange(25), copies)
            found = fit_temperature(logits[units] * 1.3, labels[units], units)
            taken[copies] += found != 1.0
    blind = sum(
        fit_temperature(np.repeat(z * 1.3, 8, axis=0), np.repeat(y, 8)) != 1.0
        for z, y in (logits_and_labels(seed, 25, 3) for seed in range(40))
    )
    assert taken[8] <= taken[1] + 4 < blind


@pytest.mark.parametrize("n", [20, 37, 100])
def test_scaling_by_few_samples_seldom_makes_a_calibrated_classifier_worse(n):
    harm = []
    for seed in range(60):
        logits, labels = logits_and_labels(seed, 3000 + n, 4, 2.0)
        temperature = fit_temperature(logits[:n], labels[:n])
        harm.append(loss_at(logits[n:], labels[n:], temperature) - loss_at(logits[n:], labels[n:]))
    assert np.mean(np.array(harm) > 1e-3) < 0.4  # 0.8 without cross-validation
    assert np.mean(harm) < 0.012


@pytest.mark.parametrize(("right", "bounds"), [(True, (0.5, 1.0)), (False, (1.0, 2.0))])
def test_logits_that_say_next_to_nothing_keep_their_temperature(right, bounds):
    logits = np.tile(np.float32([0.01, -0.01]), (20, 1))
    labels = np.full(20, 0 if right else 1)
    low, high = bounds
    assert low <= fit_temperature(logits, labels) <= high


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_left_as_they_are(value):
    logits = np.float32([[1.0, 0.0], [value, 1.0]])
    assert fit_temperature(logits, np.array([0, 1])) == 1.0


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.999999])
def test_a_few_samples_that_are_all_right_do_not_make_certainty(n, confidence):
    p = np.tile([confidence, 1 - confidence], (n, 1))
    found = scaled(p, temperature_of(p, np.zeros(n, np.int64)))[0, 1]
    # of n without a mistake, the next one may well be one
    assert min(0.02 / n, 1 - confidence - 1e-9) < found


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_zeros_of_any_precision_do_not_switch_scaling_off(kind):
    logits, labels = logits_and_labels(0, 500, 3)
    p = scipy_softmax(logits * 6, axis=1).astype(kind)
    p[p < 1e-6] = 0
    assert (p == 0).any()
    assert temperature_of(p, labels) > 2


def test_no_samples_are_left_as_they_are():
    assert fit_temperature(np.empty((0, 3)), np.empty(0, np.int64)) == 1.0


def in_classes_order(labels: np.ndarray) -> np.ndarray:
    return np.argsort(labels, kind="stable")


def in_turns(labels: np.ndarray) -> np.ndarray:
    """One of each class after the other, as balanced samplers write them."""
    size = np.bincount(labels).min()
    return np.stack([np.flatnonzero(labels == c)[:size] for c in np.unique(labels)], axis=1).ravel()


ORDERS = {
    "as drawn": lambda labels: np.arange(len(labels)),
    "by class": in_classes_order,
    "in turns": in_turns,
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", [5_000, 5_001, 8_000, 20_500])
def test_of_very_many_samples_the_temperature_is_close_in_any_order(n, order):
    logits, labels = logits_and_labels(2, n, 2)
    logits = logits * 2 + np.array([2.0, 0.0])  # in favour of the first class
    rows = ORDERS[order](labels)
    logits, labels = logits[rows], labels[rows]
    best = exact(logits, labels)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(best, rel=0.06)
    assert loss_at(logits, labels, found) <= loss_at(logits, labels, best) + 5e-4


def test_the_temperature_of_probabilities_is_that_of_their_logarithms():
    logits, labels = logits_and_labels(3, 500, 3)
    p = scipy_softmax(logits * 2, axis=1)
    assert temperature_of(p, labels) == pytest.approx(fit_temperature(logits * 2, labels))
    certain = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    right = temperature_of(certain, np.arange(30) % 3)
    assert 0.05 <= right < temperature_of(certain, (np.arange(30) + 1) % 3) <= 20


@given(st.integers(0, 10**6), st.floats(0.05, 20), st.sampled_from([np.float32, np.float64]))
def test_scaling_is_a_power_that_keeps_type_shape_and_first_choice(seed, temperature, kind):
    p = np.random.default_rng(seed).dirichlet(np.ones(4), 8).clip(1e-9).astype(kind)
    found = scaled(p, temperature)
    power = p.astype(np.float64) ** (1 / temperature)
    np.testing.assert_allclose(found, power / power.sum(axis=1, keepdims=True), atol=1e-6)
    assert (found.dtype, found.shape) == (p.dtype, p.shape)
    at_first = found[np.arange(8), p.argmax(axis=1)]
    np.testing.assert_array_equal(at_first, found.max(axis=1))


def test_temperature_one_changes_nothing():
    p = np.random.default_rng(0).dirichlet(np.ones(4), 8)
    np.testing.assert_array_equal(scaled(p, 1.0), p)
