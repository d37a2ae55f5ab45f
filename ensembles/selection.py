"""Choosing members: the best one, greedy selection, and the smallest set that is good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ensembles._base import labelled
from ensembles._errors import EnsembleError
from ensembles._folds import sample_keys
from ensembles.calibration import enough, scaled, temperature_of
from ensembles.probabilities import log_loss, normalized, true_class
from ensembles.voting import LinearPool

_EXHAUSTIVE = 8  # members up to which all subsets are tried: 255 of them


class BestMember(LinearPool):
    """The member of lowest log loss, alone: what every combination has to beat.

    Attributes:
        weights_: float64 of shape (m,): one for that member.
    """

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray) -> None:
        losses = member_losses(true_class(probabilities, labels))
        self.weights_ = np.eye(self.n_members_)[int(losses.argmin())]


class GreedySelection(LinearPool):
    """Ensemble selection with replacement (Caruana et al. 2004, ICML), bagged.

    Starting from the best member, the one is added, again and again, that lowers the log loss of
    the mean most; how often a member was taken is its weight. This is repeated with random weights
    of the samples (the Bayesian bootstrap, Rubin 1981) and averaged, which protects from fitting
    the noise of few samples. The paper's bags are of members; bags of samples were measured to
    help, and those of members to hurt, where members are few rather than thousands.

    Args:
        rounds: members to take, at most.
        bags: number of repetitions; 0 takes a single selection on equal weights.
        seed: of the samples' weights, which follow the samples' ids; a group has one weight.

    Attributes:
        weights_: float64 of shape (m,), not negative, sums to one.
    """

    def __init__(self, rounds: int = 25, bags: int = 10, seed: int = 0) -> None:
        self.rounds = rounds
        self.bags = bags
        self.seed = seed

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray) -> None:
        if self.rounds < 1 or self.bags < 0:
            raise EnsembleError(
                f"greedy selection needs at least 1 round and 0 bags, not {self.rounds} and "
                f"{self.bags}"
            )
        chosen = true_class(probabilities, labels)
        n = len(labels)
        self.weights_ = self._select(chosen, np.full(n, 1 / n))
        if not self.bags:
            return
        names, unit = np.unique(units, return_inverse=True)
        draws = np.empty((self.bags, len(names)))
        # in the order of the units' keys: a sample keeps its weights whatever the order
        order = np.argsort(sample_keys(names, self.seed), kind="stable")
        draws[:, order] = np.random.default_rng(self.seed).exponential(size=draws.shape)
        bags = [self._select(chosen, normalized(draw[unit])) for draw in draws]
        bagged = np.mean(bags, axis=0)
        if -np.log(bagged @ chosen).mean() <= member_losses(chosen).min():
            self.weights_ = bagged

    def _select(self, chosen: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Shares of the members (m,) by true-class probabilities (m, n) and sample weights (n,)."""
        counts, total = np.zeros(len(chosen)), np.zeros(chosen.shape[1])
        best, kept = np.inf, counts
        for size in range(1, self.rounds + 1):
            losses = -np.log((total + chosen) / size) @ weight
            picked = int(losses.argmin())
            counts[picked] += 1
            total = total + chosen[picked]
            if losses[picked] < best:
                best, kept = float(losses[picked]), counts.copy()
            elif size > counts.astype(bool).sum() + 5:
                break  # it goes round among the same members
        return normalized(kept)


def member_losses(chosen: np.ndarray) -> np.ndarray:
    """Log loss of each member, of shape (m,), from its true-class probabilities (m, n)."""
    return np.asarray(-np.log(chosen).mean(axis=1))


@dataclass(frozen=True)
class Subset:
    """Some members and what they reach together.

    Attributes:
        members: their numbers, sorted.
        loss: log loss of the mean of their probabilities, at its best temperature.
        cost: sum of their costs.
    """

    members: tuple[int, ...]
    loss: float
    cost: float


