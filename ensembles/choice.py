"""Which method to take: judged by cross-validation, on samples that no member was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ensembles._base import Combiner, Predictions, labelled
from ensembles._errors import EnsembleError
from ensembles._folds import fold_numbers
from ensembles.comparison import ROUNDING, is_distinguishable
from ensembles.pipeline import Ensemble, member_temperatures, rescaled
from ensembles.probabilities import brier, calibration_error, true_class
from ensembles.selection import BestMember, GreedySelection
from ensembles.stacking import GRID, Stacking
from ensembles.voting import GeometricVoting, SoftVoting, WeightedVoting

# members x samples x classes^2, in billions: above it stacking takes minutes
_STACKABLE = 0.1
SIMPLEST_FIRST = ("soft", "geometric", "weighted", "greedy", "stack")


@dataclass(frozen=True)
class CrossValidation:
    """Predictions for every sample by ensembles that were fitted without its fold.

    Attributes:
        probabilities: name to float64 of shape (n, k).
        losses: name to the samples' log losses, of shape (n,).
        raw, calibrated: of each member ``{"log_loss", "brier", "calibration_error"}`` before and
            after its temperature was fitted on the other folds.
    """

    probabilities: dict[str, np.ndarray]
    losses: dict[str, np.ndarray]
    raw: list[dict[str, float]]
    calibrated: list[dict[str, float]]


def cross_validate(
    combiners: Mapping[str, Combiner],
    tables: Predictions,
    y: np.ndarray | None = None,
    *,
    groups: np.ndarray | None = None,
    calibrate: bool = True,
    folds: int = 5,
) -> CrossValidation:
    """Judge combiners, each within an :class:`Ensemble`, by stratified folds.

    Folds follow the samples' ids if tables are given, not their order, and keep groups together.
    A single fold is fitted on itself: right for combiners that learn nothing, optimistic for all
    others.

    Raises:
        EnsembleError: tables that do not fit each other, or fewer than 2 samples.
    """
    return _cross_validate(combiners, *labelled(tables, y, groups), calibrate, folds)


def _cross_validate(
    combiners: Mapping[str, Combiner],
    probabilities: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray,
    calibrate: bool,
    folds: int,
) -> CrossValidation:
    fold = _folds(labels, folds, units)
    n, k = probabilities.shape[1:]
    found = {name: np.empty((n, k)) for name in combiners}
    scores = [np.empty((4, n)) for _ in probabilities]
    for number in np.unique(fold):
        held = fold == number
        rest = ~held if folds > 1 else held
        temperatures = member_temperatures(
            probabilities, labels, units, calibrate, np.flatnonzero(rest)
        )
        # once for all methods: the members' temperatures do not depend on what follows
        at_best = rescaled(probabilities, temperatures)
        train, test = at_best[:, rest], at_best[:, held]
        for name, combiner in combiners.items():
            ensemble = Ensemble(combiner, calibrate)
            ensemble.fit_scaled(train, temperatures, labels[rest], units[rest])
            found[name][held] = ensemble.combine_scaled(test)
        for score, p in zip(scores, test, strict=True):
            score[:, held] = _row_scores(p, labels[held])
    losses = {name: -np.log(true_class(p, labels)) for name, p in found.items()}
    raw = [_summary(_row_scores(p, labels)) for p in probabilities]
    return CrossValidation(found, losses, raw, [_summary(score) for score in scores])


def _folds(labels: np.ndarray, folds: int, units: np.ndarray) -> np.ndarray:
    if folds == 1:
        return np.zeros(len(labels), np.int64)
    fold = fold_numbers(labels, folds, units)
    if len(np.unique(fold)) < 2:
        raise EnsembleError(
            f"too few to cross-validate ({len(labels)} in one fold): give more samples, or take "
            f"SoftVoting"
        )
    return fold


def _row_scores(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log loss, Brier score, confidence and rightness of each row: of shape (4, n)."""
    loss = -np.log(true_class(p, labels))
    return np.stack([loss, brier(p, labels), p.max(axis=1), p.argmax(axis=1) == labels])


def _summary(scores: np.ndarray) -> dict[str, float]:
    loss, square, confidence, correct = scores
    return {
        "log_loss": float(loss.mean()),
        "brier": float(square.mean()),
        "calibration_error": calibration_error(confidence, correct),
    }


