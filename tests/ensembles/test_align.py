"""Tables joined by names: whatever the order, and never two that do not belong together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles import EnsembleError, PredictionTable, align
from tests.helpers.members import noisy, reordered, tables


def of_names(ids: list[str], classes: list[str], **changed) -> PredictionTable:
    """A table whose every probability tells its sample and class, labels by the sample's name."""
    p = np.array([[1 + len(i) + 3 * len(c) for c in classes] for i in ids], float)
    p = p.reshape(len(ids), len(classes))
    by_name = sorted(classes)
    labels = [classes.index(by_name[len(i) % len(classes)]) for i in ids]
    return PredictionTable.of(
        p / p.sum(axis=1, keepdims=True),
        np.array(labels, np.int64),
        ids=np.array(ids, np.str_),
        classes=np.array(classes, np.str_),
        **changed,
    )


# NumPy drops zero bytes at the end of a text; no file is named so
names = st.text(max_size=8).map(lambda name: name.rstrip("\0"))


@given(
    ids=st.lists(names, min_size=1, max_size=9, unique=True),
    classes=st.lists(names, min_size=1, max_size=5, unique=True),
    data=st.data(),
)
@settings(max_examples=60)
def test_another_order_of_samples_and_classes_is_mapped_exactly(ids, classes, data):
    first = of_names(ids, classes)
    order = data.draw(st.permutations(ids)), data.draw(st.permutations(classes))
    for field, value in vars(align([first, of_names(*order)])[1]).items():
        np.testing.assert_array_equal(value, getattr(first, field), err_msg=field)


def test_the_members_keep_their_own_probabilities_and_places():
    p, y = noisy(0, m=4, n=20)
    given_ = tables(p, y)
    rng = np.random.default_rng(0)
    mixed = [given_[0]] + [
        reordered(t, rng.permutation(20), rng.permutation(3)) for t in given_[1:]
    ]
    joined = align(mixed)
    assert len(joined) == 4
    for one, expected in zip(joined, p, strict=True):
        np.testing.assert_array_equal(one.probabilities, expected.astype(np.float32))


def test_the_first_one_gives_the_order():
    p, y = noisy(0, m=2, n=10)
    one, two = tables(p, y)
    turned = reordered(one, np.arange(10)[::-1], np.array([2, 0, 1]))
    joined = align([turned, two])[1]
    assert joined.ids.tolist() == two.ids[::-1].tolist()
    assert joined.classes.tolist() == ["c2", "c0", "c1"]
    np.testing.assert_array_equal(joined.probabilities[0], two.probabilities[9, [2, 0, 1]])


def test_one_table_alone_is_left_as_it_is():
    only = of_names(["a", "bb"], ["x", "yy"])
    assert align([only]) == [only]


BASE = of_names(["a", "bb", "ccc"], ["x", "yy"])
# the odd one, and what the sentence has to say of it
ODD = {
    "split": (replace(BASE, split="test"), ["'val'", "'test'", "split"]),
    "data": (replace(BASE, fingerprint="beef" * 8), ["different data", "'beefbeefbeef'"]),
    "a class more": (
        of_names(["a", "bb", "ccc"], ["x", "yy", "zzz"]),
        ["three has 1 class that one has not", "'zzz'"],
    ),
    "other classes": (
        of_names(["a", "bb", "ccc"], ["v", "w"]),
        ["one has 2 classes that three has not", "'x'"],
    ),
    "a class less": (of_names(["a", "bb", "ccc"], ["x"]), ["one has 1 class", "'yy'"]),
    "a sample more": (
        of_names(["a", "bb", "ccc", "dddd"], ["x", "yy"]),
        ["three has 1 sample that one has not", "'dddd'"],
    ),
    "samples less": (of_names(["ccc"], ["x", "yy"]), ["one has 2 samples", "'a'"]),
    "other samples": (
        of_names(["a", "bb", "ccx"], ["x", "yy"]),
        ["one has 1 sample that three has not", "'ccc'"],
    ),
    "another label": (
        replace(BASE, labels=np.array([1, 0, 0])),
        ["1 sample", "'ccc'", "'yy' and 'x'"],
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_what_does_not_belong_together_is_refused_by_its_difference(case):
    odd, contents = ODD[case]
    with pytest.raises(EnsembleError) as raised:
        align([BASE, BASE, odd], names=["one", "two", "three"])
    for content in contents:
        assert content in str(raised.value)
    assert "two" not in str(raised.value)


@pytest.mark.parametrize("case", ODD)
def test_unnamed_members_are_numbered(case):
    with pytest.raises(EnsembleError, match="member 3"):
        align([BASE, BASE, ODD[case][0]])


def test_labels_are_compared_by_name_not_by_number():
    turned = reordered(BASE, np.arange(3), np.array([1, 0]))
    assert not np.array_equal(turned.labels, BASE.labels)
    np.testing.assert_array_equal(align([BASE, turned])[1].labels, BASE.labels)
    with pytest.raises(EnsembleError, match="label 3 samples differently"):
        align([BASE, replace(turned, labels=BASE.labels)])


@given(st.integers(0, 10**6), st.integers(1, 12))
@settings(max_examples=25)
def test_the_first_sample_with_another_label_is_the_one_that_is_named(seed, n):
    rng = np.random.default_rng(seed)
    p, y = noisy(seed, m=2, n=n)
    one, two = tables(p, y)
    i = int(rng.integers(n))
    two.labels[i] = (two.labels[i] + 1) % 3
    with pytest.raises(EnsembleError, match=rf"label 1 sample differently, .*'s{i}'"):
        align([one, reordered(two, rng.permutation(n), rng.permutation(3))])
