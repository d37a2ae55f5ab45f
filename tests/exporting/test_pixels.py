"""The graph's pixels are those of training, from the file on."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from skimage import data

from zoo.data.decode import decode
from zoo.exporting.pixels import decoded, resized

PHOTO = Image.fromarray(data.chelsea())  # 451 x 300
VIEWS = [(224, "stretch"), (96, "stretch"), (224, "crop"), (96, "pad"), (64, "crop"), (64, "pad")]


def encoded(image: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def with_orientation(value: int, order: str = "<") -> bytes:
    if order == "<":
        exif = Image.Exif()
        exif[0x0112] = value
        return encoded(PHOTO, "JPEG", exif=exif)
    # big-endian, as cameras write it
    ifd = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"MM")
    ifd[0x010F] = "a camera"
    ifd[0x0112] = value
    file = io.BytesIO()
    ifd.save(file)
    body = file.getvalue()
    return encoded(PHOTO, "JPEG", exif=b"Exif\0\0" + body)


def large(kind: str) -> bytes:
    """12 megapixels with noise, which shows every shortcut of a decoder."""
    rng = np.random.default_rng(0)
    pixels = np.asarray(PHOTO.resize((4000, 3000), Image.Resampling.BICUBIC), np.int16)
    pixels = pixels + rng.integers(-20, 21, pixels.shape, np.int16)
    return encoded(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), kind)


def transparent() -> bytes:
    image = PHOTO.convert("RGBA")
    ramp = np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1))
    image.putalpha(Image.fromarray(ramp))
    return encoded(image, "PNG")


FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(PHOTO, "JPEG"),
    "jpeg of 12 megapixels": lambda: large("JPEG"),
    "png of 12 megapixels": lambda: large("PNG"),
    "grey jpeg": lambda: encoded(PHOTO.convert("L"), "JPEG"),
    "cmyk jpeg": lambda: encoded(PHOTO.convert("CMYK"), "JPEG"),
    "png": lambda: encoded(PHOTO, "PNG"),
    "grey png": lambda: encoded(PHOTO.convert("L"), "PNG"),
    "palette png": lambda: encoded(PHOTO.quantize(64), "PNG"),
    "transparent png": transparent,
    "webp": lambda: encoded(PHOTO, "WEBP"),
    "bmp": lambda: encoded(PHOTO, "BMP"),
    "gif": lambda: encoded(PHOTO.quantize(64), "GIF"),
    "tiny": lambda: encoded(PHOTO.resize((17, 9)), "PNG"),
    "narrow": lambda: encoded(PHOTO.resize((900, 11)), "PNG"),
    **{f"orientation {i}": lambda i=i: with_orientation(i) for i in range(1, 9)},
    **{f"orientation {i}, big-endian": lambda i=i: with_orientation(i, ">") for i in (3, 6)},
}


@pytest.fixture(scope="module")
def graphs() -> dict[tuple[int, str], Callable[[bytes], np.ndarray]]:
    import tensorflow as tf

    def graph(size: int, resize: str) -> Callable[[bytes], np.ndarray]:
        @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
        def of_file(content: object) -> object:
            return resized(decoded(content, size)[None], size, resize)[0]

        return lambda content: of_file(tf.constant(content)).numpy()

    return {view: graph(*view) for view in VIEWS}


@pytest.mark.parametrize("name", FILES)
def test_files_give_the_pixels_of_training(
    name: str, graphs: dict[tuple[int, str], Callable[[bytes], np.ndarray]]
) -> None:
    content = FILES[name]()
    for view, graph in graphs.items():
        difference = np.abs(graph(content) - decode(content, *view).astype(np.float32))
        assert difference.max() <= 1, view  # of 255, where Pillow averages boxes first
        assert difference.mean() < 0.3, view


# of simple fractions, sums are often exactly a half; from six times the size on, boxes come first
@pytest.mark.parametrize("side", [(300, 300), (533, 400), (96, 160), (40, 31), (1200, 900)])
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [20, 48, 96, 224, 260])
def test_every_pixel_is_that_of_pillow(side: tuple[int, int], resize: str, size: int) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*side, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(noise[:8, :8]).resize(side[::-1]))
    for pixels in (noise, smooth):
        wanted = decode(encoded(Image.fromarray(pixels), "PNG"), size, resize)
        np.testing.assert_array_equal(resized(pixels[None], size, resize).numpy()[0], wanted)


def test_a_damaged_orientation_is_none(
    graphs: dict[tuple[int, str], Callable[[bytes], np.ndarray]],
) -> None:
    upright = graphs[(96, "stretch")](encoded(PHOTO, "JPEG"))
    content = with_orientation(6)
    start = content.index(b"Exif\0\0") + 6
    rng = np.random.default_rng(0)
    for _ in range(20):
        header = b"II*\0" + rng.integers(0, 256, 22, np.uint8).tobytes()
        damaged = content[:start] + header + content[start + len(header) :]
        assert graphs[(96, "stretch")](damaged).shape == upright.shape


def test_other_resizing_would_be_seen() -> None:
    """The bound above is tight: without antialiasing, pixels differ by far more."""
    import tensorflow as tf

    content = encoded(PHOTO, "PNG")
    plain = tf.image.resize(data.chelsea()[None].astype(np.float32), (96, 96))[0].numpy()
    assert np.abs(plain - decode(content, 96, "stretch")).mean() > 2
