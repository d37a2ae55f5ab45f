"""Is one classifier better than another on the same samples, or can these samples not tell?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr

from ensembles._errors import EnsembleError
from ensembles.intervals import difference_interval, group_sums, independent_samples
from ensembles.probabilities import log_loss, true_class
from ensembles.table import PredictionTable, align

LEVEL = 0.05  # of the tests: the share of equal pairs that may be called different
FEWEST = 40  # independent samples for a verdict on log loss: of fewer, too often a false one
ROUNDING = 1e-9  # of a mean log loss: identical members, added up in another order
NOT_DISTINGUISHABLE, CANNOT_BE_TOLD = "not distinguishable", "cannot be told"


@dataclass(frozen=True)
class Comparison:
    """One classifier against another, paired by sample.

    It is about these two classifiers, not about the recipes that they were trained by: another
    seed may turn it round.

    Attributes:
        n: number of samples.
        accuracy: the first one's less the second one's.
        only_first, only_second: samples that only the one, or only the other, gets right.
        p_value: that both are right equally often, times ``tests``: McNemar's exact test, or, if
            samples are in groups, a test by flipping the signs of groups.
        log_loss: the first one's less the second one's: negative is better.
        low, high: 95% interval of that difference; see
            :func:`ensembles.intervals.difference_interval`.
        independent: number of samples, or of groups of them, that do not depend on each other.
        tests: how many such comparisons this is one of; it is corrected for them (Bonferroni).
    """

    n: int
    accuracy: float
    only_first: int
    only_second: int
    p_value: float
    log_loss: float
    low: float
    high: float
    independent: int
    tests: int = 1

    @property
    def by_accuracy(self) -> str:
        """``better``, ``worse`` or ``not distinguishable``, at the 5% level."""
        return in_words(self.accuracy, self.p_value < LEVEL)

    @property
    def by_log_loss(self) -> str:
        """As :attr:`by_accuracy`, or ``cannot be told`` of fewer than 40 independent samples."""
        return loss_in_words(self.log_loss, self.low, self.high, self.independent)

    def as_record(self) -> dict[str, Any]:
        """All of it, with the two verdicts, for JSON."""
        verdicts = {"by_accuracy": self.by_accuracy, "by_log_loss": self.by_log_loss}
        return {**asdict(self), **verdicts}


def compare(
    first: PredictionTable, second: PredictionTable, seed: int = 0, tests: int = 1
) -> Comparison:
    """Compare two classifiers on the samples of both.

    Accuracy by McNemar's test (1947), exact by the binomial distribution of the samples that only
    one of the two gets right; log loss by Student's t together with a symmetric bootstrap-t (Hall
    1988). If the tables know groups, these are what is tested, not samples.

    Args:
        first, second: of the same samples.
        seed: of the bootstrap.
        tests: correct for so many comparisons, for instance of the best of many with another.

    Raises:
        EnsembleError: the tables are not of the same samples, or empty.
    """
    first, second = align([first, second])
    labels, groups = first.labels, first.groups
    if not len(labels):
        raise EnsembleError("two classifiers cannot be compared on no samples")
    right = [t.probabilities.argmax(axis=1) == labels for t in (first, second)]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    a, b = (-np.log(true_class(t.probabilities, labels)) for t in (first, second))
    independent = independent_samples(len(labels), groups)
    if independent == len(labels):
        p_value = mcnemar(only_first, only_second)
    else:
        p_value = sign_flip(group_sums(right[0] - right[1].astype(np.float64), groups)[1])
    low, high = difference_interval(a - b, groups, seed, LEVEL / tests)
    return Comparison(
        n=len(labels),
        accuracy=float(right[0].mean() - right[1].mean()),
        only_first=only_first,
        only_second=only_second,
        p_value=min(1.0, p_value * tests),
        log_loss=log_loss(first.probabilities, labels) - log_loss(second.probabilities, labels),
        low=low,
        high=high,
        independent=independent,
        tests=tests,
    )


def in_words(gain: float, clear: bool) -> str:
    """``better`` or ``worse`` if a gain is clear, ``not distinguishable`` if it is not."""
    if not clear:
        return NOT_DISTINGUISHABLE
    return "better" if gain > 0 else "worse"


def loss_in_words(difference: float, low: float, high: float, independent: int) -> str:
    """The verdict on a difference of log losses with this 95% interval; lower is better.

    Args:
        difference: of the mean losses.
        low, high: its interval.
        independent: number of samples, or of groups of them, that do not depend on each other.
    """
    if independent < FEWEST:
        return CANNOT_BE_TOLD
    return in_words(-difference, not low <= 0 <= high)


def is_distinguishable(difference: np.ndarray, groups: np.ndarray | None = None) -> bool:
    """Whether the paired test of log losses tells two classifiers apart, at the 5% level.

    Never if they differ by rounding, nor by fewer than 40 independent samples.

    Args:
        difference: of the samples' losses, of shape (n,).
        groups: of shape (n,), numbers or names, equal for samples that depend on each other.
    """
    n = len(difference)
    if independent_samples(n, groups) < FEWEST or abs(difference.mean()) <= ROUNDING:
        return False
    low, high = difference_interval(difference, groups)
    return not low <= 0 <= high


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of the hypothesis that both are equally accurate (McNemar)."""
    total = only_first + only_second
    if not total:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), total, 0.5)))


def sign_flip(difference: np.ndarray, *, less: bool = False, rounds: int = 10_000) -> float:
    """P-value that differences are as often negative as positive (Fisher 1935).

    With differences of -1, 0 and 1 this is McNemar's test.

    Args:
        difference: float of shape (n,), one per sample or group.
        less: test against a mean below zero only, instead of two-sided.
        rounds: draws of signs; the least p-value is 1 / (rounds + 1).
    """
    d = difference[difference != 0]
    if not len(d):
        return 1.0
    rng, seen = np.random.default_rng(0), 0
    step = max(1, int(4e6 / len(d)))  # bounds the memory of the draws
    total = d.sum()
    for start in range(0, rounds, step):
        signs = rng.integers(0, 2, (min(step, rounds - start), len(d)), np.int8) * 2 - 1
        sums = signs @ d
        # differences of seeds' means are no round numbers
        extreme = sums <= total + 1e-9 if less else abs(sums) >= abs(total) - 1e-9
        seen += int(extreme.sum())
    return (seen + 1) / (rounds + 1)
