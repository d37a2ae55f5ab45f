"""Arrays in files of the cache, with a checksum for each block behind the array.

A disk that returns another bit than was written, or a file that was cut, is noticed when the array
is opened. The file is a ``.npy`` file, whose readers ignore what is behind the array.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tokenize import TokenError

import numpy as np

_BLOCK = 1 << 22
_MARK = b"zoocrc32"  # then the number of blocks, and a little-endian CRC-32 for each before it


class DamagedError(ValueError):
    """A stored array is not what was written; its text is the reason."""


def write_array(file: Path, descr: str, shape: tuple[int, ...], parts: Iterable[bytes]) -> None:
    """Write an array front to back: a full disk then is an error, not a bus error.

    Args:
        file: to be written.
        descr: its type, as NumPy's format names it.
        shape: of the whole array.
        parts: its bytes, in C order.
    """
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    sums: list[int] = []
    filled, crc = 0, 0
    with file.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        for part in parts:
            out.write(part)
            view = memoryview(part).cast("B")
            while len(view):
                taken = view[: _BLOCK - filled]
                crc, filled, view = zlib.crc32(taken, crc), filled + len(taken), view[len(taken) :]
                if filled == _BLOCK:
                    sums, filled, crc = [*sums, crc], 0, 0
        if filled:
            sums.append(crc)
        count = len(sums).to_bytes(8, "little")
        out.write(np.array(sums, "<u4").tobytes() + count + _MARK)


def open_array(file: Path, dtype: str, length: int) -> np.memmap:
    """A stored array, memory-mapped, after all its blocks were compared with their checksums.

    Files of earlier versions, which have no checksums, are taken if their size is right.

    Raises:
        DamagedError: it is missing, cut, changed, or of another type or length.
    """
    try:
        found = np.lib.format.open_memmap(file, mode="r")
    except (OSError, ValueError, EOFError, TokenError) as error:
        raise DamagedError(str(error)) from error
    if len(found) != length or found.dtype != np.dtype(dtype):
        raise DamagedError(f"it holds {found.dtype} of shape {found.shape}")
    _compare(file, found.offset, found.nbytes)
    return found


def _compare(file: Path, start: int, size: int) -> None:
    with file.open("rb") as opened:
        handle = opened.fileno()
        behind = os.pread(handle, (size // _BLOCK + 2) * 4 + 16, start + size)
        if not behind and os.fstat(handle).st_size == start + size:
            return
        blocks = -(-size // _BLOCK)
        if behind[4 * blocks :] != blocks.to_bytes(8, "little") + _MARK:
            raise DamagedError("its checksums are damaged")
        sums = np.frombuffer(behind[: 4 * blocks], "<u4").tolist()

        def is_same(block: int) -> bool:
            first = block * _BLOCK
            content = os.pread(handle, min(_BLOCK, size - first), start + first)
            return zlib.crc32(content) == sums[block]

        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            wrong = [
                block for block, same in enumerate(pool.map(is_same, range(blocks))) if not same
            ]
    if wrong:
        raise DamagedError(f"{len(wrong)} of {blocks} blocks are not what was written")
