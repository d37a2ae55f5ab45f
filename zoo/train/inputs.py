"""What a training works on: settings, images with a split, pixels, frozen features, backbone."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
from zoo.train.plan import ResolvedPlan


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
    """

    resolved: ResolvedPlan
    data: Dataset
    prepared: Prepared
    features: LazyRows | None

    @property
    def labels(self) -> np.ndarray:
        """int64 of shape (n,)."""
        return self.data.catalog.labels

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.data.catalog.classes)

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
        """
        with timings.stage("prepare"):
            prepared = prepare(data.catalog, resolved.size, resolved.settings.resize, progress)
        if resolved.from_scratch:
            return cls(resolved, data, prepared, None)
        from zoo.train.features import frozen_features

        with timings.stage("features"):
            features = frozen_features(backbone, prepared, progress)
        return cls(resolved, data, prepared, features)


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
