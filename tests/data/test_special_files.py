from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from zoo.data.decode import (
    MOST_BYTES,
    BadImageError,
    View,
    decode,
    decode_views,
    glance,
    read_file,
    upright,
)
from zoo.data.inspect import inspect
from zoo.data.sources import scan
from zoo.progress import Progress

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
DOS_EPS = struct.pack("<4sIIIIIIH", b"\xc5\xd0\xd3\xc6", 32, len(POSTSCRIPT), 0, 0, 0, 0, 0xFFFF)
PLACEABLE_WMF = b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<hhhhH", 0, 0, 64, 64, 1440) + bytes(6)
NOT_READ = {
    "PostScript": POSTSCRIPT,
    "PostScript with a preview": DOS_EPS.ljust(32, b"\0") + POSTSCRIPT,
    "PostScript after a blank line": b"\n" + POSTSCRIPT,
    "PDF": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n%%EOF\n",
    "Windows metafile": PLACEABLE_WMF + b"\x01\0\x09\0" + bytes(40),
    "FITS": b"SIMPLE  =                    T".ljust(2880),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "GRIB": b"GRIB" + bytes(3) + b"\x01" + bytes(64),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "X bitmap": b"#define a_width 8\n#define a_height 8\nstatic char a_bits[] = {\n0x00};\n",
}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Programs that Pillow may start leave a file; gives its path."""
    mark = tmp_path / "started"
    (tmp_path / "bin").mkdir()
    for name in ("gs", "gswin64c", "djpeg", "convert", "xv"):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return mark


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".eps", ".tif", ""])
@pytest.mark.parametrize("content", NOT_READ.values(), ids=NOT_READ)
def test_a_format_that_is_not_of_images_alone_is_never_opened(content, suffix, tmp_path, programs):
    file = tmp_path / f"x{suffix}"
    file.write_bytes(content)
    views = [View(16, "stretch")]
    calls = [
        lambda: decode(file, 16),
        lambda: glance(content),
        lambda: decode_views(file, views),
        lambda: upright(file, 16),
    ]
    for call in calls:
        with pytest.raises(BadImageError, match="not an image"):
            call()
    assert not programs.exists()


def test_a_name_does_not_decide_the_format(tmp_path):
    file = tmp_path / "really_a_png.jpg"
    Image.new("RGB", (8, 8), (255, 0, 0)).save(file, "PNG")
    assert (decode(file, 4) == (255, 0, 0)).all()


def special(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe.png")
    (folder / "linked_pipe.png").symlink_to("pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "null.png").symlink_to("/dev/null")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "folder.png").mkdir()
    for name, size in (("tera", 1 << 40), ("giga", 2 << 30), ("limit", MOST_BYTES + 1)):
        with (folder / f"{name}.png").open("wb") as file:
            file.truncate(size)
    return {path.stem: path for path in folder.iterdir()}


SPECIAL = {
    "pipe": "not a regular file",
    "linked_pipe": "not a regular file",
    "zero": "not a regular file",
    "null": "not a regular file",
    "folder": "not a regular file",
    "loop": "symbolic links",
    "dangling": "No such file",
    "tera": "larger than 1 GiB",
    "giga": "larger than 1 GiB",
    "limit": "larger than 1 GiB",
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_only_regular_files_below_the_limit_are_read(kind, tmp_path):
    file = special(tmp_path)[kind]
    for call in (
        lambda: read_file(file),
        lambda: decode(file, 16),
        lambda: upright(file, 16),
        lambda: decode_views(file, [View(16, "crop")]),
    ):
        with pytest.raises(BadImageError, match=SPECIAL[kind]):
            call()


def test_special_files_in_a_folder_of_images_are_reported_one_by_one(photos):
    root = photos({"cat": 3, "dog": 3})
    special(root / "cat")
    catalog = scan(str(root))
    reasons = dict(zip(catalog.ids, inspect(catalog, Progress()).reasons, strict=True))
    bad = {Path(name).stem: reason for name, reason in reasons.items() if reason}
    assert all(SPECIAL[name] in reason for name, reason in bad.items())
    assert bad.keys() == SPECIAL.keys() - {"folder"}


def png(width: int, height: int, bits: int, kind: int, value: int) -> bytes:
    """A PNG of one colour, made a row at a time. ``kind``: 0 grey, 2 RGB, 4 grey+alpha, 6 RGBA."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    row = b"\0" + bytes([value]) * (width * channels * bits // 8)
    packer = zlib.compressobj(6)
    data = b"".join([packer.compress(row) for _ in range(height)]) + packer.flush()

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


LIMITED = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zoo.data import decode as decoding
from zoo.data.decode import decode, glance

decoding._decoding = decoding._Pixels(20 << 20)
decode(Path(sys.argv[1]), 8)  # whatever is loaded on first use
with ThreadPoolExecutor(6) as pool:
    list(pool.map(lambda _: sum(range(10**5)), range(60)))  # and the stacks of threads
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (450 << 20),) * 2)
    files = [Path(sys.argv[2])] * 6
    for row in pool.map(lambda f: decode(f, 8), files):
        print(row.mean())
    for row in pool.map(lambda f: glance(f.read_bytes())[0], files):
        print(row.mean())
"""
BIG = {
    "RGBA": png(4500, 4500, 8, 6, 200),
    "16-bit grey": png(4500, 4500, 16, 0, 200),
    "grey with transparency": png(4500, 4500, 8, 4, 200),
    "16-bit RGBA": png(4500, 4500, 16, 6, 200),
    "RGB": png(4500, 4500, 8, 2, 200),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space by /proc")
@pytest.mark.parametrize("content", BIG.values(), ids=BIG)
def test_memory_of_images_decoded_at_once_is_bounded(content, tmp_path):
    """Six of them in flight would take twice what the process is given."""
    (tmp_path / "small.png").write_bytes(png(8, 8, 8, 6, 200))
    (tmp_path / "big.png").write_bytes(content)
    command = [sys.executable, "-c", LIMITED, tmp_path / "small.png", tmp_path / "big.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert len(set(done.stdout.split())) <= 2


def webp_header(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_header(width: int, height: int) -> bytes:
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, 100)]
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(4)


HUGE = {
    "PNG": png(1, 1, 8, 0, 0)[:16] + struct.pack(">II", 60_000, 60_000) + bytes(40),
    "WebP": webp_header(16_000, 16_000),
    "WebP of the format's largest size": webp_header(1 << 24, 1 << 24),
    "TIFF": tiff_header(40_000, 40_000),
    "BMP": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 50_000, 50_000, 1, 24, *[0] * 6),
    "PPM": b"P6 50000 50000 255\n",
    "GIF": b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b"," + bytes(20),
}


@pytest.mark.parametrize("content", HUGE.values(), ids=HUGE)
def test_a_header_that_declares_too_much_is_refused_before_anything_is_allocated(content):
    for call in (lambda: decode(content, 16), lambda: glance(content)):
        with pytest.raises(BadImageError, match=r"too large|not an image"):
            call()


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0"}])
@pytest.mark.parametrize("size", [(1, 1), (17, 300), (300, 17)])
def test_the_size_of_a_webp_is_known_from_its_header(size, options):
    from zoo.data.decode import _webp_canvas

    file = io.BytesIO()
    Image.new("RGB", size).save(file, "WEBP", **options)
    assert _webp_canvas(file.getvalue()) == size
    assert _webp_canvas(file.getvalue()[:20]) == (0, 0)