def frugal(
    probabilities: np.ndarray,
    labels: np.ndarray,
    costs: Sequence[float] | None = None,
    *,
    within: float | None = None,
    budget: float | None = None,
    calibrate: bool = True,
) -> Subset:
    """The members worth keeping: the fewest that are nearly the best, or the best that is cheap.

    Sets are judged by the log loss of the mean of their probabilities: there is next to nothing to
    learn in it, so that trying many sets does not reward what fits noise. Up to 8 members all sets
    are tried; above, the member that matters least is dropped again and again. Of more than 5,000
    samples that many, drawn at random, are looked at.

    Args:
        probabilities: of shape (m, n, k), of samples that no member was fitted on.
        labels: int64 of shape (n,).
        costs: of each member, for instance milliseconds per image; 1 each if None.
        within: take the smallest set whose loss is at most this above the lowest, in nats.
        budget: look only at sets of at most this cost.
        calibrate: judge the mean at its best temperature; that of many members is too cautious.

    Raises:
        EnsembleError: nothing fits the budget, or a limit is negative.
    """
    probabilities, labels, _ = labelled(probabilities, labels)
    members = len(probabilities)
    price = np.ones(members) if costs is None else np.asarray(costs, np.float64)
    if price.shape != (members,) or not np.isfinite(price).all() or (price < 0).any():
        raise EnsembleError(f"{members} members need {members} costs, finite and not negative")
    for name, limit in (("within", within), ("budget", budget)):
        if limit is not None and not limit >= 0:
            raise EnsembleError(f"{name} must not be negative, but is {limit:g}")
    rows = enough(len(labels))
    affordable = _judged(probabilities[:, rows], labels[rows], price, budget, calibrate)
    if not affordable:
        raise EnsembleError(
            f"no member fits a budget of {budget:g}: the cheapest alone costs {price.min():.3g}"
        )
    lowest = min(s.loss for s in affordable)
    if within is None:
        return min(affordable, key=lambda s: (s.loss, s.cost, s.members))
    sufficient = [s for s in affordable if s.loss <= lowest + within]
    return min(sufficient, key=lambda s: (len(s.members), s.loss, s.members))


def _judged(
    probabilities: np.ndarray,
    labels: np.ndarray,
    price: np.ndarray,
    budget: float | None,
    calibrate: bool,
) -> list[Subset]:
    """The sets of members within the budget, with their losses."""
    if len(probabilities) <= _EXHAUSTIVE:
        sets = _all_sets(len(probabilities))
    else:
        sets = _nested_sets(true_class(probabilities, labels), price, budget)
    found = []
    for numbers in sets:
        cost = float(price[list(numbers)].sum())
        if budget is None or cost <= budget:
            mean = probabilities[list(numbers)].mean(axis=0)
            at_best = scaled(mean, temperature_of(mean, labels)) if calibrate else mean
            found.append(Subset(numbers, log_loss(at_best, labels), cost))
    return found


def _all_sets(members: int) -> list[tuple[int, ...]]:
    sizes = range(1, members + 1)
    return [chosen for size in sizes for chosen in combinations(range(members), size)]


def _nested_sets(
    chosen: np.ndarray, price: np.ndarray, budget: float | None
) -> list[tuple[int, ...]]:
    """From all members down to one, dropping the one that matters least, and each one alone.

    Under a budget, what matters is the rise of the loss for the cost saved.
    """
    left = list(range(len(chosen)))
    sets = [tuple(left), *[(i,) for i in left]]
    while len(left) > 2:
        total = chosen[left].sum(axis=0)
        without = member_losses((total - chosen[left]) / (len(left) - 1))
        harm = without + np.log(total / len(left)).mean()
        if budget is not None and (harm > 0).all():  # what only harms goes first, at any price
            harm /= np.maximum(price[left], 1e-9)
        left.pop(int(harm.argmin()))
        sets.append(tuple(left))
    return sets
