"""The best settings, trained again as a normal run, which is the first to see test images."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import backbones
from zoo.processes import owner
from zoo.run_names import free_name
from zoo.runs import Run, finished, unfinished
from zoo.settings import describe
from zoo.train.job import finetune
from zoo.tuning.context import StudyContext
from zoo.tuning.result import Study, TrialRecord
from zoo.tuning.session import exclusive
from zoo.tuning.trial_store import TrialStore


def refit(
    study: Study,
    row: TrialRecord,
    store: TrialStore,
    context: StudyContext,
    *,
    runs_dir: str | Path | None,
    with_validation: bool,
) -> Run | None:
    """The run of a trial's settings: trained now, resumed, or found.

    Args:
        study: for the record.
        row: the trial.
        store: notes which run belongs to the trial, so that it is trained once.
        context: of the study.
        runs_dir: folder of the runs.
        with_validation: whether to train on training and validation images together.

    Returns:
        The run, or None if another command or machine trains it.
    """
    key = f"run of {row['stage']} {row['trial']}"
    with exclusive(context.folder):
        noted = store.note(key)
        names = {run.name: run for run in finished(runs_dir)}
        if noted and noted["name"] in names:
            return names[noted["name"]]
        if noted and (where := _elsewhere(noted["owner"])):
            context.progress.say(f"run {noted['name']} is being trained {where}")
            return None
        name = noted["name"] if noted else _name(context, runs_dir)
        store.note(key, {"name": name, "owner": owner.this_process()})
    if name in unfinished(runs_dir):
        return finetune(name=name, runs_dir=runs_dir, resume=True, progress=context.progress)
    context.progress.say(f"training run {name} with the settings of trial {row['trial']}")
    about = {k: row[k] for k in ("stage", "trial", "score", "metrics")}
    counts: dict[str, int] = {}
    for other in study.trials:
        counts[other["stage"]] = counts.get(other["stage"], 0) + 1
    return finetune(
        row["settings"]["backbone"],
        name=name,
        runs_dir=runs_dir,
        progress=context.progress,
        study={
            "name": study.name,
            "metric": study.metric,
            "trials": counts,
            "best": about,
            "edges": study.edges,
            "fixed": _fixed(context),
        },
        **_as_settings(row["settings"], with_validation),
    )


def _elsewhere(other: dict[str, Any]) -> str:
    """Where another process trains the run; empty if none does."""
    if other["host"] != owner.host():
        return f"on {other['host'].partition('/')[0]}"
    mine = other["pid"] == os.getpid()
    return "" if mine or owner.is_gone(other, time.time()) else "by another command"


def _fixed(context: StudyContext) -> dict[str, Any]:
    """The settings that are the same in all trials, besides backbone, data and defaults."""
    given, decided = context.given.as_dict(), context.resolved.settings.as_dict()
    usual = {name: option.default for name, option in describe().items() if name != "data"}
    return {n: decided[n] for n, default in usual.items() if given[n] not in {None, default}}


def _as_settings(settings: dict[str, Any], with_validation: bool) -> dict[str, Any]:
    known = {k: v for k, v in settings.items() if k in describe() and v is not None}
    return {**known, "refit": with_validation}


def _name(context: StudyContext, runs_dir: str | Path | None) -> str:
    settings = context.resolved.settings
    data = Path(settings.data.removeprefix("tfds:")).stem
    return free_name(f"{backbones.short_name(settings.backbone)}-{data}-tuned", runs_dir)
