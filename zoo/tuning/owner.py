"""Which process works on a trial, and whether it still does."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

SILENCE = 300.0  # seconds without a sign of life from another machine, its clock being off included
_SESSION = uuid.uuid4().hex[:12]


def me() -> dict[str, Any]:
    """This process, as a trial records it."""
    pid = os.getpid()
    return {"host": host(), "pid": pid, "since": _since(pid), "session": _SESSION}


@cache
def host() -> str:
    """Name of this machine; containers that share a name or a kernel differ in it."""
    parts = [socket.gethostname()]
    for file in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            path = Path(file)
            found = str(path.readlink()) if "/ns/" in file else path.read_text()
            parts.append(found.strip().strip("pid:[]")[:10])
        except OSError:
            continue
    return "/".join(parts)


def is_gone(owner: Mapping[str, Any] | None, beat: float) -> bool:
    """Whether the process that took a trial will never finish it.

    Args:
        owner: from :func:`me` of that process; None where it was killed before it said so.
        beat: its last sign of life, in seconds since 1970.
    """
    if owner is None or owner.get("host") != host():
        return time.time() - beat > (60.0 if owner is None else SILENCE)
    if owner["pid"] == os.getpid():
        return bool(owner["session"] != _SESSION)
    return _since(owner["pid"]) != owner["since"]


def _since(pid: int) -> str:
    """When a process began; empty where there is none. A number alone is soon another's."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state[0] == "Z" else state[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "alive"
