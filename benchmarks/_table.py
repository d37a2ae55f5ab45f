"""What the benchmark scripts share: the machine's name and a Markdown table."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """Processor, cores, and the versions that matter, in a line."""
    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        lines = about.read_text(encoding="utf-8").splitlines()
        named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = named[0] if named else model
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "zoo"))
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def print_table(title: str, headers: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table that says how it was made."""
    print(f"\n### {title}\n")
    print(f"| {' | '.join(headers)} |")
    print(f"|{'|'.join(' --- ' for _ in headers)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(f"\n{machine()}; `{' '.join(['python', *sys.argv])}`")
