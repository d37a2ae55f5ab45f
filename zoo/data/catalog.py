"""The catalogue: which images there are, what they show, and which split they belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Catalog:
    """Labelled images, sorted by id.

    Attributes:
        name: short name for messages and run names.
        root: folder that the ids are relative to.
        ids: relative POSIX paths, unique and sorted; the stable identity of a sample.
        labels: int64 of shape (n,), index into ``classes``.
        classes: class names, sorted; their order is the order of all probabilities.
        splits: of shape (n,): ``train``, ``val``, ``test``, or empty where nothing is given.
        digests: SHA-256 of each file's content, filled by inspection.
        bad: id and reason of each sample that was dropped.
    """

    name: str
    root: Path
    ids: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    splits: np.ndarray
    digests: tuple[str, ...] = ()
    bad: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def path(self, index: int) -> Path:
        """File of a sample."""
        return self.root / self.ids[index]

    def take(self, indices: Sequence[int] | np.ndarray) -> Catalog:
        """Catalogue of these samples, with the same classes."""
        digests = tuple(self.digests[i] for i in indices) if self.digests else ()
        return replace(
            self,
            ids=tuple(self.ids[i] for i in indices),
            labels=self.labels[indices],
            splits=self.splits[indices],
            digests=digests,
        )

    def fingerprint(self) -> str:
        """SHA-256 over ids, class names, contents and splits: equal only for equal data."""
        digest = hashlib.sha256()
        for i, sample in enumerate(self.ids):
            parts = (sample, self.classes[self.labels[i]], self.digests[i], str(self.splits[i]))
            digest.update("\0".join(parts).encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()


def make_catalog(
    name: str, root: Path, rows: Sequence[tuple[str, str, str]], bad: dict[str, str] | None = None
) -> Catalog:
    """Catalogue from (id, class name, split or empty) rows in any order."""
    rows = sorted(rows)
    classes = tuple(sorted({label for _, label, _ in rows}))
    index = {label: i for i, label in enumerate(classes)}
    return Catalog(
        name=name,
        root=root,
        ids=tuple(row[0] for row in rows),
        labels=np.array([index[row[1]] for row in rows], dtype=np.int64),
        classes=classes,
        splits=np.array([row[2] for row in rows], dtype="<U5"),
        bad=dict(bad or {}),
    )
