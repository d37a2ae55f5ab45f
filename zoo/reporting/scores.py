"""Metrics of a prediction table by class, by confidence and as curves, and its mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensembles import PredictionTable
from ensembles.probabilities import true_class
from zoo.evaluate.metrics import wilson
from zoo.pages.charts.classification import BINS, Bin, Curve, Share

_POINTS = 120  # of a curve: more would not be seen


@dataclass(frozen=True)
class ClassScores:
    """Metrics of one class against the others.

    Attributes:
        name: of the class.
        count: images of it.
        predicted: images that are predicted as it.
        correct: images of it that are predicted as it.
        precision: None if no image is predicted as it.
        recall: None if there is no image of it.
        f1: their harmonic mean; None if both are None.
    """

    name: str
    count: int
    predicted: int
    correct: int
    precision: Share | None
    recall: Share | None
    f1: Share | None


def confusion(table: PredictionTable) -> np.ndarray:
    """int64 of shape (k, k): images of the row's class that are predicted as the column's."""
    k = len(table.classes)
    predicted = table.probabilities.argmax(axis=1)
    return np.bincount(k * table.labels + predicted, minlength=k * k).reshape(k, k)


def class_scores(matrix: np.ndarray, names: list[str]) -> list[ClassScores]:
    """Precision, recall and F1 of each class, in the order of the confusion matrix.

    Precision and recall have Wilson intervals. F1 is 2J / (1 + J) of the Jaccard index J of the
    images that are of the class and those predicted as it, and has the transformed Wilson interval
    of J.
    """
    found = []
    for i, name in enumerate(names):
        correct, count, predicted = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
        union = _share(correct, count + predicted - correct)
        f1 = union and Share(*(2 * j / (1 + j) for j in (union.value, union.low, union.high)))
        found.append(
            ClassScores(
                name,
                count,
                predicted,
                correct,
                _share(correct, predicted),
                _share(correct, count),
                f1,
            )
        )
    return found


def _share(part: int, whole: int) -> Share | None:
    return Share(part / whole, *wilson(part, whole)) if whole else None


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[Bin]:
    """Accuracy in ten equal bins of confidence; empty bins are left out.

    Args:
        probabilities: of shape (n, k).
        labels: int64 of shape (n,).
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    found = []
    for i in np.unique(place):
        own = place == i
        share = _share(int(correct[own].sum()), int(own.sum()))
        assert share is not None
        found.append(Bin(float(confidence[own].mean()), share, int(own.sum())))
    return found


def roc_curves(table: PredictionTable) -> list[Curve]:
    """False against true positive rate; classes without positives or negatives are left out."""
    from sklearn.metrics import auc, roc_curve

    found = []
    for k, name, positive in _judged(table):
        x, y, _ = roc_curve(positive, table.probabilities[:, k])
        found.append(Curve(name, k, *_thinned(x, y), float(auc(x, y))))
    return found


def precision_recall_curves(table: PredictionTable) -> list[Curve]:
    """Recall against precision, with the average precision as area."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    found = []
    for k, name, positive in _judged(table):
        scores = table.probabilities[:, k]
        precision, recall, _ = precision_recall_curve(positive, scores)
        area = float(average_precision_score(positive, scores))
        found.append(Curve(name, k, *_thinned(recall[::-1], precision[::-1]), area))
    return found


def _judged(table: PredictionTable) -> list[tuple[int, str, np.ndarray]]:
    names = table.classes.tolist()
    each = [(k, name, table.labels == k) for k, name in enumerate(names)]
    return [found for found in each if found[2].any() and not found[2].all()]


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of a curve that are evenly spaced along it, including both ends."""
    if len(x) <= _POINTS:
        return x, y
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    wanted = np.linspace(0, along[-1], _POINTS)
    rows = np.unique(np.concatenate([np.searchsorted(along, wanted[:-1]), [len(x) - 1]]))
    return x[rows], y[rows]


@dataclass(frozen=True)
class Mistake:
    """A misclassified image.

    Attributes:
        id: of the image.
        label, predicted: indices of classes.
        confidence: probability of the predicted class.
        loss: log loss, the negative logarithm of the probability of the label.
    """

    id: str
    label: int
    predicted: int
    confidence: float
    loss: float


def mistakes(table: PredictionTable) -> list[Mistake]:
    """All of them, the highest loss first."""
    predicted = table.probabilities.argmax(axis=1)
    rows = np.flatnonzero(predicted != table.labels)
    confidence = table.probabilities[rows, predicted[rows]]
    loss = -np.log(true_class(table.probabilities[rows], table.labels[rows]))
    return [
        Mistake(
            str(table.ids[rows[i]]),
            int(table.labels[rows[i]]),
            int(predicted[rows[i]]),
            float(confidence[i]),
            float(loss[i]),
        )
        for i in np.argsort(-loss, kind="stable")
    ]


def worst_of_each(found: list[Mistake], most: int) -> list[Mistake]:
    """The mistakes of highest loss, of every true class about equally many at least.

    Args:
        found: all of them, the highest loss first.
        most: how many to choose.
    """
    classes = len({m.label for m in found})
    each = max(1, most // (2 * classes)) if classes else 0
    taken: dict[int, int] = {}
    first: set[int] = set()
    for i, m in enumerate(found):
        if taken.get(m.label, 0) < each and len(first) < most:
            taken[m.label] = taken.get(m.label, 0) + 1
            first.add(i)
    for i in range(len(found)):
        if len(first) >= most:
            break
        first.add(i)
    return [found[i] for i in sorted(first)]
