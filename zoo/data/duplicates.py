"""Exact and near duplicates of images: recompressed, resized, slightly brightened.

Candidates share a quarter of a 64-bit difference hash (Krawetz 2013, dHash): copies that differ in
at most three bits always do. A candidate counts when the grey thumbnails really agree,
and so do the images at 64 pixels in colour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from zoo.data.decode import THUMB
from zoo.data.groups import renumbered
from zoo.data.inspect import Inspection
from zoo.data.second_look import same_pairs

MIN_CORRELATION = 0.998  # of grey thumbnails: photos stored anew reach it, see benchmarks/copies.py
MAX_DIFFERENCE = 52.0  # mean absolute difference of grey thumbnails: 20% brighter white is 51
_CROWD = 64  # images of one band beyond which only half as many neighbours are looked at
_PIECE = 8192  # thumbnails that are worked on at a time


Look = Callable[[np.ndarray], np.ndarray]


def groups(seen: Inspection, near: bool = True, look: Look | None = None) -> np.ndarray:
    """Group number of each image, int64 of shape (n,); copies share one.

    Args:
        seen: the inspection of the images.
        near: also near-duplicates, not only equal contents: recompressed, resized, brighter or
            darker by up to a fifth, mirrored, or turned by quarters.
        look: gives rows of the images as uint8 of shape (m, 64, 64, 3), for a second look at what
            seems to be a copy; without it, the thumbnails decide.
    """
    _, numbers = np.unique(seen.digests.astype("S64"), return_inverse=True)
    if near and len(numbers):
        turned, orientations = _upright(seen.thumbs)
        upright = np.zeros(len(numbers), np.int64)
        for thumbs, turns in ((seen.thumbs, upright), (turned, orientations)):
            joined = _join_near(numbers, thumbs)
            numbers = joined if look is None else _looked_at(numbers, joined, turns, look)
    return renumbered(numbers)


def _upright(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thumbnails mirrored and turned so that all eight positions of an image give one.

    Returns:
        The thumbnails, brighter on the right than on the left, below than above, and more so
        sideways; and which of the three moves that took, as bits, int64 of shape (n,).
    """
    result = thumbs.copy()
    ramp = np.arange(THUMB, dtype=np.float32) - (THUMB - 1) / 2
    across, down = thumbs.mean(axis=1) @ ramp, thumbs.mean(axis=2) @ ramp
    moves = (across < 0) * 1 + (down < 0) * 2 + (np.abs(down) > np.abs(across)) * 4
    for move in range(1, 8):
        chosen = moves == move
        result[chosen] = _moved(thumbs[chosen], move)
    return result, moves.astype(np.int64)


def _moved(images: np.ndarray, move: int) -> np.ndarray:
    """Images of shape (m, side, side, ...) after the moves whose bits are set."""
    if move & 1:
        images = images[:, :, ::-1]
    if move & 2:
        images = images[:, ::-1]
    return images.swapaxes(1, 2) if move & 4 else images


def _looked_at(
    numbers: np.ndarray, joined: np.ndarray, moves: np.ndarray, look: Look
) -> np.ndarray:
    """Group numbers of what the second look, too, finds to be copies.

    Args:
        numbers: groups before, of which one image each is looked at.
        joined: groups of what seems to be copies.
        moves: how each image is mirrored and turned before it is compared.
        look: see :func:`groups`.
    """
    _, firsts = np.unique(numbers, return_index=True)
    firsts = firsts[np.argsort(joined[firsts], kind="stable")]
    edges = np.flatnonzero(np.diff(joined[firsts])) + 1
    several = [rows for rows in np.split(firsts, edges) if len(rows) > 1]
    pairs: list[np.ndarray] = []
    for start in range(0, len(several), _PIECE):  # one decoding of many small groups
        some = several[start : start + _PIECE]
        looks = look(np.concatenate(some))
        for rows, own in zip(
            some, np.split(looks, np.cumsum([len(r) for r in some])), strict=False
        ):
            own = np.stack([_moved(x[None], m)[0] for x, m in zip(own, moves[rows], strict=True)])
            pairs.append(rows[same_pairs(own)])
    return _joined(numbers, pairs)


