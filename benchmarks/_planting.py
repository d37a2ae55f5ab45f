"""Data with a planted fault, for `faults.py`."""

from __future__ import annotations

import csv
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter


@dataclass
class Data:
    """Images to plant a fault into: one row each of file, label and split.

    Attributes:
        folder: of the images as they are and of those that are changed.
        case: part of the names of what is written.
        files: one per row.
        labels: objects of shape (n,).
        splits: train, val or test, of shape (n,).
        rng: draws what is changed.
        planted: names of the files whose labels were made wrong.
    """

    folder: Path
    case: str
    files: list[Path]
    labels: np.ndarray
    splits: np.ndarray
    rng: np.random.Generator
    planted: set[str] = field(default_factory=set)

    def rows(self, *splits: str) -> np.ndarray:
        """Rows of these splits."""
        return np.flatnonzero(np.isin(self.splits, splits))

    def draw(self, rows: np.ndarray, share: float) -> np.ndarray:
        """A share of these rows."""
        return self.rng.choice(rows, max(1, round(share * len(rows))), replace=False)

    def change(self, row: int, image: Image.Image) -> None:
        """Write an image in place of a row's file."""
        self.files[row] = self.folder / f"{self.case}-{row:06d}.png"
        image.save(self.files[row])

    def keep(self, rows: np.ndarray) -> None:
        """Drop all other rows."""
        rows = np.sort(rows)
        self.files = [self.files[i] for i in rows]
        self.labels, self.splits = self.labels[rows], self.splits[rows]

    def write(self) -> Path:
        """The manifest of what is there now."""
        manifest = self.folder / f"{self.case}.csv"
        with manifest.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(["path", "label", "split"])
            for file, label, split in zip(self.files, self.labels, self.splits, strict=True):
                writer.writerow([file.relative_to(self.folder), label, split])
        return manifest


def copy_of(source: str, folder: Path, seed: int, count: int) -> Data:
    """Images of a source that were drawn by chance, with the split that zoo gives them.

    Of ELPV only the cells that the experts were sure of, so that its labels are right.

    Args:
        source: elpv, digits, crops or a folder of images.
        folder: to copy them to.
        seed: of the draw.
        count: of images, at most.
    """
    from zoo.data.dataset import load
    from zoo.progress import Progress
    from zoo.settings import Settings

    given = write_crops(folder / "crops") if source == "crops" else source
    # near-duplicates are the nature of 8 px digits and of crops
    near = source not in {"digits", "crops"}
    wanted = {"backbone": "cnn", "data": str(given), "near_duplicates": near}
    dataset = load(Settings.of(wanted), Progress())
    catalog, splits = dataset.catalog, np.full(len(dataset.catalog), "", "<U5")
    for name in ("train", "val", "test"):
        splits[dataset.split.rows(name)] = name
    usable = splits != ""
    if source == "elpv":
        usable &= np.isin(catalog.ids, list(sure_cells()))
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(usable)
    rows = np.sort(rng.permutation(rows)[:count])
    files = []
    for row in rows:
        files.append(folder / f"{row:06d}{catalog.path(int(row)).suffix}")
        if source == "digits":  # of 8 px, which would be a fault of its own
            Image.open(catalog.path(int(row))).resize((40, 40), Image.Resampling.BICUBIC).save(
                files[-1]
            )
        else:
            shutil.copyfile(catalog.path(int(row)), files[-1])
    labels = np.array(catalog.classes, dtype=object)[catalog.labels[rows]]
    return Data(folder, "clean", files, labels, splits[rows], rng)


def sure_cells() -> set[str]:
    """Ids of the cells of ELPV that all experts called functional, or all defective."""
    found = importlib.util.find_spec("elpv_dataset")
    assert found is not None and found.submodule_search_locations
    table = Path(found.submodule_search_locations[0]) / "data" / "labels.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    cells = [row for row in csv.reader(lines, delimiter=" ", skipinitialspace=True) if row]
    return {cell[0] for cell in cells if float(cell[1]) in {0.0, 1.0}}


def write_crops(folder: Path) -> Path:
    """A folder of crops of colour photographs of scikit-image, a class each."""
    from skimage import data

    rng = np.random.default_rng(0)
    for name in ("astronaut", "coffee", "cat", "immunohistochemistry"):
        photo = Image.fromarray(getattr(data, name)()[..., :3])
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(150):
            side = int(rng.integers(100, 220))
            left, top = rng.integers(0, photo.width - side), rng.integers(0, photo.height - side)
            crop = photo.crop((int(left), int(top), int(left) + side, int(top) + side))
            crop.save(folder / name / f"{number:03d}.png")
    return folder


