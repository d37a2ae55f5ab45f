"""Augmentation policies, as keras-cv layers in the input pipeline.

Crops, flips and colour as in Szegedy et al. 2015 (arXiv 1409.4842) and Howard 2013
(arXiv 1312.5402), Cutout (DeVries 2017, arXiv 1708.04552), MixUp (Zhang 2018, arXiv 1710.09412),
CutMix (Yun 2019, arXiv 1905.04899).

keras-cv draws from several random sources whose state cannot be saved. So one pipeline runs
through all epochs, and a resumed training draws what went before once more, without training on it.
Streams run in parallel, each with layers of its own and in its own order, so that the result does
not depend on which thread is faster.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_RANGE = (0, 255)  # of pixel values
_MAX_STREAMS = 8  # threads that augment
# area of the crop and its aspect ratio; brightness and contrast; side of the cut-out square
_CROPS = {
    "light": ((0.8, 1.0), (0.9, 1.1)),
    "standard": ((0.5, 1.0), (0.75, 1.33)),
    "strong": ((0.35, 1.0), (0.67, 1.5)),
}
_COLOUR = {"standard": (0.1, 0.2), "strong": (0.2, 0.4)}
_CUTOUT = (0.1, 0.4)  # of the side


@dataclass(frozen=True)
class Policy:
    """What is done to training images.

    Attributes:
        augment: ``none``, ``light``, ``standard`` or ``strong``.
        mix: ``none``, ``cutmix``, ``mixup`` or ``both``, which alternate at random.
        flip: ``none``, ``horizontal`` or ``both``.
    """

    augment: str
    mix: str
    flip: str

    def layers(self, size: int) -> list[Callable[[Any], Any]]:
        """New layers from RGB in 0..255 to float32 RGB in 0..255, for images of ``size`` pixels."""
        import keras_cv

        layers: list[Callable[[Any], Any]] = []
        if self.augment == "none":
            return layers
        layers.append(_crop(size, *_CROPS[self.augment], self.flip))
        if self.augment in _COLOUR:
            layers.append(_colour(*_COLOUR[self.augment]))
        if self.augment == "strong":
            cutout = keras_cv.layers.RandomCutout
            layers.append(cutout(_CUTOUT, _CUTOUT, seed=_draw(), dtype="float32"))
        return layers

    def mixers(self) -> list[keras.layers.Layer]:
        """New layers that mix the images and labels of a batch."""
        import keras_cv

        made = []
        if self.mix in {"cutmix", "both"}:
            made.append(_cutmix())
        if self.mix in {"mixup", "both"}:
            made.append(keras_cv.layers.MixUp(seed=_draw(), dtype="float32"))
        return made


def _crop(
    size: int, area: tuple[float, float], aspect: tuple[float, float], flip: str
) -> keras.layers.Layer:
    """keras-cv's RandomCropAndResize that flips as well, for a whole batch of bytes at once.

    A flip is a crop from right to left: keras-cv's RandomFlip was measured to take half the time
    of the default policy. keras-cv 0.9 gives the samplers of area and aspect ratio one seed, which
    makes one follow from the other; here every draw has a seed of its own.
    """
    import keras_cv
    import tensorflow as tf

    def sampler(low: float, high: float) -> Any:
        return keras_cv.core.UniformFactorSampler(low, high, seed=_draw())

    unit = {name: sampler(0.0, 1.0) for name in ("y", "x", "turn y", "turn x")}

    class CropAndFlip(keras_cv.layers.RandomCropAndResize):
        def call(self, images: Any) -> Any:
            count = tf.shape(images)[0]
            share, ratio = self.crop_area_factor((count,)), self.aspect_ratio_factor((count,))
            top, bottom = side("y", tf.sqrt(share / ratio), flip == "both")
            left, right = side("x", tf.sqrt(share * ratio), flip != "none")
            boxes = tf.stack([top, left, bottom, right], axis=1)
            return tf.image.crop_and_resize(images, boxes, tf.range(count), self.target_size)

    def side(name: str, length: Any, may_turn: bool) -> tuple[Any, Any]:
        """Start and end of the crops along one axis, each of shape (b,), as shares of it."""
        length = tf.minimum(length, 1.0)
        start = unit[name](tf.shape(length)) * (1.0 - length)
        end = start + length
        if not may_turn:
            return start, end
        turned = unit[f"turn {name}"](tf.shape(length)) < 0.5
        return tf.where(turned, end, start), tf.where(turned, start, end)

    return CropAndFlip(
        (size, size), crop_area_factor=sampler(*area), aspect_ratio_factor=sampler(*aspect)
    )


def _colour(brightness: float, contrast: float) -> Callable[[Any], Any]:
    """keras-cv's RandomBrightness, then its RandomContrast, in one pass over the pixels.

    Here XLA pays on a CPU, too: measured to take a third of the time of the two layers. It does
    the arithmetic only, because its random numbers would not follow from the seed.
    """
    import keras_cv
    import tensorflow as tf

    cv = keras_cv.layers
    first = cv.RandomBrightness(brightness, value_range=_RANGE, dtype="float32")
    second = cv.RandomContrast(_RANGE, contrast, dtype="float32")

    @tf.function(jit_compile=_can_compile())
    def change(images: Any, shifts: Any, factors: Any) -> Any:
        return second.augment_images(first.augment_images(images, shifts), factors)

    def draw_and_change(images: Any) -> Any:
        count = tf.shape(images)[0]
        shifts = first.get_random_transformation_batch(count)
        return change(images, shifts, second.get_random_transformation_batch(count))

    return draw_and_change


@functools.cache
def _can_compile() -> bool:
    """Whether this TensorFlow has XLA for the processor; some builds do not."""
    import tensorflow as tf

    try:
        with tf.device("CPU"):
            tf.function(lambda x: x + 1.0, jit_compile=True)(tf.zeros(1))
    except tf.errors.OpError:
        return False
    return True


def _cutmix() -> keras.layers.Layer:
    """keras-cv's CutMix, its labels mixed by what is really pasted.

    keras-cv 0.9 counts the part of the box that lies beyond the border too.
    """
    import keras_cv
    import tensorflow as tf

    def inside(centre: Any, extent: Any, side: Any) -> Any:
        extent, side = tf.cast(extent, tf.float32), tf.cast(side, tf.float32)
        start = tf.math.ceil(tf.cast(centre, tf.float32) - extent / 2)
        return tf.minimum(start + extent, side) - tf.maximum(start, 0.0)

    class CutMix(keras_cv.layers.CutMix):
        def _cutmix(self, images: Any) -> Any:
            mixed, _, order, y, x, width, height = super()._cutmix(images)
            h, w = tf.shape(images)[1], tf.shape(images)[2]
            pasted = inside(y, height, h) * inside(x, width, w) / tf.cast(h * w, tf.float32)
            return mixed, 1.0 - pasted, order, y, x, width, height

    return CutMix(seed=_draw(), dtype="float32")


def _draw() -> int:
    """A seed from Python's generator, which the stream's seed has set."""
    return random.randint(1, 2**31 - 1)


@dataclass(frozen=True)
class TrainingImages:
    """The images that are trained on.

    Attributes:
        pixels: uint8 of shape (m, size, size, 3), may be memory-mapped.
        rows: int64 of shape (n,), row of each sample.
        targets: float32 of shape (n, k), soft labels.
        weights: float32 of shape (n,), mean 1.
    """

    pixels: np.ndarray
    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.pixels.shape[1])


def derived_seed(seed: int, number: int) -> int:
    """A seed for this number alone, unrelated to its neighbours'."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)


