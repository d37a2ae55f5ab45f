"""The classifier: a backbone, a fixed standardization of its features, and a linear head.

The probe fits the head, fine-tuning trains head and backbone, and the served model adds resizing
and softmax around the very same layers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backbones import Backbone, deep_network, seen_in_views
from ensembles.probabilities import FLOOR
from zoo.evaluate.inference import Inference
from zoo.train.choice import ALL, FeatureSet
from zoo.train.probe import Head
from zoo.train.standard import Standard

if TYPE_CHECKING:
    import keras

# Keras's own end in kernel; in modules of TF Hub there are also conv.weights and conv.w
_KERNEL = re.compile(r"kernel|(^|[._])(weights?|w)$")


@dataclass(frozen=True)
class Classifier:
    """A classifier in the making.

    Attributes:
        backbone: what gives the features.
        logits: ``keras.Model`` from prepared RGB, shape (n, size, size, 3) in 0..255, to logits,
            shape (n, k), float32 in any precision.
        head: its last layer.
        seen: what the head sees of the backbone.
        one_view: the same layers for the image as it is, which is what is trained; ``logits``
            itself unless these are of several views.
    """

    backbone: Backbone
    logits: keras.Model
    head: keras.layers.Dense
    seen: FeatureSet
    one_view: keras.Model

    @cached_property
    def infer(self) -> Inference:
        """The logits' network, compiled once."""
        return Inference(self.logits)

    @cached_property
    def infer_one_view(self) -> Inference:
        """The same for one view, which is faster: for what is only compared among itself."""
        return self.infer if self.one_view is self.logits else Inference(self.one_view)

    @property
    def features(self) -> keras.Model:
        """From prepared RGB to what the head sees, shape (n, d)."""
        found: keras.Model = self.logits.layers[1]
        return found

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.head.units)


def make_classifier(
    backbone: Backbone,
    head: Head | None,
    classes: int,
    dropout: float,
    seen: FeatureSet = FeatureSet(),  # noqa: B008 - it is frozen
) -> Classifier:
    """Put a head on a backbone.

    Args:
        backbone: built backbone.
        head: fitted probe to start from; a new random head on raw features if None.
        classes: number of classes.
        dropout: rate before the head, while training.
        seen: what the head sees of the backbone.
    """
    import keras
    from keras import layers

    size = backbone.size
    behind = [] if head is None else _standardizing(head.standard)
    if dropout:
        behind.append(layers.Dropout(dropout, dtype="float32", name="head_dropout"))
    dense = layers.Dense(classes, name="head", dtype="float32")

    def network(features: keras.Model) -> keras.Model:
        rgb = keras.Input((size, size, 3), name="prepared_rgb")
        x = features(rgb)
        for layer in (*behind, dense):
            x = layer(x)
        return keras.Model(rgb, x, name="logits")

    features = deep_network(backbone.model) if seen.depths == ALL else backbone.model
    one_view = network(features)
    logits = one_view if seen.views == 1 else network(seen_in_views(features, seen.views))
    if head is not None:
        dense.set_weights([head.kernel, head.bias])
    return Classifier(backbone, logits, dense, seen, one_view)


def _standardizing(standard: Standard) -> list[Callable[[Any], Any]]:
    """Layers that do what :meth:`Standard.apply` does."""
    from keras import layers, ops

    variance = np.square(standard.scale.astype(np.float64)).tolist()
    mean = standard.mean.tolist()
    found: list[Callable[[Any], Any]] = [
        layers.Normalization(mean=mean, variance=variance, dtype="float32", name="standardize")
    ]
    if np.isfinite(standard.bound):
        found.append(lambda z: ops.clip(z, -standard.bound, standard.bound))
    return found


def set_trainable(classifier: Classifier, blocks: list[str], *, pretrained: bool) -> None:
    """Let these blocks of the backbone, and the head, be trained.

    In a pretrained network the batch normalization, statistics included, and the depthwise kernels
    keep their values even in these blocks. Small batches would only blur the statistics; and while
    these are a few percent of the parameters, their gradients were measured to take half of a
    training step on a CPU.
    """
    from keras import layers

    from backbones.hub_layer import HubPart

    kept = (layers.BatchNormalization, layers.DepthwiseConv2D) if pretrained else ()
    for name in classifier.backbone.blocks:
        for layer in classifier.backbone.layers_of(name):
            layer.trainable = name in blocks and not isinstance(layer, kept)
            if pretrained and isinstance(layer, HubPart):
                for variable in layer.kept_variables():
                    variable.trainable = False
            if pretrained and name not in blocks and isinstance(layer, layers.Dropout):
                layer.rate = 0.0  # stochastic depth would only blur what is frozen


