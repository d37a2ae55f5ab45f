"""Altered copies of training images among those that judge: rotated, cropped, shifted, mirrored.

Exports of annotation tools often hold several augmented versions of each image. The split keeps
together what it recognizes (see ``zoo/data/duplicates.py``); these it does not, and they make the
metrics optimistic.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zoo.data.inspect import workers
from zoo.diagnosis.alignment import Alignment, align, look_at
from zoo.diagnosis.evidence import SEED, Evidence
from zoo.diagnosis.finding import (
    FEW_IMAGES,
    NO_FEATURES,
    NOT_APPLICABLE,
    Finding,
    Outcome,
    Shown,
    outcome,
    unknown,
)
from zoo.words import counted

_LOOKED_AT = 200  # images of a split, the most similar to a training image first
_NEAREST = 5  # training images each is compared with
_CONTROLS = 40  # images that are compared with one that is not a copy
_CONTROL_RANK = 20  # of that one among the training images, by similarity
# largest block difference and least correlation of a copy: 85 to 100% of rotated, cropped, shifted
# and mirrored photos and solar cells are below and above; see benchmarks/copies.py
_RESIDUAL = 8.0
_CORRELATION = 0.95
_OF_CONTROL = 0.3  # and below this part of what one in ten images that are not copies reaches
_MANY = 0.1  # share of the images compared from which copies are a finding, whatever they change
_SCENE = 0.5  # largest residual, in grey levels, at which no copy can be told from its like
_PIECE = 4096  # training images whose features are compared at a time


@dataclass(frozen=True)
class _Pair:
    """An image outside the training split and the training images that it is a copy of.

    Attributes:
        row: of the image.
        others: training rows, the surest copy first.
        found: how the first of them fits on the image.
    """

    row: int
    others: np.ndarray
    found: Alignment


def check_altered_copies(evidence: Evidence) -> Outcome:
    """Lay validation and test images over the training images that are most similar to them."""
    name = "altered copies"
    if evidence.features is None:
        return unknown(name, "a network trained from scratch has no features", NO_FEATURES)
    split = evidence.dataset.split
    judged = np.concatenate([split.val, split.test])
    if len(split.train) < 2 * _CONTROL_RANK or len(judged) < _CONTROLS:
        why = f"{2 * _CONTROL_RANK} training and {_CONTROLS} other images are needed"
        return unknown(name, why, FEW_IMAGES)
    rows, nearest = _most_similar(evidence, judged)
    limit = largest_residual(_control(evidence, rows, nearest[:, -1]))
    if limit < _SCENE:
        why = "the images show one scene, in which a copy cannot be told from another image"
        return unknown(name, why, NOT_APPLICABLE)
    pairs = _copies(evidence, rows, nearest[:, :_NEAREST], limit)
    looked = f"{len(rows)} of {counted(len(judged), 'validation and test image')}"
    says = (
        f"{looked}, the most similar to training images, were compared with them: {len(pairs)} "
        f"seem to be rotated, cropped, shifted or mirrored copies"
    )
    gain, effect = _effect(evidence, pairs)
    if gain <= 0 and len(pairs) < _MANY * len(rows):
        return outcome(name, f"{says}; {effect}" if effect else says, [])
    found = _finding(evidence, pairs, len(judged), gain, effect)
    return outcome(name, says, [found])


def _most_similar(evidence: Evidence, judged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The judged rows that are most similar to a training image, and their neighbours.

    Returns:
        Rows, int64 of shape (m,), and training rows, the most similar first and one of rank
        ``_CONTROL_RANK`` last, int64 of shape (m, 6).
    """
    assert evidence.features is not None
    train = evidence.dataset.split.train
    mean = np.asarray(evidence.features[train[:_PIECE]], np.float32).mean(axis=0)

    def unit(rows: np.ndarray) -> np.ndarray:
        x = np.asarray(evidence.features[rows], np.float32) - mean  # type: ignore[index]
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)

    own = unit(judged)
    best = np.full((len(judged), _CONTROL_RANK), -2.0, np.float32)
    places = np.zeros((len(judged), _CONTROL_RANK), np.int64)
    for start in range(0, len(train), _PIECE):
        piece = train[start : start + _PIECE]
        scores = np.concatenate([best, own @ unit(piece).T], axis=1)
        which = np.concatenate([places, np.broadcast_to(piece, (len(judged), len(piece)))], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :_CONTROL_RANK]
        best, places = (np.take_along_axis(a, order, axis=1) for a in (scores, which))
    val = len(evidence.dataset.split.val)
    chosen = np.concatenate(
        [
            part[np.argsort(-best[part, 0], kind="stable")[:_LOOKED_AT]]
            for part in (np.arange(val), np.arange(val, len(judged)))
        ]
    )
    return judged[chosen], places[chosen][:, [*range(_NEAREST), _CONTROL_RANK - 1]]


