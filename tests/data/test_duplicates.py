from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

from zoo.data import builtin
from zoo.data.decode import glance
from zoo.data.duplicates import _agree, _candidates, _flat, _looks, _may_agree, groups
from zoo.data.inspect import Inspection, inspect
from zoo.data.sources import scan
from zoo.progress import Progress

SIDE = 140


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def crops() -> list[Image.Image]:
    """24 photos: squares that do not overlap of scikit-learn's two, two of them plain sky."""
    return [
        Image.fromarray(photo[y : y + SIDE, x : x + SIDE])
        for photo in load_sample_images().images
        for y in range(0, photo.shape[0] - SIDE + 1, SIDE)
        for x in range(0, photo.shape[1] - SIDE + 1, SIDE)
    ]


def seen(contents: list[bytes]) -> Inspection:
    n = len(contents)
    thumbs = np.stack([glance(content)[0] for content in contents])
    digests = np.array([hashlib.sha256(content).hexdigest() for content in contents])
    blank = np.full((n, 5), np.nan)
    return Inspection(digests, thumbs, np.zeros((n, 2), np.int32), np.full(n, ""), blank)


def of_thumbs(thumbs: np.ndarray) -> Inspection:
    n = len(thumbs)
    digests = np.array([f"{i:064d}" for i in range(n)])
    blank = np.full((n, 5), np.nan)
    return Inspection(digests, thumbs, np.zeros((n, 2), np.int32), np.full(n, ""), blank)


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.05)


@pytest.mark.parametrize(
    ("edit", "rate"),
    [
        (lambda image: encoded(image, "JPEG", quality=50), 0.85),
        (lambda image: encoded(image, "WEBP", quality=60), 0.8),
        (lambda image: encoded(half(image)), 0.95),
        (lambda image: encoded(brighter(image)), 0.95),
        (lambda image: encoded(half(brighter(image)), "JPEG", quality=50), 0.75),
    ],
    ids=["JPEG 50", "WebP 60", "half size", "5% brighter", "all three"],
)
def test_near_copies_of_photos_are_grouped_with_their_photo(
    edit: Callable[[Image.Image], bytes], rate: float
):
    photos = crops()
    n = len(photos)
    found = groups(seen([encoded(p) for p in photos] + [edit(p) for p in photos]))
    assert (found[:n] == found[n:]).mean() >= rate
    # and with no other photo
    assert len(set(found[:n])) == n


def test_different_photos_are_not_grouped():
    photos = [encoded(photo) for photo in crops()]
    assert len(set(groups(seen(photos)))) == len(photos)


def test_photos_of_one_scene_with_different_things_in_it_are_not_grouped():
    scene, *things = crops()
    scenes = []
    for thing in things[:12]:
        changed = scene.copy()
        changed.paste(thing.resize((50, 50)), (45, 45))
        scenes.append(encoded(changed))
    assert len(set(groups(seen(scenes)))) == 12


@pytest.mark.skipif(not builtin.elpv_installed(), reason="pip install elpv-dataset")
def test_cells_that_look_much_alike_are_not_grouped_but_their_copies_are():
    catalog = scan("elpv")
    cells = [Image.open(catalog.path(i)).convert("L") for i in range(0, len(catalog), 44)]
    n = len(cells)
    edited = [encoded(half(brighter(cell)), "JPEG", quality=50) for cell in cells]
    found = groups(seen([encoded(cell) for cell in cells] + edited))
    assert len(set(found[:n])) == n
    assert (found[:n] == found[n:]).mean() >= 0.95


def test_equal_contents_are_grouped_with_and_without_near_copies(photos):
    root = photos({"cat": 4, "dog": 3})
    (root / "dog" / "copy.png").write_bytes((root / "cat" / "001.png").read_bytes())
    (root / "dog" / "again.png").write_bytes((root / "cat" / "001.png").read_bytes())
    catalog = scan(str(root))
    looks = inspect(catalog, Progress())
    for near in (True, False):
        found = groups(looks, near=near)
        assert found.dtype == np.int64
        same = [catalog.ids[i] for i in np.flatnonzero(found == found[1])]
        assert same == ["cat/001.png", "dog/again.png", "dog/copy.png"]
        assert len(set(found)) == 7


