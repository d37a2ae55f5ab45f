"""What was understood of a data set, as a tree: split, class, count."""

from __future__ import annotations

import numpy as np

from zoo.data.catalog import SPLITS
from zoo.data.dataset import Dataset

_SHOWN = 20  # classes of a split


def tree(dataset: Dataset) -> list[str]:
    """One line per split and, below it, one per class with its number of images.

    Of more than 20 classes, the largest and the smallest are shown.
    """
    catalog = dataset.catalog
    lines: list[str] = []
    for split in SPLITS:
        rows = dataset.split.rows(split)
        counts = np.bincount(catalog.labels[rows], minlength=len(catalog.classes))
        lines.append(f"{split}  {_images(len(rows))}")
        order = np.argsort(-counts, kind="stable") if len(counts) > _SHOWN else range(len(counts))
        named = [(catalog.classes[k], int(counts[k])) for k in order]
        half = _SHOWN // 2
        shown = named if len(named) <= _SHOWN else named[:half] + named[-half:]
        width = max(len(name) for name, _ in shown)
        below = [f"  {name.ljust(width)}  {count}" for name, count in shown]
        if len(named) > _SHOWN:
            below.insert(half, f"  ... {len(named) - _SHOWN} more classes")
        lines += below
    return lines


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"
