"""Runs: directories that hold everything of a training, and exist whole or not at all.

While it is written, a run lies under a hidden name beside its place and is locked by its process;
it is renamed when complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shlex
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.deprecated import current_settings
from zoo.digests import NAME as DIGESTS
from zoo.digests import checked, is_there, write_digests
from zoo.errors import DiskError, ZooError, disk_errors, nearest, read_errors
from zoo.escape import escaped_json
from zoo.history import Epochs, history_frame, read_history
from zoo.origin import versions
from zoo.paths import (
    MARK,
    claim_folder,
    empty_folder,
    is_marked,
    new_file,
    remove_folder,
    runs_dir,
)
from zoo.processes.lock import take_lock
from zoo.records import (
    EnsembleRecord,
    Metrics,
    RecordError,
    RunRecord,
    StartedRecord,
    TrainingRecord,
    read_record,
    read_text,
)
from zoo.run_names import check_name, is_run_name
from zoo.run_text import run_html, run_text

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from ensembles import PredictionTable
    from zoo.evaluate.predict import Prediction
    from zoo.progress import Progress


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: its directory.
    """

    path: Path

    @property
    def name(self) -> str:
        """The run's name, unique in its folder."""
        return self.path.name

    def file(self, name: str) -> Path:
        """Path of one of its files, after a warning if it was changed since it was written.

        Args:
            name: relative to the run's folder.
        """
        return checked(self.path / name)

    def has(self, name: str) -> bool:
        """Whether it has this file, after a warning if it had when it was written.

        Args:
            name: relative to the run's folder.
        """
        return is_there(self.path / name)

    @cached_property
    def record(self) -> RunRecord:
        """Content of ``run.json``: settings, seed, versions, data, weights, timings.

        Raises:
            ZooError: missing or damaged.
        """
        record = read_record(self.file("run.json"), RunRecord)
        record["settings"] = current_settings(record["settings"])
        return record

    @property
    def settings(self) -> dict[str, Any]:
        """The settings it was trained with, as ``Settings.of`` takes them."""
        return self.record["settings"]

    @property
    def kind(self) -> str:
        """``finetune`` or ``ensemble``."""
        return str(self.record.get("kind", "finetune"))

    @property
    def title(self) -> str:
        """What it is in a few words: its backbone, or method and number of members."""
        found = self.record.get("combination")
        if found is None:
            return str(self.settings["backbone"])
        return f"{found['method']} of {len(found['members'])}"

    @property
    def trained(self) -> list[TrainingRecord]:
        """What is recorded of each training that was judged: stage, best epoch, temperature.

        Of each fold; of a refit, of the runs that chose its epochs; empty of an ensemble.
        """
        record = self.record
        return record.get("folds") or record.get("before_refit") or record.get("kept") or []

    @property
    def view(self) -> tuple[int, str]:
        """Side in pixels of the images that its network takes, and the resize mode."""
        try:
            return int(self.settings["size"]), str(self.settings["resize"])
        except (KeyError, TypeError, ValueError) as error:
            raise ZooError(
                f"{self.path / 'run.json'} tells no input size: the run is damaged; train it again"
            ) from error

    @property
    def milliseconds(self) -> float | None:
        """Measured milliseconds per image of its network or networks; None if not measured."""
        return self.record.get("network", {}).get("ms_per_image")

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the model's outputs."""
        return self.record["classes"]

    @cached_property
    def metrics(self) -> Metrics:
        """Split to metric to ``{"value", "low", "high", "n"}``.

        Raises:
            ZooError: missing or damaged.
        """
        return read_record(self.file("metrics.json"), Metrics)

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch: fold, losses, accuracies, learning rate, seconds.

        Folds are numbered from 1; a training of its own, or a refit, is fold 0. Empty if there was
        no training but a probe's, and of an ensemble.

        Raises:
            ZooError: damaged, or pandas is not installed.
        """
        return history_frame(self.epochs)

    @cached_property
    def epochs(self) -> dict[int, Epochs]:
        """Fold to its epochs, from ``history.csv``; none if there was no training but a probe's.

        Raises:
            ZooError: missing, damaged, or without an epoch that ``run.json`` calls the best.
        """
        if self.kind == "ensemble":
            return {}
        path = self.file("history.csv")
        found = read_history(path)
        longest = max(map(len, found.values()), default=0)
        best = max((int(t["best_epoch"]) for t in self.trained), default=0)
        if best > longest:
            raise RecordError(
                f"{path} is damaged: run.json names epoch {best} as the best, and it has "
                f"{longest}; train the run again"
            )
        return found

    def predictions(self, split: str = "test") -> PredictionTable:
        """Stored predictions of ``val``, ``test`` or, of a run with folds, ``oof``.

        Raises:
            EnsembleError: not there, or damaged.
        """
        from ensembles import PredictionTable

        return PredictionTable.load(self.file(f"predictions/{split}.npz"))

    @cached_property
    def combination(self) -> EnsembleRecord | None:
        """Of an ensemble, how its members are combined; None for a single network.

        Raises:
            ZooError: damaged.
        """
        if not self.has("ensemble.json"):
            return None
        return read_record(self.file("ensemble.json"), EnsembleRecord)

    @property
    def members(self) -> list[Run]:
        """The runs that an ensemble combines, as it keeps them; empty for a single network."""
        named = self.combination["members"] if self.combination else []
        return [Run(self.path / "members" / check_name(name)) for name in named]

    @property
    def networks(self) -> list[Run]:
        """The trained networks: the run itself, or those of its members and of theirs."""
        if not self.combination:
            return [self]
        return [network for member in self.members for network in member.networks]

    @cached_property
    def model(self) -> keras.Model:
        """The classifier: RGB in 0..255, shape (n, height, width, 3), to probabilities (n, k).

        Raises:
            ZooError: missing or damaged, or the run is an ensemble of several networks.
        """
        from zoo.keras_setup import load_model

        if self.combination is not None:
            raise ZooError(
                f"{self.name} is an ensemble of several networks: zoo.predict asks them all, and "
                f".members gives each"
            )
        return load_model(self.file("model.keras"))

    def predict(self, images: Any, *, progress: Progress | None = None) -> Prediction:
        """What it says of new images, see :func:`zoo.predict`."""
        from zoo.evaluate.predict import predict

        return predict(self, images, progress=progress)

    def report(self, output: str | Path | None = None) -> Path:
        """Write its report as one HTML file, see :func:`zoo.report`."""
        from zoo.reporting.job import report

        return report(self, output=output)

    def __repr__(self) -> str:
        return run_text(self)

    def _repr_html_(self) -> str:
        return run_html(self)


def environment() -> dict[str, Any]:
    """Versions and machine, as ``run.json`` records them."""
    return {
        "versions": versions(),
        "machine": {"system": platform.platform(), "processor": platform.machine()},
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file whole or not at all."""
    with new_file(path) as temporary:
        temporary.write_text(to_json(content) + "\n", "utf-8")


