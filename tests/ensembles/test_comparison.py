"""One classifier against another: McNemar's test, the bootstrap, and what is concluded."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from ensembles import EnsembleError, compare
from ensembles.comparison import is_distinguishable, mcnemar
from tests.helpers.members import logits_and_labels, loss, noisy, reordered, softmax, tables


@pytest.mark.parametrize("total", [0, 1, 2, 5, 17, 60, 1001])
def test_the_p_value_is_that_of_scipy(total):
    for first in range(0, total + 1, max(1, total // 9)):
        expected = binomtest(first, total).pvalue if total else 1.0
        assert mcnemar(first, total - first) == pytest.approx(expected, rel=1e-6, abs=1e-300)


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 4))
@settings(max_examples=25)
def test_the_counts_are_those_of_counting(seed, n, k):
    p, y = noisy(seed, m=2, n=n, k=k)
    found = compare(*tables(p, y))
    right = [[int(row.argmax()) == label for row, label in zip(q, y, strict=True)] for q in p]
    pairs = list(zip(*right, strict=True))
    assert found.n == n
    assert found.only_first == pairs.count((True, False))
    assert found.only_second == pairs.count((False, True))
    assert found.accuracy == pytest.approx((sum(right[0]) - sum(right[1])) / n)
    assert found.log_loss == pytest.approx(loss(p[0], y) - loss(p[1], y), abs=1e-6)
    assert found.low <= found.log_loss + 1e-9
    assert found.high >= found.log_loss - 1e-9


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_the_other_way_round_it_is_the_opposite(seed):
    one, two = tables(*noisy(seed, m=2, n=80, noise=1 + seed % 3))
    there, back = compare(one, two), compare(two, one)
    assert back.p_value == there.p_value
    assert (back.only_first, back.only_second) == (there.only_second, there.only_first)
    assert (back.accuracy, back.log_loss) == (-there.accuracy, -there.log_loss)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    opposite = {"better": "worse", "worse": "better"}
    assert back.by_accuracy == opposite.get(there.by_accuracy, there.by_accuracy)
    assert back.by_log_loss == opposite.get(there.by_log_loss, there.by_log_loss)


def with_losses(losses: np.ndarray):
    """A table whose log losses are these, all labels being the first of two classes."""
    p = np.exp(-losses)
    return tables(np.stack([p, 1 - p], axis=1)[None], np.zeros(len(p), int))[0]


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng, held, truth = np.random.default_rng(0), 0, 0.1
    for _ in range(120):
        base = rng.uniform(0.2, 1.2, 150)
        found = compare(with_losses(base + truth + rng.uniform(-0.2, 0.2, 150)), with_losses(base))
        held += found.low <= truth <= found.high
    assert 106 <= held <= 119  # 95% of 120 is 114, its standard error 2.4


def test_the_interval_is_that_of_the_normal_approximation_where_there_are_many():
    rng = np.random.default_rng(1)
    base, more = rng.uniform(0.2, 1, 2000), rng.exponential(0.2, 2000)
    found = compare(with_losses(base + more), with_losses(base))
    error = more.std() / np.sqrt(2000)
    assert found.low == pytest.approx(more.mean() - 1.96 * error, abs=0.3 * error)
    assert found.high == pytest.approx(more.mean() + 1.96 * error, abs=0.3 * error)


def test_a_classifier_is_not_distinguishable_from_itself():
    one = tables(*noisy(0, m=1, n=50))[0]
    found = compare(one, one)
    assert (found.by_accuracy, found.by_log_loss) == ("not distinguishable",) * 2
    assert (found.p_value, found.log_loss, found.low, found.high) == (1.0, 0.0, 0.0, 0.0)


def test_two_that_are_equally_good_are_not_distinguishable():
    p, y = noisy(3, m=2, n=300, noise=1.0)
    found = compare(*tables(p, y))
    assert (found.by_accuracy, found.by_log_loss) == ("not distinguishable",) * 2


def test_a_clear_difference_is_seen():
    logits, y = logits_and_labels(0, 400, 3, width=3)
    rng = np.random.default_rng(0)
    good = softmax(logits + rng.normal(0, 0.3, logits.shape))
    bad = softmax(logits + rng.normal(0, 4, logits.shape))
    one, two = tables(np.stack([good, bad]), y)
    assert (compare(one, two).by_accuracy, compare(one, two).by_log_loss) == ("better",) * 2
    assert (compare(two, one).by_accuracy, compare(two, one).by_log_loss) == ("worse",) * 2


def test_better_probabilities_show_in_the_log_loss_alone():
    logits, y = logits_and_labels(0, 400, 3)
    one, two = tables(softmax(np.stack([logits, logits * 4])), y)
    found = compare(one, two)
    assert (found.by_accuracy, found.by_log_loss) == ("not distinguishable", "better")


def test_the_order_of_the_second_one_does_not_matter():
    one, two = tables(*noisy(0, m=2, n=60))
    rng = np.random.default_rng(0)
    turned = reordered(two, rng.permutation(60), rng.permutation(3))
    assert compare(one, turned) == compare(one, two)


def test_the_same_seed_gives_the_same_interval_and_others_nearly_so():
    one, two = tables(*noisy(0, m=2, n=200))
    first, again, other = (compare(one, two, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert first.low == pytest.approx(other.low, abs=0.1 * (first.high - first.low))


def test_it_goes_into_json():
    record = compare(*tables(*noisy(0, m=2, n=40))).as_record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert {"n", "p_value", "low", "high", "by_accuracy", "by_log_loss"} <= set(record)


def test_what_cannot_be_compared_is_refused():
    one, two = tables(*noisy(0, m=2, n=20))
    with pytest.raises(EnsembleError, match="'s19'"):
        compare(one, two.rows(np.arange(19)))
    with pytest.raises(EnsembleError, match="no samples"):
        compare(one.rows(np.arange(0)), two.rows(np.arange(0)))


@pytest.mark.parametrize(("n", "expected"), [(20, "cannot be told"), (39, "cannot be told")])
def test_of_fewer_than_forty_samples_the_log_loss_cannot_be_told(n, expected):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 1, n)
    found = compare(with_losses(base + 1), with_losses(base))
    assert found.low > 0
    assert found.by_log_loss == expected
    wide = np.concatenate([base, rng.uniform(0.2, 1, 40 - n)])
    assert compare(with_losses(wide + 1), with_losses(wide)).by_log_loss == "worse"


def in_groups(table, size):
    return replace(table, groups=np.arange(len(table)) // size)


def test_groups_are_compared_where_samples_depend_on_each_other():
    """Forty samples four times over are forty samples."""
    rng = np.random.default_rng(2)
    base, more = rng.uniform(0.2, 1.2, 40), rng.normal(0.03, 0.2, 40)
    one, two = base + abs(more), base + 0.12
    alone = compare(with_losses(one), with_losses(two))
    copied = [with_losses(np.repeat(losses, 4)) for losses in (one, two)]
    counted = compare(*(in_groups(table, 4) for table in copied))
    naive = compare(*copied)
    assert (counted.n, counted.independent) == (160, 40)
    assert counted.low == pytest.approx(alone.low, abs=0.01)
    assert counted.high == pytest.approx(alone.high, abs=0.01)
    assert naive.high - naive.low < 0.7 * (counted.high - counted.low)
    few = compare(*(in_groups(table, 5) for table in copied))
    assert (few.independent, few.by_log_loss) == (32, "cannot be told")


def test_mcnemars_test_counts_groups_too():
    right = np.repeat(np.arange(30) < 6, 5)
    one = with_losses(np.where(right, 0.1, 2.0))
    two = with_losses(np.full(150, 2.0))
    assert compare(one, two).p_value < 1e-6
    # six groups of one mind: 2 / 2 ** 6, by draws
    found = compare(in_groups(one, 5), in_groups(two, 5))
    assert found.p_value == pytest.approx(2 / 2**6, abs=0.006)
    assert (found.only_first, found.only_second) == (30, 0)


def test_a_comparison_that_is_one_of_many_is_corrected_for_them():
    one, two = tables(*noisy(0, m=2, n=200))
    alone, corrected = compare(one, two), compare(one, two, tests=10)
    assert corrected.p_value == pytest.approx(min(1.0, 10 * alone.p_value))
    assert corrected.low < alone.low < alone.high < corrected.high
    assert corrected.as_record()["tests"] == 10


def test_copies_add_nothing_to_what_can_be_told():
    difference = np.random.default_rng(3).normal(0.2, 1, 60)
    groups = np.repeat(np.arange(60), 9)
    assert not is_distinguishable(difference)
    assert not is_distinguishable(difference[groups], groups)
    assert is_distinguishable(difference[groups])


@pytest.mark.parametrize("n", [1, 20, 39])
def test_few_samples_cannot_tell(n):
    assert not is_distinguishable(5 + np.random.default_rng(0).normal(size=n))
    assert is_distinguishable(5 + np.random.default_rng(0).normal(size=40))


@pytest.mark.parametrize("difference", [np.zeros(100), np.full(100, 1e-16), np.full(100, -1e-12)])
def test_rounding_is_no_difference(difference):
    assert not is_distinguishable(difference)
