"""The members of an ensemble: metrics, weights, diversity, and the gain over the best one."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.evaluate.labels import LABELS
from zoo.pages.charts.intervals import Estimate, forest_chart
from zoo.pages.charts.members import pair_chart
from zoo.records import CombinationRecord, DiversityRecord
from zoo.runs import Run

_MOST = 12  # members up to which every pair is shown: more cells do not fit a screen


def ensemble_section(run: Run) -> dict[str, Any] | None:
    """Members, weights, gain over the best member, and diversity; None for a single network."""
    found = run.record.get("combination")
    if run.kind != "ensemble" or not found:
        return None
    weights = dict(zip(found["members"], found.get("weights") or [], strict=False))
    given = [row["name"] for row in found["rows"]]
    diversity = found["diversity"]
    worth = dict(zip(given, diversity["contributions"], strict=False))
    rows = [
        {
            "name": row["name"],
            "best": row["name"] == found["best_member"],
            "kept": row["name"] in found["members"],
            "weight": weights.get(row["name"]),
            "worth": worth.get(row["name"]),
            "ms": row["ms_per_image"],
            "test": [row["test"].get(key) for key in ("accuracy", "log_loss")],
        }
        for row in found["rows"]
    ]
    own = [
        ("plain mean of all members", found["soft"]),
        (f"{run.name} (this)", run.metrics["test"]),
    ]
    return {
        "method": found["method"],
        "reason": found["reason"],
        "rows": rows,
        "own": [(name, [m.get(key) for key in ("accuracy", "log_loss")]) for name, m in own],
        "weighted": any(row["weight"] is not None for row in rows),
        "best": found["best_member"],
        "against": found["against_best"],
        "pairs": _pairs(given, diversity),
        "unsolved": diversity["unsolved"],
        "forests": _forests(rows, found, run),
    }


def _pairs(names: list[str], diversity: DiversityRecord) -> list[tuple[str, Any]]:
    kinds = {
        "Disagreement: share of images predicted differently": diversity["disagreement"],
        "Double fault: share of images wrong by both (diagonal: by one)": diversity["double_fault"],
    }
    if not 2 <= len(names) <= _MOST:
        return []
    return [(title, pair_chart(np.array(m), names, title)) for title, m in kinds.items()]


def _forests(rows: list[dict[str, Any]], found: CombinationRecord, run: Run) -> list[Any]:
    """Accuracy and log loss of members, plain mean and ensemble, with intervals."""
    every = [(row["name"], row["test"]) for row in rows]
    drawn = []
    for i, key in enumerate(("accuracy", "log_loss")):
        values = [(name, test[i]) for name, test in every]
        values += [("plain mean", found["soft"].get(key)), (run.name, run.metrics["test"].get(key))]
        estimates = [
            Estimate(name, m["value"], m["low"], m["high"])
            for name, m in values
            if m and m["value"] is not None and m["low"] is not None
        ]
        if estimates:
            drawn.append(forest_chart(estimates, f"test {LABELS[key]}"))
    return drawn
