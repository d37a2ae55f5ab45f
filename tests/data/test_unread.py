"""Files that are no image to Pillow: the reason says what they are and what to do."""

from __future__ import annotations

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from zoo.data import decode as decoding
from zoo.data.decode import BadImageError, decode


def heif(major: bytes, *brands: bytes) -> bytes:
    """The beginning of a file of ISO media of these brands, and noise."""
    box = b"ftyp" + major + bytes(4) + b"".join(brands)
    return struct.pack(">I", 4 + len(box)) + box + np.random.default_rng(0).bytes(400)


def tiff(samples: int, bits: int, kind: int) -> bytes:
    """A TIFF of 4 x 4 pixels of zeros, its channels interleaved."""
    size = 16 * samples * bits // 8
    tags = [(256, 4, 4), (257, 4, 4), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8)]
    tags += [(277, 3, samples), (278, 4, 4), (279, 4, size), (339, 3, kind)]
    entries = b"".join(struct.pack("<HHII", tag, t, 1, value) for tag, t, value in tags)
    end = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + size) + bytes(size) + end


@pytest.fixture
def no_heif(monkeypatch):
    """As where pillow-heif is not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    decoding._formats.cache_clear()
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    yield
    decoding._formats.cache_clear()


@pytest.mark.parametrize(
    "content",
    [
        heif(b"heic", b"mif1", b"heic"),
        heif(b"mif1", b"mif1", b"heic"),
        heif(b"mif1", b"miaf"),
        heif(b"msf1", b"hevc"),
        heif(b"heix"),
    ],
)
def test_heic_is_named_and_what_to_install(no_heif, content):
    with pytest.raises(BadImageError, match="HEIC image, which needs pillow-heif: pip install"):
        decode(content, 8)


def test_films_and_damaged_avif_are_not_called_heic(no_heif):
    for content in (heif(b"isom", b"mp42"), heif(b"mif1", b"avif"), heif(b"qt  ")):
        with pytest.raises(BadImageError) as caught:
            decode(content, 8)
        assert "HEIC" not in str(caught.value)


@pytest.mark.parametrize(
    ("samples", "bits", "kind", "words"),
    [
        (13, 16, 1, "a TIFF of 13 channels of 16 bits: three are read"),
        (13, 8, 1, "a TIFF of 13 channels of 8 bits: three are read"),
        (1, 64, 3, "a TIFF of one channel of 64-bit floats, which is not read"),
        (2, 32, 3, "a TIFF of 2 channels of 32-bit floats, which is not read"),
    ],
)
def test_tiffs_beyond_pillow_say_what_is_in_them(samples, bits, kind, words, capfd):
    with pytest.raises(BadImageError, match=words) as caught:
        decode(tiff(samples, bits, kind), 8)
    assert len(str(caught.value)) < 120  # the longest that an inspection keeps
    assert capfd.readouterr().err == ""


def test_heic_is_read_where_pillow_heif_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif")
    decoding._formats.cache_clear()
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 32:] = (250, 120, 20)
    out = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(out, quality=95)
    seen = decode(out.getvalue(), 64).astype(int)
    assert np.abs(seen - pixels).mean() < 4
    with pytest.raises(BadImageError):
        decode(out.getvalue()[:-200], 64)
