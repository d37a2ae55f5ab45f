"""Files that would do harm to those who decode them: programs, devices, endless and huge ones."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data import decode as decoding
from zoo.data.decode import BadImageError, View, decode, decode_views, glance, read_file

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
READERS = {
    "decode": lambda path: decode(path, 32),
    "decode_views": lambda path: decode_views(path, [View(32, "stretch")]),
    "thumbnail": lambda path: glance(path.read_bytes()),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.eps"])
def test_postscript_runs_no_program(tmp_path, monkeypatch, name, reader):
    mark, program = tmp_path / "mark", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (tmp_path / name).write_bytes(POSTSCRIPT)
    with pytest.raises(BadImageError, match="unknown format"):
        READERS[reader](tmp_path / name)
    assert not mark.exists()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pipe, "not a regular file"),
        (link_to_device, "not a regular file"),
        (Path.mkdir, "not a regular file"),
        (sparse, "larger than 1 GiB"),
        (Path.touch, "empty file"),
        (loop, "symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "No such file"),
    ],
    ids=["pipe", "device", "folder", "sparse", "empty", "loop", "dangling"],
)
def test_only_regular_files_of_a_possible_size_are_read(tmp_path, make, reason):
    path = tmp_path / "x.png"
    make(path)
    for read in (read_file, READERS["decode"], READERS["decode_views"]):
        with pytest.raises(BadImageError, match=reason):
            read(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_strips_of_a_transparent_image_are_those_of_the_whole(monkeypatch, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 23, 4), np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    whole = decoding._over_white(image)
    monkeypatch.setattr(decoding, "_STRIP", 23 * 5)
    assert (np.asarray(decoding._over_white(image)) == np.asarray(whole)).all()


def test_strips_of_a_transparent_palette_are_those_of_the_whole(monkeypatch):
    image = Image.fromarray(np.arange(37 * 23, dtype=np.uint16).reshape(37, 23).astype(np.uint8))
    palette = image.convert("RGB").quantize(16)
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=3)
    whole = decode(file.getvalue(), 23)
    monkeypatch.setattr(decoding, "_STRIP", 23 * 5)
    assert (decode(file.getvalue(), 23) == whole).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_strips_of_a_deep_image_are_those_of_the_whole(monkeypatch, dtype):
    values = np.random.default_rng(0).integers(0, 65536, (41, 7)).astype(dtype)
    whole = decoding._to_8_bit(values)
    monkeypatch.setattr(decoding, "_STRIP", 7 * 3)
    assert (decoding._to_8_bit(values) == whole).all()
    assert abs(whole.astype(float) - values / 257.0).max() <= 0.5


@pytest.mark.parametrize("counts", [[30] * 12, [100, 1, 1, 100], [500, 500, 7]])
def test_pixels_decoded_at_a_time_stay_below_the_limit(counts):
    pixels, inside, most = decoding._Pixels(100), [], []

    def work(count: int) -> None:
        with pixels.take(count):
            inside.append(count)
            most.append((sum(inside), len(inside)))
            inside.remove(count)

    threads = [threading.Thread(target=work, args=[count]) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == len(counts)
    assert all(total <= 100 or number == 1 for total, number in most)
