"""From a source's name to images with a split: scan, inspect, find copies, split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo.data import builtin
from zoo.data.catalog import SPLITS, Catalog
from zoo.data.copies import about_copies, copies_of
from zoo.data.duplicates import groups as find_copies
from zoo.data.groups import united
from zoo.data.inspect import inspect, usable
from zoo.data.sources import Reading, scan
from zoo.data.split import Split, split
from zoo.data.value_range import range_of
from zoo.data.values import Scale, ValueRange
from zoo.errors import ZooError
from zoo.progress import Progress
from zoo.settings import Settings


@dataclass(frozen=True)
class Dataset:
    """Usable images, which of them are copies, and their split.

    Attributes:
        catalog: usable images; its groups unite the copies with the groups that the user gave.
        copies: int64 of shape (n,); copies of one image share a number.
        split: rows of each split.
    """

    catalog: Catalog
    copies: np.ndarray
    split: Split

    @property
    def groups(self) -> np.ndarray:
        """int64 of shape (n,): images that share a number are never in different splits."""
        return self.catalog.groups

    def summary(self) -> dict[str, Any]:
        """What ``run.json`` records of the data."""
        catalog, names = self.catalog, self.catalog.classes
        counts = {
            name: np.bincount(catalog.labels[self.split.rows(name)], minlength=len(names)).tolist()
            for name in SPLITS
        }
        copies = np.bincount(self.copies)
        return {
            "name": catalog.name,
            "root": str(catalog.root.resolve()),
            "fingerprint": catalog.fingerprint(),
            "split_fingerprint": self.split_fingerprint(),
            "images": len(catalog),
            "counts": counts,
            "copies": int((copies[copies > 1] - 1).sum()),
            "groups": len(np.unique(self.groups)),
            "bad": catalog.bad,
            "notes": list(catalog.notes),
            "leaking": [catalog.ids[i] for i in self.split.leaking],
            "value_range": list(catalog.scale) if isinstance(catalog.scale, ValueRange) else None,
        }

    def scaled(self, scale: Scale) -> Dataset:
        """The same images, in the scale of a run that was trained on them."""
        return replace(self, catalog=replace(self.catalog, scale=scale))

    def split_fingerprint(self) -> str:
        """SHA-256 over which image is in which split."""
        digest = hashlib.sha256()
        for name in SPLITS:
            ids = "\n".join(self.catalog.ids[i] for i in self.split.rows(name))
            digest.update(f"{name}\n{ids}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def default_source() -> str:
    """The data set that is taken when none is named.

    Raises:
        ZooError: it is not installed.
    """
    if builtin.elpv_installed():
        return "elpv"
    raise ZooError(
        "no data is given: name a folder (--data photos/), or get the built-in solar cells "
        "(pip install elpv-dataset); --data digits is always there"
    )


def load(settings: Settings, progress: Progress) -> Dataset:
    """The data set of these settings.

    Raises:
        ZooError: see :func:`zoo.data.sources.scan`, :func:`zoo.data.inspect.usable`,
            :func:`zoo.data.value_range.range_of` and :func:`zoo.data.split.split`.
    """
    catalog = scan(settings.data, Reading.of(settings))
    catalog, seen = usable(catalog, inspect(catalog, progress))
    scale, remarks = range_of(seen, settings.value_range)
    catalog = replace(catalog, scale=scale)
    copies = copies_of(catalog, seen, settings.near_duplicates, progress)
    notes = (*catalog.notes, *remarks, *about_copies(catalog, copies))
    own = catalog.groups
    catalog = replace(catalog, groups=united(own, copies), notes=notes)

    def divided(groups: np.ndarray) -> Split:
        return split(
            catalog,
            groups,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
            seed=settings.split_seed,
        )

    try:
        return Dataset(catalog, copies, divided(catalog.groups))
    except ZooError as error:
        if not settings.near_duplicates:
            raise
        exact = find_copies(seen, near=False)
        try:
            divided(united(own, exact))
        except ZooError:
            raise error from None
        raise ZooError(
            f"{error}; without near-duplicates the data can be split: {notes[-1]}; if they are "
            f"different images, give --no-near-duplicates"
        ) from None
