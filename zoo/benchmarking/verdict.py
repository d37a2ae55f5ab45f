"""Is one row of the table better than another, on the same images and over all seeds?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ensembles import PredictionTable, align
from ensembles.comparison import LEVEL, compare, in_words, is_clear, paired_interval
from ensembles.probabilities import true_class

_ROUNDS = 10_000


@dataclass(frozen=True)
class Verdict:
    """One row against another, paired by image.

    Attributes:
        n: number of images.
        seeds: number of runs of each that are compared.
        accuracy: the first one's less the second one's, mean over seeds.
        p_value: that both are right equally often: McNemar's exact test of one seed; of several,
            a test by flipping the signs of the images' mean differences.
        log_loss: the first one's less the second one's, mean over seeds: negative is better.
        low, high: 95% interval of that difference, by a bootstrap over images.
        by_accuracy, by_log_loss: ``better``, ``worse`` or ``not distinguishable`` at the 5% level;
            of several seeds, never better or worse where seeds disagree which of the two is.
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

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def judge(first: Sequence[PredictionTable], second: Sequence[PredictionTable]) -> Verdict:
    """Compare two rows.

    Args:
        first, second: predictions of the same images, one of each for a seed.

    Raises:
        EnsembleError: the tables are not of the same samples.
    """
    if len(first) == 1:
        found = compare(first[0], second[0])
        return Verdict(
            found.n,
            1,
            found.accuracy,
            found.p_value,
            found.log_loss,
            found.low,
            found.high,
            found.by_accuracy,
            found.by_log_loss,
        )
    pairs = [align([a, b]) for a, b in zip(first, second, strict=True)]
    right = np.stack([_right(a) - _right(b) for a, b in pairs])
    loss = np.stack([_loss(a) - _loss(b) for a, b in pairs])
    p_value = sign_flip(right.mean(axis=0))
    low, high = paired_interval(loss.mean(axis=0), 0)
    return Verdict(
        n=right.shape[1],
        seeds=len(pairs),
        accuracy=float(right.mean()),
        p_value=p_value,
        log_loss=float(loss.mean()),
        low=low,
        high=high,
        by_accuracy=_said(right.mean(axis=1), p_value < LEVEL),
        by_log_loss=_said(-loss.mean(axis=1), is_clear(right.shape[1], low, high)),
    )


def _said(gains: np.ndarray, clear: bool) -> str:
    """In words, from the gain of each seed."""
    agree = (gains > 0).all() or (gains < 0).all()
    return in_words(float(gains[0]), bool(clear and agree))


def _right(table: PredictionTable) -> np.ndarray:
    return (table.probabilities.argmax(axis=1) == table.labels).astype(np.float64)


def _loss(table: PredictionTable) -> np.ndarray:
    return -np.log(true_class(table.probabilities, table.labels).astype(np.float64))


def sign_flip(difference: np.ndarray, *, less: bool = False, rounds: int = _ROUNDS) -> float:
    """P-value that differences are as often negative as positive (Fisher 1935).

    With one seed, where differences are -1, 0 and 1, this is McNemar's test.

    Args:
        difference: float of shape (n,), one per image.
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
