"""How many different images are merged as copies, and how many copies are missed.

    python benchmarks/copies.py [--data NAME=FOLDER ...] [--most 200]

Without arguments on ELPV, scikit-learn's digits, generated parts with and without a scratch, shots
of a fixed camera with and without an object, and generated images like chest X-rays; ``--data``
adds folders of one's own. Prints, for each set, the share of images that are merged with another,
and for each kind of copy the share that is not found; then the same of ``zoo diagnose``, which lays
images over each other. Takes about four minutes of one core.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from zoo.data.decode import THUMB, decode, glance
from zoo.data.duplicates import groups
from zoo.data.inspect import Inspection
from zoo.data.second_look import LOOK
from zoo.diagnosis.alignment import align, look_at
from zoo.diagnosis.altered_copies import is_copy, largest_residual


def encoded(image: Image.Image, format: str = "PNG", **options: int) -> bytes:
    """The image as a file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _half(image: Image.Image) -> Image.Image:
    return image.resize((max(image.width // 2, 8), max(image.height // 2, 8)), 1)


def _brighter(image: Image.Image, factor: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(factor)


def _crop(image: Image.Image, share: float) -> Image.Image:
    x, y = (side * (1 - share) / 2 for side in image.size)
    return image.crop((int(x), int(y), int(image.width - x), int(image.height - y)))


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG 50": lambda i: encoded(i, "JPEG", quality=50),
    "WebP 60": lambda i: encoded(i, "WEBP", quality=60),
    "half size": lambda i: encoded(_half(i)),
    "5% brighter": lambda i: encoded(_brighter(i, 1.05)),
    "these together": lambda i: encoded(_half(_brighter(i, 1.05)), "JPEG", quality=50),
    "20% brighter": lambda i: encoded(_brighter(i, 1.2)),
    "20% darker": lambda i: encoded(_brighter(i, 0.8)),
    "mirrored": lambda i: encoded(i.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "upside down": lambda i: encoded(i.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
    "turned by 90": lambda i: encoded(i.transpose(Image.Transpose.ROTATE_90)),
    "turned by 10": lambda i: encoded(i.rotate(10)),
    "cropped to 90%": lambda i: encoded(_crop(i, 0.9)),
    "cropped to 98%": lambda i: encoded(_crop(i, 0.98)),
}


def _shifted(image: Image.Image) -> Image.Image:
    moves = (1, 0, 0.1 * image.width, 0, 1, -0.07 * image.height)
    return image.transform(image.size, Image.Transform.AFFINE, moves)


def _turned(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC)


# what only `zoo diagnose` looks for
ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "turned by 10": lambda i: _turned(i, 10),
    "mirrored, turned by 12": lambda i: _turned(i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 12),
    "turned by 9, 20% brighter": lambda i: _brighter(_turned(i, -9), 1.2),
    "cropped to 98%": lambda i: _crop(i, 0.98),
    "cropped to 90%": lambda i: _crop(i, 0.9),
    "cropped to 80%, turned by 5": lambda i: _crop(_turned(i, 5), 0.8),
    "shifted by a tenth": _shifted,
}


def parts(count: int, seed: int = 0) -> list[Image.Image]:
    """Machined rings in one fixture, every second with a scratch; camera noise is 4 levels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:240, :240]
    radius = np.hypot(x - 120, y - 120)
    plain = np.where((radius > 30) & (radius < 90), 150.0, 55.0)
    images = []
    for number in range(count):
        image = plain + rng.normal(0, 4, plain.shape)
        if number % 2:
            start, angle = rng.uniform(70, 170, 2), rng.uniform(0, np.pi)
            for step in np.linspace(0, rng.integers(15, 40), 80):
                row, column = (start + step * np.array([np.sin(angle), np.cos(angle)])).astype(int)
                image[row : row + 2, column : column + 2] = 220
        images.append(Image.fromarray(image.clip(0, 255).astype(np.uint8)))
    return images


def camera(count: int, seed: int = 0) -> list[Image.Image]:
    """A coloured scene of a fixed camera, every second with one object; noise is 3 levels."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(20, 235, (9, 12, 3), np.uint8))
    scene = np.asarray(blobs.resize((320, 240), Image.Resampling.BICUBIC), float)
    images = []
    for number in range(count):
        image = scene + rng.normal(0, 3, scene.shape)
        if number % 2:
            row, column = rng.integers(0, 220), rng.integers(0, 300)
            image[row : row + 14, column : column + 14] = rng.integers(0, 255, 3)
        file = encoded(Image.fromarray(image.clip(0, 255).astype(np.uint8)), "JPEG", quality=92)
        images.append(Image.open(io.BytesIO(file)).copy())
    return images


def chests(count: int, seed: int = 0) -> list[Image.Image]:
    """Two dark lungs with ribs in a bright body, each of another build; noise is 3 levels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    images = []
    for _ in range(count):
        width, height, gap = 1 + rng.normal(0, 0.06, 3)
        image = 170 - 60 * (x**2 + y**2)
        for side in (-1, 1):
            lung = ((x - side * 0.38 * gap) / (0.27 * width)) ** 2 + (y / (0.6 * height)) ** 2
            image -= 80 / (1 + np.exp(12 * (lung - 1)))
        ribs = np.sin(y * rng.uniform(24, 28) + np.abs(x) * 4 + rng.uniform(0, 0.6))
        image += 9 * ribs * (np.abs(x) < 0.8)
        heart = ((x - 0.12) / 0.25) ** 2 + ((y - 0.3) / rng.uniform(0.25, 0.4)) ** 2
        image += 60 / (1 + np.exp(12 * (heart - 1))) + rng.normal(0, 3, image.shape)
        images.append(Image.fromarray(image.clip(0, 255).astype(np.uint8)))
    return images


def of_source(source: str, most: int) -> list[Image.Image]:
    """Images of a data set, spread evenly over it."""
    from zoo.data.sources import scan

    catalog = scan(source)
    rows = np.unique(np.linspace(0, len(catalog) - 1, most).astype(int))
    images = [Image.open(catalog.path(row)) for row in rows]
    return [image.convert("L" if image.mode == "L" else "RGB") for image in images]


def found(contents: Sequence[bytes]) -> np.ndarray:
    """Group number of each file."""
    n = len(contents)
    thumbs = np.stack([glance(content)[0] for content in contents])
    assert thumbs.shape[1:] == (THUMB, THUMB)
    digests = np.array([hashlib.sha256(content).hexdigest() for content in contents])
    blank = np.full((n, 5), np.nan)
    seen = Inspection(digests, thumbs, np.zeros((n, 2), np.int32), np.full(n, ""), blank)
    return groups(seen, look=lambda rows: np.stack([decode(contents[i], LOOK) for i in rows]))


def measure(images: list[Image.Image]) -> dict[str, float]:
    """Share of images merged with another one, and share of copies of each kind that is missed."""
    files = [encoded(image) for image in images]
    alone = found(files)
    rates = {"different images merged": float((np.bincount(alone)[alone] > 1).mean())}
    for name, edit in COPIES.items():
        numbers = found([*files, *map(edit, images)])
        rates[name] = float((numbers[: len(files)] != numbers[len(files) :]).mean())
    return rates


def measure_altered(images: list[Image.Image]) -> dict[str, float]:
    """Share of different images taken for altered copies, and share of such copies missed.

    Each image is laid over the three of the set that are most similar, and over its copies.
    """
    looks = [look_at(image) for image in images]
    flat = np.stack([x.reshape(12, 8, 12, 8).mean(axis=(1, 3)).ravel() for x in looks])
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    similar = np.argsort(-(flat @ flat.T - 3 * np.eye(len(flat))), axis=1)
    control = [align(x, [looks[j]])[0].residual for x, j in zip(looks, similar[:, 19], strict=True)]
    limit = largest_residual(np.array(control))
    wrong = [
        any(is_copy(found, limit) for found in align(x, [looks[j] for j in near[:3]]))
        for x, near in zip(looks, similar, strict=True)
    ]
    rates = {
        "residual of a copy (at most)": limit,
        "different images taken for copies": float(np.mean(wrong)),
    }
    for name, edit in ALTERED.items():
        found = [align(look_at(edit(i)), [x])[0] for i, x in zip(images, looks, strict=True)]
        rates[name] = float(np.mean([not is_copy(one, limit) for one in found]))
    return rates


def print_rates(rates: dict[str, dict[str, float]]) -> None:
    """One column for each data set, one row for each figure."""
    print("\n| |", " | ".join(rates), "|")
    print("| --- |", " --: |" * len(rates))
    for name in next(iter(rates.values())):
        own = [rate[name] for rate in rates.values()]
        known = name.startswith(("different", "residual"))
        cells = [f"{x:.1f}" if name.startswith("residual") else f"{100 * x:.1f}%" for x in own]
        print(f"| {name if known else f'missed: {name}'} |", " | ".join(cells), "|")


def main() -> None:
    """Measure and print all sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--most", type=int, default=200, help="images of a set")
    given = parser.parse_args()
    sets = {name: of_source(name, given.most) for name in ("elpv", "digits")}
    for pair in given.data:
        name, _, folder = pair.partition("=")
        sets[name] = of_source(str(Path(folder)), given.most)
    sets |= {"parts": parts(given.most), "camera": camera(given.most), "chests": chests(given.most)}
    named = {f"{name} ({len(images)})": images for name, images in sets.items()}
    print_rates({name: measure(images) for name, images in named.items()})
    print_rates({name: measure_altered(images) for name, images in named.items()})


if __name__ == "__main__":
    main()
