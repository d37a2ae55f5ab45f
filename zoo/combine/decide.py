"""Which members and which method: decided on validation or out-of-fold predictions alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensembles import Combiner
from ensembles.choice import CrossValidation, choose, cross_validate, summary
from ensembles.pipeline import METHODS, Ensemble, method_of
from ensembles.selection import BestMember, frugal
from ensembles.stacking import Stacking
from ensembles.voting import GeometricVoting, SoftVoting, checked_weights
from zoo.combine.members import Members
from zoo.errors import ZooError, nearest

CHOICES = ("auto", "soft", "weighted", "greedy", "stack", "geometric", "vote", "soup")
_WEIGHTED = {"soft": SoftVoting, "geometric": GeometricVoting}
_LEARNING = ("weighted", "greedy", "stack")
_FEWEST = 20  # below it there is nothing to be learned from validation


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        method: one of ``CHOICES``.
        weights: of the members, for ``soft`` and ``geometric``.
        calibrate: whether temperatures are fitted.
        tolerance: keep the fewest members whose log loss is at most this above the lowest.
        budget_ms: keep to members that take at most this many milliseconds per image together.

    Raises:
        ZooError: an unknown method, or options that exclude each other or are out of range.
    """

    method: str = "auto"
    weights: tuple[float, ...] | None = None
    calibrate: bool = True
    tolerance: float | None = None
    budget_ms: float | None = None

    def __post_init__(self) -> None:
        if self.method not in CHOICES:
            raise ZooError(
                f"there is no method {self.method!r} to combine by: {nearest(self.method, CHOICES)}"
            )
        if self.weights is not None and self.method not in _WEIGHTED:
            raise ZooError(
                f"--weights goes with --method soft or geometric, not {self.method}, which finds "
                f"its own"
            )
        for name in ("tolerance", "budget_ms"):
            limit = getattr(self, name)
            if limit is not None and not 0 <= limit < float("inf"):
                raise ZooError(f"--{name.replace('_', '-')} must be 0 or more, not {limit:g}")
            if limit is not None and (self.weights is not None or self.method == "soup"):
                raise ZooError(
                    f"--{name.replace('_', '-')} chooses among the members: leave out --weights, "
                    f"and take another --method than soup"
                )


@dataclass(frozen=True)
class Decision:
    """A fitted ensemble and how it came about.

    Attributes:
        members: those that have a say.
        method: what combines them.
        ensemble: fitted on all of ``members``.
        held_out: probabilities for the samples it was fitted on, each by a fit without its fold.
        reason: why this method, in words; empty if it was asked for.
        losses: method to cross-validated log loss, of all that were tried.
        calibration: name to ``{"raw", "calibrated"}``, of every member and of the combination;
            empty if nothing is scaled.
        dropped: names of the members that have zero weight.
    """

    members: Members
    method: str
    ensemble: Ensemble
    held_out: np.ndarray
    reason: str
    losses: dict[str, float]
    calibration: dict[str, dict[str, dict[str, float]]]
    dropped: list[str]


def decide(given: Members, request: Request) -> Decision:
    """Choose members and method, and fit.

    Which members are kept within limits is chosen on all images that there are, so that the losses
    shown for those that are left are slightly optimistic, as is the choice among methods.

    Raises:
        ZooError, EnsembleError: weights that do not fit, a budget that nothing fits, members whose
            speed is not known, too few images to learn from.
    """
    if request.weights is not None:
        checked_weights(request.weights, len(given.runs))
    calibrate = request.calibrate and len(given.labels) >= _FEWEST
    asked = given.only(_affordable(given, request, calibrate))
    combiner, reason = _method(asked, request)
    if combiner is None:
        choice = choose(asked.tables, calibrate=calibrate)
        combiner, reason = choice.combiner, choice.reason
        losses, validation = choice.losses, choice.validation
    else:
        losses, validation = _validated(asked, combiner, calibrate)
    method = method_of(combiner)
    fitted = Ensemble(combiner, calibrate).fit(asked.tables)
    kept = asked.only(fitted.used())
    return Decision(
        members=kept,
        method=method,
        ensemble=fitted.restricted(fitted.used()) if len(kept.runs) < len(asked.runs) else fitted,
        held_out=validation.probabilities[method],
        reason=reason,
        losses=losses,
        calibration=_calibration(asked, combiner, validation) if calibrate else {},
        dropped=[name for name in given.names if name not in kept.names],
    )


def _affordable(members: Members, request: Request, calibrate: bool) -> Sequence[int]:
    """Numbers of the members to combine, all if no limit is set."""
    if request.tolerance is None and request.budget_ms is None:
        return range(len(members.runs))
    costs = [run.milliseconds for run in members.runs]
    unknown = [run.name for run, cost in zip(members.runs, costs, strict=True) if cost is None]
    known = [cost for cost in costs if cost is not None]
    if request.budget_ms is not None and unknown:
        raise ZooError(
            f"the speed of {unknown[0]!r} was not measured, so --budget-ms cannot be kept: add "
            f"--measure"
        )
    if request.budget_ms is not None and min(known) > request.budget_ms:
        raise ZooError(
            f"no member fits --budget-ms {request.budget_ms:g}: the fastest takes {min(known):.3g} "
            f"ms per image"
        )
    found = frugal(
        members.probabilities,
        members.labels,
        None if unknown else known,
        within=request.tolerance,
        budget=request.budget_ms,
        calibrate=calibrate,
    )
    return found.members


def _method(members: Members, request: Request) -> tuple[Combiner | None, str]:
    """The combiner, None if it is to be chosen, and why; no reason if it was asked for."""
    few = len(members.labels) < _FEWEST
    if len(members.runs) == 1:
        return BestMember(), f"within these limits {members.names[0]} is best alone"
    if request.method == "auto":
        reason = f"{len(members.labels)} images are too few to choose a method by"
        return (SoftVoting(), reason) if few else (None, "")
    if few and request.method in _LEARNING:
        raise ZooError(
            f"--method {request.method} learns from validation images, and {len(members.labels)} "
            f"are too few: take --method soft, or train with more (--val-fraction, --folds)"
        )
    if request.weights is not None:
        return _WEIGHTED[request.method](list(request.weights)), ""
    if request.method == "stack":  # its strength is chosen once, not in every fold again
        return Stacking(C=Stacking().fit(members.tables).C_), ""
    return METHODS[request.method](), ""


def _validated(
    members: Members, combiner: Combiner, calibrate: bool
) -> tuple[dict[str, float], CrossValidation]:
    """Cross-validation of a method beside the best member, and their losses."""
    tried = {method_of(combiner): combiner, "best": BestMember()}
    # what learns nothing needs no folds, and few images may all be in one
    folds = 5 if len(members.labels) >= _FEWEST else 1
    validation = cross_validate(tried, members.tables, calibrate=calibrate, folds=folds)
    return {name: float(loss.mean()) for name, loss in validation.losses.items()}, validation


def _calibration(
    members: Members, combiner: Combiner, validation: CrossValidation
) -> dict[str, dict[str, dict[str, float]]]:
    """What scaling does to every member and to the combination."""
    found = {
        name: {"raw": before, "calibrated": after}
        for name, before, after in zip(
            members.names, validation.raw, validation.calibrated, strict=True
        )
    }
    if not isinstance(combiner, Stacking):  # it has no temperature of its own
        method = method_of(combiner)
        raw = cross_validate({method: combiner}, members.tables, calibrate=False)
        found["combined"] = {
            "raw": summary(raw.probabilities[method], members.labels),
            "calibrated": summary(validation.probabilities[method], members.labels),
        }
    return found
