"""Stacking: a classifier of classifiers (Wolpert 1992)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ensembles._base import Combiner
from ensembles._errors import EnsembleError
from ensembles._folds import fold_numbers
from ensembles.probabilities import log_loss, log_probabilities, softmax

GRID = (1e-3, 1e-2, 1e-1, 1.0)  # strengths of the penalty that cross-validation chooses from
FLOOR = 1e-6  # a linear model must not be steered by how far below this a probability is


class Stacking(Combiner):
    """Multinomial logistic regression with L2 on the members' log-probabilities (scikit-learn).

    It may trust each member for other classes. Fit it on samples that no member was trained on:
    a member that has seen them looks better than it is. Classes that do not occur in ``y`` keep
    the members' mean probability.

    Args:
        C: inverse strength of the penalty as in scikit-learn; chosen by cross-validation if
            None.
        folds: of that cross-validation.

    Attributes:
        C_: the strength taken.
        coef_: float64 of shape (k, m * k), one row per class, one column per log-probability
            of a member.
        intercept_: float64 of shape (k,).
        present_: bool of shape (k,), which classes occur in ``y``.
    """

    LEARNED: ClassVar = {"coef_": "kM", "intercept_": "k", "present_": "k", "C_": ""}

    def __init__(self, C: float | None = None, folds: int = 5) -> None:
        self.C = C
        self.folds = folds

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray) -> None:
        if self.C is not None and not self.C > 0:
            raise EnsembleError(f"C must be above 0, not {self.C:g}")
        features = _features(probabilities)
        fold = fold_numbers(labels, self.folds, units)
        self.C_ = self.C or self._chosen(probabilities, features, labels, fold)
        self._set(features, labels, self.C_)

    def _chosen(
        self, probabilities: np.ndarray, features: np.ndarray, labels: np.ndarray, fold: np.ndarray
    ) -> float:
        """The strength of lowest cross-validated log loss; the smallest if there is one fold."""
        losses = np.zeros(len(GRID))
        numbers = np.unique(fold)
        for number in numbers if len(numbers) > 1 else ():
            held = fold == number
            for i, strength in enumerate(GRID):
                self._set(features[~held], labels[~held], strength)
                loss = log_loss(self._combine(probabilities[:, held]), labels[held])
                losses[i] += loss * held.sum()
        return GRID[int(losses.argmin())]

    def _set(self, features: np.ndarray, labels: np.ndarray, strength: float) -> None:
        from sklearn.linear_model import LogisticRegression

        k = self.n_classes_
        present = np.unique(labels)
        self.present_ = np.isin(np.arange(k), present)
        self.coef_, self.intercept_ = np.zeros((k, features.shape[1])), np.zeros(k)
        if len(present) == 1:
            return
        fitted = LogisticRegression(C=strength, max_iter=500, tol=1e-3).fit(features, labels)
        # of two classes scikit-learn gives the second one's row only
        rows = present[1:] if len(present) == 2 else present
        self.coef_[rows], self.intercept_[rows] = fitted.coef_, fitted.intercept_

    def _combine(self, probabilities: np.ndarray) -> np.ndarray:
        result = probabilities.mean(axis=0, dtype=np.float64)
        logits = _features(probabilities) @ self.coef_.T + self.intercept_
        rest = 1 - result[:, ~self.present_].sum(axis=1, keepdims=True)
        result[:, self.present_] = softmax(logits[:, self.present_]) * np.maximum(rest, 0)
        return np.asarray(result / result.sum(axis=1, keepdims=True))


def _features(probabilities: np.ndarray) -> np.ndarray:
    """Log-probabilities side by side: of shape (n, m * k)."""
    logs = [log_probabilities(p, FLOOR) for p in probabilities]
    return np.concatenate(logs, axis=1).astype(np.float64)
