"""Digests of a run's files: what was changed, lost or damaged since it was written is named.

``digests.json`` of a run has the SHA-256 and the size of each of its files. Runs of older versions
have none and are read as they are.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import warnings
from pathlib import Path

from zoo.paths import MARK, new_file, open_regular, read_regular

NAME = "digests.json"
_LARGEST = 1 << 26  # bytes of a file of digests
_DEEPEST = 6  # folders between a file of a member of a member and the ensemble's digests


class ChangedFileWarning(UserWarning):
    """A file of a run is not the one that was written; the command line shows it as a sentence."""


def write_digests(folder: Path) -> None:
    """Write the digests of all files of a folder, but for those of hidden files."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in {MARK, NAME})
    names = {p.relative_to(folder).as_posix(): p for p in files}
    content = {
        "sha256": {name: _digest(p) for name, p in names.items()},
        "bytes": {name: p.stat().st_size for name, p in names.items()},
    }
    with new_file(folder / NAME) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def checked(path: Path) -> Path:
    """The path, after a warning if the file is not the one that was written.

    Args:
        path: of a file of a run, or of a member that an ensemble keeps.
    """
    try:
        about = path.stat()
    except OSError:
        return path  # what reads it says so
    if not _is_as_written(path, about.st_mtime_ns, about.st_size):
        _warn(
            f"{path} was changed after the run was written: what is read from it is not what the "
            f"run found"
        )
    return path


def is_there(path: Path) -> bool:
    """Whether a file of a run is there, after a warning if it was and is no more.

    Args:
        path: see :func:`checked`.
    """
    if _is_regular(path):
        return True
    folder = _folder_with_digests(path)
    written = None if folder is None else _written(folder)
    if (
        folder is not None
        and written is not None
        and path.relative_to(folder).as_posix() in written
    ):
        _warn(f"{path} is missing, and was there when the run was written")
    return False


def _warn(what: str) -> None:
    said = f"{what}; `zoo runs --verify` lists all such files"
    warnings.warn(said, ChangedFileWarning, stacklevel=4)


def differences(folder: Path) -> dict[str, str] | None:
    """File to ``changed`` or ``missing``; None if the folder has no digests to compare with.

    The digests themselves are ``damaged`` if they cannot be read.
    """
    if not os.path.lexists(folder / NAME):
        return None
    written = _written(folder)
    if written is None:
        return {NAME: "damaged"}
    found = {}
    for name, expected in written.items():
        try:
            same = _matches(folder / name, expected)
        except OSError:
            found[name] = "missing"
        else:
            if not same:
                found[name] = "changed"
    return found


@functools.cache
def _is_as_written(path: Path, _time: int, _size: int) -> bool:
    """Whether a file has the digest that its run, or the ensemble around it, has of it."""
    folder = _folder_with_digests(path)
    if folder is None:
        return True
    written = _written(folder)
    if written is None:
        return False
    expected = written.get(path.relative_to(folder).as_posix())
    try:
        return expected is None or _matches(path, expected)
    except OSError:
        return True  # what reads it says so


def _folder_with_digests(path: Path) -> Path | None:
    return next((f for f in list(path.parents)[:_DEEPEST] if os.path.lexists(f / NAME)), None)


def _is_regular(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a loop of links
        return False


def _written(folder: Path) -> dict[str, tuple[str, int | None]] | None:
    """File to its digest and, but of an older version, its size; None if that cannot be read."""
    try:
        content = json.loads(read_regular(folder / NAME, _LARGEST))
        digests, sizes = content["sha256"], content.get("bytes", {})
        found = {name: (digest, sizes.get(name)) for name, digest in digests.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    is_right = all(isinstance(d, str) and isinstance(n, int | None) for d, n in found.values())
    return found if is_right else None


def _matches(path: Path, expected: tuple[str, int | None]) -> bool:
    """Whether a file has a digest and a size; the latter is looked at first.

    Raises:
        OSError: it is not there, or not a regular file.
    """
    digest, size = expected
    if size is not None and path.stat().st_size != size:
        return False
    return _digest(path) == digest


def _digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
