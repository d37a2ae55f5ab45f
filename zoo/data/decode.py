"""Any image file to an upright RGB array, or the reason why not.

One function serves training and prediction, so that both see the same pixels.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import os
import stat
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from zoo.data.unread import UNKNOWN, why_unread
from zoo.data.values import (
    FILE_BY_FILE,
    FULL_16_BITS,
    Deep,
    FileByFile,
    Scale,
    ValueRange,
    Values,
    is_16_bit_colour,
    is_deep_grey,
    is_scrambled,
    raw_mode,
    unpack_lower_bytes,
    usual_range,
)

THUMB = 16  # side of the grey thumbnail that near duplicates are found by

_DEEP_MODES = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}  # Pillow's, of more than 8 bits

MOST_BYTES = 1 << 30  # of one image file: a sparse file may claim more than any memory holds

# tried in this order, by content. Pillow would also run other programs on PostScript, and knows
# formats of films, textures and weather maps, whose readers are the least tested
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "MPO", "JPEG2000", "AVIF", "HEIF"),
    *("ICO", "PPM", "PCX", "SGI", "QOI", "TGA"),
)
_AT_ONCE = 1 << 26  # pixels decoded at the same time, of up to 12 bytes each
_STRIP = 1 << 19  # pixels that are converted at a time, which bounds copies of a large image

# doubtful EXIF data and very large images warn; what matters is raised. Set once, because
# catch_warnings is not safe in the threads that decode
warnings.filterwarnings("ignore", module=r"PIL\.")
# without any handler, what Pillow logs of odd TIFFs would be printed between our sentences
logging.getLogger("PIL").addHandler(logging.NullHandler())

# one block for each image: what the C library gets back of 16 MB blocks, Pillow's default, it keeps
# for each thread, several images' worth (Pillow's documentation: "Block allocator")
Image.core.set_block_size(1 << 29)


class View(NamedTuple):
    """What a network wants to see of an image.

    Attributes:
        size: side in pixels.
        resize: see :func:`decode`.
        scale: which values of files of more than 8 bits become black and white.
    """

    size: int
    resize: str
    scale: Scale = None


class BadImageError(ValueError):
    """A file that is not a usable image; its text is the reason, without the file's name."""


