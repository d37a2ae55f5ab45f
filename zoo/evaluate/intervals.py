"""Macro F1, AUC and calibration error of a table of predictions, each with its 95% interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from ensembles.intervals import design_effect, wilson
from ensembles.probabilities import BINS
from zoo.evaluate.labels import FEW_ERRORS, FEW_IMAGES

FEWEST_IMAGES = 5  # of every class, for an interval of macro F1
FEWEST_IMAGES_AUC = 2  # of every class, for one of the AUC
FEWEST_ERRORS_CALIBRATION = 10  # with fewer, the bins of high confidence hold nearly no error
_SHRINKAGE = 20.0  # errors that weigh as much as the model of Newcombe's method 5 does
_ROUNDS = 400  # of the simulation of calibration errors
_Z = float(ndtri(0.975))


@dataclass(frozen=True)
class Reason:
    """Why there is no interval, in the words that stand in its place."""

    words: str


class MacroF1:
    """Mean F1 over the classes that occur, as labels or as predictions.

    The interval is the wider one of two. Wilson's of a proportion whose variance is that of the
    mean F1 by the delta method (Takahashi et al. 2022) holds where all classes are about as
    frequent. That of the classes' own intervals (2J / (1 + J) of Wilson's for the Jaccard index J),
    put together with their correlations (Zou and Donner 2008), holds where a rare class decides.

    Args:
        labels: int64 of shape (n,).
        p: probabilities of shape (n, k).
    """

    def __init__(self, labels: np.ndarray, p: np.ndarray) -> None:
        self.labels, self.predicted, k = labels, p.argmax(axis=1), p.shape[1]
        self.counts = np.bincount(labels, minlength=k)
        self.matrix = np.bincount(k * labels + self.predicted, minlength=k * k).reshape(k, k)
        self.occurs = np.flatnonzero(self.matrix.sum(axis=0) + self.counts)

    @property
    def value(self) -> float:
        """In 0..1."""
        return float(_f1(self._occurring).mean())

    @property
    def _occurring(self) -> np.ndarray:
        return self.matrix[np.ix_(self.occurs, self.occurs)].astype(np.float64)

    def interval(self, groups: np.ndarray | None) -> tuple[float, float] | Reason:
        """95% interval; a reason where a class has too few images."""
        if self.counts.min() < FEWEST_IMAGES:
            return Reason(FEW_IMAGES)
        matrix, effect = self._occurring, design_effect(self._influence(), groups)
        n, k = matrix.sum() / effect, len(matrix)
        scores, mean = _f1(matrix), self.value
        variance = effect * _covariance(matrix).sum() / k**2
        alike = mean * (1 - mean) / variance if variance > 0 and 0 < mean < 1 else n
        low, high = wilson(mean * alike, alike)
        correct = np.diag(matrix)
        either = matrix.sum(axis=0) + matrix.sum(axis=1) - correct
        own = [
            wilson(c / effect, e / effect) if e else (0.0, 1.0)
            for c, e in zip(correct, either, strict=True)
        ]
        ends = np.array([[2 * j / (1 + j) for j in pair] for pair in own])
        spread = _covariance(matrix + 1 / k)  # also where no error was seen
        deviation = np.sqrt(np.diag(spread))
        correlation = spread / np.outer(deviation, deviation)
        below, above = (
            math.sqrt(max(0.0, float(d @ correlation @ d))) / k
            for d in (scores - ends[:, 0], ends[:, 1] - scores)
        )
        return max(0.0, min(low, mean - below)), min(1.0, max(high, mean + above))

    def _influence(self) -> np.ndarray:
        """What each image adds to the sum over classes of F1, but for a factor."""
        total = self.matrix.sum(axis=0) + self.matrix.sum(axis=1)
        each = np.where(total > 0, 1 / np.maximum(total, 1), 0.0)
        scores = 2 * np.diag(self.matrix) * each
        y, s = self.labels, self.predicted
        return np.asarray(2 * (y == s) * each[y] - scores[y] * each[y] - scores[s] * each[s])


def _f1(matrix: np.ndarray) -> np.ndarray:
    """F1 of each class of a confusion matrix; every class must occur."""
    return np.asarray(2 * np.diag(matrix) / (matrix.sum(axis=0) + matrix.sum(axis=1)))


def _covariance(matrix: np.ndarray) -> np.ndarray:
    """Covariances of the F1 of classes by the delta method, of shape (k, k)."""
    total, scores = matrix.sum(axis=0) + matrix.sum(axis=1), _f1(matrix)
    scaled = scores / total
    found = np.outer(scaled, scaled) * (matrix + matrix.T)
    correct = np.diag(matrix)
    own = (2 - 2 * scores) ** 2 * correct + scores**2 * (total - 2 * correct)
    np.fill_diagonal(found, own / total**2)
    return np.asarray(found)


class Area:
    """Mean over classes of the area under the one-against-rest ROC curve.

    A class's area is the mean over its images of the share of the others that they rank above,
    ties counting half. The interval holds the areas that are at most 1.96 of their own standard
    errors away (a score interval). How the error depends on the area is that of Newcombe's method
    5 (2006, after Hanley and McNeil 1982); it is scaled by what DeLong et al. (1988) estimate for
    this table, the more the more errors, and images of each class, there are to estimate it from.

    Args:
        labels: int64 of shape (n,).
        p: probabilities of shape (n, k).
    """

    def __init__(self, labels: np.ndarray, p: np.ndarray) -> None:
        self.counts = np.bincount(labels, minlength=p.shape[1])
        self.errors = int((p.argmax(axis=1) != labels).sum())
        self._sizes: list[tuple[int, int]] = []
        self._areas: list[float] = []
        self._deviations: list[float] = []
        self._added = np.zeros(len(labels))
        for k in range(p.shape[1]):
            if 0 < self.counts[k] < len(labels):
                self._add(labels == k, p[:, k])

    def _add(self, positive: np.ndarray, score: np.ndarray) -> None:
        own, others = np.sort(score[positive]), np.sort(score[~positive])
        share, added = np.empty(len(score)), np.empty(len(score))
        share[positive] = _below(others, score[positive])
        share[~positive] = 1 - _below(own, score[~positive])
        area = float(share[positive].mean())
        for side, count in ((positive, len(own)), (~positive, len(others))):
            if count == 1:  # it tells nothing of how images vary: at most as much as a coin does
                added[side] = math.sqrt(area * (1 - area))
            else:  # n - 1 in the variance
                added[side] = (share[side] - area) * math.sqrt(count / (count - 1)) / count
        self._sizes.append((len(own), len(others)))
        self._areas.append(area)
        self._deviations.append(math.sqrt(float((added**2).sum())))
        self._added += added

    @property
    def value(self) -> float:
        """In 0..1; nan if all images are of one class."""
        return float(np.mean(self._areas)) if self._areas else math.nan

    def interval(self, groups: np.ndarray | None) -> tuple[float, float] | Reason:
        """95% interval; a reason where a class has too few images."""
        if self.counts.min() < FEWEST_IMAGES_AUC:
            return Reason(FEW_IMAGES)
        mean, scale = self.value, math.sqrt(self._scale() * design_effect(self._added, groups))
        low = _crossing(lambda t: t + _Z * scale * self._model(t) - mean, 0.0, mean)
        high = _crossing(lambda t: t - _Z * scale * self._model(t) - mean, mean, 1.0)
        return (low if mean > 0 else 0.0), (high if mean < 1 else 1.0)

    def _model(self, area: float) -> float:
        """Mean standard error of the classes' areas if all are the given one (method 5)."""
        m, n = np.array(self._sizes, dtype=np.float64).T
        middle = (m + n) / 2 - 1
        inner = 1 + middle * ((1 - area) / (2 - area) + area / (1 + area))
        return float(np.sqrt(np.maximum(0.0, area * (1 - area) * inner / (m * n))).mean())

    def _scale(self) -> float:
        """Factor of the model's variance: of the mean of correlated areas, and as seen here."""
        seen = float((self._added**2).sum()) / len(self._areas) ** 2
        alone, modelled = float(np.mean(self._deviations)) ** 2, self._model(self.value) ** 2
        if not seen or not modelled:
            return 1.0
        # a rare class tells as little of the variance as rare errors do
        known = min(self.errors, self.counts.min() * len(self.counts) / 2)
        weight = known / (known + _SHRINKAGE)
        return float((seen / modelled) ** weight * (seen / alone) ** (1 - weight))


