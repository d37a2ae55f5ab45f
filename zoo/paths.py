"""Where runs and the cache lie, and how a file or folder appears there whole or not at all.

A folder is emptied or removed only if zoo made it: it then holds a file that says so, and is no
link.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from zoo.errors import ZooError, disk_errors

MARK = ".zoo"  # the file in a folder that zoo made
_MADE = b"This folder was made by zoo, which may empty and remove it.\n"
_TEMPORARY = ".zoo-"  # how the names of unfinished files and folders begin
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


def open_regular(path: Path, most: int | None = None) -> io.BufferedReader:
    """A file opened for reading, if it is a regular one: reading a pipe or device may never end.

    Args:
        path: of the file.
        most: bytes that it may hold; any number if None.

    Raises:
        OSError: missing, not readable, not a regular file, or larger.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    about = os.fstat(file.fileno())
    problem = ""
    if not stat.S_ISREG(about.st_mode):
        problem = "Not a regular file"
    elif most is not None and about.st_size > most:
        problem = f"It has {about.st_size:,} bytes, and at most {most:,} are read"
    if problem:
        file.close()
        raise OSError(errno.EINVAL, problem, str(path))
    return file


def read_regular(path: Path, most: int) -> bytes:
    """Content of a regular file; see :func:`open_regular`."""
    with open_regular(path, most) as file:
        return file.read()


def is_marked(folder: Path) -> bool:
    """Whether zoo made a folder: it holds zoo's mark, and neither of the two is a link."""
    mark = folder / MARK
    try:
        regular = stat.S_ISDIR(folder.lstat().st_mode) and stat.S_ISREG(mark.lstat().st_mode)
        if not regular:
            return False
        with open_regular(mark) as file:
            return file.read(len(_MADE)) == _MADE
    except OSError:
        return False


def mark(folder: Path) -> None:
    """Mark a folder as made by zoo.

    Raises:
        OSError: it cannot be written, or there is a link in the mark's place.
    """
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe in its place would be waited for
    with os.fdopen(os.open(folder / MARK, flags, 0o666), "wb") as file:
        file.write(_MADE)


def claim_folder(folder: Path, *, signs: Collection[str] = ()) -> None:
    """Make a folder with zoo's mark, or take one that has it or is empty.

    Args:
        folder: to be made; its parents are made, too.
        signs: names of files that show that an earlier version, which left no mark, made it.

    Raises:
        ZooError: a link, a file, or the folder of somebody else is there, which stays as it is; or
            the disk is full or cannot be written.
    """
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(folder):
            _refuse_foreign(folder, signs)
        folder.mkdir(exist_ok=True)
        if not is_marked(folder):
            mark(folder)


def _refuse_foreign(folder: Path, signs: Collection[str]) -> None:
    if folder.is_symlink():
        raise ZooError(f"{folder} is a link, and zoo writes into folders of its own: remove it")
    if not folder.is_dir():
        raise ZooError(f"{folder} is a file, and zoo needs a folder of this name: move it away")
    there = {path.name for path in folder.iterdir()}
    if not (is_marked(folder) or there <= {MARK} or there & set(signs)):
        raise ZooError(
            f"{folder} was not made by zoo (it holds {sorted(there)[0]!r} and has no mark of zoo): "
            f"move it away, or choose another name"
        )


def empty_folder(folder: Path) -> None:
    """Make a folder with zoo's mark that holds nothing else; what zoo left there is removed.

    Raises:
        ZooError: see :func:`claim_folder`.
    """
    claim_folder(folder)
    with disk_errors(folder):
        for path in folder.iterdir():
            if path.name == MARK:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def remove_folder(folder: Path) -> None:
    """Remove a folder that zoo made, as far as possible; nothing happens to any other."""
    if is_marked(folder):
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove from a folder what killed processes of zoo left unfinished a day ago or longer.

    Args:
        folder: of the cache; nothing happens if it does not exist.
    """
    for old in folder.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):  # another process is doing the same
            found = old.lstat()
            if time.time() - found.st_mtime < _ABANDONED:
                continue
            if stat.S_ISREG(found.st_mode):
                old.unlink()
            remove_folder(old)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well, and vanishes otherwise.

    Where another process made ``target`` meanwhile, its copy stays.

    Raises:
        ZooError: the disk is full or cannot be written.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent)
        hidden = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=target.parent))
        folder = hidden / target.name  # inside, since mkdtemp gives no rights to anybody else
        try:
            mark(hidden)
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
        temporary = target.with_name(
            f"{_TEMPORARY}{os.getpid()}-{threading.get_ident()}.{target.name}"
        )
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())  # a power cut leaves the old content or the new
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
