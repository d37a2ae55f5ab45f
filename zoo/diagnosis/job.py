"""``zoo diagnose``: all checks of a run, worst findings first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo.diagnosis.backbone_comparison import check_backbones, checked
from zoo.diagnosis.classes import check_balance, check_pairs
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Finding, Outcome
from zoo.diagnosis.images import check_drift, check_files, check_leaks, check_shortcuts
from zoo.diagnosis.inputs import check_input
from zoo.diagnosis.labels import check_labels
from zoo.diagnosis.learning_curve import check_capacity
from zoo.diagnosis.overfitting import check_fit
from zoo.diagnosis.range_test import check_range
from zoo.diagnosis.sharpness import check_sharpness
from zoo.diagnosis.study import check_study
from zoo.diagnosis.training_curves import check_settings
from zoo.progress import Progress
from zoo.runs import Run, open_run

CHECKS: tuple[Callable[[Evidence], Outcome], ...] = (
    check_files,
    check_sharpness,
    check_input,
    check_leaks,
    check_labels,
    check_pairs,
    check_balance,
    check_settings,
    check_study,
    check_fit,
    check_capacity,
    check_drift,
    check_shortcuts,
)


@dataclass(frozen=True)
class Diagnosis:
    """What the checks say of a run.

    Attributes:
        run: its name.
        outcomes: one a check.
        evidence: what the checks read, so that a report need not read it again.
    """

    run: str
    outcomes: tuple[Outcome, ...]
    evidence: Evidence | None = field(default=None, repr=False, compare=False)

    @property
    def findings(self) -> list[Finding]:
        """All that is wrong, worst first."""
        every = [finding for outcome in self.outcomes for finding in outcome.findings]
        return sorted(every, key=lambda finding: -finding.cost)

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"run": self.run, "checks": [outcome.as_record() for outcome in self.outcomes]}


def diagnose(
    run: Run | str | Path,
    *,
    runs: str | Path | None = None,
    range_test: bool = False,
    backbones: Sequence[str] = (),
    progress: Progress | None = None,
) -> Diagnosis:
    """Say why a classifier is not good enough, with evidence and what to do.

    Reads the run's predictions and curves, its images and their frozen features; trains nothing
    but linear heads unless a range test is asked for, chooses nothing by the test images, and
    leaves the run as it is.

    Args:
        run: a run of one network, its name or its path.
        runs: folder of the runs, for a name.
        range_test: whether to find the learning rates that train this network.
        backbones: others to compare with on frozen features, by their ImageNet weights.
        progress: shows the steps.

    Raises:
        ZooError, EnsembleError: no such run, an ensemble, missing predictions, or images that are
            no longer those of the run; weights to compare with that are not on this machine.
        BackboneError: no such backbone to compare with.
    """
    progress = progress or Progress()
    evidence = Evidence(run if isinstance(run, Run) else open_run(run, runs), progress)
    checked(backbones, evidence.run.view[0])  # before the work
    found = examine(evidence)
    more = []
    if backbones:
        more.append(check_backbones(evidence, backbones, progress))
    if range_test:
        more.append(check_range(evidence, progress))
    return replace(found, outcomes=(*found.outcomes, *more))


def examine(evidence: Evidence) -> Diagnosis:
    """All checks of one run; see :func:`diagnose`."""
    outcomes = tuple(check(evidence) for check in CHECKS)
    return Diagnosis(evidence.run.name, outcomes, evidence)
