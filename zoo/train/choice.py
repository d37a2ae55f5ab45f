"""Which features pay: of the last layer or of all depths, of an image or of several views of it.

Chosen by cross-validation on training images. The simplest features stay unless a paired test
finds others better. All penalties and folds share one factorization of the kernel matrix, which
replaces the features by as many columns as there are images, at the same distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ensembles.comparison import FEWEST, is_distinguishable
from ensembles.intervals import independent_samples
from zoo.data.split import folds
from zoo.train.arrays import Table
from zoo.train.probe import (
    L2_GRID,
    Head,
    Problem,
    fit_head,
    softmax_of,
)
from zoo.train.standard import Standard

ALL, LAST = "all", "last"
_FOLDS = 3
_MOST = 2000  # images that the choice looks at: it then takes seconds
_COARSE = 1e-5  # of the searches, which need not be exact to compare
_SEED = 0  # of the folds


@dataclass(frozen=True)
class FeatureSet:
    """What a head sees of a network.

    Attributes:
        depths: ``last`` for the network's own features, ``all`` for those of all depths.
        views: see :func:`backbones.seen_in_views`.
    """

    depths: str = LAST
    views: int = 1

    @property
    def in_words(self) -> str:
        """For instance ``all depths, 2 views``."""
        depths = "all depths" if self.depths == ALL else "the last layer"
        return f"{depths}, {self.views} view{'s' if self.views > 1 else ''}"


@dataclass(frozen=True)
class Rows:
    """What heads are fitted to, whatever they see.

    Attributes:
        labels: int64 of shape (n,).
        targets: float32 of shape (n, k), rows sum to one.
        weights: of the samples, of shape (n,), mean 1.
        groups: int64 of shape (n,), equal for samples that depend on each other.
    """

    labels: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    groups: np.ndarray

    def take(self, chosen: np.ndarray) -> Rows:
        """Some of them."""
        return Rows(*(part[chosen] for part in vars(self).values()))


@dataclass(frozen=True)
class Judged:
    """A set of features in cross-validation.

    Attributes:
        losses: out-of-fold log loss of each sample, of shape (n,), at the best penalty.
        l2: that penalty.
        passes: times that the fits went over the features.
    """

    losses: np.ndarray
    l2: float
    passes: int


def reduced(z: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Features of as few columns as there are rows, with the same products of rows.

    A linear head with an L2 penalty has the same optimum on them.

    Args:
        z: float32 of shape (n, d).

    Returns:
        float32 of shape (n, min(n, d)), and the lower triangular factor by which
        :func:`lifted` finds the way back; None if nothing was to be gained.
    """
    from scipy.linalg import LinAlgError, cholesky

    n, d = z.shape
    if d <= n:
        return z, None
    products = (z @ z.T).astype(np.float64)
    mean = max(float(np.trace(products)) / n, 1e-12)
    for ridge in (1e-4, 1e-3, 1e-2):
        try:
            factor = cholesky(products + ridge * mean * np.eye(n), lower=True)
            return factor.astype(np.float32), factor
        except LinAlgError:  # by rounding
            continue
    return z, None


def lifted(kernel: np.ndarray, z: np.ndarray, factor: np.ndarray | None) -> np.ndarray:
    """The kernel on features ``z`` of one on what :func:`reduced` made of them."""
    if factor is None:
        return kernel
    from scipy.linalg import solve_triangular

    dual = solve_triangular(factor, kernel.astype(np.float64), trans="T", lower=True)
    return np.asarray(z.T @ dual.astype(np.float32))


def cross_validated(
    features: Table,
    own: int,
    rows: Rows,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    grid: Sequence[float] = L2_GRID,
) -> Judged:
    """Out-of-fold losses of heads on these features, at the penalty that is best there.

    Args:
        features: of shape (n, d).
        own: how many columns are the network's own features.
        rows: their labels.
        parts: of each fold, the rows to fit on and those held out.
        grid: penalties, from strong to weak.
    """
    z = reduced(Standard.of(features, own).apply(features))[0]
    losses = np.full((len(grid), len(z)), np.inf)
    passes = 0
    for rest, held in parts:
        some = rows.take(rest)
        problem = Problem.of_standardized(z[rest], some.targets, some.weights)
        head, least = None, np.inf
        for i, l2 in enumerate(grid):
            head = problem.solved(0.0, l2, head, _COARSE)
            passes += head.passes
            p = softmax_of(z[held] @ head.kernel + head.bias)
            losses[i, held] = -np.log(np.maximum(p[np.arange(len(held)), rows.labels[held]], 1e-12))
            reached = losses[i, held].mean()
            least = min(least, reached)
            if reached > 1.02 * least:
                break  # it falls along the path, then rises
    best = int(losses.mean(axis=1).argmin())
    return Judged(losses[best], grid[best], passes)


