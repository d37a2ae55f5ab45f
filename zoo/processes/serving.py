"""The child's side: take one job from the parent, answer, and end with it.

A job is a line of JSON on standard input. The answers are lines of JSON on what was standard
output: one per epoch, to which the parent's answer is ``go`` or ``stop``, and one at the end. When
the parent ends, standard input is closed, and so the child never outlives it.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any

_LONGEST = 500  # characters of a reason


class Stopped(BaseException):
    """The parent wants no further epoch."""


class Channel:
    """The connection to the parent."""

    def __init__(self, answers: IO[str]) -> None:
        self._answers = answers
        self._orders: queue.Queue[str] = queue.Queue()

    def listen(self) -> None:
        """Read orders in a thread, and end this process when the parent has ended."""

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
        """Report an epoch and wait for the order to continue.

        Raises:
            Stopped: the order is to stop.
        """
        self.say(epoch=dict(row))
        if self._orders.get() != "go":
            raise Stopped

    def job(self) -> dict[str, Any]:
        """The first line."""
        found: dict[str, Any] = json.loads(self._orders.get())
        return found


Job = Callable[[Mapping[str, Any], Channel], dict[str, Any]]


def serve(jobs: Mapping[str, Job]) -> None:
    """Do the one job that the parent sends, and end the process.

    Args:
        jobs: kind of job to the function that does it.
    """
    # what libraries print must not come between the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    channel = Channel(answers)
    channel.listen()
    job = channel.job()
    try:
        channel.say(done=jobs[job["kind"]](job, channel))
    except Stopped:
        channel.say(stopped=True)
    except Exception as error:
        channel.say(error=reason(error))
    answers.flush()
    os._exit(0)  # the reading thread would wait for ever


def reason(error: BaseException) -> str:
    """Why a job failed, in a line."""
    from backbones import BackboneError
    from zoo.errors import ZooError

    text = " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return f"out of memory: {text}"
    if isinstance(error, ZooError | BackboneError):
        return text
    return f"{type(error).__name__}: {text}"
