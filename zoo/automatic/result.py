"""What an automatic search found: leaderboard, timeline, and the run that is the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.automatic.journal import Journal, Step
from zoo.records import Interval
from zoo.runs import Run, open_run


@dataclass(frozen=True)
class Planned:
    """A run that would be trained.

    Attributes:
        what: it is, in words.
        why: in words.
        seconds: predicted.
    """

    what: str
    why: str
    seconds: float


@dataclass(frozen=True)
class Row:
    """A run of the leaderboard.

    Attributes:
        run: its name.
        what: it is, in words.
        judged: metrics on the split that all choices are made on.
        test: metrics on the test images.
        ms_per_image: measured; None if not.
        seconds: that it took.
    """

    run: str
    what: str
    judged: dict[str, Interval]
    test: dict[str, Interval]
    ms_per_image: float | None
    seconds: float


@dataclass(frozen=True)
class AutoResult:
    """The result of :func:`zoo.auto`.

    Attributes:
        run: the result: an ensemble, or the only run.
        rows: the leaderboard by log loss on ``split``, the lowest first.
        steps: what was done, in its order.
        split: what all choices were made on: ``oof`` or ``val``.
        seconds: that everything took.
        asked: seconds that were given.
        interrupted: whether it was ended by Ctrl-C.
        folder: of ``auto.json`` and ``auto.html``.
    """

    run: Run
    rows: list[Row]
    steps: list[Step]
    split: str
    seconds: float
    asked: float
    interrupted: bool
    folder: Path

    @classmethod
    def of(cls, runs_dir: Path, journal: Journal, asked: float, interrupted: bool) -> AutoResult:
        """Read the runs that are done."""
        done = {step.run: step for step in journal.done}
        runs = [open_run(name, runs_dir) for name in done]
        split = selection_split(runs)
        final = open_run(journal.final, runs_dir)
        rows = [_row(run, done[run.name].what, done[run.name].seconds, split) for run in runs]
        if final.combination is not None:
            took = dict(final.record.get("seconds") or {}).get("total", 0.0)
            rows.append(_row(final, f"ensemble, {final.title}", took, split))
        rows.sort(key=lambda row: _loss(row.judged))
        return cls(
            run=final,
            rows=rows,
            steps=list(journal.steps),
            split=split,
            seconds=journal.seconds,
            asked=round(asked, 1),
            interrupted=interrupted,
            folder=journal.folder,
        )

    @property
    def best_single(self) -> Row:
        """The network of lowest log loss on what choices are made on."""
        return next(row for row in self.rows if row.run != self.run.name or len(self.rows) == 1)

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "run": self.run.name,
            "path": str(self.run.path),
            "split": self.split,
            "seconds": self.seconds,
            "asked": self.asked,
            "interrupted": self.interrupted,
            "rows": [asdict(row) for row in self.rows],
            "steps": [asdict(step) for step in self.steps],
        }

    def write_page(self) -> Path:
        """Write ``auto.html``; it needs no other file."""
        from zoo.automatic.page import page
        from zoo.output import write_output

        path = self.folder / "auto.html"
        write_output(path, page(self))
        return path


def selection_split(runs: Sequence[Run]) -> str:
    """What runs are chosen by: out-of-fold predictions if all have them, else validation."""
    return "oof" if all(run.has("predictions/oof.npz") for run in runs) else "val"


def _row(run: Run, what: str, seconds: float, split: str) -> Row:
    metrics = run.metrics
    judged = metrics.get(split) or metrics.get("val") or {}
    return Row(run.name, what, judged, metrics.get("test", {}), run.milliseconds, seconds)


def _loss(metrics: dict[str, Interval]) -> float:
    found = metrics.get("log_loss")
    return float("inf") if found is None or found["value"] is None else found["value"]