def to_json(content: Any) -> str:
    """Indented JSON; control characters and bytes of file names that are not text are escapes."""
    return escaped_json(json.dumps(content, indent=2, ensure_ascii=False))


def finished(folder: str | Path | None = None) -> list[Run]:
    """All finished runs of a folder, sorted by name."""
    root = runs_dir(folder)
    with read_errors(root):
        paths = sorted(root.iterdir()) if root.is_dir() else []
    return [Run(p) for p in paths if is_run_name(p.name) and _is_run(p)]


def _is_run(path: Path) -> bool:
    """Whether a folder is a run, perhaps a damaged one."""
    return any(os.path.lexists(path / name) for name in ("run.json", DIGESTS))


def unfinished(folder: str | Path | None = None) -> list[str]:
    """Names of interrupted runs, the most recent first; not those that are being written."""
    root, found = runs_dir(folder), []
    with read_errors(root):
        paths = sorted(root.glob(".*.partial")) if root.is_dir() else []
    for path in paths:
        lock = _lock(path) if _is_resumable(path) else None
        if lock is not None:
            found.append((path.stat().st_mtime, path.name[1 : -len(".partial")]))
            os.close(lock)
    return [name for _, name in sorted(found, reverse=True)]


def last_unfinished(folder: str | Path | None = None) -> str:
    """Name of the run that was interrupted last.

    Raises:
        ZooError: there is none.
    """
    there = unfinished(folder)
    if not there:
        raise ZooError("there is no unfinished run to resume: start one without --resume")
    return there[0]


def _is_resumable(path: Path) -> bool:
    """Whether a training was interrupted here, rather than anything that starts anew."""
    try:
        if path.is_symlink() or not stat.S_ISREG((path / "run.json").lstat().st_mode):
            return False
        record = json.loads(read_text(path / "run.json"))
        return not isinstance(record, dict) or record.get("kind") != "ensemble"
    except OSError:
        return False
    except (ValueError, RecursionError):
        return True  # a damaged record is told when it is asked for


def _is_unmarked_run(path: Path) -> bool:
    """Whether an earlier version, which left no mark, was interrupted here and can continue."""
    try:
        return bool(_is_resumable(path) and read_record(path / "run.json", StartedRecord))
    except RecordError:
        return False


def being_written(name: str, folder: str | Path | None = None) -> bool:
    """Whether another process writes a run of this name."""
    path = runs_dir(folder) / f".{name}.partial"
    if not is_marked(path):
        return False
    lock = _lock(path)
    if lock is None:
        return path.is_dir()
    os.close(lock)
    return False


def unfinished_record(name: str, folder: str | Path | None = None) -> StartedRecord:
    """``run.json`` of an interrupted run.

    Raises:
        ZooError: there is none of this name, it is being written, or it is damaged.
    """
    there = unfinished(folder)
    if name not in there:
        hint = nearest(name, there) if there else "no run is unfinished"
        raise ZooError(f"there is no unfinished run {name!r} to resume: {hint}")
    return read_record(runs_dir(folder) / f".{name}.partial" / "run.json", StartedRecord)


