"""Every file below a folder: what may be read, and what is hidden or the system's."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM_FOLDERS = {
    "__macosx",
    "@eadir",
    "#recycle",
    "#snapshot",
    "@recently-snapshot",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "found.000",
    "__pycache__",
    "node_modules",
}
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
# formats that need a package of their own, or that people expect to be read
_MORE_SUFFIXES = {".heic", ".heif", ".hif", ".avif", ".jxl"}


@dataclass
class Files:
    """What is below a folder.

    Attributes:
        paths: relative POSIX paths of all files that are not hidden or the system's, sorted.
        folders: relative paths of all folders that are not hidden or the system's.
        hidden: how many image files lie in hidden or system folders.
        unreadable: folder and reason of each one that cannot be listed.
    """

    paths: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    hidden: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Suffixes, in small letters with their dot, that images have."""
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(s for s, name in known.items() if name in Image.OPEN) | _MORE_SUFFIXES


def is_image_name(name: str) -> bool:
    """Whether a file of this name is an image by its suffix."""
    return os.path.splitext(name)[1].lower() in image_suffixes()  # noqa: PTH122 - of 100,000 names


def files_below(root: Path) -> Files:
    """All files below a folder; links are followed, except to a folder above.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    found = Files()
    start = os.path.realpath(root)
    os.listdir(root)  # noqa: PTH208 - raises where the folder cannot be listed
    _walk(root, "", {start, *map(str, Path(start).parents)}, found, depth=0)
    found.paths.sort()
    return found


def _walk(folder: Path | str, relative: str, seen: set[str], found: Files, depth: int) -> None:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        found.unreadable[relative] = error.strerror or str(error)
        return
    for entry in entries:
        name = f"{relative}{entry.name}"
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False
        if entry.name.startswith(".") or entry.name.lower() in (
            SYSTEM_FOLDERS if is_folder else _SYSTEM_FILES
        ):
            # "._x.jpg" are resource forks of macOS, and no images
            found.hidden += _images_below(entry.path) if is_folder else 0
        elif is_folder:
            real = os.path.realpath(entry.path)
            if real in seen:
                continue
            found.folders.add(name)
            # two classes may link to one folder; deeper down, every folder is listed once
            inner = seen | {real} if depth < 2 else seen
            inner.add(real)
            _walk(entry.path, f"{name}/", inner, found, depth + 1)
        else:
            found.paths.append(name)


def _images_below(folder: str) -> int:
    return sum(
        is_image_name(name) and not name.startswith(".")
        for _, _, names in os.walk(folder)
        for name in names
    )
