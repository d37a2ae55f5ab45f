"""Read tensors from a PyTorch file without PyTorch, and without running anything in it.

A ``.pth`` file of the legacy (non-zip) format, as ``torch.save`` wrote before version 1.6, is five
pickles followed by the raw bytes of the storages:

    magic number, protocol version, system info, the state dict, the storage keys, storages...

Unpickling may call whatever a file names, so the unpickler here knows a handful of names and
refuses all others by name. Instructions, sizes and offsets are checked against the file before
anything is allocated.
"""

from __future__ import annotations

import collections
import math
import pickle
import pickletools
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from backbones._errors import BackboneError

_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER, first in files before torch 1.6
_PROTOCOL = 1001  # torch.serialization.PROTOCOL_VERSION
_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
# all that torch.save writes
_INSTRUCTIONS = re.compile(
    r"PROTO|STOP|MARK|NONE|NEW(TRUE|FALSE)|BININT[12]?|LONG1|BINFLOAT|BINUNICODE|(SHORT_)?BINSTRING"
    r"|EMPTY_(DICT|LIST|TUPLE)|TUPLE[123]?|APPENDS?|SETITEMS?|GLOBAL|REDUCE|BUILD|BINPERSID"
    r"|(LONG_)?BIN(PUT|GET)"
)


@dataclass(eq=False)
class _Storage:
    dtype: np.dtype
    length: int
    data: np.ndarray | None = None


@dataclass
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Copy of the tensor; raises ValueError where it reaches outside its storage."""
        data = self.storage.data
        if data is None or len(self.shape) != len(self.strides):
            raise ValueError("a tensor without data")
        if self.offset < 0 or min(self.shape + self.strides, default=0) < 0:
            raise ValueError("a tensor with a negative extent")
        if 0 in self.shape:
            return np.empty(self.shape, data.dtype)
        if math.prod(self.shape) > data.size:  # strides of 0 can make much of little
            raise ValueError("a tensor larger than its storage")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if last >= data.size:
            raise ValueError("a tensor that reaches outside its storage")
        strides = [s * data.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(data[self.offset :], self.shape, strides)
        return np.array(view)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor of no storage")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}
        self._size = size

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise BackboneError(
            f"it asks for {module}.{name}, which is not part of plain weights and is not run"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, length = pid[:5]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("an unknown kind of record")
        if not 0 <= length * dtype.itemsize <= self._size:
            raise pickle.UnpicklingError("a storage larger than the file")
        return self.storages.setdefault(str(key), _Storage(dtype, int(length)))


def _load(file: BinaryIO, size: int) -> tuple[Any, dict[str, _Storage]]:
    """The next pickle of the file, and the storages that it announces."""
    start = file.tell()
    for instruction, argument, _ in pickletools.genops(file):
        if not _INSTRUCTIONS.fullmatch(instruction.name):
            raise ValueError(f"the pickle instruction {instruction.name}")
        # the unpickler makes room for all numbers up to this one
        if instruction.name == "LONG_BINPUT" and int(argument or 0) > size:
            raise ValueError("a memo number larger than the file")
    file.seek(start)
    unpickler = _Unpickler(file, size)
    return unpickler.load(), unpickler.storages


def _read_storage(file: BinaryIO, storage: _Storage) -> None:
    (length,) = struct.unpack("<q", file.read(8))
    if length != storage.length:
        raise ValueError("a storage of another length than announced")
    raw = file.read(length * storage.dtype.itemsize)
    storage.data = np.frombuffer(raw, storage.dtype, count=length)


def _read(path: Path) -> dict[str, np.ndarray]:
    size = path.stat().st_size
    with path.open("rb") as file:
        header = [_load(file, size)[0] for _ in range(3)]
        if header[0] != _MAGIC or header[1] != _PROTOCOL:
            raise ValueError("not a legacy PyTorch file")
        state, storages = _load(file, size)
        for key in _load(file, size)[0]:
            _read_storage(file, storages[str(key)])
    return {str(k): v.array() for k, v in state.items() if isinstance(v, _Tensor)}


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a legacy ``.pth`` state dict.

    Args:
        path: file written by ``torch.save(state_dict)`` in the non-zip format.

    Returns:
        Name to array, in the file's order; arrays are copies.

    Raises:
        BackboneError: the file is missing, damaged, of another format, or asks for a global that
            plain weights do not need.
    """
    try:
        return _read(path)
    except BackboneError as error:
        raise BackboneError(f"weights file {path} is refused: {error}") from error
    except OSError as error:
        raise BackboneError(f"weights file {path} cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise BackboneError(
            f"weights file {path} is not a legacy PyTorch state dict or is damaged ({error})"
        ) from error
