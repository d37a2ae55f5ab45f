"""How much a network computes, read off its graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def macs(model: keras.Model) -> int:
    """Multiply-accumulates of one image.

    Counted are convolutions (also depthwise and grouped) and dense layers: each value of their
    output takes as many as the kernel has inputs. Normalization, activation, pooling, padding and
    biases are not counted, as is usual (MobileNetV2, arXiv 1801.04381, table 2).

    Args:
        model: functional network with a fixed input size, channels last; or one that holds such
            networks, as a run's classifier does behind its resizing.

    Raises:
        ValueError: a layer with a kernel of another kind.
    """
    import keras
    from keras import layers

    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
            # the kernel: (height, width, inputs of a group, outputs), (height, width, channels,
            # multiplier) or (inputs, outputs); it is applied at each position of the output
            total += math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.Model):
            total += macs(layer)
        elif any("kernel" in w.name for w in layer.weights):
            raise ValueError(f"the multiply-accumulates of {type(layer).__name__} are not known")
    return total