def regularize(
    classifier: Classifier, *, l1: float, l2: float, head_l1: float, head_l2: float
) -> None:
    """Put penalties on the kernels that are trained; biases and normalization have none.

    Args:
        classifier: with its trainable blocks set.
        l1, l2: strengths for the trained kernels of the backbone, as in
            ``keras.regularizers.L1L2``.
        head_l1, head_l2: strengths for the head.
    """
    import keras

    below = keras.regularizers.L1L2(l1=l1, l2=l2)
    top = keras.regularizers.L1L2(l1=head_l1, l2=head_l2)
    classifier.head.kernel.regularizer = top if head_l1 or head_l2 else None
    for variable in classifier.backbone.model.trainable_variables:
        if _KERNEL.search(variable.name):
            variable.regularizer = below if l1 or l2 else None


class Served(NamedTuple):
    """A classifier as it is served.

    Attributes:
        classifier: trained.
        temperature: its logits are divided by it.
        frozen: whether its backbone is as it was built, so that others may share it.
    """

    classifier: Classifier
    temperature: float
    frozen: bool


def served_model(
    members: Sequence[Served], size: int, resize: str, bag_temperature: float = 1.0
) -> keras.Model:
    """The model that is saved: RGB of any size in 0..255 to probabilities.

    It resizes nearly as images were prepared: a pixel differs by 0.3 to 0.7 of 255 on average. On
    images that are prepared already it changes nothing.

    Args:
        members: of several, the probabilities are averaged; those with a frozen backbone share one.
        size: side in pixels of their input.
        resize: ``stretch``, ``crop`` or ``pad``.
        bag_temperature: of the mean of several.
    """
    import keras
    from keras import layers

    rgb = keras.Input((None, None, 3), name="rgb")
    x = layers.Resizing(
        size,
        size,
        interpolation="bilinear",
        antialias=True,  # nearly as images are prepared; without it a smaller image is another one
        crop_to_aspect_ratio=resize == "crop",
        pad_to_aspect_ratio=resize == "pad",
        dtype="float32",
        name="resize",
    )(rgb)
    outputs = []
    for i, (logits, temperature) in enumerate(_all_logits(members, x), start=1):
        scaled = layers.Rescaling(1 / temperature, dtype="float32", name=f"temperature_{i}")
        softmax = layers.Softmax(dtype="float32", name=f"probabilities_{i}")
        outputs.append(softmax(scaled(logits)))
    mean = layers.Average(dtype="float32", name="mean")(outputs) if len(outputs) > 1 else outputs[0]
    if bag_temperature != 1.0:
        logarithm = keras.ops.log(keras.ops.maximum(mean, FLOOR))
        scaled = layers.Rescaling(1 / bag_temperature, dtype="float32", name="temperature")(
            logarithm
        )
        mean = layers.Softmax(dtype="float32", name="probabilities")(scaled)
    return keras.Model(rgb, mean, name="classifier")


def _all_logits(members: Sequence[Served], x: Any) -> list[tuple[Any, float]]:
    """Logits and temperature of each member, for resized images ``x``."""
    frozen_sets = [member.classifier.seen for member in members if member.frozen]
    features: dict[FeatureSet, Any] = {}
    found = []
    for i, (classifier, temperature, frozen) in enumerate(members, start=1):
        # said here, because Resizing would tell the layers behind it that they are training
        if not (frozen and frozen_sets.count(classifier.seen) > 1):
            classifier.logits.name = f"logits_{i}"
            found.append((classifier.logits(x, training=False), temperature))
            continue
        if classifier.seen not in features:
            features[classifier.seen] = classifier.features(x, training=False)
        logits = features[classifier.seen]
        for layer in classifier.logits.layers[2:]:  # behind the input and the backbone
            layer.name = f"{layer.name}_{i}"
            logits = layer(logits, training=False)
        found.append((logits, temperature))
    return found
