"""A lock between processes of one machine, which ends with its process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL = 0.1  # seconds between two tries


class LockedError(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(file: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock within the block.

    Args:
        file: what is locked; it is made and stays.
        wait: seconds to wait for another process.

    Raises:
        LockedError: another process holds it, and still does after waiting.
        OSError: the file cannot be made.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        deadline = time.monotonic() + wait
        while not take_lock(descriptor):
            if time.monotonic() >= deadline:
                raise LockedError(str(file))
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)  # which unlocks it


def take_lock(descriptor: int) -> bool:
    """Lock an open file, if no other process has; the lock ends when it is closed.

    Args:
        descriptor: of the file.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
