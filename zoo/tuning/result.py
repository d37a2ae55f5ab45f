"""What a study found: its trials, which settings matter, and what to search next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from ensembles import PredictionTable
from ensembles.comparison import Comparison, compare
from zoo.digests import checked
from zoo.errors import ZooError
from zoo.paths import open_regular
from zoo.runs import Run
from zoo.settings import describe
from zoo.tuning.finetune_stage import work_folder
from zoo.tuning.score import better
from zoo.tuning.space import Dimension, Point, Space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from zoo.tuning.trial_store import TrialStore

_LARGEST = 1 << 30  # bytes of predictions
_EDGE = 0.05  # of a range
_FEWEST = 8  # complete trials for importances
_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "RUNNING": "running", "WAITING": "waiting"}


class TrialRecord(TypedDict):
    """A trial, as ``trials.jsonl`` has it: one line per trial.

    Attributes:
        stage: ``probe`` or ``finetune``.
        trial: its number within the stage.
        state: ``complete``, ``pruned``, ``failed``, ``killed``, ``interrupted``, ``running``...
        reason: why it was not completed; empty if it was.
        score: what the search improves; None unless complete.
        metrics: on validation images; empty unless complete.
        params: the values that were tried.
        settings: all settings of the training.
        best_epoch: that was kept; None on frozen features.
        epochs: one row per epoch, as ``history.csv`` has them.
        seconds: that it took.
        begun: when, in ISO 8601.
        host: on which machine.
        retry_of: the trial of a killed process that it repeats.
        default: whether it has the default settings.
        counts: whether it counts towards the number of trials.
    """

    stage: str
    trial: int
    state: str
    reason: str
    score: float | None
    metrics: dict[str, float | None]
    params: dict[str, Any]
    settings: dict[str, Any]
    best_epoch: int | None
    epochs: list[dict[str, float]]
    seconds: float | None
    begun: str
    host: str
    retry_of: int | None
    default: bool
    counts: bool


@dataclass(frozen=True)
class Study:
    """What was tried and what came of it.

    Attributes:
        name: of the study.
        path: its folder: ``trials.jsonl``, ``study.html``, ``tensorboard/``, ``best.json``.
        metric: what was improved.
        trials: every trial of both stages: ``stage``, ``trial``, ``state``, ``reason``, ``score``,
            ``metrics``, ``params``, ``settings``, ``epochs``, ``seconds``, ``host``, ``begun``.
        spaces: stage to what was searched in it.
        importances: stage to setting to its share of what the score varies by; PED-ANOVA (Watanabe
            et al. 2023, arXiv 2304.10255).
        edges: where the best value is at the end of its range, and what to try.
        against_default: the best trial against that of the default settings, on validation; None
            if they are the same, or were not both trained here.
        runs: what was trained with the best settings, by number of the trial.
        stopped: why the search ended before all was tried; empty if it did not.
    """

    name: str
    path: Path
    metric: str
    trials: list[TrialRecord]
    spaces: dict[str, Space]
    importances: dict[str, dict[str, float]]
    edges: list[str]
    against_default: Comparison | None = None
    runs: dict[int, Run] = field(default_factory=dict)
    stopped: str = ""

    def ranked(self, stage: str = "finetune") -> list[TrialRecord]:
        """Complete trials of a stage, the best first; equal ones in the order of their numbers."""
        return ranked(self.trials, stage, self.metric)

    @property
    def best(self) -> TrialRecord:
        """The best trial: of fine-tuning, or of the probe if nothing else was tried.

        Raises:
            ZooError: no trial was completed.
        """
        found = self.ranked() or self.ranked("probe")
        if not found:
            raise ZooError(f"no trial of study {self.name!r} was completed: see {self.path}")
        return found[0]

    @property
    def default(self) -> TrialRecord | None:
        """The trial of the default settings."""
        stage = self.best["stage"]
        return next((r for r in self.ranked(stage) if r["default"]), None)


def ranked(rows: Sequence[TrialRecord], stage: str, metric: str) -> list[TrialRecord]:
    """Complete trials of a stage, the best first."""
    done = [r for r in rows if r["stage"] == stage and r["state"] == "complete"]
    return sorted(done, key=lambda r: r["score"] or 0.0, reverse=better(metric, 1.0, 0.0))


def trial_records(store: TrialStore, stage: str) -> list[TrialRecord]:
    """What the store knows of the trials of a stage that were begun."""
    return [_row(t, stage) for t in store.trials if t.state.name != "WAITING"]


def _row(trial: FrozenTrial, stage: str) -> TrialRecord:
    found = trial.user_attrs
    state = _STATES.get(trial.state.name) or found.get("kind", "failed")
    value = trial.value if trial.state.name == "COMPLETE" else None
    return {
        "stage": stage,
        "trial": trial.number,
        "state": state,
        "reason": found.get("reason", ""),
        "score": value if value is None or math.isfinite(value) else None,
        "metrics": found.get("metrics", {}),
        "params": dict(trial.params),
        "settings": found.get("settings", {}),
        "best_epoch": found.get("best_epoch"),
        "epochs": found.get("epochs", []),
        "seconds": found.get("seconds"),
        "begun": trial.datetime_start.isoformat(timespec="seconds") if trial.datetime_start else "",
        "host": (found.get("owner") or {}).get("host", "").partition("/")[0],
        "retry_of": found.get("retry_of"),
        "default": bool(found.get("default")),
        "counts": bool(found.get("counts", True)),
    }


def importances(store: TrialStore) -> dict[str, float]:
    """Setting to importance, the most important first; empty of fewer than eight trials."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    done = [t for t in store.trials if t.state.name == "COMPLETE"]
    varied = {n for t in done for n in t.params if len({str(o.params.get(n)) for o in done}) > 1}
    if len(done) < _FEWEST or not varied:
        return {}
    common = sorted(n for n in varied if all(n in t.params for t in done))
    try:
        found = get_param_importances(
            store.study, evaluator=PedAnovaImportanceEvaluator(), params=common
        )
    except (ValueError, RuntimeError):  # all trials are equally good
        return {}
    return {n: float(x) for n, x in found.items() if math.isfinite(x)}


