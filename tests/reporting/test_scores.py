"""Numbers by class, by confidence and as curves, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from ensembles import PredictionTable
from zoo.evaluate.metrics import wilson
from zoo.reporting.scores import (
    class_scores,
    confusion,
    mistakes,
    precision_recall_curves,
    reliability,
    roc_curves,
    worst_of_each,
)


def table(n=400, k=4, seed=0, skill=1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.normal(0, 1, (n, k))
    logits[np.arange(n), labels] += skill
    p = np.exp(logits)
    return PredictionTable.of(p / p.sum(axis=1, keepdims=True), labels)


def test_class_scores_are_those_of_scikit_learn_within_their_intervals():
    found = table()
    predicted = found.probabilities.argmax(axis=1)
    precision, recall, f1, count = precision_recall_fscore_support(found.labels, predicted)
    for k, row in enumerate(class_scores(confusion(found), list("abcd"))):
        assert (row.name, row.count, row.predicted) == ("abcd"[k], count[k], (predicted == k).sum())
        for share, value in ((row.precision, precision), (row.recall, recall), (row.f1, f1)):
            assert share.value == pytest.approx(value[k])
            assert 0 <= share.low < share.value < share.high <= 1
        assert (row.recall.low, row.recall.high) == wilson(row.correct, row.count)


def test_intervals_of_f1_hold_the_truth_about_as_often_as_they_say():
    many = table(60_000, seed=1)
    true = [row.f1.value for row in class_scores(confusion(many), list("abcd"))]
    hits = []
    for seed in range(150):
        rows = np.random.default_rng(seed).choice(len(many), 120, replace=False)
        scores = class_scores(confusion(many.rows(rows)), list("abcd"))
        hits += [row.f1.low <= t <= row.f1.high for row, t in zip(scores, true, strict=True)]
    assert 0.92 < np.mean(hits) < 0.99


def test_a_class_without_images_has_no_recall_and_one_never_said_no_precision():
    p = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]])
    absent = class_scores(confusion(PredictionTable.of(p, np.array([0, 1]))), list("abc"))
    assert absent[1].precision is None
    assert absent[1].recall.value == 0
    assert (absent[2].recall, absent[2].f1) == (None, None)


def test_curves_keep_their_area_and_ends_when_thinned():
    found = table(5000)
    for k, curve in enumerate(roc_curves(found)):
        area = roc_auc_score(found.labels == k, found.probabilities[:, k])
        assert curve.area == pytest.approx(area)
        assert len(curve.x) <= 121
        assert np.trapezoid(curve.y, curve.x) == pytest.approx(area, abs=0.005)
        assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    for curve in precision_recall_curves(found):
        assert np.trapezoid(curve.y, curve.x) == pytest.approx(curve.area, abs=0.01)


def test_reliability_counts_every_image_once():
    found = table()
    bins = reliability(found.probabilities, found.labels)
    correct = found.probabilities.argmax(axis=1) == found.labels
    assert sum(b.count for b in bins) == len(found)
    assert sum(b.count * b.accuracy.value for b in bins) == pytest.approx(correct.sum())
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)


def test_mistakes_come_by_loss():
    judged = table()
    found = mistakes(judged)
    assert all(m.label != m.predicted for m in found)
    assert [m.loss for m in found] == sorted((m.loss for m in found), reverse=True)
    own = dict(zip(judged.ids.tolist(), judged.probabilities, strict=True))
    assert all(m.loss == pytest.approx(-np.log(own[m.id][m.label])) for m in found)


def test_the_mistakes_that_are_shown_are_the_worst_and_some_of_every_class():
    found = mistakes(table(2000, k=20))
    shown = worst_of_each(found, 60)
    assert len(shown) == 60
    assert shown == sorted(shown, key=lambda m: -m.loss)
    assert {m.label for m in shown} == {m.label for m in found}
    assert shown[0] == found[0]
    assert worst_of_each(found, 10_000) == found
    assert worst_of_each([], 60) == []