def test_near_copies_are_left_alone_when_not_wanted():
    photos = crops()[:6]
    both = seen([encoded(p) for p in photos] + [encoded(half(p)) for p in photos])
    assert len(set(groups(both, near=False))) == 12


def test_copies_of_copies_share_one_group():
    rng = np.random.default_rng(0)
    first = rng.integers(60, 180, (16, 16))
    steps = np.stack([first + 16 * i for i in range(5)]).astype(np.uint8)
    assert len(set(groups(of_thumbs(steps[[0, 4]])))) == 2
    assert len(set(groups(of_thumbs(steps)))) == 1


def test_plain_images_are_not_grouped():
    plain = [encoded(Image.new("RGB", (50, 50), (v, v, 255 - v))) for v in range(0, 250, 2)]
    jpegs = [encoded(Image.new("RGB", (50, 50), (v, 90, 90)), "JPEG") for v in range(0, 250, 2)]
    assert len(set(groups(seen(plain + jpegs)))) == len(set(plain + jpegs)) > 240


def test_blank_pages_with_the_same_faint_shade_are_not_grouped():
    pages = np.full((20, 16, 16), 200, np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None]
    pages[:, :, 8:] += 1
    assert len(set(groups(of_thumbs(pages)))) == 20


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_are_grouped(count):
    assert groups(seen([encoded(crops()[0])] * count)).tolist() == [0] * count


def test_thousands_of_images_with_one_hash_give_few_pairs_and_still_all_copies():
    # one pattern at 50 contrasts, each a hundred times: one hash, but not one picture
    rng = np.random.default_rng(0)
    pattern = rng.permutation(256).reshape(16, 16) / 255
    scales = np.repeat(np.linspace(0.3, 1.0, 50), 100)
    thumbs = np.rint(255 * pattern * scales[:, None, None]).astype(np.uint8)
    thumbs = thumbs[rng.permutation(5000)]
    _, brightness, bands = _looks(thumbs)
    # of twelve million; without a bound, three million would agree
    looked_at = sum(len(left) for left, _ in _candidates(brightness, bands))
    assert 4950 * 32 * 4 < looked_at <= 5000 * 32 * 4
    found = groups(of_thumbs(thumbs))
    _, kinds = np.unique(thumbs.reshape(5000, -1), axis=0, return_inverse=True)
    assert all(len(set(found[kinds == kind])) == 1 for kind in range(50))


def varied(count: int) -> np.ndarray:
    """Thumbnails of a few pictures, each as it is, brighter, or more or less noisy."""
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (count // 8, 16, 16))
    noise = rng.normal(size=(count, 16, 16)) * rng.choice([0, 2, 4, 8], count)[:, None, None]
    light = rng.choice([1.0, 1.04, 0.9], count)[:, None, None]
    return np.clip(pictures[rng.integers(0, len(pictures), count)] * light + noise, 0, 255).astype(
        np.uint8
    )


def test_what_agrees_is_never_ruled_out_by_its_coarse_pattern():
    thumbs = varied(200)
    coarse, flat = _looks(thumbs)[0], _flat(thumbs)
    left, right = np.triu_indices(len(thumbs), 1)
    agree, maybe = _agree(flat[left], flat[right]), _may_agree(coarse[left], coarse[right])
    assert (agree <= maybe).all()
    assert 100 < agree.sum() <= maybe.sum() < 0.1 * len(left)


def test_groups_are_those_of_comparing_all_that_share_a_band():
    thumbs = varied(300)
    bands, flat = _looks(thumbs)[2], _flat(thumbs)
    left, right = np.triu_indices(len(thumbs), 1)
    pairs = (bands[left] == bands[right]).any(axis=1) & _agree(flat[left], flat[right])
    wanted = np.arange(len(thumbs))
    for a, b in zip(left[pairs], right[pairs], strict=True):
        wanted[wanted == wanted[b]] = wanted[a]
    found = groups(of_thumbs(thumbs))
    same, really = (numbers[left] == numbers[right] for numbers in (found, wanted))
    np.testing.assert_array_equal(same, really)
    assert 10 < len(set(found)) < 250
    # numbered as they come
    _, first = np.unique(found, return_index=True)
    assert (np.diff(first) > 0).all()
    assert found[0] == 0
