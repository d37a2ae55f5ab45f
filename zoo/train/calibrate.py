"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599): one number, fitted on validation."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_RANGE = (np.log(0.05), np.log(20.0))


def log_loss(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of labels (n,) under softmax(logits (n, k) / temperature)."""
    log_p = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-log_p[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of lowest log loss, in 0.05..20.

    Args:
        logits: of shape (n, k), of samples that were not trained on.
        labels: int64 of shape (n,).
    """
    if not np.isfinite(logits).all():
        return 1.0
    found = minimize_scalar(
        lambda t: log_loss(logits, labels, float(np.exp(t))), bounds=_RANGE, method="bounded"
    )
    return float(np.exp(found.x))


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities, float32 of shape (n, k)."""
    scaled = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return np.exp(scaled).astype(np.float32)
