"""Exact and near copies of images: recompressed, resized, slightly brightened.

Candidates share a quarter of a 64-bit difference hash (Krawetz 2013, dHash): copies that differ in
at most three bits always do. A candidate counts when the grey thumbnails really agree.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from zoo.data.inspect import Inspection

MIN_CORRELATION = 0.998
MAX_DIFFERENCE = 13.0  # mean absolute difference of grey thumbnails: 5% brighter white is 12.75
_BANDS = 4
_CROWD = 64


def groups(seen: Inspection, near: bool = True) -> np.ndarray:
    """Group number of each image, int64 of shape (n,); copies share one.

    Args:
        seen: the inspection of the images.
        near: also near copies, not only equal contents.
    """
    _, exact = np.unique(seen.digests, return_inverse=True)
    n = len(exact)
    order = np.argsort(exact, kind="stable")
    same = exact[order][1:] == exact[order][:-1]
    pairs = [np.stack([order[:-1][same], order[1:][same]], axis=1)]
    if near and n:
        pairs.append(_near_pairs(seen.thumbs))
    edges = np.concatenate(pairs)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _near_pairs(thumbs: np.ndarray) -> np.ndarray:
    """Index pairs of near copies, of shape (m, 2)."""
    bands = _difference_hash(thumbs)
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    candidates: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        buckets: dict[int, list[int]] = defaultdict(list)
        for i, value in enumerate(bands[:, band].tolist()):
            buckets[value].append(i)
        for members in buckets.values():
            candidates.update(_pairs(members, flat))
    if not candidates:
        return np.empty((0, 2), np.int64)
    left, right = np.array(sorted(candidates)).T
    agree = np.zeros(len(left), bool)
    for start in range(0, len(left), 65536):
        part = slice(start, start + 65536)
        agree[part] = _agree(flat[left[part]], flat[right[part]])
    return np.stack([left[agree], right[agree]], axis=1)


def _difference_hash(thumbs: np.ndarray) -> np.ndarray:
    """uint16 of shape (n, 4): signs of horizontal differences on an 8 x 9 grid."""
    n = len(thumbs)
    rows = thumbs.reshape(n, 8, 2, 16).mean(axis=2)
    columns = rows[:, :, np.linspace(0, 15, 9).round().astype(int)]
    bits = np.packbits((columns[:, :, 1:] > columns[:, :, :-1]).reshape(n, 64), axis=1)
    return np.ascontiguousarray(bits).view(np.uint16)


def _pairs(members: list[int], flat: np.ndarray) -> set[tuple[int, int]]:
    """Pairs to look at within a bucket; in a crowded one only neighbours in mean brightness."""
    if len(members) <= _CROWD:
        return {(a, b) for i, a in enumerate(members) for b in members[i + 1 :]}
    means = flat[members].mean(axis=1)
    ranked = np.array(members)[np.argsort(means, kind="stable")].tolist()
    near = {
        (a, b) for i, a in enumerate(ranked) for b in ranked[i + 1 : i + 1 + _CROWD // 2] if a != b
    }
    return {(min(p), max(p)) for p in near}


def _agree(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether thumbnails, float32 of shape (m, 256), show the same picture."""
    difference = np.abs(a - b).mean(axis=1)
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # plain images have no pattern to compare: they are copies only when their contents are equal
    correlation = np.where(norm > 256.0, (a * b).sum(axis=1) / np.maximum(norm, 1e-9), 0.0)
    return (correlation >= MIN_CORRELATION) & (difference <= MAX_DIFFERENCE)
