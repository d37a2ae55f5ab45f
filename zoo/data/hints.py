"""What was meant by a data source that is none: what ends the message about it."""

from __future__ import annotations

from pathlib import Path

from zoo.data import builtin, manifest
from zoo.errors import nearest

_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
_FEW = 50  # entries of a folder that are looked at


def for_missing(source: str, path: Path) -> str:
    """How to go on if there is nothing at a path."""
    if "://" in source:
        return "a URL is not read: download the images and give their folder"
    try:
        beside = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.name else []
    except OSError:
        return "check the path"
    found = nearest(path.name, [n for n in beside if not n.startswith(".")])
    if found.startswith("did you mean"):
        near = found.split("'")[1]
        return f"did you mean {str(path.parent / near)!r}?"
    if source == path.name:
        return nearest(source, builtin.SETS)
    return "check the path"


def for_empty(path: Path) -> str:
    """How to go on if a folder has no class folders with images; empty if nothing is known."""
    if not path.is_dir():
        return ""
    files = [p for p, _ in zip(path.iterdir(), range(_FEW), strict=False)]
    if not any(p.suffix.lower() in _IMAGES for p in files):
        return ""
    tables = sorted(p.name for p in files if p.suffix.lower() in manifest.SUFFIXES)
    if len(tables) == 1:
        return f"to read the table in it, give --data {str(path / tables[0])!r}"
    classes = [p for p in path.resolve().parent.iterdir() if p.is_dir()]
    if len(classes) > 1:
        return (
            f"its images are of one class: did you mean the folder above, {path.resolve().parent}?"
        )
    return "expected a folder for each class, with its images"


def with_manifest(path: Path) -> Path:
    """The manifest of a folder that holds one beside its images; otherwise the path itself."""
    manifest = path / "manifest.csv"
    if not manifest.is_file():
        return path
    folders = [p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")]
    return manifest if len(folders) < 2 else path
