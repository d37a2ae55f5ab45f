"""Metrics with 95% intervals that hold, all from one table of probabilities.

Accuracy has a Wilson (1927) interval, log loss a bootstrap-t, macro F1, AUC and the calibration
error the ones of :mod:`zoo.evaluate.intervals`. Where too few errors or images make an interval
impossible, there is none, and a reason stands in its place. Measured coverage: ``make coverage``.
"""

from __future__ import annotations

import math

import numpy as np

from ensembles.intervals import FEWEST_ERRORS, mean_interval, proportion, wilson
from ensembles.probabilities import true_class
from zoo.evaluate.intervals import Area, Calibration, MacroF1, Reason
from zoo.evaluate.labels import FEW_ERRORS, LABELS
from zoo.records import Interval

__all__ = ["evaluate", "value", "wilson"]


def value(name: str, labels: np.ndarray, probabilities: np.ndarray) -> float:
    """One metric without its interval; nan if it is not defined.

    Args:
        name: a key of ``zoo.evaluate.labels.LABELS``.
        labels: int64 of shape (n,).
        probabilities: of shape (n, k).
    """
    if name == "accuracy":
        return float((probabilities.argmax(axis=1) == labels).mean())
    if name == "log_loss":
        return float(-np.log(true_class(probabilities, labels)).mean())
    if name == "f1":
        return MacroF1(labels, probabilities).value
    return (Area if name == "auc" else Calibration)(labels, probabilities).value


def evaluate(
    labels: np.ndarray,
    probabilities: np.ndarray,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> dict[str, Interval]:
    """All metrics with their 95% intervals.

    Args:
        labels: int64 of shape (n,), n at least 1.
        probabilities: of shape (n, k), rows sum to one.
        seed: of the bootstrap.
        groups: whole numbers of shape (n,), equal for images that depend on each other (copies,
            images of one patient): intervals then are of so many groups, not images.

    Returns:
        Metric to ``{"value", "low", "high", "n"}``; None if a value is not defined, such as the
        AUC of one class. Where there is a value and no interval, ``"reason"`` says why in words.
        The calibration error also has ``"raw"``, before its bias is taken off, and
        ``"raw_if_perfect"``, what that is 95% of the time at most of a perfectly calibrated
        classifier of the same confidences.
    """
    n, correct = len(labels), probabilities.argmax(axis=1) == labels
    losses = -np.log(true_class(probabilities, labels))
    f1, area = MacroF1(labels, probabilities), Area(labels, probabilities)
    calibration = Calibration(labels, probabilities, groups)
    wrong = n - int(correct.sum()) if groups is None else len(np.unique(groups[~correct]))
    sure = FEW_ERRORS if wrong < FEWEST_ERRORS else None
    ends: dict[str, tuple[float, float] | Reason] = {
        "accuracy": proportion(correct, groups),
        "f1": f1.interval(groups),
        "auc": area.interval(groups),
        "log_loss": Reason(sure) if sure else mean_interval(losses, groups, seed),
        "calibration_error": calibration.interval(),
    }
    values = {
        "accuracy": float(correct.mean()),
        "f1": f1.value,
        "auc": area.value,
        "log_loss": float(losses.mean()),
        "calibration_error": calibration.value,
    }
    found = {name: _entry(values[name], ends[name], n) for name in LABELS}
    found["calibration_error"]["raw"] = calibration.raw
    found["calibration_error"]["raw_if_perfect"] = calibration.raw_if_perfect
    return found


def _entry(point: float, ends: tuple[float, float] | Reason, n: int) -> Interval:
    if not math.isfinite(point):
        return {"value": None, "low": None, "high": None, "n": n}
    if isinstance(ends, Reason):
        return {"value": point, "low": None, "high": None, "n": n, "reason": ends.words}
    low, high = max(0.0, min(ends[0], point)), max(ends[1], point)
    return {"value": point, "low": float(low), "high": float(high), "n": n}
