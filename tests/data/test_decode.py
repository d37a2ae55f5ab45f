from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image

from zoo.data.decode import THUMB, BadImageError, decode, glance

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, format, **options)
    return file.getvalue()


def corners(width: int = 48, height: int = 32) -> np.ndarray:
    """Four differently coloured quarters: no two orientations look alike."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = WHITE
    return pixels


def noise(*shape: int, top: int = 256, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(7).integers(0, top, shape, dtype)


# how the EXIF standard says that an upright image is stored
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("JPEG", {"quality": 95})])
def test_exif_orientation_is_turned_upright(orientation, format, options):
    upright = corners()
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(
        np.ascontiguousarray(STORED[orientation](upright)), format, exif=exif, **options
    )
    expected = decode(encoded(upright, "PNG"), 16).astype(int)
    assert np.abs(decode(content, 16).astype(int) - expected).mean() < 4
    small, width, height, _ = glance(content)
    assert (width, height) == (48, 32)
    upright_small = glance(encoded(upright, "PNG"))[0].astype(int)
    assert np.abs(small.astype(int) - upright_small).mean() < 4


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_of_the_asked_size_comes_through_unchanged(format):
    pixels = noise(16, 16, 3)
    result = decode(encoded(pixels, format), 16)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, pixels)


def test_file_and_content_give_the_same_pixels(tmp_path):
    content = encoded(load_sample_image("flower.jpg"), "JPEG")
    (tmp_path / "flower.jpg").write_bytes(content)
    np.testing.assert_array_equal(decode(tmp_path / "flower.jpg", 32), decode(content, 32))


def test_grey_is_repeated_in_three_channels():
    grey = noise(16, 16)
    np.testing.assert_array_equal(decode(encoded(grey, "PNG"), 16), np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [("RGBA", (200, 100, 0), (200, 100, 0)), ("LA", (60,), (60, 60, 60))],
)
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_alpha_is_laid_over_white(mode, colour, seen, format):
    image = Image.new(mode, (3, 3))
    for column, alpha in enumerate((0, 128, 255)):
        for row in range(3):
            image.putpixel((column, row), (*colour, alpha))
    clear, half, solid = decode(encoded(image, format, lossless=True), 3)[1].astype(int)
    np.testing.assert_array_equal(clear, WHITE)
    np.testing.assert_allclose(half, (np.array(seen) + 255) / 2, atol=1)
    np.testing.assert_array_equal(solid, seen)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_a_transparent_colour_is_white(mode):
    colour = {"1": 0, "L": 10, "RGB": (10, 20, 30), "P": 0}[mode]
    image = Image.new(mode, (4, 4), colour)
    assert (decode(encoded(image, "PNG"), 4) < 255).any()
    assert (decode(encoded(image, "PNG", transparency=colour), 4) == 255).all()


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_palette_colours_are_looked_up(format):
    image = Image.fromarray(noise(16, 16, 3)).quantize(64)
    np.testing.assert_array_equal(decode(encoded(image, format), 16), image.convert("RGB"))


def test_transparent_part_of_a_gif_is_white_and_the_rest_as_it_was():
    image = Image.fromarray(corners(16, 16)).quantize(4)
    red = image.getpixel((0, 0))
    pixels = decode(encoded(image, "GIF", transparency=red), 16)
    assert (pixels[:8, :8] == 255).all()
    np.testing.assert_array_equal(pixels[:8, 8:], corners(16, 16)[:8, 8:])


def test_cmyk_jpeg_has_the_colours_of_the_rgb_image():
    photo = Image.fromarray(load_sample_image("flower.jpg"))
    cmyk = decode(encoded(photo.convert("CMYK"), "JPEG", quality=95), 64).astype(int)
    rgb = decode(encoded(photo, "PNG"), 64).astype(int)
    assert np.abs(cmyk - rgb).mean() < 3


@pytest.mark.parametrize(
    ("values", "format", "expected"),
    [
        (np.array([[0, 257 * 200, 65535]], np.uint16), "PNG", [0, 200, 255]),
        (np.array([[0, 257 * 200, 65535]], np.uint16), "TIFF", [0, 200, 255]),
        (np.array([[0, 257 * 200, 65535]], np.int32), "TIFF", [0, 200, 255]),
        (np.array([[0, 100, 255]], np.int32), "TIFF", [0, 100, 255]),
        (np.array([[0.0, 0.2, 1.0]], np.float32), "TIFF", [0, 51, 255]),
        (np.array([[-5.0, 51.4, 255.0]], np.float32), "TIFF", [0, 51, 255]),
        (np.array([[np.nan, 0.2, 1.0]], np.float32), "TIFF", [0, 51, 255]),
        (np.array([[-np.inf, 0.2, 1.0]], np.float32), "TIFF", [0, 51, 255]),
    ],
    ids=["16 bit PNG", "16 bit TIFF", "32 bit wide", "32 bit", "0..1", "0..255", "NaN", "-inf"],
)
def test_deep_grey_keeps_its_full_scale(values, format, expected):
    content = encoded(np.repeat(values, 3, axis=0), format)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        pixels = decode(content, 3)
    np.testing.assert_array_equal(pixels[0], np.array([expected] * 3).T)


def test_16_bit_big_endian_grey_is_read():
    content = b"P5 3 3 65535\n" + np.array([0, 51400, 65535] * 3, ">u2").tobytes()
    np.testing.assert_array_equal(decode(content, 3)[0, :, 0], [0, 200, 255])


def test_one_bit_is_black_and_white():
    bits = noise(16, 16, top=2).astype(bool)
    np.testing.assert_array_equal(decode(encoded(bits, "PNG"), 16)[..., 1], np.uint8(bits) * 255)


def test_webp_is_read():
    pixels = noise(16, 16, 3)
    np.testing.assert_array_equal(decode(encoded(pixels, "WEBP", lossless=True), 16), pixels)
    photo = load_sample_image("flower.jpg")
    lossy = decode(encoded(photo, "WEBP"), 64).astype(int)
    assert np.abs(lossy - decode(encoded(photo, "PNG"), 64).astype(int)).mean() < 3


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation_counts(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    content = encoded(
        frames[0], format, save_all=True, append_images=frames[1:], lossless=True, duration=50
    )
    assert Image.open(io.BytesIO(content)).n_frames == 3
    assert (decode(content, 8) == RED).all()


def framed() -> bytes:
    """An image of 80 x 40 px: a middle square, red above blue, between green edges."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:] = GREEN
    pixels[:20, 20:60] = RED
    pixels[20:, 20:60] = BLUE
    return encoded(pixels, "PNG")


