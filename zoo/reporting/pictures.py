"""The pictures of a page: each image once, small, and no more than the page can bear."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.data.decode import BadImageError, upright
from zoo.data.inspect import workers
from zoo.data.values import Scale
from zoo.progress import Progress

SIDE = 256  # pixels of the longer side of a picture on the page
MOST = 400  # pictures
_BYTES = 8_000_000  # of all pictures of a page
_TINY = 64  # up to here kept exactly and shown as squares
_HEAT = 24  # positions along the longer side of an overlay
_WARM = ((255, 196, 0), (214, 40, 0))  # RGB of a little and of much heat


@dataclass(frozen=True)
class Picture:
    """A picture or an overlay, as the page holds it.

    Attributes:
        name: by which the page refers to it.
        width, height: in pixels, of the space it fills.
        data: ``data:`` address of its content.
    """

    name: str
    width: int
    height: int
    data: str

    @property
    def small(self) -> bool:
        """Whether its pixels are to be seen one by one."""
        return max(self.width, self.height) <= _TINY


class Album:
    """Pictures of a page by the ids of their images.

    Args:
        root: folder that the ids are relative to.
        scale: see :func:`zoo.data.decode.decode`.

    Attributes:
        missing: id and reason of each that could not be read.
        overlays: what is laid over pictures.
    """

    def __init__(self, root: Path, scale: Scale = None) -> None:
        self._root, self._scale = root, scale
        self._pictures: dict[str, Picture] = {}
        self.missing: dict[str, str] = {}
        self.overlays: list[Picture] = []

    def read(self, ids: Iterable[str], progress: Progress | None = None) -> None:
        """Read images until there are 400 of them, or 8 MB; those read already cost nothing."""
        room = MOST - len(self._pictures)
        wanted = [i for i in dict.fromkeys(ids) if i not in self._pictures][: max(0, room)]
        size = sum(len(picture.data) for picture in self._pictures.values())
        with (
            (progress or Progress()).step("pictures", len(wanted)) as advance,
            ThreadPoolExecutor(workers()) as pool,
        ):
            for sample, made in zip(wanted, pool.map(self._made, wanted), strict=True):
                advance()
                if isinstance(made, str):
                    self.missing[sample] = made
                elif size + len(made[2]) <= _BYTES:
                    size += len(made[2])
                    name = f"p{len(self._pictures)}"
                    self._pictures[sample] = Picture(name, *made)

    def __contains__(self, sample: str) -> bool:
        return sample in self._pictures

    def get(self, sample: str) -> Picture | None:
        """The picture of an image, None if it was not read."""
        return self._pictures.get(sample)

    def path(self, sample: str) -> Path:
        """The file of an image."""
        return self._root / sample

    @property
    def all(self) -> list[Picture]:
        """All pictures and overlays."""
        return [*self._pictures.values(), *self.overlays]

    def _made(self, sample: str) -> tuple[int, int, str] | str:
        if Path(sample).is_absolute() or ".." in Path(sample).parts:  # of a run from elsewhere
            return "its path leaves the folder of the data"
        try:
            return encode(upright(self.path(sample), SIDE, self._scale))
        except BadImageError as error:
            return str(error)

    def overlay(self, sample: str, name: str, heat: np.ndarray, resize: str) -> str:
        """Lay a map over a picture; gives the name by which the page refers to it.

        Args:
            sample: id of a picture that was read.
            name: of the overlay, unlike all others.
            heat: float32 of shape (h, w) in 0..1, of the square that the network saw.
            resize: how the image became that square, see :func:`zoo.data.decode.decode`.
        """
        picture = self._pictures[sample]
        data = heat_address(unsquared(heat, picture.width / picture.height, resize))
        self.overlays.append(Picture(name, picture.width, picture.height, data))
        return name


def encode(image: Image.Image) -> tuple[int, int, str]:
    """Width, height and address of a picture of at most 256 px; tiny ones are kept exactly."""
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    if max(image.size) <= _TINY:
        return *image.size, _address(image, "PNG", optimize=True)
    return *image.size, _address(image, "WEBP", quality=72, method=3)


def _address(image: Image.Image, kind: str, **options: int | bool) -> str:
    out = io.BytesIO()
    image.save(out, kind, **options)
    content = base64.b64encode(out.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{content}"


def heat_address(heat: np.ndarray) -> str:
    """A map as a picture to lay over the image, as a ``data:`` address.

    Args:
        heat: float32 of shape (h, w) in 0..1.
    """
    return _address(_warm(heat), "PNG")


def unsquared(heat: np.ndarray, aspect: float, resize: str) -> np.ndarray:
    """A map of the network's square as a map of the whole image, 24 positions along its long side.

    Args:
        heat: float32 of shape (h, w) in 0..1.
        aspect: width by height of the image.
        resize: ``stretch``, ``crop`` or ``pad``.
    """
    width, height = (round(_HEAT * min(1.0, x)) or 1 for x in (aspect, 1 / aspect))
    square = {"stretch": None, "crop": min(width, height), "pad": max(width, height)}[resize]
    shape = (width, height) if square is None else (square, square)
    seen = np.asarray(
        Image.fromarray(heat.astype(np.float32)).resize(shape, Image.Resampling.BICUBIC)
    ).clip(0, 1)
    if square is None:
        return seen
    result = np.zeros((height, width), np.float32)
    above, left = (abs(height - square) // 2, abs(width - square) // 2)
    if resize == "crop":
        result[above : above + square, left : left + square] = seen
        return result
    return seen[above : above + height, left : left + width]


def _warm(heat: np.ndarray) -> Image.Image:
    """Clear if nothing speaks for the class, yellow to red where much does."""
    low, high = (np.array(colour, np.float32) for colour in _WARM)
    colours = low + heat[..., None] * (high - low)
    alpha = 190 * np.sqrt(heat)[..., None] * (heat[..., None] > 0.15)
    return Image.fromarray(np.concatenate([colours, alpha], axis=2).round().astype(np.uint8))


def counted_reasons(missing: Mapping[str, str]) -> str:
    """The first of several reasons, with the image that it is of."""
    sample, reason = next(iter(missing.items()))
    return f"{sample}: {reason}"
