from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.catalog import SPLITS, Catalog, make_catalog
from zoo.data.split import Split, folds, split, split_off
from zoo.errors import ZooError


def catalog_of(labels: list[str], splits: list[str] | None = None) -> Catalog:
    splits = splits or [""] * len(labels)
    rows = [(f"{i:05d}", a, s) for i, (a, s) in enumerate(zip(labels, splits, strict=True))]
    return make_catalog("made", Path(), rows)


def alone(count: int) -> np.ndarray:
    return np.arange(count)


def divide(catalog: Catalog, groups: np.ndarray | None = None, **changed: float) -> Split:
    groups = alone(len(catalog)) if groups is None else np.asarray(groups)
    return split(
        catalog, groups, **{"val_fraction": 0.15, "test_fraction": 0.2, "seed": 0, **changed}
    )


def names(catalog: Catalog, parts: Split) -> dict[str, str]:
    return {catalog.ids[i]: name for name in (*SPLITS, "leaking") for i in parts.rows(name)}


def straddling(parts: Split, groups: np.ndarray) -> set[int]:
    train, val, test = (set(groups[parts.rows(name)].tolist()) for name in SPLITS)
    return (train & val) | (train & test) | (val & test)


def test_each_class_is_divided_in_proportion():
    catalog = catalog_of(["a"] * 100 + ["b"] * 40 + ["c"] * 5)
    parts = divide(catalog)
    counts = [np.bincount(catalog.labels[parts.rows(name)]).tolist() for name in SPLITS]
    assert counts == [[68, 27, 3], [12, 5, 1], [20, 8, 1]]
    assert parts.leaking.size == 0


def test_rows_are_sorted_and_each_is_in_one_split():
    parts = divide(catalog_of(["a", "b"] * 50))
    rows = [parts.rows(name) for name in SPLITS]
    assert all((np.diff(r) > 0).all() for r in rows)
    assert sorted(np.concatenate(rows).tolist()) == list(range(100))


def test_seed_decides_the_split():
    catalog = catalog_of(["a", "b"] * 50)
    one, same, other = (divide(catalog, seed=seed) for seed in (1, 1, 2))
    assert names(catalog, one) == names(catalog, same)
    assert set(one.test) != set(other.test)
    assert set(one.val) != set(other.val)


def test_test_images_do_not_move_with_the_validation_fraction():
    catalog = catalog_of(["a", "b"] * 50)
    tests = {tuple(divide(catalog, val_fraction=f).test) for f in (0.01, 0.15, 0.5)}
    assert len(tests) == 1
    assert len({len(divide(catalog, val_fraction=f).val) for f in (0.01, 0.15, 0.5)}) == 3


def test_split_does_not_depend_on_the_order_of_the_files():
    rows = [(f"{i:03d}", "ab"[i % 2], "") for i in range(60)]
    one = make_catalog("made", Path(), rows)
    other = make_catalog("made", Path(), [rows[i] for i in np.random.permutation(60)])  # noqa: NPY002
    assert names(one, divide(one)) == names(other, divide(other))


def test_groups_stay_on_one_side():
    catalog = catalog_of(["a", "b"] * 60)
    groups = np.repeat(np.arange(30), 4)
    for seed in range(10):
        parts = divide(catalog, groups, seed=seed)
        assert not straddling(parts, groups)
        assert all(len(parts.rows(name)) for name in SPLITS)


def test_given_splits_are_kept():
    given_splits = (["train"] * 6 + ["val"] * 2 + ["test"] * 2) * 2
    catalog = catalog_of(["a"] * 10 + ["b"] * 10, given_splits)
    assert [names(catalog, divide(catalog))[i] for i in catalog.ids] == given_splits


def test_missing_validation_is_drawn_from_train_and_never_from_test():
    catalog = catalog_of(["a"] * 50 + ["b"] * 50, (["train"] * 40 + ["test"] * 10) * 2)
    parts = divide(catalog)
    assert set(catalog.splits[parts.test]) == {"test"}
    assert len(parts.test) == 20
    assert np.bincount(catalog.labels[parts.val]).tolist() == [6, 6]
    assert set(catalog.splits[parts.val]) == {"train"}


@pytest.mark.parametrize("given_splits", [["train"] * 100, (["train"] * 40 + ["val"] * 10) * 2])
def test_missing_test_is_drawn_from_train_where_all_else_is_given(given_splits):
    catalog = catalog_of(["a"] * 50 + ["b"] * 50, given_splits)
    parts = divide(catalog)
    assert set(catalog.splits[parts.test]) == {"train"}
    share = round(0.2 * given_splits[:50].count("train"))
    assert np.bincount(catalog.labels[parts.test]).tolist() == [share, share]
    assert len(parts.val) > 0


def test_missing_test_is_drawn_from_open_images_where_there_are_some():
    catalog = catalog_of(["a"] * 50 + ["b"] * 50, (["train"] * 25 + [""] * 25) * 2)
    assert set(catalog.splits[divide(catalog).test]) == {""}


def test_open_images_go_to_train_where_test_and_validation_are_given():
    catalog = catalog_of(["a", "b"] * 3, ["val"] * 2 + ["test"] * 2 + [""] * 2)
    assert divide(catalog).train.tolist() == [4, 5]


def test_copies_of_test_and_validation_images_are_set_aside():
    given_splits = ["train", "train", "val", "test", "", "train", "val", "test", "train", "train"]
    catalog = catalog_of(["a", "b"] * 5, given_splits)
    #                  t  t  v  t' ''  t  v  t'  t  t
    groups = np.array([0, 1, 2, 3, 3, 3, 3, 7, 2, 9])
    parts = divide(catalog, groups)
    assert parts.leaking.tolist() == [4, 5, 6, 8]
    assert parts.test.tolist() == [3, 7]
    assert parts.val.tolist() == [2]
    assert parts.train.tolist() == [0, 1, 9]


