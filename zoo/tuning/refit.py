"""The best settings, trained once more as a normal run, which is the first to see test images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import backbones
from zoo.runs import Run, finished, free_name, unfinished
from zoo.settings import describe
from zoo.train.job import finetune
from zoo.tuning import owner
from zoo.tuning.bench import Bench
from zoo.tuning.book import Book
from zoo.tuning.result import Row, Study


def refit(
    study: Study, row: Row, book: Book, bench: Bench, *, runs: str | Path | None, whole: bool
) -> Run | None:
    """The run of a trial's settings: trained now, gone on with, or found.

    Args:
        study: for the record.
        row: the trial.
        book: notes which run belongs to the trial, so that it is trained once.
        bench: where and with what.
        runs: folder of the runs.
        whole: whether to train on training and validation images together.

    Returns:
        The run, or None where another machine trains it.
    """
    key = f"run of {row['stage']} {row['trial']}"
    noted = book.note(key)
    if noted and noted["owner"]["host"] != owner.host():
        bench.progress.say(f"run {noted['name']} is trained on {noted['owner']['host']}")
        return None
    names = {run.name: run for run in finished(runs)}
    if noted and noted["name"] in names:
        return names[noted["name"]]
    name = noted["name"] if noted else _name(bench, runs)
    book.note(key, {"name": name, "owner": owner.me()})
    if name in unfinished(runs):
        return finetune(name=name, runs=runs, resume=True, progress=bench.progress)
    bench.progress.say(f"training run {name} with the settings of trial {row['trial']}")
    about = {k: row[k] for k in ("stage", "trial", "score", "metrics")}
    counts: dict[str, int] = {}
    for other in study.rows:
        counts[other["stage"]] = counts.get(other["stage"], 0) + 1
    return finetune(
        row["settings"]["backbone"],
        name=name,
        runs=runs,
        progress=bench.progress,
        study={
            "name": study.name,
            "metric": study.metric,
            "trials": counts,
            "best": about,
            "edges": study.edges,
            "fixed": _fixed(bench),
        },
        **_as_settings(row["settings"], whole),
    )


def _fixed(bench: Bench) -> dict[str, Any]:
    """The settings that are the same in all trials, besides backbone, data and defaults."""
    given, decided = bench.given.as_dict(), bench.resolved.settings.as_dict()
    usual = {name: option.default for name, option in describe().items() if name != "data"}
    return {n: decided[n] for n, default in usual.items() if given[n] not in {None, default}}


def _as_settings(settings: dict[str, Any], whole: bool) -> dict[str, Any]:
    known = {k: v for k, v in settings.items() if k in describe() and v is not None}
    return {**known, "refit": whole}


def _name(bench: Bench, runs: str | Path | None) -> str:
    settings = bench.resolved.settings
    data = Path(settings.data.removeprefix("tfds:")).stem
    return free_name(f"{backbones.short_name(settings.backbone)}-{data}-tuned", runs)
