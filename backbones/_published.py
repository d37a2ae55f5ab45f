"""Published files of ImageNet weights: where they lie, how they are fetched and checked.

They lie in one folder, which can be carried to a machine without network: the environment's
``ZOO_WEIGHTS``, else the folder where Keras itself keeps them. Nothing here imports Keras.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import importlib.util
import math
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backbones._errors import BackboneError

_MEGABYTE = 1_000_000  # bytes
_TIMEOUT = 30.0  # seconds without a byte
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# what an address, or a wheel without the file, may raise
_NOT_THERE = (
    BackboneError,
    urllib.error.URLError,
    http.client.HTTPException,
    zipfile.BadZipFile,
    KeyError,
)

# called with a name and the number of megabytes; what it gives is called as they arrive
Step = Callable[[str, int], AbstractContextManager[Callable[..., None]]]


@dataclass(frozen=True)
class Published:
    """One published file of ImageNet weights.

    Attributes:
        file: its name in the weights folder.
        source: its address, or ``pip:PACKAGE==VERSION`` of the wheel that holds it.
        digest: ``md5:...`` or ``sha256:...`` of its content as published; empty if none is.
        top1: accuracy on the validation images of ImageNet in percent, None if nobody tells.
        top1_source: who tells it.
        size: side in pixels of the images it was trained with; None means the variant's own.
        options: settings of the backbone that it was trained with.
        member: its path inside the wheel, which is also that in the installed package.
    """

    file: str
    source: str
    digest: str = ""
    top1: float | None = None
    top1_source: str = ""
    size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    member: str = ""

    @property
    def requirement(self) -> str:
        """What pip is asked for; empty if the file is no part of a package."""
        return self.source.removeprefix("pip:") if self.source.startswith("pip:") else ""

    @property
    def checksum(self) -> str:
        """Name of the digest's algorithm, empty if nothing is published."""
        return {"md5": "MD5", "sha256": "SHA-256"}.get(self.digest.partition(":")[0], "")


def weights_folder() -> Path:
    """The environment's ``ZOO_WEIGHTS``, else ``models`` in Keras's home (``~/.keras``)."""
    own = os.environ.get("ZOO_WEIGHTS")
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    return Path(os.path.expanduser(own or f"{home}/models"))  # noqa: PTH111 - unknown users


def located(published: Published) -> Path | None:
    """Where the file lies: in its installed package or in the weights folder; None if nowhere."""
    file = weights_folder() / published.file
    return _installed(published) or (file if file.is_file() else None)


def _installed(published: Published) -> Path | None:
    package, _, inner = published.member.partition("/")
    found = importlib.util.find_spec(package) if package else None
    folders = found.submodule_search_locations if found else None
    files = [Path(folder) / inner for folder in folders or []]
    return next((file for file in files if file.is_file()), None)


def digest_of(path: Path, published: Published) -> str:
    """Digest of a file's content by the algorithm of the published one: ``md5:...``.

    Raises:
        BackboneError: the file cannot be read.
    """
    algorithm = published.digest.partition(":")[0] or "sha256"
    try:
        with path.open("rb") as file:
            # MD5 is what Keras publishes; some systems refuse it where it is to protect something
            digest = hashlib.file_digest(
                file, lambda: hashlib.new(algorithm, usedforsecurity=False)
            )
            return f"{algorithm}:{digest.hexdigest()}"
    except OSError as error:
        raise BackboneError(f"weights file {path} cannot be read: {error.strerror}") from error


def verify(path: Path, published: Published) -> None:
    """Check a file whose published content is known.

    Raises:
        BackboneError: the content differs.
    """
    if difference := _difference(path, published):
        raise BackboneError(
            f"weights file {path} is damaged or not the published one: {difference}; fetch it again"
        )


def _difference(path: Path, published: Published) -> str:
    """Which checksum was found and which expected; empty if they agree or none is published."""
    if not published.digest or (found := digest_of(path, published)) == published.digest:
        return ""
    expected = published.digest.partition(":")[2]
    return f"its {published.checksum} is {found.partition(':')[2]}, expected {expected}"


@contextlib.contextmanager
def silent(_name: str, _total: int) -> Iterator[Callable[..., None]]:
    """A step that nobody sees."""
    yield lambda *_args, **_kwargs: None


def fetch(name: str, published: Published, step: Step = silent) -> Path:
    """Make sure that the weights folder holds a published file, whole and checked.

    Args:
        name: of the variant with the settings that the file is for, as on a command line.
        published: the file.
        step: context of a long step; see :data:`Step`.

    Returns:
        Its path in the weights folder.

    Raises:
        BackboneError: no network, not the published content, or a folder that cannot be written.
    """
    target = weights_folder() / published.file
    if target.is_file() and not _difference(target, published):
        return target
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _get(name, published, temporary, step)
        if difference := _difference(temporary, published):
            raise BackboneError(f"what came from {published.source} is not it: {difference}")
        temporary.replace(target)
    except _NOT_THERE as error:
        raise BackboneError(_unavailable(name, published, error)) from error
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:  # of the connection
            raise BackboneError(_unavailable(name, published, error)) from error
        raise BackboneError(
            f"weights file {target} cannot be written ({error.strerror}): choose another folder "
            f"(ZOO_WEIGHTS)"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return target


def _get(name: str, published: Published, target: Path, step: Step) -> None:
    if installed := _installed(published):
        shutil.copyfile(installed, target)
    elif published.requirement:
        with tempfile.TemporaryDirectory() as folder:
            wheel = _download_wheel(published, Path(folder))
            with zipfile.ZipFile(wheel) as archive, archive.open(published.member) as packed:
                target.write_bytes(packed.read())
    else:
        _download(name, published.source, target, step)


def _download(name: str, address: str, target: Path, step: Step) -> None:
    request = urllib.request.Request(address, headers={"User-Agent": "zoo"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response, target.open("wb") as out:
        length = int(response.headers.get("Content-Length") or 0)
        with step(f"fetch {name}, MB", math.ceil(length / _MEGABYTE)) as advance:
            while chunk := response.read(_MEGABYTE):
                out.write(chunk)
                advance(1)
        if length and out.tell() != length:
            raise BackboneError(f"{out.tell()} of {length} bytes arrived")


def _download_wheel(published: Published, folder: Path) -> Path:
    """Pip's own client, so that its index, proxies and certificates are those of the user."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder)]
    done = subprocess.run([*command, published.requirement], capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        reason = (errors or done.stderr.splitlines() or ["pip failed"])[-1].removeprefix("ERROR: ")
        raise BackboneError(reason.rstrip("."))
    return wheels[0]


def _unavailable(name: str, published: Published, error: Exception) -> str:
    """One sentence: why the file could not be fetched, and what else would do."""
    cause = getattr(error, "reason", None) or error
    reason = " ".join(str(cause).split()) or type(cause).__name__
    if isinstance(error, urllib.error.HTTPError):
        reason = f"HTTP status {error.code}"
    return (
        f"the ImageNet weights of {name} could not be fetched ({reason}): put "
        f"{published.file} into {weights_folder()} by hand (`zoo weights fetch {name}` makes it on "
        f"a connected machine), give a file (--weights FILE), train from scratch (--weights none), "
        f"or use efficientnet-lite0, whose weights come with pip"
    )