def open_run(name: str | Path, folder: str | Path | None = None) -> Run:
    """The finished run of a name, or at a path.

    Raises:
        ZooError: no such run (the nearest name is given), or an unfinished one.
    """
    path = runs_dir(folder) / name
    for candidate in (path, Path(name)):
        if not candidate.name.startswith(".") and _is_run(candidate):
            return Run(candidate)
    if str(name) in unfinished(folder):
        raise ZooError(
            f"run {str(name)!r} is not finished: continue with "
            f"`zoo finetune --resume --name {name}`"
        )
    if is_run_name(str(name)) and being_written(str(name), folder):
        raise ZooError(f"run {str(name)!r} is in training: `zoo show {name}` says how far it is")
    hint = nearest(str(name), [run.name for run in finished(folder)])
    raise ZooError(f"there is no run {str(name)!r} in {runs_dir(folder)}: {hint}")


class RunWriter:
    """A run in the making: a locked hidden directory that becomes the run.

    Used as a context manager. When the block ends well after :meth:`complete`, the run is there.
    When it is interrupted (Ctrl-C, kill, a full disk), what was done stays for ``--resume``. When
    it fails for a reason that continuing would meet again, or before a checkpoint, nothing stays.

    Args:
        name: the run's name.
        folder: where runs lie.
        resume: continue an interrupted run of this name.
        resumable: whether it can be gone on with; otherwise nothing stays of an interrupted run.

    Raises:
        ZooError: the name is taken, or in use by another process.
    """

    def __init__(
        self,
        name: str,
        folder: str | Path | None = None,
        resume: bool = False,
        *,
        resumable: bool = True,
    ) -> None:
        self.name = check_name(name)
        self._root = runs_dir(folder)
        self._where = f" --runs-dir {shlex.quote(str(folder))}" if folder else ""
        self.target = self._root / name
        self.path = self._root / f".{name}.partial"
        self.resumed = resume
        self._resumable = resumable
        if os.path.lexists(self.target):
            raise ZooError(
                f"there is a run {name!r} in {self._root} already: choose another --name, or "
                f"remove {self.target}"
            )

    def __enter__(self) -> RunWriter:
        # made by zoo, or empty: nothing else is locked, emptied or removed
        claim_folder(self.path, signs=["run.json"] if _is_unmarked_run(self.path) else [])
        with disk_errors(self.path):
            # the lock ends with the process, however it ends
            lock = _lock(self.path)
        if lock is None or os.path.lexists(self.target):
            if lock is not None:
                os.close(lock)
            raise ZooError(
                f"run {self.name!r} is being written by another command: wait for it, or choose "
                f"another --name"
            )
        if not _is_resumable(self.path):  # left by a kill, and nothing can continue from it
            empty_folder(self.path)
        elif not self.resumed:
            os.close(lock)
            raise ZooError(
                f"there is an unfinished run {self.name!r}: continue with --resume, or remove "
                f"{self.path}"
            )
        self._lock, self._complete = lock, False
        return self

    def read_record(self) -> StartedRecord:
        """``run.json`` as it was left."""
        return read_record(self.path / "run.json", StartedRecord)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        write_json(self.path / "run.json", record)

    def complete(self) -> Run:
        """Drop what only resuming needs, and give the directory its name."""
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)
        for left in [p for p in self.path.rglob(".*") if p.is_file() and p.name != MARK]:
            left.unlink()  # a temporary file of a killed process
        write_digests(self.path)
        self.path.rename(self.target)
        for found in list(self.target.rglob(MARK)):  # it is the lock until here
            found.unlink()
        self._complete = True
        return Run(self.target)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        failed = kind is not None and issubclass(kind, Exception)
        hopeless = kind is not None and _is_hopeless(kind)
        saved = any((self.path / "checkpoints").glob("[!.]*.npz"))
        remove = not _is_run(self.path) or (not self.resumed and (hopeless or failed > saved))
        remove |= not self._resumable
        if remove and not self._complete:
            remove_folder(self.path)
        elif error is not None and not self._complete:
            error.add_note(f"continue with `zoo finetune --resume --name {self.name}{self._where}`")
        os.close(self._lock)


def _is_hopeless(kind: type[BaseException]) -> bool:
    """Whether continuing would meet the same error: what a user is told, but for a full disk."""
    from backbones import BackboneError
    from ensembles import EnsembleError

    meant = (ZooError, BackboneError, EnsembleError)
    return issubclass(kind, meant) and not issubclass(kind, DiskError)


def _lock(folder: Path) -> int | None:
    """Descriptor that locks a folder, or None if another process has it or took it away."""
    file, flags = folder / MARK, os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        try:
            lock = os.open(file, os.O_RDWR | flags, 0o666)
        except PermissionError:  # somebody else's: it can be looked at
            lock = os.open(file, os.O_RDONLY | flags & ~os.O_CREAT)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        if take_lock(lock) and os.fstat(lock).st_ino == file.stat().st_ino:
            return lock
    os.close(lock)
    return None
