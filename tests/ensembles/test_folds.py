"""Folds: stratified, and the samples' own affair."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles._folds import fold_numbers, unit_names

labels_ = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)


@given(labels_, st.integers(2, 7), st.integers(0, 10**6))
@settings(max_examples=40)
def test_a_sample_keeps_its_fold_in_any_order_and_by_any_number_of_its_class(labels, folds, seed):
    rng = np.random.default_rng(seed)
    ids = np.array([f"folder/{seed}_{i}.png" for i in range(len(labels))])
    expected = fold_numbers(labels, folds, ids)
    rows, renumbered = rng.permutation(len(labels)), rng.permutation(5)
    np.testing.assert_array_equal(
        fold_numbers(renumbered[labels[rows]], folds, ids[rows]), expected[rows]
    )


@given(labels_, st.integers(2, 7))
@settings(max_examples=40)
def test_every_class_is_spread_evenly(labels, folds):
    numbers = fold_numbers(labels, folds)
    assert set(numbers) <= set(range(folds))
    for label in np.unique(labels):
        sizes = np.bincount(numbers[labels == label], minlength=folds)
        assert sizes.max() - sizes.min() <= 1


def test_small_classes_do_not_all_meet_in_the_first_folds():
    sizes = np.bincount(fold_numbers(np.repeat(np.arange(100), 2), 5), minlength=5)
    assert sizes.min() > 20  # of 200; were each class to begin in fold 0, three would be empty


def test_another_seed_gives_other_folds():
    labels = np.zeros(50, int)
    one, same, other = (fold_numbers(labels, 5, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), min_size=1, max_size=80))
@settings(max_examples=40)
def test_a_group_is_in_one_fold_whatever_its_number_and_the_order(rows):
    labels, groups = np.array(rows).T
    ids = np.array([f"{i:03d}.png" for i in range(len(rows))])
    found = fold_numbers(labels, 4, unit_names(ids, groups))
    for group in np.unique(groups):
        assert len(set(found[groups == group])) == 1
    order = np.random.default_rng(0).permutation(len(rows))
    again = fold_numbers(labels[order], 4, unit_names(ids[order], 100 - groups[order]))
    np.testing.assert_array_equal(again, found[order])


def test_groups_of_several_sizes_make_folds_of_nearly_one_size():
    groups = np.repeat(np.arange(60), np.tile([1, 2, 9], 20))
    labels = groups % 2
    sizes = np.bincount(fold_numbers(labels, 5, unit_names(np.arange(len(groups)), groups)))
    assert sizes.max() - sizes.min() <= 9


def test_groups_of_one_are_as_no_groups():
    ids = np.array([f"{i}.png" for i in range(50)])
    np.testing.assert_array_equal(unit_names(ids, np.arange(50)[::-1]), ids)
    np.testing.assert_array_equal(unit_names(ids, None), ids)
