"""The paired test of two classifiers by their losses on the same samples."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from ensembles._folds import unit_names

LEVEL = 0.05
FEWEST = 40  # below it Student's t calls equal classifiers different in up to 8.5% of cases
ROUNDING = 1e-9


def p_value(difference: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Two-sided p-value that the mean of paired differences is zero, by Student's t.

    Samples of one group count together: the variance is that of the groups' sums (the
    cluster-robust estimate, Liang and Zeger 1986). Below 40 independent units nothing can be told,
    and the p-value is 1.

    Args:
        difference: float of shape (n,), for instance of log losses.
        groups: of shape (n,), numbers or names, equal for samples that depend on each other; all
            are independent if None.
    """
    n = len(difference)
    mean = float(difference.mean()) if n else 0.0
    names = unit_names(np.arange(n), groups)
    _, unit = np.unique(names, return_inverse=True)
    sums = np.bincount(unit, difference - mean) if n else np.empty(0)
    units = len(sums)
    if units < FEWEST or abs(mean) <= ROUNDING:
        return 1.0
    error = float(np.sqrt(units / (units - 1) * (sums**2).sum())) / n
    return float(2 * stdtr(units - 1, -abs(mean) / error)) if error else 0.0


def is_distinguishable(difference: np.ndarray, groups: np.ndarray | None = None) -> bool:
    """Whether :func:`p_value` is below 5%."""
    return p_value(difference, groups) < LEVEL
