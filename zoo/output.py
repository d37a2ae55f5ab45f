"""Files for people: pages and tables. A file that zoo did not write is never replaced."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import ZooError
from zoo.paths import new_file, user_path

# what shows that zoo wrote a file, by its suffix; it is near the beginning of every such file
GENERATOR = '<meta name="generator" content="zoo">'
MARKDOWN = "<!-- made by zoo -->"
WRITTEN_BY = {"written_by": "zoo"}
_SIGNS = {
    ".html": GENERATOR.encode(),
    ".md": MARKDOWN.encode(),
    ".json": b'"written_by": "zoo"',
    ".jsonl": b'{"stage": "',
    ".csv": b"label,kind,backbone,variant,method,best_single,seeds,",
}
_LOOKED_AT = 4096  # bytes from the beginning


def check_output(path: Path) -> None:
    """Refuse a place that holds anything but a file that zoo wrote.

    Args:
        path: of a page or table, with its suffix.

    Raises:
        ZooError: there is a folder, a link, a device or pipe, or a file that zoo did not write; or
            no folder to write it into, or no permission.
    """
    with _unwritable(path):
        _check_folder(path)
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            raise ZooError(f"{path} is a folder, and a file must be written there: choose another")
        if stat.S_ISLNK(mode):
            raise ZooError(f"{path} is a link, which is not replaced: name the file itself")
        if not stat.S_ISREG(mode):
            raise ZooError(f"{path} is a device or pipe, not a file: choose another place")
        if not is_ours(path):
            raise ZooError(
                f"{path} was not written by zoo, so it is not replaced: move it away, or choose "
                f"another place"
            )


@contextlib.contextmanager
def _unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ZooError(
            f"{path} cannot be written ({error.strerror or error}): choose another place"
        ) from error


def _check_folder(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise ZooError(f"there is no folder {folder} to write {path.name} into: make it first")
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def is_ours(path: Path) -> bool:
    """Whether a regular file is empty or has the mark of what zoo writes."""
    sign = _SIGNS.get(path.suffix)
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    return not start or (sign is not None and sign in start)


def output_place(given: str | Path, name: str) -> Path:
    """The file that ``--output`` names.

    Args:
        given: a file; or a folder, or a path that ends in a slash, for a file of this name.
        name: of the file in a folder.

    Raises:
        ZooError: empty; or see :func:`check_output`.
    """
    text = os.fspath(given)
    if not text.strip():
        raise ZooError("--output is empty: name a file, or a folder for it")
    path = user_path(given)
    with _unwritable(path):
        is_folder = path.is_dir()
    if is_folder:
        path = path / name
    elif text.endswith(("/", os.sep)):
        with _unwritable(path):
            path.mkdir()
        path = path / name
    elif path.suffix.lower() != Path(name).suffix:
        expected = Path(name).suffix
        raise ZooError(
            f"{path} cannot be the page: its name must end in {expected}, such as "
            f"{path.with_suffix(expected)}; or name a folder"
        )
    check_output(path)
    return path


def write_output(path: Path, text: str) -> None:
    """Write a page or table whole or not at all; its text must hold the mark of its suffix.

    Raises:
        ZooError: see :func:`check_output`; or the disk is full.
    """
    check_output(path)
    with new_file(path) as temporary:
        temporary.write_text(text, "utf-8")
