"""Digests of a run's files: what was changed, lost or damaged since it was written is named.

``digests.json`` of a run has the SHA-256 of each of its files. Runs of older versions have none and
are read as they are.
"""

from __future__ import annotations

import functools
import hashlib
import json
import warnings
from pathlib import Path

from zoo.paths import MARK, new_file

NAME = "digests.json"
_DEEPEST = 6  # folders between a file of a member of a member and the ensemble's digests


class ChangedFileWarning(UserWarning):
    """A file of a run is not the one that was written; the command line shows it as a sentence."""


def write_digests(folder: Path) -> None:
    """Write the digests of all files of a folder, but for those of hidden files."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in {MARK, NAME})
    found = {p.relative_to(folder).as_posix(): _digest(p) for p in files}
    with new_file(folder / NAME) as temporary:
        temporary.write_text(json.dumps({"sha256": found}, indent=2) + "\n", "utf-8")


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
        warnings.warn(
            f"{path} was changed after the run was written: what is read from it is not what the "
            f"run found; `zoo runs --verify` lists all such files",
            ChangedFileWarning,
            stacklevel=3,
        )
    return path


def differences(folder: Path) -> dict[str, str] | None:
    """File to ``changed`` or ``missing``; None if the folder has no digests to compare with.

    The digests themselves are ``damaged`` if they cannot be read.
    """
    if not (folder / NAME).is_file():
        return None
    written = _written(folder)
    if written is None:
        return {NAME: "damaged"}
    found = {}
    for name, digest in written.items():
        try:
            same = _digest(folder / name) == digest
        except OSError:
            found[name] = "missing"
        else:
            if not same:
                found[name] = "changed"
    return found


@functools.cache
def _is_as_written(path: Path, _time: int, _size: int) -> bool:
    """Whether a file has the digest that its run, or the ensemble around it, has of it."""
    for folder in list(path.parents)[:_DEEPEST]:
        if (folder / NAME).is_file():
            written = _written(folder)
            if written is None:
                return False
            try:
                return written.get(path.relative_to(folder).as_posix()) in {None, _digest(path)}
            except OSError:
                return True  # what reads it says so
    return True


def _written(folder: Path) -> dict[str, str] | None:
    try:
        found = json.loads((folder / NAME).read_text("utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    is_right = isinstance(found, dict) and all(isinstance(x, str) for x in found.values())
    return found if is_right else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
