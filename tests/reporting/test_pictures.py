"""Pictures stay small and few, and overlays lie where the network looked."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from zoo.reporting import featuremap, pictures
from zoo.reporting.pictures import SIDE, Album, unsquared


def opened(picture):
    kind, content = picture.data.split(";base64,")
    assert kind.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_large_images_are_made_small_and_tiny_ones_are_kept(tmp_path):
    Image.effect_noise((1200, 600), 60).save(tmp_path / "large.jpg")
    tiny = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))
    tiny.save(tmp_path / "tiny.png")
    album = Album(tmp_path)
    album.read(["large.jpg", "tiny.png", "gone.png", "large.jpg"])
    assert opened(album.get("large.jpg")).size == (SIDE, SIDE // 2)
    assert np.array_equal(np.asarray(opened(album.get("tiny.png"))), np.asarray(tiny))
    assert album.get("tiny.png").small
    assert not album.get("large.jpg").small
    assert album.get("gone.png") is None
    assert album.missing == {"gone.png": "No such file or directory"}


def test_there_is_an_end_to_pictures(tmp_path, monkeypatch):
    for i in range(6):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(pictures, "MOST", 4)
    album = Album(tmp_path)
    album.read(f"{i}.png" for i in range(6))
    assert len(album.all) == 4
    assert len({picture.name for picture in album.all}) == 4


@pytest.mark.parametrize("aspect", [2.0, 0.5])
def test_overlays_cover_what_the_network_saw(aspect):
    heat = np.ones((7, 7), np.float32)
    whole = unsquared(heat, aspect, "stretch")
    assert whole.shape == ((12, 24) if aspect > 1 else (24, 12))
    assert whole.min() == 1
    cropped = unsquared(heat, aspect, "crop")
    assert cropped.shape == whole.shape
    long = cropped.max(axis=0 if aspect > 1 else 1)
    assert long[:6].max() == 0
    assert long[6:18].min() == 1
    assert long[18:].max() == 0
    # of a padded square only the middle shows the image
    middle = np.zeros((8, 8), np.float32)
    middle[(slice(2, 6), slice(None)) if aspect > 1 else (slice(None), slice(2, 6))] = 1
    padded = unsquared(middle, aspect, "pad")
    assert padded.shape == whole.shape
    assert padded.mean() > 0.85


def test_an_image_of_one_row_is_a_picture(tmp_path):
    Image.new("RGB", (900, 1), "red").save(tmp_path / "line.png")
    album = Album(tmp_path)
    album.read(["line.png"])
    album.overlay("line.png", "s0", np.ones((4, 4), np.float32), "pad")
    assert [picture.height for picture in album.all] == [1, 1]


def test_the_map_keeps_groups_together():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 20, (3, 40))
    group = np.repeat([0, 1, 2], 40)
    points, method = featuremap.layout((centres[group] + rng.normal(0, 1, (120, 40))).astype("f4"))
    assert method.startswith("t-SNE")
    assert points.min() == 0
    assert points.max() == 1
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (group[apart.argmin(axis=1)] == group).all()


def test_few_images_and_constant_features_have_a_map_too():
    points, method = featuremap.layout(np.ones((5, 8), np.float32))
    assert method == "principal components"
    assert np.isfinite(points).all()
    points, _ = featuremap.layout(np.arange(40, dtype=np.float32)[:, None])
    assert points.shape == (40, 2)
    assert len(featuremap.chosen_rows(10_000)) == featuremap.MOST
