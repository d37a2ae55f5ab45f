from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo.data.catalog import Catalog
from zoo.data.decode import decode
from zoo.data.inspect import inspect, usable
from zoo.data.prepare import prepare
from zoo.data.sources import scan
from zoo.errors import ZooError
from zoo.progress import Progress


class Watching(Progress):
    """Remembers the steps."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int]] = []

    def step(self, name, total):
        self.steps.append((name, total))
        return super().step(name, total)


class Saying(Watching):
    """Remembers sentences, too."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text):
        self.said.append(text)


def flipped(file: Path, place: int) -> None:
    """One bit of a file turned over."""
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)


def inspected(source: Path) -> Catalog:
    catalog = scan(str(source))
    return usable(catalog, inspect(catalog, Progress()))[0]


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_pixels_are_those_of_decode(photos, resize):
    catalog = inspected(photos({"cat": 40, "dog": 30}, size=(30, 20)))
    prepared = prepare(catalog, 24, resize, Progress())
    assert (prepared.pixels.dtype, prepared.pixels.shape) == (np.uint8, (70, 24, 24, 3))
    assert isinstance(prepared.pixels, np.memmap)
    assert not prepared.pixels.flags.writeable
    assert prepared.rows.dtype == np.int64
    for i in range(len(catalog)):
        np.testing.assert_array_equal(
            prepared.pixels[prepared.rows[i]], decode(catalog.path(i), 24, resize)
        )


def test_equal_contents_share_a_row(photos):
    root = photos({"cat": 3, "dog": 2})
    (root / "dog" / "copy.png").write_bytes((root / "cat" / "001.png").read_bytes())
    catalog = inspected(root)
    prepared = prepare(catalog, 16, "stretch", Progress())
    assert len(prepared.pixels) == 5
    assert prepared.rows[1] == prepared.rows[catalog.ids.index("dog/copy.png")]
    assert len(set(prepared.rows)) == 5


def test_second_call_decodes_nothing(photos):
    root = photos({"cat": 2, "dog": 2})
    catalog = inspected(root)
    progress = Watching()
    first = prepare(catalog, 16, "stretch", progress)
    for file in root.glob("*/*"):
        file.unlink()
    second = prepare(catalog, 16, "stretch", progress)
    assert progress.steps == [("prepare", 4)]
    assert first.key == second.key
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_moved_and_relabelled_files_use_what_is_there(photos):
    root = photos({"cat": 2, "dog": 3})
    before = prepare(inspected(root), 16, "stretch", Progress())
    (root / "dog" / "000.png").rename(root / "cat" / "zero.png")
    (root / "dog").rename(root / "wolf")
    moved = root.rename(root.with_name("moved"))
    progress = Watching()
    catalog = inspected(moved)
    after = prepare(catalog, 16, "stretch", progress)
    assert progress.steps == []
    assert after.key == before.key
    for i in range(5):
        np.testing.assert_array_equal(
            after.pixels[after.rows[i]], decode(catalog.path(i), 16, "stretch")
        )


def test_size_and_fit_and_content_each_have_pixels_of_their_own(photos):
    root = photos({"cat": 2, "dog": 2})
    catalog = inspected(root)
    keys = {
        prepare(catalog, size, resize, Progress()).key
        for size, resize in ((16, "stretch"), (16, "crop"), (20, "stretch"))
    }
    keys.add(prepare(catalog.take([0, 1, 2]), 16, "stretch", Progress()).key)
    assert len(keys) == 4


def change(file: Path) -> None:
    file.write_bytes((file.parent.parent / "dog" / "000.png").read_bytes())


@pytest.mark.parametrize(
    "meddle", [Path.unlink, change, lambda f: f.write_text("words")], ids=["gone", "other", "words"]
)
def test_file_that_changed_since_inspection_gives_a_sentence(photos, tmp_path, meddle):
    catalog = inspected(photos({"cat": 2, "dog": 2}))
    meddle(catalog.path(0))
    with pytest.raises(ZooError, match=r"cat/000\.png .*run the command again"):
        prepare(catalog, 16, "stretch", Progress())
    assert list((tmp_path / "cache" / "prepared").iterdir()) == []


FULL_DISK = """
import resource, sys
from zoo.data.inspect import inspect, usable
from zoo.data.prepare import prepare
from zoo.data.sources import scan
from zoo.errors import ZooError
from zoo.progress import Progress

catalog = scan(sys.argv[1])
catalog, _ = usable(catalog, inspect(catalog, Progress()))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    prepare(catalog, 64, "stretch", Progress())
except ZooError as error:
    print(error)
"""


def test_full_disk_gives_a_sentence_and_leaves_nothing(photos, tmp_path):
    root = photos({"cat": 3, "dog": 2})
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(root)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the disk is full: ")
    assert "ZOO_CACHE" in done.stdout
    assert list((tmp_path / "cache" / "prepared").iterdir()) == []
    # with space again, all is well
    assert len(prepare(inspected(root), 64, "stretch", Progress()).pixels) == 5


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda file: flipped(file, 1000),
        lambda file: flipped(file, -5),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"words, no pixels"),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 200),
        lambda file: np.save(file, np.zeros((3, 16, 16, 3), np.uint8)),
        lambda file: np.save(file, np.zeros((4, 16, 16, 3), np.float32)),
        lambda file: np.savez(file.open("wb"), a=np.zeros(3)),
    ],
    ids=[
        "gone",
        "flipped bit",
        "flipped sum",
        "empty",
        "text",
        "truncated",
        "header",
        "other rows",
        "float",
        "npz",
    ],
)
def test_damaged_pixels_are_made_anew_with_a_sentence(photos, tmp_path, damage):
    catalog = inspected(photos({"cat": 2, "dog": 2}))
    before = np.array(prepare(catalog, 16, "stretch", Progress()).pixels)
    [file] = (tmp_path / "cache" / "prepared").glob("*/pixels.npy")
    damage(file)
    gone = not file.exists()
    progress = Saying()
    np.testing.assert_array_equal(prepare(catalog, 16, "stretch", progress).pixels, before)
    assert len(progress.said) == (not gone)
    assert all("are damaged" in said and "made anew" in said for said in progress.said)
    again = Saying()
    prepare(catalog, 16, "stretch", again)
    assert (again.said, again.steps) == ([], [])