def _join_near(numbers: np.ndarray, thumbs: np.ndarray) -> np.ndarray:
    """Group numbers in which near-duplicates, too, share one."""
    coarse, brightness, bands = _looks(thumbs)
    waiting: list[np.ndarray] = []
    count = 0
    for left, right in _candidates(brightness, bands):
        maybe = (numbers[left] != numbers[right]) & _may_agree(coarse[left], coarse[right])
        left, right = left[maybe], right[maybe]
        agree = _agree(_flat(thumbs[left]), _flat(thumbs[right]))
        if agree.any():
            waiting.append(np.stack([left[agree], right[agree]]))
            count += int(agree.sum())
        # joined now and then: what is in one group need not be compared
        if count > len(thumbs):
            numbers, waiting, count = _joined(numbers, waiting), [], 0
    return _joined(numbers, waiting)


def _joined(numbers: np.ndarray, pairs: list[np.ndarray]) -> np.ndarray:
    """Group numbers after the groups of each pair of images, of shape (2, m), became one."""
    # takes a fifth of a second, for which no wrong line must wait
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not pairs:
        return numbers
    left, right = numbers[np.concatenate(pairs, axis=1)]
    size = int(numbers.max()) + 1
    graph = coo_array((np.ones(len(left), bool), (left, right)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][numbers])


def _looks(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coarse patterns (n, 16), mean brightness (n,) and difference hashes (n, 4)."""
    pieces = [thumbs[i : i + _PIECE] for i in range(0, len(thumbs), _PIECE)]
    coarse = np.concatenate([_coarse(piece) for piece in pieces])
    brightness = np.concatenate([_flat(piece).mean(axis=1) for piece in pieces])
    return coarse, brightness, np.concatenate([_difference_hash(piece) for piece in pieces])


def _flat(thumbs: np.ndarray) -> np.ndarray:
    return thumbs.reshape(-1, THUMB * THUMB).astype(np.float32)


def _coarse(thumbs: np.ndarray) -> np.ndarray:
    """The thumbnails' patterns, of mean 0 and length 1, on a 4 x 4 grid: float32 (n, 16).

    No two of them are further apart than the patterns themselves.
    """
    flat = _flat(thumbs)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    blocks = flat.reshape(-1, 4, 4, 4, 4).sum(axis=(2, 4))
    return blocks.reshape(-1, 16) / 4


def _difference_hash(thumbs: np.ndarray) -> np.ndarray:
    """uint16 of shape (n, 4): signs of horizontal differences on an 8 x 9 grid."""
    n = len(thumbs)
    rows = thumbs.reshape(n, 8, 2, 16).mean(axis=2)
    columns = rows[:, :, np.linspace(0, 15, 9).round().astype(int)]
    bits = np.packbits((columns[:, :, 1:] > columns[:, :, :-1]).reshape(n, 64), axis=1)
    return np.ascontiguousarray(bits).view(np.uint16)


def _candidates(
    brightness: np.ndarray, bands: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Index pairs to look at, some at a time: all that share a band of the hash.

    Where many share it, only neighbours in mean brightness.
    """
    places = np.arange(len(bands))
    for band in bands.T:
        order = np.lexsort((brightness, band))
        _, counts = np.unique(band, return_counts=True)
        end = np.repeat(np.cumsum(counts), counts)
        reach = np.repeat(np.where(counts > _CROWD, _CROWD // 2, _CROWD), counts)
        for step in range(1, _CROWD):
            first = np.flatnonzero((places + step < end) & (step <= reach))
            for start in range(0, len(first), _PIECE):
                some = first[start : start + _PIECE]
                yield order[some], order[some + step]


def _may_agree(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """False if the coarse patterns (m, 16) alone tell that the thumbnails do not agree."""
    # unit vectors: |a - b|^2 = 2 - 2 times their correlation; a tenth more for rounding
    return np.asarray(np.square(a - b).sum(axis=1) <= 1.1 * (2 - 2 * MIN_CORRELATION))


def _agree(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether thumbnails, float32 of shape (m, 256), show the same picture."""
    difference = np.abs(a - b).mean(axis=1)
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # plain images have no pattern to compare: they are copies only when their contents are equal
    correlation = np.where(norm > 256.0, (a * b).sum(axis=1) / np.maximum(norm, 1e-9), 0.0)
    return (correlation >= MIN_CORRELATION) & (difference <= MAX_DIFFERENCE)
