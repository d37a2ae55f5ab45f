"""Which members and which method: decided on validation or out-of-fold predictions alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensembles import Combiner
from ensembles.choice import choose, cross_validate, summary
from ensembles.pipeline import METHODS, Ensemble
from ensembles.selection import BestMember, frugal
from ensembles.voting import GeometricVoting, SoftVoting, checked_weights
from zoo.combine.members import Members
from zoo.errors import ZooError, nearest

CHOICES = ("auto", "soft", "weighted", "greedy", "stack", "geometric", "vote", "soup")
_WEIGHTED = {"soft": SoftVoting, "geometric": GeometricVoting}
_FEWEST = 20  # below it there is nothing to be learned from validation


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        method: one of ``CHOICES``.
        weights: of the members, for ``soft`` and ``geometric``.
        calibrate: whether temperatures are fitted.
        min_gain: keep the fewest members whose log loss is at most this above the lowest.
        budget_ms: keep to members that take at most this many milliseconds an image together.

    Raises:
        ZooError: an unknown method, or options that exclude each other or are out of range.
    """

    method: str = "auto"
    weights: tuple[float, ...] | None = None
    calibrate: bool = True
    min_gain: float | None = None
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
        for name in ("min_gain", "budget_ms"):
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
        reason: why this method, in words.
        losses: method to cross-validated log loss, of all that were tried.
        calibration: name to ``{"raw", "calibrated"}``, of every member and of the combination.
        dropped: names of the members that have no say.
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

    Raises:
        ZooError, EnsembleError: weights that do not fit, a budget that nothing fits, members whose
            speed is not known.
    """
    if request.weights is not None:
        checked_weights(request.weights, len(given.runs))
    asked = given.only(_affordable(given, request))
    calibrate = request.calibrate and len(asked.labels) >= _FEWEST
    combiner, reason, losses, validation = _method(asked, request, calibrate)
    method = next(name for name, kind in METHODS.items() if type(combiner) is kind)
    fitted = Ensemble(combiner, calibrate).fit(asked.tables)
    used = fitted.used()
    held_out = validation.probabilities[method]
    calibration = {
        name: {"raw": before, "calibrated": after}
        for name, before, after in zip(
            asked.names, validation.raw, validation.calibrated, strict=True
        )
    }
    raw = _without_scaling(asked, method, combiner) if calibrate and method != "stack" else held_out
    calibration["combined"] = {
        "raw": summary(raw, asked.labels),
        "calibrated": summary(held_out, asked.labels),
    }
    kept = asked.only(used)
    return Decision(
        members=kept,
        method=method,
        ensemble=fitted if len(used) == len(asked.runs) else fitted.restricted(used),
        held_out=held_out,
        reason=reason,
        losses=losses,
        calibration=calibration,
        dropped=[name for name in given.names if name not in kept.names],
    )


def _without_scaling(members: Members, method: str, combiner: Combiner) -> np.ndarray:
    """Held-out probabilities of the combination of members as they are."""
    found = cross_validate({method: combiner}, members.tables, calibrate=False)
    return found.probabilities[method]


def _affordable(members: Members, request: Request) -> Sequence[int]:
    """Numbers of the members to combine, all where no limit is set."""
    if request.min_gain is None and request.budget_ms is None:
        return range(len(members.runs))
    costs = [run.milliseconds for run in members.runs]
    unknown = [run.name for run, cost in zip(members.runs, costs, strict=True) if cost is None]
    if request.budget_ms is not None and unknown:
        raise ZooError(
            f"the speed of {unknown[0]!r} was not measured, so --budget-ms cannot be kept: add "
            f"--measure"
        )
    found = frugal(
        members.probabilities,
        members.labels,
        [cost or 0.0 for cost in costs],
        within=request.min_gain,
        budget=request.budget_ms,
        calibrate=request.calibrate,
    )
    return found.members


def _method(
    members: Members, request: Request, calibrate: bool
) -> tuple[Combiner, str, dict[str, float], Any]:
    """The combiner, why, the losses of all methods tried, and their cross-validation."""
    if len(members.runs) == 1:
        combiner: Combiner = BestMember()
        reason = f"within these limits {members.names[0]} is best alone"
    elif request.method == "auto" and len(members.labels) >= _FEWEST:
        found = choose(members.tables, calibrate=calibrate)
        return found.combiner, found.reason, found.losses, found.validation
    elif request.method == "auto":
        combiner = SoftVoting()
        reason = f"{len(members.labels)} images are too few to choose a method by"
    elif request.weights is not None:
        combiner = _WEIGHTED[request.method](list(request.weights))
        reason = "asked for"
    else:
        combiner, reason = METHODS[request.method](), "asked for"
    name = next(n for n, kind in METHODS.items() if type(combiner) is kind)
    tried = {name: combiner, "best": BestMember()}
    validation = cross_validate(tried, members.tables, calibrate=calibrate)
    losses = {name: float(loss.mean()) for name, loss in validation.losses.items()}
    return combiner, reason, losses, validation
