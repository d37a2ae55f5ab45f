"""A whole ensemble: temperatures, a combiner, a last temperature; and how it is written down."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from ensembles._base import Combiner
from ensembles._errors import EnsembleError
from ensembles.calibration import enough, scaled, temperature_of
from ensembles.selection import BestMember, GreedySelection
from ensembles.stacking import Stacking
from ensembles.voting import GeometricVoting, HardVoting, SoftVoting, WeightedVoting

_MOST_CLASSES = 1_000_000  # more in a record is damage

METHODS: dict[str, type[Combiner]] = {
    "soft": SoftVoting,
    "geometric": GeometricVoting,
    "vote": HardVoting,
    "weighted": WeightedVoting,
    "greedy": GreedySelection,
    "stack": Stacking,
    "best": BestMember,
}


def method_of(combiner: Combiner) -> str:
    """Its name in ``METHODS``.

    Raises:
        EnsembleError: it is none of them.
    """
    for name, kind in METHODS.items():
        if type(combiner) is kind:
            return name
    raise EnsembleError(f"{type(combiner).__name__} is none of {', '.join(METHODS)}")


class Ensemble(Combiner):
    """Members at temperatures of their own, combined, at a last temperature.

    The mean of calibrated members is too cautious wherever they disagree, hence the second scaling
    (Rahaman and Thiery 2021, arXiv 2007.08792).

    Args:
        combiner: an unfitted combiner; :class:`SoftVoting` if None.
        calibrate: whether temperatures are fitted; 1 otherwise.

    Attributes:
        temperatures_: float64 of shape (m,), of the members.
        combiner_: the fitted combiner.
        temperature_: of the combination; 1 for stacking, which minimizes log loss itself.
    """

    def __init__(self, combiner: Combiner | None = None, calibrate: bool = True) -> None:
        self.combiner = combiner
        self.calibrate = calibrate

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray) -> None:
        temperatures = member_temperatures(probabilities, labels, units, self.calibrate)
        self.fit_scaled(rescaled(probabilities, temperatures), temperatures, labels, units)

    def fit_scaled(
        self,
        probabilities: np.ndarray,
        temperatures: np.ndarray,
        labels: np.ndarray,
        units: np.ndarray,
    ) -> Ensemble:
        """Fit on members that are at their ``temperatures`` already."""
        if not isinstance(self.combiner, Combiner | None):
            raise EnsembleError(
                f"an ensemble takes a combiner such as SoftVoting(), not {self.combiner!r:.60}"
            )
        combiner = SoftVoting() if self.combiner is None else clone(self.combiner)
        self.combiner_ = combiner.fit_arrays(probabilities, labels, units)
        self.n_members_, _, self.n_classes_ = probabilities.shape
        self.classes_ = np.arange(self.n_classes_)
        self.temperatures_, self.temperature_ = temperatures, 1.0
        if self.calibrate and not isinstance(combiner, Stacking):
            self.temperature_ = temperature_of(self.combiner_.combine(probabilities), labels, units)
        return self

    def combine_scaled(self, probabilities: np.ndarray) -> np.ndarray:
        """Combine members that are at their temperatures already."""
        return scaled(self.combiner_.combine(probabilities), self.temperature_)

    def _combine(self, probabilities: np.ndarray) -> np.ndarray:
        return self.combine_scaled(rescaled(probabilities, self.temperatures_))

    def used(self) -> list[int]:
        """Numbers of the members that have a say."""
        self.check_fitted()
        return self.combiner_.used()

    def restricted(self, members: Sequence[int]) -> Ensemble:
        """The same with some members only; the others must have zero weight."""
        self.check_fitted()
        part = copy.copy(self)
        part.n_members_ = len(members)
        part.temperatures_ = self.temperatures_[list(members)]
        part.combiner_ = self.combiner_.restricted(members)
        return part

    def as_record(self) -> dict[str, Any]:
        """What it learned, as plain values for JSON; :meth:`of_record` reads it.

        Raises:
            EnsembleError: not fitted, or with a combiner that is not in ``METHODS``.
        """
        self.check_fitted()
        names = self.combiner_.LEARNED
        return {
            "method": method_of(self.combiner_),
            "classes": self.n_classes_,
            "temperatures": self.temperatures_.tolist(),
            "temperature": float(self.temperature_),
            "learned": {name: np.asarray(getattr(self.combiner_, name)).tolist() for name in names},
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Ensemble:
        """The fitted ensemble of a record.

        Raises:
            EnsembleError: it is damaged.
        """
        try:
            combiner = METHODS[record["method"]]()
            k, m = record["classes"], len(record["temperatures"])
            if type(k) is not int or not 0 < k <= _MOST_CLASSES:
                raise ValueError(f"{k!r} classes")
            ensemble = cls(combiner)
            temperatures = _numbers(record["temperatures"], (m,))
            ensemble.temperatures_ = temperatures
            ensemble.temperature_ = float(_numbers(record["temperature"], ()))
            if not (temperatures > 0).all() or not ensemble.temperature_ > 0:
                raise ValueError("a temperature is not above 0")
            sizes = {"m": m, "k": k, "M": m * k}
            for name, letters in combiner.LEARNED.items():
                shape = tuple(sizes[letter] for letter in letters)
                setattr(combiner, name, _learned(name, record["learned"][name], shape))
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise EnsembleError(f"the record of an ensemble is damaged: {error!r}") from error
        for part in (combiner, ensemble):
            part.n_members_, part.n_classes_, part.classes_ = m, k, np.arange(k)
        ensemble.combiner_ = combiner
        return ensemble


def _numbers(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"not finite numbers of shape {shape}")
    return array


def _learned(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a learned attribute, checked for what its name says."""
    if name == "present_":
        present = np.asarray(values)
        if present.dtype != bool or present.shape != shape or not present.any():
            raise ValueError(f"{name} holds no truth values of shape {shape}, or none is true")
        return present
    array = _numbers(values, shape)
    if name == "weights_" and ((array < 0).any() or abs(array.sum() - 1) > 1e-6):
        raise ValueError("weights that are negative or do not sum to 1")
    return array


def member_temperatures(
    probabilities: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray,
    calibrate: bool,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """The temperature of each member by some rows, or 1: float64 of shape (m,)."""
    if not calibrate:
        return np.ones(len(probabilities))
    rows = np.arange(len(labels)) if rows is None else rows
    rows = rows[enough(len(rows))]  # before anything is copied
    return np.array([temperature_of(p[rows], labels[rows], units[rows]) for p in probabilities])


def rescaled(probabilities: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """Members at temperatures of their own: of shape (m, n, k)."""
    if (temperatures == 1.0).all():
        return probabilities
    result = np.empty_like(probabilities)
    for i, (p, temperature) in enumerate(zip(probabilities, temperatures, strict=True)):
        result[i] = scaled(p, float(temperature))
    return result
