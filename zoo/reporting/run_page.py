"""The page of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from backbones import BackboneError
from ensembles import EnsembleError
from zoo.data.value_range import scale_of
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Finding
from zoo.diagnosis.job import Diagnosis, examine
from zoo.errors import ZooError
from zoo.pages.charts.training import growth_chart
from zoo.progress import Progress
from zoo.reporting import featuremap
from zoo.reporting.ensemble import ensemble_section
from zoo.reporting.explain import Network
from zoo.reporting.pictures import MOST, Album
from zoo.reporting.scores import Mistake, mistakes, worst_of_each
from zoo.reporting.sections import (
    TITLES,
    about,
    cards,
    describe,
    headline,
    picture_note,
    split_section,
    tables_of,
)
from zoo.reporting.training_curves import training_section
from zoo.runs import Run

_TOLD = (ZooError, EnsembleError, BackboneError)
_SHOWN = 12  # pictures of a finding
_LISTED = 200  # files of a finding that are listed
_MISTAKES = 240  # of which pictures are shown, which keeps the page below 20 MB


class Page:
    """The content of a run's page; see :meth:`context`.

    Args:
        run: finished.
        diagnosis: made before; made now if None.
        look: whether to diagnose and to explain mistakes.
        progress: shows the steps.

    Raises:
        ZooError, EnsembleError: predictions are missing or damaged.
    """

    def __init__(
        self, run: Run, diagnosis: Diagnosis | None, look: bool, progress: Progress
    ) -> None:
        self._run, self._progress, self._look = run, progress, look
        self._tables = tables_of(run)
        self._judged = next(iter(self._tables.values()))
        self._album = Album(Path(str(run.record["data"]["root"])), scale_of(run))
        self._mistakes = mistakes(self._judged)
        self._heat: dict[str, tuple[str, str]] = {}
        self._evidence, self._diagnosis, self._undiagnosed = None, diagnosis, ""
        if diagnosis is not None:
            self._evidence = diagnosis.evidence
        self._diagnose()

    def _diagnose(self) -> None:
        if self._run.kind == "ensemble" and self._run.combination is not None:
            self._undiagnosed = ""
            return
        if not self._look:
            self._undiagnosed = "The report was made without a diagnosis."
            return
        try:
            self._evidence = self._evidence or Evidence(self._run, self._progress)
            self._diagnosis = self._diagnosis or examine(self._evidence)
        except _TOLD as error:
            self._undiagnosed = f"No diagnosis was possible: {error}."

    def context(self) -> dict[str, Any]:
        """What the template shows."""
        findings = self._diagnosis.findings if self._diagnosis else []
        shown = worst_of_each(self._mistakes, _MISTAKES)
        wanted = [file.id for f in findings for file in f.files[:_SHOWN]]
        wanted += [m.id for m in shown]
        self._album.read(wanted, self._progress)
        asked = min(MOST, len(set(wanted)))
        why_no_heat, self._heat = self._asked(lambda network: network.lay_over(self._album, shown))
        why_no_map, drawn = self._map()
        return {
            "run": self._run,
            "about": about(self._run),
            "cards": cards(self._run, self._tables),
            "headline": headline(self._run, self._tables),
            "verdict": self._diagnosis.limit if self._diagnosis else "",
            "splits_about": [describe(split, len(t)) for split, t in self._tables.items()],
            "note": picture_note(self._album, asked),
            "findings": [self._finding(f) for f in findings],
            "clear": self._outcomes("clear"),
            "unknown": self._outcomes("unknown"),
            "checks": len(self._diagnosis.outcomes) if self._diagnosis else 0,
            "undiagnosed": self._undiagnosed,
            "splits": [split_section(self._run, t) for t in reversed(self._tables.values())],
            "judged": TITLES[self._judged.split].lower(),
            "wrong": len(self._mistakes),
            "total": len(self._judged),
            "mistakes": [self._mistake(m) for m in shown],
            "true_names": self._names(m.label for m in shown),
            "predicted_names": self._names(m.predicted for m in shown),
            "heat": bool(self._heat),
            "why_no_heat": why_no_heat,
            "map": drawn,
            "why_no_map": why_no_map,
            "training": training_section(self._run),
            "growth": self._growth(),
            "ensemble": ensemble_section(self._run),
            "details": self._details(),
            "pictures": self._album.all,
        }

    def _asked(self, question: Callable[[Network], Any]) -> tuple[str, Any]:
        """Why the network cannot answer, and its answer."""
        if not self._look:
            return "the report was made without it.", {}
        if self._evidence is None:
            return "the run is not a single network; see the reports of the members.", {}
        try:
            return "", question(Network(self._evidence, self._progress))
        except _TOLD as error:
            return f"{error}.", {}

    def _map(self) -> tuple[str, dict[str, Any]]:
        if len(self._judged) < featuremap.FEWEST:
            return f"{len(self._judged)} images are too few.", {}
        return self._asked(lambda network: network.map_of(self._judged, self._album))

    def _mistake(self, m: Mistake) -> dict[str, Any]:
        names = self._judged.classes.tolist()
        note = f"{names[m.label]} predicted as {names[m.predicted]} ({m.confidence:.2f})"
        shot = self._shot(m.id, note, names[m.predicted], names[m.label])
        return {**shot, "filter": (m.label, m.predicted), "loss": m.loss}

    def _names(self, classes: Iterable[int]) -> list[tuple[int, str]]:
        """Classes that a filter offers."""
        return [(k, str(self._judged.classes[k])) for k in sorted(set(classes))]

    def _shot(self, sample: str, note: str, predicted: str = "", true: str = "") -> dict[str, Any]:
        heat = self._heat.get(sample, ("", "")) if predicted else ("", "")
        return {
            "id": sample,
            "note": note,
            "picture": self._album.get(sample),
            "heat_predicted": heat[0],
            "heat_true": heat[1],
            "predicted": predicted,
            "true": true,
            "filter": None,
            "loss": None,
        }

    def _finding(self, finding: Finding) -> dict[str, Any]:
        shots = [self._shot(shown.id, shown.note) for shown in finding.files[:_SHOWN]]
        seen = any(shot["picture"] for shot in shots)
        rest = finding.files[_SHOWN if seen else 0 :]
        return {
            "title": finding.title,
            "cost": finding.cost,
            "evidence": finding.evidence,
            "advice": finding.advice,
            "command": finding.command,
            "shots": shots if seen else [],
            "rest": rest[:_LISTED],
            "rest_count": len(rest),
            "count": len(finding.files),
        }

    def _outcomes(self, state: str) -> list[tuple[str, str]]:
        every = self._diagnosis.outcomes if self._diagnosis else ()
        return [(o.check, o.says) for o in every if o.state == state]

    def _growth(self) -> dict[str, Any] | None:
        every = self._diagnosis.outcomes if self._diagnosis else ()
        found = next((o for o in every if len(o.curve) > 1), None)
        return None if found is None else {"chart": growth_chart(found.curve)}

    def _details(self) -> dict[str, Any]:
        record = self._run.record
        counts = record["data"].get("counts", {})
        splits = [split for split in ("train", "val", "test") if split in counts]
        return {
            "splits": splits,
            "counts": [
                (name, [counts[split][i] for split in splits])
                for i, name in enumerate(record["classes"])
            ],
            "lists": [
                (
                    "Settings",
                    [(k, _text(v)) for k, v in record["settings"].items() if v is not None],
                ),
                ("Run", [("path", self._run.path), ("images", record["data"].get("root"))]),
                ("Weights", [(k, v) for k, v in record.get("weights", {}).items() if v]),
                ("Seconds", list(record.get("seconds", {}).items())),
                ("Versions", list(record.get("versions", {}).items())),
            ],
        }


def _text(value: Any) -> str:
    """A setting as it is given on the command line: lists with commas, switches on or off."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
