"""Where figures come from: the machine and the versions that matter."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("tensorflow", "keras", "zoo")


def machine() -> str:
    """Processor, cores, and versions, in a line."""
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        lines = about.read_text(encoding="utf-8").splitlines()
        named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = named[0] if named else model
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"