def _control(evidence: Evidence, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Residuals of some rows with similar images that are not copies of them."""
    some = np.random.default_rng(SEED).permutation(len(rows))[:_CONTROLS]
    found = _aligned(evidence, rows[some], others[some][:, None])
    return np.array([own[0].residual for own in found])


def largest_residual(control: np.ndarray) -> float:
    """Residual up to which an image counts as a copy, in grey levels.

    Args:
        control: residuals of similar images that are not copies; they are small where all images
            show one scene.
    """
    return min(_RESIDUAL, _OF_CONTROL * float(np.quantile(control, 0.1)))


def is_copy(found: Alignment, limit: float) -> bool:
    """Whether an alignment is that of a copy."""
    return found.residual <= limit and found.correlation >= _CORRELATION


def _copies(evidence: Evidence, rows: np.ndarray, nearest: np.ndarray, limit: float) -> list[_Pair]:
    """The rows that are copies of one of their neighbours, the surest first."""
    pairs = []
    for row, others, found in zip(rows, nearest, _aligned(evidence, rows, nearest), strict=True):
        fits = [
            i
            for i in sorted(range(len(others)), key=lambda i: found[i].residual)
            if is_copy(found[i], limit)
        ]
        if fits:
            pairs.append(_Pair(int(row), others[fits], found[fits[0]]))
    return sorted(pairs, key=lambda pair: pair.found.residual)


def _aligned(evidence: Evidence, rows: np.ndarray, others: np.ndarray) -> list[list[Alignment]]:
    """Each row laid over its others, of shapes (m,) and (m, k)."""

    def one(i: int) -> list[Alignment]:
        return align(_look(evidence, rows[i]), [_look(evidence, j) for j in others[i]])

    with ThreadPoolExecutor(workers()) as pool:
        return list(pool.map(one, range(len(rows))))


def _look(evidence: Evidence, row: int) -> np.ndarray:
    prepared = evidence.prepared
    return look_at(Image.fromarray(np.asarray(prepared.pixels[prepared.rows[row]])))


def _finding(
    evidence: Evidence, pairs: list[_Pair], judged: int, gain: float, effect: str
) -> Finding:
    ids = evidence.catalog.ids
    count = counted(len(pairs), "validation or test image is", "validation or test images are")
    return Finding(
        title=f"{count} altered copies of training images"
        + (": the metrics are optimistic." if gain > 0 else "."),
        cost=max(gain, 0.1 * len(pairs) / judged),
        evidence=(
            f"{effect[:1].upper()}{effect[1:]}." if effect else "None is a validation image.",
            "The split keeps copies together where it recognizes them; not these.",
        ),
        advice="Remove the altered copies (augmentation is zoo's work: it alters training images "
        "only), or keep versions of one image in one split with --group-pattern or --group-column.",
        files=tuple(
            Shown(ids[pair.row], f"looks like {ids[pair.others[0]]}, {_moved(pair.found)}")
            for pair in pairs
        ),
    )


def _effect(evidence: Evidence, pairs: list[_Pair]) -> tuple[float, str]:
    """What the copies add to the validation accuracy of a linear head, 0..1, and in words."""
    from zoo.train.probe import fit_head, soft_targets

    features, labels, split = evidence.features, evidence.catalog.labels, evidence.dataset.split
    assert features is not None
    own = [pair for pair in pairs if np.isin(pair.row, split.val)]
    if not own:
        return 0.0, ""
    rows = np.array([pair.row for pair in own])
    right = []
    for train in (split.train, np.setdiff1d(split.train, np.concatenate([p.others for p in own]))):
        targets = soft_targets(labels[train], len(evidence.catalog.classes), 0.0)
        head = fit_head(features[train], targets, l1=0.0, l2=evidence.l2)
        right.append(int((head.probabilities(features[rows]).argmax(1) == labels[rows]).sum()))
    gain = (right[0] - right[1]) / len(split.val)
    return gain, (
        f"of the {len(own)} among {counted(len(split.val), 'validation image')}, a linear head "
        f"predicts {right[0]} correctly; fitted without the images they are copies of, {right[1]}: "
        f"they add {gain:+.3f} to the accuracy"
    )


def _moved(found: Alignment) -> str:
    """How the copy was altered, in words."""
    turn = found.matrix[:, :2]
    parts = ["mirrored"] if np.linalg.det(turn) < 0 else []
    if parts:
        turn = turn @ np.diag([1.0, -1.0])
    angle = float(np.rad2deg(np.arctan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1])))
    if abs(angle) >= 1:
        parts.append(f"turned by {abs(angle):.0f} degrees")
    scale = float(np.sqrt(abs(np.linalg.det(turn))))
    if abs(scale - 1) >= 0.02:
        parts.append(f"at {1 / scale if scale < 1 else scale:.2f} times the size")
    shift = float(np.linalg.norm(found.matrix[:, 2]) / 2)
    if shift >= 0.02:
        parts.append(f"shifted by {shift:.0%}")
    return ", ".join(parts) or "in the same place"
