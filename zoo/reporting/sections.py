"""Parts that the page of one run and that of several share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from zoo.records import CombinationRecord
from zoo.reporting.pictures import Album, counted_reasons
from zoo.reporting.scores import (
    class_scores,
    confusion,
    precision_recall_curves,
    reliability,
    roc_curves,
)
from zoo.runs import Run
from zoo.words import counted, listed

TITLES = {"oof": "Out-of-fold", "val": "Validation", "test": "Test"}
_WORDS = {
    "oof": "{n:,} images, each predicted by a network that was not trained on it.",
    "val": "{n:,} validation images. Epochs, penalties and temperature were chosen on them, so "
    "these metrics are optimistically biased.",
    "test": "{n:,} test images, predicted once at the end. Nothing was chosen on them.",
}
_FEW = 50  # images below which most differences are chance
_PAIRS = 12  # of confused classes that are listed
LOWER_IS_BETTER = frozenset({"log_loss", "calibration_error"})


def tables_of(run: Run) -> dict[str, PredictionTable]:
    """Stored predictions of a run: first those of which images may be shown, then the test's.

    Raises:
        ZooError: no predictions except perhaps the test's.
        EnsembleError: damaged.
    """
    there = [s for s in TITLES if run.has(f"predictions/{s}.npz")]
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
    """A sentence about the images of a split."""
    few = f" With {n} images, most differences are chance." if n < _FEW else ""
    return _WORDS[split].format(n=n) + few


def temperature_of(run: Run) -> float | None:
    """The temperature of the stored probabilities; None if there is not one for all."""
    trained = run.trained
    if run.kind == "ensemble" or len(trained) != 1:
        return None
    found = trained[0].get("temperature")
    return float(found) if found else None


def split_section(run: Run, table: PredictionTable) -> dict[str, Any]:
    """Classes, confidence and curves from the predictions of one split."""
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
    """Reliability before temperature scaling."""
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
    """One tile per metric: the last split large, the others below it."""
    order = [split for split in splits if split in run.metrics]
    if not order:
        return []
    main, others = order[-1], order[:-1]
    made: list[dict[str, Any]] = []
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
                "label": f"{TITLES[main].lower()} {label}",
                "way": "lower is better" if name in LOWER_IS_BETTER else "higher is better",
                "found": found,
                "whisker": whisker(found["value"], low, high, ends),
                "others": [(title, m) for title, m in beside if m],
            }
        )
    return made


def with_interval(found: Mapping[str, Any]) -> str:
    """A metric as text: ``0.912 [0.880, 0.941]``."""
    if found.get("low") is None or found.get("high") is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def headline(run: Run, splits: Iterable[str]) -> str:
    """The result of a run in one sentence, as one would tell a colleague."""
    order = [split for split in splits if split in run.metrics]
    data, what = run.record["data"], kind_of(run)
    on = f"{data['name']} ({counted(len(run.classes), 'class', 'classes')})"
    found = run.metrics[order[-1]].get("accuracy") if order else None
    if not found or found["value"] is None:
        return f"{what[0].upper()}{what[1:]} was trained on {on}; the run has no metrics."
    split, n = TITLES[order[-1]].lower(), int(found.get("n") or 0)
    images = counted(n, f"{split} image") if n else f"the {split} images"
    combination = run.record.get("combination")
    if combination is None:
        return f"On {images} of {on}, {what} reaches an accuracy of {with_interval(found)}."
    gain = _gain(combination)
    return f"{gain} Its accuracy on {images} of {on} is {with_interval(found)}."


def _gain(found: CombinationRecord) -> str:
    """What an ensemble gains over its best member, in a sentence."""
    test, best = found["against_best"], found["best_member"]
    if found["members"] == [best]:
        return f"No combination was better than {best} alone, so the ensemble is this one member."
    gain = f"{test['accuracy']:+.3f} accuracy, {test['log_loss']:+.3f} log loss"
    clear = {"accuracy": test["by_accuracy"], "log loss": test["by_log_loss"]}
    said = [f"{how} by {metric}" for metric, how in clear.items() if how in ("better", "worse")]
    of = counted(len(found["members"]), "run")
    if not said:
        return f"Combining {of} is not distinguishable from the best of them, {best} ({gain})."
    return f"Combining {of} is {listed(said)} than the best of them, {best} ({gain})."


def kind_of(run: Run) -> str:
    """The backbone of a run, or how many runs an ensemble combines and how."""
    found = run.record.get("combination")
    if found is None:
        return str(run.settings["backbone"])
    if len(found["members"]) == 1:
        return f"the member {found['members'][0]} alone"
    return f"{counted(len(found['members']), 'run')} combined by {found['method']}"


def about(run: Run) -> str:
    """Backbone or method, data, classes, size and date of a run, in a line."""
    data = run.record["data"]
    size = run.settings.get("size") if isinstance(run.settings, dict) else None
    parts = [
        kind_of(run),
        f"{data['images']:,} images of {data['name']}",
        f"{len(run.classes)} classes",
    ]
    parts += [f"{size} px"] if size else []
    return " · ".join([*parts, f"trained {str(run.record['created'])[:10]}"])


def picture_note(album: Album, asked: int) -> str:
    """A sentence about pictures that are missing; empty if none are."""
    if not album.missing:
        return ""
    which = f"{len(album.missing)} of {asked} pictures" if album.all else "No picture"
    verb = "could not be read" if album.all else "could be read"
    return (
        f"{which} {verb} ({counted_reasons(album.missing)}): the images were moved or changed "
        f"since the run was trained. Metrics come from stored predictions and are not affected."
    )
