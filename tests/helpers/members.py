"""Members made of numbers, for the tests of this folder: no network takes part."""

import numpy as np

from ensembles import PredictionTable


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def logits_and_labels(
    seed: int, n: int, k: int, width: float = 1.5
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels drawn from their softmax: the temperature of these is 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, width, (n, k))
    return logits, (softmax(logits).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


def noisy(
    seed: int, m: int = 3, n: int = 120, k: int = 3, noise: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Members (m, n, k) that see the same truth, each through noise of its own, and the labels."""
    logits, labels = logits_and_labels(seed, n, k)
    rng = np.random.default_rng(seed + 1)
    return softmax(logits + rng.normal(0, noise, (m, n, k))), labels


def independent(
    seed: int, m: int = 3, n: int = 400, k: int = 4, right: float = 0.75
) -> tuple[np.ndarray, np.ndarray]:
    """Equally good members (m, n, k) whose mistakes have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    members = []
    for _ in range(m):
        said = np.where(rng.random(n) < right, labels, (labels + rng.integers(1, k, n)) % k)
        sure = rng.uniform(0.6, 0.9, n)
        p = np.repeat(((1 - sure) / (k - 1))[:, None], k, axis=1)
        p[np.arange(n), said] = sure
        members.append(p)
    return np.array(members), labels


def experts(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Three members: each knows well whether it is its own class, and nothing about the rest."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    logits = rng.normal(0, 2, (3, n, 3))
    for own in range(3):
        logits[own, :, own] = np.where(y == own, 3.0, -3.0) + rng.normal(0, 1, n)
    return softmax(logits), y


def tables(
    probabilities: np.ndarray, labels: np.ndarray, split: str = "val"
) -> list[PredictionTable]:
    """One table a member; samples are s0, s1, ..., classes c0, c1, ..."""
    _, n, k = probabilities.shape
    ids, classes = [f"s{i}" for i in range(n)], [f"c{i}" for i in range(k)]
    return [
        PredictionTable.of(p, labels.copy(), ids=ids, classes=classes, split=split)
        for p in probabilities
    ]


def reordered(table: PredictionTable, rows: np.ndarray, columns: np.ndarray) -> PredictionTable:
    """The same predictions, samples and classes in another order."""
    return PredictionTable(
        ids=table.ids[rows],
        labels=np.argsort(columns)[table.labels[rows]],
        probabilities=table.probabilities[rows][:, columns],
        classes=table.classes[columns],
        split=table.split,
        fingerprint=table.fingerprint,
    )


def loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean log loss, what is below 1e-12 counting as that."""
    chosen = [max(float(p[y]), 1e-12) for p, y in zip(probabilities, labels, strict=True)]
    return float(-np.log(chosen).mean())


def smoothed_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """With one more label that is spread over all rows and classes: what temperatures minimize."""
    spread = -np.log(np.maximum(probabilities, 1e-12)).mean()
    return float((len(labels) * loss(probabilities, labels) + spread) / (len(labels) + 1))
