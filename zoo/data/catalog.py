"""The catalogue: which images there are, what they show, and which split they belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.groups import of_names
from zoo.data.values import Scale

SPLITS = ("train", "val", "test")


class Sample(NamedTuple):
    """One image as its source describes it.

    Attributes:
        id: relative POSIX path.
        label: class name.
        split: ``train``, ``val``, ``test``, or empty if the source does not say.
        group: name of its group, empty if it is alone.
    """

    id: str
    label: str
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Catalog:
    """Labelled images, sorted by id.

    Attributes:
        name: short name for messages and run names.
        root: folder that the ids are relative to.
        ids: relative POSIX paths, unique and sorted; the stable identity of a sample.
        labels: int64 of shape (n,), index into ``classes``.
        classes: class names, sorted; their order is the order of all probabilities.
        splits: of shape (n,): ``train``, ``val``, ``test``, or empty if nothing is given.
        digests: SHA-256 of each file's content, filled by inspection.
        bad: id and reason of each sample that was dropped.
        groups: int64 of shape (n,); images of one group are never in different splits or folds.
            What the source says; :func:`zoo.data.dataset.load` unites it with the copies.
        notes: sentences on how the source was read and which of its files are not used.
        scale: of files of more than 8 bits a channel, the values that become black and white.
    """

    name: str
    root: Path
    ids: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    splits: np.ndarray
    digests: tuple[str, ...] = ()
    bad: dict[str, str] = field(default_factory=dict)
    groups: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    notes: tuple[str, ...] = ()
    scale: Scale = None

    def __post_init__(self) -> None:
        if len(self.groups) != len(self.ids):
            object.__setattr__(self, "groups", np.arange(len(self.ids)))

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
            groups=self.groups[indices],
        )

    def fingerprint(self) -> str:
        """SHA-256 over ids, class names, contents and splits: equal only for equal data."""
        digest = hashlib.sha256()
        for i, sample in enumerate(self.ids):
            parts = (sample, self.classes[self.labels[i]], self.digests[i], str(self.splits[i]))
            digest.update("\0".join(parts).encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()


def make_catalog(
    name: str,
    root: Path,
    samples: Iterable[tuple[str, ...]],
    bad: dict[str, str] | None = None,
    notes: Iterable[str] = (),
) -> Catalog:
    """Catalogue from samples in any order.

    Args:
        name: short name for messages and run names.
        root: folder that the ids are relative to.
        samples: :class:`Sample` or tuples of its first two to four fields.
        bad: id and reason of each sample that was dropped.
        notes: see :class:`Catalog`.
    """
    ordered = sorted(Sample(*sample) for sample in samples)
    classes = tuple(sorted({sample.label for sample in ordered}))
    index = {label: i for i, label in enumerate(classes)}
    return Catalog(
        name=name,
        root=root,
        ids=tuple(sample.id for sample in ordered),
        labels=np.array([index[sample.label] for sample in ordered], dtype=np.int64),
        classes=classes,
        splits=np.array([sample.split for sample in ordered], dtype="<U5"),
        bad=dict(bad or {}),
        groups=of_names([sample.group for sample in ordered]),
        notes=tuple(notes),
    )
