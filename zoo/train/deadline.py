"""A moment at which training ends with the best that it has, rather than by its own rules."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Deadline:
    """When to end.

    Attributes:
        at: by the monotonic clock, in seconds.
        reached: whether a training ended because of it.
    """

    at: float = math.inf
    reached: bool = False

    def leaves(self, seconds: float) -> bool:
        """Whether so many seconds are left; that they are not is remembered."""
        if time.monotonic() + seconds <= self.at:
            return True
        self.reached = True
        return False


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def deadline(at: float) -> Iterator[Deadline]:
    """Training within the block ends at this moment of the monotonic clock.

    The epoch under way is cut short and judged like others; an epoch that would not be finished
    before is not begun.
    """
    token = _current.set(Deadline(at))
    try:
        yield current_deadline()
    finally:
        _current.reset(token)


def current_deadline() -> Deadline:
    """The one that is set, or one that is never reached."""
    return _current.get() or Deadline()
