from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from zoo.data.catalog import Catalog
from zoo.data.dataset import load
from zoo.data.folders import scan_folder, split_role
from zoo.data.tree import tree
from zoo.errors import ZooError
from zoo.progress import Progress
from zoo.settings import Settings


def touch(root: Path, *files: str) -> Path:
    """Files of these names; scanning decodes nothing, so that they need not be images."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def counts(catalog: Catalog) -> dict[str, int]:
    """``split/class`` to its number of images."""
    names = [
        f"{split}/{catalog.classes[k]}"
        for split, k in zip(catalog.splits, catalog.labels, strict=True)
    ]
    return {name: names.count(name) for name in sorted(set(names))}


NAMES = {
    "train": "train Train TRAINING trn training_set Train_Images train-data trainset TrainSet "
    "traindata images_train train2017 train_1 01_train trainval train_val Trainingset",
    "val": "val VALID Validation dev dev-set val_images validation_split valset",
    "test": "test Testing test_set test1 TEST_IMAGES testset tst images-test",
    "held-out": "eval evaluation Holdout hold-out hold_out held_out evaluation_set",
    "": "cat latest contest trained_dogs_val_test device testament strain value test_train retrain",
}


@pytest.mark.parametrize(
    ("name", "role"), [(name, role) for role, names in NAMES.items() for name in names.split()]
)
def test_split_names(name, role):
    found, rest = split_role(name)
    assert found == role
    assert not rest or not role


@pytest.mark.parametrize(
    ("name", "rest"), [("seg_train", "seg"), ("chest xray test", "chest xray")]
)
def test_rest_of_a_split_name(name, rest):
    assert split_role(name)[1] == rest


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("training_set", "", "test_set"),
        ("seg_train", "", "seg_test"),
        ("train_images", "val_images", "test_images"),
        ("Train", "Dev", "Evaluation"),
        ("training", "validation", "evaluation"),
        ("train", "evaluation", "test"),
        ("TRAIN", "", "holdout"),
        ("train", "", "val"),
        ("train2017", "", "val2017"),
        ("chest_train", "chest_val", "chest_test"),
    ],
)
def test_split_folders_above_classes(tmp_path, train, val, test):
    for folder, number in ((train, 3), (val, 2), (test, 1)):
        if folder:
            for label in ("cat", "dog"):
                touch(tmp_path / "set", *(f"{folder}/{label}/{i}.jpg" for i in range(number)))
    expected = {f"{s}/{c}": n for s, n in (("train", 3), ("test", 1)) for c in ("cat", "dog")}
    if val:
        expected |= {"val/cat": 2, "val/dog": 2}
    assert counts(scan_folder(tmp_path / "set")) == expected


@pytest.mark.parametrize(
    ("train", "test"), [("train", "test"), ("Training", "val"), ("trn", "eval")]
)
def test_split_folders_below_classes(tmp_path, train, test):
    root = tmp_path / "set"
    for label in ("cat", "dog", "train_engine"):
        touch(
            root, f"{label}/{train}/1.jpg", f"{label}/{train}/deep/2.jpg", f"{label}/{test}/1.jpg"
        )
    touch(root, "cat/loose.jpg", "more.png", "readme.txt")
    catalog = scan_folder(root)
    assert counts(catalog) == {
        f"{split}/{label}": number
        for split, number in (("test", 1), ("train", 2))
        for label in ("cat", "dog", "train_engine")
    }
    assert any("2 image files beside the split folders" in note for note in catalog.notes)


@pytest.mark.parametrize(
    "files",
    [
        ("train/cat.0.jpg", "train/dog.0.jpg", "test/1.jpg"),
        ("train/cat.0.jpg", "train/dog.0.jpg", "test1/1.jpg"),
        ("training_set/1.jpg", "test_set/1.jpg", "val_set/1.jpg"),
        ("train/1.jpg", "test/cat/1.jpg", "test/dog/1.jpg"),
        ("train/1.jpg", "labels.csv"),
        ("seg_train/1.jpg", "seg_test/2.jpg"),
    ],
)
def test_flat_split_folders_are_refused(tmp_path, files):
    with pytest.raises(ZooError, match=r"holds no class folders .*manifest\.csv"):
        scan_folder(touch(tmp_path / "set", *files))


@pytest.mark.parametrize(
    ("files", "notes"),
    [
        (
            ("train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test/2.PNG", "test/list.txt"),
            ["2 image files in test/, which has no class folders", "test images are drawn"],
        ),
        (("a/1.jpg", "b/1.jpg", "1.jpg", "2.jpg", "3.heic"), ["3 image files beside the class"]),
        (
            ("train/a/1.jpg", "train/b/1.jpg", "train/x.jpg", "val/a/1.jpg", "y.jpg"),
            ["1 image file beside the class folders", "1 image file beside the folders"],
        ),
        (
            ("train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "unlabelled/1.jpg"),
            ["1 image file in unlabelled/, beside test/, train/ (the first is unlabelled/1.jpg)"],
        ),
        (("a/1.jpg", "b/1.jpg", "a/@eaDir/1.jpg", ".old/2.jpg"), ["2 image files in hidden or"]),
        (("a/x/1.jpg", "b/1.jpg"), ["folder level 1 is the class; 1 folders are below it (a/x)"]),
        (("deep/er/a/1.jpg", "deep/er/b/1.jpg"), ["read from deep/er, the only folder in set"]),
    ],
)  # fmt: skip
def test_what_is_not_used_is_said_with_its_count(tmp_path, files, notes):
    found = scan_folder(touch(tmp_path / "set", *files)).notes
    for note in notes:
        assert any(note in line for line in found), found


@pytest.mark.parametrize(
    "folder",
    ["__MACOSX", "@eaDir", "$RECYCLE.BIN", ".ipynb_checkpoints", "lost+found", "#recycle",
     "System Volume Information", ".Trash-1000", "__pycache__"],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "train/", "train/a/"])
def test_system_folders_are_no_classes(tmp_path, folder, prefix):
    root = touch(tmp_path / "set", "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg")
    touch(root, f"{prefix}{folder}/1.jpg", f"{prefix}{folder}/a/2.jpg", f"{prefix}ehthumbs.db")
    assert counts(scan_folder(root)) == {"test/a": 1, "train/a": 1, "train/b": 1}


@pytest.mark.parametrize("name", ["école", "Müller", "가방", "Ångström"])
def test_a_class_in_two_unicode_forms_is_one(tmp_path, name):
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    root = touch(tmp_path / "set", f"train/{forms[0]}/1.jpg", "train/b/1.jpg")
    touch(root, f"test/{forms[1]}/1.jpg", "test/b/1.jpg")
    catalog = scan_folder(root)
    assert catalog.classes == tuple(sorted(["b", forms[0]]))
    assert all(catalog.path(i).is_file() for i in range(len(catalog)))


@pytest.mark.parametrize(
    ("level", "classes"),
    [(1, ("animal", "plant")), (2, ("cat", "dog", "oak")), (3, ("old", "young"))],
)
def test_class_level_chooses_the_folder_that_is_the_class(tmp_path, level, classes):
    root = touch(
        tmp_path / "set",
        *("train/animal/cat/young/1.jpg", "train/animal/dog/old/1.jpg"),
        *("train/plant/oak/old/1.jpg", "test/animal/cat/old/1.jpg", "train/plant/loose.jpg"),
    )
    catalog = scan_folder(root, level)
    assert catalog.classes == classes
    assert len(catalog) == (5 if level == 1 else 4)
    if level > 1:
        assert any(f"1 image file above folder level {level}" in note for note in catalog.notes)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (("train/a/1.jpg", "train/b/1.jpg", "val/e/1.jpg", "test/a/1.jpg"), "validation images on"),
        (("train/a/1.jpg", "train/b/1.jpg", "val/B/1.jpg"), r"\('b' differs in case only\)"),
        (("a/train/1.jpg", "a/test/1.jpg", "b/1.jpg"), "class 'b' of .* has no split folders"),
        (
            ("cat_train/1.jpg", "cat_test/1.jpg", "dog_train/1.jpg", "dog_test/1.jpg"),
            "class and split in one folder",
        ),
        (
            tuple(f"{s}/a/1.jpg" for s in ("train", "val", "test", "holdout")),
            "four folders for three splits",
        ),
    ],
)
def test_folders_that_cannot_be_meant_are_refused(tmp_path, files, sentence):
    with pytest.raises(ZooError, match=sentence):
        scan_folder(touch(tmp_path / "set", *files))


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_split_without_a_usable_image_is_never_drawn_anew(photos, split):
    root = photos({f"{s}/{c}": 4 for s in ("train", "val", "test") for c in ("a", "b")})
    for file in (root / split).rglob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(ZooError, match=f"none of the 8 {split} images of .* is usable"):
        load(Settings.of({"backbone": "cnn", "data": str(root)}), Progress())


def test_tree_has_each_split_class_and_count(photos):
    root = photos({"train/a": 4, "train/b": 5, "val/a": 2, "val/b": 2, "test/a": 3, "test/b": 1})
    data = load(Settings.of({"backbone": "cnn", "data": str(root)}), Progress())
    assert tree(data) == [
        *("train  9 images", "  a  4", "  b  5"),
        *("val  4 images", "  a  2", "  b  2"),
        *("test  4 images", "  a  3", "  b  1"),
    ]


def test_tree_of_many_classes_is_short(tmp_path):
    from zoo.data.catalog import make_catalog
    from zoo.data.dataset import Dataset
    from zoo.data.split import Split

    rows = [(f"{k}/{i}", f"class {k:03d}", "train") for k in range(100) for i in range(k + 1)]
    catalog = make_catalog("many", tmp_path, rows)
    none = np.zeros(0, np.int64)
    everything = np.arange(len(catalog))
    lines = tree(Dataset(catalog, everything, Split(everything, none, none, none)))
    assert len(lines) == 3 * 22
    assert lines[1].split() == ["class", "099", "100"]
    assert lines[11] == "  ... 80 more classes"
    assert lines[21].split() == ["class", "000", "1"]
