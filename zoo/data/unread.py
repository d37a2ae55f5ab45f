"""Why a file is not read as an image, where its first bytes tell."""

from __future__ import annotations

import io
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from zoo.installation import install_hint

UNKNOWN = "not an image, or of an unknown format"

_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_IMAGES = {b"mif1", b"msf1"}  # of any codec
_BITS, _SAMPLES, _SAMPLE_FORMAT = 258, 277, 339  # TIFF tags
_KINDS = {1: "unsigned integers", 2: "signed integers", 3: "floats"}


def why_unread(content: bytes) -> str:
    """The reason why Pillow finds no image in a file, in words."""
    if _is_heic(content):
        return f"an HEIC image, which needs pillow-heif: {install_hint('heic')}, or save it as JPEG"
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _of_tiff(content) or "a TIFF of a kind that is not read"
    return UNKNOWN


def _is_heic(content: bytes) -> bool:
    """Whether the file names the codec of HEIC, or only that it holds images of some codec."""
    if content[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(content[:4]), 256)
    brands = {content[8:12], *(content[i : i + 4] for i in range(16, end, 4))}
    return bool(brands & _HEIC or (brands & _IMAGES and not brands & {b"avif", b"avis"}))


def _of_tiff(content: bytes) -> str:
    """What of a TIFF's header is beyond Pillow."""
    file = io.BytesIO(content)
    try:
        directory = ImageFileDirectory_v2(content[: 16 if b"+" in content[:4] else 8])
        file.seek(directory.next)
        directory.load(file)
        samples = _first(directory.get(_SAMPLES, 1))
        bits = _first(directory.get(_BITS, 1))
        kind = _KINDS.get(_first(directory.get(_SAMPLE_FORMAT, 1)), "values")
    except Exception:  # a damaged header: whatever it is, there is nothing to tell
        return ""
    if samples > 4:
        return (
            f"a TIFF of {samples} channels of {bits} bits: three are read, so save those to be "
            f"seen as RGB"
        )
    channels = "one channel" if samples == 1 else f"{samples} channels"
    return (
        f"a TIFF of {channels} of {bits}-bit {kind}, which is not read: save it with 8 or 16 bits"
    )


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