def _below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of the sorted numbers below each value, those equal to it counting half."""
    low, high = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray((low + high) / (2 * len(ordered)))


def _crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function becomes positive, by bisection."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return (low + high) / 2


class Calibration:
    """Expected calibration error of the first choice, its bias taken off.

    The plain error over 15 equal bins (Guo et al. 2017) is that of chance too, and too high, most
    where images are few (Kumar et al. 2019, Roelofs et al. 2022). Here classifiers are simulated
    whose bins are off by a multiple of what is seen: from nothing (perfect calibration, Broecker
    and Smith 2007) to three times as much. The value is the error of the multiple for which the
    plain error that is seen is the median; the ends of the interval are those for which it is at
    the 97.5% and the 2.5% quantile (test inversion, Carpenter 1999).

    Args:
        labels: int64 of shape (n,).
        p: probabilities of shape (n, k).
        groups: whole numbers of shape (n,), equal for images that depend on each other, or None.
    """

    def __init__(self, labels: np.ndarray, p: np.ndarray, groups: np.ndarray | None = None) -> None:
        self._confidence = p.max(axis=1).astype(np.float64)
        self._correct = p.argmax(axis=1) == labels
        bins = np.minimum((self._confidence * BINS).astype(int), BINS - 1)
        counts = np.bincount(bins, minlength=BINS)
        kept = counts > 0
        self._share = counts[kept] / len(labels)
        self._sure = np.bincount(bins, self._confidence, BINS)[kept] / counts[kept]
        self._right = np.bincount(bins, self._correct, BINS)[kept] / counts[kept]
        wrong = ~self._correct
        self._errors = int(wrong.sum() if groups is None else len(np.unique(groups[wrong])))
        self._effect = design_effect(self._correct - self._confidence, groups)

    @property
    def raw(self) -> float:
        """The plain error, in 0..1."""
        return float((self._share * abs(self._right - self._sure)).sum())

    @property
    def value(self) -> float:
        """In 0..1; 0 if the plain error is no higher than perfect calibration usually shows."""
        return self._matching(0.5, self.raw)

    @property
    def raw_if_perfect(self) -> float:
        """What the plain error of perfect calibration exceeds in 5% of samples only."""
        return float(np.quantile(self._simulated[1][0], 0.95))

    def interval(self) -> tuple[float, float] | Reason:
        """95% interval; a reason where there are too few errors."""
        if self._errors < FEWEST_ERRORS_CALIBRATION:
            return Reason(FEW_ERRORS)
        # less than perfect calibration usually shows is luck, and rules no more out
        usual = max(self.raw, float(np.median(self._simulated[1][0])))
        return self._matching(0.975, self.raw), self._matching(0.025, usual)

    @cached_property
    def _simulated(self) -> tuple[np.ndarray, np.ndarray]:
        """True error of each multiple, and the plain errors that are seen, (multiples, rounds)."""
        rng, n = np.random.default_rng(0), max(1, round(len(self._correct) / self._effect))
        share = rng.multinomial(n, self._share, _ROUNDS) / n
        noise = rng.standard_normal(share.shape)
        multiples = np.concatenate([np.linspace(0, 1, 21), np.linspace(1.1, 3, 20)])
        true, seen = [], []
        for multiple in multiples:
            right = np.clip(self._sure + multiple * (self._right - self._sure), 0, 1)
            off = right - self._sure
            error = np.sqrt(share * right * (1 - right) / n)
            seen.append(abs(share * off + error * noise).sum(axis=1))
            true.append(float((self._share * abs(off)).sum()))
        return np.array(true), np.array(seen)

    def _matching(self, level: float, raw: float) -> float:
        """True error for which the plain one is the quantile of this level."""
        true, seen = self._simulated
        quantiles = np.maximum.accumulate(np.quantile(seen, level, axis=1))
        if raw <= quantiles[0]:
            return 0.0
        return float(np.interp(raw, quantiles, true))
