from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.data.catalog import Catalog
from zoo.data.inspect import _TICK, _wait_for_tick, inspect, usable
from zoo.data.sources import scan
from zoo.errors import ZooError
from zoo.progress import Progress


class Counting(Progress):
    """Sums the units of each step."""

    def __init__(self) -> None:
        self.total, self.done = 0, 0

    @contextlib.contextmanager
    def step(self, name, total):
        self.total += total

        def advance(count=1, note=""):
            self.done += count

        yield advance


def read(catalog: Catalog) -> int:
    """Number of files that an inspection reads."""
    progress = Counting()
    inspect(catalog, progress)
    assert progress.done == progress.total
    return progress.total


def test_inspection_tells_content_size_and_look_of_each_file(photos):
    catalog = scan(str(photos({"cat": 2, "dog": 1}, size=(60, 40))))
    seen = inspect(catalog, Progress())
    for i in range(3):
        assert seen.digests[i] == hashlib.sha256(catalog.path(i).read_bytes()).hexdigest()
        grey = Image.open(catalog.path(i)).convert("L").resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(seen.thumbs[i], np.asarray(grey))
    assert seen.sizes.tolist() == [[60, 40]] * 3
    assert seen.reasons.tolist() == [""] * 3


def test_second_inspection_reads_nothing_and_tells_the_same(photos):
    root = photos({"cat": 3, "dog": 2})
    (root / "dog" / "bad.jpg").write_text("no image")
    catalog = scan(str(root))
    first = inspect(catalog, Progress())
    progress = Counting()
    second = inspect(catalog, progress)
    assert progress.total == 0
    for name, array in vars(first).items():
        np.testing.assert_array_equal(getattr(second, name), array)


def swapped(file: Path, content: bytes) -> None:
    """Other content written into a file."""
    file.write_bytes(content)


def renamed(file: Path, content: bytes) -> None:
    """Another file moved to its place."""
    other = file.with_suffix(".new")
    other.write_bytes(content)
    other.rename(file)


