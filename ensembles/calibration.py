"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599): one number, fitted on validation."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from ensembles.probabilities import log_probabilities, softmax

_COLDEST, _HOTTEST = 0.05, 20.0  # temperatures that are tried
_ENOUGH = 5_000  # rows that fix one number to about a percent
# What is known of a temperature before any label is seen. Chosen by simulation: benchmarks/choices
_SPREAD = 0.5  # standard deviation of log T around 0
_UNKNOWN_LABELS = 0.2  # how many labels, spread over all classes, the prior counts as


def fit_temperature(
    logits: np.ndarray, labels: np.ndarray, units: np.ndarray | None = None
) -> float:
    """The most probable temperature T of softmax(logits / T), in 0.05..20.

    It is shrunk towards 1 by as much as the labels leave open: log T has a normal prior around 0
    with a standard deviation of 0.5. As in Platt (1999), the n labels count together with a fifth
    of one of which nothing is known, spread over all rows and classes: few samples that are all
    classified correctly are no proof of certainty.

    T is 1 if leave-one-out cross-validation says that scaling raises the log loss. The fits
    without a sample follow from one Newton step each (Giordano et al. 2019, arXiv 1806.00550).

    Of more than 5,000 rows that many, drawn at random, are used.

    Args:
        logits: of shape (n, k), of samples that were not trained on; log-probabilities will do.
        labels: int64 of shape (n,).
        units: of shape (n,), equal for samples that depend on each other: they are left out
            together. All different if None.

    Returns:
        T; 1 if there is no sample, or a logit is not finite.
    """
    rows = enough(len(labels))
    z, y = logits[rows].astype(np.float64), labels[rows]
    if not len(y) or not np.isfinite(z).all():
        return 1.0
    z -= z[np.arange(len(y)), y][:, None]  # a row's loss is log(sum(exp(b * z))), b = 1 / T
    b = _most_probable(z)
    return 1 / b if _is_better(z, b, None if units is None else units[rows]) else 1.0


def _derivatives(z: np.ndarray, b: float) -> tuple[np.ndarray, float, float]:
    """By log b: of the rows' losses, of shape (n,), and the first and second of minus the log
    posterior."""
    p = softmax(b * z)
    mean = (p * z).sum(axis=1)
    own = b * mean
    second = own + b * b * ((p * z * z).sum(axis=1) - mean**2)
    labels = 1 + _UNKNOWN_LABELS / len(z)  # the unknown label is a share of every row
    spread = _UNKNOWN_LABELS * b * float(z.mean())
    slope = labels * float(own.sum()) - spread + np.log(b) / _SPREAD**2
    return own, slope, labels * float(second.sum()) - spread + 1 / _SPREAD**2


def _most_probable(z: np.ndarray) -> float:
    """1 / T by Newton's method in log b, kept inside a shrinking bracket."""
    low, high, t = -np.log(_HOTTEST), -np.log(_COLDEST), 0.0
    for _ in range(60):
        _, slope, curvature = _derivatives(z, float(np.exp(t)))
        low, high = (t, high) if slope < 0 else (low, t)
        newton = t - slope / curvature if curvature > 0 else np.inf
        following = newton if low < newton < high else (low + high) / 2
        if abs(following - t) < 1e-7:
            break
        t = following
    return float(np.exp(t))


def _is_better(z: np.ndarray, b: float, units: np.ndarray | None) -> bool:
    """Whether, leaving out each unit, scaling has a lower log loss than not scaling."""
    own, _, curvature = _derivatives(z, b)
    if units is not None:
        _, unit = np.unique(units, return_inverse=True)
        own = np.bincount(unit, own)
    # without its own pull, log b moves by own / curvature, and the unit's loss rises
    rise = float((own**2).sum()) / curvature if curvature > 0 else np.inf
    gain = logsumexp(z, axis=1).sum() - logsumexp(b * z, axis=1).sum()
    return bool(gain > rise)


def enough(n: int) -> np.ndarray:
    """Rows to fit on: all of them, or a random choice that is always the same."""
    if n <= _ENOUGH:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).permutation(n)[:_ENOUGH])


def temperature_of(
    probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray | None = None
) -> float:
    """:func:`fit_temperature` for probabilities of shape (n, k)."""
    rows = enough(len(labels))
    kept = None if units is None else units[rows]
    return fit_temperature(log_probabilities(probabilities[rows]), labels[rows], kept)


def scaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at another temperature: softmax(log p / T), of the same type and shape."""
    if temperature == 1.0:
        return probabilities
    result = softmax(log_probabilities(probabilities) / temperature)
    return np.asarray(result.astype(probabilities.dtype))
