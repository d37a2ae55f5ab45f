"""Folds that depend on the samples alone, not on their order.

What is dealt to the folds are units: a sample, or a group of samples that depend on each other.
Rows of one unit have one name.
"""

from __future__ import annotations

import zlib

import numpy as np

from ensembles._errors import EnsembleError


def sample_keys(units: np.ndarray, seed: int) -> np.ndarray:
    """A number for each row that is as good as random, but follows the name of its unit."""
    names = units.tolist()
    return np.array([zlib.crc32(f"{seed}/{name}".encode("utf-8", "replace")) for name in names])


def unit_names(ids: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """The name of each sample's unit: its id, or the first id in its group. Of shape (n,)."""
    if groups is None:
        return ids
    _, unit = np.unique(groups, return_inverse=True)
    order = np.argsort(ids, kind="stable")
    _, firsts = np.unique(unit[order], return_index=True)
    return np.asarray(ids[order[firsts]][unit])


def fold_numbers(
    labels: np.ndarray, folds: int, units: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """A fold in 0..folds-1 for each sample, stratified by class; units are never split.

    Args:
        labels: int64 of shape (n,).
        folds: how many, at least 2.
        units: of shape (n,), see :func:`unit_names`; a sample then keeps its fold in any order.
            Row numbers if None.
        seed: of the assignment.

    Returns:
        int64 of shape (n,).

    Raises:
        EnsembleError: fewer than 2 folds.
    """
    if folds < 2:
        raise EnsembleError(f"cross-validation needs at least 2 folds, not {folds}")
    names = np.arange(len(labels)) if units is None else units
    _, first, unit, sizes = np.unique(
        names, return_index=True, return_inverse=True, return_counts=True
    )
    keys, unit_labels = sample_keys(names[first], seed), _commonest(labels, unit)
    numbers = np.empty(len(first), np.int64)
    for label in np.unique(unit_labels):
        own = np.flatnonzero(unit_labels == label)
        own = own[np.lexsort((keys[own], -sizes[own]))]  # the largest first
        held = np.zeros(folds, np.int64)
        # a start of its own for each class, or the first folds would get what small classes have
        turn = (np.arange(folds) + keys[own].min()) % folds
        for i in own.tolist():
            numbers[i] = turn[held[turn].argmin()]
            held[numbers[i]] += sizes[i]
    return numbers[unit]


def _commonest(labels: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """The most frequent label of each unit 0..u-1: of shape (u,)."""
    pairs, counts = np.unique(np.stack([unit, labels]), axis=1, return_counts=True)
    order = np.lexsort((-counts, pairs[0]))
    units, label = pairs[:, order]
    return np.asarray(label[np.unique(units, return_index=True)[1]])