@pytest.mark.parametrize("replace", [swapped, renamed])
def test_an_image_replaced_by_one_of_the_same_size_and_time_is_read_again(photos, replace):
    root = photos({"cat": 3, "dog": 2})
    file, catalog = root / "cat" / "000.png", scan(str(root))
    before = file.read_bytes()
    after = before[:-20] + bytes(x ^ 1 for x in before[-20:])
    row = catalog.ids.index("cat/000.png")
    for content in (before, after) * 10:  # at once: within one tick of the clock of the files
        replace(file, content)
        os.utime(file, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
        found = inspect(catalog, Progress()).digests[row]
        assert found == hashlib.sha256(content).hexdigest()


def test_a_file_just_changed_is_read_when_a_later_change_has_another_time(photos):
    file = photos({"cat": 1, "dog": 1}) / "cat" / "000.png"
    file.write_bytes(file.read_bytes())
    _wait_for_tick(file)
    assert time.time_ns() - file.stat().st_ctime_ns >= _TICK


def test_only_new_and_changed_files_are_read_again(photos):
    root = photos({"cat": 3, "dog": 2})
    before = inspect(scan(str(root)), Progress())
    (root / "dog" / "new.png").write_bytes((root / "dog" / "000.png").read_bytes())
    (root / "cat" / "000.png").write_bytes((root / "dog" / "000.png").read_bytes())
    progress = Counting()
    after = inspect(scan(str(root)), progress)
    assert progress.total == 2
    dog = before.digests[3]
    assert after.digests.tolist() == [dog, *before.digests[1:5], dog]


def test_removed_files_are_forgotten_and_rows_stay_with_their_files(photos):
    root = photos({"cat": 3, "dog": 2})
    inspect(scan(str(root)), Progress())
    (root / "cat" / "000.png").unlink()
    catalog = scan(str(root))
    progress = Counting()
    seen = inspect(catalog, progress)
    assert progress.total == 0
    for i in range(len(catalog)):
        assert seen.digests[i] == hashlib.sha256(catalog.path(i).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"words",
        lambda content: content[: len(content) // 2],
        lambda content: content[:40] + bytes(100) + content[140:],
        lambda content: content.replace(b"thumbs", b"thumbz"),
    ],
    ids=["empty", "text", "truncated", "overwritten", "renamed"],
)
def test_damaged_memory_is_made_anew(photos, tmp_path, damage):
    catalog = scan(str(photos({"cat": 2, "dog": 1})))
    first = inspect(catalog, Progress())
    [memory] = (tmp_path / "cache" / "inspected").iterdir()
    memory.write_bytes(damage(memory.read_bytes()))
    np.testing.assert_array_equal(inspect(catalog, Progress()).thumbs, first.thumbs)
    assert zipfile.is_zipfile(memory)
    assert read(catalog) == 0


@pytest.fixture
def shielded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where permissions bind, also root, who gives up its rights for it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        monkeypatch.setenv("ZOO_CACHE", folder + "/cache")
        Image.init()  # Pillow imports its formats late, perhaps from where root alone may read
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield Path(folder)
        os.seteuid(user)


def test_a_file_that_could_not_be_read_is_tried_again(shielded):
    for name in ("cat/1.png", "dog/1.png"):
        (shielded / "set" / name).parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(shielded / "set" / name)
    locked = shielded / "set" / "cat" / "1.png"
    locked.chmod(0)
    catalog = scan(str(shielded / "set"))
    assert inspect(catalog, Progress()).reasons.tolist() == ["Permission denied", ""]
    locked.chmod(0o600)
    assert inspect(catalog, Progress()).reasons.tolist() == ["", ""]


def test_two_inspections_at_once_do_not_mix_their_rows(photos):
    root = photos({"cat": 20, "dog": 20})
    whole = scan(str(root))
    parts = [whole, whole.take(np.arange(3, 40)), whole.take(np.arange(0, 40, 3))]
    wrong = []

    def work(catalog: Catalog) -> None:
        expected = [
            hashlib.sha256(catalog.path(i).read_bytes()).hexdigest() for i in range(len(catalog))
        ]
        for _ in range(10):
            if inspect(catalog, Progress()).digests.tolist() != expected:
                wrong.append(len(catalog))

    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_bad_files_are_listed_with_reasons_and_dropped(photos):
    root = photos({"cat": 3, "dog": 3}, suffix=".jpg")
    good = scan(str(root)).ids
    (root / "cat" / "words.jpg").write_text("no image")
    (root / "cat" / "empty.jpg").touch()
    (root / "dog" / "half.jpg").write_bytes((root / good[0]).read_bytes()[:-300])
    (root / "dog" / "gone.jpg").symlink_to("nowhere.jpg")
    (root / "dog" / "device.jpg").symlink_to("/dev/null")
    catalog = scan(str(root))
    kept, seen = usable(catalog, inspect(catalog, Progress()))
    assert kept.ids == good
    assert kept.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert kept.digests == tuple(seen.digests)
    assert len(seen.thumbs) == len(seen.sizes) == 6
    assert kept.bad.keys() == set(catalog.ids) - set(good)
    assert kept.bad["cat/words.jpg"] == "not an image, or of an unknown format"
    assert kept.bad["cat/empty.jpg"] == "empty file"
    assert kept.bad["dog/half.jpg"].startswith("truncated")
    assert kept.bad["dog/gone.jpg"] == "No such file or directory"
    assert kept.bad["dog/device.jpg"] == "not a regular file"


UNUSABLE = {
    "all bad": ({"cat": 0, "dog": 0}, ("cat/1", "dog/1"), r"none of the 2 files of .*: cat/1: not"),
    "class bad": (
        {"cat": 3, "dog": 0},
        ("dog/1", "dog/2"),
        r"class 'dog' has no usable image \(unusable files: 2, the first is dog/1: not an image",
    ),
    "one of a class": ({"cat": 3, "dog": 1}, (), "class 'dog' has one usable image: at least two"),
    "one left": (
        {"cat": 3, "dog": 1},
        ("dog/1",),
        r"class 'dog' has one usable image \(unusable files: 1",
    ),
}


@pytest.mark.parametrize(("counts", "bad", "sentence"), UNUSABLE.values(), ids=UNUSABLE)
def test_too_few_usable_images_give_a_sentence(photos, counts, bad, sentence):
    root = photos(counts)
    for name in bad:
        (root / name).write_text("no image")
    catalog = scan(str(root))
    with pytest.raises(ZooError, match=sentence):
        usable(catalog, inspect(catalog, Progress()))
