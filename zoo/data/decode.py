"""Any image file to an upright RGB array, or the reason why not.

One function serves training and prediction, so that both see the same pixels.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

THUMB = 16  # side of the grey thumbnail that near duplicates are found by

# doubtful EXIF data and very large images warn; what matters is raised. Set once, because
# catch_warnings is not safe in the threads that decode
warnings.filterwarnings("ignore", module=r"PIL\.")


View = tuple[int, str]  # side in pixels, and the resize mode


class BadImageError(ValueError):
    """A file that is not a usable image; its text is the reason, without the file's name."""


def decode(source: Path | bytes, size: int, resize: str = "stretch") -> np.ndarray:
    """Decode, turn upright, convert to RGB and resize.

    Args:
        source: file or its content; JPEG, PNG, WebP, GIF, BMP, TIFF and what else Pillow reads.
            Grey, palette, CMYK and 16-bit images are converted, transparency is laid over white.
        size: side of the result in pixels.
        resize: ``stretch`` ignores the aspect ratio, ``crop`` cuts the middle square, ``pad`` adds
            black borders.

    Returns:
        uint8 of shape (size, size, 3).

    Raises:
        BadImageError: not an image, truncated, or larger than 178 megapixels (Pillow's limit).
    """
    return _squared(_open(source, size), size, resize)


def decode_views(file: Path, views: Iterable[View]) -> dict[View, np.ndarray]:
    """One image in several sizes, each exactly as :func:`decode` gives it.

    The file is read once, and decoded once, except where a JPEG's sizes are so far apart that
    libjpeg takes another scale for them.

    Args:
        file: image file.
        views: (size, resize) each.

    Raises:
        BadImageError: as :func:`decode`.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadImageError(_reason(error)) from None
    opened: dict[tuple[int, int], Image.Image] = {}
    return {view: _squared(_open(content, view[0], opened), *view) for view in views}


def upright(file: Path, size: int) -> Image.Image:
    """The whole image as upright RGB; of a large JPEG, half or less, where ``size`` allows it.

    Raises:
        BadImageError: as :func:`decode`.
    """
    try:
        return _open(file.read_bytes(), size).convert("RGB")
    except OSError as error:
        raise BadImageError(_reason(error)) from None


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


def thumbnail(content: bytes) -> tuple[np.ndarray, int, int]:
    """Grey thumbnail, uint8 of shape (16, 16), and the upright width and height in pixels.

    Raises:
        BadImageError: as :func:`decode`.
    """
    try:
        with Image.open(io.BytesIO(content)) as header:
            width, height = header.size
            turned = header.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except Exception:
        width = height = 0  # the same fault is named by _open below
        turned = False
    grey = _open(content, 4 * THUMB).convert("L")
    # smooth: whole-pixel boxes would make the thumbnail of a halved image another one
    small = grey.resize((THUMB, THUMB), Image.Resampling.BILINEAR)
    return np.asarray(small), *((height, width) if turned else (width, height))


def _open(
    source: Path | bytes, size: int, opened: dict[tuple[int, int], Image.Image] | None = None
) -> Image.Image:
    """Upright RGB or grey image, not much smaller than twice ``size`` where the file is larger.

    ``opened`` keeps what was decoded of the same source, by its decoded size.
    """
    opened = {} if opened is None else opened
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file) as image:
            # lets libjpeg decode at 1/2, 1/4 or 1/8 scale: several times faster on photos
            image.draft(None, (2 * size, 2 * size))
            scale = image.size
            if scale not in opened:
                image.load()
                opened[scale] = _to_grey_or_rgb(ImageOps.exif_transpose(image))
            return opened[scale]
    except UnidentifiedImageError:
        raise BadImageError("not an image, or of an unknown format") from None
    except Image.DecompressionBombError:
        raise BadImageError("too large to decode safely") from None
    except OSError as error:
        raise BadImageError(_reason(error)) from None
    except Exception as error:  # decoders raise SyntaxError, struct.error, IndexError...
        raise BadImageError(f"damaged ({type(error).__name__}: {error})") from None


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"truncated ({text})" if "truncated" in text or "broken" in text else text


def _to_grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bit(np.asarray(image)))
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode in {"L", "RGB"} else image.convert("RGB")


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """Grey values of 16-bit, 32-bit or float files in 0..255; what is no number is black."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0))
    if values.dtype.kind == "f" and top <= 1.0:
        values = values * 255.0
    elif top > 255:
        values = values / 257.0  # 65535 / 255: full scale stays full scale
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
