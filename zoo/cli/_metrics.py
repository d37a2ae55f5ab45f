"""What is shown of a run in more than one place: its metrics, its time and its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.cli._common import table
from zoo.escape import printable
from zoo.evaluate.labels import LABELS

if TYPE_CHECKING:
    from zoo.runs import Run

_ORDER = ("oof", "val", "test")
_TITLES = {"oof": "out-of-fold", "val": "validation", "test": "test"}


def metrics_table(metrics: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """One row per metric and one column per split, each value with its 95% interval."""
    splits = [s for s in _ORDER if s in metrics]
    count = {s: next(iter(metrics[s].values()))["n"] for s in splits}
    headers = ["", *[f"{_TITLES[s]} (n={count[s]})" for s in splits]]
    rows = [
        [label, *[entry(metrics[s].get(name)) for s in splits]] for name, label in LABELS.items()
    ]
    shown = table(headers, rows) + "\n95% intervals in brackets"
    return shown + (_calibration(metrics, splits[-1]) if splits else "")


def where_and_when(run: Run) -> str:
    """Seconds of the stages that took any, and the run's path."""
    seconds = run.record["seconds"]
    shown = [f"{k} {v:.0f} s" for k, v in seconds.items() if v >= 0.5]
    spent = ", ".join(shown) or f"total {seconds['total']:.1f} s"
    return f"time  {spent}\nrun   {printable(str(run.path))}"


def entry(found: Mapping[str, Any] | None) -> str:
    """A value with its interval."""
    if not found or found["value"] is None:
        return "not defined"
    value = f"{found['value']:.3f}"
    if found["low"] is None:
        return f"{value} ({found['reason']})" if found.get("reason") else value
    return f"{value} [{found['low']:.3f}, {found['high']:.3f}]"


def _calibration(metrics: Mapping[str, Mapping[str, Mapping[str, Any]]], split: str) -> str:
    """What the calibration error is to be seen beside; empty for runs of earlier versions."""
    found = metrics[split].get("calibration_error", {})
    if found.get("raw_if_perfect") is None:
        return ""
    return (
        f"\ncalibration error: less its bias; {found['raw']:.3f} before, where perfect calibration "
        f"shows up to {found['raw_if_perfect']:.3f} ({_TITLES[split]})"
    )
