"""Pixel values of more than 8 bits: where they lie, and which of them become black and white.

Files of 10, 12 or 16 bits and of floats say nothing of what is black and what is white in them. It
is decided once for a data set, by the values in it, and kept with what is trained on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image, ImageFile

_STRIP = 1 << 19  # values that are looked at or converted at a time
_OUTLIERS = 100_000  # one in so many may be a hot or dead pixel
# largest values of what is usual: masks and floats, and 8, 10, 12, 14 and 16 bits
_TOPS = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_OVERSHOOT = 0.05  # of floats: what interpolation adds beyond black and white
_MIN_SHARE = 0.25  # of a usual range that must be in use: two bits
# TIFF tags
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _SAMPLE_FORMAT = 258, 262, 277, 284, 339
_STATED = ((340, 341), (280, 281))  # TIFF: S(Min|Max)SampleValue, (Min|Max)SampleValue


class ValueRange(NamedTuple):
    """Values of the files that become 0 and 255; what is below or above is cut."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.6g} to {self.high:.6g}"


class FileByFile:
    """How earlier versions scaled: by the largest value of each file."""


FILE_BY_FILE: Final = FileByFile()
Scale = ValueRange | FileByFile | None  # None: the usual range for what is in the file

FULL_16_BITS = ValueRange(0.0, 65535.0)


@dataclass(frozen=True)
class Values:
    """What lies in files of more than 8 bits.

    Attributes:
        low, high: nearly all values lie between.
        whole: whether they are whole numbers.
        stated: the range that the files' metadata state, if they do.
    """

    low: float
    high: float
    whole: bool
    stated: ValueRange | None = None


def usual_range(values: Values) -> ValueRange:
    """The narrowest usual range that holds the values: 0 to 1, 8, 10, 12, 14 or 16 bits.

    Values below zero, but for what interpolation leaves, and above 16 bits have their own range.
    """
    slack = 0.0 if values.whole else _OVERSHOOT
    for top in _TOPS:
        if values.high <= top * (1 + slack):
            if values.low >= -top * slack:
                return ValueRange(0.0, top)
            if not values.whole and top == 1.0 and values.low >= -1 - slack:
                return ValueRange(-1.0, 1.0)
            break
    low = min(values.low, 0.0)
    return ValueRange(low, values.high if values.high > low else low + 1)


def fitted_range(values: Values) -> ValueRange:
    """The range of a data set: what its metadata state, or is usual, or else what is in use.

    A range of which the values use less than a quarter would lose two of the eight bits.
    """
    for found in (values.stated, usual_range(values)):
        if found is not None:
            inside = found.low <= values.high and values.low <= found.high
            share = (values.high - values.low) / (found.high - found.low)
            if inside and share >= _MIN_SHARE:
                return found
    if values.high > values.low:
        return ValueRange(values.low, values.high)
    return usual_range(values)


