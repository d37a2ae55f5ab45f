"""Where runs and the cache lie, and how a file or folder appears there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import disk_errors


def runs_dir(given: str | Path | None = None) -> Path:
    """``given``, else the environment's ``ZOO_RUNS``, else ``./runs``."""
    return Path(given or os.environ.get("ZOO_RUNS") or "runs").expanduser()


def cache_dir() -> Path:
    """The environment's ``ZOO_CACHE``, else ``zoo`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ZOO_CACHE") or Path(base) / "zoo").expanduser()


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well, and vanishes otherwise.

    Where another process made ``target`` meanwhile, its copy stays.

    Raises:
        ZooError: the disk is full or cannot be written.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
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
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
