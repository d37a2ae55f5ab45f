"""Train, validation and test: stratified, seeded, copies of one image in the same split.

The test images are chosen first and never move: they depend on the data and ``split_seed`` alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.data.catalog import SPLITS, Catalog
from zoo.errors import ZooError

_RANK = {"": 0, "train": 1, "val": 2, "test": 3}


@dataclass(frozen=True)
class Split:
    """Row indices of each split, int64, sorted, and what was set aside.

    Attributes:
        train, val, test: indices into the catalogue.
        leaking: indices of images given as train or val that are copies of val or test images.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    leaking: np.ndarray

    @property
    def not_test(self) -> np.ndarray:
        """Indices of training and validation images together, sorted."""
        return np.sort(np.concatenate([self.train, self.val]))

    def rows(self, name: str) -> np.ndarray:
        """Indices of the split of this name."""
        rows: np.ndarray = getattr(self, name)
        return rows


def split(
    catalog: Catalog,
    groups: np.ndarray,
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> Split:
    """Assign every image to a split, keeping what the source gives.

    A missing validation split is drawn from what is given as train, too; so is a missing test
    split if no image is left without a split.

    Args:
        catalog: images with labels and given splits.
        groups: int64 of shape (n,); images of one group stay together.
        val_fraction: share of each class for validation, of what is not test.
        test_fraction: share of each class for testing, where the source gives no test images.
        seed: of the shuffling.

    Raises:
        ZooError: a class is left without training images.
    """
    given = catalog.splits.copy()
    ranks = np.array([_RANK[s] for s in given])
    top = np.zeros(groups.max() + 1, int)
    np.maximum.at(top, groups, ranks)
    # a copy of a test image must not be trained on: the test image stays, the copy is set aside
    leaking = (ranks < top[groups]) & (top[groups] >= _RANK["val"])
    # an open copy of an image given as train goes with it
    given[(given == "") & (top[groups] == _RANK["train"])] = "train"
    free = (given == "") & ~leaking
    for name, fraction, number in (("test", test_fraction, seed), ("val", val_fraction, seed + 1)):
        if not (given == name).any():
            if name == "val" or not free.any():
                free |= (given == "train") & ~leaking
            picked = _pick(catalog.labels, groups, free, fraction, number)
            given[picked], free = name, free & ~picked
    given[free] = "train"
    given[leaking] = ""
    rows = {name: np.flatnonzero(given == name) for name in SPLITS}
    _check(catalog, rows, np.flatnonzero(leaking))
    return Split(**rows, leaking=np.flatnonzero(leaking))


def _pick(
    labels: np.ndarray, groups: np.ndarray, free: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """Mask of a share of the free rows of each class, whole groups at a time."""
    rng = np.random.default_rng(seed)
    picked = np.zeros(len(labels), bool)
    members: dict[int, list[int]] = {}
    for i in np.flatnonzero(free).tolist():
        members.setdefault(int(groups[i]), []).append(i)
    of_class: dict[int, list[list[int]]] = {}
    sizes = np.bincount(labels)
    for rows in members.values():  # a group counts for its rarest class, which has no other chance
        rarest = min(labels[rows].tolist(), key=lambda k: (sizes[k], k))
        of_class.setdefault(rarest, []).append(rows)
    for label in sorted(of_class):
        own = of_class[label]
        if len(own) < 2:
            continue
        wanted = max(round(sum(map(len, own)) * fraction), 1)
        if wanted < min(map(len, own)):  # nothing but large groups: the smallest is near enough
            picked[min(own, key=len)] = True
            continue
        for i in rng.permutation(len(own)).tolist():
            if wanted >= len(own[i]):
                picked[own[i]] = True
                wanted -= len(own[i])
    return picked


def folds(
    labels: np.ndarray, groups: np.ndarray, count: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds that keep groups together: (training rows, held-out rows) of each fold.

    Args:
        labels: int64 of shape (n,).
        groups: int64 of shape (n,).
        count: number of folds, at least 2.
        seed: of the shuffling.

    Raises:
        ZooError: a class has fewer images, copies aside, than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    pairs = np.unique(np.stack([labels, groups]), axis=1)
    fewest = int(np.bincount(pairs[0], minlength=int(labels.max()) + 1).min())
    if fewest < count:
        raise ZooError(
            f"--folds {count} needs at least {count} groups of images of each class outside the "
            f"test split (copies and images of one group count once), one class has {fewest}: use "
            f"fewer folds"
        )
    alone = len(np.unique(groups)) == len(groups)
    # without copies the plain splitter balances the classes exactly
    splitter = (StratifiedKFold if alone else StratifiedGroupKFold)(
        count, shuffle=True, random_state=seed
    )
    return list(splitter.split(np.zeros(len(labels)), labels, None if alone else groups))


def split_off(
    labels: np.ndarray, groups: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two stratified parts that keep groups together: (rows that stay, rows that are split off).

    Args:
        labels: int64 of shape (n,).
        groups: int64 of shape (n,).
        fraction: share of each class that is split off.
        seed: of the shuffling.
    """
    off = _pick(labels, groups, np.ones(len(labels), bool), fraction, seed)
    return np.flatnonzero(~off), np.flatnonzero(off)


def _check(catalog: Catalog, rows: dict[str, np.ndarray], leaking: np.ndarray) -> None:
    for name in ("train", "val"):
        counts = np.bincount(catalog.labels[rows[name]], minlength=len(catalog.classes))
        if not counts.all() and (name == "train" or not counts.any()):
            label = catalog.classes[int(np.argmin(counts))]
            if len(leaking):
                raise _copied(catalog, label, leaking)
            raise ZooError(
                f"class {label!r} has no image left for {name}: add images of it, or lower the "
                f"fractions for validation and test"
            )


def _copied(catalog: Catalog, label: str, leaking: np.ndarray) -> ZooError:
    given = int((catalog.splits == "train").sum())
    lost = int((catalog.splits[leaking] == "train").sum())
    all_of = "all" if lost == given else f"{lost} of"
    return ZooError(
        f"{all_of} {given} training images are copies of validation or test images and are set "
        f"aside (the first is {catalog.ids[leaking[0]]}), so that class {label!r} has no image "
        f"left for training: remove the folder that is a copy, so that its split is drawn from the "
        f"others, or remove the copies from it"
    )