def batch_count(n: int, batch_size: int) -> int:
    """Steps per epoch: full batches, or one short batch if there are fewer images."""
    return max(1, n // batch_size)


def training_dataset(
    images: TrainingImages, policy: Policy, batch_size: int, seed: int, skip: int = 0
) -> tf.data.Dataset:
    """Shuffled, augmented batches without end, ``batch_count`` of them an epoch.

    Args:
        images: what is trained on.
        policy: what is done to it.
        batch_size: images per batch.
        seed: everything random follows from it.
        skip: epochs that are over already.

    Returns:
        Data set of (images (b, size, size, 3) float32, targets (b, k), weights (b,)).
    """
    import keras
    import tensorflow as tf

    steps = batch_count(len(images.rows), batch_size)
    # one stream is ahead of two cores by far; more cores usually feed a GPU
    count = min(max(1, (os.cpu_count() or 1) // 2), _MAX_STREAMS)
    streams = []
    for i in range(count):
        keras.utils.set_random_seed(derived_seed(seed, i))
        raw = _stream(images, batch_size, seed, i, count)
        streams.append(raw.map(_augmenter(policy, images.size)).prefetch(2))
    merged = streams[0]
    if count > 1:
        turns = tf.data.Dataset.range(count).repeat()
        merged = tf.data.Dataset.choose_from_datasets(streams, turns)
    return merged.skip(skip * steps)


def _stream(
    images: TrainingImages, batch_size: int, seed: int, number: int, count: int
) -> tf.data.Dataset:
    """Every ``count``-th batch of all epochs, from the ``number``-th on."""
    import tensorflow as tf

    steps = batch_count(len(images.rows), batch_size)

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for epoch in itertools.count():
            order = np.random.default_rng([seed, epoch]).permutation(len(images.rows))
            for step in range((number - epoch * steps) % count, steps, count):
                chunk = order[step * batch_size : (step + 1) * batch_size]
                rows = images.rows[chunk]
                yield images.pixels[rows], images.targets[chunk], images.weights[chunk]

    size, classes = images.size, images.targets.shape[1]
    signature = (
        tf.TensorSpec((None, size, size, 3), tf.uint8),
        tf.TensorSpec((None, classes), tf.float32),
        tf.TensorSpec((None,), tf.float32),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def _augmenter(policy: Policy, size: int) -> Any:
    import tensorflow as tf

    layers, mixers = policy.layers(size), policy.mixers()

    def augment(pixels: Any, targets: Any, weights: Any) -> tuple[Any, Any, Any]:
        x = pixels
        for layer in layers:
            x = layer(x)
        x = tf.cast(x, tf.float32)  # if there is no layer
        if len(mixers) == 2:
            x, targets = tf.cond(
                tf.random.uniform(()) < 0.5,
                lambda: _mixed(mixers[0], x, targets),
                lambda: _mixed(mixers[1], x, targets),
            )
        elif mixers:
            x, targets = _mixed(mixers[0], x, targets)
        return tf.ensure_shape(x, (None, size, size, 3)), targets, weights

    return augment


def _mixed(layer: keras.layers.Layer, images: Any, targets: Any) -> tuple[Any, Any]:
    mixed = layer({"images": images, "labels": targets}, training=True)
    return mixed["images"], mixed["labels"]
