"""Full runs, each in a process of its own, pruned by what they reach after every epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones import BackboneError
from zoo.digests import write_digests
from zoo.errors import ZooError
from zoo.paths import empty_folder
from zoo.processes.child import Child, child
from zoo.processes.resources import threads_per_job
from zoo.progress import Advance
from zoo.settings import Settings
from zoo.train.plan import resolve
from zoo.tuning.context import StudyContext
from zoo.tuning.score import epoch_score, score
from zoo.tuning.space import Point, Space
from zoo.tuning.trial_store import TrialStore

if TYPE_CHECKING:
    from optuna.trial import Trial

_HOPELESS = 3  # trials that all fail
_POLL = 2.0  # seconds between two looks at what other machines do


@dataclass(frozen=True)
class Search:
    """What the trials of this stage try.

    Attributes:
        space: what is searched; None if all points are enqueued.
        settings_of: from a point to the settings that differ from the shared ones.
        limit: number of trials; None for all that are enqueued.
        pruned: whether weak runs are cut short.
        finished: called after every trial.
    """

    space: Space | None
    settings_of: Callable[[Point], Point]
    limit: int | None
    pruned: bool
    finished: Callable[[], None]


def finetune_stage(store: TrialStore, search: Search, context: StudyContext) -> None:
    """Train until enough is tried, time is up, or Ctrl-C; also wait for what others try.

    Raises:
        ZooError: the first trials all failed.
    """
    total = search.limit if search.limit is not None else len(store.trials)
    with context.progress.step("tune", total) as advance:
        advance(store.counted())

        def slot() -> None:
            while not context.why_stop() and _next(store, search, context, advance):
                pass

        told = False
        while True:
            _run_slots(slot, context.jobs)
            others = store.elsewhere()
            if context.why_stop() or not others:
                return
            if not told:
                context.progress.say(f"waiting for {others} trials of other commands")
                told = True
            time.sleep(_POLL)


def _run_slots(slot: Callable[[], None], jobs: int) -> None:
    if jobs == 1:
        slot()
        return
    from joblib import Parallel, delayed

    # the threads only wait for the processes that train
    Parallel(n_jobs=jobs, backend="threading")(delayed(slot)() for _ in range(jobs))


def _next(store: TrialStore, search: Search, context: StudyContext, advance: Advance) -> bool:
    """Do one trial; whether there was one."""
    distributions = {n: d.distribution() for n, d in search.space.items()} if search.space else None
    trial = store.claim(search.limit, distributions)
    if trial is None:
        return False
    started = time.perf_counter()
    folder = work_folder(context.folder, trial.number)
    try:
        outcome = _Attempt(store, search, context, trial, folder, advance, started).run()
    except BaseException:
        store.interrupt(trial, "stopped")
        raise
    advance(1)
    context.progress.say(f"trial {trial.number}: {outcome} ({time.perf_counter() - started:.0f} s)")
    search.finished()
    _check_hope(store)
    return True


def work_folder(study: Path, number: int) -> Path:
    """Where a trial of this machine keeps its log and its validation predictions."""
    return study / "trials" / str(number)


@dataclass
class _Attempt:
    """One training, seen from the parent."""

    store: TrialStore
    search: Search
    context: StudyContext
    trial: Trial
    folder: Path
    advance: Advance
    started: float

    def run(self) -> str:
        """Train, tell the store, and say in a few words how it went."""
        point = _point(self.trial)
        try:
            settings = self._settings(point)
        except (ZooError, BackboneError) as error:
            return self._failed(str(error))
        self.trial.set_user_attr("settings", settings.as_dict())
        empty_folder(self.folder)
        job = {
            "kind": "trial",
            "settings": settings.as_dict(),
            "split": self.context.dataset.split_fingerprint(),
            "folder": str(self.folder),
        }
        threads = threads_per_job(self.context.jobs)
        try:
            with (
                child(job, self.folder / "log.txt", "zoo.tuning.worker", threads) as process,
                self.context.following(process),
            ):
                return self._follow(process, settings)
        finally:
            for left in self.folder.glob("*last.npz"):
                left.unlink()

    def _settings(self, point: Point) -> Settings:
        # from what was given: the usual learning rate, for one, follows from the optimizer
        return resolve(self.context.given.changed(**self.search.settings_of(point))).settings

    def _follow(self, process: Child, settings: Settings) -> str:
        rows: list[dict[str, float]] = []
        why, pruned = "", False
        last: dict[str, Any] = {}
        for last in process.answers(lambda: self.store.beat(self.trial)):
            if "epoch" in last:
                rows.append(last["epoch"])
                pruned = self._is_weak(rows[-1], settings)
                why = self.context.why_stop()
                process.send("stop" if pruned or why else "go")
                loss, accuracy = rows[-1]["val_loss"], rows[-1]["val_accuracy"]
                note = f"epoch {len(rows)}/{settings.epochs}"
                self.advance(0, f"{note}  val loss {loss:.3f}  accuracy {accuracy:.3f}")
        status = process.end()
        self.trial.set_user_attr("epochs", rows)
        self.trial.set_user_attr("seconds", round(time.perf_counter() - self.started, 3))
        if "done" in last:
            return self._completed(last["done"])
        if last.get("stopped") and pruned:
            self.store.prune(self.trial, f"after epoch {len(rows)} it was in the lower third")
            return f"pruned after epoch {len(rows)}"
        if last.get("stopped") or self.context.stop.is_set():
            why = why or self.context.why_stop()
            self.store.interrupt(self.trial, why)
            return f"{why}; it will be repeated"
        return self._failed(last.get("error") or process.why(status))

    def _is_weak(self, row: Mapping[str, float], settings: Settings) -> bool:
        number = int(row["epoch"])
        self.trial.report(epoch_score(self.context.metric, row, self.context.val_count), number)
        last = number == settings.epochs
        return self.search.pruned and not last and bool(self.trial.should_prune())

    def _completed(self, found: Mapping[str, Any]) -> str:
        for key in ("metrics", "best_epoch", "stages"):
            self.trial.set_user_attr(key, found[key])
        write_digests(self.folder)
        metrics = found["metrics"]
        reached = score(self.context.metric, metrics, self.context.val_count)
        self.store.complete(self.trial, reached)
        return f"accuracy {metrics['accuracy']:.3f}, log loss {metrics['log_loss']:.3f}"

    def _failed(self, why: str) -> str:
        self.store.fail(self.trial, why)
        return f"failed: {why}"


def _point(trial: Trial) -> Point:
    """What a trial tries; in a sweep it is noted with it, and here told to Optuna."""
    noted = trial.user_attrs.get("point")
    if noted is None:
        return dict(trial.params)
    choices = trial.study.user_attrs["choices"]
    return {name: trial.suggest_categorical(name, choices[name]) for name in noted}


def _check_hope(store: TrialStore) -> None:
    done = [t for t in store.trials if t.state.is_finished() and t.user_attrs.get("counts", True)]
    if len(done) >= _HOPELESS and all(t.state.name == "FAIL" for t in done):
        reason = done[-1].user_attrs.get("reason", "")
        raise ZooError(f"the first {len(done)} trials failed, the last with: {reason}")
