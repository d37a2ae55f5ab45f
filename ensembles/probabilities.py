"""Arithmetic of probabilities: what is a likely truth worth, and how well are they meant."""

from __future__ import annotations

import numpy as np

BINS = 15  # of confidence, of equal width, as in Guo et al. (2017)
FLOOR = 1e-12  # below it a probability counts as this: one certain mistake must not decide alone


def true_class(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probability of the true class, float64 in FLOOR..1.

    Args:
        probabilities: of shape (..., n, k).
        labels: int64 of shape (n,).

    Returns:
        Of shape (..., n).
    """
    chosen = probabilities[..., np.arange(len(labels)), labels].astype(np.float64)
    return np.clip(chosen, FLOOR, 1.0)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of labels (n,) under probabilities (n, k)."""
    return float(-np.log(true_class(probabilities, labels)).mean())


def normalized(values: np.ndarray) -> np.ndarray:
    """Rows that sum to one."""
    return np.asarray(values / values.sum(axis=-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, of the logits' own precision."""
    values = logits - logits.max(axis=-1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=-1, keepdims=True)
    return values


def log_probabilities(probabilities: np.ndarray, floor: float = FLOOR) -> np.ndarray:
    """Their logarithm, finite: what is below the floor counts as it.

    Of the same precision, but at least float32: float16 cannot hold the floor.
    """
    if probabilities.dtype == np.float16:
        probabilities = probabilities.astype(np.float32)
    values = np.maximum(probabilities, probabilities.dtype.type(floor))
    return np.asarray(np.log(values, out=values))


def brier(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Brier score of each row, in 0..2 (Brier 1950): squared distance to the one-hot label."""
    p = probabilities.astype(np.float64)
    return np.asarray((p**2).sum(axis=1) - 2 * p[np.arange(len(labels)), labels] + 1)


def binned_gaps(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Rightness minus confidence of each row, in the column of its bin: of shape (n, 15).

    The expected calibration error is the sum over bins of |column mean| (Guo et al. 2017).

    Args:
        confidence: probability of the first choice, in 0..1, of shape (n,).
        correct: whether it is right, of shape (n,).
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = correct - confidence.astype(np.float64)
    return np.where(bins[:, None] == np.arange(BINS), gap[:, None], 0.0)


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Expected calibration error of the first choice, in 0..1."""
    return float(np.abs(binned_gaps(confidence, correct).mean(axis=0)).sum())