class Deep:
    """The values of an image whose file has more than 8 bits a channel.

    Args:
        image: as Pillow opened it, loaded.
        low_bytes: of 16-bit colour, of which ``image`` has the upper bytes, the lower ones.
    """

    def __init__(self, image: Image.Image, low_bytes: Image.Image | None = None) -> None:
        self._image, self._low = image, low_bytes
        tags = _tags(image)
        self._white_is_zero = low_bytes is None and tags.get(_PHOTOMETRIC) == 0
        is_unsigned = bool(tags) and _first(tags.get(_SAMPLE_FORMAT), 1) == 1
        self._unsigned = image.mode == "I" and is_unsigned
        self._stated = _stated_range(image, tags)

    def _strips(self) -> Iterator[tuple[int, np.ndarray]]:
        """First row and values, some rows at a time: of shape (rows, width) or (.., .., 3)."""
        width, height = self._image.size
        step = max(1, _STRIP // max(1, width))
        for top in range(0, height, step):
            box = (0, top, width, min(top + step, height))
            values = np.asarray(self._image.crop(box))
            if self._low is not None:
                lower = np.asarray(self._low.crop(box))[..., :3]
                yield top, (values[..., :3].astype(np.uint16) << 8) | lower
            else:
                is_wide = self._unsigned and values.dtype == np.int32
                yield top, values.view(np.uint32) if is_wide else values

    def values(self) -> Values | None:
        """What lies in the image, but for single outliers; None without any number.

        Those are one in 100,000 values at either end, or up to two in a small image.
        """
        count = self._image.size[0] * self._image.size[1]
        spare = max(count // _OUTLIERS, min(2, count // 500))
        low, high = np.zeros(0), np.zeros(0)
        whole = True
        for _, strip in self._strips():
            flat = strip.reshape(-1)
            if flat.dtype.kind == "f":
                whole, flat = False, flat[np.isfinite(flat)]
            low, high = _ends(low, flat, spare, -1), _ends(high, flat, spare, 1)
        if not low.size:
            return None
        return Values(float(low.max()), float(high.min()), whole, self._stated)

    def to_8_bit(self, chosen: ValueRange) -> Image.Image:
        """Grey or RGB in 0..255; what is no number is black."""
        factor = 255.0 / (chosen.high - chosen.low)
        shape = (self._image.size[1], self._image.size[0], *((3,) if self._low else ()))
        result = np.empty(shape, np.uint8)
        for top, strip in self._strips():
            part = (strip.astype(np.float64) - chosen.low) * factor
            part = np.clip(np.rint(part), 0, 255)
            if self._white_is_zero:
                part = 255 - part
            if strip.dtype.kind == "f":
                part[~np.isfinite(strip)] = 0
            result[top : top + len(strip)] = part
        return Image.fromarray(result)


def _ends(so_far: np.ndarray, values: np.ndarray, spare: int, sign: int) -> np.ndarray:
    """The ``spare`` + 1 largest (sign 1) or smallest (sign -1) of all values until here."""
    both = values
    if both.size > spare + 1:
        place = both.size - spare - 1 if sign > 0 else spare
        both = np.partition(both, place)
        both = both[place:] if sign > 0 else both[: spare + 1]
    both = np.concatenate([so_far, both.astype(np.float64)])
    both.sort()
    return both[-spare - 1 :] if sign > 0 else both[: spare + 1]


def is_deep_grey(image: Image.Image) -> bool:
    """Whether an image holds values of more than 8 bits, or floats."""
    return image.mode.startswith("I") or image.mode == "F"


def raw_mode(image: Image.Image) -> str:
    """How Pillow is about to unpack the pixels of an image that is not loaded yet."""
    tiles = getattr(image, "tile", None)
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args or "")


def is_16_bit_colour(mode: str) -> bool:
    """Whether Pillow unpacks the upper bytes alone of pixels of 16-bit colour."""
    return mode.startswith(("RGB;16", "RGBA;16", "RGBX;16"))


def unpack_lower_bytes(image: ImageFile.ImageFile, upper: str) -> None:
    """Let Pillow unpack the lower bytes of 16-bit colour: it has no mode for both.

    Args:
        image: not loaded yet.
        upper: the raw mode, which is for the upper bytes.
    """
    kind, _, order = upper.partition(";16")
    # N is the order of this machine, and only little-endian machines are left
    lower = f"{kind};16{'L' if order == 'B' else 'B'}"
    image.tile = [
        tile._replace(args=(lower, *tile.args[1:]) if isinstance(tile.args, tuple) else lower)
        for tile in image.tile
    ]


def is_scrambled(image: Image.Image) -> bool:
    """Whether Pillow would read a TIFF of 16 bits in separate planes as if it had 8."""
    tags = _tags(image)
    bits = _first(tags.get(_BITS), 1)
    several = _first(tags.get(_SAMPLES), 1) > 1 and len(getattr(image, "tile", ())) > 1
    return tags.get(_PLANAR) == 2 and bits > 8 and several


def _tags(image: Image.Image) -> dict[int, object]:
    tags = getattr(image, "tag_v2", None)
    return {} if tags is None else dict(tags.items())


def _first(value: object, usual: int) -> int:
    first = value[0] if isinstance(value, tuple) and value else value
    return int(first) if isinstance(first, int | float) else usual


def _stated_range(image: Image.Image, tags: dict[int, object]) -> ValueRange | None:
    """The range of values that the metadata of a TIFF state."""
    for low, high in _STATED:
        if low in tags and high in tags:
            ends = _number(tags[low]), _number(tags[high])
            if ends[0] < ends[1]:  # not of what is no number
                return ValueRange(*ends)
    bits = _first(tags.get(_BITS), 0)
    return ValueRange(0.0, 2.0**bits - 1) if 8 < bits < 16 and image.mode != "F" else None


def _number(value: Any) -> float:
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(first)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return math.nan
    return number if math.isfinite(number) else math.nan
