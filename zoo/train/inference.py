"""Run a network over prepared images in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.progress import Silent

if TYPE_CHECKING:
    import keras

BATCH = 32  # measured best on two cores; a GPU is fed enough by the same


def run_batched(
    model: keras.Model,
    pixels: np.ndarray,
    rows: np.ndarray,
    progress: Silent | None = None,
    step: str = "predict",
) -> np.ndarray:
    """Outputs of a network in inference mode.

    Args:
        model: takes float RGB of shape (b, size, size, 3) in 0..255.
        pixels: uint8 of shape (m, size, size, 3), may be memory-mapped.
        rows: int64 of shape (n,), which of them, in which order.
        progress: shows the step.
        step: its name.

    Returns:
        float32 of shape (n, outputs).
    """
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def infer(batch: Any) -> Any:
        return model(tf.cast(batch, tf.float32), training=False)

    result = np.empty((len(rows), *model.output_shape[1:]), np.float32)
    with (progress or Silent()).step(step, len(rows)) as advance:
        for start in range(0, len(rows), BATCH):
            chunk = rows[start : start + BATCH]
            result[start : start + len(chunk)] = infer(tf.constant(pixels[chunk])).numpy()
            advance(len(chunk))
    return result
