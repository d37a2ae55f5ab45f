"""Run a network over prepared images in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from backbones import folded
from zoo.progress import Progress

if TYPE_CHECKING:
    import keras

BATCH = 32  # measured best on two cores; a GPU is fed enough by the same


class Pixels(Protocol):
    """Images by their rows: an array, or one that is made as it is read."""

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """uint8 of shape (b, size, size, 3)."""


class Inference:
    """A network in inference mode, compiled once; it follows changes of the weights.

    Args:
        model: takes float RGB of shape (b, height, width, 3) in 0..255.

    Attributes:
        outputs: shape of what it gives for one image.
    """

    def __init__(self, model: keras.Model) -> None:
        import tensorflow as tf

        quick = folded(model, inference=True)

        @tf.function(reduce_retracing=True)
        def infer(batch: Any) -> Any:
            return quick(tf.cast(batch, tf.float32), training=False)

        self._infer = infer
        self.outputs: tuple[int, ...] = model.output_shape[1:]

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Outputs for uint8 or float RGB of shape (b, height, width, 3) in 0..255."""
        import tensorflow as tf

        outputs: np.ndarray = self._infer(tf.constant(batch)).numpy()
        return outputs

    def run(
        self,
        pixels: Pixels,
        rows: np.ndarray,
        progress: Progress | None = None,
        step: str = "predict",
    ) -> np.ndarray:
        """Outputs for many images, a batch at a time.

        Args:
            pixels: uint8 of shape (m, size, size, 3), may be memory-mapped.
            rows: int64 of shape (n,), which of them, in which order.
            progress: shows the step.
            step: its name.

        Returns:
            float32 of shape (n, outputs).
        """
        result = np.empty((len(rows), *self.outputs), np.float32)
        done = 0
        for batch in self.batches(pixels, rows, progress, step):
            result[done : done + len(batch)] = batch
            done += len(batch)
        return result

    def batches(
        self,
        pixels: Pixels,
        rows: np.ndarray,
        progress: Progress | None = None,
        step: str = "predict",
    ) -> Iterator[np.ndarray]:
        """What :meth:`run` gives, a batch at a time: float32 of shape (b, outputs)."""
        with (progress or Progress()).step(step, len(rows)) as advance:
            for start in range(0, len(rows), BATCH):
                chunk = rows[start : start + BATCH]
                yield np.ascontiguousarray(self(pixels[chunk]), np.float32)
                advance(len(chunk))


def without_resizing(model: keras.Model) -> keras.Model:
    """A run's model for images that are resized already.

    Args:
        model: from RGB (n, height, width, 3) to probabilities (n, k), see
            :func:`zoo.train.classifier.served_model`.

    Returns:
        The same layers from RGB (n, size, size, 3) on; ``model`` itself if it resizes nothing.
    """
    import keras

    layer = next((one for one in model.layers if isinstance(one, keras.layers.Resizing)), None)
    if layer is None:
        return model
    rgb = keras.Input(layer.output.shape[1:], name="prepared_rgb")
    behind = keras.Model(layer.output, model.output)
    return keras.Model(rgb, behind(rgb, training=False), name="classifier")
