"""What a training works on: settings, images with a split, pixels, frozen features, backbone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

import backbones
from backbones import Backbone
from zoo.data.dataset import Dataset
from zoo.data.prepare import Prepared, prepare
from zoo.keras_setup import import_keras, set_precision
from zoo.progress import Progress
from zoo.train.arrays import LazyRows
from zoo.train.choice import ALL, LAST, FeatureSet
from zoo.train.plan import ResolvedPlan
from zoo.train.probe import soft_targets
from zoo.train.teacher import Teacher, teacher_of

AUTO = "auto"


@dataclass
class Timings:
    """Wall seconds of each stage, summed over folds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)


@dataclass(frozen=True)
class Inputs:
    """What all members of a run share.

    Attributes:
        resolved: settings.
        data: images with labels and split.
        prepared: their pixels.
        features: of the frozen backbone, float32 of shape (n, d), read when they are asked for;
            None from scratch.
        tables: of each set of features that the head may see, those of shape (n, d), from the
            simplest set on; empty from scratch.
        teacher: whose probabilities are learned beside the labels, if there is one.
    """

    resolved: ResolvedPlan
    data: Dataset
    prepared: Prepared
    features: LazyRows | None
    tables: Mapping[FeatureSet, LazyRows] = field(default_factory=dict)
    teacher: Teacher | None = None

    @property
    def labels(self) -> np.ndarray:
        """int64 of shape (n,)."""
        return self.data.catalog.labels

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.data.catalog.classes)

    def targets(self, rows: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
        """What is learned of rows of the catalogue: float32 of shape (n, k), rows sum to one.

        Args:
            rows: none of the test split.
            smoothing: of the labels, from 0 to 1.
        """
        labels = soft_targets(self.labels[rows], self.classes, smoothing)
        if self.teacher is None:
            return labels
        return self.teacher.targets(labels, rows, self.resolved.settings.teacher_weight)

    @classmethod
    def assemble(
        cls,
        resolved: ResolvedPlan,
        data: Dataset,
        backbone: Backbone,
        timings: Timings,
        progress: Progress,
    ) -> Inputs:
        """Pixels and features of a data set, from the cache or computed now.

        Args:
            resolved: settings.
            data: images with labels and split.
            backbone: with the weights that the training starts from.
            timings: gets the stages ``prepare`` and ``features``.
            progress: shows both.

        Raises:
            ZooError: the teacher has none of these images, or another split; the disk is full.
        """
        teacher = teacher_of(resolved.settings, data)
        with timings.stage("prepare"):
            prepared = prepare(data.catalog, resolved.size, resolved.settings.resize, progress)
        if resolved.from_scratch:
            return cls(resolved, data, prepared, None, teacher=teacher)
        from zoo.train.features import feature_tables, frozen_features

        with timings.stage("features"):
            sets = candidates(resolved, backbone, progress)
            tables = feature_tables(backbone, prepared, sets, progress)
            features = frozen_features(backbone, prepared, progress)
        return cls(resolved, data, prepared, features, tables, teacher)


def candidates(resolved: ResolvedPlan, backbone: Backbone, progress: Progress) -> list[FeatureSet]:
    """Sets of features that the head may see, from the simplest on.

    Args:
        resolved: settings, which say what is to be tried.
        backbone: built backbone.
        progress: told if the network has no inner maps.
    """
    settings = resolved.settings
    views = [int(settings.views)] if settings.views != AUTO else _views_of(settings.flip)
    depths = [settings.depths] if settings.depths != AUTO else [LAST, ALL]
    if not backbones.last_maps(backbone.model):
        if settings.depths == ALL:
            progress.say(
                f"{resolved.spec.name} has no inner maps of features at {resolved.size} px: the "
                f"head sees the last layer alone"
            )
        depths = [LAST]
    if settings.head_penalties[0] > 0 and settings.depths == AUTO:
        depths = [LAST]  # sparse heads have no short way through the kernel matrix
        views = views[:1]
    return [FeatureSet(depth, count) for count in views for depth in depths]


def _views_of(flip: str) -> list[int]:
    """Numbers of views to try where images may be flipped like this.

    More than two were measured to gain less than they cost.
    """
    return [1] if flip == "none" else [1, 2]


def build_backbone(resolved: ResolvedPlan) -> Backbone:
    """The backbone with its weights; random ones follow from the seed.

    Raises:
        BackboneError: the weights cannot be loaded or do not fit.
    """
    import keras

    settings = resolved.settings
    keras.backend.clear_session()  # layer names, and so random draws, start afresh
    keras.utils.set_random_seed(settings.seed)
    return backbones.build(
        resolved.spec.name,
        size=resolved.size,
        weights=resolved.weights,
        options=resolved.options,
    )


def starting_backbone(resolved: ResolvedPlan) -> Backbone:
    """The backbone at the precision of the settings: imports Keras, sets its global policy.

    Raises:
        BackboneError: the weights cannot be loaded or do not fit.
    """
    import_keras()
    set_precision(resolved.settings.precision)
    return build_backbone(resolved)
