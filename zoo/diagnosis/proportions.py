"""Intervals of shares of images."""

from __future__ import annotations

import math

import numpy as np

from ensembles.intervals import proportion


def difference_interval(
    first: np.ndarray,
    second: np.ndarray,
    groups: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> tuple[float, float, float]:
    """Difference of two independent shares with its 95% interval (Newcombe 1998, method 10).

    Args:
        first, second: bool arrays of shapes (n,) and (m,), neither empty.
        groups: of both, whole numbers of the same shapes; None if images do not depend on another.
    """
    a, b = float(first.mean()), float(second.mean())
    (la, ua), (lb, ub) = proportion(first, groups[0]), proportion(second, groups[1])
    return a - b, a - b - math.hypot(a - la, ub - b), a - b + math.hypot(ua - a, b - lb)
