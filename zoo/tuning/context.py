"""What all trials of a study share, and when to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoo.data.dataset import Dataset
from zoo.processes.child import Child
from zoo.progress import Progress
from zoo.settings import Settings
from zoo.train.plan import ResolvedPlan

# exit status of a command, by what stopped it
STOPPED = {"stopped by Ctrl-C": 130, "stopped by SIGTERM": 143, "stopped by SIGHUP": 129}
_SIGNALS = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP"}  # Windows lacks the last
TIMEOUT = "the timeout was reached"


class SearchStopped(BaseException):
    """Ctrl-C while nothing is under way that would be lost."""


class StopEvent(threading.Event):
    """An event that knows what set it, as :data:`STOPPED` names it."""

    reason = "stopped by Ctrl-C"


@dataclass
class StudyContext:
    """What all trials of a study share.

    Attributes:
        given: the settings that are the same in all trials.
        resolved: the same, with all defaults decided.
        dataset: images, labels and split.
        metric: what is improved.
        folder: of the study.
        jobs: trials at a time on this machine.
        progress: shows the steps.
        deadline: of ``time.monotonic()``, after which no trial starts.
        stop: set by Ctrl-C, SIGTERM or SIGHUP.
        children: processes that train now; Ctrl-C ends them.
        preparing: whether nothing would be lost by stopping right now.
    """

    given: Settings
    resolved: ResolvedPlan
    dataset: Dataset
    metric: str
    folder: Path
    jobs: int = 1
    progress: Progress = field(default_factory=Progress)
    deadline: float = float("inf")
    stop: StopEvent = field(default_factory=StopEvent)
    children: list[Child] = field(default_factory=list)
    preparing: bool = False

    @property
    def val_labels(self) -> np.ndarray:
        """Labels of the validation images, int64 of shape (n,)."""
        return self.dataset.catalog.labels[self.dataset.split.val]

    @property
    def val_count(self) -> int:
        """Number of validation images."""
        return len(self.dataset.split.val)

    def why_stop(self) -> str:
        """Why no further trial or epoch should start; empty if it should."""
        if self.stop.is_set():
            return self.stop.reason
        return TIMEOUT if time.monotonic() > self.deadline else ""

    @contextmanager
    def following(self, child: Child) -> Iterator[None]:
        """Ctrl-C ends this process within the block."""
        self.children.append(child)
        if self.stop.is_set():  # it came before the process was known
            child.kill()
        try:
            yield
        finally:
            self.children.remove(child)

    @contextmanager
    def preparation(self) -> Iterator[None]:
        """Ctrl-C leaves the block at once: nothing of it would be lost.

        Raises:
            SearchStopped: it did.
        """
        self.preparing = True
        try:
            yield
        finally:
            self.preparing = False

    @contextmanager
    def stop_on_interrupt(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM and SIGHUP end the trials under way, which are repeated later.

        A second one ends it all. What is ignored, as by ``nohup``, stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: object) -> None:
            if self.stop.is_set():
                raise KeyboardInterrupt
            self.stop.reason = f"stopped by {_SIGNALS[signal.Signals(number).name]}"
            self.stop.set()
            count = len(self.children)
            what = f"ending {count} trial{'' if count == 1 else 's'}" if count else "stopping"
            with suppress(RuntimeError):  # it came while another line was being printed
                self.progress.say(f"{what}, saving what is finished; Ctrl-C again stops at once")
            for child in list(self.children):
                child.kill()
            if self.preparing:
                raise SearchStopped

        numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
        try:
            for number in before:
                signal.signal(number, handle)
            yield
        except SearchStopped:
            pass
        finally:
            for number, earlier in before.items():
                signal.signal(number, earlier)
