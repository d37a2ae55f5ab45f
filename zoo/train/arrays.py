"""Tables of features that may be larger than memory.

They are read and worked on in pieces. What is made of them is kept in memory while it is small.
What is large lies in a file of the cache that has no name: it vanishes with the process, however
that ends, and the system reads it back as needed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from zoo.errors import disk_errors
from zoo.paths import cache_dir

IN_MEMORY = 2**25  # bytes, the most that one array takes of it
_PIECE = 2**21  # bytes that are worked on at a time


class LazyRows:
    """Rows of a stored table in an order of their own, read when they are asked for.

    Args:
        stored: float32 of shape (m, d), usually memory-mapped; of several, their mean.
        rows: int64 of shape (n,), which of them.
        columns: how many, from the left; all if None.
    """

    def __init__(
        self,
        stored: np.ndarray | Sequence[np.ndarray],
        rows: np.ndarray,
        columns: int | None = None,
    ) -> None:
        self._stored = (stored,) if isinstance(stored, np.ndarray) else tuple(stored)
        self._rows = rows
        self._columns = int(self._stored[0].shape[1]) if columns is None else columns

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        return len(self._rows), self._columns

    @property
    def size(self) -> int:
        """How many numbers these are."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        """Some of the rows, in memory: float32 of shape (b, d)."""
        rows = self._rows[chosen]
        parts = [stored[rows][:, : self._columns] for stored in self._stored]
        if len(parts) == 1:
            return np.asarray(parts[0])
        return np.asarray(sum(parts[1:], parts[0]) / np.float32(len(parts)))

    def take(self, chosen: np.ndarray) -> LazyRows:
        """Some of the rows, still to be read."""
        return LazyRows(self._stored, self._rows[chosen], self._columns)


Table = np.ndarray | LazyRows


def pieces(table: Table) -> Iterator[np.ndarray]:
    """The table's rows, some at a time."""
    step = max(1, _PIECE // (4 * max(table.shape[1], 1)))
    for start in range(0, len(table), step):
        yield table[start : start + step]


def assembled(parts: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """One array of parts that hold its rows in order: float32 of shape (n, d).

    Args:
        parts: of shape (b, d) each.
        shape: (n, d).

    Raises:
        ZooError: it is too large for memory, and the disk is full or cannot be written.
    """
    if 4 * int(np.prod(shape)) <= IN_MEMORY:
        filled, done = np.empty(shape, np.float32), 0
        for part in parts:
            filled[done : done + len(part)] = part
            done += len(part)
        return filled
    folder = cache_dir()
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # written front to back: a full disk then is an error, not a bus error
            for part in parts:
                file.write(np.ascontiguousarray(part, np.float32).data)
            file.flush()
            # the mapping keeps the file alive
            return np.asarray(np.memmap(file, np.float32, mode="r", shape=shape))
