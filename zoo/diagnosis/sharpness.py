"""Blurred images, at the network's input size."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import NOT_APPLICABLE, Finding, Outcome, Shown, outcome, unknown
from zoo.words import counted

_SIDE = 96  # pixels; larger images are measured at about this side
_WINDOW = 11  # pixels of the blur filter, as in Crete et al. 2007
_CHUNK = 256  # images at a time, to bound memory
_BLURRED = 0.48  # measured: 998 of 1,000 photos and solar cells are below 0.44
_ALL_BLURRED = 0.55  # of the median image
_LEAST = 3  # images
_SHARE = 0.02  # fewer may show something that has no detail
_FLAT = 3.0  # standard deviation, in 0..255, of an image with nothing in it to be sharp


def blur_effect(grey: np.ndarray) -> np.ndarray:
    """How blurred images are, from 0 (sharp) to 1, whatever they show: float32 of shape (n,).

    How much of the differences of neighbouring pixels remains when the image is blurred once more
    (Crete et al. 2007, "The blur effect"): an image that is blurred already loses little.

    Args:
        grey: float32 of shape (n, height, width).
    """
    worst = np.zeros(len(grey), np.float32)
    for axis in (1, 2):
        again = np.abs(np.diff(ndimage.uniform_filter1d(grey, _WINDOW, axis=axis), axis=axis))
        first = np.abs(np.diff(grey, axis=axis))
        lost = np.maximum(0, first - again).sum(axis=(1, 2))
        worst = np.maximum(worst, 1 - lost / np.maximum(first.sum(axis=(1, 2)), 1e-6))
    return worst


def check_sharpness(evidence: Evidence) -> Outcome:
    """Name images that are more blurred than is usual in this data."""
    size = evidence.run.view[0]
    rows = np.flatnonzero(evidence.seen.sizes.min(axis=1) >= size)
    if size < _SIDE // 2 or len(rows) < 0.5 * len(evidence.catalog):
        why = f"most images have fewer than {max(size, _SIDE // 2)} pixels per side"
        return unknown("sharpness", why, NOT_APPLICABLE)
    scores, contrast = _scores(evidence, rows)
    middle = float(np.median(scores))
    says = f"median blur {middle:.2f} (0 sharp, 1 blurred)"
    if middle > _ALL_BLURRED:
        finding = _finding(evidence, rows[scores > _ALL_BLURRED], scores[scores > _ALL_BLURRED])
        return outcome("sharpness", says, [finding])
    # the spread below the median, which blurred images do not widen
    spread = middle - float(np.quantile(scores, 0.16))
    limit = max(_BLURRED, middle + 4 * spread)
    wrong = (scores > limit) & (contrast > _FLAT)
    says += f"; {counted(int(wrong.sum()), 'image has', 'images have')} more than {limit:.2f}"
    if wrong.sum() < max(_LEAST, _SHARE * len(rows)):
        return outcome("sharpness", says, [])
    return outcome("sharpness", says, [_finding(evidence, rows[wrong], scores[wrong])])


def _scores(evidence: Evidence, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blur and contrast of images, each of shape (n,)."""
    prepared, found = evidence.prepared, []
    step = max(1, evidence.run.view[0] // _SIDE)
    for start in range(0, len(rows), _CHUNK):
        chunk = prepared.pixels[prepared.rows[rows[start : start + _CHUNK]]]
        grey = chunk.mean(axis=3, dtype=np.float32)
        side = grey.shape[1] // step
        small = grey[:, : side * step, : side * step].reshape(-1, side, step, side, step)
        small = small.mean(axis=(2, 4))
        found.append((blur_effect(small), small.std(axis=(1, 2))))
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def _finding(evidence: Evidence, rows: np.ndarray, scores: np.ndarray) -> Finding:
    share = len(rows) / len(evidence.catalog)
    order = np.argsort(-scores, kind="stable")
    return Finding(
        title=f"{counted(len(rows), 'image is', 'images are')} blurred.",
        cost=0.3 * share,
        evidence=(
            f"{share:.1%} of {counted(len(evidence.catalog), 'image')} lose hardly any detail when "
            f"blurred once more at the network's input size (blur effect {scores.min():.2f} to "
            f"{scores.max():.2f}).",
        ),
        advice="Look at the listed files, the most blurred first; replace or remove them, unless "
        "new images will be blurred as well.",
        files=tuple(Shown(evidence.catalog.ids[rows[i]], f"{scores[i]:.2f}") for i in order),
    )