def test_stretch_shows_the_whole_image_in_the_square():
    pixels = decode(framed(), 40, "stretch")
    np.testing.assert_array_equal(pixels[5, [3, 20, 36]], [GREEN, RED, GREEN])
    np.testing.assert_array_equal(pixels[35, [3, 20, 36]], [GREEN, BLUE, GREEN])


def test_crop_shows_the_middle_square_only():
    pixels = decode(framed(), 20, "crop")
    np.testing.assert_array_equal(pixels[3, [1, 10, 18]], [RED] * 3)
    np.testing.assert_array_equal(pixels[16, [1, 10, 18]], [BLUE] * 3)


def test_pad_shows_all_in_proportion_between_black_borders():
    pixels = decode(framed(), 40, "pad")
    assert (pixels[:10] == 0).all()
    assert (pixels[30:] == 0).all()
    np.testing.assert_array_equal(pixels[13, [3, 20, 36]], [GREEN, RED, GREEN])
    np.testing.assert_array_equal(pixels[26, [3, 20, 36]], [GREEN, BLUE, GREEN])
    upright = decode(encoded(np.rot90(Image.open(io.BytesIO(framed()))), "PNG"), 40, "pad")
    np.testing.assert_array_equal(upright, np.rot90(pixels))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 999, 3), (999, 1, 3), (700, 3, 3)])
