"""Do the file names show groups (patients, bursts, exports) that the split did not know of?"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import numpy as np

from ensembles.comparison import compare
from zoo.data.groups import of_names, of_pattern, united
from zoo.diagnosis.evidence import FOLDS, Evidence
from zoo.diagnosis.finding import NO_FEATURES, Finding, Outcome, Shown, outcome, unknown
from zoo.errors import ZooError
from zoo.words import counted, listed

# what a group's name is in a path, tried in this order
_PATTERNS = (
    r"([^/]+)\.rf\.[0-9a-f]+",  # exports of Roboflow: versions of one image
    r"([^/]*[0-9][^/]*)[ _-][^/_ -]+\.[^./]+$",  # IMG_0012_a.jpg, patient07_3.png
    r"([^/ _-]*[0-9][^/ _-]*)[ _-][^/]*$",  # patient07_left_3.png
    r"([^/]*[0-9])[a-zA-Z]\.[^./]+$",  # 0012a.jpg, 0012b.jpg
    r"([^/]*[0-9][^/]*)/[^/]+$",  # class/patient07/3.png
)
_FEWEST = 20  # groups of several images
_SHARE = 0.5  # of the images that are in such groups, at least
_LARGEST = 0.1  # share of the images in one group: a larger one is a class or a part of the data
_SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class NameGroups:
    """Groups that a pattern finds in the paths of images.

    Attributes:
        pattern: the regular expression, for ``--group-pattern``.
        numbers: int64 of shape (n,), equal for images of one group.
        names: of some groups of several images.
    """

    pattern: str
    numbers: np.ndarray
    names: list[str]


def suggested_groups(ids: list[str], labels: np.ndarray) -> NameGroups | None:
    """Groups that the paths of images suggest, None if they do not.

    Args:
        ids: n paths below the data folder.
        labels: int64 of shape (n,).
    """
    for pattern in _PATTERNS:
        try:
            names = of_pattern(ids, pattern)
        except ZooError:  # it matches nothing, or everything is one group
            continue
        numbers = of_names(names)
        sizes = np.bincount(numbers)
        several = sizes > 1
        if several.sum() < _FEWEST or sizes[several].sum() < _SHARE * len(ids):
            continue
        # every class needs groups of its own to be held out
        pairs = np.unique(np.stack([labels, numbers]), axis=1)
        if sizes.max() > _LARGEST * len(ids) or np.bincount(pairs[0]).min() < 2 * FOLDS:
            continue
        shown = sorted({name for name, own in zip(names, numbers, strict=True) if several[own]})
        return NameGroups(pattern, numbers, shown[:_SHOWN])
    return None


def check_name_groups(evidence: Evidence) -> Outcome:
    """Compare a linear head on folds that split the suggested groups and on folds that do not."""
    name, rows = "groups", evidence.not_test
    settings = evidence.settings
    if settings.group_column or settings.group_pattern:
        count = len(np.unique(evidence.dataset.groups))
        return outcome(name, f"the groups are given: {count:,}", [])
    labels = evidence.catalog.labels[rows]
    found = suggested_groups([evidence.catalog.ids[i] for i in rows], labels)
    if found is None:
        return outcome(name, "the file names suggest no groups of images", [])
    several = int((np.bincount(found.numbers) > 1).sum())
    suggest = f"file names suggest {several:,} groups of images ({listed(found.names)}, ...)"
    if evidence.features is None:
        return unknown(name, f"{suggest}, and a network trained from scratch has no features that "
                       f"show what they change", NO_FEATURES)  # fmt: skip
    groups = united(found.numbers, evidence.dataset.groups[rows])
    kept = evidence.table(rows, evidence.cross_probed(labels, groups=groups), "oof", groups)
    apart = evidence.table(rows, evidence.probed, "oof", groups)
    change = compare(kept, apart)
    with_groups, without = (
        float((table.probabilities.argmax(axis=1) == labels).mean()) for table in (kept, apart)
    )
    says = (
        f"{suggest}; a linear head has an accuracy of {without:.3f} if they are split over folds, "
        f"{with_groups:.3f} if they are kept together"
    )
    if change.by_accuracy != "worse" and change.by_log_loss != "worse":
        return outcome(name, says, [])
    return outcome(name, says, [_finding(evidence, found, without, with_groups, says)])


def _finding(
    evidence: Evidence, found: NameGroups, without: float, with_groups: float, says: str
) -> Finding:
    ids = [evidence.catalog.ids[i] for i in evidence.not_test]
    sizes = np.bincount(found.numbers)
    largest = np.flatnonzero(found.numbers == sizes.argmax())
    return Finding(
        title=f"File names suggest groups; kept together, the accuracy falls from {without:.3f} to "
        f"{with_groups:.3f}.",
        cost=max(0.005, without - with_groups),
        evidence=(
            says[0].upper() + says[1:] + ".",
            f"The metrics of this run are of splits that put images of one group on both sides; "
            f"the largest group has {counted(int(sizes.max()), 'image')}.",
        ),
        advice="If a group shows one patient, specimen, video or photo, train with its images in "
        "one split: the metrics are then those of new ones.",
        command=evidence.rerun_command(f"--group-pattern {shlex.quote(found.pattern)}"),
        files=tuple(Shown(ids[i]) for i in largest),
    )
