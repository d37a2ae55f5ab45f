"""``zoo tune`` and ``zoo sweep``: search, log, and train with what is best."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import backbones
from zoo.data.dataset import Dataset, load
from zoo.errors import ZooError, disk_errors
from zoo.paths import runs_dir
from zoo.progress import Silent
from zoo.runs import check_name
from zoo.settings import Settings
from zoo.train.job import fetch_weights
from zoo.train.plan import Resolved, gather, resolve
from zoo.train.remarks import data_remarks
from zoo.tuning import result
from zoo.tuning.bench import Bench
from zoo.tuning.book import Book
from zoo.tuning.finetune_stage import Search, finetune_stage
from zoo.tuning.log import Mlflow, write_best, write_jsonl, write_tensorboard
from zoo.tuning.probe_stage import (
    Features,
    default_head,
    head_names,
    load_features,
    probe_stage,
    promising,
)
from zoo.tuning.refit import refit as refit_run
from zoo.tuning.result import Row, Study
from zoo.tuning.score import check_metric, direction
from zoo.tuning.space import (
    HEAD,
    Dimension,
    Point,
    Space,
    default_point,
    default_space,
    read_space,
)
from zoo.tuning.storage import import_optuna, open_storage, storage_errors

_PROBE_SHARE = 1 / 3  # of the time, at most


@dataclass(frozen=True)
class Request:
    """How to search, beside what."""

    trials: int | None
    probes: int
    metric: str
    jobs: int
    seconds: float
    prune: bool

    def __post_init__(self) -> None:
        check_metric(self.metric)
        if self.trials is not None and self.trials < 1:
            raise ZooError(f"trials must be at least 1, not {self.trials}")
        if self.probes < 0:
            raise ZooError(f"probes must be at least 0, not {self.probes}")
        if self.jobs < 1:
            raise ZooError(f"jobs must be at least 1, not {self.jobs}")


def tune(
    backbone: str | None = None,
    data: str | Path | None = None,
    *,
    trials: int = 20,
    probes: int = 100,
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
    runs: str | Path | None = None,
    config: str | Path | None = None,
    progress: Silent | None = None,
    **settings: Any,
) -> Study:
    """Search for the best settings on validation images, and train a run with them.

    Penalties of the head and class weights are settled first, on frozen features, where a trial
    takes about a second; the best of them are then fine-tuned with varying other settings (TPE,
    Bergstra et al. 2011, as in Optuna). The same call goes on with a study that was interrupted,
    and joins one that runs on another machine. Trials see no test images.

    Args:
        backbone, data, config, runs, progress: see :func:`zoo.finetune`.
        trials: trainings in all, of this call and earlier ones.
        probes: heads that are tried first; 0 to search for everything by training. From scratch
            there are none.
        timeout: of the search, in seconds or such as ``1h30m``.
        metric: ``accuracy``, ``f1``, ``auc`` or ``log_loss``, on validation.
        jobs: trainings at a time on this machine.
        storage: see :func:`zoo.tuning.storage.open_storage`.
        space: file that says what is searched, instead of the backbone's own space.
        prune: stop trainings that are in the lower third after an epoch.
        refit: train a run with the best settings, on training and validation images together.
        top: number of diverse trials to make runs of.
        mlflow: tracking URI, to log trials there as well.
        name: of the study; backbone and data where None.
        **settings: the same in all trials; see :class:`zoo.settings.Settings`.

    Returns:
        What was found; its folder is ``studies/NAME`` in the folder of the runs.

    Raises:
        ZooError, BackboneError: one sentence that says what is wrong.
    """
    progress = progress or Silent()
    request = Request(trials, probes, metric, jobs, seconds_of(timeout), prune)
    if top < 1:
        raise ZooError(f"top must be at least 1, not {top}")
    given = gather(backbone, data, config, settings, progress)
    resolved = _checked(given)
    whole = default_space(resolved)
    if space is not None:
        whole, fixed = read_space(Path(space), resolved)
        given = given.changed(**fixed)
        resolved = _checked(given)
    pinned = set(settings) | _config_names(config)
    whole = {n: d for n, d in whole.items() if n not in pinned}
    fetch_weights(resolved, progress)
    work = _begin(given, resolved, request, name, runs, storage, whole, mlflow, progress)
    with storage_errors(storage), disk_errors(work.bench.folder), work.bench.gentle_interrupts():
        _search(work, whole)
    study = _conclude(work)
    if not work.bench.stop.is_set():
        study = _with_runs(study, work, runs, refit=refit, top=top)
    _publish(study)
    return study


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
    runs: str | Path | None = None,
    config: str | Path | None = None,
    progress: Silent | None = None,
    **settings: Any,
) -> Study:
    """Train with every combination of some settings, or with each of a list of settings.

    Args:
        grid: a file, or its content: settings with lists of values, or a list of settings.
        backbone: where the grid names none.
        refit: train a run with the best settings.
        data, timeout, metric, jobs, storage, top, mlflow, name, runs, config, progress, settings:
            see :func:`tune`.

    Raises:
        ZooError, BackboneError: one sentence that says what is wrong.
    """
    from zoo.tuning.grid import choices_of, points_of, read_grid

    progress = progress or Silent()
    points = read_grid(Path(grid)) if isinstance(grid, str | Path) else points_of(grid, "the grid")
    request = Request(None, 0, metric, jobs, seconds_of(timeout), prune=False)
    given = gather(backbone or points[0].get("backbone"), data, config, settings, progress)
    resolved = _checked(given)
    for point in points:
        resolve(given.changed(**point))  # refused now rather than trial after trial
    label = name or f"sweep-{_label(resolved)}"
    work = _begin(given, resolved, request, label, runs, storage, points, mlflow, progress)
    with storage_errors(storage), disk_errors(work.bench.folder), work.bench.gentle_interrupts():
        if work.book.created:
            work.book.note("choices", choices_of(points))
            for point in points:
                work.book.study.enqueue_trial(point, user_attrs={"point": point})
        _finetune(work, Search(None, dict, None, False, work.log))
    work.spaces = {
        "finetune": {n: Dimension(n, choices=tuple(c)) for n, c in choices_of(points).items()}
    }
    study = _conclude(work)
    if refit and not work.bench.stop.is_set():
        study = _with_runs(study, work, runs, refit=True, top=top)
    _publish(study)
    return study


@dataclass
class _Work:
    """A study under way."""

    name: str
    bench: Bench
    request: Request
    book: Book
    probes: Book | None
    spaces: dict[str, Space]
    mlflow: Mlflow | None

    def rows(self) -> list[Row]:
        """All trials."""
        first = result.rows_of(self.probes, "probe") if self.probes else []
        return [*first, *result.rows_of(self.book, "finetune")]

    def log(self, number: int) -> None:
        """Keep what a trial of fine-tuning gave."""
        rows = self.rows()
        write_jsonl(self.bench.folder / "trials.jsonl", rows)
        if self.mlflow:
            mine = [r for r in rows if r["stage"] == "finetune" and r["trial"] == number]
            self.mlflow.log(mine[0])


def seconds_of(timeout: str | float | None) -> float:
    """Seconds of ``90``, ``90s``, ``30m``, ``1h30m``; infinity of None.

    Raises:
        ZooError: it is no time, or not above zero.
    """
    if timeout is None:
        return float("inf")
    text = str(timeout).strip().lower()
    found = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", text)
    try:
        parts = [float(part or 0) for part in found.groups()] if found and text else [0.0]
    except ValueError:
        parts = [0.0]
    total = sum(x * unit for x, unit in zip(parts, (3600, 60, 1), strict=False))
    if total <= 0:
        raise ZooError(f"timeout must be a time such as 1h, 30m or 90s, not {timeout!r}")
    return total


def _checked(given: Settings) -> Resolved:
    if given.folds:
        raise ZooError("trials are judged by the validation split: leave --folds out")
    return resolve(given)


def _config_names(config: str | Path | None) -> set[str]:
    from zoo.settings import read_config

    return set(read_config(Path(config))) if config else set()


def _label(resolved: Resolved) -> str:
    data = Path(resolved.settings.data.removeprefix("tfds:")).stem
    stem = f"{backbones.short_name(resolved.spec.name)}-{data}"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:90].strip("-._") or "study"


def _begin(
    given: Settings,
    resolved: Resolved,
    request: Request,
    name: str | None,
    runs: str | Path | None,
    storage: str | None,
    searched: Space | list[Point],
    mlflow: str | None,
    progress: Silent,
) -> _Work:
    """Look at the data, then open the study, or refuse to go on with another one."""
    name = check_name(name or _label(resolved))
    dataset = load(resolved.settings, progress)
    for sentence in data_remarks(dataset):
        progress.say(sentence)
    if not len(dataset.split.val):
        raise ZooError("there are no validation images to compare trials by: add some")
    logged = Mlflow(mlflow, name) if mlflow else None
    folder = runs_dir(runs) / "studies" / name
    kept = open_storage(storage, folder)
    probing = _probing(resolved, request, searched)
    with storage_errors(storage, opening=True):
        book = _book(kept, name, request, resolved)
        _identify(book, name, _identity(given, resolved, dataset, request, searched, probing))
        probes = None
        if probing:
            probes = _book(kept, f"{name}: probes", request, resolved)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + request.seconds
    bench = Bench(
        given, resolved, dataset, request.metric, folder, request.jobs, progress, deadline
    )
    return _Work(name, bench, request, book, probes, {}, logged)


def _probing(resolved: Resolved, request: Request, searched: Space | list[Point]) -> bool:
    space = searched if isinstance(searched, dict) else {}
    return request.probes > 0 and not resolved.from_scratch and any(n in space for n in HEAD)


def _book(kept: Any, name: str, request: Request, resolved: Resolved) -> Book:
    optuna = import_optuna()
    # a third is cut, not half: early epochs of long trainings look worse than they will end
    pruner = optuna.pruners.PercentilePruner(
        66.7, n_startup_trials=4, n_warmup_steps=1, n_min_trials=3
    )
    book = Book(kept, name, direction(request.metric), pruner=pruner)
    few = request.trials if request.trials and "probes" not in name else 20
    # anew at every start, so that a study that goes on does not draw the same points again
    seed = resolved.settings.seed + 1000 * len(book.trials)
    book.study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=max(3, min(10, few // 3)), multivariate=True, seed=seed, constant_liar=True
    )
    return book


def _identity(
    given: Settings,
    resolved: Resolved,
    dataset: Dataset,
    request: Request,
    searched: Space | list[Point],
    probing: bool,
) -> dict[str, Any]:
    """What makes trials comparable. Paths are no part of it: machines differ in them."""
    paths = ("data", "weights", "backbone")
    settings = {n: v for n, v in given.as_dict().items() if n not in paths and v is not None}
    if isinstance(searched, dict):
        space: Any = {n: d.as_data() for n, d in searched.items()}
    else:
        space = searched
    return {
        "data": dataset.split_fingerprint(),
        "backbone": resolved.spec.name,
        "metric": request.metric,
        "space": space,
        "settings": settings,
        "probes first": probing,
    }


_SAID = {
    "data": "other images or another split",
    "backbone": "another backbone",
    "metric": "another metric",
    "space": "another search space",
    "settings": "other fixed settings",
    "probes first": "another way to search the head",
}


def _identify(book: Book, name: str, identity: dict[str, Any]) -> None:
    """Note what the study is of, or refuse where it is of something else.

    Raises:
        ZooError: it is.
    """
    mine = json.loads(json.dumps(identity))
    known = book.note("identity")
    if known is None:
        book.note("identity", mine)
        return
    for key, words in _SAID.items():
        if known.get(key) != mine[key]:
            short = key in {"backbone", "metric"}
            detail = f" ({known.get(key)}, not {mine[key]})" if short else ""
            raise ZooError(
                f"study {name!r} was made with {words}{detail}: choose another --name, or repeat "
                f"the command it was begun with"
            )


def _search(work: _Work, whole: Space) -> None:
    """Both stages."""
    heads: dict[str, Point] = {}
    bench, fine = work.bench, whole
    if work.probes is not None:
        head = {n: d for n, d in whole.items() if n in HEAD}
        fine = {n: d for n, d in whole.items() if n not in HEAD}
        work.spaces["probe"] = head
        heads = _probed(work, head)
        if bench.resolved.probe_only:
            return
        fine["head"] = Dimension("head", choices=head_names())
    if bench.why_stop():
        return
    if bench.resolved.probe_only:
        raise ZooError("--set unfreeze=none leaves nothing to search without --probes")
    if not fine:
        raise ZooError("nothing is left to search: every setting of the space is pinned")
    work.spaces["finetune"] = fine
    _enqueue_first(work, fine, heads)

    def settings_of(point: Point) -> Point:
        rest = {n: v for n, v in point.items() if n != "head"}
        return {**heads.get(point.get("head", ""), {}), **rest}

    request = work.request
    _finetune(work, Search(fine, settings_of, request.trials, request.prune, work.log))


def _finetune(work: _Work, search: Search) -> None:
    try:
        finetune_stage(work.book, search, work.bench)
    finally:
        write_jsonl(work.bench.folder / "trials.jsonl", work.rows())


def _probed(work: _Work, head: Space) -> dict[str, Point]:
    """Do the first stage; the heads to go on with, which stay the same once they are chosen."""
    assert work.probes is not None
    known = work.book.note("heads")
    if known and work.probes.counted() >= work.request.probes:
        return dict(known)
    bench, features = work.bench, load_features(work.bench)
    share = time.monotonic() + work.request.seconds * _PROBE_SHARE
    # small products: the processes of other jobs do not run yet, so all cores are free
    probe_stage(
        work.probes,
        head,
        features,
        replace(bench, deadline=min(bench.deadline, share)),
        work.request.probes,
    )
    write_jsonl(bench.folder / "trials.jsonl", work.rows())
    if known:
        return dict(known)
    found = _heads(work.probes, head, features, bench)
    if not bench.stop.is_set():
        work.book.note("heads", found)
    return found


def _heads(probes: Book, head: Space, features: Features, bench: Bench) -> dict[str, Point]:
    usual = default_head(probes, features, bench.resolved.settings)
    return promising(probes, head, bench.metric, usual)


def _enqueue_first(work: _Work, space: Space, heads: Mapping[str, Point]) -> None:
    """The default settings first, then the same on the best head."""
    if work.book.note("begun"):
        return
    resolved = work.bench.resolved
    point = default_point(space, resolved)
    work.book.enqueue([point], default=True)
    if heads:
        work.book.enqueue([{**point, "head": head_names()[1]}])
    work.book.note("begun", True)


def _conclude(work: _Work) -> Study:
    """What came of it."""
    books = {"probe": work.probes, "finetune": work.book}
    shares = {stage: result.importances(book) for stage, book in books.items() if book}
    study = Study(
        work.name,
        work.bench.folder,
        work.request.metric,
        work.rows(),
        work.spaces,
        {stage: found for stage, found in shares.items() if found},
        [],
        stopped=work.bench.why_stop(),
    )
    _complete_probe_rows(study, work)
    for stage, space in work.spaces.items():
        if best := study.ranked(stage):
            study.edges.extend(result.edges(space, best[0]["params"]))
    if study.ranked() or study.ranked("probe"):
        write_best(work.bench.folder / "best.json", study.best["settings"])
    write_jsonl(work.bench.folder / "trials.jsonl", study.rows)
    return study


def _complete_probe_rows(study: Study, work: _Work) -> None:
    """Give the trials on frozen features the settings that a run of them would have."""
    if work.probes is None:
        return
    usual = work.probes.note("default_head") or {}
    for row in study.rows:
        if row["stage"] == "probe":
            tried = {**usual, **row["params"], "unfreeze": "none"}
            row["settings"] = work.bench.resolved.settings.changed(**tried).as_dict()


def _with_runs(
    study: Study, work: _Work, runs: str | Path | None, *, refit: bool, top: int
) -> Study:
    """The study with runs of its best trials."""
    if not refit and top == 1:
        return study
    bench = work.bench
    labels = bench.dataset.catalog.labels[bench.dataset.split.val]
    rows = result.diverse(study, labels, top) if top > 1 else [study.best]
    made = {}
    for row in rows:
        run = refit_run(study, row, work.book, bench, runs=runs, whole=refit)
        if run is not None:
            made[row["trial"]] = run
    return replace(study, runs=made)


def _publish(study: Study) -> None:
    from zoo.tuning.page import write_page

    with disk_errors(study.path):
        write_tensorboard(study)
        write_page(study)
