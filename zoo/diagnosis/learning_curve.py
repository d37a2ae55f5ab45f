"""Would more images help? A learning curve of a linear head on the frozen features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensembles import PredictionTable
from ensembles.comparison import compare
from zoo.diagnosis.evidence import SEED, Evidence
from zoo.diagnosis.finding import FEW_IMAGES, NO_FEATURES, Finding, Outcome, outcome, unknown

_SHARES = (0.25, 0.5, 1.0)  # of the training images: two doublings
_FEWEST = 50  # validation images for a curve
_LEAST = 0.01  # gain of the loss, in nats, that is worth more images
_TOO_FEW = 20  # images per class, whatever the curve shows
_GAIN = 0.15  # relative gain of the loss per doubling; below, the next one pays little


def check_capacity(evidence: Evidence) -> Outcome:
    """Compare heads fitted on a quarter, a half and all of the training images."""
    if evidence.features is None:
        return unknown(
            "images", "a network trained from scratch has no frozen features", NO_FEATURES
        )
    val = evidence.dataset.split.val
    if len(val) < _FEWEST:
        why = f"{len(val)} validation images are too few for a learning curve"
        return unknown("images", why, FEW_IMAGES)
    tables = learning_curve(evidence)
    change = compare(tables[-1], tables[0])
    losses = [float(-np.log(np.maximum(_true(t), 1e-12)).mean()) for t in tables]
    counts = [int(share * len(evidence.dataset.split.train)) for share in _SHARES]
    curve = tuple(zip(map(float, counts), losses, strict=True))
    says = "the validation loss of a linear head is " + ", ".join(
        f"{loss:.3f} with {count}" for loss, count in zip(losses, counts, strict=True)
    )
    # both doublings together say more than the last alone, which few validation images blur
    gain = 1 - (losses[-1] / losses[0]) ** 0.5
    says += f" training images: {-gain:+.0%} per doubling"
    each = counts[-1] / len(evidence.catalog.classes)
    pays = change.by_log_loss == "better" and gain >= _GAIN and gain * losses[-1] >= _LEAST
    if not pays and each >= _TOO_FEW:
        return replace(outcome("images", says, []), curve=curve)
    finding = Finding(
        title="More images would help."
        if pays
        else f"{counts[-1]} training images, {each:.0f} per class, are few.",
        cost=min(1.0, max(0.02, change.accuracy / 2)),
        evidence=(
            says[0].upper() + says[1:] + ".",
            f"Four times the images changed it by {change.log_loss:+.3f} [{change.low:+.3f}, "
            f"{change.high:+.3f}] and the accuracy by {change.accuracy:+.3f}.",
        ),
        advice="Label more images, first of the classes that are confused with each other.",
        confidence="moderate" if pays else "low",
    )
    return replace(outcome("images", says, [finding]), curve=curve)


def learning_curve(evidence: Evidence) -> list[PredictionTable]:
    """Validation predictions of heads on growing, stratified parts of the training images."""
    from zoo.train.probe import choose_head, soft_targets

    assert evidence.features is not None
    labels, split = evidence.catalog.labels, evidence.dataset.split
    classes, tables = len(evidence.catalog.classes), []
    for rows in parts(split.train, labels, classes):
        head, _ = choose_head(
            (evidence.features[rows], soft_targets(labels[rows], classes, 0.0)),
            (evidence.features[split.val], labels[split.val]),
            l1=0.0,
        )
        found = head.probabilities(evidence.features[split.val])
        tables.append(evidence.table(split.val, found, "val"))
    return tables


def parts(train: np.ndarray, labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Growing subsets of the training rows, each within the next; every subset has all classes.

    Args:
        train: rows of the training images.
        labels: of all images, 0..classes-1, indexed by rows.
        classes: number of classes.
    """
    shuffled = np.random.default_rng(SEED).permutation(train)
    position = np.zeros(len(shuffled))
    for k in range(classes):
        own = np.flatnonzero(labels[shuffled] == k)
        position[own] = (np.arange(len(own)) + 0.5 * (k + 1) / classes) / max(1, len(own))
        position[own[:1]] = -1  # one image of each class first, however few there are
    ordered = shuffled[np.argsort(position, kind="stable")]
    return [ordered[: max(classes, int(share * len(ordered)))] for share in _SHARES]


def _true(table: PredictionTable) -> np.ndarray:
    return table.probabilities[np.arange(len(table.labels)), table.labels]
