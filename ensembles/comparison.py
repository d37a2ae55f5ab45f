"""Is one classifier better than another on the same samples, or can these samples not tell?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr

from ensembles._errors import EnsembleError
from ensembles.probabilities import log_loss, true_class
from ensembles.table import PredictionTable, align

_ROUNDS = 2000
LEVEL = 0.05
_FEWEST = 20


@dataclass(frozen=True)
class Comparison:
    """One classifier against another, paired by sample.

    Attributes:
        n: number of samples.
        accuracy: the first one's less the second one's.
        only_first, only_second: samples that only the one, or only the other, gets right.
        p_value: of McNemar's exact test that both are right equally often.
        log_loss: the first one's less the second one's: negative is better.
        low, high: 95% interval of that difference, by a bootstrap over samples.
    """

    n: int
    accuracy: float
    only_first: int
    only_second: int
    p_value: float
    log_loss: float
    low: float
    high: float

    @property
    def by_accuracy(self) -> str:
        """``better``, ``worse`` or ``not distinguishable``, at the 5% level."""
        return in_words(self.accuracy, self.p_value < LEVEL)

    @property
    def by_log_loss(self) -> str:
        """``better``, ``worse`` or ``not distinguishable``; see :func:`is_clear`."""
        return in_words(-self.log_loss, is_clear(self.n, self.low, self.high))

    def as_record(self) -> dict[str, Any]:
        """All of it, with the two verdicts, for JSON."""
        verdicts = {"by_accuracy": self.by_accuracy, "by_log_loss": self.by_log_loss}
        return {**asdict(self), **verdicts}


def compare(first: PredictionTable, second: PredictionTable, seed: int = 0) -> Comparison:
    """Compare two classifiers on the samples of both.

    Accuracy by McNemar's test (1947), exact by the binomial distribution of the samples that only
    one of the two gets right; log loss by the paired percentile bootstrap (Efron 1979).

    Raises:
        EnsembleError: the tables are not of the same samples, or empty.
    """
    first, second = align([first, second])
    labels = first.labels
    if not len(labels):
        raise EnsembleError("two classifiers cannot be compared on no samples")
    right = [t.probabilities.argmax(axis=1) == labels for t in (first, second)]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    a, b = (-np.log(true_class(t.probabilities, labels)) for t in (first, second))
    low, high = paired_interval(a - b, seed)
    return Comparison(
        n=len(labels),
        accuracy=float(right[0].mean() - right[1].mean()),
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
        log_loss=log_loss(first.probabilities, labels) - log_loss(second.probabilities, labels),
        low=low,
        high=high,
    )


def in_words(gain: float, clear: bool) -> str:
    """``better`` or ``worse`` if a gain is clear, else ``not distinguishable``."""
    if not clear:
        return "not distinguishable"
    return "better" if gain > 0 else "worse"


def is_clear(n: int, low: float, high: float) -> bool:
    """Whether the 95% interval of a difference, by a bootstrap over n samples, leaves zero out.

    Never on fewer than 20: a bootstrap of so few is too sure of itself.
    """
    return n >= _FEWEST and not low <= 0 <= high


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of the hypothesis that both are equally accurate (McNemar)."""
    total = only_first + only_second
    if not total:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), total, 0.5)))


def paired_interval(difference: np.ndarray, seed: int) -> tuple[float, float]:
    """95% interval of the mean of differences, one per sample, by the percentile bootstrap.

    Args:
        difference: float of shape (n,).
        seed: of the draws.
    """
    rng, n = np.random.default_rng(seed), len(difference)
    step = max(1, int(5e5 / n))  # bounds the memory of the draws
    means = [
        difference[rng.integers(0, n, (min(step, _ROUNDS - start), n))].mean(axis=1)
        for start in range(0, _ROUNDS, step)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)
