"""95% intervals that hold with few samples, with rare errors and with samples in groups.

Samples of a group (copies, images of one patient or burst) depend on each other. All intervals
here take whole groups as what was drawn at random (Kish 1965).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri, stdtrit

FEWEST_ERRORS = 5  # of samples, or of groups: with fewer, one error more or less decides the loss
_Z = float(ndtri(0.975))
_ROUNDS = 1000  # of the bootstrap
_DRAWS = 2e7  # of it in all: fewer rounds where there are very many samples, which need fewer


def wilson(successes: float, n: float, quantile: float = _Z) -> tuple[float, float]:
    """95% interval of a proportion (Wilson 1927).

    Args:
        successes: how many, at most ``n``.
        n: of how many; of dependent samples, as many independent ones as tell the same.
        quantile: of the standard normal distribution, or of Student's t.
    """
    share, z2 = successes / n, quantile**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = quantile * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # at 0 and 1 the ends meet the proportion, but for rounding
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def proportion(correct: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """95% interval of the share of samples that are correct.

    Wilson's; of groups, with the number of independent samples that tells the same and Student's t
    of the number of groups (Korn and Graubard 1998, Dean and Pagano 2015).

    Args:
        correct: bool of shape (n,).
        groups: whole numbers of shape (n,), equal for samples that depend on each other.
    """
    n, total = len(correct), float(correct.sum())
    sizes, sums = group_sums(correct.astype(np.float64), groups)
    if len(sizes) == n:
        return wilson(total, n)
    if len(sizes) == 1:
        return 0.0, 1.0
    share = total / n
    effect = float((sizes**2).sum()) / n  # if all of a group are alike
    if 0 < share < 1:
        variance = standard_error(sums - share * sizes, n) ** 2
        effect = min(effect, max(1.0, variance * n / (share * (1 - share))))
    return wilson(total / effect, n / effect, float(stdtrit(len(sizes) - 1, 0.975)))


def design_effect(influence: np.ndarray, groups: np.ndarray | None) -> float:
    """By how much groups raise the variance of a sum of what each sample adds; at least 1.

    Args:
        influence: of shape (n,), with mean zero.
        groups: whole numbers of shape (n,), or None.
    """
    sizes, sums = group_sums(influence, groups)
    alone = float((influence**2).sum())
    if len(sizes) == len(influence):
        return 1.0
    largest = float((sizes**2).sum() / sizes.sum())  # if all of a group are alike
    return min(largest, max(1.0, float((sums**2).sum()) / alone)) if alone else largest


def mean_interval(
    values: np.ndarray, groups: np.ndarray | None = None, seed: int = 0
) -> tuple[float, float]:
    """95% interval of the mean of skewed values by the bootstrap-t (Hall 1988; Hesterberg 2015).

    Each resample has a mean and an error of its own, and their ratio is what is resampled. So rare
    large values lengthen the upper side, which the percentile bootstrap and Student's t miss.

    Args:
        values: of shape (n,), n at least 2.
        groups: whole numbers of shape (n,): groups are resampled; None: samples are.
        seed: of the draws.
    """
    mean, error, ratios = _studentized(values, groups, seed)
    if not error or not len(ratios):
        return mean, mean
    low, high = np.quantile(ratios, [0.025, 0.975])
    return min(mean, mean - float(high) * error), max(mean, mean - float(low) * error)


def difference_interval(
    difference: np.ndarray,
    groups: np.ndarray | None = None,
    seed: int = 0,
    level: float = 0.05,
) -> tuple[float, float]:
    """95% interval of the mean of paired differences, symmetric about it.

    Its half-width is the greater one of Student's t and of the symmetric bootstrap-t (Hall 1988):
    each alone finds differences between equal classifiers in more than 5% of cases where few
    samples decide, together they do not.

    Args:
        difference: of shape (n,).
        groups: whole numbers of shape (n,): groups are resampled; None: samples are.
        seed: of the draws.
        level: share of such intervals that may miss the truth.
    """
    rounds = int(_ROUNDS * min(10.0, 0.05 / level))
    mean, error, ratios = _studentized(difference, groups, seed, rounds)
    if not error:
        return mean, mean
    count = len(difference) if groups is None else len(np.unique(groups))
    student = float(stdtrit(count - 1, 1 - level / 2))
    resampled = float(np.quantile(abs(ratios), 1 - level)) if len(ratios) else 0.0
    half = error * max(student, resampled)
    return mean - half, mean + half


def independent_samples(n: int, groups: np.ndarray | None) -> int:
    """How many of n samples are independent: the number of groups where there are any."""
    return n if groups is None else len(np.unique(groups))


def group_sums(values: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Size of each group, and the sum of its values; every sample is one if there are none."""
    if groups is None:
        return np.ones(len(values)), values
    place = np.unique(groups, return_inverse=True)[1]
    return np.bincount(place).astype(np.float64), np.bincount(place, values)


def standard_error(residuals: np.ndarray, n: int) -> float:
    """Standard error of a mean over n samples from the residuals of groups."""
    count = len(residuals)
    return math.sqrt(float((residuals**2).sum()) * count / max(1, count - 1)) / n


def _studentized(
    values: np.ndarray, groups: np.ndarray | None, seed: int, rounds: int = _ROUNDS
) -> tuple[float, float, np.ndarray]:
    """Mean, its standard error, and (resampled mean - mean) / error of each resample."""
    sizes, sums = group_sums(values.astype(np.float64), groups)
    count, n = len(sizes), len(values)
    mean = float(sums.sum() / n)
    residuals = sums - mean * sizes
    error = standard_error(residuals, n)
    if count < 2 or error <= 1e-12 * abs(mean):
        return mean, 0.0, np.zeros(0)
    rng, ratios = np.random.default_rng(seed), []
    rounds = int(np.clip(_DRAWS / count, 200, rounds))
    step = max(1, int(1e6 / count))  # bounds the memory of the draws
    moments = np.stack([residuals**2, residuals * sizes, sizes**2, residuals, sizes])
    for start in range(0, rounds, step):
        drawn = rng.integers(0, count, (min(step, rounds - start), count))
        if groups is None:
            r = residuals[drawn]
            total, square = r.sum(axis=1), (r * r).sum(axis=1)
            shift, spread = total / count, square - total**2 / count
            own = np.sqrt(np.maximum(spread, 0) * count / (count - 1)) / count
        else:
            rr, rs, ss, r, s = (part[drawn].sum(axis=1) for part in moments)
            shift = r / s
            spread = rr - 2 * shift * rs + shift**2 * ss
            own = np.sqrt(np.maximum(spread, 0) * count / (count - 1)) / s
        # resamples without any spread (all of the same sample) say nothing
        kept = own > 1e-9 * error
        ratios.append(shift[kept] / own[kept])
    return mean, error, np.concatenate(ratios)
