"""Training curves, from ``history.csv``."""

from __future__ import annotations

import math
from typing import Any

from zoo.pages.charts.training import history_chart
from zoo.runs import Run

_MOST = 6  # folds that are drawn: more lines cannot be told apart


def training_section(run: Run) -> dict[str, Any]:
    """Charts of loss, accuracy and learning rate by epoch, or a sentence why there are none."""
    histories = run.epochs
    if not histories:
        probed = run.kind != "ensemble"
        words = "Only the probe was trained: there are no epochs." if probed else ""
        return {"charts": [], "words": words}
    judged = {n: rows for n, rows in histories.items() if "val_loss" in rows[0]} or histories
    first = next(iter(judged.values()))
    kept = run.trained[0] if run.trained else None
    best = (kept["best_epoch"] or None) if kept else None
    probe = kept.get("probe") if kept else None
    starts = {"loss": probe["val_loss"], "accuracy": probe["val_accuracy"]} if probe else {}
    drawn = []
    for what, title in (("loss", "loss by epoch"), ("accuracy", "accuracy by epoch")):
        lines = _lines(judged, what)
        drawn.append(history_chart(lines, title, best, starts.get(what)))
    rate = [row.get("learning_rate", math.nan) for row in first]
    drawn.append(history_chart({"learning rate": rate}, "learning rate by epoch", None, None))
    words = (
        "Training figures are on augmented images, so they are worse than on the original ones. "
    )
    words += "Validation loss is at the best temperature."
    if len(judged) > 1:
        words += (
            f" One line per fold of {len(judged)}; the mark is the epoch kept in the first one."
        )
    if not best and probe:
        words += " No epoch was better than the probe, so the probe was kept."
    return {"charts": [pair for pair in drawn if pair[1]], "words": words}


def _lines(judged: dict[int, list[dict[str, float]]], what: str) -> dict[str, list[float]]:
    """Name to values: training and validation of one training, validation of several."""

    def values(rows: list[dict[str, float]], key: str) -> list[float]:
        return [row.get(key, math.nan) for row in rows]

    if len(judged) == 1:
        rows = next(iter(judged.values()))
        both = {"training": f"train_{what}", "validation": f"val_{what}"}
        return {name: values(rows, key) for name, key in both.items()}
    several = list(judged.items())[:_MOST]
    return {f"fold {n}": values(rows, f"val_{what}") for n, rows in several}
