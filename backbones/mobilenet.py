"""MobileNet V2 and V3, of any width, from keras.applications.

Sandler et al. 2018, MobileNetV2 (arXiv 1801.04381); Howard et al. 2019, Searching for MobileNetV3
(arXiv 1905.02244).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backbones._errors import BackboneError
from backbones._published import Published
from backbones._registry import register
from backbones._scaling import rounded_channels, usual_sizes
from backbones._spec import Spec
from backbones._weights import load

if TYPE_CHECKING:
    import keras

_STORE = "https://storage.googleapis.com/tensorflow/keras-applications"
_SLIM = "github.com/tensorflow/models, research/slim/nets/mobilenet/README.md"
_KERAS = "keras.io/api/applications"
_WIDTHS = (0.25, 2.0)  # smallest and largest that may be asked for
# width to top-1 by the side of the training images
_V2_TOP1 = {
    1.0: {224: 71.3, 192: 70.7, 160: 68.8, 128: 65.3, 96: 60.3},
    0.35: {224: 60.3, 192: 58.2, 160: 55.7, 128: 50.8, 96: 45.5},
    0.5: {224: 65.4, 192: 63.9, 160: 61.0, 128: 57.7, 96: 51.2},
    0.75: {224: 69.8, 192: 68.7, 160: 66.4, 128: 63.2, 96: 58.8},
    1.3: {224: 74.4},
    1.4: {224: 75.0},
}
# width to top-1 and MD5
_V3_SMALL = {
    1.0: (68.1, "d3e8ec802a04aa4fc771ee12a9a9b836"),
    0.75: (65.4, "ebdb5cc8e0b497cd13a7c275d475c819"),
}
_V3_LARGE = {
    1.0: (75.6, "07fb09a5933dd0c8eaafa16978110389"),
    0.75: (73.3, "40af19a13ebea4e2ee0c676887f69a2e"),
}


def _v2_files() -> tuple[Published, ...]:
    """Keras knows no digest of these files."""
    files = []
    for width, by_size in _V2_TOP1.items():
        for size, top1 in by_size.items():
            name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{size}_no_top.h5"
            source = _KERAS if (width, size) == (1.0, 224) else _SLIM
            address = f"{_STORE}/mobilenet_v2/{name}"
            files.append(Published(name, address, "", top1, source, size, {"width": width}))
    return tuple(files)


def _v3_files(kind: str, widths: Mapping[float, tuple[float, str]]) -> tuple[Published, ...]:
    files = []
    for width, (top1, md5) in widths.items():
        name = f"weights_mobilenet_v3_{kind}_224_{width}_float_no_top_v2.h5"
        address, source = f"{_STORE}/mobilenet_v3/{name}", f"{_KERAS}/mobilenet"
        files.append(Published(name, address, f"md5:{md5}", top1, source, 224, {"width": width}))
    return tuple(files)


def _fits(_size: int, options: Mapping[str, Any]) -> None:
    (low, high), width = _WIDTHS, options.get("width", 1.0)
    if not low <= width <= high:
        raise BackboneError(f"the width of a MobileNet must be {low:g} to {high:g}, not {width:g}")


def _v2_features(options: Mapping[str, Any]) -> int:
    return rounded_channels(1280 * max(options["width"], 1.0))


def _v2_blocks(options: Mapping[str, Any]) -> dict[str, str]:
    # the first block has a shortcut where the rounding leaves as many channels as come in
    width = options["width"]
    shortcut = rounded_channels(32 * width) == rounded_channels(int(16 * width))
    return {
        "stem": "expanded_conv_add" if shortcut else "expanded_conv_project_BN",
        "block1": "block_2_add",
        "block2": "block_5_add",
        "block3": "block_9_add",
        "block4": "block_12_add",
        "block5": "block_15_add",
        "block6": "block_16_project_BN",
        "top": "pool",
    }


@register(
    Spec(
        name="mobilenet-v2",
        family="mobilenet",
        input_size=224,
        min_size=32,
        preprocessing="x / 127.5 - 1",
        weights="keras.applications",
        licence="Apache-2.0",
        paper="Sandler 2018, arXiv 1801.04381",
        parameters=2_257_984,
        features=_v2_features,
        unfreeze="block3",
        blocks=_v2_blocks,
        options={"width": 1.0},
        default=True,
        macs=299_494_272,
        sizes="96, 128, 160 and 192, each with weights of its own; up to 288",
        files=_v2_files(),
        fits=_fits,
    )
)
def build_v2(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """MobileNetV2 behind the scaling to [-1, 1] that its weights expect."""
    import keras

    rgb = keras.Input((size, size, 3), name="rgb")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(rgb)
    model = keras.applications.MobileNetV2(
        alpha=options["width"],
        include_top=False,
        weights=None,
        input_tensor=scaled,
        input_shape=(size, size, 3),
    )
    load(spec, model, weights, size, options)
    pool = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")
    return keras.Model(model.inputs[0], pool(model.output), name=spec.name)


def _v3_small_features(options: Mapping[str, Any]) -> int:
    return rounded_channels(6 * rounded_channels(96 * options["width"]))


def _v3_large_features(options: Mapping[str, Any]) -> int:
    return rounded_channels(6 * rounded_channels(160 * options["width"]))


def _v3_large_blocks(options: Mapping[str, Any]) -> dict[str, str]:
    # the first block has a shortcut where it gives the 16 channels that it takes
    shortcut = rounded_channels(16 * options["width"]) == 16
    return {
        "stem": "expanded_conv_add" if shortcut else "expanded_conv_project_bn",
        "block1": "expanded_conv_2_add",
        "block2": "expanded_conv_5_add",
        "block3": "expanded_conv_9_add",
        "block4": "expanded_conv_11_add",
        "block5": "expanded_conv_14_add",
        "top": "pool",
    }


@register(
    Spec(
        name="mobilenet-v3-small",
        family="mobilenet",
        input_size=224,
        min_size=32,
        preprocessing="x / 127.5 - 1",
        weights="keras.applications",
        licence="Apache-2.0",
        paper="Howard 2019, arXiv 1905.02244",
        parameters=939_120,
        features=_v3_small_features,
        unfreeze="block2",
        blocks={
            "stem": "expanded_conv_project_bn",
            "block1": "expanded_conv_2_add",
            "block2": "expanded_conv_5_add",
            "block3": "expanded_conv_7_add",
            "block4": "expanded_conv_10_add",
            "top": "pool",
        },
        options={"width": 1.0},
        macs=54_896_576,
        sizes=usual_sizes(224),
        files=_v3_files("small", _V3_SMALL),
        fits=_fits,
    ),
    Spec(
        name="mobilenet-v3-large",
        family="mobilenet",
        input_size=224,
        min_size=32,
        preprocessing="x / 127.5 - 1",
        weights="keras.applications",
        licence="Apache-2.0",
        paper="Howard 2019, arXiv 1905.02244",
        parameters=2_996_352,
        features=_v3_large_features,
        unfreeze="block3",
        blocks=_v3_large_blocks,
        options={"width": 1.0},
        macs=214_080_960,
        sizes=usual_sizes(224),
        files=_v3_files("large", _V3_LARGE),
        fits=_fits,
    ),
)
def build_v3(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """MobileNetV3 of keras.applications, which scales raw RGB by itself."""
    import keras

    apps = keras.applications
    small = spec.name == "mobilenet-v3-small"
    construct = apps.MobileNetV3Small if small else apps.MobileNetV3Large
    model = construct(
        alpha=options["width"], include_top=False, weights=None, input_shape=(size, size, 3)
    )
    load(spec, model, weights, size, options)
    pool = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")
    return keras.Model(model.inputs[0], pool(model.output), name=spec.name)
