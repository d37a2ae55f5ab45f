"""A running average of the weights, validated beside them.

Exponential moving average over the last tenth or so of all steps (Polyak and Juditsky 1992;
Tarvainen and Valpola 2017, arXiv 1703.01780). It lets a short fine-tuning use a large learning
rate: the weights jump about, their average does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

_SHARE = 0.1  # of all steps
_SHORTEST = 10  # steps that are averaged over at least


class WeightAverage:
    """Averages of a model's changing weights, kept beside it.

    Args:
        model: with its trainable set decided.
        steps: number of steps of the whole training, which sets the horizon.
    """

    def __init__(self, model: keras.Model, steps: int) -> None:
        import tensorflow as tf

        # batch statistics belong to the weights they were gathered under
        moving = [v for v in model.non_trainable_variables if v.name.startswith("moving_")]
        unfrozen = {id(v) for layer in _batch_norms(model) for v in layer.weights}
        self.variables = list(model.trainable_variables) + [v for v in moving if id(v) in unfrozen]
        self.averages = [tf.Variable(v.value, trainable=False) for v in self.variables]
        keep = 1.0 - 1.0 / max(_SHORTEST, steps * _SHARE)

        @tf.function
        def update() -> None:
            for average, variable in zip(self.averages, self.variables, strict=True):
                value = tf.cast(variable.value, average.dtype)
                average.assign(keep * average + (1.0 - keep) * value)

        self.update = update

    @contextmanager
    def in_place(self) -> Iterator[list[np.ndarray]]:
        """The model has the averages while the block runs; gives copies of its own weights."""
        current = [v.numpy() for v in self.variables]
        self.put(self.values())
        try:
            yield current
        finally:
            self.put(current)

    def values(self) -> list[np.ndarray]:
        """Copies of the averages."""
        return [a.numpy() for a in self.averages]

    def put(self, values: Sequence[np.ndarray]) -> None:
        """Give the model these weights."""
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)


def _batch_norms(model: keras.Model) -> list[keras.layers.Layer]:
    from keras import layers

    found = model._flatten_layers(include_self=False, recursive=True)
    return [x for x in found if isinstance(x, layers.BatchNormalization) and x.trainable]
