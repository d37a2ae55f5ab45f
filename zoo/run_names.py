"""Names of runs: what can be one, and which are free."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.errors import ZooError
from zoo.paths import runs_dir

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_run_name(text: str) -> bool:
    """Whether a run can be called so."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str) -> str:
    """The name, if it can be a run's.

    Raises:
        ZooError: it cannot be a plain file name.
    """
    if not is_run_name(name):
        raise ZooError(
            f"{name!r} cannot name a run: use letters, digits, '.', '_' and '-', first a letter "
            f"or digit, at most 100"
        )
    return name


def plain_name(text: str, most: int = 90) -> str:
    """What of a text can begin a run's name; empty if nothing can."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:most].strip("-._")


def free_name(stem: str, folder: str | Path | None = None) -> str:
    """``stem-1``, or with the first number that neither a run nor an unfinished one has."""
    root = runs_dir(folder)
    stem = plain_name(stem) or "run"
    number = 1
    while (root / f"{stem}-{number}").exists() or (root / f".{stem}-{number}.partial").exists():
        number += 1
    return f"{stem}-{number}"
