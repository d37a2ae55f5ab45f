"""Temperature scaling: it finds the temperature, and never makes the fitted data worse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax as scipy_softmax

from ensembles.calibration import fit_temperature
from zoo.train.calibrate import log_loss, softmax


def drawn(seed: int, n: int, k: int, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels drawn from their softmax: the temperature of these is 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, width, (n, k))
    p = scipy_softmax(logits, axis=1)
    return logits, np.array([rng.choice(k, p=row) for row in p])


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_recovered(temperature):
    logits, labels = drawn(0, 4000, 4, 1.5)
    found = fit_temperature((logits * temperature).astype(np.float32), labels)
    assert found == pytest.approx(temperature, rel=0.06)


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 5), st.floats(0, 50))
def test_the_loss_on_the_fitted_data_is_never_above_that_of_no_scaling(seed, n, k, width):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, width, (n, k)).astype(np.float32)
    labels = rng.integers(0, k, n)
    temperature = fit_temperature(logits, labels)
    assert 0.05 <= temperature <= 20
    before, after = log_loss(logits, labels), log_loss(logits, labels, temperature)
    assert after <= before + 1e-6 * max(1, before)


def test_no_temperature_nearby_is_better():
    logits, labels = drawn(1, 300, 3, 2.0)
    best = fit_temperature(logits * 3, labels)
    loss = log_loss(logits * 3, labels, best)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 200))
    assert loss <= min(log_loss(logits * 3, labels, t) for t in grid) + 1e-9


@pytest.mark.parametrize(("right", "end"), [(True, 0.05), (False, 20.0)])
def test_all_right_or_all_wrong_end_at_a_bound(right, end):
    logits = np.tile(np.float32([0.1, -0.1]), (20, 1))
    labels = np.full(20, 0 if right else 1)
    assert fit_temperature(logits, labels) == pytest.approx(end, rel=0.01)


def test_the_log_loss_is_that_of_the_probabilities():
    logits, labels = drawn(2, 50, 3, 2.0)
    for temperature in (0.5, 1.0, 3.0):
        p = scipy_softmax(logits / temperature, axis=1)
        np.testing.assert_allclose(softmax(logits, temperature), p, atol=1e-6)
        expected = -np.log(p[np.arange(50), labels]).mean()
        assert log_loss(logits, labels, temperature) == pytest.approx(expected)


def test_huge_logits_give_finite_numbers():
    logits = np.float32([[1e4, -1e4], [-1e4, 1e4]])
    assert softmax(logits).dtype == np.float32
    assert np.isfinite(softmax(logits, 0.05)).all()
    assert log_loss(logits, np.array([1, 0])) == pytest.approx(2e4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_left_as_they_are(value):
    logits = np.float32([[1.0, 0.0], [value, 1.0]])
    assert fit_temperature(logits, np.array([0, 1])) == 1.0
