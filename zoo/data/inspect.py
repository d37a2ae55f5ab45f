"""One pass over the files: what is in each, and which are copies of one another.

Results are remembered by path, size and times, as git's index does, so that a second pass over
unchanged files costs a stat a file. The time of the last change of a file's state is among them: no
program can set it, while archives and copies bring the modification time with them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from zoo.data.catalog import Catalog
from zoo.data.decode import THUMB, BadImageError, Glance, glance, read_file
from zoo.data.values import ValueRange, Values
from zoo.errors import ZooError
from zoo.paths import cache_dir, new_file
from zoo.progress import Progress

_CHUNK = 256
_VERSION = 3
_TICK = 20_000_000  # ns: what is changed within one tick of the file system's clock has one time
_COARSE_TICK = 2_000_000_000  # of file systems that tell whole seconds


@dataclass(frozen=True)
class Inspection:
    """What was seen of each file of a catalogue, in its order.

    Attributes:
        digests: SHA-256 of the content, empty if the file cannot be read.
        thumbs: uint8 of shape (n, 16, 16), grey.
        sizes: int32 of shape (n, 2), width and height in pixels.
        reasons: why the file is unusable, empty if it is fine.
        values: float64 of shape (n, 5), of files of more than 8 bits a channel: lowest and highest
            value, whether they are whole numbers, and the range that the metadata state; NaN if
            missing.
    """

    digests: np.ndarray
    thumbs: np.ndarray
    sizes: np.ndarray
    reasons: np.ndarray
    values: np.ndarray

    def take(self, indices: np.ndarray) -> Inspection:
        """The same for these rows."""
        return Inspection(*(a[indices] for a in self._arrays()))

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.digests, self.thumbs, self.sizes, self.reasons, self.values

    def deep(self) -> list[Values]:
        """What lies in each file of more than 8 bits a channel, in order."""
        return [
            Values(low, high, bool(whole), None if np.isnan(start) else ValueRange(start, end))
            for low, high, whole, start, end in self.values[~np.isnan(self.values[:, 0])].tolist()
        ]


def workers() -> int:
    """Threads for decoding; Pillow releases the interpreter while it decodes."""
    return max(1, min(16, os.cpu_count() or 1))


def _inspect_file(path: Path) -> tuple[str, Glance, str]:
    """Digest, looks, and the reason why it is unusable."""
    nothing = Glance(np.zeros((THUMB, THUMB), np.uint8), 0, 0, None)
    try:
        _wait_for_tick(path)
        content = read_file(path)
    except BadImageError as error:
        return "", nothing, str(error)
    digest = hashlib.sha256(content).hexdigest()
    try:
        return digest, glance(content), ""
    except BadImageError as error:
        return digest, nothing, str(error)


def _wait_for_tick(path: Path) -> None:
    """Wait until a change of the file after this would give it another time."""
    try:
        changed = path.stat().st_ctime_ns
    except (OSError, ValueError):
        return  # what reads it says so
    tick = _TICK if changed % 1_000_000_000 else _COARSE_TICK
    age = time.time_ns() - changed
    if 0 <= age < tick:
        time.sleep((tick - age) / 1e9)


def _stat_keys_of(paths: list[str]) -> list[str]:
    """What a file's key is as long as nobody changes it; empty if it cannot be told."""
    keys = []
    for path in paths:
        try:
            found = os.stat(path)  # noqa: PTH116 - Path's takes as long again
        except (OSError, ValueError):
            keys.append("")
            continue
        times = f"{found.st_mtime_ns}:{found.st_ctime_ns}"
        keys.append(f"{found.st_size}:{times}:{found.st_ino}:{found.st_dev}")
    return keys


def _memory_file(catalog: Catalog) -> Path:
    # what is not read without pillow-heif is read again with it
    formats = importlib.util.find_spec("pillow_heif") is not None
    root = catalog.root.resolve()
    identity = f"{_VERSION}\0{formats}\0{root}".encode("utf-8", "surrogateescape")
    return cache_dir() / "inspected" / f"{hashlib.sha256(identity).hexdigest()[:16]}.npz"


def _recall(file: Path) -> dict[str, np.ndarray]:
    """What was seen before: ids, stat keys and the arrays of an inspection, all of one length.

    They are empty if nothing usable is stored. All is read at once, because another command
    may replace the file at any time.
    """
    names = ["ids", "keys", *(field.name for field in fields(Inspection))]
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in names}
        if len({len(array) for array in arrays.values()}) == 1:
            return arrays
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        pass
    return {name: np.zeros(0, "<U1") for name in names}


