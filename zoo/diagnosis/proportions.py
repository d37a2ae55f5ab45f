"""Intervals of shares of images."""

from __future__ import annotations

import math

import numpy as np

from zoo.evaluate.metrics import wilson


def difference_interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Difference of two independent shares with its 95% interval (Newcombe 1998, method 10).

    Args:
        first, second: bool arrays of shapes (n,) and (m,), neither empty.
    """
    (a, b), (n, m) = (float(first.mean()), float(second.mean())), (len(first), len(second))
    (la, ua), (lb, ub) = wilson(float(first.sum()), n), wilson(float(second.sum()), m)
    return a - b, a - b - math.hypot(a - la, ub - b), a - b + math.hypot(ua - a, b - lb)
