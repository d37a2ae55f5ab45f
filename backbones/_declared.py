"""Weights files that declare far more than they hold, or name other files, are not opened.

HDF5 and zip compress: a megabyte may unpack to gigabytes, and an HDF5 file may take its data, or
whole groups, from any other file of the machine.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py

_SMALL = 256 << 20  # bytes that may be declared whatever the file holds
_RATIO = 200  # of declared to stored bytes; weights hardly compress at all


def check_weights(path: Path) -> None:
    """Look through an ``.h5`` or ``.keras`` file without reading its arrays.

    Raises:
        ValueError: it declares more than 256 MiB and 200 times what is stored, or has a link or an
            array in another file.
        OSError, KeyError, zipfile.BadZipFile: damaged, or neither of the two formats.
    """
    import h5py

    opened: Any = path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                check_size(member.filename, member.file_size, member.compress_size)
            opened = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(opened, "r") as file:
        check_size("the file", *_sizes(file))


def check_size(name: str, declared: int, stored: int) -> None:
    """Raise ValueError if much more bytes are declared than stored."""
    if declared > _SMALL and declared > _RATIO * stored:
        raise ValueError(f"{name} declares {declared:,} bytes, of which {stored:,} are there")


def _sizes(group: h5py.Group) -> tuple[int, int]:
    """Declared and stored bytes of all arrays of a group and its groups."""
    import h5py

    declared = stored = 0
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link to elsewhere")
        part = group[name]
        if isinstance(part, h5py.Group):
            found = _sizes(part)
        else:
            if part.external or part.is_virtual:
                raise ValueError(f"{name} takes its values from another file")
            found = part.nbytes, part.id.get_storage_size()
        declared, stored = declared + found[0], stored + found[1]
    return declared, stored
