"""A closer look at images that seem to be copies of one another: 64 x 64 pixels in colour.

Two images are copies if no part of them differs by more than recompression leaves, after one gain
and one offset were fitted. Where many images seem to be one (a fixed camera, parts in one fixture),
what they share says nothing: there, what each has beside their mean must agree, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

LOOK = 64  # pixels along the side of the colour thumbnails
# largest difference of a block of 4 x 4 pixels, in grey and in a channel: JPEG at quality 50 leaves
# up to 4.4 and 8.5 in 95% of photos, 7.4 and 20 where small photos were halved before; different
# images differ by 6.8 and more in grey, or in colour by what is in them (benchmarks/copies.py)
MAX_GREY = 5.5
MAX_COLOUR = 20.0
_GAIN = (0.7, 1.4)  # by which a copy may be darker or brighter
_SATURATED = (4.0, 251.0)  # cut off where an image was made brighter or darker
# more images than this that seem to be copies of one another are one scene; their deviations from
# its mean correlate by 0.76 and more in copies, by 0.57 and less in others: benchmarks/copies.py
_SCENE = 8
_MIN_CORRELATION = 0.65
_PIECE = 256  # pairs that are compared at a time
_MOST = 2000  # images of a scene that are compared at full detail


def same_pairs(looks: np.ndarray) -> np.ndarray:
    """Pairs that are copies among images that seem to be: int64 of shape (2, pairs).

    Args:
        looks: uint8 of shape (m, 64, 64, 3), all different files.
    """
    parts = [_copies(looks, left, right) for left, right in _likely(looks)]
    return np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), np.int64)


def _likely(looks: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs to compare, some at a time."""
    count = len(looks)
    if count <= _SCENE:
        left, right = np.triu_indices(count, 1)
        for start in range(0, len(left), _PIECE):
            yield left[start : start + _PIECE], right[start : start + _PIECE]
        return
    own = _deviations(looks)
    for start in range(0, count, _PIECE):
        block = own[start : start + _PIECE] @ own.T
        rows, columns = np.nonzero(block >= _MIN_CORRELATION)
        later = columns > rows + start
        rows, columns = rows[later] + start, columns[later]
        for first in range(0, len(rows), _PIECE):
            yield rows[first : first + _PIECE], columns[first : first + _PIECE]


def _deviations(looks: np.ndarray) -> np.ndarray:
    """What each image has beside the mean of all, of length 1: float32 of shape (m, d)."""
    step = 1 if len(looks) <= _MOST else 2 if len(looks) <= 8 * _MOST else 4
    side = LOOK // step
    small = np.stack([x.reshape(side, step, side, step, 3).mean((1, 3), np.float32) for x in looks])
    flat = small.reshape(len(looks), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    scene = flat.mean(axis=0)
    # without the scene at the contrast that each image has
    share = flat @ scene / max(float(scene @ scene), 1e-9)
    flat -= share[:, None] * scene
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return flat


def _copies(looks: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    grey, colour = largest_differences(looks[left], looks[right])
    same = (grey <= MAX_GREY) & (colour <= MAX_COLOUR)
    return np.stack([left[same], right[same]])


def largest_differences(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest differences of a block of 4 x 4 pixels after a fit of gain and offset.

    Args:
        a, b: uint8 of shape (p, 64, 64, 3).

    Returns:
        In the mean of the channels, and in any of them: float32 of shape (p,), in grey levels.
    """
    x, y = (v.reshape(len(v), -1).astype(np.float32) for v in (a, b))
    low, high = _SATURATED
    kept = ((x > low) & (x < high) & (y > low) & (y < high)).astype(np.float32)
    count = np.maximum(kept.sum(axis=1, keepdims=True), 1)
    mean_x, mean_y = ((v * kept).sum(axis=1, keepdims=True) / count for v in (x, y))
    x, y = (x - mean_x) * kept, (y - mean_y) * kept
    gain = (x * y).sum(axis=1, keepdims=True) / np.maximum((x * x).sum(axis=1, keepdims=True), 1e-6)
    rest = y - np.clip(gain, *_GAIN) * x
    # nearly all cut off: nothing is left to compare, so that only equal pixels count
    plain = count[:, 0] < 0.2 * rest.shape[1]
    side = LOOK // 4
    blocks = rest.reshape(-1, side, 4, side, 4, 3).mean(axis=(2, 4))
    different = np.abs(a.astype(np.int16) - b).reshape(len(a), -1).max(axis=1)
    grey, colour = (
        np.where(plain, different, np.abs(d).reshape(len(a), -1).max(axis=1)).astype(np.float32)
        for d in (blocks.mean(axis=3), blocks)
    )
    return grey, colour
