"""``zoo diagnose``: all checks of a run, the worst findings first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zoo.deprecated import renamed_parameters
from zoo.diagnosis.altered_copies import check_altered_copies
from zoo.diagnosis.backbone_comparison import check_backbones, checked
from zoo.diagnosis.classes import check_balance, check_pairs
from zoo.diagnosis.depths import check_depths
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Finding, Outcome
from zoo.diagnosis.images import check_drift, check_files, check_leaks, check_shortcuts
from zoo.diagnosis.inputs import check_input
from zoo.diagnosis.labels import check_labels
from zoo.diagnosis.learning_curve import check_capacity
from zoo.diagnosis.name_groups import check_name_groups
from zoo.diagnosis.overfitting import check_fit
from zoo.diagnosis.range_test import check_range
from zoo.diagnosis.sharpness import check_sharpness
from zoo.diagnosis.study import check_study
from zoo.diagnosis.training_curves import check_settings
from zoo.diagnosis.verdict import verdict
from zoo.progress import Progress, for_python
from zoo.runs import Run, open_run

CHECKS: tuple[Callable[[Evidence], Outcome], ...] = (
    check_files,
    check_sharpness,
    check_input,
    check_leaks,
    check_altered_copies,
    check_name_groups,
    check_labels,
    check_pairs,
    check_balance,
    check_settings,
    check_study,
    check_fit,
    check_depths,
    check_capacity,
    check_drift,
    check_shortcuts,
)


@dataclass(frozen=True)
class Diagnosis:
    """The results of all checks of a run.

    Attributes:
        run: its name.
        outcomes: one per check.
        evidence: what the checks read, so that a report need not read it again.
        accuracy: of the run on images it was not trained on, in words; empty if not known.
    """

    run: str
    outcomes: tuple[Outcome, ...]
    evidence: Evidence | None = field(default=None, repr=False, compare=False)
    accuracy: str = ""

    @property
    def findings(self) -> list[Finding]:
        """All findings, the worst first."""
        every = [finding for outcome in self.outcomes for finding in outcome.findings]
        return sorted(every, key=lambda finding: -finding.cost)

    @property
    def verdict(self) -> str:
        """What limits the run most, how sure that is, and what to do next."""
        worst = self.findings[0] if self.findings else None
        return verdict(self.run, self.accuracy, self.outcomes, worst)

    @property
    def limit(self) -> str:
        """The verdict without the accuracy: for a page that begins with it."""
        return verdict(self.run, "", self.outcomes, next(iter(self.findings), None))

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        checks = [outcome.as_record() for outcome in self.outcomes]
        return {"run": self.run, "verdict": self.verdict, "checks": checks}


@renamed_parameters("runs")
def diagnose(
    run: Run | str | Path,
    *,
    runs_dir: str | Path | None = None,
    range_test: bool = False,
    backbones: Sequence[str] = (),
    progress: Progress | None = None,
) -> Diagnosis:
    """Find out why a classifier is not good enough, with evidence and what to do.

    Reads the run's predictions and curves, its images and their frozen features. Trains only linear
    heads (unless a range test is requested), chooses nothing by the test images, and does not
    change the run.

    Args:
        run: a run of one network, its name or its path.
        runs_dir: folder of the runs, for a name.
        range_test: whether to run a learning-rate range test.
        backbones: others to compare with on frozen features of their ImageNet weights.
        progress: shows the steps.

    Raises:
        ZooError, EnsembleError: no such run, an ensemble, missing predictions, images that are no
            longer those of the run, or weights to compare with that are not on this machine.
        BackboneError: no such backbone to compare with.
    """
    progress = progress or for_python()
    evidence = Evidence(run if isinstance(run, Run) else open_run(run, runs_dir), progress)
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
    table = evidence.judged
    correct = (table.probabilities.argmax(axis=1) == table.labels).mean()
    split = "out-of-fold" if table.split == "oof" else "validation"
    accuracy = f"{split} accuracy {correct:.3f}" if len(table) else ""
    return Diagnosis(evidence.run.name, outcomes, evidence, accuracy)
