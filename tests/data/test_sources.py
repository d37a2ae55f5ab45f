from __future__ import annotations

import codecs
import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from zoo.data import builtin
from zoo.data.catalog import Catalog
from zoo.data.inspect import inspect
from zoo.data.sources import scan
from zoo.data.walk import files_below, is_image_name
from zoo.errors import ZooError
from zoo.progress import Progress


def shown(catalog: Catalog) -> dict[str, tuple[str, str]]:
    """Id to (class name, split)."""
    return {
        sample: (catalog.classes[label], str(split))
        for sample, label, split in zip(catalog.ids, catalog.labels, catalog.splits, strict=True)
    }


def touch(root: Path, *files: str) -> Path:
    """Files of these names; scanning decodes nothing, so that they need not be images."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def manifest(root: Path, content: str | bytes, name: str = "list.csv") -> str:
    touch(root, "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
    content = content.encode() if isinstance(content, str) else content
    (root / name).write_bytes(content)
    return str(root / name)


def test_folder_of_class_folders(photos):
    root = photos({"dog": 2, "cat": 3})
    catalog = scan(str(root))
    assert catalog.name == "photos"
    assert catalog.classes == ("cat", "dog")
    expected = ("cat/000.png", "cat/001.png", "cat/002.png", "dog/000.png", "dog/001.png")
    assert catalog.ids == expected
    assert catalog.labels.tolist() == [0, 0, 0, 1, 1]
    assert set(catalog.splits) == {""}
    assert catalog.path(4).is_file()


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), ("train", "val", "test")),
        (("train", "valid", "testing"), ("train", "val", "test")),
        (("Training", "validation", "TEST"), ("train", "val", "test")),
        (("train", "test"), ("train", "test")),
        (("train", "val"), ("train", "test")),
        (("train",), ("train",)),
    ],
)
def test_split_folders_give_the_splits(tmp_path, folders, splits):
    for folder in folders:
        touch(tmp_path / "set", f"{folder}/cat/1.jpg", f"{folder}/dog/1.jpg")
    expected = {
        f"{folder}/{label}/1.jpg": (label, split)
        for folder, split in zip(folders, splits, strict=True)
        for label in ("cat", "dog")
    }
    assert shown(scan(str(tmp_path / "set"))) == expected


def test_hidden_files_and_folders_are_skipped(tmp_path):
    root = touch(
        tmp_path / "set",
        *("cat/1.jpg", "cat/.DS_Store", "cat/._1.jpg", "cat/Thumbs.db", "cat/desktop.ini"),
        *("cat/.thumbnails/1.jpg", "dog/1.jpg", ".git/config", "readme.txt"),
    )
    assert scan(str(root)).ids == ("cat/1.jpg", "dog/1.jpg")


def test_nested_folders_belong_to_their_class(tmp_path):
    root = touch(tmp_path / "set", "cat/2020/may/1.jpg", "cat/1.jpg", "dog/train/1.jpg")
    assert shown(scan(str(root))) == {
        "cat/1.jpg": ("cat", ""),
        "cat/2020/may/1.jpg": ("cat", ""),
        "dog/train/1.jpg": ("dog", ""),
    }


def test_links_are_followed_but_loops_end(tmp_path):
    root = touch(tmp_path / "set", "cat/1.jpg", "cat/deep/2.jpg", "dog/1.jpg")
    touch(tmp_path / "elsewhere", "3.jpg")
    (root / "cat" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "deep" / "class").symlink_to(root / "cat")
    (root / "cat" / "deep" / "root").symlink_to(root)
    (root / "dog" / "self").symlink_to(".")
    assert scan(str(root)).ids == ("cat/1.jpg", "cat/deep/2.jpg", "cat/linked/3.jpg", "dog/1.jpg")


def test_order_does_not_depend_on_how_files_were_made(tmp_path):
    names = [
        f"{label}/{number}.jpg" for label in ("zebra", "Ape", "ape", "éland") for number in "12"
    ]
    one, other = touch(tmp_path / "1", *names), touch(tmp_path / "2", *reversed(names))
    assert scan(str(one)).classes == scan(str(other)).classes == ("Ape", "ape", "zebra", "éland")
    assert scan(str(one)).ids == scan(str(other)).ids == tuple(sorted(names))


def test_any_class_name_survives(tmp_path):
    strange = ["<script>alert(1)<", "a b", "=1+1", "{{x}}", "\x1b[31m", 'it\'s "so"', "日本"]
    root = touch(tmp_path / "set", *(f"{name}/1.jpg" for name in strange))
    assert set(scan(str(root)).classes) == set(strange)
    rows = [["path", "label"]] + [[f"{name}/1.jpg", name] for name in strange]
    with (root / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    assert set(scan(str(root / "list.csv")).classes) == set(strange)


def test_folder_and_file_names_that_are_not_utf8_are_scanned_and_inspected(photos):
    root = photos({"cat": 1, "dog": 1}, "plain")
    odd = root.with_name(os.fsdecode(b"caf\xe9"))
    root.rename(odd)
    (odd / "cat").rename(odd / os.fsdecode(b"k\xe4tze"))
    catalog = scan(str(odd))
    assert list(inspect(catalog, Progress()).reasons) == ["", ""]


def test_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path / "set", "cat/1.jpg", "dog/1.jpg")
    assert len(scan("~/set")) == 2


def test_image_files_are_told_by_their_suffix(tmp_path):
    touch(tmp_path / "set", "b.JPG", "a/c.png", "notes.txt", ".hidden.jpg", "d.webp")
    found = [path for path in files_below(tmp_path / "set").paths if is_image_name(path)]
    assert sorted(found) == ["a/c.png", "b.JPG", "d.webp"]


ROWS = "a/1.jpg,cat,train\na/2.jpg,cat,test\nb/1.jpg,dog,\nb/2.jpg,dog,Valid\n"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("path,label,split\n" + ROWS, "list.csv"),
        ("path,label,split\r\n" + ROWS.replace("\n", "\r\n"), "list.CSV"),
        (codecs.BOM_UTF8 + b"path,label,split\n" + ROWS.encode(), "list.csv"),
        ("path\tlabel\tsplit\n" + ROWS.replace(",", "\t"), "list.tsv"),
        ("path\tlabel\tsplit\n" + ROWS.replace(",", "\t"), "list.TSV"),
        ("split,note,label,path\ntrain,,cat,a/1.jpg\n\ntest,x,cat,./a/2.jpg\n"
         ",,dog, b/1.jpg \nvalid,,dog,a/../b/2.jpg\n", "list.csv"),
    ],
    ids=["csv", "windows", "bom", "tsv", "TSV", "other columns"],
)  # fmt: skip
def test_manifest_gives_classes_and_splits(tmp_path, content, name):
    catalog = scan(manifest(tmp_path / "set", content, name))
    assert catalog.name == "list"
    assert shown(catalog) == {
        "a/1.jpg": ("cat", "train"),
        "a/2.jpg": ("cat", "test"),
        "b/1.jpg": ("dog", ""),
        "b/2.jpg": ("dog", "val"),
    }


def test_manifest_without_splits_leaves_them_open(tmp_path):
    catalog = scan(manifest(tmp_path / "set", "path,label\na/1.jpg,cat\nb/1.jpg,dog\n"))
    assert shown(catalog) == {"a/1.jpg": ("cat", ""), "b/1.jpg": ("dog", "")}


def test_manifest_may_name_files_absolutely_below_its_folder(tmp_path):
    root = tmp_path / "set"
    catalog = scan(manifest(root, f"path,label\n{root}/a/1.jpg,cat\nb/1.jpg,dog\n"))
    assert catalog.ids == ("a/1.jpg", "b/1.jpg")


BAD_MANIFESTS = {
    "no label": ("path,label\na/1.jpg,cat\n\nb/1.jpg,\n", "line 4 of manifest .* has no label"),
    "short line": (
        "path,label\na/1.jpg,cat\nb/1.jpg\n",
        "line 3 of manifest .* has 1 fields, the header 2",
    ),
    "long line": ("path,label\na/1.jpg,cat, red\n", "line 2 .* has 3 fields.* in quotes"),
    "long path": ("path,label\na/1.jpg,cat\n\nb,1.jpg,dog\n", "line 4 .* has 3 fields"),
    "semicolons": ("path;label\na/1.jpg;cat;red\n", r"line 2 .* separator \(;\)"),
    "two labels": ("path,label,Label\na/1.jpg,cat,dog\n", "line 1 .* 'label' twice"),
    "two paths": ("path;path;label\na/1.jpg;a/2.jpg;dog\n", "line 1 .* 'path' twice"),
    "drive": ("path,label\nC:\\new\\1.jpg,cat\nC:\\new\\2.jpg,dog\n", "none of the 2 files"),
    "no path": ("path,label\n,cat\n", "line 2 of manifest .* has no path"),
    "above": ("path,label\n../x.jpg,cat\n", r"line 2 .* names \.\./x\.jpg.* outside the data"),
    "around": ("path,label\na/../../x.jpg,cat\n", "line 2 .* outside the data folder"),
    "absolute": ("path,label\n/etc/passwd,cat\n", "names /etc/passwd, which lies outside"),
    "twice": (
        "path,label\na/1.jpg,cat\n./a/1.jpg,dog\n",
        r"line 3 .* lists a/1\.jpg as 'dog', line 2 as 'cat'",
    ),
    "twice by slash": ("path,label\na/1.jpg,cat\na\\1.jpg,dog\n", "line 3 .* line 2 as 'cat'"),
    "two splits": (
        "path,label,split\na/1.jpg,cat,train\na/1.jpg,cat,test\n",
        "line 3 .* as 'cat' 'test', line 2 as 'cat' 'train'",
    ),
    "no column": (
        "path,class\na/1.jpg,cat\n",
        "no column 'label'.* it is path,class; .*--label-col",
    ),
    "one-hot": ("path,cat,dog\na/1.jpg,1,0\n", "no column 'label'.* it is path,cat,dog"),
    "no header": ("a/1.jpg,cat\n", "no column 'path'.* must name path, label"),
    "empty": ("", "no column 'path'"),
    "header only": ("path,label\n", "holds no images"),
    "split": ("path,label,split\na/1.jpg,cat,new\n", "line 2 .* 'new': expected train, val, test"),
    "latin 1": ("path,label\na/1.jpg,caf\xe9\n".encode("latin-1"), "not a CSV file in UTF-8"),
    "UTF-16 cut": ("path,label\na/1.jpg,cat\n".encode("utf-16")[:-1], "not a CSV file in UTF-8"),
    "binary": (b'path,label\n"' + b"x" * 200_000, "not a CSV file in UTF-8"),
    "none exists": ("path,label\n1.jpg,cat\n2.jpg,dog\n", r"none of the 2 files .* is 1\.jpg"),
    "one class": ("path,label\na/1.jpg,cat\na/2.jpg,cat\n", r"one class \(cat\)"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_unusable_manifest_gives_a_sentence(tmp_path, content, sentence):
    with pytest.raises(ZooError, match=sentence):
        scan(manifest(tmp_path / "set", content))


def test_manifest_with_a_name_no_file_can_have_lists_it_as_bad(tmp_path):
    content = "path,label\na/1.jpg,cat\nb/1\0.jpg,dog\n" + f"{'x' * 300}.jpg,dog\n"
    seen = inspect(scan(manifest(tmp_path / "set", content)), Progress())
    assert all(seen.reasons)


BAD_FOLDERS = {
    "empty": ((), "holds no images in class folders: expected a folder for each class"),
    "flat": (
        ("1.jpg", "2.jpg"),
        "holds no images in class folders: expected a folder for each class",
    ),
    "one class": (("cat/1.jpg",), r"holds one class \(cat\).*at least two"),
    "empty class": (("cat/1.jpg", "dog/.keep"), "class 'dog' of .* has no files"),
    "test only": (
        ("train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/new/1.jpg"),
        "class 'new' of .* is in the test images only",
    ),
    "two trains": (
        ("train/a/1.jpg", "training/a/1.jpg"),
        "two folders for one split: train, train",
    ),
    "two vals": (("train/a/1.jpg", "val/a/1.jpg", "valid/a/1.jpg"), "two folders for one split"),
}


@pytest.mark.parametrize(("files", "sentence"), BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_unusable_folder_gives_a_sentence(tmp_path, files, sentence):
    (tmp_path / "set").mkdir()
    with pytest.raises(ZooError, match=sentence):
        scan(str(touch(tmp_path / "set", *files)))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("digit", "there is no data at digit: did you mean 'digits'"),
        ("EPLV", "there is no data at EPLV: did you mean 'elpv'"),
        ("flowers", "there is no data at flowers: there is elpv, digits"),
        ("no/such/folder", "there is no data at no/such/folder: check the path"),
        ("~nobody-of-this-name/photos", "there is no data at ~nobody-of-this-name/photos"),
        (__file__, r"is a file: expected a folder, or a manifest ending in \.csv"),
    ],
)
def test_what_is_not_there_gives_a_sentence(source, sentence):
    with pytest.raises(ZooError, match=sentence):
        scan(source)


def test_digits_are_written_once_and_are_complete():
    from sklearn.datasets import load_digits

    catalog = scan("digits")
    assert len(catalog) == 1797
    assert catalog.classes == tuple("0123456789")
    assert np.bincount(catalog.labels).tolist() == np.bincount(load_digits().target).tolist()
    written = catalog.path(0).stat()
    again = scan("digits")
    assert again.ids == catalog.ids
    assert (again.path(0).stat().st_ino, again.path(0).stat().st_mtime_ns) == (
        written.st_ino,
        written.st_mtime_ns,
    )


@pytest.mark.skipif(not builtin.elpv_installed(), reason="pip install elpv-dataset")
def test_elpv_is_complete_and_defective_from_a_probability_of_one_half():
    catalog = scan("elpv")
    assert len(catalog) == 2624
    lines = (catalog.root / "labels.csv").read_text().splitlines()
    chances = {line.split()[0]: float(line.split()[1]) for line in lines}
    expected = {s: "defective" if p >= 0.5 else "functional" for s, p in chances.items()}
    assert {s: label for s, (label, _) in shown(catalog).items()} == expected
    assert np.bincount(catalog.labels).tolist() == [
        sum(p >= 0.5 for p in chances.values()),
        sum(p < 0.5 for p in chances.values()),
    ]
    assert all(catalog.path(i).is_file() for i in range(0, 2624, 97))


def test_every_built_in_says_what_it_is():
    assert all(len(entry.about) > 20 for entry in builtin.SETS.values())


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    """A folder with real prepared TensorFlow Datasets, known by their files alone."""
    folder = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(folder))
        tfds = pytest.importorskip("tensorflow_datasets")
        # the environment is read once, when the library is imported
        patch.setattr(tfds.core.constants, "DATA_DIR", str(folder))
        write_tfds(folder)
        yield folder


def write_tfds(folder: Path) -> None:
    import tensorflow_datasets as tfds

    class Toy(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
        fields = {"image": image, "label": tfds.features.ClassLabel(names=["and/or", "nor"])}  # noqa: RUF012
        labelled = True

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(self.fields)
            )

        def _split_generators(self, manager):
            first = {"train": 0, "validation": 50, "test": 100, "extra": 200}
            return {split: self._generate_examples(number) for split, number in first.items()}

        def _generate_examples(self, first):
            for i in range(6):
                grey = np.full((8, 8, 3), first + i, np.uint8)
                yield i, {"image": grey, "label": i % 2 if first < 100 or self.labelled else -1}

    with tfds.core.registered.skip_registration():

        class ToyPhotos(Toy):
            pass

        class ToyBlind(Toy):
            labelled = False

        class ToyNumbers(Toy):
            fields = {"value": tfds.features.Scalar(np.int64)}  # noqa: RUF012

            def _generate_examples(self, first):
                yield 0, {"value": first}

    for builder in (ToyPhotos, ToyBlind, ToyNumbers):
        builder(data_dir=folder).download_and_prepare()


def test_tfds_images_are_exported_with_their_splits(tfds_folder):
    from PIL import Image

    catalog = scan("tfds:toy_photos")
    assert catalog.name == "toy_photos"
    assert catalog.classes == ("and-or", "nor")
    counts = Counter(zip(catalog.splits.tolist(), catalog.labels.tolist(), strict=True))
    assert counts == {(split, label): 3 for split in ("train", "val", "test") for label in (0, 1)}
    first = {"train": 0, "val": 50, "test": 100}
    for i, split in enumerate(catalog.splits.tolist()):
        number = Image.open(catalog.path(i)).getpixel((0, 0))[0] - first[split]
        assert number in range(6)
        assert number % 2 == catalog.labels[i]


def test_tfds_images_without_a_label_are_left_out(tfds_folder):
    catalog = scan("tfds:toy_blind")
    # as no test image is left, validation is the held-out data
    assert Counter(catalog.splits.tolist()) == {"train": 6, "test": 6}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no_such_set", "tfds:no_such_set could not be loaded .*no_such_set.*check the name"),
        ("../../etc", r"tfds:\.\./\.\./etc could not be loaded .*check the name"),
        ("", "tfds: could not be loaded .*check the name"),
        (
            "toy_numbers",
            "no image classification set: it has value, but an image and a class label",
        ),
    ],
)
def test_unusable_tfds_set_gives_a_sentence_and_leaves_nothing(
    tfds_folder, tmp_path, name, sentence
):
    with pytest.raises(ZooError, match=sentence):
        scan(f"tfds:{name}")
    assert list((tmp_path / "cache" / "tfds").iterdir()) == []
