"""Names that begin with ``hub:``: where such a module lies, and what a user must say of it.

A name is ``hub:`` and the URL of a module of TF Hub (tfhub.dev, kaggle.com/models), the folder of a
SavedModel, or a ``.tar.gz`` of one. Nothing here imports TensorFlow until a URL is fetched.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
import re
import tarfile
import tempfile
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from backbones._errors import BackboneError

if TYPE_CHECKING:
    from backbones._spec import Spec

PREFIX = "hub:"
# pixel values that modules take, and what brings 0..255 there: factor and offset
RANGES = {"0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0), "0..255": (1.0, 0.0)}
_MAX_UNPACKED = 8 << 30  # bytes; the largest published image modules have 1 to 2 GB
_MAX_HEADER = 1 << 20  # bytes of a name in an archive
_GIVE = (
    "give hub: and a SavedModel's folder, its .tar.gz, or a URL of tfhub.dev or kaggle.com/models"
)
# of a SavedModel; whatever else lies in its folder is not part of it
_PARTS = ("saved_model.pb", "tfhub_module.pb", "variables/*", "assets/**/*")


def is_url(name: str) -> bool:
    """Whether the module of this name comes from the network."""
    return name.removeprefix(PREFIX).startswith(("http://", "https://"))


def full_name(name: str) -> str:
    """The name with an absolute path, which means the same in any folder."""
    return name if is_url(name) else f"{PREFIX}{_path(name).absolute()}"


def short_name(name: str) -> str:
    """What a run of this backbone is called after: the end of the URL or path."""
    if not name.startswith(PREFIX):
        return name
    where = re.sub(r"^https?://[^/]*/|[?#].*$|\.(tar|tar\.gz|tgz)$", "", name[len(PREFIX) :])
    noise = {"tensorflow1", "tensorflow2", "frameworks", "variations", "models", ""}
    parts = [part for part in where.split("/") if part.lower() not in noise]
    return "-".join(["hub", *parts[-3 if is_url(name) else -1 :]])


def check(spec: Spec, size: int | None, weights: str, options: Mapping[str, Any]) -> None:
    """Refuse what contradicts a module's signature, and ask for what it does not tell.

    Args:
        spec: of the module; an ``input_size`` of 0 means that its signature leaves it open.
        size: asked side in pixels.
        weights: asked weights.
        options: asked options.

    Raises:
        BackboneError: see above.
    """
    if weights not in {"imagenet", spec.name}:
        raise BackboneError(
            f"{spec.name} brings its own weights and takes no others, not {weights}: leave "
            f"--weights out"
        )
    if size is None and not spec.input_size:
        raise BackboneError(
            f"{spec.name} does not tell its input size: give --size, the side in pixels that it "
            f"was trained with (often 224)"
        )
    if spec.input_size and size not in {None, spec.input_size}:
        raise BackboneError(
            f"{spec.name} takes images of {spec.input_size} px only, not {size}: leave --size out"
        )
    if {**spec.options, **options}.get("input_range") is None:
        raise BackboneError(
            f"{spec.name} does not tell which pixel values it takes: give --input-range 0..1 (the "
            f"convention of TF Hub), -1..1 or 0..255, as it was trained"
        )


def locate(name: str) -> Path:
    """Folder of the SavedModel, downloaded or unpacked if needed.

    Raises:
        BackboneError: nothing there, no network, no SavedModel, or a damaged archive.
    """
    folder = _fetch(name[len(PREFIX) :]) if is_url(name) else _local(_path(name))
    if (folder / "saved_model.pb").is_file():
        return folder
    inner = sorted(p for deep in ("*", "*/*") for p in folder.glob(f"{deep}/saved_model.pb"))
    if len(inner) == 1 and folder != _path(name):  # an archive may hold a folder with the module
        return inner[0].parent
    hint = f"give {PREFIX}{inner[0].parent}" if inner else _GIVE
    raise BackboneError(f"{name} is no SavedModel, it holds no saved_model.pb: {hint}")


def find_module(name: str) -> None:
    """Make sure that a local module is there; TensorFlow is not needed for that.

    Raises:
        BackboneError: nothing there, no SavedModel, or a damaged archive.
    """
    if not is_url(name):
        locate(name)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a SavedModel: relative path to content, sorted by path.

    Raises:
        BackboneError: a file cannot be read, and as :func:`parts`.
    """
    try:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in parts(folder)}
    except OSError as error:
        raise BackboneError(f"the SavedModel {folder} cannot be read: {error}") from error


