from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo.data.dataset import Dataset, load
from zoo.data.groups import of_names, of_pattern, united
from zoo.errors import ZooError
from zoo.progress import Progress
from zoo.settings import Settings


def of_folder(folder: Path, **settings: object) -> Dataset:
    return load(Settings.of({"backbone": "cnn", "data": str(folder), **settings}), Progress())


def sides(data: Dataset) -> list[set[str]]:
    """The splits that the images of each group are in."""
    names = np.full(len(data.catalog), "none", "<U5")
    for name in ("train", "val", "test"):
        names[data.split.rows(name)] = name
    return [set(names[data.groups == group].tolist()) for group in np.unique(data.groups)]


def test_equal_names_share_a_group_and_an_empty_name_shares_none():
    assert of_names(["x", "", "y", "x", "", "y"]).tolist() == [0, 1, 2, 0, 3, 2]
    assert of_names([]).tolist() == []


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("patient[0-9]+", ["patient1", "patient1", "patient2", ""]),
        ("patient([0-9]+)", ["1", "1", "2", ""]),
        ("^(.)/patient([0-9])", ["a\0001", "b\0001", "a\0002", ""]),
    ],
)
def test_pattern_names_the_group_by_its_groups_or_by_all_it_matches(pattern, names):
    ids = ["a/patient1_0.png", "b/patient1_1.png", "a/patient2_0.png", "b/other.png"]
    assert of_pattern(ids, pattern) == names


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("patient(", "is no regular expression"),
        ("specimen", "matches none of the 2 paths"),
        ("^[ab]/p", None),
        ("p", "puts all 2 images in one group"),
    ],
)
def test_pattern_that_tells_nothing_apart_gives_a_sentence(pattern, sentence):
    if sentence is None:
        assert len(set(of_pattern(["a/p1", "b/p1"], pattern))) == 2
        return
    with pytest.raises(ZooError, match=sentence):
        of_pattern(["a/p1", "b/p1"], pattern)


def test_groupings_unite_over_chains():
    first, second = np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])
    assert united(first, second).tolist() == [0, 0, 0, 1, 2]
    assert united(first).tolist() == first.tolist()


def test_groups_of_a_pattern_are_in_one_split_and_unite_with_copies(photos):
    root = photos({"cat": 30, "dog": 30})
    for folder in ("cat", "dog"):
        for i, file in enumerate(sorted((root / folder).iterdir())):
            file.rename(file.with_name(f"patient{folder[0]}{i // 3}_{i % 3}.png"))
    # a copy of an image of one patient among those of another joins the two
    copied = (root / "cat" / "patientc0_0.png").read_bytes()
    (root / "cat" / "patientc5_9.png").write_bytes(copied)
    data = of_folder(root, group_pattern="patient.[0-9]+")
    assert data.groups.dtype == np.int64
    assert len(set(data.groups.tolist())) == 19
    assert data.summary()["groups"] == 19
    assert data.summary()["copies"] == 1
    assert all(len(found) == 1 for found in sides(data))
    assert all(len(data.split.rows(name)) for name in ("train", "val", "test"))


@pytest.mark.parametrize(("column", "settings"), [("group", {}), ("who", {"group_column": "who"})])
def test_groups_of_a_manifest_column_are_in_one_split(photos, column, settings):
    root = photos({"cat": 24, "dog": 24})
    lines = [f"path,label,{column}"]
    lines += [f"{c}/{i:03d}.png,{c},p{i // 4}" for c in ("cat", "dog") for i in range(24)]
    (root / "list.csv").write_text("\n".join(lines))
    data = of_folder(root / "list.csv", **settings)
    assert len(set(data.groups.tolist())) == 6  # the same patients in both classes
    assert all(len(found) == 1 for found in sides(data))
