"""``zoo tune`` and ``zoo sweep``: search, log, and train with what is best."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from zoo.deprecated import renamed_parameters
from zoo.errors import ZooError, disk_errors
from zoo.keywords import SharedSettings, with_settings
from zoo.progress import Progress, for_python
from zoo.settings import Settings
from zoo.train.job import fetch_weights
from zoo.train.plan import ResolvedPlan, collect_settings, resolve
from zoo.tuning import result
from zoo.tuning.context import StudyContext
from zoo.tuning.depths import one_set_of_features
from zoo.tuning.finetune_stage import Search, finetune_stage
from zoo.tuning.grid import choices_of, points_of, read_grid
from zoo.tuning.log import write_best, write_jsonl, write_tensorboard
from zoo.tuning.probe_stage import (
    Features,
    default_head,
    head_names,
    load_features,
    probe_stage,
    promising,
)
from zoo.tuning.refit import refit as refit_run
from zoo.tuning.request import Request, seconds_of
from zoo.tuning.result import Study
from zoo.tuning.session import Place, StudySession, begin, data_of, exclusive, label_of
from zoo.tuning.space import (
    HEAD,
    Dimension,
    Point,
    Space,
    default_point,
    default_space,
    read_space,
)
from zoo.tuning.trial_store import TrialStore

_PROBE_SHARE = 1 / 3  # of the time, at most


@with_settings("folds", "refit", "teacher", "teacher_weight")
@renamed_parameters("probes", "runs")
def tune(
    backbone: str | None = None,
    data: str | Path | None = None,
    *,
    trials: int = 20,
    head_trials: int = 100,
    timeout: str | float | None = None,
    metric: str = "accuracy",
    jobs: int = 1,
    storage: str | None = None,
    space: str | Path | None = None,
    prune: bool = True,
    refit: bool = True,
    top: int = 1,
    mlflow: str | None = None,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    config: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Unpack[SharedSettings],
) -> Study:
    """Search for the best settings on validation images, and train a run with them.

    Penalties of the head and class weights are searched first, on frozen features, where a trial
    takes about a second; the best of them are then fine-tuned with varying other settings (TPE,
    Bergstra et al. 2011, as in Optuna). The same call continues a study that was interrupted,
    and joins one that runs on another machine. Trials see no test images.

    Args:
        backbone, data, config, runs_dir, progress: see :func:`zoo.finetune`.
        trials: trials in total, of this call and earlier ones.
        head_trials: heads that are tried first; 0 to search for everything by training. From
            scratch there are none.
        timeout: of the search, in seconds or such as ``1h30m``.
        metric: ``accuracy``, ``f1``, ``auc`` or ``log_loss``, on validation.
        jobs: runs at a time on this machine.
        storage: see :func:`zoo.tuning.storage.open_storage`.
        space: file that says what is searched, instead of the backbone's own space.
        prune: stop trials that are in the lower third after an epoch.
        refit: train a run with the best settings, on training and validation images together.
        top: number of diverse trials to make runs of.
        mlflow: tracking URI, to log trials there as well.
        name: of the study; backbone and data if None.
        **settings: the same in all trials, each by its name.

    Returns:
        What was found; its folder is ``studies/NAME`` in the folder of the runs.

    Raises:
        ZooError, BackboneError: one sentence that says what is wrong.
    """
    progress = progress or for_python()
    request = Request(trials, head_trials, metric, jobs, seconds_of(timeout), prune, top)
    given = collect_settings(backbone, data, config, settings, progress)
    own_space = None
    if space is not None:
        own_space, fixed = read_space(Path(space), _checked(given))
        given = given.changed(**fixed)
    resolved = _checked(given)
    place = Place(name, runs_dir, storage, mlflow)
    fetch_weights(resolved, progress)
    dataset = data_of(resolved, place, progress)
    given = one_set_of_features(given, dataset, own_space or {}, progress)
    resolved = _checked(given)
    pinned = set(settings) | _config_names(config)
    of_all = default_space(resolved) if own_space is None else own_space
    searched = {n: d for n, d in of_all.items() if n not in pinned}
    session = begin(given, resolved, dataset, request, searched, place, progress)
    with session.running():
        _search(session, searched)
    return _finished(session, refit)


@with_settings("folds", "refit", "teacher", "teacher_weight")
@renamed_parameters("runs")
def sweep(
    grid: str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]],
    backbone: str | None = None,
    data: str | Path | None = None,
    *,
    timeout: str | float | None = None,
    metric: str = "accuracy",
    jobs: int = 1,
    storage: str | None = None,
    refit: bool = False,
    top: int = 1,
    mlflow: str | None = None,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    config: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Unpack[SharedSettings],
) -> Study:
    """Train with every combination of some settings, or with each of a list of settings.

    Args:
        grid: a file, or its content: settings with lists of values, or a list of settings.
        backbone: where the grid names none.
        refit: train a run with the best settings.
        data, timeout, metric, jobs, storage, top, mlflow, name, runs_dir, config, progress,
            settings: see :func:`tune`.

    Raises:
        ZooError, BackboneError: one sentence that says what is wrong.
    """
    progress = progress or for_python()
    points = read_grid(Path(grid)) if isinstance(grid, str | Path) else points_of(grid, "the grid")
    request = Request(None, 0, metric, jobs, seconds_of(timeout), False, top)
    given = collect_settings(
        backbone or points[0].get("backbone"), data, config, settings, progress
    )
    resolved = _checked(given)
    for point in points:
        resolve(given.changed(**point))  # refused now rather than trial after trial
    place = Place(name or f"sweep-{label_of(resolved)}", runs_dir, storage, mlflow)
    dataset = data_of(resolved, place, progress)
    session = begin(given, resolved, dataset, request, points, place, progress)
    with session.running():
        with exclusive(session.context.folder):
            enqueue_points(session.store, points)
        _finetune(session, Search(None, dict, None, False, session.log))
    session.spaces = {
        "finetune": {n: Dimension(n, choices=tuple(c)) for n, c in choices_of(points).items()}
    }
    return _finished(session, refit)


def _checked(given: Settings) -> ResolvedPlan:
    if given.folds:
        raise ZooError("trials are judged by the validation split: leave --folds out")
    return resolve(given)


def _config_names(config: str | Path | None) -> set[str]:
    from zoo.config_files import read_config

    return set(read_config(Path(config))) if config else set()


def _search(session: StudySession, searched: Space) -> None:
    """Both stages."""
    heads: dict[str, Point] = {}
    context, fine = session.context, searched
    if session.probes is not None:
        head = {n: d for n, d in searched.items() if n in HEAD}
        fine = {n: d for n, d in searched.items() if n not in HEAD}
        session.spaces["probe"] = head
        heads = _probed(session, head)
        if context.resolved.probe_only:
            return
        fine["head"] = Dimension("head", choices=head_names())
    if context.why_stop():
        return
    if context.resolved.probe_only:
        raise ZooError("--set unfreeze=none leaves nothing to search without --head-trials")
    if not fine:
        raise ZooError("nothing is left to search: every setting of the space is pinned")
    session.spaces["finetune"] = fine
    _enqueue_first(session, fine, heads)

    def settings_of(point: Point) -> Point:
        rest = {n: v for n, v in point.items() if n != "head"}
        return {**heads.get(point.get("head", ""), {}), **rest}

    request = session.request
    _finetune(session, Search(fine, settings_of, request.trials, request.prune, session.log))


def _finetune(session: StudySession, search: Search) -> None:
    try:
        finetune_stage(session.store, search, session.context)
    finally:
        session.log()


def _probed(session: StudySession, head: Space) -> dict[str, Point]:
    """Do the first stage; the heads to continue with, which stay the same once they are chosen."""
    assert session.probes is not None
    known = session.store.note("heads")
    if known and session.probes.counted() >= session.request.head_trials:
        return dict(known)
    context, features = session.context, load_features(session.context)
    share = time.monotonic() + session.request.seconds * _PROBE_SHARE
    # small products: the processes of other jobs do not run yet, so all cores are free
    probe_stage(
        session.probes,
        head,
        features,
        replace(context, deadline=min(context.deadline, share)),
        session.request.head_trials,
    )
    session.log()
    if known:
        return dict(known)
    found = _heads(session.probes, head, features, context)
    if not context.stop.is_set():
        session.store.note("heads", found)
    return found


def _heads(
    probes: TrialStore, head: Space, features: Features, context: StudyContext
) -> dict[str, Point]:
    usual = default_head(probes, features, context.resolved.settings)
    return promising(probes, head, context.metric, usual)


def enqueue_points(store: TrialStore, points: Sequence[Point]) -> None:
    """Every point once, also where an earlier command was killed between two of them."""
    if store.note("begun"):
        return
    store.note("choices", choices_of(points))
    for point in points:
        store.enqueue([point], point=point)
    store.note("begun", True)


def _enqueue_first(session: StudySession, space: Space, heads: Mapping[str, Point]) -> None:
    """The default settings first, then the same on the best head."""
    with exclusive(session.context.folder):
        if session.store.note("begun"):
            return
        point = default_point(space, session.context.resolved)
        session.store.enqueue([point], default=True)
        if heads:
            session.store.enqueue([{**point, "head": head_names()[1]}])
        session.store.note("begun", True)


def _finished(session: StudySession, refit: bool) -> Study:
    """What came of it, with runs of the best trials, written down."""
    from zoo.tuning.page import write_page

    study = _conclude(session)
    if not session.context.stop.is_set():
        study = _with_runs(study, session, refit)
    with disk_errors(study.path):
        if not session.context.stop.is_set():  # it imports TensorFlow, for which Ctrl-C is no time
            write_tensorboard(study)
        write_page(study)
    return study


def _conclude(session: StudySession) -> Study:
    """What came of it."""
    stores = {"probe": session.probes, "finetune": session.store}
    shares = {stage: result.importances(store) for stage, store in stores.items() if store}
    study = Study(
        session.name,
        session.context.folder,
        session.request.metric,
        session.trials(),
        session.spaces,
        {stage: found for stage, found in shares.items() if found},
        [],
        stopped=session.context.why_stop(),
    )
    _complete_probe_rows(study, session)
    for stage, space in session.spaces.items():
        if best := study.ranked(stage):
            study.edges.extend(result.edges(space, best[0]["params"]))
    if study.ranked() or study.ranked("probe"):
        write_best(session.context.folder / "best.json", study.best["settings"])
    write_jsonl(session.context.folder / "trials.jsonl", study.trials)
    data = session.context.dataset
    against = result.against_default(study, session.context.val_labels, data.groups[data.split.val])
    return replace(study, against_default=against)


def _complete_probe_rows(study: Study, session: StudySession) -> None:
    """Give the trials on frozen features the settings that a run of them would have."""
    if session.probes is None:
        return
    usual = session.probes.note("default_head") or {}
    for row in study.trials:
        if row["stage"] == "probe":
            tried = {**usual, **row["params"], "unfreeze": "none"}
            row["settings"] = session.context.resolved.settings.changed(**tried).as_dict()


def _with_runs(study: Study, session: StudySession, with_validation: bool) -> Study:
    """The study with runs of its best trials.

    Args:
        study: all trials.
        session: what they were made by.
        with_validation: whether to train on training and validation images together.
    """
    context, top, runs_dir = session.context, session.request.top, session.place.runs_dir
    if not with_validation and top == 1:
        return study
    rows = result.diverse(study, context.val_labels, top) if top > 1 else [study.best]
    made = {}
    for row in rows:
        run = refit_run(
            study, row, session.store, context, runs_dir=runs_dir, with_validation=with_validation
        )
        if run is not None:
            made[row["trial"]] = run
    return replace(study, runs=made)
