"""Zip archives that declare far more than they hold are not opened."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

_SMALL = 256 << 20  # bytes that may be declared whatever the file holds
_RATIO = 200  # of declared to stored bytes


def check_archive(path: Path) -> None:
    """Look at the sizes in a ``.npz`` file's directory.

    Raises:
        ValueError: its arrays declare more than 256 MiB and 200 times the bytes stored.
        OSError, zipfile.BadZipFile: missing or damaged.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe may never end
        raise ValueError("it is not a regular file")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    declared, stored = (sum(getattr(m, n) for m in members) for n in ("file_size", "compress_size"))
    if declared > _SMALL and declared > _RATIO * stored:
        raise ValueError(f"it declares {declared:,} bytes, of which {stored:,} are there")
