"""Where runs and the cache lie, and how a file or folder appears there whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import disk_errors

_ABANDONED = 86_400.0  # seconds after which what is unfinished in the cache has no owner


def runs_dir(given: str | Path | None = None) -> Path:
    """``given``, else the environment's ``ZOO_RUNS``, else ``./runs``."""
    return user_path(given or os.environ.get("ZOO_RUNS") or "runs")


def user_path(given: str | Path) -> Path:
    """The path with ``~`` replaced where that names a user."""
    return Path(os.path.expanduser(given))  # noqa: PTH111 - Path's fails on unknown users


def cache_dir() -> Path:
    """The environment's ``ZOO_CACHE``, else ``zoo`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return user_path(os.environ.get("ZOO_CACHE") or Path(base) / "zoo")


def remove_abandoned(folder: Path, pattern: str = ".*") -> None:
    """Remove from a folder of the cache what killed processes left unfinished a day ago or longer.

    Args:
        folder: of the cache; nothing happens if it is not there.
        pattern: of the names, as in ``Path.glob``.
    """
    for old in folder.glob(pattern):
        with contextlib.suppress(OSError):  # another process is doing the same
            if time.time() - old.stat().st_mtime > _ABANDONED:
                if old.is_dir():
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    old.unlink()


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well, and vanishes otherwise.

    Where another process made ``target`` meanwhile, its copy stays.

    Raises:
        ZooError: the disk is full or cannot be written.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent, f".{glob.escape(target.name)}.*")
        hidden = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        folder = hidden / target.name  # inside, since mkdtemp gives no rights to anybody else
        try:
            folder.mkdir()
            yield folder
            try:
                folder.rename(target)
            except OSError:
                if not target.is_dir():  # otherwise it has content: somebody was faster
                    raise
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A temporary path that replaces ``target`` when the block ends well.

    Raises:
        ZooError: the disk is full or cannot be written.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        # the suffix stays, because NumPy and Keras read the format from it
        temporary = target.with_name(f".{os.getpid()}-{threading.get_ident()}.{target.name}")
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())  # a power cut leaves the old content or the new
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
