"""Choosing members: the best one, greedy selection, and the smallest set that is good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ensembles._base import Combiner
from ensembles._errors import EnsembleError
from ensembles.calibration import scaled, temperature_of
from ensembles.probabilities import log_loss, normalized, true_class
from ensembles.voting import weighted_sum

_EXHAUSTIVE = 8  # members up to which all subsets are tried: 255 of them


class BestMember(Combiner):
    """The member of lowest log loss, alone: what every combination has to beat.

    Attributes:
        weights_: float64 of shape (m,): one for that member.
    """

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> None:
        losses = member_losses(true_class(probabilities, labels))
        self.weights_ = np.eye(self.n_members_)[int(losses.argmin())]

    def _combine(self, probabilities: np.ndarray) -> np.ndarray:
        return normalized(weighted_sum(self.weights_, probabilities))


class GreedySelection(Combiner):
    """Ensemble selection with replacement and bagging (Caruana et al. 2004, ICML).

    Starting from the best member, the one is added, again and again, that lowers the log loss of
    the mean most; how often a member was taken is its weight. This is repeated for random halves
    of the members and the weights are averaged, which protects from fitting the noise of few
    samples; the bags are left out where the selection among all members has the lower loss.

    Args:
        rounds: members to take, at most.
        bags: number of random halves.
        seed: of the halves.

    Attributes:
        weights_: float64 of shape (m,), not negative, sums to one.
    """

    def __init__(self, rounds: int = 25, bags: int = 10, seed: int = 0) -> None:
        self.rounds = rounds
        self.bags = bags
        self.seed = seed

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> None:
        if self.rounds < 1 or self.bags < 0:
            raise EnsembleError(
                f"greedy selection needs at least 1 round and 0 bags, not {self.rounds} and "
                f"{self.bags}"
            )
        chosen = true_class(probabilities, labels)
        # the order of the members must not decide which of them meet in a bag
        ranked = np.argsort(member_losses(chosen), kind="stable")
        weights = np.zeros(self.n_members_)
        weights[ranked] = self._bagged(chosen[ranked])
        self.weights_ = weights

    def _bagged(self, chosen: np.ndarray) -> np.ndarray:
        """Weights for members sorted by their loss; ``chosen`` is of shape (m, n)."""
        members = len(chosen)
        alone = self._select(chosen)
        half = (members + 1) // 2
        if half == members or not self.bags:
            return alone
        rng, total = np.random.default_rng(self.seed), np.zeros(members)
        for _ in range(self.bags):
            bag = np.sort(rng.permutation(members)[:half])
            total[bag] += self._select(chosen[bag])
        bagged = normalized(total)
        return bagged if _loss(bagged @ chosen) <= _loss(alone @ chosen) else alone

    def _select(self, chosen: np.ndarray) -> np.ndarray:
        counts = np.zeros(len(chosen))
        total = np.zeros(chosen.shape[1])
        best, kept = np.inf, counts
        for size in range(1, self.rounds + 1):
            losses = member_losses((total + chosen) / size)
            picked = int(losses.argmin())
            counts[picked] += 1
            total = total + chosen[picked]
            if losses[picked] < best:
                best, kept = float(losses[picked]), counts.copy()
            elif size > counts.astype(bool).sum() + 5 and losses[picked] > best:
                break  # it goes round among the same members
        return normalized(kept)

    def _combine(self, probabilities: np.ndarray) -> np.ndarray:
        return normalized(weighted_sum(self.weights_, probabilities))


def member_losses(chosen: np.ndarray) -> np.ndarray:
    """Log loss of each member, of shape (m,), from its true-class probabilities (m, n)."""
    return np.asarray(-np.log(chosen).mean(axis=1))


def _loss(chosen: np.ndarray) -> float:
    return float(-np.log(chosen).mean())


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
    are tried; above, the member that matters least is dropped again and again.

    Args:
        probabilities: of shape (m, n, k), of samples that no member was fitted on.
        labels: int64 of shape (n,).
        costs: of each member, for instance milliseconds an image; 1 each where None.
        within: take the smallest set whose loss is at most this above the lowest, in nats.
        budget: look only at sets of at most this cost.
        calibrate: judge the mean at its best temperature; that of many members is too cautious.

    Raises:
        EnsembleError: nothing fits the budget, or a limit is negative.
    """
    members = len(probabilities)
    price = np.ones(members) if costs is None else np.asarray(costs, np.float64)
    for name, limit in (("within", within), ("budget", budget)):
        if limit is not None and not limit >= 0:
            raise EnsembleError(f"{name} must not be negative, but is {limit:g}")
    if members <= _EXHAUSTIVE:
        sets = _all_sets(members)
    else:
        sets = _nested_sets(true_class(probabilities, labels), price, budget)
    affordable = []
    for numbers in sets:
        cost = float(price[list(numbers)].sum())
        if budget is None or cost <= budget:
            mean = probabilities[list(numbers)].mean(axis=0)
            at_best = scaled(mean, temperature_of(mean, labels)) if calibrate else mean
            affordable.append(Subset(numbers, log_loss(at_best, labels), cost))
    if not affordable:
        raise EnsembleError(
            f"no member fits a budget of {budget:g}: the cheapest alone costs {price.min():.3g}"
        )
    lowest = min(s.loss for s in affordable)
    if within is None:
        return min(affordable, key=lambda s: (s.loss, s.cost, s.members))
    enough = [s for s in affordable if s.loss <= lowest + within]
    return min(enough, key=lambda s: (len(s.members), s.loss, s.members))


def _all_sets(members: int) -> list[tuple[int, ...]]:
    sizes = range(1, members + 1)
    return [chosen for size in sizes for chosen in combinations(range(members), size)]


def _nested_sets(
    chosen: np.ndarray, price: np.ndarray, budget: float | None
) -> list[tuple[int, ...]]:
    """From all members down to one, dropping the one that matters least, and each one alone.

    Under a budget, what matters is the loss for the cost saved.
    """
    left = list(range(len(chosen)))
    sets = [tuple(left), *[(i,) for i in left]]
    while len(left) > 2:
        total = chosen[left].sum(axis=0)
        without = member_losses((total - chosen[left]) / (len(left) - 1))
        harm = without - without.min()
        score = harm if budget is None else (harm + 1e-9) / np.maximum(price[left], 1e-9)
        left.pop(int(score.argmin()))
        sets.append(tuple(left))
    return sets
