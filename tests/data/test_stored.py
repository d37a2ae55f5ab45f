"""Arrays of the cache: every damaged block is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data import stored
from zoo.data.stored import DamagedError, open_array, write_array


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(stored, "_BLOCK", 1000)


@pytest.mark.parametrize("count", [1, 9, 10, 11, 37])
@pytest.mark.parametrize("step", [1, 7, 100])
def test_what_was_written_is_read_and_any_flipped_bit_noticed(tmp_path, count, step):
    file = tmp_path / "a.npy"
    values = np.random.default_rng(0).integers(0, 256, (count, 100), np.uint8)
    parts = (values[i : i + step].tobytes() for i in range(0, count, step))
    write_array(file, "|u1", values.shape, parts)
    np.testing.assert_array_equal(open_array(file, "|u1", count), values)
    np.testing.assert_array_equal(np.load(file), values)
    whole = file.read_bytes()
    start = open_array(file, "|u1", count).offset
    for place in {
        start,
        start + count * 50,
        start + count * 100 - 1,
        len(whole) - 20,
        len(whole) - 1,
    }:
        broken = bytearray(whole)
        broken[place] ^= 16
        file.write_bytes(broken)
        with pytest.raises(DamagedError):
            open_array(file, "|u1", count)
    for cut in (1, 5, 17, 60):
        file.write_bytes(whole[:-cut])
        with pytest.raises(DamagedError):
            open_array(file, "|u1", count)


def test_files_of_earlier_versions_are_taken(tmp_path):
    values = np.arange(600, dtype=np.float32).reshape(3, 200)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(open_array(tmp_path / "a.npy", "<f4", 3), values)
    for dtype, length in (("<f4", 4), ("|u1", 3)):
        with pytest.raises(DamagedError, match="it holds float32"):
            open_array(tmp_path / "a.npy", dtype, length)
    with pytest.raises(DamagedError):
        open_array(tmp_path / "none.npy", "<f4", 3)