def edges(space: Space, best: Mapping[str, Any]) -> list[str]:
    """A sentence for every setting whose best value is at the end of its range.

    Hard bounds are not reported, nor the ends of choices without an order.
    """
    found = []
    for name, dimension in space.items():
        if name in best and (wider := _wider(dimension, best[name])):
            low, high, side, given = wider
            found.append(
                f"{name} {best[name]:g} is at the {side} end of {given}: "
                f"try low {low:g}, high {high:g} in a --space file"
            )
    return found


def _wider(d: Dimension, value: Any) -> tuple[float, float, str, str] | None:
    """The range to try next, which end the value is at, and the range as it is."""
    log = d.log
    if d.choices:
        numbers = [c for c in d.choices if isinstance(c, int | float) and not isinstance(c, bool)]
        if len(numbers) < max(2, len(d.choices)) or numbers != sorted(numbers):
            return None
        low, high, position = float(numbers[0]), float(numbers[-1]), d.position(value)
        log, given = low > 0 or numbers[1] > 0, f"the choices {', '.join(map(str, numbers))}"
    else:
        low, high, position = float(d.low), float(d.high), d.position(value)
        given = f"{low:g} to {high:g}"
    if _EDGE < position < 1 - _EDGE:
        return None
    option, upper = describe().get(d.name), position > 0.5
    if d.name == "unfreeze" and not d.choices:  # 1 is the least, and how many there are is known
        return None
    floor = -math.inf if option is None or option.low is None else option.low
    ceiling = math.inf if option is None or option.high is None else option.high
    if log:
        bottom = low if low > 0 else high / 100
        new = (low, min(ceiling, high * 10)) if upper else (max(floor, bottom / 10), high)
    else:
        width = high - low
        new = (low, min(ceiling, high + width)) if upper else (max(floor, low - width), high)
    if new == (low, high) or (not upper and low == 0):
        return None
    return *new, "upper" if upper else "lower", given


def diverse(study: Study, labels: np.ndarray, count: int) -> list[TrialRecord]:
    """The best trial and those that together with it predict validation best.

    Chosen one after the other among the better half of the trials: the one whose predictions, in
    the mean with those chosen before, have the lowest log loss (forward selection, Caruana et al.
    2004). Trials of other machines have no predictions here and are left out.

    Args:
        study: with complete trials.
        labels: of the validation images, int64 of shape (n,).
        count: at most so many.
    """
    pool = study.ranked()
    tables = {
        r["trial"]: table
        for r in pool[: max(2 * count, len(pool) // 2)]
        if (table := _predictions(study.path, r["trial"], len(labels))) is not None
    }
    chosen = [study.best]
    while len(chosen) < count:
        taken = {r["trial"] for r in chosen}
        rest = [r for r in pool if r["trial"] in tables and r["trial"] not in taken]
        known = [tables[n] for n in taken if n in tables]
        if not rest:
            break
        chosen.append(min(rest, key=lambda r: _loss([*known, tables[r["trial"]]], labels)))
    return chosen


def against_default(
    study: Study, labels: np.ndarray, groups: np.ndarray | None = None
) -> Comparison | None:
    """The best trial against that of the default settings; see :class:`Study`.

    The images chose the best of the others: any of them could have been it, and the comparison is
    corrected for as many (Bonferroni).

    Args:
        study: with its trials.
        labels: of the validation images, int64 of shape (n,).
        groups: of them, whole numbers of shape (n,).
    """
    if not study.ranked():
        return None
    best, default = study.best, study.default
    if default is None or default is best:
        return None
    first, second = (_predictions(study.path, row["trial"], len(labels)) for row in (best, default))
    if first is None or second is None:  # trained on another machine
        return None
    one, other = (PredictionTable.of(p, labels, groups=groups) for p in (first, second))
    return compare(one, other, tests=len(study.ranked(best["stage"])) - 1)


def _predictions(study: Path, number: int, count: int) -> np.ndarray | None:
    try:
        path = checked(work_folder(study, number) / "val.npy")
        with open_regular(path, _LARGEST) as file:
            found: np.ndarray = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError):
        return None
    return found if found.shape[:1] == (count,) and found.ndim == 2 else None


def _loss(tables: list[np.ndarray], labels: np.ndarray) -> float:
    mean = np.mean(tables, axis=0)
    return float(-np.log(np.maximum(mean[np.arange(len(labels)), labels], 1e-12)).mean())


def changed(row: TrialRecord, default: TrialRecord | None) -> Point:
    """The settings of a trial that differ from those of the default one."""
    usual = default["settings"] if default else {}
    if not usual:
        return row["params"]
    return {n: v for n, v in row["settings"].items() if v != usual.get(n)}
