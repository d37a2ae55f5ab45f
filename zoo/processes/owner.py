"""Which process owns a piece of work, and whether it still runs."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psutil

# seconds without a heartbeat after which the process of another machine is taken for dead; covers
# clocks that differ and a storage that answers slowly
SILENCE = 300.0
_UNCLAIMED = 60.0  # seconds that a process may take between claiming work and signing it
_CLOCK = 2.0  # seconds by which two readings of a start time differ where the clock was adjusted
_SESSION = uuid.uuid4().hex[:12]  # of this process: another may get its number


def this_process() -> dict[str, Any]:
    """This process, as what it owns records it."""
    since = psutil.Process().create_time()
    return {"host": host(), "pid": os.getpid(), "since": since, "session": _SESSION}


@cache
def host() -> str:
    """Name of this machine; containers that share a name or a kernel differ in it."""
    parts = [socket.gethostname()]
    for file in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            path = Path(file)
            found = str(path.readlink()) if "/ns/" in file else path.read_text()
            parts.append(found.strip().strip("pid:[]")[:10])
        except OSError:  # not Linux
            continue
    return "/".join(parts)


def is_gone(owner: Mapping[str, Any] | None, heartbeat: float) -> bool:
    """Whether the process that claimed some work will never finish it.

    Args:
        owner: from :func:`this_process` of that process; None if it was killed before it signed.
        heartbeat: its last one, in seconds since 1970.
    """
    if owner is None or owner.get("host") != host():
        return time.time() - heartbeat > (_UNCLAIMED if owner is None else SILENCE)
    if owner["pid"] == os.getpid():
        return bool(owner["session"] != _SESSION)
    if not isinstance(owner["since"], float):  # older records hold it in another unit
        return not psutil.pid_exists(owner["pid"]) or time.time() - heartbeat > SILENCE
    return not _runs(owner["pid"], owner["since"])


def _runs(pid: int, since: float) -> bool:
    """Whether a process that started at this time still runs; its ID alone is soon another's."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - since) < _CLOCK
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # of another user, but there
        return True
