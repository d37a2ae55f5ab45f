"""What trials are compared by: one number per trial, from validation predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from zoo.aliases import metric_of
from zoo.errors import ZooError, nearest
from zoo.evaluate.metrics import value

METRICS = ("accuracy", "f1", "auc", "log_loss")


def check_metric(name: str) -> str:
    """A metric that trials can be compared by, also where other tools call it by another name.

    Raises:
        ZooError: they cannot.
    """
    given, name = name, metric_of(name)
    if name not in METRICS:
        raise ZooError(f"there is no metric {given!r} to tune for: {nearest(name, METRICS)}")
    return name


def direction(metric: str) -> str:
    """``maximize`` or ``minimize``."""
    return "minimize" if metric == "log_loss" else "maximize"


def measure(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """All metrics; None if one is not defined.

    Args:
        labels: int64 of shape (n,).
        probabilities: of shape (n, k).
    """
    found = {name: value(name, labels, probabilities) for name in METRICS}
    return {name: x if math.isfinite(x) else None for name, x in found.items()}


def score(metric: str, metrics: Mapping[str, float | None], n: int) -> float:
    """The number that the search improves.

    Accuracy and F1 of a few hundred images take few values, and many trials tie. Among those the
    log loss decides: it enters with at most half of what one image is worth.

    Args:
        metric: one of ``METRICS``.
        metrics: from :func:`measure`.
        n: number of images.

    Raises:
        ZooError: the metric is not defined for these images.
    """
    found, loss = metrics[metric], metrics["log_loss"]
    if found is None or loss is None:
        raise ZooError(f"{metric} is not defined for these validation images: tune for log_loss")
    return found - _tie_break(loss, n) if metric in {"accuracy", "f1"} else found


def epoch_score(metric: str, row: Mapping[str, float], n: int) -> float:
    """What a training is pruned by after an epoch: comparable among trials at the same epoch.

    Epochs know log loss and accuracy only, which stand for AUC and F1.
    """
    if metric in {"accuracy", "f1"}:
        return row["val_accuracy"] - _tie_break(row["val_loss"], n)
    return row["val_loss"] if metric == "log_loss" else -row["val_loss"]


def _tie_break(loss: float, n: int) -> float:
    return 0.5 / n * min(loss, 10.0) / 10.0


def better(metric: str, first: float, second: float) -> bool:
    """Whether the first score is better than the second."""
    return first < second if direction(metric) == "minimize" else first > second
