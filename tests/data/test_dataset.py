from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from zoo.data.dataset import Dataset, load
from zoo.progress import Progress
from zoo.settings import Settings


def of_folder(folder: Path, **settings: object) -> Dataset:
    return load(Settings.of({"backbone": "cnn", "data": str(folder), **settings}), Progress())


def test_a_folder_with_bad_files_and_copies_becomes_a_clean_split(photos):
    root = photos({"cat": 20, "dog": 20})
    (root / "cat" / "words.png").write_text("no image")
    (root / "dog" / "copy.png").write_bytes((root / "dog" / "000.png").read_bytes())
    half = Image.open(root / "cat" / "003.png").resize((32, 24), Image.Resampling.LANCZOS)
    half.save(root / "cat" / "half.png")
    data = of_folder(root)
    summary = data.summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["images"] == 42
    assert summary["copies"] == 2
    assert summary["bad"] == {"cat/words.png": "not an image, or of an unknown format"}
    assert summary["leaking"] == []
    assert {name: sum(counts) for name, counts in summary["counts"].items()} == {
        name: len(data.split.rows(name)) for name in ("train", "val", "test")
    }
    sides = {data.catalog.ids[i]: n for n in ("train", "val", "test") for i in data.split.rows(n)}
    assert sides["dog/copy.png"] == sides["dog/000.png"]
    assert sides["cat/half.png"] == sides["cat/003.png"]


def test_training_images_that_are_copies_of_test_images_are_named(photos):
    root = photos({"train/cat": 8, "train/dog": 8, "test/cat": 3, "test/dog": 3})
    (root / "train" / "cat" / "leak.png").write_bytes(
        (root / "test" / "cat" / "000.png").read_bytes()
    )
    assert of_folder(root).summary()["leaking"] == ["train/cat/leak.png"]


def test_near_copies_count_only_where_wanted(photos):
    root = photos({"cat": 6, "dog": 6})
    half = Image.open(root / "cat" / "003.png").resize((32, 24), Image.Resampling.LANCZOS)
    half.save(root / "cat" / "half.png")
    assert of_folder(root).summary()["copies"] == 1
    assert of_folder(root, near_duplicates=False).summary()["copies"] == 0


@pytest.fixture
def fingerprint(photos):
    root = photos({"cat": 6, "dog": 6})

    def current() -> tuple[str, str]:
        data = of_folder(root)
        assert len(data.catalog.fingerprint()) == hashlib.sha256().digest_size * 2
        return data.catalog.fingerprint(), data.split_fingerprint()

    return root, current


def test_fingerprint_stays_when_the_folder_moves(fingerprint):
    root, current = fingerprint
    before = current()
    copy = root.rename(root.with_name("elsewhere"))
    after = of_folder(copy)
    assert (after.catalog.fingerprint(), after.split_fingerprint()) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "cat" / "000.png").rename(root / "cat" / "new.png"),
        lambda root: (root / "cat" / "000.png").rename(root / "dog" / "new.png"),
        lambda root: (root / "cat").rename(root / "tiger"),
        lambda root: (root / "cat" / "000.png").unlink(),
        lambda root: Image.new("L", (9, 9)).save(root / "cat" / "000.png"),
    ],
    ids=["renamed", "relabelled", "class renamed", "removed", "changed"],
)
def test_fingerprint_changes_with_the_data(fingerprint, change):
    root, current = fingerprint
    before = current()
    change(root)
    assert current()[0] != before[0]


def test_split_fingerprint_changes_with_the_split_alone(photos):
    root = photos({"cat": 10, "dog": 10})
    one, other = of_folder(root), of_folder(root, split_seed=1)
    assert one.catalog.fingerprint() == other.catalog.fingerprint()
    assert one.split_fingerprint() != other.split_fingerprint()
