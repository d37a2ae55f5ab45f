"""A run in a line, and as a small table for a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.frames import html_table

if TYPE_CHECKING:
    from zoo.runs import Run

_METRICS = {"accuracy": "accuracy", "f1": "macro F1", "log_loss": "log loss"}
_SPLITS = {"oof": "out-of-fold", "val": "validation", "test": "test"}


def run_text(run: Run) -> str:
    """``Run('runs/a', cnn on digits, test accuracy 0.912 [0.880, 0.940])``."""
    try:
        return f"Run({str(run.path)!r}, {_what(run)}, test accuracy {_accuracy(run)})"
    except (ZooError, KeyError, TypeError):
        return f"Run({str(run.path)!r}, damaged)"


def run_html(run: Run) -> str:
    """What it is, and its metrics with 95% intervals by split."""
    from markupsafe import escape

    try:
        splits = [split for split in _SPLITS if split in run.metrics]
        headers = ["", *[_SPLITS[split] for split in splits]]
        rows = [
            [label, *[_value(run.metrics[split].get(name)) for split in splits]]
            for name, label in _METRICS.items()
        ]
        about = f"<b>{escape(run.name)}</b>: {escape(_what(run))}"
        return f"<p>{about}</p>{html_table(headers, rows)}<p>95% intervals in brackets</p>"
    except (ZooError, KeyError, TypeError):
        return f"<p>{escape(run_text(run))}</p>"


def run_columns(run: Run) -> dict[str, Any]:
    """The cells of a run in a table of runs."""
    try:
        metrics = run.metrics.get("test", {})
        about = {"model": run.title, "data": run.record["data"]["name"]}
        found = {name: metrics[name]["value"] for name in ("accuracy", "log_loss")}
        created = run.record["created"]
    except (ZooError, KeyError, TypeError):
        about, found, created = {"model": "damaged", "data": ""}, {}, ""
    return {
        "name": run.name,
        **about,
        "test accuracy": found.get("accuracy"),
        "test log loss": found.get("log_loss"),
        "created": created,
    }


def _what(run: Run) -> str:
    return f"{run.title} on {run.record['data']['name']}"


def _accuracy(run: Run) -> str:
    return _value(run.metrics.get("test", {}).get("accuracy"))


def _value(found: Any) -> str:
    if not found or found["value"] is None:
        return "not known"
    if found.get("low") is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