def flip(data: Data, share: float) -> None:
    """Give a share of the training and validation images another label."""
    classes = sorted(set(data.labels))
    for row in data.draw(data.rows("train", "val"), share):
        data.labels[row] = data.rng.choice([c for c in classes if c != data.labels[row]])
        data.planted.add(data.files[row].name)


def pair(data: Data, share: float) -> None:
    """Exchange the labels of a share of the images of two classes."""
    first, second = data.rng.choice(sorted(set(data.labels)), 2, replace=False)
    rows = data.rows("train", "val")
    for row in data.draw(rows[np.isin(data.labels[rows], [first, second])], share):
        data.labels[row] = second if data.labels[row] == first else first
        data.planted.add(data.files[row].name)


def imbalance(data: Data, ratio: float) -> None:
    """Leave one in ``ratio`` training and validation images of every second class."""
    rows, drop = data.rows("train", "val"), []
    most = max(int((data.labels[rows] == c).sum()) for c in set(data.labels))
    for name in sorted(set(data.labels))[::2]:
        own = data.rng.permutation(rows[data.labels[rows] == name])
        drop.append(own[max(8, int(most / ratio)) :])
    data.keep(np.setdiff1d(np.arange(len(data.files)), np.concatenate(drop)))


def cut(data: Data, share: float) -> None:
    """Leave a share of the training images, at least six a class."""
    kept = [data.rows("val", "test")]
    for name in sorted(set(data.labels)):
        own = data.rows("train")[data.labels[data.rows("train")] == name]
        kept.append(data.rng.permutation(own)[: max(6, int(share * len(own)))])
    data.keep(np.concatenate(kept))


def leak(data: Data, share: float) -> None:
    """Put a share of the test images into training, resized and recompressed."""
    for row in data.draw(data.rows("test"), share):
        image = Image.open(data.files[row]).convert("RGB")
        small = image.resize((image.width * 9 // 10, image.height * 9 // 10))
        file = data.folder / f"{data.case}-{row:06d}.jpg"
        small.save(file, quality=70)
        data.files.append(file)
        data.labels = np.append(data.labels, data.labels[row])
        data.splits = np.append(data.splits, "train")


def border(data: Data, share: float) -> None:
    """Give a share of the images of every second class a white border."""
    for name in sorted(set(data.labels))[::2]:
        for row in data.draw(np.flatnonzero(data.labels == name), share):
            image = Image.open(data.files[row]).convert("RGB")
            width = max(1, image.width // 8), max(1, image.height // 8)
            framed = Image.new("RGB", image.size, "white")
            inner = image.width - 2 * width[0], image.height - 2 * width[1]
            framed.paste(image.resize(inner), width)
            data.change(row, framed)


def halve(data: Data, share: float) -> None:
    """Rename a share of the images of the largest class, drawn by chance."""
    names, counts = np.unique(data.labels.astype(str), return_counts=True)
    own = np.flatnonzero(data.labels == names[counts.argmax()])
    data.labels[data.draw(own, share)] = "other half"


def blank(data: Data, share: float) -> None:
    """Replace a share of the training images by one colour each."""
    for row in data.draw(data.rows("train"), share):
        colour = tuple(int(c) for c in data.rng.integers(20, 256, 3))
        data.change(row, Image.new("RGB", (128, 128), colour))


def blur(data: Data, share: float) -> None:
    """Blur a share of the images by 3% of their side."""
    for row in data.draw(np.arange(len(data.files)), share):
        image = Image.open(data.files[row]).convert("RGB")
        data.change(row, image.filter(ImageFilter.GaussianBlur(0.03 * image.width)))


def channels(data: Data, share: float) -> None:
    """Exchange red and blue."""
    _repaint(data, share, lambda pixels: pixels[..., ::-1])


def unscaled(data: Data, share: float) -> None:
    """Store values from 0 to 1 where 0 to 255 are expected."""
    _repaint(data, share, lambda pixels: pixels // 255)


def _repaint(data: Data, share: float, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for row in data.draw(np.arange(len(data.files)), share):
        pixels = change(np.asarray(Image.open(data.files[row]).convert("RGB")))
        data.change(row, Image.fromarray(np.ascontiguousarray(pixels)))


def nothing(data: Data, _strength: float) -> None:
    """Leave the data as it is: the fault is in the settings."""
