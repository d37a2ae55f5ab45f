"""A whole ensemble: temperatures, a combiner, a last temperature; and how it is written down."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from ensembles._base import Combiner
from ensembles._errors import EnsembleError
from ensembles.calibration import scaled, temperature_of
from ensembles.selection import BestMember, GreedySelection
from ensembles.stacking import Stacking
from ensembles.voting import GeometricVoting, HardVoting, SoftVoting, WeightedVoting

METHODS: dict[str, type[Combiner]] = {
    "soft": SoftVoting,
    "geometric": GeometricVoting,
    "vote": HardVoting,
    "weighted": WeightedVoting,
    "greedy": GreedySelection,
    "stack": Stacking,
    "best": BestMember,
}


class Ensemble(Combiner):
    """Members at their best temperatures, combined, at the best temperature again.

    The mean of calibrated members is too cautious wherever they disagree, hence the second scaling
    (Rahaman and Thiery 2021, arXiv 2007.08792).

    Args:
        combiner: an unfitted combiner; :class:`SoftVoting` where None.
        calibrate: whether temperatures are fitted; 1 otherwise.

    Attributes:
        temperatures_: float64 of shape (m,), of the members.
        combiner_: the fitted combiner.
        temperature_: of the combination; 1 for stacking, which minimizes log loss itself.
    """

    def __init__(self, combiner: Combiner | None = None, calibrate: bool = True) -> None:
        self.combiner = combiner
        self.calibrate = calibrate

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> None:
        temperatures = member_temperatures(probabilities, labels, self.calibrate)
        self.fit_scaled(rescaled(probabilities, temperatures), temperatures, labels, ids)

    def fit_scaled(
        self,
        probabilities: np.ndarray,
        temperatures: np.ndarray,
        labels: np.ndarray,
        ids: np.ndarray,
    ) -> Ensemble:
        """Fit on members that are at their ``temperatures`` already."""
        self.n_members_, _, self.n_classes_ = probabilities.shape
        self.temperatures_ = temperatures
        combiner = SoftVoting() if self.combiner is None else clone(self.combiner)
        self.combiner_ = combiner.fit_arrays(probabilities, labels, ids)
        self.temperature_ = 1.0
        if self.calibrate and not isinstance(combiner, Stacking):
            self.temperature_ = temperature_of(self.combiner_.combine(probabilities), labels)
        return self

    def combine_scaled(self, probabilities: np.ndarray) -> np.ndarray:
        """Combine members that are at their temperatures already."""
        return scaled(self.combiner_.combine(probabilities), self.temperature_)

    def _combine(self, probabilities: np.ndarray) -> np.ndarray:
        return self.combine_scaled(rescaled(probabilities, self.temperatures_))

    def used(self) -> list[int]:
        """Numbers of the members that have a say."""
        return self.combiner_.used()

    def restricted(self, members: Sequence[int]) -> Ensemble:
        """The same with some members only; the others must have no say."""
        part = copy.copy(self)
        part.n_members_ = len(members)
        part.temperatures_ = self.temperatures_[list(members)]
        part.combiner_ = self.combiner_.restricted(members)
        return part

    def as_record(self) -> dict[str, Any]:
        """What it learned, as plain values for JSON; :meth:`of_record` reads it."""
        method = next(n for n, kind in METHODS.items() if type(self.combiner_) is kind)
        learned = {k: v for k, v in vars(self.combiner_).items() if k.endswith("_")}
        return {
            "method": method,
            "temperatures": self.temperatures_.tolist(),
            "temperature": float(self.temperature_),
            "learned": {
                k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v
                for k, v in learned.items()
            },
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Ensemble:
        """The fitted ensemble of a record.

        Raises:
            EnsembleError: it is damaged.
        """
        try:
            combiner = METHODS[record["method"]]()
            learned = {k: np.asarray(v) for k, v in record["learned"].items()}
            ensemble = cls(combiner)
            ensemble.temperatures_ = np.asarray(record["temperatures"], np.float64)
            ensemble.temperature_ = float(record["temperature"])
            ensemble.n_members_ = len(ensemble.temperatures_)
            ensemble.n_classes_ = int(learned["n_classes_"])
            for name, value in learned.items():
                setattr(combiner, name, value if value.ndim else value.item())
            ensemble.combiner_ = combiner
            # what does not fit shows itself here rather than at the first prediction
            shape = (ensemble.n_members_, 1, ensemble.n_classes_)
            even = ensemble.combine(np.full(shape, 1 / ensemble.n_classes_))
            if not np.isfinite(even).all():
                raise ValueError("it gives no finite probabilities")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise EnsembleError(f"the record of an ensemble is damaged: {error!r}") from error
        return ensemble


def member_temperatures(
    probabilities: np.ndarray, labels: np.ndarray, calibrate: bool
) -> np.ndarray:
    """The best temperature of each member, or 1: float64 of shape (m,)."""
    if not calibrate:
        return np.ones(len(probabilities))
    return np.array([temperature_of(p, labels) for p in probabilities])


def rescaled(probabilities: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """Members at temperatures of their own: of shape (m, n, k)."""
    if (temperatures == 1.0).all():
        return probabilities
    result = np.empty_like(probabilities)
    for i, (p, temperature) in enumerate(zip(probabilities, temperatures, strict=True)):
        result[i] = scaled(p, float(temperature))
    return result
