"""The store of trials: an Optuna study, which may be shared, and who works on what in it.

A trial whose process is gone is tried once more, and only the second try counts.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.processes import owner
from zoo.tuning.storage import import_optuna

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

_DIGEST = "sha256"  # of what a completed trial tried and reached
_KEPT = ("settings", "metrics", "best_epoch", "epochs", "seconds", "default")
_CARRIED = ("point", "default", "retry_of")  # what a trial hands on to the one that repeats it


class TrialStore:
    """Trials of one stage.

    Args:
        storage: where they are kept.
        name: of the stage, unique in the storage.
        direction: ``maximize`` or ``minimize``.
        sampler_of: gives the sampler of the next trial from the number of trials that count before
            it, so that what is drawn does not depend on how often the search was interrupted; one
            of Optuna's own for all of them if None.
        pruner: of Optuna; its default if None.

    Attributes:
        created: whether this process made it.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        direction: str,
        sampler_of: Callable[[int], optuna.samplers.BaseSampler] | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        optuna = import_optuna()
        self.storage, self.name = storage, name
        self._lock = threading.RLock()
        self._sampler_of = sampler_of
        common = {"study_name": name, "storage": storage, "pruner": pruner}
        try:
            self.study = optuna.create_study(direction=direction, **common)
            self.created = True
        except optuna.exceptions.DuplicatedStudyError:
            self.study = optuna.load_study(**common)
            self.created = False
        if self.study.direction.name.lower() != direction:
            raise ZooError(f"study {name!r} was made with another metric: choose another --name")

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    def changed(self) -> list[int]:
        """Numbers of completed trials that are not as they were stored; not of older versions."""
        return [
            t.number
            for t in self.trials
            if t.state.name == "COMPLETE"
            and t.user_attrs.get(_DIGEST, "") not in {"", _digest(t, t.value)}
        ]

    def note(self, key: str, value: Any = None) -> Any:
        """Something known of the whole stage; it is set where a value is given."""
        if value is not None:
            self.study.set_user_attr(key, value)
        return self.study.user_attrs.get(key)

    def enqueue(self, points: Sequence[Mapping[str, Any]], **attributes: Any) -> None:
        """Let these be tried next."""
        for point in points:
            self.study.enqueue_trial(dict(point), user_attrs=attributes, skip_if_exists=True)

    def claim(
        self, limit: int | None, distributions: Mapping[str, BaseDistribution] | None = None
    ) -> Trial | None:
        """A trial to session on; None if there is nothing to do.

        Args:
            limit: number of trials that count; None takes only what was enqueued.
            distributions: what is searched.
        """
        with self._lock:
            self.recover()
            waiting = any(t.state.name == "WAITING" for t in self.trials)
            if not waiting and limit is None:
                return None
            if limit is not None and self.counted() >= limit:
                return None
            if self._sampler_of is not None:
                self.study.sampler = self._sampler_of(self.counted())
            trial = self.study.ask(dict(distributions) if distributions else None)
            trial.set_user_attr("owner", owner.this_process())
            self.beat(trial)
            if limit is None and "point" not in trial.user_attrs:  # another machine took the last
                self.fail(trial, "nothing was left to try", kind="void", counts=False)
                return None
            return trial

    def beat(self, trial: Trial) -> None:
        """A sign of life."""
        trial.set_user_attr("beat", time.time())

    def counted(self) -> int:
        """Trials that are finished or under way, each repeated one once."""
        return sum(_counts(t) for t in self.trials)

    def elsewhere(self) -> int:
        """Trials that other processes work on."""
        self.recover()
        mine = owner.this_process()
        return sum(
            t.state.name == "RUNNING" and t.user_attrs.get("owner") != mine for t in self.trials
        )

    def recover(self) -> None:
        """Give up trials whose process is gone, and enqueue them once more."""
        with self._lock:
            for trial in self.trials:
                if trial.state.name == "RUNNING" and _abandoned(trial):
                    self._give_up(trial)

    def _give_up(self, trial: FrozenTrial) -> None:
        again = "retry_of" not in trial.user_attrs
        what = "tried once more" if again else "and was before: not tried again"
        why = f"its process was killed, {what}"
        notes = {"reason": why, "kind": "killed", "counts": not again}
        try:
            for key, value in notes.items():
                self.storage.set_trial_user_attr(trial._trial_id, key, value)
            self.study.tell(trial.number, state=_failed())
        except (ValueError, RuntimeError):  # another machine was faster
            return
        if again:
            self._repeat(trial, retry_of=trial.number)

    def _repeat(self, trial: FrozenTrial | Trial, **more: Any) -> None:
        carried = {k: trial.user_attrs[k] for k in _CARRIED if k in trial.user_attrs}
        self.study.enqueue_trial(trial.params, user_attrs={**carried, **more})

    def complete(self, trial: Trial, score: float) -> None:
        """The trial reached this score."""
        with self._lock:
            stored = self.storage.get_trial(trial._trial_id)
            trial.set_user_attr(_DIGEST, _digest(stored, score))
            self.study.tell(trial, score)

    def prune(self, trial: Trial, why: str) -> None:
        """The trial was stopped because others did better."""
        from optuna.trial import TrialState

        with self._lock:
            trial.set_user_attr("reason", why)
            self.study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: Trial, why: str, *, kind: str = "failed", counts: bool = True) -> None:
        """The trial failed."""
        with self._lock:
            notes = {"reason": why, "kind": kind, "counts": counts}
            for key, value in notes.items():
                trial.set_user_attr(key, value)
            self.study.tell(trial, state=_failed())

    def interrupt(self, trial: Trial, why: str) -> None:
        """The trial was stopped through no fault of its own: it is tried again later."""
        with self._lock:
            if self.storage.get_trial(trial._trial_id).state.is_finished():
                return
            self.fail(trial, why, kind="interrupted", counts=False)
            self._repeat(trial)


def _digest(trial: FrozenTrial, score: float | None) -> str:
    """Of what a completed trial tried and reached."""
    content = [
        trial.number,
        score,
        trial.params,
        {key: trial.user_attrs.get(key) for key in _KEPT},
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


def _counts(trial: FrozenTrial) -> bool:
    return trial.state.name != "WAITING" and bool(trial.user_attrs.get("counts", True))


def _abandoned(trial: FrozenTrial) -> bool:
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    found = trial.user_attrs
    return owner.is_gone(found.get("owner"), float(found.get("beat", begun)))
