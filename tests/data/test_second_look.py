from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.copies import COPIES, camera, chests, encoded, found, parts
from zoo.data.copies import copies_of
from zoo.data.dataset import Dataset, load
from zoo.data.inspect import inspect
from zoo.data.second_look import largest_differences
from zoo.data.sources import scan
from zoo.errors import ZooError
from zoo.progress import Progress
from zoo.settings import Settings

SIDE = 140
KNOWN = [
    name for name in COPIES if name not in {"turned by 10", "cropped to 90%", "cropped to 98%"}
]


def photos_of_scikit_learn() -> list[Image.Image]:
    """24 photos: squares that do not overlap of scikit-learn's two."""
    return [
        Image.fromarray(photo[y : y + SIDE, x : x + SIDE])
        for photo in load_sample_images().images
        for y in range(0, photo.shape[0] - SIDE + 1, SIDE)
        for x in range(0, photo.shape[1] - SIDE + 1, SIDE)
    ]


def of_folder(folder: Path, **settings: object) -> Dataset:
    return load(Settings.of({"backbone": "cnn", "data": str(folder), **settings}), Progress())


def write(images: list[Image.Image], folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        image.save(folder / f"{number:03d}.png")


@pytest.mark.parametrize("make", [parts, camera, chests])
@pytest.mark.parametrize("count", [30, 80])
def test_different_shots_of_one_scene_are_not_merged(
    make: Callable[[int], list[Image.Image]], count: int
):
    numbers = found([encoded(image) for image in make(count)])
    assert len(set(numbers.tolist())) >= 0.98 * count


@pytest.mark.parametrize("name", KNOWN)
def test_copies_of_photos_are_found_and_joined_with_no_other(name):
    photos = photos_of_scikit_learn()
    n = len(photos)
    numbers = found([*map(encoded, photos), *map(COPIES[name], photos)])
    assert (numbers[:n] == numbers[n:]).mean() >= (0.5 if name == "these together" else 0.7)
    assert len(set(numbers[:n].tolist())) == n


@pytest.mark.parametrize("name", ["half size", "5% brighter"])
def test_copies_among_shots_of_one_scene_are_found(name):
    shots = parts(40)
    numbers = found([*map(encoded, shots), *map(COPIES[name], shots)])
    assert (numbers[:40] == numbers[40:]).mean() >= 0.9


@pytest.mark.parametrize("shift", [(60, 0, -60), (0, 60, 0), (-50, 50, 50)])
def test_images_that_differ_in_colour_alone_are_not_merged(shift):
    grey = np.asarray(photos_of_scikit_learn()[3].convert("L"), np.int16)
    # the same brightness in every pixel, so that grey thumbnails are alike
    weights = np.array([0.299, 0.587, 0.114])
    colour = np.array(shift) - np.dot(weights, shift)
    pictures = [(grey[..., None] + s * colour).clip(0, 255) for s in (0.5, -0.5)]
    files = [encoded(Image.fromarray(p.astype(np.uint8))) for p in pictures]
    assert len(set(found(files).tolist())) == 2


def test_difference_is_that_of_the_most_different_block():
    rng = np.random.default_rng(0)
    image = rng.integers(60, 180, (1, 64, 64, 3)).astype(np.uint8)
    assert max(largest_differences(image, image)) < 1e-3
    lighter = (image * 1.2).round().astype(np.uint8)
    assert max(largest_differences(image, lighter)) < 1
    spotted = image.copy()
    spotted[0, 8:12, 20:24, 1] += 40
    grey, colour = largest_differences(image, spotted)
    assert 30 < colour[0] < 45
    assert 10 < grey[0] < 15


def test_parts_with_and_without_a_scratch_can_be_trained(tmp_path):
    made = parts(60)
    for name, images in (("good", made[::2]), ("scratch", made[1::2])):
        write(images, tmp_path / "parts" / name)
    data = of_folder(tmp_path / "parts")
    assert [len(data.split.rows(n)) for n in ("train", "val", "test")] == [40, 8, 12]


def test_copies_are_counted_and_those_in_two_classes_named(photos):
    root = photos({"a": 12, "b": 12})
    for i in range(6):
        (root / "b" / f"copy{i}.png").write_bytes((root / "a" / f"{i:03d}.png").read_bytes())
    notes = of_folder(root).catalog.notes
    assert "6 images are in the data under different classes: a/000.png (a) and" in notes[0]
    assert "b/copy0.png (b)" in notes[0]
    assert "6 of 30 images are duplicates or near-duplicates of others, in 6 sets" in notes[1]


@pytest.mark.parametrize(("held", "kept"), [("val", 0), ("test", 0), ("test", 4)])
def test_a_split_that_is_a_copy_of_train_is_said(photos, held, kept):
    root = photos({"train/a": 8, "train/b": 8})
    for label in "ab":
        (root / held / label).mkdir(parents=True)
        for i in range(kept if label == "b" else 0, 8):
            content = (root / "train" / label / f"{i:03d}.png").read_bytes()
            (root / held / label / f"{i:03d}.png").write_bytes(content)
    with pytest.raises(ZooError, match="training images are copies of validation or test images"):
        of_folder(root)


def test_where_near_copies_prevent_a_split_the_error_names_them(photos):
    root = photos({"a": 1, "b": 1})
    for label in "ab":
        image = Image.open(root / label / "000.png")
        for i in range(1, 8):
            image.point(lambda v, i=i: int(0.8 * v + 2 * i)).save(root / label / f"{i}.png")
    with pytest.raises(ZooError, match=r"14 of 16 images are .*--no-near-duplicates"):
        of_folder(root)
    assert len(of_folder(root, near_duplicates=False).split.val)


def test_copies_are_remembered_and_found_anew_where_that_is_damaged(photos, tmp_path):
    root = photos({"a": 4, "b": 3})
    half = Image.open(root / "a" / "001.png").resize((32, 24), Image.Resampling.LANCZOS)
    half.save(root / "b" / "half.png")
    catalog = scan(str(root))
    seen = inspect(catalog, Progress())
    first = copies_of(catalog, seen, True, Progress())
    assert len(set(first.tolist())) == 7
    (stored,) = (tmp_path / "cache" / "copies").iterdir()
    for content in (b"", stored.read_bytes()[:-9], b"x" * 100):
        stored.write_bytes(content)
        np.testing.assert_array_equal(copies_of(catalog, seen, True, Progress()), first)
