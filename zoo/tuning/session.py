"""A study under way: opened for its data, or refused where it is of something else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import backbones
from zoo.data.dataset import Dataset, load
from zoo.errors import ZooError, disk_errors
from zoo.output import check_output
from zoo.paths import claim_folder, runs_dir
from zoo.processes.lock import LockedError, locked
from zoo.progress import Progress
from zoo.run_names import check_name, plain_name
from zoo.settings import Settings
from zoo.train.plan import ResolvedPlan
from zoo.train.remarks import data_remarks
from zoo.tuning import result
from zoo.tuning.context import StudyContext
from zoo.tuning.identity import identify, identity_of, with_paths
from zoo.tuning.integrity import check_trials
from zoo.tuning.log import Mlflow, write_jsonl
from zoo.tuning.request import Request
from zoo.tuning.result import TrialRecord
from zoo.tuning.score import direction
from zoo.tuning.space import HEAD, Point, Space
from zoo.tuning.storage import (
    check_storage,
    import_optuna,
    name_of,
    open_storage,
    storage_errors,
)
from zoo.tuning.trial_store import TrialStore

_OPENING = 60.0  # seconds that another command may take to open the same study


@dataclass(frozen=True)
class Place:
    """Where a study and the runs of its best trials go; see :func:`zoo.tune`."""

    name: str | None = None
    runs_dir: str | Path | None = None
    storage: str | None = None
    mlflow: str | None = None


@dataclass
class StudySession:
    """A study under way."""

    place: Place
    name: str
    context: StudyContext
    request: Request
    store: TrialStore
    probes: TrialStore | None
    spaces: dict[str, Space]
    mlflow: Mlflow | None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Trials are run within the block: Ctrl-C ends it.

        Raises:
            ZooError: the storage or the disk fails.
        """
        context = self.context
        storage = name_of(self.place.storage, context.folder)
        with storage_errors(storage), disk_errors(context.folder), context.stop_on_interrupt():
            yield

    def trials(self) -> list[TrialRecord]:
        """All trials."""
        first = result.trial_records(self.probes, "probe") if self.probes else []
        rows = [*first, *result.trial_records(self.store, "finetune")]
        return [with_paths(row, self.context.resolved) for row in rows]

    def log(self) -> None:
        """Keep what is known of the trials."""
        rows = self.trials()
        write_jsonl(self.context.folder / "trials.jsonl", rows)
        why = self.mlflow.log(rows) if self.mlflow else ""
        if why:
            self.context.progress.say(why)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """No other command of this machine opens the study within the block.

    Raises:
        ZooError: another one does not finish opening it.
    """
    try:
        with disk_errors(folder), locked(folder / ".lock", _OPENING):
            yield
    except LockedError:
        raise ZooError(
            f"another command has been opening study {folder.name!r} for {_OPENING:.0f} s: end it, "
            f"or choose another --name"
        ) from None


def label_of(resolved: ResolvedPlan) -> str:
    """Name of a study that nobody named: backbone and data."""
    data = Path(resolved.settings.data.removeprefix("tfds:")).stem
    stem = f"{backbones.short_name(resolved.spec.name)}-{data}"
    return plain_name(stem) or "study"


def data_of(resolved: ResolvedPlan, place: Place, progress: Progress) -> Dataset:
    """Check where the study is to be kept, and look at its data.

    Args:
        resolved: settings that are the same in all trials.
        place: where it is kept.
        progress: shows the steps, and told what is remarkable in the data.

    Raises:
        ZooError: the data cannot be read, or there is nothing to compare trials by.
    """
    check_name(place.name or label_of(resolved))
    check_storage(place.storage)
    dataset = load(resolved.settings, progress)
    for sentence in data_remarks(dataset):
        progress.say(sentence)
    if not len(dataset.split.val):
        raise ZooError("there are no validation images to compare trials by: add some")
    return dataset


def begin(
    given: Settings,
    resolved: ResolvedPlan,
    dataset: Dataset,
    request: Request,
    searched: Space | list[Point],
    place: Place,
    progress: Progress,
) -> StudySession:
    """Open the study, or refuse to continue with another one.

    Args:
        given, resolved: settings that are the same in all trials, as given and as decided.
        dataset: see :func:`data_of`.
        request: how to search.
        searched: a space, or the points of a sweep.
        place: where it is kept.
        progress: shows the steps.

    Raises:
        ZooError: a study of this name is of something else.
    """
    name = check_name(place.name or label_of(resolved))
    logged = Mlflow(place.mlflow, name) if place.mlflow else None
    folder = runs_dir(place.runs_dir) / "studies" / name
    probing = _probing(resolved, request, searched)
    identity = identity_of(given, resolved, dataset, request, searched, probing)
    claim_folder(folder, signs=["trials.jsonl", "study.sqlite3"])
    for written in ("study.html", "best.json", "trials.jsonl"):
        check_output(folder / written)
    with exclusive(folder), storage_errors(name_of(place.storage, folder), opening=True):
        kept = open_storage(place.storage, folder)
        store = _store(kept, name, request, resolved)
        identify(store, name, identity)
        probes = _store(kept, f"{name}: probes", request, resolved) if probing else None
        stages = {"finetune": store, **({"probe": probes} if probes else {})}
        check_trials(stages, folder, name_of(place.storage, folder))
    deadline = time.monotonic() + request.seconds
    context = StudyContext(
        given, resolved, dataset, request.metric, folder, request.jobs, progress, deadline
    )
    return StudySession(place, name, context, request, store, probes, {}, logged)


def _probing(resolved: ResolvedPlan, request: Request, searched: Space | list[Point]) -> bool:
    space = searched if isinstance(searched, dict) else {}
    return request.head_trials > 0 and not resolved.from_scratch and any(n in space for n in HEAD)


def _store(kept: Any, name: str, request: Request, resolved: ResolvedPlan) -> TrialStore:
    optuna = import_optuna()
    # a third is cut, not half: early epochs of long runs look worse than they will end
    pruner = optuna.pruners.PercentilePruner(
        66.7, n_startup_trials=4, n_warmup_steps=1, n_min_trials=3
    )
    few = request.trials if request.trials and "probes" not in name else 20

    def sampler_of(count: int) -> Any:
        seed = np.random.SeedSequence((resolved.settings.seed, count)).generate_state(1)[0]
        return optuna.samplers.TPESampler(
            n_startup_trials=max(3, min(10, few // 3)),
            multivariate=True,
            seed=int(seed),
            constant_liar=True,
        )

    return TrialStore(kept, name, direction(request.metric), sampler_of, pruner)
