"""Is one row of the table better than another, on the same images and over all seeds?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from ensembles import PredictionTable, align
from ensembles.comparison import LEVEL, compare, in_words, loss_in_words, sign_flip
from ensembles.intervals import (
    difference_interval,
    group_sums,
    independent_samples,
    standard_error,
)
from ensembles.probabilities import true_class

FEWEST_SEEDS = 3  # for a verdict about recipes: fewer do not tell how much runs differ


@dataclass(frozen=True)
class Verdict:
    """One row against another, paired by image.

    Attributes:
        n: number of images.
        seeds: number of runs of each that are compared.
        accuracy: the first one's less the second one's, mean over seeds.
        p_value: that both are right equally often.
        log_loss: the first one's less the second one's, mean over seeds: negative is better.
        low, high: 95% interval of that difference.
        by_accuracy, by_log_loss: ``better``, ``worse`` or ``not distinguishable`` at the 5% level,
            or ``cannot be told`` of fewer than 40 images.
        of: what the verdict is about: ``recipes``, which another seed and other images would
            confirm, or, of fewer than three seeds, only these ``networks``.
    """

    n: int
    seeds: int
    accuracy: float
    p_value: float
    log_loss: float
    low: float
    high: float
    by_accuracy: str
    by_log_loss: str
    of: str = "networks"

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def judge(
    first: Sequence[PredictionTable], second: Sequence[PredictionTable], seeded: bool = True
) -> Verdict:
    """Compare two rows.

    One or two seeds tell whether these networks differ: McNemar's test or one by flipping signs,
    and an interval over images; two seeds must agree. From three seeds on the verdict is about
    recipes (Bouthillier et al. 2021): the variance of the mean difference is that over images plus
    that over seeds, and Student's t has as many degrees of freedom as there are seeds, less one.

    Args:
        first, second: predictions of the same images, one of each for a seed.
        seeded: whether another seed would give other networks; if not, one is the recipe.

    Raises:
        EnsembleError: the tables are not of the same samples.
    """
    if len(first) == 1:
        found = compare(first[0], second[0])
        return Verdict(
            n=found.n,
            seeds=1,
            accuracy=found.accuracy,
            p_value=found.p_value,
            log_loss=found.log_loss,
            low=found.low,
            high=found.high,
            by_accuracy=found.by_accuracy,
            by_log_loss=found.by_log_loss,
            of="networks" if seeded else "recipes",
        )
    pairs = [align([a, b]) for a, b in zip(first, second, strict=True)]
    right = np.stack([_right(a) - _right(b) for a, b in pairs])
    loss = np.stack([_loss(a) - _loss(b) for a, b in pairs])
    groups = pairs[0][0].groups
    if len(pairs) < FEWEST_SEEDS:
        return _of_networks(right, loss, groups)
    return _of_recipes(right, loss, groups)


def _of_networks(right: np.ndarray, loss: np.ndarray, groups: np.ndarray | None) -> Verdict:
    """From differences of shape (seeds, n), of these networks alone."""
    n, mean = right.shape[1], float(loss.mean())
    p_value = sign_flip(group_sums(right.mean(axis=0), groups)[1])
    low, high = difference_interval(loss.mean(axis=0), groups)
    found = loss_in_words(mean, low, high, independent_samples(n, groups))
    agree = _agree(loss.mean(axis=1)) or found not in ("better", "worse")
    clear = p_value < LEVEL and _agree(right.mean(axis=1))
    return Verdict(
        n=n,
        seeds=len(right),
        accuracy=float(right.mean()),
        p_value=p_value,
        log_loss=mean,
        low=low,
        high=high,
        by_accuracy=in_words(float(right.mean()), clear),
        by_log_loss=found if agree else in_words(0.0, False),
    )


def _of_recipes(right: np.ndarray, loss: np.ndarray, groups: np.ndarray | None) -> Verdict:
    """From differences of shape (seeds, n), with the variance over seeds."""
    accuracy, p_value, *_ = _over_seeds_and_images(right, groups)
    mean, _, low, high = _over_seeds_and_images(loss, groups)
    n = right.shape[1]
    return Verdict(
        n=n,
        seeds=len(right),
        accuracy=accuracy,
        p_value=p_value,
        log_loss=mean,
        low=low,
        high=high,
        by_accuracy=in_words(accuracy, p_value < LEVEL),
        by_log_loss=loss_in_words(mean, low, high, independent_samples(n, groups)),
        of="recipes",
    )


def _over_seeds_and_images(
    difference: np.ndarray, groups: np.ndarray | None
) -> tuple[float, float, float, float]:
    """Mean, p-value that it is zero, and 95% interval."""
    seeds, n = difference.shape
    mean = float(difference.mean())
    sizes, sums = group_sums(difference.mean(axis=0), groups)
    over_images = standard_error(sums - mean * sizes, n)
    over_seeds = float(difference.mean(axis=1).std(ddof=1)) / math.sqrt(seeds)
    error = math.hypot(over_images, over_seeds)
    if error <= 1e-12:
        return mean, 1.0 if abs(mean) < 1e-12 else 0.0, mean, mean
    half = float(stdtrit(seeds - 1, 1 - LEVEL / 2)) * error
    p_value = 2 * float(stdtr(seeds - 1, -abs(mean) / error))
    return mean, p_value, mean - half, mean + half


def _agree(gains: np.ndarray) -> bool:
    """Whether all seeds say that the same one is better."""
    return bool((gains > 0).all() or (gains < 0).all())


def _right(table: PredictionTable) -> np.ndarray:
    return (table.probabilities.argmax(axis=1) == table.labels).astype(np.float64)


def _loss(table: PredictionTable) -> np.ndarray:
    return -np.log(true_class(table.probabilities, table.labels).astype(np.float64))
