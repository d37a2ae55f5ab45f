"""Decode every image once, for all members and epochs.

The result is an array of uint8 pixels in one file, read through memory mapping: training touches
only the pages it needs, and memory stays flat in the number of images. It is keyed by content, so
that moved or relabelled files are not decoded again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.data.catalog import Catalog
from zoo.data.decode import BadImageError, decode, read_file
from zoo.data.inspect import workers
from zoo.data.stored import DamagedError, open_array, write_array
from zoo.data.values import Scale, ValueRange
from zoo.errors import ZooError, disk_errors
from zoo.paths import cache_dir, new_folder
from zoo.progress import Progress

_CHUNK = 64
_VERSION = 1


@dataclass(frozen=True)
class Prepared:
    """Decoded images of a catalogue.

    Attributes:
        pixels: uint8 memory map of shape (m, size, size, 3), one row a distinct content.
        rows: int64 of shape (n,), row of each sample of the catalogue.
        key: identity of the array: contents, size and resize.
    """

    pixels: np.ndarray
    rows: np.ndarray
    key: str


def prepare(catalog: Catalog, size: int, resize: str, progress: Progress) -> Prepared:
    """The decoded images of a catalogue, from the cache where they are there.

    Args:
        catalog: inspected images.
        size: side in pixels.
        resize: see :func:`zoo.data.decode.decode`.
        progress: shows the decoding.

    Raises:
        ZooError: the disk is full, or a file changed or vanished since it was inspected.
    """
    digests = np.array(catalog.digests, "S64")  # as text, they would take four times the memory
    contents, first, rows = np.unique(digests, return_index=True, return_inverse=True)
    key = _key(contents, size, resize, catalog.scale)
    folder = cache_dir() / "prepared" / key
    shape = (len(contents), size, size, 3)
    pixels = _stored(folder, shape, progress)
    if pixels is None:
        with new_folder(folder) as temporary:
            _write(temporary, catalog, first, size, resize, progress)
            about = {"size": size, "resize": resize, "images": len(first), "data": catalog.name}
            (temporary / "about.json").write_text(json.dumps(about))
        pixels = _stored(folder, shape, progress)
        if pixels is None:
            raise ZooError(f"the cache at {folder} was damaged as soon as written: check the disk")
    return Prepared(pixels, rows.astype(np.int64), key)


def _stored(folder: Path, shape: tuple[int, ...], progress: Progress) -> np.ndarray | None:
    """The pixels in a folder of the cache; None if there are none, or they were damaged."""
    file = folder / "pixels.npy"
    if not file.is_file():
        _remove(folder)
        return None
    try:
        pixels = open_array(file, "|u1", shape[0])
        if pixels.shape != shape:
            raise DamagedError(f"it holds {pixels.dtype} of shape {pixels.shape}")
    except DamagedError as error:
        progress.say(f"the prepared pixels at {folder} are damaged ({error}): they are made anew")
        _remove(folder)
        return None
    return pixels


def _remove(folder: Path) -> None:
    """Remove what lies in a folder of the cache, and it."""
    with contextlib.suppress(OSError):  # another process does the same
        for name in ("pixels.npy", "about.json"):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _key(contents: np.ndarray, size: int, resize: str, scale: Scale) -> str:
    # without a range as it was before there were any: pixels of 8 bits are the same
    words = f"{scale.low!r}..{scale.high!r}\0" if isinstance(scale, ValueRange) else ""
    digest = hashlib.sha256(f"{_VERSION}\0{size}\0{resize}\0{words}".encode())
    digest.update(b"".join(contents.tolist()))
    return digest.hexdigest()[:32]


def _write(
    folder: Path, catalog: Catalog, first: np.ndarray, size: int, resize: str, progress: Progress
) -> None:
    """Write ``pixels.npy``."""

    def load(index: int) -> np.ndarray:
        path = catalog.path(index)
        try:
            content = read_file(path)
            if hashlib.sha256(content).hexdigest() != catalog.digests[index]:
                raise ZooError(f"{path} changed while it was read: run the command again")
            return decode(content, size, resize, catalog.scale)
        except BadImageError as error:
            raise ZooError(
                f"{path} was readable a moment ago and is not now ({error}): run the command again"
            ) from error

    def batches(advance: Callable[..., None], pool: ThreadPoolExecutor) -> Iterator[bytes]:
        for start in range(0, len(first), _CHUNK):
            images = list(pool.map(load, first[start : start + _CHUNK].tolist()))
            yield np.stack(images).tobytes()
            advance(len(images))

    shape = (len(first), size, size, 3)
    with (
        disk_errors(folder),
        progress.step("prepare", len(first)) as advance,
        ThreadPoolExecutor(workers()) as pool,
    ):
        write_array(folder / "pixels.npy", "|u1", shape, batches(advance, pool))
