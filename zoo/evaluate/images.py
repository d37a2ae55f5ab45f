"""What can be predicted: paths, the content of files, images and arrays in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.data.decode import View, begins_as_image, decode_views, see
from zoo.data.walk import files_below, is_image_name
from zoo.errors import ZooError
from zoo.paths import user_path

Picture = Path | bytes | Image.Image
Name = Path | str  # of a file, or where an image in memory was given

_TAKEN = (
    "paths, folders, bytes of an image file, PIL images, and uint8 arrays of shape (H, W, 3) or "
    "(n, H, W, 3)"
)


@dataclass
class Asked:
    """Images to predict, in order.

    Attributes:
        images: name and image.
        bad: file and reason of each one that is left out beforehand.
        hidden: number of image files in hidden and system folders, which are not searched.
    """

    images: list[tuple[Name, Picture]] = field(default_factory=list)
    bad: dict[Name, str] = field(default_factory=dict)
    hidden: int = 0

    def _add(self, given: Any) -> None:
        if isinstance(given, str | Path):
            self._add_path(user_path(given))
        elif isinstance(given, bytes | bytearray | memoryview):
            self._add_in_memory(bytes(given))
        elif isinstance(given, Image.Image):
            self._add_in_memory(given)
        elif isinstance(given, np.ndarray):
            for pixels in given if given.ndim == 4 else [given]:
                self._add_in_memory(picture(pixels))
        else:
            raise ZooError(f"an image cannot be {_kind(given)}: give {_TAKEN}")

    def _add_in_memory(self, image: Picture) -> None:
        self.images.append((f"image {len(self.images)}", image))

    def _add_path(self, path: Path) -> None:
        if path.is_dir():
            self._add_folder(path)
        elif path.is_file():
            self.images.append((path, path))
        else:
            raise ZooError(f"there is no image {path}: check the path")

    def _add_folder(self, folder: Path) -> None:
        try:
            found = files_below(folder)
        except OSError as error:
            raise ZooError(f"folder {folder} cannot be read ({error.strerror})") from None
        if not (found.paths or found.hidden or found.unreadable):
            raise ZooError(f"folder {folder} is empty: name image files or folders of them")
        for path in found.paths:
            file = folder / path
            if is_image_name(path) or begins_as_image(file):
                self.images.append((file, file))
            else:
                self.bad[file] = "not an image by its name or content"
        for path, why in found.unreadable.items():
            self.bad[folder / path] = f"folder that cannot be listed ({why})"
        self.hidden += found.hidden


def collect(given: Any) -> Asked:
    """The images that are meant by one of them, or by several in a list or batch.

    Raises:
        ZooError: nothing is given, or what is no image; no such file.
    """
    asked = Asked()
    for one in _several(given):
        asked._add(one)
    if not (asked.images or asked.bad or asked.hidden):
        raise ZooError("no images are given: name files or folders")
    return asked


def _several(given: Any) -> Iterator[Any]:
    if isinstance(given, np.ndarray) and given.dtype.kind in "UO":  # paths, or images
        given = given.ravel().tolist()
    one = isinstance(given, str | Path | bytes | bytearray | memoryview | Image.Image | np.ndarray)
    if one:
        yield given
    elif isinstance(given, Iterable) and not isinstance(given, Mapping):
        yield from given
    else:
        raise ZooError(f"images cannot be {_kind(given)}: give {_TAKEN}, or a list of these")


def picture(pixels: np.ndarray) -> Image.Image:
    """Array as an image.

    Args:
        pixels: uint8 of shape (h, w, 3), or grey (h, w).

    Raises:
        ZooError: another type or shape.
    """
    if pixels.dtype != np.uint8:
        hint = "multiply by 255 and use .astype('uint8')" if pixels.dtype.kind == "f" else "convert"
        raise ZooError(f"pixels must be uint8 in 0..255, not {pixels.dtype}: {hint} them first")
    if not pixels.size or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ZooError(
            f"an array must have the shape (H, W, 3), RGB, or (n, H, W, 3), not {pixels.shape}"
        )
    return Image.fromarray(pixels)


def seen(image: Picture, views: Iterable[View]) -> dict[View, np.ndarray]:
    """What networks see of it: for each view, uint8 of shape (size, size, 3).

    Raises:
        BadImageError: no usable image.
    """
    if isinstance(image, Image.Image):
        return see(image, views)
    return decode_views(image, views)


def _kind(given: Any) -> str:
    name = type(given).__name__
    if given is None:
        return "None"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name} ({given!r:.40})"
