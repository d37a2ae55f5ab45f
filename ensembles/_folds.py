"""Folds that depend on the samples alone, not on their order."""

from __future__ import annotations

import zlib

import numpy as np

from ensembles._errors import EnsembleError


def sample_keys(ids: np.ndarray, seed: int) -> np.ndarray:
    """A number for each sample that is as good as random, but follows its id."""
    names = ids.tolist()
    return np.array([zlib.crc32(f"{seed}/{name}".encode("utf-8", "replace")) for name in names])


def fold_numbers(
    labels: np.ndarray, folds: int, ids: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """A fold in 0..folds-1 for each sample, stratified by class.

    Args:
        labels: int64 of shape (n,).
        folds: how many, at least 2.
        ids: of shape (n,); a sample then keeps its fold whatever the order. Row numbers where None.
        seed: of the assignment.

    Returns:
        int64 of shape (n,).

    Raises:
        EnsembleError: fewer than 2 folds.
    """
    if folds < 2:
        raise EnsembleError(f"cross-validation needs at least 2 folds, not {folds}")
    keys = sample_keys(np.arange(len(labels)) if ids is None else ids, seed)
    numbers = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(keys[rows], kind="stable")]
        # a start of its own for each class, or the first folds would get what small classes have
        numbers[rows] = (np.arange(len(rows)) + keys[rows[0]]) % folds
    return numbers
