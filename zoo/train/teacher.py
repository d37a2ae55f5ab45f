"""What a network learns from another one: its probabilities for images that it was not trained on.

Soft targets as in Hinton, Vinyals and Dean 2015 (arXiv 1503.02531), mixed with the labels. They are
out-of-fold predictions: for images that it was trained on, a network repeats their labels, and
there is nothing to learn from that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.dataset import Dataset
from zoo.errors import ZooError
from zoo.keywords import OF_TEACHER
from zoo.runs import Run, open_run
from zoo.settings import Settings

_FILE = "predictions/oof.npz"


@dataclass(frozen=True)
class Teacher:
    """A run that another one learns from.

    Attributes:
        run: its name.
        sha256: of its out-of-fold predictions.
        probabilities: float32 of shape (n, k), by row of the catalogue; NaN for test images.
    """

    run: str
    sha256: str
    probabilities: np.ndarray

    def targets(self, labels: np.ndarray, rows: np.ndarray, weight: float) -> np.ndarray:
        """Labels mixed with what the teacher says: float32 of shape of ``labels``.

        Args:
            labels: soft or one-hot, of shape (b, k).
            rows: of the catalogue, of shape (b,); none of the test split.
            weight: share of the teacher, from 0 to 1.
        """
        return ((1 - weight) * labels + weight * self.probabilities[rows]).astype(np.float32)

    def about(self) -> dict[str, Any]:
        """For the record of the run that learns from it."""
        return {"run": self.run, "sha256": self.sha256}


def open_teacher(name: str | Path, folder: str | Path | None = None) -> Run:
    """The run that is to teach.

    Raises:
        ZooError: there is none, or it has no out-of-fold predictions.
    """
    run = open_run(name, folder)
    if not run.has(_FILE):
        what = "its members need" if run.combination else "it needs"
        raise ZooError(
            f"run {run.name!r} cannot teach: it has no out-of-fold predictions. For images that it "
            f"was trained on, a network repeats the labels; {what} to be trained with --folds 5"
        )
    return run


def settings_of_student(teacher: Run, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run that learns from another: those of the data are the other's.

    Args:
        teacher: see :func:`open_teacher`.
        given: settings by name; None is left open. The backbone is the first member's if open.

    Raises:
        ZooError: one of them is the teacher's to say.
    """
    found = {name: value for name, value in given.items() if value is not None}
    fixed = [name for name in OF_TEACHER if name in found and name != "data"]
    if fixed:
        raise ZooError(f"{fixed[0]} must be as for the teacher {teacher.name!r}: leave it out")
    first = teacher.networks[0].settings
    shared = {name: first[name] for name in OF_TEACHER if first.get(name) is not None}
    backbone = {"backbone": first["backbone"]}
    return {**shared, **backbone, **found, "teacher": str(teacher.path)}


def taught_by(run: Run, dataset: Dataset) -> Teacher:
    """What a run says of the images of a data set.

    Raises:
        ZooError: it has other images, labels or classes, or another split.
        EnsembleError: its predictions are damaged.
    """
    table, catalog = run.predictions("oof"), dataset.catalog
    if table.fingerprint != catalog.fingerprint():
        raise ZooError(
            f"run {run.name!r} cannot teach: it is of other images, labels or classes than "
            f"{catalog.root}; give the data that it was trained on"
        )
    row_of = {name: row for row, name in enumerate(catalog.ids)}
    rows = np.array([row_of[str(name)] for name in table.ids], np.int64)
    if set(rows.tolist()) != set(dataset.split.not_test.tolist()):
        raise ZooError(
            f"run {run.name!r} cannot teach: it has other test images. Use its split (split_seed, "
            f"val_fraction, test_fraction and near_duplicates of its run.json)"
        )
    order = [table.classes.tolist().index(name) for name in catalog.classes]
    probabilities = np.full((len(catalog.ids), len(order)), np.nan, np.float32)
    probabilities[rows] = table.probabilities[:, order]
    with run.file(_FILE).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Teacher(run.name, digest, probabilities)


def teacher_of(settings: Settings, dataset: Dataset) -> Teacher | None:
    """The teacher that the settings name, if any: see :func:`open_teacher`, :func:`taught_by`."""
    if settings.teacher is None:
        return None
    return taught_by(open_teacher(settings.teacher), dataset)
