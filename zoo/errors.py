"""The exceptions that are meant for users: one clear sentence each, exit code 2."""

from __future__ import annotations

import contextlib
import difflib
import errno
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any


class ZooError(ValueError):
    """Something a user asked for cannot be done.

    Its text says what is wrong, what was received and what to do instead.

    Attributes:
        details: what a program may want to know beside it, shown by ``--json``.
    """

    details: Mapping[str, Any] = MappingProxyType({})


class DiskError(ZooError):
    """The disk is full or cannot be written: what was finished stays usable."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` or the list of what there is, to end a message with."""
    choices = list(known)
    close = difflib.get_close_matches(name.lower(), choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there is {', '.join(choices)}" if choices else "there is none yet"


_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ACCESS = {
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EILSEQ,
    errno.ENXIO,
}


@contextlib.contextmanager
def disk_errors(where: object) -> Iterator[None]:
    """Turn a full or read-only disk into a sentence.

    Raises:
        DiskError: writing below ``where`` failed for want of space or permission.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise DiskError(
                f"the disk is full: {where} could not be written ({error.strerror}); "
                f"free some space, or put runs and cache elsewhere (ZOO_RUNS, ZOO_CACHE)"
            ) from error
        if error.errno in _NO_ACCESS:
            raise DiskError(
                f"{where} cannot be written ({error.strerror}): choose another place "
                f"(ZOO_RUNS for runs, ZOO_CACHE for the cache)"
            ) from error
        raise


@contextlib.contextmanager
def read_errors(where: object) -> Iterator[None]:
    """Turn a folder or file that cannot be read into a sentence.

    Raises:
        ZooError: no permission, another kind of file, or a name that the file system refuses.
    """
    try:
        yield
    except OSError as error:
        raise ZooError(
            f"{where} cannot be read ({error.strerror or error}): check that it exists and that "
            f"you have permission"
        ) from error
