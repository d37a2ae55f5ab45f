"""The page that compares several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensembles import PredictionTable, align
from ensembles.comparison import compare, mcnemar
from ensembles.probabilities import log_loss
from zoo.data.value_range import scale_of
from zoo.errors import ZooError
from zoo.evaluate.labels import LABELS
from zoo.pages.charts.intervals import Estimate, forest_chart
from zoo.progress import Progress
from zoo.reporting.pictures import Album
from zoo.reporting.scores import class_scores, confusion
from zoo.reporting.sections import TITLES, describe, kind_of, picture_note, tables_of, with_interval
from zoo.runs import Run
from zoo.words import counted, listed

_MOST = 8  # runs: more cannot be read on a page
_SHOWN = 24  # pictures per run
_LEVEL = 0.05  # of the tests of classes, corrected for their number


def context(runs: Sequence[Run], progress: Progress) -> dict[str, Any]:
    """The content of the template.

    Raises:
        ZooError: too many runs, one twice, or predictions are missing.
        EnsembleError: the runs are of other data or another split.
    """
    _check(runs)
    every = [tables_of(run) for run in runs]
    names = [run.name for run in runs]
    # out-of-fold and validation predictions are of different images
    shared = "oof" if all("oof" in tables for tables in every) else "val"
    judged = align([_table(run, t, shared) for run, t in zip(runs, every, strict=True)], names)
    tested = [tables["test"] for tables in every if "test" in tables]
    splits = {shared: judged}
    if len(tested) == len(runs):
        splits["test"] = align(tested, names)
    album = Album(Path(str(runs[0].record["data"]["root"])), scale_of(runs[0]))
    alone = [_alone(judged, i) for i in range(len(runs))]
    album.read([str(judged[0].ids[r]) for rows in alone for r in rows[:_SHOWN]], progress)
    asked = sum(len(rows[:_SHOWN]) for rows in alone)
    return {
        "runs": [run.name for run in runs],
        "about": _about(runs),
        "headline": _headline(runs, next(reversed(splits.values()))),
        "splits": [_split(runs, tables) for tables in reversed(splits.values())],
        "note": picture_note(album, asked),
        "judged": TITLES[shared].lower(),
        "alone": [_gallery(judged, i, names, rows, album) for i, rows in enumerate(alone)],
        "pictures": album.all,
    }


def _check(runs: Sequence[Run]) -> None:
    if len(runs) > _MOST:
        raise ZooError(f"{len(runs)} runs are too many for one page: name at most {_MOST}")
    places = [run.path.resolve() for run in runs]
    for i, run in enumerate(runs):
        if places[i] in places[:i]:
            raise ZooError(f"run {run.name!r} is named twice: name each run once")


def _table(run: Run, tables: dict[str, PredictionTable], split: str) -> PredictionTable:
    return tables[split] if split in tables else run.predictions(split)


def _split(runs: Sequence[Run], tables: Sequence[PredictionTable]) -> dict[str, Any]:
    names, split = [run.name for run in runs], tables[0].split
    return {
        "key": split,
        "title": TITLES[split],
        "about": describe(split, len(tables[0])),
        "ranking": [
            {"rank": rank, "entries": [_entry(runs[i], split) for i in group]}
            for rank, group in _ranked(tables)
        ],
        "metrics": [
            (run.name, [run.metrics.get(split, {}).get(key) for key in LABELS]) for run in runs
        ],
        "labels": list(LABELS.values()),
        "forests": _forests(runs, split),
        "verdicts": _verdicts(tables, names),
        "classes": _classes(tables),
    }


def _ranked(tables: Sequence[PredictionTable]) -> list[tuple[int, list[int]]]:
    """Rank to the runs that share it, by log loss.

    A rank has all runs that are not worse than its first one by the paired test, so that a run is
    in a lower rank only if it is distinguishable from the leader of the rank above.
    """
    order = sorted(
        range(len(tables)), key=lambda i: log_loss(tables[i].probabilities, tables[i].labels)
    )
    groups: list[list[int]] = []
    for i in order:
        leader = groups[-1][0] if groups else None
        if leader is not None and compare(tables[i], tables[leader]).by_log_loss != "worse":
            groups[-1].append(i)
        else:
            groups.append([i])
    ranks, before = [], 0
    for group in groups:
        ranks.append((before + 1, group))
        before += len(group)
    return ranks


def _entry(run: Run, split: str) -> dict[str, Any]:
    """A run in the ranking, with the two metrics that people compare first."""
    found = run.metrics.get(split, {})
    figures = [
        f"{LABELS[name]} {with_interval(found[name])}"
        for name in ("accuracy", "log_loss")
        if found.get(name) and found[name]["value"] is not None
    ]
    title = kind_of(run)
    if run.kind != "ensemble":
        title += f", {run.view[0]} px"
    if run.milliseconds is not None:
        title += f", {run.milliseconds:.1f} ms per image"
    return {"name": run.name, "title": title, "figures": figures}


def _about(runs: Sequence[Run]) -> str:
    """Names of the runs, and the data that they share."""
    data = runs[0].record["data"]
    classes = counted(len(runs[0].classes), "class", "classes")
    return f"{', '.join(run.name for run in runs)} · {data['name']} · {classes}"


def _headline(runs: Sequence[Run], tables: Sequence[PredictionTable]) -> str:
    """Which run is best, in one sentence."""
    (_, first), *rest = _ranked(tables)
    names = [runs[i].name for i in first]
    where = f"{counted(len(tables[0]), 'image')} of the {TITLES[tables[0].split].lower()} split"
    if not rest:
        return f"{listed(names)} cannot be told apart by log loss on {where}."
    worse = listed([runs[i].name for _, group in rest for i in group])
    verb = "is" if sum(len(group) for _, group in rest) == 1 else "are"
    if len(names) == 1:
        return f"{names[0]} has the lowest log loss on {where}; {worse} {verb} worse."
    others = listed(names[1:])
    return (
        f"{names[0]} has the lowest log loss on {where}, but {others} cannot be told apart from "
        f"it; {worse} {verb} worse."
    )


def _forests(runs: Sequence[Run], split: str) -> list[Any]:
    drawn = []
    for key, label in LABELS.items():
        found = [(run.name, run.metrics.get(split, {}).get(key)) for run in runs]
        rows = [
            Estimate(name, m["value"], m["low"], m["high"])
            for name, m in found
            if m and m["value"] is not None and m["low"] is not None and m["high"] is not None
        ]
        if len(rows) > 1:
            drawn.append(forest_chart(rows, label))
    return drawn


def _verdicts(tables: Sequence[PredictionTable], names: Sequence[str]) -> list[dict[str, Any]]:
    """A paired test of every pair."""
    return [
        {"first": names[i], "second": names[j], "test": compare(tables[i], tables[j])}
        for i in range(len(tables))
        for j in range(i + 1, len(tables))
    ]


def _classes(tables: Sequence[PredictionTable]) -> list[dict[str, Any]]:
    """Recall of each class by each run; for two runs, whether they differ."""
    names, labels = tables[0].classes.tolist(), tables[0].labels
    scores = [class_scores(confusion(table), names) for table in tables]
    correct = [table.probabilities.argmax(axis=1) == labels for table in tables]
    rows = []
    for k, name in enumerate(names):
        own = labels == k
        row: dict[str, Any] = {
            "name": name,
            "count": int(own.sum()),
            "recalls": [found[k].recall for found in scores],
            "f1s": [found[k].f1 for found in scores],
        }
        if len(tables) == 2:
            first = int((correct[0] & ~correct[1] & own).sum())
            second = int((correct[1] & ~correct[0] & own).sum())
            # some of many classes differ by chance: Bonferroni
            p = min(1.0, mcnemar(first, second) * len(names))
            better = "first" if first > second else "second"
            row |= {"only": (first, second), "better": better if p < _LEVEL else ""}
        rows.append(row)
    return rows


def _alone(tables: Sequence[PredictionTable], index: int) -> np.ndarray:
    """Rows of images that only this run classifies correctly, the most confident first."""
    labels = tables[0].labels
    correct = np.stack([table.probabilities.argmax(axis=1) == labels for table in tables])
    rows = np.flatnonzero(correct[index] & (correct.sum(axis=0) == 1))
    sure = tables[index].probabilities[rows, labels[rows]]
    return rows[np.argsort(-sure, kind="stable")]


def _gallery(
    tables: Sequence[PredictionTable],
    index: int,
    names: Sequence[str],
    rows: np.ndarray,
    album: Album,
) -> dict[str, Any]:
    classes = tables[0].classes.tolist()
    shots = []
    for r in rows[:_SHOWN].tolist():
        others = dict.fromkeys(
            classes[int(t.probabilities[r].argmax())] for i, t in enumerate(tables) if i != index
        )
        label = int(tables[0].labels[r])
        sample = str(tables[0].ids[r])
        sure = float(tables[index].probabilities[r, label])
        shots.append(
            {
                "id": sample,
                "note": f"{classes[label]} ({sure:.2f}); others predict {', '.join(others)}",
                "picture": album.get(sample),
                "heat_predicted": "",
                "heat_true": "",
                "filter": None,
                "loss": None,
            }
        )
    return {"name": names[index], "shots": shots, "count": len(rows), "open": index < 2}
