"""Folds: stratified, and the samples' own affair."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles._folds import fold_numbers

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
