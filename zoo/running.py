"""Runs that are not finished: in training by a process that lives, or interrupted."""

from __future__ import annotations

import json
import shlex
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import ZooError, read_errors
from zoo.paths import runs_dir
from zoo.progress import duration
from zoo.records import StartedRecord, read_record
from zoo.run_names import is_run_name
from zoo.runs import being_written, unfinished


@dataclass(frozen=True)
class UnfinishedRun:
    """A run in the making.

    Attributes:
        name: of the run that it becomes.
        is_alive: whether a process is training it.
        settings: as ``run.json`` records them; empty before they are written, or damaged.
        created: when it was begun, as ISO 8601; empty if that is not known.
        fold: that is being trained, from 1; 0 without folds.
        epoch: epochs that are done, of this fold; None before the first, and of a probe.
        seconds: since something of it was written.
        resume: the command that continues it; empty while its process lives.
    """

    name: str
    is_alive: bool
    settings: Mapping[str, Any]
    created: str
    fold: int
    epoch: int | None
    seconds: float
    resume: str

    def sentence(self) -> str:
        """What it is, how far it is, and since when; without its name."""
        what = str(self.settings.get("backbone", "run"))
        if self.settings.get("data"):
            what += f" on {Path(str(self.settings['data'])).name}"
        parts = [what, *([f"fold {self.fold}"] if self.fold else [])]
        if self.epoch is None:
            parts.append("before its first epoch is done")
        else:
            total = self.settings.get("epochs")
            parts.append(f"epoch {self.epoch}{f' of {total}' if total else ''} done")
        if self.is_alive:
            begun = self.age()
            return ", ".join([*parts, *([f"begun {duration(begun)} ago"] if begun else [])])
        return ", ".join([*parts, f"stopped {duration(self.seconds)} ago"])

    def age(self) -> float | None:
        """Seconds since it was begun; None if that is not known."""
        try:
            return max(0.0, time.time() - datetime.fromisoformat(self.created).timestamp())
        except ValueError:
            return None

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "in_training": self.is_alive,
            "backbone": self.settings.get("backbone"),
            "data": self.settings.get("data"),
            "created": self.created or None,
            "fold": self.fold,
            "epoch": self.epoch,
            "epochs": self.settings.get("epochs"),
            "seconds_since_written": round(self.seconds, 1),
            "resume": self.resume or None,
        }


def in_the_making(folder: str | Path | None = None) -> list[UnfinishedRun]:
    """Runs that are not finished: those in training first, then the interrupted ones.

    Args:
        folder: where runs lie.
    """
    root = runs_dir(folder)
    with read_errors(root):
        places = sorted(root.glob(".*.partial")) if root.is_dir() else []
    names = [path.name.removeprefix(".").removesuffix(".partial") for path in places]
    alive = [name for name in names if is_run_name(name) and being_written(name, folder)]
    found = [_look(root, name, True, folder) for name in alive]
    return found + [_look(root, name, False, folder) for name in unfinished(folder)]


def find(name: str, folder: str | Path | None = None) -> UnfinishedRun | None:
    """The run of this name, if it is in the making."""
    return next((run for run in in_the_making(folder) if run.name == name), None)


def _look(root: Path, name: str, is_alive: bool, folder: str | Path | None) -> UnfinishedRun:
    place = root / f".{name}.partial"
    try:
        record: Mapping[str, Any] = read_record(place / "run.json", StartedRecord)
    except ZooError:
        record = {}
    fold, epoch = _progress(place / "checkpoints")
    where = f" --runs-dir {shlex.quote(str(folder))}" if folder else ""
    return UnfinishedRun(
        name=name,
        is_alive=is_alive,
        settings=record.get("settings", {}),
        created=str(record.get("created", "")),
        fold=fold,
        epoch=epoch,
        seconds=_silence(place),
        resume="" if is_alive else f"zoo finetune --resume --name {name}{where}",
    )


def _silence(place: Path) -> float:
    """Seconds since something was written below the folder."""
    times = [0.0]
    for path in (place, place / "run.json", place / "checkpoints"):
        try:
            times.append(path.stat().st_mtime)
        except OSError:  # not there yet, or no more
            continue
    return max(0.0, time.time() - max(times))


def _progress(checkpoints: Path) -> tuple[int, int | None]:
    """Fold and number of epochs that are done, of the last checkpoint."""
    try:
        # a file that is being written has a hidden name, and may be gone before it is looked at
        files = [(path.stat().st_mtime, path) for path in checkpoints.glob("[!.]*.npz")]
        last = max(files)[1]
        with np.load(last, allow_pickle=False) as stored:
            epoch = int(json.loads(str(stored["state"]))["next_epoch"])
        number = last.stem.removeprefix("fold")
        return (int(number) if number.isdecimal() else 0), epoch
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return 0, None