@dataclass(frozen=True)
class Choice:
    """What cross-validation chose.

    Attributes:
        features: the set that is kept.
        judged: what was tried.
    """

    features: FeatureSet
    judged: Mapping[FeatureSet, Judged]

    @property
    def l2(self) -> float | None:
        """The penalty that was best in cross-validation; None if there was none."""
        found = self.judged.get(self.features)
        return found.l2 if found else None

    @property
    def losses(self) -> dict[str, float]:
        """Set of features, in words, to its out-of-fold log loss."""
        return {s.in_words: float(j.losses.mean()) for s, j in self.judged.items()}


def choose_features(
    tables: Mapping[FeatureSet, Table], own: int, rows: Rows, l2: float | None = None
) -> Choice:
    """The set of features that a linear head does best on.

    The first set is kept unless the paired test of log losses finds another one better. Depths are
    decided first, then whether more views of an image are worth their time.

    Args:
        tables: of each set, features of shape (n, d); by views, and then from the simplest on.
        own: how many columns are the network's own features.
        rows: training rows.
        l2: the head's penalty, if it is given.
    """
    grid = L2_GRID if l2 is None else (l2,)
    first = next(iter(tables))
    chosen, parts = sampled_folds(rows)
    if len(tables) == 1 or not parts:
        return Choice(first, {})
    rows, judged = rows.take(chosen), {}

    def judge(name: FeatureSet) -> Judged:
        if name not in judged:
            table = tables[name]
            some = table[chosen] if isinstance(table, np.ndarray) else table.take(chosen)
            judged[name] = cross_validated(some, own, rows, parts, grid)
        return judged[name]

    def better(one: FeatureSet, other: FeatureSet) -> FeatureSet:
        """The one, if it is clearly better than the other."""
        difference = judge(one).losses - judge(other).losses
        clear = difference.mean() < 0 and is_distinguishable(difference, rows.groups)
        return one if clear else other

    kept = first
    for name in tables:
        # depths by as few views as there are, then views of these depths alone
        if name.views == first.views or name.depths == kept.depths:
            kept = better(name, kept)
    return Choice(kept, judged)


def sampled_folds(rows: Rows) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Up to 2,000 of the rows, in whole groups, and their folds; none if there are too few."""
    chosen = np.arange(len(rows.labels))
    if len(chosen) > _MOST:
        rng = np.random.default_rng(_SEED)
        order = rng.permutation(int(rows.groups.max()) + 1)[rows.groups]
        chosen = np.sort(np.argsort(order, kind="stable")[:_MOST])
    labels, groups = rows.labels[chosen], rows.groups[chosen]
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    fewest = int(np.bincount(pairs[0], minlength=rows.targets.shape[1]).min())
    if independent_samples(len(chosen), groups) < FEWEST or fewest < 2:
        return chosen, []
    return chosen, folds(labels, groups, min(_FOLDS, fewest), _SEED)


def fit_chosen(features: Table, own: int, rows: Rows, l2: float) -> Head:
    """The head on these features at this penalty, fitted on all rows.

    Raises:
        ZooError: there are many features, and the disk is full.
    """
    if features.shape[1] <= len(features) or len(features) > _MOST:
        return fit_head(features, rows.targets, l1=0.0, l2=l2, sample_weight=rows.weights, own=own)
    standard = Standard.of(features, own)
    z = standard.apply(features)
    small, factor = reduced(z)
    head = Problem.of_standardized(small, rows.targets, rows.weights).solved(0.0, l2, None)
    kernel = lifted(head.kernel, z, factor)
    return Head(standard, kernel, head.bias, l2, head.passes)
