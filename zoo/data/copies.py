"""The copies of a data set, found once and remembered, and what a user should know of them."""

from __future__ import annotations

import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from zoo.data.catalog import Catalog
from zoo.data.decode import BadImageError, decode
from zoo.data.duplicates import groups
from zoo.data.inspect import Inspection, workers
from zoo.data.second_look import LOOK
from zoo.data.values import ValueRange
from zoo.paths import cache_dir, new_file
from zoo.progress import Progress

_VERSION = 1  # of the stored groups: another does not read them
_SHOWN = 3  # files in a sentence


def copies_of(catalog: Catalog, seen: Inspection, near: bool, progress: Progress) -> np.ndarray:
    """Group number of each image, int64 of shape (n,); copies of one image share one.

    Near-duplicates are remembered by the contents of all images.
    """
    if not near:
        return groups(seen, near=False)
    scale = f"{catalog.scale}\0" if isinstance(catalog.scale, ValueRange) else ""
    digest = hashlib.sha256(f"{_VERSION}\0{scale}".encode())
    digest.update(seen.digests.astype("S64").tobytes())
    file = cache_dir() / "copies" / f"{digest.hexdigest()[:32]}.npy"
    try:
        known: np.ndarray = np.load(file, allow_pickle=False)
        if known.shape == (len(catalog),) and known.dtype == np.int64 and known.min(initial=0) >= 0:
            return known
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        pass

    def load(row: int) -> np.ndarray:
        try:
            return decode(catalog.path(row), LOOK, scale=catalog.scale)
        except BadImageError:  # it changed just now; preparing its pixels says so
            return np.zeros((LOOK, LOOK, 3), np.uint8)

    def look(rows: np.ndarray) -> np.ndarray:
        with progress.step("compare", len(rows)) as advance, ThreadPoolExecutor(workers()) as pool:
            looks = np.empty((len(rows), LOOK, LOOK, 3), np.uint8)
            for i, image in enumerate(pool.map(load, rows.tolist())):
                looks[i] = image
                advance()
        return looks

    found = groups(seen, look=look)
    with new_file(file) as temporary, temporary.open("wb") as stream:
        np.save(stream, found)
    return found


def about_copies(catalog: Catalog, copies: np.ndarray) -> list[str]:
    """Sentences on how many copies there are, and which of them differ in their class.

    Args:
        catalog: the images.
        copies: int64 of shape (n,); copies of one image share a number.
    """
    sizes = np.bincount(copies)
    more = int((sizes[sizes > 1] - 1).sum())
    if not more:
        return []
    order = np.argsort(copies, kind="stable")
    sets = [s for s in np.split(order, np.cumsum(sizes)[:-1]) if len(s) > 1]
    mixed = [s for s in sets if len(np.unique(catalog.labels[s])) > 1]
    notes = []
    if mixed:
        shown = "; ".join(
            " and ".join(f"{catalog.ids[i]} ({catalog.classes[catalog.labels[i]]})" for i in s[:2])
            for s in mixed[:_SHOWN]
        )
        notes.append(
            f"{len(mixed)} image{'s are' if len(mixed) > 1 else ' is'} in the data under different "
            f"classes: {shown}{'; ...' if len(mixed) > _SHOWN else ''}: correct or remove them"
        )
    largest = max(sets, key=len)
    notes.append(
        f"{more} of {len(catalog)} images are duplicates or near-duplicates of others, in "
        f"{len(sets)} set{'s' * (len(sets) > 1)} that stay in one split each; the largest has "
        f"{len(largest)} ({catalog.ids[largest[0]]}, {catalog.ids[largest[1]]}"
        f"{', ...' if len(largest) > 2 else ''})"
    )
    return notes