def parts(folder: Path) -> list[Path]:
    """The files of a SavedModel, sorted.

    Raises:
        BackboneError: one of them is a link that leaves the folder, or they are too large.
        OSError: they cannot be looked at.
    """
    files = sorted({p for part in _PARTS for p in folder.glob(part) if p.is_file()})
    for path in files:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BackboneError(
                f"the SavedModel {folder} is refused, because {path.relative_to(folder)} is a link "
                f"that leaves its folder: put the file itself there"
            )
    if sum(path.stat().st_size for path in files) > _MAX_UNPACKED:
        raise BackboneError(
            f"the SavedModel {folder} is refused, because it has more than "
            f"{_MAX_UNPACKED >> 30} GiB"
        )
    return files


def fingerprint(files: Mapping[str, bytes]) -> str:
    """SHA-256 over the paths and contents of files."""
    digest = hashlib.sha256()
    for path, content in files.items():
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def stamp(folder: Path) -> tuple[object, ...]:
    """Something that changes when a SavedModel is written anew, without reading it."""
    files = sorted({p for part in _PARTS for p in folder.glob(part) if p.is_file()})
    return tuple((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files)


def _path(name: str) -> Path:
    given = name.removeprefix(PREFIX)
    if not given or "\0" in given:
        raise BackboneError(f"{PREFIX!r} names no module: {_GIVE}")
    return Path(os.path.expanduser(given))  # noqa: PTH111 - Path's fails on unknown users


def _local(path: Path) -> Path:
    try:
        if path.is_dir():
            return path
        there = path.is_file()
    except OSError:  # a name too long for a file
        there = False
    if not there:
        raise BackboneError(f"there is no SavedModel at {path}: {_GIVE}")
    if not path.name.endswith((".tar.gz", ".tgz", ".tar")):
        raise BackboneError(f"{path} is neither a folder nor a .tar.gz: {_GIVE}")
    status = path.stat()
    return Path(_unpacked(path, status.st_mtime_ns, status.st_size).name)


def _headers(file: BinaryIO) -> BinaryIO:
    """What is in a file, decompressed if it is gzip, without long reads."""
    is_gzip = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    content = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_gzip else file
    return cast(BinaryIO, _Headers(content))


class _Headers:
    """A file for ``tarfile`` that refuses long reads: names and attributes are read at once.

    A header may claim a name of a gigabyte, which compresses to nothing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """At most a megabyte."""
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


@functools.lru_cache(maxsize=4)
def _unpacked(path: Path, _time: int, _size: int) -> tempfile.TemporaryDirectory[str]:
    """The archive in a temporary folder, which vanishes with this process."""
    folder = tempfile.TemporaryDirectory(prefix="zoo-hub-")
    try:
        with path.open("rb") as file, tarfile.open(fileobj=_headers(file), mode="r:") as archive:
            total = 0
            for member in archive:
                total += member.size
                if total > _MAX_UNPACKED:
                    raise tarfile.ReadError(f"it unpacks to more than {_MAX_UNPACKED >> 30} GiB")
                # the filter refuses what would land outside, links to there, and devices
                archive.extract(member, folder.name, filter="data")
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        folder.cleanup()
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BackboneError(
            f"{path} cannot be unpacked ({reason[:200]}): fetch it again, or give the SavedModel's "
            f"folder"
        ) from error
    return folder


def _fetch(url: str) -> Path:
    """Folder of a module in TF Hub's own cache (``TFHUB_CACHE_DIR``), downloaded at first."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its use of pkg_resources
            import tensorflow_hub

        return Path(tensorflow_hub.resolve(url))
    except Exception as error:  # urllib, ssl, sockets, tarfile and TensorFlow raise their own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BackboneError(
            f"the module {url} could not be fetched ({reason[:200]}): check address and network, "
            f"or fetch it elsewhere and give its folder or .tar.gz (hub:PATH)"
        ) from error
