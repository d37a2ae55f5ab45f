"""Label noise: found by good models, and not seen by weak ones in labels that are right."""

import numpy as np
import pytest

from zoo.diagnosis.labels import LabelNoise


def predictions(
    seed: int, n: int, k: int, distance: float, priors: np.ndarray, boldness: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and the probabilities of a classifier of k normal classes that far apart."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(k, n, p=priors)
    x = rng.standard_normal((n, k))
    x[np.arange(n), labels] += distance
    logits = boldness * (distance * x + np.log(priors))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return labels, p / p.sum(axis=1, keepdims=True)


def flipped(labels: np.ndarray, share: float, k: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    found = labels.copy()
    found[rows] = (found[rows] + rng.integers(1, k, len(rows))) % k
    return found


def found(noise: LabelNoise) -> bool:
    return noise.can_tell and noise.seems_high


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("boldness", [0.6, 1.0, 2.0])
@pytest.mark.parametrize("k", [2, 3, 10])
def test_right_labels_are_not_called_wrong_by_any_model(k, boldness, balanced):
    weights = np.ones(k) if balanced else np.geomspace(20, 1, k)
    alarms = [
        found(LabelNoise.of(*predictions(seed, n, k, d, weights / weights.sum(), boldness)))
        for d in (0.2, 0.6, 1.0, 1.5, 2.5)
        for n in (200, 1000)
        for seed in range(6)
    ]
    assert np.mean(alarms) <= 0.05


@pytest.mark.parametrize("distance", [0.0, 0.2, 0.5])
def test_a_weak_model_cannot_tell(distance):
    for share in (0.0, 0.1):
        labels, p = predictions(0, 1000, 2, distance, np.full(2, 0.5))
        assert not LabelNoise.of(flipped(labels, share, 2), p).can_tell


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
@pytest.mark.parametrize(("k", "distance"), [(2, 3.0), (4, 3.5), (10, 4.0)])
def test_a_good_model_finds_wrong_labels_and_counts_them(k, distance, share):
    labels, p = predictions(1, 800, k, distance, np.full(k, 1 / k))
    noise = LabelNoise.of(flipped(labels, share, k), p)
    assert found(noise)
    assert noise.low <= share <= 1.6 * noise.count / 800
    assert LabelNoise.of(labels, p).count < 8


def test_copies_of_few_wrong_labels_are_no_evidence():
    labels, p = predictions(0, 60, 2, 3.0, np.full(2, 0.5))
    rows = np.repeat(np.arange(60), 10)
    labels[np.argsort(-p.max(axis=1))[:1]] ^= 1
    assert found(LabelNoise.of(labels[rows], p[rows]))
    assert not found(LabelNoise.of(labels[rows], p[rows], rows))


def test_one_class_alone_cannot_tell():
    p = np.tile([0.9, 0.1], (200, 1))
    assert not LabelNoise.of(np.zeros(200, np.int64), p).can_tell
