"""What all trials of a study share, and when to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoo.data.dataset import Dataset
from zoo.progress import Progress
from zoo.settings import Settings
from zoo.train.plan import Resolved


@dataclass
class StudyContext:
    """The place where trials are made.

    Attributes:
        given: the settings that are the same in all trials.
        resolved: the same, with everything decided that they leave open.
        dataset: images, labels and split.
        metric: what is improved.
        folder: of the study.
        jobs: trainings at a time on this machine.
        progress: shows the steps.
        deadline: of ``time.monotonic()``, after which no trial begins.
        stop: set by Ctrl-C.
    """

    given: Settings
    resolved: Resolved
    dataset: Dataset
    metric: str
    folder: Path
    jobs: int = 1
    progress: Progress = field(default_factory=Progress)
    deadline: float = float("inf")
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def val_labels(self) -> np.ndarray:
        """Labels of the validation images, int64 of shape (n,)."""
        return self.dataset.catalog.labels[self.dataset.split.val]

    @property
    def val_count(self) -> int:
        """Number of validation images."""
        return len(self.dataset.split.val)

    def why_stop(self) -> str:
        """Why no further epoch is wanted; empty where all is well."""
        if self.stop.is_set():
            return "stopped by Ctrl-C"
        return "the time was up" if time.monotonic() > self.deadline else ""

    @contextmanager
    def stop_on_interrupt(self) -> Iterator[None]:
        """Ctrl-C lets the epoch end; a second one does not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: object) -> None:
            if self.stop.is_set():
                raise KeyboardInterrupt
            self.stop.set()
            self.progress.say("stopping after the current epoch; Ctrl-C again stops at once")

        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
