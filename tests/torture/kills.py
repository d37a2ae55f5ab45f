"""Commands that are ended at a random moment, and begun or continued after it."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.torture.forked import Outcome, run
from tests.torture.place import Place
from tests.torture.prepared import NETWORK
from tests.torture.verdict import broken

_NAME = ["--name", "new"]
_LINES: dict[str, list[str]] = {
    "finetune": ["finetune", "cnn", "--data", "data", *NETWORK, "--epochs", "8", *_NAME],
    "folds": [
        "finetune",
        "cnn",
        "--data",
        "data",
        *NETWORK,
        "--epochs",
        "2",
        "--folds",
        "3",
        *_NAME,
    ],
    "ensemble": ["ensemble", "a", "b", "--method", "soft", *_NAME],
}
_RESUME = ["finetune", "--resume", *_NAME]
_STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGKILL": -9}
_uninterrupted: dict[str, tuple[float, Any]] = {}


@dataclass(frozen=True)
class KillCase:
    """A command, a signal, and when it comes, as a part of the time that the command takes."""

    command: str
    signal: str
    at: float
    again: float
    kind = "kill"

    def __str__(self) -> str:
        return f"{self.command}: {self.signal} at={self.at:.3f} again={self.again:.3f}"

    def run(self, place: Place) -> str:
        """What is wrong; empty if nothing."""
        line = _LINES[self.command]
        seconds, expected = _whole(self.command, line, place)
        place.renew()
        outcome = self._stopped(line, place, self.at * seconds)
        said = self._checked(outcome, place)
        if not said and self.again < 0.5 and (place.path / "runs/.new.partial").is_dir():
            # and once more, while it is being continued
            outcome = self._stopped(_RESUME, place, 2 * self.again * seconds)
            said = self._checked(outcome, place)
        if said:
            return said
        outcome = _finish(line, place)
        if said := broken(outcome) or (outcome.status != 0 and outcome.err):
            return f"it could not be finished: {said}"
        found = _results(place.path / "runs/new")
        if found != expected:
            return f"other results than without an interruption: {found} {expected}"[:600]
        left = [p.name for p in (place.path / "runs").iterdir() if p.name.startswith(".")]
        return f"left behind: {left}" if left else ""

    def _stopped(self, line: list[str], place: Place, seconds: float) -> Outcome:
        return run(line, place.path, stop=(getattr(signal, self.signal), seconds))

    def _checked(self, outcome: Outcome, place: Place) -> str:
        if "Traceback (most recent" in outcome.err:
            return f"traceback: {outcome.err.strip()[-1500:]}"
        if outcome.status == 0:
            return "" if (place.path / "runs/new/run.json").is_file() else "done, and no run"
        if outcome.status == 2 and "no unfinished run" in outcome.err:
            return ""
        if outcome.status == -getattr(signal, self.signal) and not outcome.err:
            return ""  # before the command began
        if outcome.status != _STATUS[self.signal]:
            return f"exit status {outcome.status}: {outcome.err[-300:]}"
        return ""


def _whole(command: str, line: list[str], place: Place) -> tuple[float, Any]:
    """Seconds and results of the command where nothing interrupts it."""
    if command not in _uninterrupted:
        place.renew()
        outcome = run(line, place.path)
        assert outcome.status == 0, outcome.err
        _uninterrupted[command] = outcome.seconds, _results(place.path / "runs/new")
    return _uninterrupted[command]


def _finish(line: list[str], place: Place) -> Outcome:
    """Continue, or begin anew where nothing is left to continue."""
    if (place.path / "runs/new/run.json").is_file():
        return Outcome(0, "", "", 0.0, 0.0)
    if line[0] == "finetune" and (place.path / "runs/.new.partial/run.json").is_file():
        return run(_RESUME, place.path)
    return run(line, place.path)


def _results(folder: Path) -> Any:
    """All figures of a run."""
    tables = {}
    for path in sorted((folder / "predictions").glob("*.npz")):
        with np.load(path) as stored:
            tables[path.name] = stored["probabilities"].tolist()
    return json.loads((folder / "metrics.json").read_text()), tables


def kill_cases() -> st.SearchStrategy[KillCase]:
    """A third of them is continued twice."""
    return st.builds(
        KillCase,
        st.sampled_from(["finetune", "finetune", "finetune", "folds", "ensemble"]),
        st.sampled_from(sorted(_STATUS)),
        st.floats(0.02, 1),
        st.floats(0, 1.5),
    )
