"""Bags: one classifier per fold, whose probabilities are averaged and calibrated together.

The mean of calibrated classifiers is underconfident wherever they disagree (Rahaman and Thiery
2021, arXiv 2007.08792). So all folds keep the same images for validation, which none of them is
trained on, and the temperature of the mean is fitted there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensembles.calibration import scaled, temperature_of
from zoo.data.dataset import Dataset
from zoo.data.split import folds, split_off
from zoo.progress import Progress
from zoo.settings import Settings
from zoo.train.inputs import Inputs, Timings, build_backbone
from zoo.train.member import Member, train_member


@dataclass(frozen=True)
class Bag:
    """Classifiers that predict together.

    Attributes:
        members: at least one.
        temperature: of the mean of their probabilities.
    """

    members: list[Member]
    temperature: float = 1.0

    def probabilities(
        self, inputs: Inputs, rows: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        """float32 of shape (n, k), as the saved model gives them."""
        each = [member.probabilities(inputs, rows, progress) for member in self.members]
        mean = np.stack(each).mean(axis=0, dtype=np.float64)
        return scaled(mean, self.temperature).astype(np.float32)


def fold_rows(data: Dataset, settings: Settings) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of the catalogue to train on and to hold out, for each fold; none of them test rows."""
    rows = data.split.not_test
    labels, groups = data.catalog.labels[rows], data.groups[rows]
    parts = folds(labels, groups, settings.folds, settings.split_seed)
    return [(rows[rest], rows[held]) for rest, held in parts]


def validation_rows(data: Dataset, settings: Settings) -> np.ndarray:
    """Rows of the catalogue that no fold is trained on, stratified, whole groups."""
    rows = data.split.not_test
    labels, groups = data.catalog.labels[rows], data.groups[rows]
    _, shared = split_off(labels, groups, settings.val_fraction, settings.split_seed)
    return rows[shared]


def train_folds(
    inputs: Inputs, checkpoints: Path, timings: Timings, progress: Progress
) -> tuple[Bag, np.ndarray]:
    """A bag of a member for each fold, and out-of-fold probabilities of all rows but test rows.

    Each member chooses (early stopping, penalty, temperature) on the shared validation rows that
    are not in its held-out fold, so that its held-out fold does not influence it.
    """
    settings, data = inputs.resolved.settings, inputs.data
    shared = validation_rows(data, settings)
    members, oof = [], np.zeros((len(data.catalog), inputs.classes), np.float32)
    for number, (rest, held) in enumerate(fold_rows(data, settings), start=1):
        member = train_member(
            inputs,
            build_backbone(inputs.resolved),
            np.setdiff1d(rest, shared),
            np.setdiff1d(shared, held),
            checkpoint=checkpoints / f"fold{number}.npz",
            timings=timings,
            progress=progress,
            label=f"fold {number}/{settings.folds}",
        )
        oof[held] = member.probabilities(inputs, held)
        members.append(member)
    return calibrated(members, inputs, shared), oof


def calibrated(members: list[Member], inputs: Inputs, rows: np.ndarray) -> Bag:
    """The bag at the temperature of its mean, fitted on rows that no member was trained on."""
    bag = Bag(members)
    if not inputs.resolved.settings.calibrate:
        return bag
    mean = bag.probabilities(inputs, rows)
    return Bag(members, temperature_of(mean, inputs.labels[rows], inputs.data.groups[rows]))
