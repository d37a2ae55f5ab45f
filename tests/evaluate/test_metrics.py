"""Metrics against scikit-learn and plain loops, and intervals that keep what they promise."""

import json
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from zoo.evaluate.intervals import Calibration
from zoo.evaluate.labels import FEW_ERRORS, FEW_IMAGES, LABELS
from zoo.evaluate.metrics import evaluate, value, wilson


def drawn(seed: int, n: int, k: int, steps: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, each class among them, and probabilities; of few values, with ties, by ``steps``."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.7), n)
    labels = np.array([rng.choice(k, p=row) for row in p])
    labels[:k] = np.arange(k)
    if steps:
        p = np.round(p * steps) + 1
    p = np.maximum(p, 1e-6)
    return labels, (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def by_sklearn(name: str, labels: np.ndarray, p: np.ndarray) -> float:
    k = p.shape[1]
    said = p.argmax(axis=1)
    p = p.astype(np.float64) / p.sum(axis=1, keepdims=True, dtype=np.float64)
    if name == "accuracy":
        return sklearn.metrics.accuracy_score(labels, said)
    if name == "f1":
        return sklearn.metrics.f1_score(labels, said, average="macro")
    if name == "log_loss":
        return sklearn.metrics.log_loss(labels, p, labels=np.arange(k))
    if k == 2:
        return sklearn.metrics.roc_auc_score(labels, p[:, 1])
    return sklearn.metrics.roc_auc_score(labels, p, multi_class="ovr", average="macro")


SHAPES = st.tuples(st.integers(0, 10**6), st.integers(6, 60), st.integers(2, 6))


@pytest.mark.parametrize("name", ["accuracy", "f1", "auc", "log_loss"])
@given(SHAPES)
def test_a_metric_is_that_of_scikit_learn(name, shape):
    labels, p = drawn(*shape)
    assert value(name, labels, p) == pytest.approx(by_sklearn(name, labels, p), abs=1e-6)


@given(SHAPES, st.integers(1, 4))
def test_ties_count_half_in_the_area_as_in_scikit_learn(shape, steps):
    seed, n, k = shape
    # sums of halves and quarters are exact, so that a tie stays one for both
    rng = np.random.default_rng(seed)
    p = rng.choice(np.array([0.0, 0.25, 0.5]), (n, k)).astype(np.float32)
    p[:, -1] = 1 - p[:, :-1].sum(axis=1)
    labels = np.r_[np.arange(k), rng.integers(0, k, n - k)]
    expected = np.mean([sklearn.metrics.roc_auc_score(labels == i, p[:, i]) for i in range(k)])
    assert value("auc", labels, p) == pytest.approx(expected, abs=1e-9)


@given(SHAPES, st.integers(0, 4))
def test_the_calibration_error_is_that_of_a_plain_loop(shape, steps):
    labels, p = drawn(*shape, steps)
    edges = np.linspace(0, 1, 16)
    total = 0.0
    for i in range(15):
        inside = [
            j
            for j, row in enumerate(p)
            if edges[i] <= row.max() and (row.max() < edges[i + 1] or i == 14)
        ]
        if inside:
            right = np.mean([labels[j] == p[j].argmax() for j in inside])
            sure = np.mean([float(p[j].max()) for j in inside])
            total += len(inside) / len(p) * abs(right - sure)
    assert Calibration(labels, p).raw == pytest.approx(total, abs=1e-6)
    assert evaluate(labels, p)["calibration_error"]["raw"] == pytest.approx(total, abs=1e-6)


def test_a_class_that_does_not_occur_is_left_out_of_f1_and_area():
    labels, p = drawn(1, 40, 3)
    padded = np.c_[p, np.zeros(40, np.float32)]
    assert value("f1", labels, padded) == pytest.approx(value("f1", labels, p))
    assert value("auc", labels, padded) == pytest.approx(value("auc", labels, p))


def test_a_certain_error_costs_much_but_not_everything():
    loss = value("log_loss", np.array([0, 1]), np.float32([[1, 0], [1, 0]]))
    assert loss == pytest.approx(-math.log(1e-12) / 2)


def test_what_is_not_defined_is_none_and_never_nan():
    p = np.float32([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    found = evaluate(np.zeros(3, np.int64), p)
    assert found["auc"] == {"value": None, "low": None, "high": None, "n": 3}
    assert math.isnan(value("auc", np.zeros(3, np.int64), p))
    assert all(found[name]["value"] is not None for name in found if name != "auc")


@pytest.mark.parametrize(
    ("n", "k"), [(1, 2), (2, 2), (3, 5), (50, 3), (400, 12)], ids=lambda x: str(x)
)
def test_all_metrics_come_with_an_interval_around_them_and_as_json(n, k):
    labels, p = drawn(3, max(n, k), k)
    labels, p = labels[:n], p[:n]
    found = evaluate(labels, p)
    assert list(found) == list(LABELS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for name, number in found.items():
        assert number["n"] == n
        if number["value"] is None:
            assert name == "auc"
            continue
        if number["low"] is None:
            assert number["high"] is None
            assert number["reason"] in (FEW_ERRORS, FEW_IMAGES)
            assert name != "accuracy"
            continue
        assert number["low"] <= number["value"] <= number["high"]
        assert number["low"] >= 0
        if name != "log_loss":
            assert number["high"] <= 1


def test_the_intervals_depend_on_the_seed_alone():
    labels, p = drawn(4, 60, 3)
    assert evaluate(labels, p, seed=1) == evaluate(labels, p, seed=1)
    one, other = evaluate(labels, p, seed=1), evaluate(labels, p, seed=2)
    assert one["log_loss"]["value"] == other["log_loss"]["value"]
    assert one["log_loss"]["low"] != other["log_loss"]["low"]


def test_the_interval_of_a_mean_over_many_samples_is_the_normal_one():
    labels, p = drawn(4, 8000, 2)  # so many that the resampling is done in parts
    losses = -np.log(p[np.arange(len(p)), labels].astype(np.float64))
    half = 1.96 * losses.std() / math.sqrt(len(losses))
    found = evaluate(labels, p)["log_loss"]
    assert found["low"] == pytest.approx(losses.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(losses.mean() + half, abs=0.1 * half)


def test_the_interval_of_accuracy_is_wilsons():
    for successes, n in ((0, 7), (1, 3), (50, 60), (99, 100), (1000, 1000)):
        expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
        assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_interval_of_none_or_all_right_contains_exactly_that():
    for n in range(1, 400):
        assert wilson(0, n)[0] == 0.0
        assert wilson(n, n)[1] == 1.0


def test_more_samples_give_narrower_intervals():
    labels, p = drawn(5, 800, 3)
    few, many = evaluate(labels[:90], p[:90]), evaluate(labels, p)
    for name in LABELS:
        assert many[name]["high"] - many[name]["low"] < few[name]["high"] - few[name]["low"]


def test_the_95_percent_intervals_cover_the_truth_as_often_as_they_say():
    # labels drawn from the very probabilities that are given: the truth is known by integration
    k, n, draws = 3, 100, 200
    rng = np.random.default_rng(6)

    def sample(size: int) -> tuple[np.ndarray, np.ndarray]:
        p = rng.dirichlet(np.ones(k), size)
        labels = (p.cumsum(axis=1) < rng.random((size, 1))).sum(axis=1)
        return np.minimum(labels, k - 1), p

    p = rng.dirichlet(np.ones(k), 400_000)
    truth = {"accuracy": p.max(axis=1).mean(), "log_loss": -(p * np.log(p)).sum(axis=1).mean()}
    covered = dict.fromkeys(truth, 0)
    for seed in range(draws):
        found = evaluate(*sample(n), seed=seed)
        for name, true in truth.items():
            covered[name] += found[name]["low"] <= true <= found[name]["high"]
    for name, count in covered.items():
        assert 0.90 <= count / draws <= 0.99, (name, count / draws)


def test_the_interval_of_auc_covers_the_truth_also_with_few_images_of_a_class():
    """Of two normal distributions a distance d apart, the area is Phi(d / sqrt(2))."""
    rng, distance = np.random.default_rng(0), 1.5
    truth = 0.8556
    for positives, least in ((2, 0.9), (3, 0.9), (40, 0.9)):
        labels = np.repeat([1, 0], [positives, 200])
        hits = 0
        for _ in range(100):
            z = rng.normal(size=len(labels)) + distance * labels
            p = 1 / (1 + np.exp(-z))
            found = evaluate(labels, np.stack([1 - p, p], axis=1))["auc"]
            hits += found["low"] <= truth <= found["high"]
        assert hits / 100 >= least, positives


@pytest.mark.parametrize(
    ("wrong", "each", "expected"),
    [
        (0, 20, {"log_loss": FEW_ERRORS, "calibration_error": FEW_ERRORS}),
        (4, 20, {"log_loss": FEW_ERRORS, "calibration_error": FEW_ERRORS}),
        (5, 20, {"calibration_error": FEW_ERRORS}),
        (10, 20, {}),
        (10, 3, {"f1": FEW_IMAGES}),
        (10, 1, {"f1": FEW_IMAGES, "auc": FEW_IMAGES}),
    ],
)
def test_where_errors_or_images_are_too_few_words_stand_in_the_place_of_an_interval(
    wrong, each, expected
):
    """A rare class of ``each`` images, and ``wrong`` errors among the others."""
    labels = np.repeat([0, 1], [60, each])
    sure = np.linspace(0.6, 0.95, len(labels))
    sure[:wrong] = 0.3
    p = np.where(labels[:, None] == [0, 1], sure[:, None], 1 - sure[:, None])
    found = evaluate(labels, p)
    assert {name: m["reason"] for name, m in found.items() if "reason" in m} == expected
    for name, m in found.items():
        assert (m["low"] is None) == (m["high"] is None) == (name in expected)


def test_the_bias_of_the_calibration_error_is_taken_off():
    rng, raw, less = np.random.default_rng(0), [], []
    for _ in range(40):  # perfectly calibrated: what is seen is chance
        p = rng.dirichlet(np.ones(3), 300)
        labels = np.minimum((p.cumsum(axis=1) < rng.random((300, 1))).sum(axis=1), 2)
        found = evaluate(labels, p)["calibration_error"]
        raw.append(found["raw"] <= found["raw_if_perfect"])
        less.append(found["value"])
        assert found["low"] == 0 or not raw[-1]
    assert np.mean(raw) >= 0.85
    assert np.median(less) < 0.01
    assert np.mean(less) < 0.025


def test_a_miscalibration_that_is_large_is_kept():
    rng = np.random.default_rng(1)
    p = np.full((2000, 2), [0.9, 0.1])
    found = evaluate((rng.random(2000) > 0.7).astype(int), p)["calibration_error"]
    assert found["value"] == pytest.approx(0.2, abs=0.03)
    assert 0.15 < found["low"] < found["high"] < 0.25
    assert found["raw"] > found["raw_if_perfect"]


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_copies_count_once(copies):
    """Every image so many times over, in groups, tells what the images alone tell."""
    labels, p = drawn(7, 150, 3)
    groups = np.repeat(np.arange(150), copies)
    alone = evaluate(labels, p)
    copied = evaluate(np.repeat(labels, copies), np.repeat(p, copies, axis=0), groups=groups)
    for name in LABELS:
        width = alone[name]["high"] - alone[name]["low"]
        assert copied[name]["value"] == pytest.approx(alone[name]["value"], abs=0.01)
        for end in ("low", "high"):
            assert copied[name][end] == pytest.approx(alone[name][end], abs=0.15 * width), name


def test_groups_of_one_change_nothing():
    labels, p = drawn(8, 120, 3)
    assert evaluate(labels, p, groups=np.arange(120)) == evaluate(labels, p)
