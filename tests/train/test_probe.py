"""The probe: the same optimum as scikit-learn's, and penalties that do what they say."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from zoo.train.probe import (
    L2_GRID,
    Head,
    choose_head,
    fit_head,
    soft_targets,
)
from zoo.train.standard import Standard

D, K = 12, 3


def features(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes in a space whose axes differ in place and width."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(K, D))
    labels = np.r_[np.arange(K), rng.integers(0, K, n - K)]
    x = (centres[labels] + 1.5 * rng.normal(size=(n, D))) * np.linspace(0.5, 3, D) + 5
    return x.astype(np.float32), labels


def one_hot(labels: np.ndarray) -> np.ndarray:
    return soft_targets(labels, K, 0.0)


def log_loss(head: Head, x: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(head.probabilities(x)[np.arange(len(x)), labels]).mean())


@pytest.mark.parametrize("l2", [1.0, 1e-1, 1e-2, 1e-3, 1e-4])
def test_the_optimum_is_that_of_scikit_learn(l2):
    x, labels = features(150)
    standard = Standard.of(x)
    mean, scale = standard.mean, standard.scale
    z = (x - mean) / scale
    theirs = LogisticRegression(C=1 / (2 * len(x) * l2), tol=1e-8, max_iter=5000).fit(z, labels)
    p = theirs.predict_proba(z)[np.arange(len(x)), labels]
    ours = fit_head(x, one_hot(labels), l1=0.0, l2=l2)
    assert log_loss(ours, x, labels) == pytest.approx(-np.log(p).mean(), abs=1e-4)

    def objective(kernel: np.ndarray, bias: np.ndarray) -> float:
        picked = softmax(z @ kernel + bias, axis=1)[np.arange(len(x)), labels]
        return float(-np.log(picked).mean() + l2 * (kernel**2).sum())

    assert objective(ours.kernel, ours.bias) == pytest.approx(
        objective(theirs.coef_.T, theirs.intercept_), abs=1e-5
    )


def test_features_are_centred_one_by_one_and_scaled_by_one_number():
    x, _ = features(50)
    standard = Standard.of(x)
    mean, scale = standard.mean, standard.scale
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-5)
    assert len(set(scale.tolist())) == 1
    assert ((x - mean) / scale).std() == pytest.approx(1, abs=1e-4)
    assert mean.dtype == scale.dtype == np.float32


def test_features_that_never_vary_are_no_division_by_zero():
    x = np.full((6, D), 3.0, np.float32)
    head = fit_head(x, one_hot(np.array([0, 0, 0, 1, 1, 2])), l1=0.0, l2=0.1)
    np.testing.assert_allclose(head.probabilities(x)[0], [1 / 2, 1 / 3, 1 / 6], atol=1e-3)


def test_probabilities_are_rows_of_one_in_float32_however_large_the_features():
    x, labels = features(40)
    p = fit_head(x, one_hot(labels), l1=0.0, l2=1e-3).probabilities(x * 1e4)
    assert p.dtype == np.float32
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


def test_l1_gives_exact_zeros_and_more_of_them_the_larger_it_is():
    x, labels = features(150)
    zeros = [
        int((fit_head(x, one_hot(labels), l1=l1, l2=1e-3).kernel == 0).sum())
        for l1 in (0.0, 1e-3, 1e-2, 1e-1, 10.0)
    ]
    assert zeros[0] == 0
    assert zeros == sorted(set(zeros)), "more and more"
    assert zeros[-1] == D * K


def test_l1_is_the_optimum_of_scikit_learn_too():
    x, labels = features(150)
    standard = Standard.of(x)
    mean, scale = standard.mean, standard.scale
    z, l1 = (x - mean) / scale, 0.02
    theirs = LogisticRegression(
        l1_ratio=1, C=1 / (len(x) * l1), solver="saga", tol=1e-6, max_iter=5000
    ).fit(z, labels)
    ours = fit_head(x, one_hot(labels), l1=l1, l2=0.0)
    np.testing.assert_allclose(ours.kernel, theirs.coef_.T, atol=0.02)
    p = theirs.predict_proba(z)[np.arange(len(x)), labels]
    assert log_loss(ours, x, labels) == pytest.approx(-np.log(p).mean(), abs=1e-3)


def test_a_larger_l2_gives_a_smaller_kernel():
    x, labels = features(150)
    norms = [
        float(np.linalg.norm(fit_head(x, one_hot(labels), l1=0.0, l2=l2).kernel)) for l2 in L2_GRID
    ]
    assert norms == sorted(norms)
    assert norms[0] < 0.5 * norms[-1]


@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_weights_of_samples_are_as_many_copies_of_them(l1):
    x, labels = features(60)
    copies = np.random.default_rng(1).integers(1, 4, len(x))
    # the same standardization for both, which a start gives
    start = fit_head(x, one_hot(labels), l1=l1, l2=0.01)
    weight = copies * len(x) / copies.sum()
    weighted = fit_head(
        x, one_hot(labels), l1=l1, l2=0.01, sample_weight=weight, start=start
    ).kernel
    repeated = fit_head(
        np.repeat(x, copies, axis=0),
        one_hot(np.repeat(labels, copies)),
        l1=l1,
        l2=0.01,
        start=start,
    ).kernel
    np.testing.assert_allclose(weighted, repeated, atol=5e-3)
    assert abs(weighted - start.kernel).max() > 0.02, "the weights change nothing"


def test_a_start_changes_the_way_but_not_the_end():
    x, labels = features(150)
    start = fit_head(x, one_hot(labels), l1=0.0, l2=1.0)
    far = fit_head(x, one_hot(labels), l1=0.0, l2=1e-2, start=start)
    fresh = fit_head(x, one_hot(labels), l1=0.0, l2=1e-2)
    assert log_loss(far, x, labels) == pytest.approx(log_loss(fresh, x, labels), abs=1e-4)
    assert (far.standard.mean == start.standard.mean).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_soft_targets_mix_the_label_with_all_classes(smoothing):
    targets = soft_targets(np.array([2, 0]), 4, smoothing)
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        targets[0], [smoothing / 4] * 2 + [1 - 0.75 * smoothing, smoothing / 4]
    )


def test_the_head_of_lowest_validation_loss_is_chosen_among_those_tried():
    x, labels = features(40, seed=1)
    val = features(200, seed=2)
    head, tried = choose_head((x, one_hot(labels)), val, l1=0.0)
    strengths, losses = zip(*tried, strict=True)
    assert strengths == L2_GRID[: len(tried)]
    assert head.l2 == strengths[int(np.argmin(losses))]
    assert log_loss(head, *val) == pytest.approx(min(losses), abs=1e-6)
    # few samples of many features: neither the strongest nor the weakest is best
    assert L2_GRID[-1] < head.l2 < L2_GRID[0]


def test_the_search_ends_where_the_loss_rises_and_not_before():
    x, labels = features(40, seed=1)
    val = features(200, seed=2)
    _, tried = choose_head((x, one_hot(labels)), val, l1=0.0)
    losses = [loss for _, loss in tried]
    assert len(tried) < len(L2_GRID)
    assert losses[-1] > 1.02 * min(losses)
    assert all(loss <= 1.02 * min(losses[: i + 1]) for i, loss in enumerate(losses[:-1]))


def test_a_search_with_l1_and_weights_uses_both():
    x, labels = features(60)
    val = features(100, seed=2)
    plain, _ = choose_head((x, one_hot(labels)), val, l1=0.0)
    sparse, _ = choose_head((x, one_hot(labels)), val, l1=0.03)
    weight = np.where(labels == 0, 3.0, 0.1)
    tilted, _ = choose_head((x, one_hot(labels)), val, l1=0.0, sample_weight=weight / weight.mean())
    assert (sparse.kernel == 0).any()
    assert not (plain.kernel == 0).any()
    assert (
        tilted.probabilities(val[0])[:, 0].mean() > plain.probabilities(val[0])[:, 0].mean() + 0.1
    )
