"""What the checks examine: a run's predictions, curves, images and features, read lazily.

Test images are used to find copies and drift only. Nothing is chosen by them.
"""

from __future__ import annotations

import shlex
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ensembles import PredictionTable
from zoo.data.catalog import Catalog
from zoo.data.dataset import Dataset, load
from zoo.data.inspect import Inspection, inspect
from zoo.data.prepare import Prepared, prepare
from zoo.data.split import folds
from zoo.data.value_range import scale_of
from zoo.errors import ZooError
from zoo.progress import Progress
from zoo.records import StageRecord, TrainingRecord
from zoo.runs import Run
from zoo.settings import Settings

if TYPE_CHECKING:
    from backbones import Backbone
    from zoo.train.arrays import LazyRows, Table

SEED = 0  # of every draw, so that a diagnosis repeats
USUAL_L2 = 1e-2  # the head's penalty if the run had no probe to choose one
FOLDS = 5  # of linear heads
_TRAIN_SAMPLE = 1000  # training images that are predicted


class Evidence:
    """A finished run of one network and the data that it was trained on.

    Args:
        run: not an ensemble.
        progress: shows the steps.

    Raises:
        ZooError: an ensemble, or predictions are missing. Properties raise it if the images are
            no longer those of the run.
    """

    def __init__(self, run: Run, progress: Progress | None = None) -> None:
        if run.combination is not None:
            members = ", ".join(member.name for member in run.members)
            raise ZooError(
                f"{run.name} is an ensemble: diagnose its members one by one ({members})"
            )
        self.run = run
        self.settings = Settings.of(run.settings, f"run {run.name!r}")
        self.progress = progress or Progress()

    def rerun_command(self, options: str) -> str:
        """The command that repeats the run with other options."""
        return f"zoo finetune --config {shlex.quote(str(self.run.path / 'run.json'))} {options}"

    @cached_property
    def judged(self) -> PredictionTable:
        """Predictions of images outside the training and test splits.

        Out-of-fold predictions if the run has folds, of the validation images otherwise.
        """
        split = "oof" if self.run.has("predictions/oof.npz") else "val"
        return self.run.predictions(split)

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One row per epoch of the only or first training; see ``history.csv``."""
        return next(iter(self.run.epochs.values()), [])

    @property
    def kept(self) -> TrainingRecord | None:
        """The record of the training that made :attr:`judged`; None of an ensemble."""
        return self.run.trained[0] if self.run.trained else None

    @property
    def kept_probe(self) -> StageRecord | None:
        """The result of the probe that this training began with, if it had one."""
        return self.kept.get("probe") if self.kept else None

    @cached_property
    def dataset(self) -> Dataset:
        """The images with labels and split, the same as the run's.

        Raises:
            ZooError: moved, changed or split otherwise.
        """
        there, name = self.run.record["data"], self.run.name
        try:
            found = load(self.settings, self.progress)
        except ZooError as error:
            raise ZooError(
                f"the images of run {name!r} cannot be loaded ({error}): put them back to "
                f"{there.get('root')}, or train again with their new location"
            ) from error
        if found.catalog.fingerprint() != there.get("fingerprint"):
            raise ZooError(
                f"the images or labels in {there.get('root')} changed since run {name!r} was "
                f"trained: train it again, then diagnose that run"
            )
        return found.scaled(scale_of(self.run))

    @property
    def catalog(self) -> Catalog:
        """The usable images."""
        return self.dataset.catalog

    @cached_property
    def seen(self) -> Inspection:
        """Sizes and thumbnails of the usable images."""
        return inspect(self.catalog, self.progress)

    @cached_property
    def prepared(self) -> Prepared:
        """The decoded images."""
        size, resize = self.run.view
        return prepare(self.catalog, size, resize, self.progress)

    @cached_property
    def features(self) -> LazyRows | None:
        """Features of the frozen backbone, float32 of shape (n, d); None from scratch."""
        if self.settings.weights == "none":
            return None
        from zoo.train.features import frozen_features, stored_features

        record = self.run.record
        precision = str(record.get("network", {}).get("precision", "float32"))
        digest = str(record.get("weights", {}).get("sha256"))
        dtype = precision.removeprefix("mixed_")
        found = stored_features(self.prepared, self.settings.backbone, digest, dtype)
        if found is not None:
            return found
        return frozen_features(self.backbone, self.prepared, self.progress)

    @cached_property
    def backbone(self) -> Backbone:
        """The network below the head with the weights that the training started from."""
        from zoo.train.inputs import starting_backbone
        from zoo.train.plan import resolve

        return starting_backbone(resolve(self.settings))

    @property
    def not_test(self) -> np.ndarray:
        """Rows of the catalog that are not test rows, sorted."""
        return self.dataset.split.not_test

    @property
    def l2(self) -> float:
        """L2 penalty of the heads fitted here: the one that the run's probe chose.

        That of a head on all depths says nothing of one on the last layer's features.
        """
        if self.kept and self.kept.get("depths", "last") != "last":
            return USUAL_L2
        return self.kept_probe.get("l2", USUAL_L2) if self.kept_probe else USUAL_L2

    def cross_probed(
        self,
        labels: np.ndarray,
        weights: np.ndarray | None = None,
        features: Table | None = None,
        l2: float | None = None,
        groups: np.ndarray | None = None,
    ) -> np.ndarray:
        """Out-of-fold probabilities of a linear head.

        Args:
            labels: int64 of shape (m,), of the rows of ``not_test``.
            weights: of shape (m,), weight of each sample in fitting.
            features: float32 of shape (n, d) to fit it on; the run's own if None.
            l2: its penalty; the run's own if None.
            groups: int64 of shape (m,), of images that are in one fold; the data set's if None.

        Returns:
            float32 of shape (m, k).

        Raises:
            ZooError: the network was trained from scratch, so there are no features.
        """
        from zoo.train.probe import fit_head, soft_targets

        if features is None:
            features = self.features
        if features is None:
            raise ZooError("a network trained from scratch has no frozen features")
        x, classes = features[self.not_test], len(self.catalog.classes)
        result = np.zeros((len(self.not_test), classes), np.float32)
        if groups is None:
            groups = self.dataset.groups[self.not_test]
        parts = folds(labels, groups, FOLDS, SEED)
        with self.progress.step("probe", FOLDS) as advance:
            for rest, held in parts:
                head = fit_head(
                    x[rest],
                    soft_targets(labels[rest], classes, 0.0),
                    l1=0.0,
                    l2=self.l2 if l2 is None else l2,
                    sample_weight=None if weights is None else weights[rest],
                )
                result[held] = head.probabilities(x[held])
                advance()
        return result

    def one_of_each_group(self, rows: np.ndarray) -> np.ndarray:
        """Rows that do not depend on each other: a random one of those of each group."""
        shuffled = np.random.default_rng(SEED).permutation(rows)
        first = np.unique(self.dataset.groups[shuffled], return_index=True)[1]
        return np.sort(shuffled[first])

    @cached_property
    def probed(self) -> np.ndarray:
        """:meth:`cross_probed` with the labels as given."""
        return self.cross_probed(self.catalog.labels[self.not_test])

    def table(
        self,
        rows: np.ndarray,
        probabilities: np.ndarray,
        split: str,
        groups: np.ndarray | None = None,
    ) -> PredictionTable:
        """Predictions of rows of the catalog, to be compared with those of the run.

        Args:
            rows: int64 of shape (m,).
            probabilities: of shape (m, k).
            split: that they are of.
            groups: int64 of shape (m,); the data set's if None.
        """
        return PredictionTable(
            ids=np.array([self.catalog.ids[i] for i in rows], dtype=np.str_),
            labels=self.catalog.labels[rows],
            probabilities=probabilities,
            classes=np.array(self.catalog.classes, dtype=np.str_),
            split=split,
            fingerprint=self.catalog.fingerprint(),
            groups=self.dataset.groups[rows] if groups is None else groups,
        )

    @cached_property
    def out_of_fold(self) -> PredictionTable:
        """Predictions of every image outside the test split by a model not trained on it.

        The run's own if it has folds; else those of a linear head on the frozen features, which
        cover about ten times as many images as the validation split; else those of the validation
        images.
        """
        if self.judged.split == "oof" or self.features is None:
            return self.judged
        return self.table(self.not_test, self.probed, "oof")

    @property
    def judge(self) -> str:
        """The model of :attr:`out_of_fold`, in words."""
        if self.judged.split == "oof":
            return "the fold models"
        if self.features is None:
            return "the run on its validation images"
        return "a linear head on the frozen features, fitted without them"

    @cached_property
    def on_training(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels and the network's probabilities of up to 1,000 training images.

        Without augmentation, unlike the figures of the training curve.
        """
        from zoo.evaluate.inference import Inference

        rows = self.dataset.split.train
        if len(rows) > _TRAIN_SAMPLE:
            rng = np.random.default_rng(SEED)
            rows = np.sort(rng.choice(rows, _TRAIN_SAMPLE, replace=False))
        network = Inference(self.run.model)
        shown = network.run(self.prepared.pixels, self.prepared.rows[rows], self.progress)
        return self.catalog.labels[rows], shown
