"""Parts of a page that are the same for one run and for several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ensembles import PredictionTable
from ensembles.calibration import scaled
from zoo.errors import ZooError
from zoo.evaluate.labels import LABELS
from zoo.pages.charts.classification import (
    COLOURED,
    confusion_chart,
    curves_chart,
    reliability_chart,
)
from zoo.pages.charts.intervals import whisker
from zoo.reporting.pictures import Album, counted_reasons
from zoo.reporting.scores import (
    class_scores,
    confusion,
    precision_recall_curves,
    reliability,
    roc_curves,
)
from zoo.runs import Run

TITLES = {"oof": "Out-of-fold", "val": "Validation", "test": "Test"}
_WORDS = {
    "oof": "{n:,} images, each judged by a network that was not trained on it.",
    "val": "{n:,} validation images. Epochs, penalties and temperature were chosen on them, so "
    "that these figures are a little too good.",
    "test": "{n:,} test images, predicted once at the end. Nothing was chosen on them.",
}
_FEW = 50
_PAIRS = 12


def tables_of(run: Run) -> dict[str, PredictionTable]:
    """What a run stores of its predictions: first what may be looked into, then the test.

    Raises:
        ZooError: no predictions but at most the test's.
        EnsembleError: damaged.
    """
    there = [s for s in TITLES if (run.path / "predictions" / f"{s}.npz").is_file()]
    judged = [split for split in there if split != "test"][:1]
    if not judged:
        again = f"zoo finetune --config {run.path / 'run.json'} --name {run.name[:90]}-again"
        raise ZooError(
            f"run {run.name!r} has no predictions of validation images to report on "
            f"({run.path / 'predictions' / 'val.npz'} is missing): `{again}` makes them"
        )
    return {
        split: run.predictions(split) for split in [*judged, *there] if split in (*judged, "test")
    }


def describe(split: str, n: int) -> str:
    """What the images of a split are, in a sentence."""
    few = f" With {n} images, most differences are chance." if n < _FEW else ""
    return _WORDS[split].format(n=n) + few


def temperature_of(run: Run) -> float | None:
    """What the stored probabilities were scaled by; None where it was not one number for all."""
    trained = run.trained
    if run.kind == "ensemble" or len(trained) != 1:
        return None
    found = trained[0].get("temperature")
    return float(found) if found else None


def split_section(run: Run, table: PredictionTable) -> dict[str, Any]:
    """Classes, confidence and curves by the predictions of one split."""
    matrix = confusion(table)
    names = table.classes.tolist()
    roc, roc_legend = curves_chart(
        roc_curves(table), "false positive rate (up: true positive rate)", len(names)
    )
    pr, pr_legend = curves_chart(
        precision_recall_curves(table), "recall (up: precision)", len(names)
    )
    before = _before(run, table)
    return {
        "key": table.split,
        "title": TITLES[table.split],
        "about": describe(table.split, len(table)),
        "classes": class_scores(matrix, names),
        "confusion": confusion_chart(matrix, names),
        "pairs": _pairs(matrix, names),
        "reliability": reliability_chart(reliability(table.probabilities, table.labels), before),
        "before": bool(before),
        "error": run.metrics.get(table.split, {}).get("calibration_error"),
        "roc": roc,
        "roc_legend": roc_legend,
        "pr": pr,
        "pr_legend": pr_legend,
        "more": len(names) > COLOURED,
    }


def _before(run: Run, table: PredictionTable) -> list[Any]:
    """Reliability as it was before the temperature was scaled."""
    temperature = temperature_of(run)
    if temperature is None or temperature == 1.0:
        return []
    return reliability(scaled(table.probabilities, 1 / temperature), table.labels)


def _pairs(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent mistakes."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    cells = [divmod(int(cell), len(matrix)) for cell in order]
    return [
        {
            "label": names[i],
            "predicted": names[j],
            "count": int(wrong[i, j]),
            "of": int(matrix[i].sum()),
        }
        for i, j in cells
        if wrong[i, j]
    ]


def cards(run: Run, splits: Iterable[str]) -> list[dict[str, Any]]:
    """The headline: a metric each, of the last split large and of the others beside it."""
    order = [split for split in splits if split in run.metrics]
    if not order:
        return []
    main, others = order[-1], order[:-1]
    made = []
    for name, label in LABELS.items():
        found = run.metrics[main].get(name)
        if not found or found["value"] is None:
            continue
        top = float(np.log(len(run.classes))) if name == "log_loss" else 1.0
        ends = (0.0, max(top, found["high"] or 0.0))
        low = found["value"] if found["low"] is None else found["low"]
        high = found["value"] if found["high"] is None else found["high"]
        beside = [(TITLES[s].lower(), run.metrics[s].get(name)) for s in others]
        made.append(
            {
                "label": label,
                "found": found,
                "whisker": whisker(found["value"], low, high, ends),
                "others": [(title, m) for title, m in beside if m],
            }
        )
    return made


def about(run: Run) -> str:
    """What a run is, in a line."""
    data = run.record["data"]
    size = run.settings.get("size") if isinstance(run.settings, dict) else None
    parts = [
        run.title,
        f"{data['images']:,} images of {data['name']}",
        f"{len(run.classes)} classes",
    ]
    parts += [f"{size} px"] if size else []
    return " · ".join([*parts, f"trained {str(run.record['created'])[:10]}"])


def picture_note(album: Album, asked: int) -> str:
    """What is missing of the pictures, empty where nothing is."""
    if not album.missing:
        return ""
    which = f"{len(album.missing)} of {asked} pictures" if album.all else "No picture"
    verb = "could not be read" if album.all else "could be read"
    return (
        f"{which} {verb} ({counted_reasons(album.missing)}): the images are not where they were "
        f"when the run was trained. The figures are of the stored predictions and are not affected."
    )
