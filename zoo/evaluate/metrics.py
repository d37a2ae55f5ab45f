"""Metrics with 95% intervals, all from one table of probabilities.

Accuracy has a Wilson (1927) interval, AUC that of DeLong et al. (1988). The others are bootstrapped
over samples (Efron 1979): the percentile interval, except for the calibration error, whose
resampled values are biased upwards and which therefore has the basic (reflected) interval. Those
have no width where all images are classified rightly: Wilson's is the one to trust there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from ensembles.probabilities import binned_gaps, true_class
from zoo.evaluate.labels import LABELS

_Z = NormalDist().inv_cdf(0.975)

# from weights of shape (b, n), how often each sample counts, to values of shape (b,)
Weighted = Callable[[np.ndarray], np.ndarray]


def _mean_of(values: np.ndarray) -> Weighted:
    return lambda w: w @ values / w.sum(axis=1)


def _accuracy(labels: np.ndarray, p: np.ndarray) -> Weighted:
    return _mean_of((p.argmax(axis=1) == labels).astype(np.float64))


def _log_loss(labels: np.ndarray, p: np.ndarray) -> Weighted:
    return _mean_of(-np.log(true_class(p, labels)))


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


def _auc(labels: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """Mean over classes of the area under the one-against-rest ROC curve, and its standard error.

    A class's area is the mean over its images of the share of the others that they rank above,
    ties counting half, and, seen from the others, the mean of the share that ranks above them.
    What each image adds to all areas gives the variance of their mean (DeLong et al. 1988).
    """
    n, classes = p.shape
    added, areas = np.zeros(n), []
    for k in range(classes):
        positive = labels == k
        own, others = np.sort(p[positive, k]), np.sort(p[~positive, k])
        if not len(own) or not len(others):
            continue
        share = np.empty(n)
        share[positive] = _below(others, p[positive, k])
        share[~positive] = 1 - _below(own, p[~positive, k])
        areas.append(float(share[positive].mean()))
        for side in (positive, ~positive):
            count = int(side.sum())
            if count == 1:  # it tells nothing of how images vary: at most as much as a coin does
                added[side] += math.sqrt(areas[-1] * (1 - areas[-1]))
                continue
            scale = math.sqrt(count / (count - 1))  # n - 1 in the variance
            added[side] += (share[side] - areas[-1]) * scale / count
    if not areas:
        return math.nan, math.nan
    return float(np.mean(areas)), math.sqrt(float((added**2).sum())) / len(areas)


def _below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of the sorted numbers below each value, those equal to it counting half."""
    low, high = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray((low + high) / (2 * len(ordered)))


def _auc_interval(area: float, error: float) -> tuple[float, float]:
    """95% interval, symmetric on the scale of logits so that it stays within 0..1."""
    if not 0 < area < 1:
        return area, area
    logit, half = math.log(area / (1 - area)), _Z * error / (area * (1 - area))
    low, high = (
        1 / (1 + math.exp(-min(max(x, -500.0), 500.0))) for x in (logit - half, logit + half)
    )
    return low, high


def _calibration_error(labels: np.ndarray, p: np.ndarray) -> Weighted:
    """Expected calibration error of the top class, 15 equal bins (Guo et al. 2017)."""
    per_bin = binned_gaps(p.max(axis=1), p.argmax(axis=1) == labels)
    return lambda w: np.abs(w @ per_bin).sum(axis=1) / w.sum(axis=1)


_WEIGHTED = {
    "accuracy": _accuracy,
    "f1": _f1,
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
    """One metric without its interval; nan if it is not defined.

    Args:
        name: a key of ``zoo.evaluate.labels.LABELS``.
        labels: int64 of shape (n,).
        probabilities: of shape (n, k).
    """
    if name == "auc":
        return _auc(labels, probabilities)[0]
    weighted = _WEIGHTED[name](labels, probabilities)
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
        Metric to ``{"value", "low", "high", "n"}``; None if a value is not defined, such as the
        AUC of one class.
    """
    n = len(labels)
    area, error = _auc(labels, probabilities)
    numbers = {"auc": (area, *_auc_interval(area, error))}
    draws = _draws(labels, probabilities, seed)
    for name, values in draws.items():
        point = value(name, labels, probabilities)
        numbers[name] = (point, *_interval(name, point, values, n))
    return {
        name: {
            **{
                key: x if math.isfinite(x) else None
                for key, x in zip(("value", "low", "high"), numbers[name], strict=True)
            },
            "n": n,
        }
        for name in LABELS
    }


def _draws(labels: np.ndarray, p: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Values of the bootstrapped metrics for resampled images."""
    n, k = p.shape
    rng = np.random.default_rng(seed)
    rounds = int(np.clip(3e8 / (n * k), 200, 1000))
    weighted = {name: make(labels, p) for name, make in _WEIGHTED.items()}
    found: dict[str, list[np.ndarray]] = {name: [] for name in weighted}
    step = max(1, int(4e6 / n))  # bounds the memory of the weights
    room = np.empty((min(step, rounds), n))
    for start in range(0, rounds, step):
        weights = room[: rounds - start]
        # how often each image is drawn; counting draws is ten times faster than a multinomial
        for row in weights:
            row[:] = np.bincount(rng.integers(0, n, n), minlength=n)
        for name, function in weighted.items():
            found[name].append(function(weights))
    return {name: np.concatenate(values) for name, values in found.items()}


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
