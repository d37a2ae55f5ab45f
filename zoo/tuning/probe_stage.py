"""Cheap first: penalties of the head and class weights, searched on frozen features.

A trial is a convex fit of about a second, in this process and without TensorFlow; the backbone runs
once, before the first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from backbones import source_identity
from zoo.data.prepare import prepare
from zoo.errors import ZooError
from zoo.processes.child import child
from zoo.records import RecordError, read_text
from zoo.runs import write_json
from zoo.settings import Settings
from zoo.train.arrays import LazyRows, assembled, pieces
from zoo.train.choice import lifted, reduced
from zoo.train.member import sample_weights
from zoo.train.probe import (
    Head,
    Problem,
    choose_head,
    fit_head,
    soft_targets,
)
from zoo.train.standard import Standard
from zoo.tuning.context import StudyContext
from zoo.tuning.score import better, measure, score
from zoo.tuning.space import Point, Space
from zoo.tuning.trial_store import TrialStore

DEFAULT_HEAD = "default"
_KEPT = 3  # heads that fine-tuning may start from, beside the default one
_APART = 0.1  # of a range, that two of them differ at least


@dataclass(frozen=True)
class Features:
    """Frozen features and labels of what trials may see.

    Attributes:
        train, val: float32 of shape (n, d) and (m, d).
        train_labels, val_labels: int64 of shape (n,) and (m,).
        classes: number of classes.
        own: how many columns are the network's own features, of its last layer; all if None.
    """

    train: np.ndarray
    val: np.ndarray
    train_labels: np.ndarray
    val_labels: np.ndarray
    classes: int
    own: int | None = None

    @cached_property
    def short(self) -> Short:
        """What heads without an L1 penalty are fitted on in less time."""
        standard = Standard.of(self.train, self.own)
        z = standard.apply(self.train)
        return Short(standard, z, *reduced(z))


@dataclass(frozen=True)
class Short:
    """Standardized training features, and as few columns with the same products of rows.

    Attributes:
        standard: of the features.
        z: standardized, float32 of shape (n, d).
        small: float32 of shape (n, min(n, d)).
        factor: see :func:`zoo.train.choice.reduced`.
    """

    standard: Standard
    z: np.ndarray
    small: np.ndarray
    factor: np.ndarray | None

    def fitted(self, targets: np.ndarray, weights: np.ndarray, l2: float) -> Head:
        """The head of this penalty."""
        head = Problem.of_standardized(self.small, targets, weights).solved(0.0, l2, None)
        kernel = lifted(head.kernel, self.z, self.factor)
        return Head(self.standard, kernel, head.bias, l2, head.passes)


def load_features(context: StudyContext) -> Features:
    """Features of training and validation images, computed by a process of its own if needed.

    Raises:
        ZooError: that process failed.
    """
    settings, dataset = context.resolved.settings, context.dataset
    assert settings.size is not None
    with context.preparation():
        prepared = prepare(dataset.catalog, settings.size, settings.resize, context.progress)
        found = _known(context, prepared.key) or _computed(context)
    files = [np.load(file, allow_pickle=False, mmap_mode="r") for file in found["files"]]
    features = LazyRows(files, prepared.rows, found["columns"])
    labels, split = dataset.catalog.labels, dataset.split
    parts = (features.take(rows) for rows in (split.train, split.val))
    train, val = (assembled(pieces(part), part.shape) for part in parts)
    classes = len(dataset.catalog.classes)
    return Features(train, val, labels[split.train], labels[split.val], classes, found["own"])


def _known(context: StudyContext, key: str) -> dict[str, Any] | None:
    """Where the features of an earlier command lie, which spares starting TensorFlow."""
    try:
        found = json.loads(read_text(context.folder / "features.json"))
        same = found["key"] == key and found["weights"] == _weights(context)
        there = same and all(Path(file).is_file() for file in found["files"])
        return {name: found[name] for name in ("files", "own", "columns")} if there else None
    except (RecordError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _computed(context: StudyContext) -> dict[str, Any]:
    """The answer of a process that computes them, see :mod:`zoo.tuning.worker`."""
    job = {
        "kind": "features",
        "settings": context.resolved.settings.as_dict(),
        "split": context.dataset.split_fingerprint(),
    }
    context.progress.say("computing the frozen features, once")
    log = context.folder / "features.log"
    with child(job, log, "zoo.tuning.worker") as process, context.following(process):
        answer = next(process.answers(lambda: None), {})
        if "done" in answer:
            done = {**answer["done"], "weights": _weights(context)}
            write_json(context.folder / "features.json", done)
            return dict(answer["done"])
        why = answer.get("error") or process.why(process.end())
    raise ZooError(f"the features could not be computed: {why}")


def _weights(context: StudyContext) -> str:
    return source_identity(str(context.resolved.settings.weights))


def fitted(features: Features, settings: Settings, start: Head | None = None) -> Head:
    """The head that these settings give.

    Args:
        features: what it is fitted on, and where its penalty is left open, chosen by.
        settings: of the head.
        start: a head to start from, which changes the time and, but for the tolerance, nothing
            else: the problem is convex.
    """
    kind = settings.class_weights
    weights = sample_weights(features.train_labels, features.classes, kind)
    targets = soft_targets(features.train_labels, features.classes, 0.0)
    l1, l2 = settings.head_penalties
    own = features.own
    if l2 is None:
        train, val = (features.train, targets), (features.val, features.val_labels)
        return choose_head(train, val, l1=l1, sample_weight=weights, own=own)[0]
    if not l1 and features.train.shape[1] > len(features.train):
        return features.short.fitted(targets, weights, l2)
    return fit_head(
        features.train, targets, l1=l1, l2=l2, sample_weight=weights, start=start, own=own
    )


def default_head(store: TrialStore, features: Features, settings: Settings) -> Point:
    """The head of the default settings, its penalty as their training would choose it."""
    found = store.note("default_head")
    if found is None:
        head = fitted(features, settings)
        l1, _ = settings.head_penalties
        found = {"head_l1": l1, "head_l2": head.l2, "class_weights": settings.class_weights}
        store.note("default_head", found)
    return dict(found)


def probe_stage(
    store: TrialStore, space: Space, features: Features, context: StudyContext, limit: int
) -> None:
    """Try heads until ``limit`` of them are tried, time is up, or Ctrl-C.

    Args:
        store: of this stage.
        space: of the head's settings.
        features: what they are fitted on and judged by.
        context: what trials share.
        limit: number of trials.
    """
    settings = context.resolved.settings
    usual = default_head(store, features, settings)
    start = fitted(features, settings.changed(**usual))
    if store.created:
        point = {name: d.nearest_to(usual[name]) for name, d in space.items()}
        store.enqueue([point], default=True)
    distributions = {name: d.distribution() for name, d in space.items()}
    begun, before = time.perf_counter(), store.counted()
    with context.progress.step("probe", limit) as advance:
        advance(store.counted())
        while not context.why_stop():
            trial = store.claim(limit, distributions)
            if trial is None:
                break
            started = time.perf_counter()
            tried = settings.changed(**{**usual, **trial.params})
            metrics = _judged(fitted(features, tried, start), features, settings.calibrate)
            trial.set_user_attr("metrics", metrics)
            trial.set_user_attr("seconds", round(time.perf_counter() - started, 3))
            reached = score(context.metric, metrics, context.val_count)
            store.complete(trial, reached)
            advance(1, f"{context.metric} {metrics[context.metric]:.3f}")
    if done := store.counted() - before:
        spent = time.perf_counter() - begun
        context.progress.say(f"{done} heads tried on frozen features in {spent:.0f} s")


def _judged(head: Head, features: Features, calibrate: bool) -> dict[str, float | None]:
    from ensembles.calibration import fit_temperature
    from zoo.train.calibrate import softmax

    logits, labels = head.logits(features.val), features.val_labels
    temperature = fit_temperature(logits, labels) if calibrate else 1.0
    return measure(labels, softmax(logits, temperature))


def promising(store: TrialStore, space: Space, metric: str, usual: Point) -> dict[str, Point]:
    """The default head and the best ones that differ, by the names that fine-tuning knows."""
    done = [t for t in store.trials if t.state.name == "COMPLETE"]
    done.sort(key=lambda t: t.value or 0.0, reverse=better(metric, 1.0, 0.0))
    kept: list[Mapping[str, Any]] = []
    for trial in done:
        if all(_differ(space, trial.params, other) for other in kept):
            kept.append(trial.params)
        if len(kept) == _KEPT:
            break
    names = [f"probe {i + 1}" for i in range(_KEPT)]
    found = {DEFAULT_HEAD: usual}
    for i, name in enumerate(names):
        found[name] = {**usual, **(kept[min(i, len(kept) - 1)] if kept else {})}
    return found


def head_names() -> tuple[str, ...]:
    """The names of :func:`promising`."""
    return (DEFAULT_HEAD, *[f"probe {i + 1}" for i in range(_KEPT)])


def _differ(space: Space, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return any(
        one[n] != other[n] if d.choices else abs(d.position(one[n]) - d.position(other[n])) > _APART
        for n, d in space.items()
    )