def test_any_proportion_fits(resize, shape):
    for format in ("PNG", "JPEG"):
        assert decode(encoded(noise(*shape), format), 16, resize).shape == (16, 16, 3)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_large_jpeg_decoded_at_reduced_scale_agrees_with_full_decoding(resize):
    photo = Image.fromarray(load_sample_image("china.jpg")).resize((1920, 1281))
    content = encoded(photo, "JPEG", quality=92)
    fully_decoded = encoded(Image.open(io.BytesIO(content)), "PNG", compress_level=1)
    fast, full = (decode(c, 96, resize).astype(int) for c in (content, fully_decoded))
    assert np.abs(fast - full).mean() < 2.5
    assert abs((fast - full).mean()) < 0.5
    assert np.quantile(np.abs(fast - full), 0.999) < 25


def test_thumbnail_is_small_grey_and_tells_the_true_size():
    small, width, height, _ = glance(encoded(load_sample_image("china.jpg"), "JPEG"))
    assert (small.shape, small.dtype) == ((THUMB, THUMB), np.uint8)
    assert (width, height) == (640, 427)
    full = Image.fromarray(load_sample_image("china.jpg")).convert("L")
    exact = np.asarray(full.resize((THUMB, THUMB), Image.Resampling.BILINEAR), int)
    assert np.abs(small - exact).mean() < 1


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + checksum + b"\0\0\xff\xffIDAT"


PHOTO = load_sample_image("flower.jpg")[:96, :128]
JPEG, PNG = encoded(PHOTO, "JPEG"), encoded(PHOTO, "PNG")
NOT_IMAGES = {
    "truncated JPEG": (JPEG[:-200], "truncated"),
    "truncated PNG": (PNG[: len(PNG) // 2], "truncated"),
    "header only": (png_header(64, 64), "truncated"),
    "text": (b"these are words, no pixels\n" * 20, "not an image"),
    "empty": (b"", "not an image"),
    "random": (np.random.default_rng(0).bytes(2000), "not an image"),
    "huge": (png_header(60_000, 60_000), "too large"),
    "missing file": (Path("/nowhere/x.jpg"), "No such file"),
    "folder": (Path("/"), "not a regular file"),
}


@pytest.mark.parametrize(("content", "reason"), NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_what_is_no_image_gives_the_reason(content, reason):
    with pytest.raises(BadImageError, match=reason):
        decode(content, 16)
    if isinstance(content, bytes):
        with pytest.raises(BadImageError, match=reason):
            glance(content)


def test_damaged_checksum_is_named_as_damage():
    broken = bytearray(PNG)
    broken[PNG.index(b"IDAT") + 40] ^= 0xFF
    with pytest.raises(BadImageError, match=r"damaged|broken|truncated"):
        decode(bytes(broken), 16)


def test_decoding_in_threads_leaves_the_warning_filters_alone():
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: decode(JPEG, 16), range(200)))
    assert list(warnings.filters) == before


BASES = (
    JPEG,
    encoded(PHOTO, "JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0"),
    PNG,
    encoded(Image.fromarray(PHOTO).quantize(16), "PNG", transparency=3),
    encoded(Image.fromarray(PHOTO).quantize(16), "GIF"),
    encoded(PHOTO, "WEBP"),
    encoded(PHOTO[:24, :24], "TIFF", compression="tiff_lzw"),
    encoded(PHOTO[:24, :24], "BMP"),
)


@st.composite
def damaged_images(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(BASES)))
    # half of the damage hits the headers, where decoders go wrong in more ways
    places = st.one_of(st.integers(0, 63), st.integers(0, len(content) - 1))
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=12)):
        content[place] = value
    start = draw(st.one_of(st.just(0), st.integers(0, 16)))
    end = draw(st.one_of(st.just(len(content)), st.integers(start, len(content))))
    return bytes(content[start:end])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # pytest undoes the filter of decode
@settings(max_examples=400)
@given(
    content=st.one_of(st.binary(max_size=200), damaged_images()),
    resize=st.sampled_from(["stretch", "crop", "pad"]),
)
def test_any_content_gives_an_image_or_a_reason(content, resize):
    try:
        pixels = decode(content, 16, resize)
    except BadImageError as error:
        assert str(error)
    else:
        assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
    try:
        small, width, height, _ = glance(content)
    except BadImageError as error:
        assert str(error)
    else:
        assert (small.shape, small.dtype) == ((THUMB, THUMB), np.uint8)
        assert width > 0
        assert height > 0
