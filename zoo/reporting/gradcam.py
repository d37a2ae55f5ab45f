"""Which parts of an image speak for a class: Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391).

Of a saved classifier, as :func:`zoo.train.classifier.served_model` builds it, of any backbone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zoo.errors import ZooError
from zoo.evaluate.inference import BATCH
from zoo.progress import Progress

if TYPE_CHECKING:
    import keras

_COARSEST = 3  # positions a side, below which a map says nothing


class Branch(NamedTuple):
    """One network of the classifier.

    Attributes:
        backbone: from prepared RGB (n, size, size, 3) to features (n, d).
        head: layers from features to logits (n, k), in order.
    """

    backbone: keras.Model
    head: list[keras.layers.Layer]


class GradCam:
    """Maps of a classifier; of several averaged networks, the mean of their maps.

    Args:
        model: a run's.

    Raises:
        ZooError: its network has no map of features that can be read, or is built otherwise.
    """

    def __init__(self, model: keras.Model) -> None:
        self._compiled = [
            _compiled(_with_map(branch.backbone), branch.head) for branch in branches_of(model)
        ]

    def __call__(
        self, images: np.ndarray, classes: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        """How much each position speaks for a class.

        Args:
            images: uint8 of shape (n, size, size, 3), prepared as for the network.
            classes: int64 of shape (n,), the class that each map is for.
            progress: shows the step.

        Returns:
            float32 of shape (n, h, w) in 0..1; the highest value of each map is 1, and a map is 0
            where no position speaks for the class.
        """
        import tensorflow as tf

        found: list[np.ndarray] = []
        with (progress or Progress()).step("grad-cam", len(images)) as advance:
            for start in range(0, len(images), BATCH):
                batch = tf.constant(images[start : start + BATCH], tf.float32)
                wanted = tf.constant(classes[start : start + BATCH], tf.int32)
                maps = [_normalized(part(batch, wanted).numpy()) for part in self._compiled]
                found.append(np.mean(maps, axis=0))
                advance(len(batch))
        return np.concatenate(found).astype(np.float32)


def _normalized(maps: np.ndarray) -> np.ndarray:
    top = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)


def _compiled(network: keras.Model, head: list[keras.layers.Layer]) -> Any:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def explain(batch: Any, classes: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(batch)
            features, x = network(batch, training=False)
            for layer in head:
                x = layer(x, training=False)
            chosen = tf.gather(x, classes, batch_dims=1)
        # the sum over images has each image's own gradient, since images do not mix
        slopes = tf.reduce_mean(tf.cast(tape.gradient(chosen, features), tf.float32), (1, 2))
        return tf.nn.relu(tf.einsum("nhwc,nc->nhw", tf.cast(features, tf.float32), slopes))

    return explain


def _with_map(backbone: keras.Model) -> keras.Model:
    """From an image to its last map of features and to what the head sees of this one view."""
    import keras

    network = _of_one_view(backbone)
    lower, _ = split_at_map(last_features(network))
    return keras.Model(network.inputs[0], [lower.outputs[0], network.outputs[0]])


def _of_one_view(backbone: keras.Model) -> keras.Model:
    """Of a network that averages over views, the network that sees each."""
    inner = [layer for layer in backbone.layers if _is_network(layer)]
    return inner[0] if inner else backbone


def last_features(backbone: keras.Model) -> keras.Model:
    """The network's own features of one view, where a head sees more of it."""
    import keras

    network = _of_one_view(backbone)
    if network.layers[-1].name != "depths":
        return network
    return keras.Model(network.inputs[0], network.layers[-1].input[0])


def branches_of(model: keras.Model) -> list[Branch]:
    """The networks of a saved classifier.

    Raises:
        ZooError: it is built otherwise.
    """
    networks = [layer for layer in model.layers if _is_network(layer)]
    found = []
    for network in networks:
        if not network.layers[-1].name.startswith("head"):
            continue  # shared by several
        inner = [layer for layer in network.layers if _is_network(layer)]
        if inner:
            found.append(Branch(inner[0], network.layers[network.layers.index(inner[0]) + 1 :]))
    if not found and len(networks) == 1:  # a shared backbone with several heads
        found = [Branch(networks[0], head) for head in _heads(model, networks[0])]
    if not found:
        raise ZooError("its model is not built as zoo builds classifiers")
    return found


def _heads(model: keras.Model, backbone: keras.Model) -> list[list[keras.layers.Layer]]:
    """Layers behind a shared backbone, by the number that ends their names."""
    names = ("standardize", "head_dropout", "head")
    behind = model.layers[model.layers.index(backbone) + 1 :]
    numbers = sorted(int(x.name.removeprefix("head_")) for x in behind if _is_head(x.name))
    wanted = [[f"{name}_{number}" for name in names] for number in numbers]
    return [[x for name in own for x in behind if x.name == name] for own in wanted]


def _is_head(name: str) -> bool:
    return name.startswith("head_") and name.removeprefix("head_").isdigit()


def _is_network(layer: keras.layers.Layer) -> bool:
    import keras

    return isinstance(layer, keras.Model) and len(layer.output_shape) == 2


def split_at_map(backbone: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The backbone cut at its last map of features: (image to map, map to features).

    The last one that is not too coarse and that everything behind it depends on.

    Raises:
        ZooError: it has none, as a module of TF Hub, which is one layer.
    """
    import keras

    convolved = [i for i, layer in enumerate(backbone.layers) if _is_convolution(layer)]
    for layer in reversed(backbone.layers[convolved[0] :] if convolved else []):
        shape = getattr(layer.output, "shape", ())
        if len(shape) != 4 or None in shape[1:] or min(shape[1:3]) < _COARSEST:
            continue
        try:
            upper = keras.Model(layer.output, backbone.outputs[0])
        except ValueError:  # a way around it leads to the features
            continue
        return keras.Model(backbone.inputs[0], layer.output), upper
    raise ZooError("its network has no map of features that can be read, or too coarse a one")


def _is_convolution(layer: keras.layers.Layer) -> bool:
    return any(len(weight.shape) == 4 for weight in layer.weights) and not hasattr(layer, "parts")
