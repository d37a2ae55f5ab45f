"""Fixed and weighted averages of the members' probabilities, and the majority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ensembles._base import Combiner
from ensembles._errors import EnsembleError
from ensembles.probabilities import log_probabilities, normalized, softmax, true_class


class LinearPool(Combiner):
    """Base of methods that find weights and take the weighted mean of probabilities.

    Attributes:
        weights_: float64 of shape (m,), not negative, sums to one.
    """

    LEARNED: ClassVar = {"weights_": "m"}

    def _combine(self, probabilities: np.ndarray) -> np.ndarray:
        return normalized(weighted_sum(self.weights_, probabilities))


class _FixedWeights(LinearPool):
    """Members with weights that are given."""

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        self.weights = weights

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray) -> None:
        self.weights_ = checked_weights(self.weights, self.n_members_)


class SoftVoting(_FixedWeights):
    """The mean of the members' probabilities, also called the linear opinion pool.

    Args:
        weights: one per member, not negative, not all zero; equal if None.

    Attributes:
        weights_: float64 of shape (m,), sums to one.
    """


class GeometricVoting(_FixedWeights):
    """The normalized geometric mean: softmax of the mean of log-probabilities (log opinion pool).

    A member that is sure that a class is wrong has more say than in the arithmetic mean.

    Args:
        weights: one per member, not negative, not all zero; equal if None.

    Attributes:
        weights_: float64 of shape (m,), sums to one.
    """

    def _combine(self, probabilities: np.ndarray) -> np.ndarray:
        total = np.zeros(probabilities.shape[1:])
        for weight, p in zip(self.weights_, probabilities, strict=True):
            if weight:
                total += float(weight) * log_probabilities(p)
        return softmax(total)


class HardVoting(Combiner):
    """The majority of the members' first choices.

    Its probabilities are shares of votes, the mean probability counting as one more, fractional
    vote. That breaks ties, never overturns a majority, and leaves some probability to every class
    that a member gives any.
    """

    def _combine(self, probabilities: np.ndarray) -> np.ndarray:
        members, n, _ = probabilities.shape
        total = weighted_sum(np.full(members, 1 / members), probabilities)
        for p in probabilities:
            total[np.arange(n), p.argmax(axis=1)] += 1
        return normalized(total)


class WeightedVoting(LinearPool):
    """The weighted mean of probabilities with the weights of lowest log loss.

    The weights are those of a mixture whose components are fixed, so that each step of expectation
    maximization lowers the loss and keeps the weights on the simplex. The problem is convex; the
    search ends when no weights can be better by more than ``tolerance``. It is slow where members
    are nearly copies; there ``max_iterations`` may end it earlier, within 0.001 of the lowest loss.

    Args:
        tolerance: distance to the lowest log loss, in nats.
        max_iterations: upper bound of steps.

    Attributes:
        weights_: float64 of shape (m,), not negative, sums to one; what is below 0.001 is zero.
    """

    def __init__(self, tolerance: float = 1e-5, max_iterations: int = 2000) -> None:
        self.tolerance = tolerance
        self.max_iterations = max_iterations

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray) -> None:
        chosen = true_class(probabilities, labels).T  # (n, m)
        weights = np.full(self.n_members_, 1 / self.n_members_)
        for _ in range(self.max_iterations):
            gain = (1 / (chosen @ weights)) @ chosen / len(chosen)
            # log loss is convex: no weights are better by more than the largest gain less one
            if gain.max() - 1 <= self.tolerance:
                break
            weights = normalized(weights * gain)
        self.weights_ = _pruned(weights, chosen)


def _pruned(weights: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Without members of next to no weight, where that costs no more than rounding."""
    kept = np.where(weights < 1e-3, 0.0, weights)
    if not kept.any():
        return weights
    kept = normalized(kept)
    equal = np.full(len(weights), 1 / len(weights))
    before, after, start = (-np.log(chosen @ w).mean() for w in (weights, kept, equal))
    return kept if after <= min(before + 1e-4, start) else weights


def weighted_sum(weights: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Sum over members, float64 of shape (n, k), without a copy of all of them."""
    total = np.zeros(probabilities.shape[1:])
    for weight, p in zip(weights, probabilities, strict=True):
        if weight:
            total += float(weight) * p  # of the precision of p: half the memory to move
    return total


def checked_weights(weights: Sequence[float] | None, members: int) -> np.ndarray:
    """Weights that sum to one.

    Raises:
        EnsembleError: a wrong number of them, negative, not finite, or all zero.
    """
    if weights is None:
        return np.full(members, 1 / members)
    try:
        values = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise EnsembleError(f"weights must be numbers, not {weights!r:.60}") from None
    if values.shape != (members,):
        raise EnsembleError(f"{members} members need {members} weights, not {values.size}")
    if not np.isfinite(values).all() or (values < 0).any():
        shown = ", ".join(f"{w:g}" for w in values.tolist())
        raise EnsembleError(f"weights must be finite and not negative, not {shown}")
    if not values.any():
        raise EnsembleError("weights are all zero: give at least one member a weight above zero")
    return normalized(values / values.max())