def read_file(path: Path) -> bytes:
    """Content of a regular file: reading a pipe or device may never end.

    Raises:
        BadImageError: missing, not readable, not a regular file, empty, or above 1 GiB.
    """
    try:
        # a pipe without a writer would keep an ordinary open waiting
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise BadImageError("not a regular file")
            if about.st_size > MOST_BYTES:
                raise BadImageError(f"larger than {MOST_BYTES >> 30} GiB")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(about.st_size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise BadImageError(_reason(error)) from None
    except MemoryError:
        raise BadImageError("too large to read in the memory that is left") from None
    except ValueError as error:  # a name that no file can have
        raise error if isinstance(error, BadImageError) else BadImageError(str(error)) from None
    if not content:
        raise BadImageError("empty file")
    return content


def begins_as_image(path: Path) -> bool:
    """Whether the first bytes of a file are those of an image, or the file cannot be read.

    Films and archives beside images must not be read to their end.
    """
    try:
        # a pipe without a writer would keep an ordinary open waiting
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return True  # decoding gives the reason
            start = os.read(descriptor, 32).ljust(32, b"\0")
        finally:
            os.close(descriptor)
    except OSError:
        return True
    accepting = [Image.OPEN[name][1] for name in _formats()]
    return any(accept and accept(start) for accept in accepting) or why_unread(start) != UNKNOWN


def decode(
    source: Path | bytes, size: int, resize: str = "stretch", scale: Scale = None
) -> np.ndarray:
    """Decode, turn upright, convert to RGB and resize.

    Args:
        source: file or its content; JPEG, PNG, WebP, GIF, BMP, TIFF and what else Pillow reads;
            HEIC with pillow-heif. Grey, palette and CMYK images are converted, transparency is
            laid over white.
        size: side of the result in pixels.
        resize: ``stretch`` ignores the aspect ratio, ``crop`` cuts the middle square, ``pad`` adds
            black borders.
        scale: of files of more than 8 bits, the values that become 0 and 255; None for the usual
            range that holds what is in the file, see :func:`zoo.data.values.usual_range`.

    Returns:
        uint8 of shape (size, size, 3).

    Raises:
        BadImageError: not an image, truncated, or larger than 178 megapixels (Pillow's limit).
    """
    content = source if isinstance(source, bytes) else read_file(source)
    with _room(content, size):
        return _squared(_load(content, size, scale).image, size, resize)


def decode_views(source: Path | bytes, views: Iterable[View]) -> dict[View, np.ndarray]:
    """One image in several sizes, each exactly as :func:`decode` gives it.

    The file is read once, and decoded once, except where a JPEG's sizes are so far apart that
    libjpeg takes another scale for them.

    Args:
        source: image file, or its content.
        views: how it is to be seen.

    Raises:
        BadImageError: as :func:`decode`.
    """
    content = source if isinstance(source, bytes) else read_file(source)
    opened: _Opened = {}
    views = tuple(views)
    with _room(content, max((view.size for view in views), default=0)):
        return {
            view: _squared(
                _load(content, view.size, view.scale, opened).image, view.size, view.resize
            )
            for view in views
        }


def see(image: Image.Image, views: Iterable[View]) -> dict[View, np.ndarray]:
    """An opened image in several sizes, as :func:`decode` gives a lossless file of it.

    Args:
        image: of any mode; what its EXIF data say of its orientation is done.
        views: how it is to be seen.

    Raises:
        BadImageError: it cannot be read to its end, or has more bits than 8 in an unknown mode.
    """
    try:
        if not image.width * image.height:
            raise BadImageError("an image without pixels")
        if image.mode in _DEEP_MODES:  # the range of its values is found as in a file
            file = io.BytesIO()
            image.save(file, "TIFF")
            return decode_views(file.getvalue(), views)
        whole = _to_grey_or_rgb(ImageOps.exif_transpose(image))
    except OSError as error:
        raise BadImageError(_reason(error)) from None
    return {view: _squared(whole, view.size, view.resize) for view in views}


def upright(file: Path, size: int, scale: Scale = None) -> Image.Image:
    """The whole image as upright RGB; of a large JPEG, half or less, where ``size`` allows it.

    Args:
        file: image file.
        size: side in pixels that is wanted at least.
        scale: see :func:`decode`.

    Raises:
        BadImageError: as :func:`decode`.
    """
    content = read_file(file)
    with _room(content, size):
        return _load(content, size, scale).image.convert("RGB")


def _squared(image: Image.Image, size: int, resize: str) -> np.ndarray:
    resample, gap = Image.Resampling.BILINEAR, 3.0
    if resize == "crop":
        image = ImageOps.fit(image, (size, size), resample)
    elif resize == "pad":
        image = ImageOps.pad(image, (size, size), resample)
    else:
        image = image.resize((size, size), resample, reducing_gap=gap)
    # grey until here: resizing one channel instead of three alike
    return np.asarray(image.convert("RGB"))


class Glance(NamedTuple):
    """What is seen of a file without asking for more than its looks.

    Attributes:
        thumb: grey, uint8 of shape (16, 16).
        width, height: of the upright image in pixels.
        values: what lies in a file of more than 8 bits a channel; None of others.
    """

    thumb: np.ndarray
    width: int
    height: int
    values: Values | None


def glance(content: bytes) -> Glance:
    """A look at an image, in its own range of values.

    Raises:
        BadImageError: as :func:`decode`.
    """
    with _room(content, 4 * THUMB):
        image, width, height, values = _load(content, 4 * THUMB)
        grey = image.convert("L")
        image.close()  # before the room is given to another
    # smooth: whole-pixel boxes would make the thumbnail of a halved image another one
    small = grey.resize((THUMB, THUMB), Image.Resampling.BILINEAR)
    return Glance(np.asarray(small), width, height, values)


class _Pixels:
    """Lets threads decode at the same time what has few enough pixels together.

    An image with more than that is decoded alone.
    """

    def __init__(self, most: int) -> None:
        self._most, self._taken, self._changed = most, 0, threading.Condition()

    @contextlib.contextmanager
    def take(self, count: int) -> Iterator[None]:
        """Wait for room, and keep it while the block runs."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + count <= self._most)
            self._taken += count
        try:
            yield
        finally:
            with self._changed:
                self._taken -= count
                self._changed.notify_all()


_decoding = _Pixels(_AT_ONCE)


@contextlib.contextmanager
def _room(content: bytes, size: int) -> Iterator[None]:
    """Room for an image's pixels, as its header tells them."""
    try:
        _check_webp(content)
        with Image.open(io.BytesIO(content), formats=_formats()) as header:
            header.draft(None, (2 * size, 2 * size))
            width, height = header.size
    except Exception:  # whatever it is, decoding tells it
        width = height = 0
    with _decoding.take(width * height):
        yield


class _Loaded(NamedTuple):
    """An upright RGB or grey image, and what is known of its file."""

    image: Image.Image
    width: int
    height: int
    values: Values | None  # of more than 8 bits, if the range was left to the file


_Opened = dict[tuple[tuple[int, int], Scale], _Loaded]


def _load(content: bytes, size: int, scale: Scale = None, opened: _Opened | None = None) -> _Loaded:
    """The image, not much smaller than twice ``size`` where the file is larger.

    ``opened`` keeps what was decoded of the same content, by decoded size and scale.
    """
    opened = {} if opened is None else opened
    try:
        _check_webp(content)
        # closed, or what refers to itself keeps the pixels until the next garbage collection
        with contextlib.closing(_opening(content)) as image:
            # lets libjpeg decode at 1/2, 1/4 or 1/8 scale: several times faster on photos
            width, height = image.size
            image.draft(None, (2 * size, 2 * size))
            key = image.size, scale
            if key not in opened:
                opened[key] = _decoded(image, content, scale, width, height)
            return opened[key]
    except BadImageError:
        raise
    except UnidentifiedImageError:
        raise BadImageError(why_unread(content)) from None
    except Image.DecompressionBombError:
        raise BadImageError("too large to decode safely") from None
    except OSError as error:
        raise BadImageError(_reason(error)) from None
    except MemoryError:
        raise BadImageError("too large to decode in the memory that is left") from None
    except Exception as error:  # decoders raise SyntaxError, struct.error, IndexError...
        raise BadImageError(f"damaged ({type(error).__name__}: {error})") from None


def _opening(content: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(content), formats=_formats())


def _decoded(image: Image.Image, content: bytes, scale: Scale, width: int, height: int) -> _Loaded:
    """An opened image of this width and height, upright and in 8 bits."""
    mode = raw_mode(image)
    if is_scrambled(image):
        raise BadImageError(
            "a TIFF of 16 bits whose channels lie in separate planes: save it with interleaved "
            "channels"
        )
    image.load()
    # of a PNG this would load the image, too
    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    width, height = (height, width) if turned else (width, height)
    ImageOps.exif_transpose(image, in_place=True)  # no copy of what is upright
    deep = None
    if is_deep_grey(image):
        deep = Deep(image)
    elif is_16_bit_colour(mode) and scale not in (FULL_16_BITS, FILE_BY_FILE):
        lower = _opening(content)
        unpack_lower_bytes(lower, mode)
        lower.load()
        ImageOps.exif_transpose(lower, in_place=True)
        deep = Deep(image, lower)
    if deep is None:
        return _Loaded(_to_grey_or_rgb(image), width, height, None)
    values = deep.values() if scale is None else None
    return _Loaded(_in_8_bits(image, deep, values, scale), width, height, values)


def _in_8_bits(image: Image.Image, deep: Deep, values: Values | None, scale: Scale) -> Image.Image:
    """Grey or RGB of an image of more than 8 bits, of which ``values`` is known or the scale."""
    if isinstance(scale, FileByFile):
        return Image.fromarray(_to_8_bit(np.asarray(image)))
    result = deep.to_8_bit(scale or (usual_range(values) if values else ValueRange(0.0, 1.0)))
    if image.mode == "RGBA":
        result.putalpha(image.getchannel("A"))
        return _over_white(result)
    return result


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of the formats that this installation of Pillow reads."""
    Image.init()
    with contextlib.suppress(ImportError):  # an optional part
        importlib.import_module("pillow_heif").register_heif_opener()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_webp(content: bytes) -> None:
    """Raise a BadImageError if a WebP file declares more pixels than Pillow's limit.

    Pillow asks the decoder for its canvas before it compares the size with the limit.
    """
    width, height = _webp_canvas(content)
    if width * height > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise BadImageError("too large to decode safely")


def _webp_canvas(content: bytes) -> tuple[int, int]:
    """Width and height that the header of a WebP file declares; (0, 0) of others."""
    kind = content[12:16]
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        return 0, 0
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[i : i + 3], "little") + 1 for i in (24, 27))
        return width, height
    start, first = (26, 0) if kind == b"VP8 " else (21, 1)
    bits = int.from_bytes(content[start : start + 4], "little")
    return (bits & 0x3FFF) + first, (bits >> (16 - 2 * first) & 0x3FFF) + first


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"truncated ({text})" if "truncated" in text or "broken" in text else text


def _to_grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        return _over_white(image)
    return image.copy() if image.mode in {"L", "RGB"} else image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    """RGB of an image with transparency laid over white, a strip at a time."""
    result = Image.new("RGB", image.size)
    width, height = image.size
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        strip.info = image.info  # of a palette, which color is transparent
        rgba = strip.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        result.paste(Image.alpha_composite(white, rgba).convert("RGB"), (0, top))
    return result


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """Grey values in 0..255 as earlier versions scaled them: by the largest of the file."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    top = float(finite.max(initial=0))
    scale = 1 / 257.0 if top > 255 else 1.0  # 65535 / 255: full scale stays full scale
    if values.dtype.kind == "f" and top <= 1.0:
        scale = 255.0
    result = np.empty(values.shape, np.uint8)
    rows = max(1, _STRIP // max(1, values.shape[1]))
    for start in range(0, len(values), rows):
        part = np.nan_to_num(values[start : start + rows].astype(np.float64), posinf=0, neginf=0)
        result[start : start + rows] = np.clip(np.rint(part * scale), 0, 255)
    return result
