"""The folder of a benchmark: its cells as runs, their logs, and what their networks cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from zoo.errors import ZooError, disk_errors
from zoo.output import check_output
from zoo.paths import MARK, claim_folder
from zoo.processes.lock import LockedError, locked
from zoo.records import RecordError, mismatch, read_text
from zoo.runs import Run

TABLES = ("table.md", "table.csv", "table.json")
_LOCK = ".lock"


class AboutRecord(TypedDict):
    """What the network of a cell costs, and where it was trained."""

    parameters: int
    macs: int | None
    machine: str
    at_a_time: int


def digest(about: Mapping[str, Any]) -> str:
    """Of what is known of a cell."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


class CellStore:
    """A benchmark's folder.

    Args:
        folder: created by :meth:`locked` if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other command works on the benchmark within the block.

        Raises:
            ZooError: another one does.
        """
        claim_folder(self.folder, signs=[self.cells.name])
        for name in TABLES:
            check_output(self.folder / name)
        with disk_errors(self.folder):
            self.cells.mkdir(parents=True, exist_ok=True)
            lock = self.folder / _LOCK
            try:
                with locked(lock):
                    try:
                        yield
                    finally:
                        self._remove_empty(lock)
            except LockedError:
                raise ZooError(
                    f"benchmark {self.folder.name!r} is being made by another command: wait for "
                    f"it, or choose another --name"
                ) from None

    def _remove_empty(self, lock: Path) -> None:
        """Leave nothing if no cell was made."""
        if {path.name for path in self.folder.iterdir()} <= {self.cells.name, lock.name, MARK}:
            with suppress(OSError):
                self.cells.rmdir()
                lock.unlink()
                (self.folder / MARK).unlink()
                self.folder.rmdir()

    def log(self, name: str) -> Path:
        """Output of the process of a cell."""
        return self.folder / "logs" / f"{name}.txt"

    def about_file(self, name: str) -> Path:
        """The file of :meth:`about`."""
        return self.folder / "about" / f"{name}.json"

    def about(self, name: str) -> dict[str, Any]:
        """Of a finished cell: parameters, macs, machine, training runs at a time.

        Empty if they are not known, or damaged: they are then found out anew.
        """
        try:
            found: dict[str, Any] = json.loads(read_text(self.about_file(name)))
        except (RecordError, ValueError, RecursionError):
            return {}
        is_right = isinstance(found, dict) and found.pop("sha256", None) in {None, digest(found)}
        return found if is_right and not mismatch(found, AboutRecord) else {}

    def run(self, name: str) -> Run | None:
        """A finished run by its name."""
        path = self.cells / name
        return Run(path) if (path / "run.json").is_file() else None

    def is_done(self, name: str) -> bool:
        """Whether a cell is trained and its costs are known."""
        return self.run(name) is not None and "parameters" in self.about(name)
