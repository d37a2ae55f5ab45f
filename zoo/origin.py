"""Where figures come from: the machine, and the versions that matter."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("tensorflow", "keras", "keras-cv", "numpy", "scikit-learn", "scipy", "pillow")
_OURS = ("zoo", "backbones", "ensembles")


def machine() -> str:
    """Processor, cores, and the accelerators that TensorFlow sees where it is loaded."""
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        lines = about.read_text(encoding="utf-8").splitlines()
        named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = named[0] if named else model
    return ", ".join([model, f"{os.cpu_count()} cores", *_accelerators()])


def _accelerators() -> list[str]:
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return []
    devices = [d for d in tensorflow.config.list_physical_devices() if d.device_type != "CPU"]
    details = [tensorflow.config.experimental.get_device_details(d) for d in devices]
    return [str(found.get("device_name", "an accelerator")) for found in details]


def versions() -> dict[str, str]:
    """Of Python, of the packages that figures depend on, and of zoo's own code."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "zoo": code_version(),
    }


@functools.cache
def code_version() -> str:
    """Zoo's version and, after a plus, eight letters that change with any line of its code."""
    # of this package, not of an installation, which a checkout may lack
    number = sys.modules["zoo"].__version__
    digest = hashlib.sha256()
    for package in _OURS:
        found = find_spec(package)
        folder = Path(str(found.origin if found else "")).parent
        for file in sorted(folder.rglob("*.py")):
            name = f"{package}/{file.relative_to(folder).as_posix()}"
            digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return f"{number}+{digest.hexdigest()[:8]}"
