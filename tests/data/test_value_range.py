"""Images of more than 8 bits: one range of values for a data set, kept with its runs."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from zoo.data.dataset import load
from zoo.data.decode import View, decode, decode_views
from zoo.data.prepare import prepare
from zoo.data.values import FILE_BY_FILE, FULL_16_BITS, ValueRange
from zoo.errors import ZooError
from zoo.progress import Progress
from zoo.settings import Settings

SIDE = 48


def tiff(values: np.ndarray, photometric: int = 1, bits: int = 0, **tags: int) -> bytes:
    """An uncompressed grey or colour TIFF of exactly these values."""
    height, width, samples = (*values.shape, 1)[:3]
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    size = bits or values.dtype.itemsize * 8
    head = b"".join(struct.pack("<H", size) for _ in range(samples))
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, samples, size), (259, 3, 1, 1)]
    entries += [(262, 3, 1, photometric), (273, 4, 1, 8 + len(head)), (277, 3, 1, samples)]
    entries += [(278, 4, 1, height), (279, 4, 1, len(data))]
    if samples > 2:
        entries[2] = (258, 3, samples, 8)
    entries += [(int(tag[1:]), 3, 1, value) for tag, value in tags.items()] + [(339, 3, 1, kind)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    directory = struct.pack("<H", len(entries)) + packed + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(head) + len(data)) + head + data + directory


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16-bit colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width, samples = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[samples], 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def ramp(low: float, high: float, dtype: type) -> np.ndarray:
    return np.tile(np.linspace(low, high, SIDE), (SIDE, 1)).astype(dtype)


def source(root: Path, ramps: dict[str, list[np.ndarray]], **options: int) -> Path:
    for label, images in ramps.items():
        (root / label).mkdir(parents=True)
        for i, values in enumerate(images):
            (root / label / f"{i}.tif").write_bytes(tiff(values, **options))
    return root


def noisy(low: float, high: float, dtype: type, seed: int) -> np.ndarray:
    """Random blocks between the two, both of which occur."""
    blocks = np.random.default_rng(seed).uniform(low, high, (8, 8))
    blocks[0, 0], blocks[7, 7] = low, high
    return np.kron(blocks, np.ones((6, 6))).astype(dtype)


def spanning(root: Path, low: float, high: float, dtype: type, **options: int) -> Path:
    """Two classes of ten images: a dark one that alone has the lowest value, and a bright one."""
    middle = (low + high) / 2
    dark = [noisy(low, middle, dtype, i) for i in range(10)]
    bright = [noisy(middle, high, dtype, 100 + i) for i in range(10)]
    return source(root, {"dark": dark, "bright": bright}, **options)


def settings(root: Path, **values: object) -> Settings:
    return Settings.of({"backbone": "cnn", "data": str(root), **values})


RANGES = {
    "10 bits": (0, 1000, np.uint16, (0, 1023)),
    "12 bits": (0, 4000, np.uint16, (0, 4095)),
    "14 bits": (0, 16000, np.uint16, (0, 16383)),
    "16 bits": (0, 65000, np.uint16, (0, 65535)),
    "8 of 16 bits": (0, 250, np.uint16, (0, 255)),
    "narrow": (30000, 31000, np.uint16, (30000, 31000)),
    "0..1": (0, 1, np.float32, (0, 1)),
    "0..1 of interpolation": (-0.01, 1.02, np.float32, (0, 1)),
    "-1..1": (-1, 1, np.float32, (-1, 1)),
    "0..255": (0, 255, np.float32, (0, 255)),
    "0..1.5": (0, 1.5, np.float32, (0, 1.5)),
    "Hounsfield units": (-1024, 3071, np.int16, (-1024, 3071)),
    "negative floats": (-3.5, 2, np.float32, (-3.5, 2)),
    "int32": (0, 100_000, np.int32, (0, 100_000)),
    "uint32": (0, 4_000_000_000, np.uint32, (0, 4_000_000_000)),
}


@pytest.mark.parametrize(("low", "high", "dtype", "expected"), RANGES.values(), ids=RANGES)
def test_the_range_is_decided_once_and_loses_nothing(tmp_path, low, high, dtype, expected):
    data = load(settings(spanning(tmp_path / "set", low, high, dtype)), Progress())
    assert data.catalog.scale == pytest.approx(expected)
    assert data.summary()["value_range"] == pytest.approx(list(expected))
    [note] = [n for n in data.catalog.notes if "more than 8 bits" in n]
    assert str(data.catalog.scale) in note
    assert "--value-range LOW HIGH" in note
    pixels = prepare(data.catalog, SIDE, "stretch", Progress()).pixels.astype(int)
    if low >= -1:  # at least three quarters of black to white are in use
        assert pixels.max() - pixels.min() > 190
    means = [pixels[prepared_rows(data, label)].mean() for label in ("dark", "bright")]
    assert means[1] - means[0] > 80  # each file in its own range would make them alike


def prepared_rows(data, label):
    rows = prepare(data.catalog, SIDE, "stretch", Progress()).rows
    return rows[data.catalog.labels == data.catalog.classes.index(label)]


def test_single_hot_pixels_do_not_decide(tmp_path):
    images = {
        c: [noisy(0, 1, np.float32, i + 50 * k) for i in range(5)] for k, c in enumerate("ab")
    }
    images["a"][0][3, 3] = 1.001
    images["b"][1][3, 3] = 60.0
    data = load(settings(source(tmp_path / "set", images)), Progress())
    assert data.catalog.scale == (0, 1)


def test_stated_ranges_count_where_all_files_state_the_same(tmp_path):
    stated = spanning(tmp_path / "a", 100, 1200, np.uint16, t280=0, t281=3000)
    found = load(settings(stated), Progress())
    assert found.catalog.scale == (0, 3000)
    assert any("stated in the files" in note for note in found.catalog.notes)
    beyond = spanning(tmp_path / "b", 0, 200, np.uint16, t280=0, t281=60000)
    assert load(settings(beyond), Progress()).catalog.scale == (0, 255)


def test_a_given_range_is_used_and_what_is_outside_is_cut(tmp_path):
    root = spanning(tmp_path / "set", -1024, 3071, np.int16)
    data = load(settings(root, value_range=[-160, 240]), Progress())
    assert data.catalog.scale == (-160, 240)
    values = tiff(ramp(-160, 240, np.int16))
    seen = decode(values, SIDE, scale=data.catalog.scale)[0, :, 0]
    assert (seen[0], seen[-1]) == (0, 255)
    assert (decode(tiff(ramp(500, 900, np.int16)), 8, scale=data.catalog.scale) == 255).all()


def test_another_range_is_another_cache(tmp_path):
    root = spanning(tmp_path / "set", 0, 4000, np.uint16)
    keys = {
        prepare(load(settings(root, **given), Progress()).catalog, 8, "stretch", Progress()).key
        for given in ({}, {"value_range": (0, 1000)}, {"value_range": (0, 2000)})
    }
    assert len(keys) == 3


def test_8_bit_images_are_as_before_and_have_no_range(photos):
    root = photos({"cat": 6, "dog": 6})
    data = load(settings(root), Progress())
    assert data.catalog.scale is None
    assert data.summary()["value_range"] is None
    given = load(settings(root, value_range=(0, 10)), Progress())
    assert any("changes nothing" in note for note in given.catalog.notes)
    for scale in (None, FILE_BY_FILE, FULL_16_BITS, ValueRange(0, 10)):
        for i in range(3):
            np.testing.assert_array_equal(
                decode(data.catalog.path(i), 16, scale=scale), decode(data.catalog.path(i), 16)
            )


def test_floats_and_whole_numbers_in_one_data_set_are_refused(tmp_path):
    floats = [noisy(0, 1, np.float32, i) for i in range(5)]
    whole = [noisy(0, 4000, np.uint16, i) for i in range(5)]
    root = source(tmp_path / "set", {"a": floats, "b": whole})
    with pytest.raises(ZooError, match=r"\(0 to 4095\) and some floats \(0 to 1\).*--value-range"):
        load(settings(root), Progress())
    assert load(settings(root, value_range=(0, 4095)), Progress()).catalog.scale == (0, 4095)


@pytest.mark.parametrize("top", [4095, 65535])
def test_white_is_zero_is_turned_around(top):
    left_black = tiff(ramp(0, top, np.uint16), photometric=1)
    left_white = tiff(ramp(0, top, np.uint16), photometric=0)
    for scale in (None, ValueRange(0, top)):
        black, white = (decode(c, SIDE, scale=scale)[0, :, 0] for c in (left_black, left_white))
        assert (black[0], black[-1], white[0], white[-1]) == (0, 255, 255, 0)


@pytest.mark.parametrize("write", [png16, tiff], ids=["PNG", "TIFF"])
def test_colour_of_12_bits_in_16_keeps_its_levels(write):
    values = np.stack(
        [ramp(0, 4095, np.uint16), ramp(4095, 0, np.uint16), ramp(0, 0, np.uint16)], 2
    )
    options = {} if write is png16 else {"photometric": 2}
    seen = decode(write(values, **options), SIDE)
    assert len(np.unique(seen[..., 0])) == SIDE
    np.testing.assert_array_equal(seen[0, :, 0], np.rint(values[0, :, 0] / 4095 * 255))
    np.testing.assert_array_equal(seen[0, :, 1], seen[0, ::-1, 0])
    full = decode(write(values * 16, **options), SIDE, scale=FULL_16_BITS)
    np.testing.assert_array_equal(full, values * 16 >> 8)


def test_transparency_of_deep_colour_lies_over_white():
    values = np.full((8, 8, 4), 1000, np.uint16)
    values[..., 3] = 0
    assert (decode(png16(values), 8, scale=ValueRange(0, 4095)) == 255).all()


def test_earlier_runs_see_what_they_saw():
    values = tiff(ramp(0, 4095, np.uint16))
    assert decode(values, SIDE, scale=FILE_BY_FILE).max() == 16
    views = [View(SIDE, "stretch", FILE_BY_FILE), View(SIDE, "stretch", ValueRange(0, 4095))]
    assert len(views) == 2


def test_views_of_other_ranges_are_decoded_each(tmp_path):
    file = tmp_path / "x.tif"
    file.write_bytes(tiff(ramp(0, 4095, np.uint16)))
    views = [View(SIDE, "stretch", s) for s in (FILE_BY_FILE, ValueRange(0, 4095), None)]
    found = decode_views(file, views)
    assert [int(found[view].max()) for view in views] == [16, 255, 255]


def test_several_planes_of_16_bits_are_refused_rather_than_scrambled(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    out = io.BytesIO()
    planes = np.stack([ramp(0, 65535, np.uint16)] * 3)
    tifffile.imwrite(out, planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(ValueError, match="separate planes"):
        decode(out.getvalue(), SIDE)


WRONG = {
    "one": [5],
    "three": [1, 2, 3],
    "text": "wide",
    "order": [9, 1],
    "equal": [3, 3],
    "words": ["a", "b"],
    "infinite": [0, float("inf")],
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_a_wrong_range_is_refused(value):
    with pytest.raises(ZooError, match="value_range must be"):
        Settings.of({"backbone": "cnn", "value_range": value})


def test_the_run_keeps_its_range_and_predicts_in_it(tmp_path):
    import zoo
    from zoo.data.value_range import scale_of
    from zoo.evaluate.predictor import predictor

    root = spanning(tmp_path / "set", 0, 4000, np.uint16)
    tiny = {"size": 16, "blocks": 1, "filters": 4, "dense_units": 8, "epochs": 1}
    run = zoo.finetune("cnn", root, name="deep", runs_dir=tmp_path / "runs", **tiny)
    record = json.loads((run.path / "run.json").read_text())
    assert record["data"]["value_range"] == [0, 4095]
    assert scale_of(run) == (0, 4095)
    assert predictor(run).views == {View(16, "stretch", ValueRange(0, 4095))}
    table = run.predictions("test")
    answer = zoo.predict(run, [root / str(name) for name in table.ids])
    np.testing.assert_allclose(answer.probabilities, table.probabilities, atol=1e-5)
    record["data"]["value_range"] = [3, 3]
    (run.path / "run.json").write_text(json.dumps(record))
    with pytest.raises(ZooError, match="is damaged"), pytest.warns():
        scale_of(zoo.open_run("deep", tmp_path / "runs"))
