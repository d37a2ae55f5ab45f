"""Logits at a temperature: their loss and their probabilities."""

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax

from zoo.train.calibrate import log_loss, softmax


def test_the_log_loss_is_that_of_the_probabilities():
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(0, 2, (50, 3)), rng.integers(0, 3, 50)
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
