"""Logits at a temperature, see :mod:`ensembles.calibration`: their loss and probabilities."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from ensembles import probabilities


def log_loss(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of labels (n,) under softmax(logits (n, k) / temperature)."""
    log_p = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-log_p[np.arange(len(labels)), labels].mean())


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities, float32 of shape (n, k)."""
    return probabilities.softmax(logits.astype(np.float64) / temperature).astype(np.float32)
