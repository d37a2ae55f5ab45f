"""What training takes, predicted from the measured speed of a network."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from zoo.evaluate.inference import BATCH, Inference
from zoo.keras_setup import import_keras
from zoo.settings import Settings
from zoo.train.inputs import starting_backbone
from zoo.train.plan import ResolvedPlan

_ROUNDS = 2  # batches that are timed, after one that builds the graph
_HEAD = 1.5e-7  # seconds per image and feature of one head with its choice of a penalty
_STEP = 2.2  # forward passes that a training step of the upper half takes; 3 of all blocks
_STEP_ALL = 3.0
# times the seconds to build a network and its graph: until the first training step; to write and
# time the network of a run, for each member
_START = 2.5
_SAVE = 1.0


@dataclass(frozen=True)
class Speed:
    """How fast a network is on this machine.

    Attributes:
        forward: seconds per image of a forward pass.
        build: seconds to build it and its graph.
        size: side of the images in pixels.
        features: length of the feature vector.
    """

    forward: float
    build: float
    size: int
    features: int

    def at(self, size: int) -> Speed:
        """The same network on images of another size: convolutions take time by the pixel."""
        return Speed(self.forward * (size / self.size) ** 2, self.build, size, self.features)


def measure(resolved: ResolvedPlan) -> Speed:
    """Build the network and time some batches; its weights are loaded as for training."""
    import_keras()  # once, not for every network
    started = time.perf_counter()
    backbone = starting_backbone(resolved)
    network = Inference(backbone.model)
    images = np.random.default_rng(0).integers(
        0, 256, (BATCH, resolved.size, resolved.size, 3), np.uint8
    )
    network(images)
    build = time.perf_counter() - started
    times = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        network(images)
        times.append(time.perf_counter() - begun)
    return Speed(min(times) / BATCH, build, resolved.size, int(np.prod(network.outputs)))


@dataclass
class Costs:
    """Predicted seconds of training runs, corrected by those that are done.

    Attributes:
        images: of the data set.
        train: of them, that are trained on without folds.
        val: of them, that epochs are judged by without folds.
        ratios: kind of run to observed seconds by predicted ones, of the runs that are done.
    """

    images: int
    train: int
    val: int
    ratios: dict[str, list[float]] = field(default_factory=dict)

    def predict(self, speed: Speed, resolved: ResolvedPlan) -> float:
        """Seconds of a training run.

        Args:
            speed: of its network, at any size.
            resolved: its settings.
        """
        speed, settings = speed.at(resolved.size), resolved.settings
        folds = max(1, settings.folds)
        total = speed.build * (1 + folds * _SAVE)
        passes = 1
        if not resolved.from_scratch:
            passes = _views(settings)
            total += (passes - 1) * speed.build  # the graph has the network once for each view
            total += folds * self.train * speed.features * _HEAD
        total += passes * self.images * speed.forward
        if not resolved.probe_only:
            step = _STEP_ALL if resolved.unfreeze == "all" else _STEP
            # with folds, the rest of the images of the other folds, less those that judge
            share = 1.0 if folds == 1 else (folds - 1) / folds
            epoch = share * (self.train * step + 2 * self.val) * speed.forward
            total += folds * (speed.build * _START + resolved.epochs * epoch)
        return total * self.correction(kind_of(resolved))

    def correction(self, kind: str) -> float:
        """How much longer runs of a kind took than was predicted: a geometric mean."""
        found = self.ratios.get(kind, [])
        return float(np.exp(np.mean(np.log(found)))) if found else 1.0

    def observe(self, kind: str, predicted: float, seconds: float) -> None:
        """Learn from a run that is done.

        Args:
            kind: see :func:`kind_of`.
            predicted: seconds, as :meth:`predict` gave them.
            seconds: that it took.
        """
        if predicted > 0 and seconds > 0:
            self.ratios.setdefault(kind, []).append(
                self.correction(kind) * max(0.2, seconds / predicted)
            )


def _views(settings: Settings) -> int:
    """Passes over the images that the features take: the most that may be tried."""
    if settings.views == "auto":
        return 1 if settings.flip == "none" else 2
    return int(settings.views)


def kind_of(resolved: ResolvedPlan) -> str:
    """``probe`` or ``finetune``: whose predictions err alike."""
    return "probe" if resolved.probe_only else "finetune"