def _unchanged(
    catalog: Catalog, keys: np.ndarray, stored: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the catalogue whose files are as they were, and their rows in what is stored."""
    ids, old = np.array(catalog.ids, np.str_), stored["ids"]
    if not len(old):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # both are sorted; in arrays, because dictionaries would take several times the memory
    place = np.minimum(np.searchsorted(old, ids), len(old) - 1)
    same = (old[place] == ids) & (stored["keys"][place] == keys) & (keys != "")
    return np.flatnonzero(same), place[same]


def inspect(catalog: Catalog, progress: Progress) -> Inspection:
    """Read every file of the catalogue that is new or changed since the last time."""
    file = _memory_file(catalog)
    keys, stored = np.array(_stat_keys(catalog), np.str_), _recall(file)
    rows, places = _unchanged(catalog, keys, stored)
    result = _blank(len(catalog))
    for name, array in vars(result).items():
        if len(rows):
            array[rows] = stored.pop(name)[places]
    fresh = np.setdiff1d(np.arange(len(catalog)), rows)
    if fresh.size:
        _read(catalog, fresh, result, progress)
        with new_file(file) as temporary:
            # what could not be read is tried again: permissions change no modification time
            lasting = np.where(result.digests == "", "", keys)
            np.savez(temporary, ids=np.array(catalog.ids), keys=lasting, **vars(result))
    return result


def _blank(n: int) -> Inspection:
    return Inspection(
        digests=np.zeros(n, "<U64"),
        thumbs=np.zeros((n, THUMB, THUMB), np.uint8),
        sizes=np.zeros((n, 2), np.int32),
        reasons=np.zeros(n, "<U120"),
        values=np.full((n, 5), np.nan),
    )


def _stat_keys(catalog: Catalog) -> list[str]:
    root, ids = str(catalog.root), catalog.ids
    chunks = range(0, len(catalog), _CHUNK)

    def keys_from(start: int) -> list[str]:
        return _stat_keys_of([f"{root}/{name}" for name in ids[start : start + _CHUNK]])

    with ThreadPoolExecutor(workers()) as pool:
        return [key for some in pool.map(keys_from, chunks) for key in some]


def _read(catalog: Catalog, rows: np.ndarray, into: Inspection, progress: Progress) -> None:
    with progress.step("scan", len(rows)) as advance, ThreadPoolExecutor(workers()) as pool:
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            for row, seen in zip(
                chunk, pool.map(_inspect_file, map(catalog.path, chunk)), strict=True
            ):
                _note(into, row, *seen)
            advance(len(chunk))


def _note(into: Inspection, row: int, digest: str, look: Glance, reason: str) -> None:
    into.digests[row], into.thumbs[row], into.reasons[row] = digest, look.thumb, reason
    into.sizes[row] = look.width, look.height
    if look.values is not None:
        found = look.values
        stated = found.stated or (np.nan, np.nan)
        into.values[row] = found.low, found.high, found.whole, *stated


def usable(catalog: Catalog, seen: Inspection) -> tuple[Catalog, Inspection]:
    """The catalogue without unusable files, which it lists in ``bad``.

    Raises:
        ZooError: no file is usable, or a class is left with fewer than two.
    """
    good = np.flatnonzero(seen.reasons == "")
    bad = {catalog.ids[i]: str(seen.reasons[i]) for i in np.flatnonzero(seen.reasons != "")}
    if not good.size:
        first = next(iter(bad))
        raise ZooError(
            f"none of the {len(catalog)} files of {catalog.root} is a usable image: "
            f"{first}: {bad[first]}"
        )
    for split in sorted(set(catalog.splits.tolist()) - {""} - set(catalog.splits[good].tolist())):
        sample = catalog.ids[int(np.flatnonzero(catalog.splits == split)[0])]
        raise ZooError(
            f"none of the {int((catalog.splits == split).sum())} {split} images of {catalog.root} "
            f"is usable ({sample}: {bad[sample]}): repair them, or remove them to have {split} "
            f"images drawn from the others"
        )
    kept = replace(catalog.take(good), bad=bad, digests=tuple(seen.digests[good].tolist()))
    counts = Counter(kept.labels.tolist())
    for index, name in enumerate(catalog.classes):
        if counts[index] < 2:
            some = "".join(
                f" (unusable files: {len(bad)}, the first is {sample}: {reason})"
                for sample, reason in list(bad.items())[:1]
            )
            raise ZooError(
                f"class {name!r} has {'one usable image' if counts[index] else 'no usable image'}"
                f"{some}: at least two are needed, ten are a start"
            )
    return kept, seen.take(good) if bad else seen
