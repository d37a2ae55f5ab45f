"""Metrics with 95% intervals, all from one table of probabilities.

Accuracy has a Wilson (1927) interval. The others are bootstrapped over samples (Efron 1979): the
percentile interval, except for the calibration error, whose resampled values are biased upwards
and which therefore has the basic (reflected) interval. A bootstrapped interval has no width where
all images are classified rightly: Wilson's is the one to trust there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import norm

_BINS = 15
_TINY = 1e-12
_Z = float(norm.ppf(0.975))

# from weights of shape (b, n), how often each sample counts, to values of shape (b,)
Weighted = Callable[[np.ndarray], np.ndarray]


def _mean_of(values: np.ndarray) -> Weighted:
    return lambda w: w @ values / w.sum(axis=1)


def _accuracy(labels: np.ndarray, p: np.ndarray) -> Weighted:
    return _mean_of((p.argmax(axis=1) == labels).astype(np.float64))


def _log_loss(labels: np.ndarray, p: np.ndarray) -> Weighted:
    chosen = p[np.arange(len(labels)), labels].astype(np.float64)
    return _mean_of(-np.log(np.maximum(chosen, _TINY)))


def _f1(labels: np.ndarray, p: np.ndarray) -> Weighted:
    """Mean over the classes that occur, as labels or as predictions."""
    columns = np.arange(p.shape[1])
    true = labels[:, None] == columns
    said = p.argmax(axis=1)[:, None] == columns
    both, either = (true & said).astype(np.float64), true.astype(np.float64) + said

    def value(w: np.ndarray) -> np.ndarray:
        total = w @ either
        scores = np.divide(2 * (w @ both), total, out=np.full(total.shape, np.nan), where=total > 0)
        return np.nanmean(scores, axis=1)

    return value


def _auc(labels: np.ndarray, p: np.ndarray) -> Weighted:
    """Mean over classes of the area under the one-against-rest ROC curve, ties counting half."""
    prepared = []
    for k in range(p.shape[1]):
        order = np.argsort(p[:, k], kind="stable")
        ordered = p[order, k]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        prepared.append((order, starts, (labels[order] == k).astype(np.float64)))

    def value(w: np.ndarray) -> np.ndarray:
        areas = np.full((len(prepared), len(w)), np.nan)
        for k, (order, starts, positive) in enumerate(prepared):
            weight = w[:, order]
            up = np.add.reduceat(weight * positive, starts, axis=1)
            down = np.add.reduceat(weight * (1 - positive), starts, axis=1)
            below = np.cumsum(down, axis=1) - down / 2
            pairs = up.sum(axis=1) * down.sum(axis=1)
            np.divide((up * below).sum(axis=1), pairs, out=areas[k], where=pairs > 0)
        present = ~np.isnan(areas)
        total = np.where(present, areas, 0).sum(axis=0)
        out = np.full(len(w), np.nan)
        return np.divide(total, present.sum(axis=0), out=out, where=present.any(axis=0))

    return value


def _calibration_error(labels: np.ndarray, p: np.ndarray) -> Weighted:
    """Expected calibration error of the top class, 15 equal bins (Guo et al. 2017)."""
    confidence = p.max(axis=1).astype(np.float64)
    gap = (p.argmax(axis=1) == labels) - confidence
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    per_bin = np.where(bins[:, None] == np.arange(_BINS), gap[:, None], 0.0)
    return lambda w: np.abs(w @ per_bin).sum(axis=1) / w.sum(axis=1)


_METRICS = {
    "accuracy": _accuracy,
    "f1": _f1,
    "auc": _auc,
    "log_loss": _log_loss,
    "calibration_error": _calibration_error,
}


def wilson(successes: float, n: int) -> tuple[float, float]:
    """95% interval of a proportion (Wilson 1927)."""
    share, z2 = successes / n, _Z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # at 0 and 1 the ends meet the proportion, but for rounding
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def value(name: str, labels: np.ndarray, probabilities: np.ndarray) -> float:
    """One metric without its interval; nan where it is not defined.

    Args:
        name: a key of ``zoo.evaluate.labels.LABELS``.
        labels: int64 of shape (n,).
        probabilities: of shape (n, k).
    """
    weighted = _METRICS[name](labels, probabilities)
    return float(weighted(np.ones((1, len(labels))))[0])


def evaluate(
    labels: np.ndarray, probabilities: np.ndarray, seed: int = 0
) -> dict[str, dict[str, float | int | None]]:
    """All metrics with their 95% intervals.

    Args:
        labels: int64 of shape (n,), n at least 1.
        probabilities: of shape (n, k), rows sum to one.
        seed: of the bootstrap.

    Returns:
        Metric to ``{"value", "low", "high", "n"}``; None where a value is not defined, such as the
        AUC of one class.
    """
    n, k = probabilities.shape
    rng = np.random.default_rng(seed)
    rounds = int(np.clip(3e8 / (n * k), 200, 1000))
    weighted = {name: make(labels, probabilities) for name, make in _METRICS.items()}
    draws: dict[str, list[np.ndarray]] = {name: [] for name in weighted}
    step = max(1, int(4e6 / n))  # bounds the memory of the weights
    for start in range(0, rounds, step):
        count = min(step, rounds - start)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=count).astype(np.float64)
        for name, function in weighted.items():
            draws[name].append(function(weights))
    result: dict[str, dict[str, float | int | None]] = {}
    for name, function in weighted.items():
        point = float(function(np.ones((1, n)))[0])
        low, high = _interval(name, point, np.concatenate(draws[name]), n)
        numbers = {"value": point, "low": low, "high": high}
        finite = {key: x if math.isfinite(x) else None for key, x in numbers.items()}
        result[name] = {**finite, "n": n}
    return result


def _interval(name: str, point: float, draws: np.ndarray, n: int) -> tuple[float, float]:
    if name == "accuracy":
        return wilson(point * n, n)
    draws = draws[np.isfinite(draws)]
    if not draws.size or not math.isfinite(point):
        return math.nan, math.nan
    low, high = np.quantile(draws, [0.025, 0.975])
    if name == "calibration_error":
        low, high = max(0.0, 2 * point - high), min(1.0, max(point, 2 * point - low))
    return float(min(low, point)), float(max(high, point))
