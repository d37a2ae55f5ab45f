"""A process for one training, so that memory cannot grow with the trials.

It takes a job as a line of JSON on standard input and answers with lines of JSON on what was its
standard output: a line an epoch, to which ``go`` or ``stop`` is the answer, and one at the end. It
ends with its parent: standard input is closed then.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any


class Stopped(BaseException):
    """The parent wants no further epoch."""


class Line:
    """The line to the parent."""

    def __init__(self, answers: IO[str]) -> None:
        self._answers = answers
        self._orders: queue.Queue[str] = queue.Queue()

    def listen(self) -> None:
        """Read orders in a thread, and end this process where the parent is gone."""

        def read() -> None:
            for line in sys.stdin:
                self._orders.put(line.strip())
            os._exit(1)

        threading.Thread(target=read, daemon=True).start()

    def say(self, **content: Any) -> None:
        """Send a line."""
        self._answers.write(json.dumps(content) + "\n")
        self._answers.flush()

    def epoch(self, row: Mapping[str, float]) -> None:
        """Tell of an epoch and wait for what to do."""
        self.say(epoch=dict(row))
        if self._orders.get() != "go":
            raise Stopped

    def job(self) -> dict[str, Any]:
        """The first line."""
        found: dict[str, Any] = json.loads(self._orders.get())
        return found


Job = Callable[[Mapping[str, Any], Line], dict[str, Any]]


def serve(jobs: Mapping[str, Job]) -> None:
    """Do the one job that the parent sends, and end the process.

    Args:
        jobs: kind of job to the function that does it.
    """
    # what libraries print must not get between the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    line = Line(answers)
    line.listen()
    job = line.job()
    try:
        line.say(done=jobs[job["kind"]](job, line))
    except Stopped:
        line.say(stopped=True)
    except Exception as error:
        line.say(error=reason(error))
    answers.flush()
    os._exit(0)  # the reading thread would wait for ever


def reason(error: BaseException) -> str:
    """Why a trial failed, in a line."""
    from backbones import BackboneError
    from zoo.errors import ZooError

    text = " ".join(str(error).split())[:500]
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return f"out of memory: {text}"
    if isinstance(error, ZooError | BackboneError):
        return text
    return f"{type(error).__name__}: {text}"


def _features(job: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """Prepare the images and compute frozen features; where they lie."""
    from zoo.progress import Silent
    from zoo.train.features import features_file

    resolved, _, prepared = _images(job)
    backbone = _backbone(resolved)
    return {"file": str(features_file(backbone, prepared, Silent())), "key": prepared.key}


def _trial(job: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """Train once, and what that reached on validation. Test images are not predicted."""
    import numpy as np

    from zoo.progress import Silent
    from zoo.train.features import frozen_features
    from zoo.train.member import Inputs, Timings, train_member
    from zoo.tuning.score import measure

    resolved, dataset, prepared = _images(job)
    backbone, folder, timings = _backbone(resolved), Path(job["folder"]), Timings()
    features = None if resolved.from_scratch else frozen_features(backbone, prepared, Silent())
    inputs = Inputs(resolved, dataset, prepared, features)
    train, val = dataset.split.train, dataset.split.val
    member = train_member(
        inputs,
        backbone,
        train,
        val,
        checkpoint=folder / "last.npz",
        timings=timings,
        progress=Silent(),
        watch=line.epoch,
    )
    probabilities = member.probabilities(inputs, val)
    np.save(folder / "val.npy", probabilities)
    about = {"best_epoch": member.best_epoch, "stages": member.stages, "seconds": timings.seconds}
    return {"metrics": measure(inputs.labels[val], probabilities), **about}


def _images(job: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Resolved settings, data set and prepared images."""
    from zoo.data.dataset import load
    from zoo.data.prepare import prepare
    from zoo.errors import ZooError
    from zoo.progress import Silent
    from zoo.settings import Settings
    from zoo.train.plan import resolve

    resolved = resolve(Settings.of(job["settings"]))
    dataset = load(resolved.settings, Silent())
    if dataset.split_fingerprint() != job["split"]:
        raise ZooError("images or split changed since the study was begun")
    size = resolved.settings.size
    assert size is not None
    return resolved, dataset, prepare(dataset.catalog, size, resolved.settings.fit, Silent())


def _backbone(resolved: Any) -> Any:
    from zoo.keras_setup import import_keras, set_precision
    from zoo.train.member import build_backbone

    import_keras()
    set_precision(resolved.settings.precision)
    return build_backbone(resolved)


_JOBS = {"features": _features, "trial": _trial}

if __name__ == "__main__":
    serve(_JOBS)