def summary(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """``{"log_loss", "brier", "calibration_error"}`` of probabilities (n, k)."""
    return _summary(_row_scores(probabilities, labels))


@dataclass(frozen=True)
class Choice:
    """A method and why it was taken.

    Attributes:
        method: its name.
        combiner: it, not fitted.
        losses: method to cross-validated log loss, with ``best``, the best member alone.
        reason: in words.
        validation: everything that was cross-validated.
    """

    method: str
    combiner: Combiner
    losses: dict[str, float]
    reason: str
    validation: CrossValidation


def choose(
    tables: Predictions,
    y: np.ndarray | None = None,
    *,
    groups: np.ndarray | None = None,
    calibrate: bool = True,
    folds: int = 5,
) -> Choice:
    """The simplest method that cannot be told from the best, by cross-validation.

    A method is passed over for one that is simpler if a paired test at the 5% level does not
    distinguish their log losses: see
    :func:`ensembles.comparison.is_distinguishable`. If none is at least as good as every
    single member, it is the best member alone.

    Args:
        tables: predictions for samples that no member was fitted on.
        y: int of shape (n,); that of the tables if None.
        groups: int of shape (n,), equal for samples that depend on each other: never in two
            folds; those of the tables if None.
        calibrate: see :class:`Ensemble`.
        folds: of the cross-validation.

    Raises:
        EnsembleError: see :func:`cross_validate`.
    """
    if folds < 2:
        raise EnsembleError(f"choosing a method needs at least 2 folds, not {folds}")
    probabilities, labels, units = labelled(tables, y, groups)
    combiners = _candidates(probabilities)
    found = _cross_validate(combiners, probabilities, labels, units, calibrate, folds)
    means = {name: float(loss.mean()) for name, loss in found.losses.items()}
    stacks = [name for name in means if name.startswith("stack ")]
    if stacks:
        best_stack = min(stacks, key=means.__getitem__)
        combiners["stack"] = combiners[best_stack]
        found.losses["stack"] = found.losses[best_stack]
        found.probabilities["stack"] = found.probabilities[best_stack]
        means["stack"] = means[best_stack]
    for name in stacks:
        del means[name], found.losses[name], found.probabilities[name]
    names = [name for name in SIMPLEST_FIRST if name in means]
    bar = min(means["best"], *(score["log_loss"] for score in found.calibrated))
    method, reason = _pick({n: found.losses[n] for n in names}, bar, units)
    if not stacks:
        reason += "; stacking was not tried: it would take minutes on so much"
    return Choice(method, combiners[method], means, reason, found)


def _candidates(probabilities: np.ndarray) -> dict[str, Combiner]:
    members, n, k = probabilities.shape
    combiners: dict[str, Combiner] = {
        "best": BestMember(),
        "soft": SoftVoting(),
        "geometric": GeometricVoting(),
        "weighted": WeightedVoting(),
        "greedy": GreedySelection(),
    }
    if members * n * k * k / 1e9 <= _STACKABLE:
        combiners.update({f"stack {c:g}": Stacking(C=c) for c in GRID})
    return combiners


def _pick(losses: Mapping[str, np.ndarray], bar: float, units: np.ndarray) -> tuple[str, str]:
    """The method and the reason; ``losses`` begin with the simplest, ``bar`` is a member's."""
    means = {name: float(loss.mean()) for name, loss in losses.items()}
    # identical members differ by rounding, which must choose nothing
    lowest = next(n for n, mean in means.items() if mean <= min(means.values()) + ROUNDING)
    if means[lowest] > bar + ROUNDING:
        return "best", (
            f"no combination is better than the best member alone: log loss {means[lowest]:.4f} "
            f"({lowest}) against {bar:.4f}"
        )
    for name, loss in losses.items():
        if name == lowest:
            break
        close = not is_distinguishable(loss - losses[lowest], units)
        if close and means[name] <= bar + ROUNDING:
            return name, (
                f"{name} ({means[name]:.4f}) is simpler than {lowest} ({means[lowest]:.4f}) and "
                f"not distinguishable from it"
            )
    return lowest, f"{lowest} has the lowest log loss, {means[lowest]:.4f}"
