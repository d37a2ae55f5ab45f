"""Which features a head sees: chosen by cross-validation, the simplest unless others are better."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from zoo.train.choice import (
    FeatureSet,
    Rows,
    choose_features,
    cross_validated,
    fit_chosen,
    lifted,
    reduced,
)
from zoo.train.probe import Head, Problem, fit_head, soft_targets
from zoo.train.standard import Standard

LAST, DEEP = FeatureSet(), FeatureSet("all", 1)
OWN, MORE, K = 6, 300, 3


def rows_of(labels: np.ndarray, groups: np.ndarray | None = None) -> Rows:
    n = len(labels)
    groups = np.arange(n) if groups is None else groups
    return Rows(labels, soft_targets(labels, K, 0.0), np.ones(n, np.float32), groups)


def features(informative: int, n: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The network's own features, then others, of which some tell the classes too."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % K
    x = rng.normal(size=(n, OWN + MORE))
    x[:, 0] += labels
    x[:, OWN : OWN + informative] += 1.2 * rng.normal(size=(K, informative))[labels]
    x[:, OWN:] *= np.linspace(0.1, 30, MORE)
    return x.astype(np.float32), labels


def tables(x: np.ndarray) -> dict[FeatureSet, np.ndarray]:
    return {LAST: x[:, :OWN], DEEP: x}


def test_depths_are_kept_where_they_hold_more():
    x, labels = features(40)
    choice = choose_features(tables(x), OWN, rows_of(labels))
    assert choice.features == DEEP
    assert choice.losses["all depths, 1 view"] < choice.losses["the last layer, 1 view"]


def test_the_last_layer_stays_where_depths_hold_nothing_more():
    x, labels = features(0)
    assert choose_features(tables(x), OWN, rows_of(labels)).features == LAST


def test_a_few_images_tell_nothing_and_the_last_layer_stays():
    x, labels = features(40, n=30)
    choice = choose_features(tables(x), OWN, rows_of(labels))
    assert (choice.features, choice.l2, choice.losses) == (LAST, None, {})


def test_images_of_one_group_are_one_image():
    x, labels = features(40, n=30)
    x, labels, groups = np.tile(x, (8, 1)), np.tile(labels, 8), np.tile(np.arange(30), 8)
    assert choose_features(tables(x), OWN, rows_of(labels, groups)).features == LAST


def test_a_class_of_one_group_cannot_be_in_two_folds_and_the_last_layer_stays():
    x, labels = features(40)
    groups = np.where(labels == 0, 0, np.arange(len(labels)) + 1)
    assert choose_features(tables(x), OWN, rows_of(labels, groups)).features == LAST


def test_a_given_set_is_not_judged():
    x, labels = features(40)
    choice = choose_features({DEEP: x}, OWN, rows_of(labels))
    assert (choice.features, choice.judged) == (DEEP, {})


def test_views_are_kept_where_their_mean_has_less_noise():
    rng = np.random.default_rng(1)
    labels = np.arange(300) % K
    signal = rng.normal(size=(K, OWN))[labels]
    views = [(signal + 2 * rng.normal(size=signal.shape)).astype(np.float32) for _ in range(2)]
    of_views = {LAST: views[0], FeatureSet("last", 2): (views[0] + views[1]) / 2}
    assert choose_features(of_views, OWN, rows_of(labels)).features == FeatureSet("last", 2)


def test_many_images_are_judged_by_some_of_them_in_whole_groups(monkeypatch):
    monkeypatch.setattr("zoo.train.choice._MOST", 120)
    x, labels = features(40, n=600)
    choice = choose_features(tables(x), OWN, rows_of(labels))
    assert choice.features == DEEP
    assert {len(judged.losses) for judged in choice.judged.values()} == {120}


def test_reduced_features_have_the_same_products_and_the_way_back():
    z = np.random.default_rng(0).normal(size=(40, 90)).astype(np.float32)
    small, factor = reduced(z)
    assert small.shape == (40, 40)
    np.testing.assert_allclose(small @ small.T, z @ z.T, atol=0.05)
    kernel = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
    np.testing.assert_allclose(z @ lifted(kernel, z, factor), small @ kernel, atol=0.02)
    tall = z.T.copy()
    assert reduced(tall)[0] is tall
    assert lifted(kernel, tall, None) is kernel


def test_copies_of_an_image_are_no_obstacle():
    z = np.repeat(np.random.default_rng(0).normal(size=(10, 90)), 4, axis=0).astype(np.float32)
    small, _ = reduced(z)
    np.testing.assert_allclose(small @ small.T, z @ z.T, atol=0.2)


@pytest.mark.parametrize("l2", [1.0, 0.1, 0.01])
def test_the_head_by_the_kernel_matrix_is_the_head_by_the_features(l2):
    x, labels = features(40)
    one = fit_chosen(x, OWN, rows_of(labels), l2)
    other = fit_head(x, soft_targets(labels, K, 0.0), l1=0.0, l2=l2, own=OWN)
    np.testing.assert_allclose(one.probabilities(x), other.probabilities(x), atol=5e-3)
    assert one.l2 == l2


def test_out_of_fold_losses_are_those_of_heads_fitted_without_the_fold():
    x, labels = features(40)
    rows, n = rows_of(labels), len(labels)
    parts = [(np.arange(n // 2, n), np.arange(n // 2)), (np.arange(n // 2), np.arange(n // 2, n))]
    judged = cross_validated(x, OWN, rows, parts, (0.1,))
    standard = Standard.of(x, OWN)
    mean, scale = standard.mean, standard.scale
    z = np.hstack([(x - mean) / scale, np.zeros((n, 1), np.float32)])  # scaled already
    for rest, held in parts:
        problem = Problem.of_standardized(z[rest], rows.targets[rest], rows.weights[rest])
        head = problem.solved(0.0, 0.1, None)
        p = softmax(z[held] @ head.kernel + head.bias, axis=1)
        expected = -np.log(p[np.arange(len(held)), labels[held]])
        np.testing.assert_allclose(judged.losses[held], expected, atol=0.05)
    assert judged.l2 == 0.1


def test_constant_features_count_for_nothing():
    x, labels = features(40)
    constant = np.full((len(x), 5), 7.0, np.float32)
    with_them = np.concatenate([x, constant], axis=1)
    plain = fit_chosen(x, OWN, rows_of(labels), 0.1).probabilities(x)
    head = fit_chosen(with_them, OWN, rows_of(labels), 0.1)
    np.testing.assert_allclose(head.probabilities(with_them), plain, atol=1e-3)
    assert np.isfinite(head.kernel).all()


def test_what_hardly_varied_in_training_decides_nothing_when_it_does():
    x, labels = features(40)
    hardly = 7 + 0.05 * (labels == 0) + np.random.default_rng(1).normal(0, 0.05, len(x))
    x = np.hstack([x, hardly[:, None].astype(np.float32)])
    head = fit_chosen(x, OWN, rows_of(labels), 0.01)
    other = x[:20].copy()
    other[:, -1] += 500  # ten thousand deviations
    p, usual = head.probabilities(other), head.probabilities(x[:20])
    assert p.min() > 0.01 * usual.min()
    free = Head(replace(head.standard, bound=np.inf), head.kernel, head.bias, head.l2)
    assert free.probabilities(other).min() < 1e-12
    inside = np.abs(head.standard.apply(x)).max() < head.standard.bound
    assert inside
    np.testing.assert_array_equal(free.probabilities(x), head.probabilities(x))