def test_open_copies_of_training_images_are_never_drawn_for_test():
    # each open image is a copy of one given as train, but for a few
    catalog = catalog_of(["a", "b"] * 60, (["train"] * 2 + [""] * 2) * 28 + [""] * 8)
    groups = np.array([4 * (i // 4) + i % 2 for i in range(112)] + list(range(112, 120)))
    for seed in range(10):
        parts = divide(catalog, groups, seed=seed)
        assert not straddling(parts, groups)
        assert set(parts.test) <= set(range(112, 120))


@pytest.mark.parametrize(
    ("labels", "given_splits", "groups", "sentence"),
    [
        ("aab", ["train", "train", "test"], None, "class 'b' has no image left for train"),
        ("aabb", ["train", "test"] * 2, None, "class 'a' has no image left for val.*fractions"),
        ("aabb", ["train", "test"] * 2, [0, 0, 2, 3], "class 'a' has no image left for train"),
    ],
    ids=["test only", "one to train on", "copy of test"],
)
def test_class_without_training_images_gives_a_sentence(labels, given_splits, groups, sentence):
    catalog = catalog_of(list(labels), given_splits)
    with pytest.raises(ZooError, match=sentence):
        divide(catalog, groups)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Catalog, np.ndarray]:
    n = draw(st.integers(8, 60))
    labels = draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    kinds = draw(st.sampled_from([("",), ("train",), ("", "train"), ("train", "test"),
                                  ("", "test"), ("", "train", "val"), ("", *SPLITS)]))  # fmt: skip
    splits = draw(st.lists(st.sampled_from(kinds), min_size=n, max_size=n))
    raw = draw(st.lists(st.integers(0, n), min_size=n, max_size=n))
    return catalog_of(labels, splits), np.unique(raw, return_inverse=True)[1]


@given(problems(), st.integers(0, 5), st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_any_division_is_clean(problem, seed, val_fraction, test_fraction):
    catalog, groups = problem
    try:
        parts = divide(
            catalog, groups, seed=seed, val_fraction=val_fraction, test_fraction=test_fraction
        )
    except ZooError as error:
        assert "has no image left for" in str(error)
        return
    rows = [parts.rows(name).tolist() for name in (*SPLITS, "leaking")]
    assert sorted(itertools.chain(*rows)) == list(range(len(catalog)))
    assert not straddling(parts, groups)
    for name in ("val", "test"):
        kept = set(np.flatnonzero(catalog.splits == name)) - set(parts.leaking)
        assert kept <= set(parts.rows(name))


def labelled(counts: tuple[int, ...]) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def test_split_off_takes_a_share_of_each_class_and_keeps_groups():
    labels = labelled((40, 20))
    stay, off = split_off(labels, alone(60), 0.25, seed=0)
    assert sorted([*stay, *off]) == list(range(60))
    assert np.bincount(labels[off]).tolist() == [10, 5]
    groups = np.arange(60) // 2
    stay, off = split_off(labels, groups, 0.25, seed=0)
    assert sorted([*stay, *off]) == list(range(60))
    assert not set(groups[stay]) & set(groups[off])
    assert np.bincount(labels[off]).tolist() == [10, 4]


def test_split_off_is_decided_by_its_seed():
    one, same, other = (split_off(labelled((40, 20)), alone(60), 0.25, s)[1] for s in (1, 1, 2))
    assert one.tolist() == same.tolist() != other.tolist()


@pytest.mark.parametrize("copies", [1, 2])
def test_folds_cover_all_rows_once_stratified_with_groups_kept(copies):
    labels = labelled((60, 30))
    groups = np.arange(90) // copies
    parts = folds(labels, groups, 5, seed=0)
    assert sorted(np.concatenate([held for _, held in parts])) == list(range(90))
    for rest, held in parts:
        assert sorted([*rest, *held]) == list(range(90))
        assert not set(groups[rest]) & set(groups[held])
        np.testing.assert_allclose(np.bincount(labels[held]), [12, 6], atol=copies)


def test_folds_are_decided_by_their_seed():
    one, same, other = (
        folds(labelled((20, 10)), alone(30), 3, s)[0][1].tolist() for s in (1, 1, 2)
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("counts", "groups", "number"),
    [((10, 4), alone(14), 5), ((3, 0, 3), alone(6), 2), ((6, 6), np.arange(12) // 6, 3)],
    ids=["few images", "empty class", "few that are no copies"],
)
def test_too_few_images_for_the_folds_give_a_sentence(counts, groups, number):
    with pytest.raises(ZooError, match=f"--folds {number} needs at least {number} .* use fewer"):
        folds(labelled(counts), groups, number, seed=0)


@given(st.data())
def test_any_folds_are_clean(data):
    count = data.draw(st.integers(2, 5))
    sizes = [data.draw(st.lists(st.integers(1, 6), min_size=count, max_size=12)) for _ in "ab"]
    labels = labelled(tuple(sum(s) for s in sizes))
    groups = np.repeat(np.arange(sum(map(len, sizes))), [*itertools.chain(*sizes)])
    parts = folds(labels, groups, count, seed=data.draw(st.integers(0, 3)))
    assert len(parts) == count
    assert sorted(np.concatenate([held for _, held in parts])) == list(range(len(labels)))
    for rest, held in parts:
        assert held.size
        assert not set(groups[rest]) & set(groups[held])
        assert set(labels[rest]) == {0, 1}
