"""EfficientNet B0 to B7 and V2, from keras.applications.

Tan and Le 2019, EfficientNet (arXiv 1905.11946) and 2021, EfficientNetV2 (arXiv 2104.00298).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from backbones._published import Published
from backbones._registry import register
from backbones._scaling import usual_sizes
from backbones._spec import Spec
from backbones._weights import load

if TYPE_CHECKING:
    import keras


class _Row(NamedTuple):
    depth: float
    size: int
    features: int
    parameters: int
    macs: int
    top1: float
    md5: str


# depth, input px, features, parameters, multiply-accumulates, top-1, MD5
_V1 = {
    "b0": _Row(1.0, 224, 1280, 4_049_571, 384_534_752, 77.1, "50bc09e76180e00e4465e1a485ddc09d"),
    "b1": _Row(1.1, 240, 1280, 6_575_239, 685_522_832, 79.1, "74c4e6b3e1f6a1eea24c589628592432"),
    "b2": _Row(1.2, 260, 1408, 7_768_569, 992_153_872, 80.1, "111f8e2ac8aa800a7a99e3239f7bfb39"),
    "b3": _Row(1.4, 300, 1536, 10_783_535, 1_825_605_392, 81.6, "af6d107764bb5b1abb91932881670226"),
    "b4": _Row(1.8, 380, 1792, 17_673_823, 4_391_979_024, 82.9, "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    "b5": _Row(
        2.2, 456, 2048, 28_513_527, 10_264_336_752, 83.6, "38879255a25d3c92d5e44e04ae6cec6f"
    ),
    "b6": _Row(
        2.6, 528, 2304, 40_960_143, 19_065_289_536, 84.0, "9ecce42647a20130c1f39a5d4cb75743"
    ),
    "b7": _Row(
        3.1, 600, 2560, 64_097_687, 37_743_324_192, 84.3, "cbcfe4450ddf6f3ad90b1b398090fe4a"
    ),
}
_V2 = {
    "b0": _Row(1.0, 224, 1280, 5_919_312, 716_806_176, 78.7, "893217f2bb855e2983157299931e43ff"),
    "b1": _Row(1.1, 240, 1280, 6_931_124, 1_195_539_360, 79.8, "0e80663031ca32d657f9caa404b6ec37"),
    "b2": _Row(1.2, 260, 1408, 8_769_374, 1_696_134_832, 80.5, "1dfe2e7a5d45b6632553a8961ea609eb"),
    "b3": _Row(1.4, 300, 1536, 12_930_622, 3_009_922_816, 82.0, "f6abf7b5849ac99a89b50dd3fd532856"),
    "s": _Row(1.0, 384, 1280, 20_331_360, 8_364_337_152, 83.9, "af0682fb74e8c54910f2d4393339c070"),
    "m": _Row(1.0, 480, 1280, 53_150_388, 24_581_180_384, 85.3, "1b8dc055df72dde80d614482840fe342"),
    "l": _Row(
        1.0, 480, 1280, 117_746_848, 56_078_419_008, 85.7, "b0b66b5c863aef5b46e8608fe1711615"
    ),
}
# blocks of each stage before they are scaled by the depth: Tan 2019, table 1; Tan 2021, table 4
# and, for the larger ones, its code
_V1_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_V2_REPEATS = {
    "s": (2, 4, 4, 6, 9, 15),
    "m": (3, 5, 5, 7, 14, 18, 5),
    "l": (4, 7, 7, 10, 19, 25, 7),
}
_V2_BASE_REPEATS = (1, 2, 2, 3, 5, 8)  # layers of each block of B0, as in the paper
_TORCH_LIKE = "(x / 255 - mean) / std of ImageNet"
_STORE = "https://storage.googleapis.com"


def _ends(repeats: Sequence[int], depth: float, alone: str) -> dict[str, str]:
    """Blocks that can be unfrozen: the stages, each with the layer that ends it.

    Args:
        repeats: blocks of each stage before scaling.
        depth: by which they are scaled.
        alone: end of a stage of a single block, which has no shortcut.
    """
    ends = {"stem": "stem_activation"}
    for stage, count in enumerate((math.ceil(depth * n) for n in repeats), start=1):
        last = f"block{stage}{chr(ord('a') + count - 1)}"
        ends[f"block{stage}"] = f"{last}_add" if count > 1 else f"{last}_{alone}"
    return {**ends, "top": "pool"}


def _spec(name: str, about: _Row, blocks: dict[str, str], *, folder: str, **more: str) -> Spec:
    file = f"{more['stem']}_notop.h5"
    published = Published(
        file=file,
        source=f"{_STORE}/{folder}/{file}",
        digest=f"md5:{about.md5}",
        top1=about.top1,
        top1_source="keras.io/api/applications",
    )
    return Spec(
        name=name,
        family="efficientnet",
        input_size=about.size,
        min_size=32,
        preprocessing=more["preprocessing"],
        weights="keras.applications",
        licence="Apache-2.0",
        paper=more["paper"],
        parameters=about.parameters,
        features=about.features,
        unfreeze="block4",
        blocks=blocks,
        macs=about.macs,
        sizes=usual_sizes(about.size),
        files=(published,),
    )


def _v1_spec(letter: str, about: _Row) -> Spec:
    return _spec(
        f"efficientnet-{letter}",
        about,
        _ends(_V1_REPEATS, about.depth, "project_bn"),
        folder="keras-applications",
        stem=f"efficientnet{letter}",
        preprocessing=_TORCH_LIKE,
        paper="Tan 2019, arXiv 1905.11946",
    )


def _v2_spec(letter: str, about: _Row) -> Spec:
    repeats = _V2_REPEATS.get(letter, _V2_BASE_REPEATS)
    return _spec(
        f"efficientnetv2-{letter}",
        about,
        _ends(repeats, about.depth, "project_activation"),
        folder="tensorflow/keras-applications/efficientnet_v2",
        stem=f"efficientnetv2-{letter}",
        preprocessing=_TORCH_LIKE if letter.startswith("b") else "x / 128 - 1",
        paper="Tan 2021, arXiv 2104.00298",
    )


@register(
    *[_v1_spec(letter, about) for letter, about in _V1.items()],
    *[_v2_spec(letter, about) for letter, about in _V2.items()],
)
def build_application(
    spec: Spec, size: int, weights: str, options: Mapping[str, Any]
) -> keras.Model:
    """EfficientNet of keras.applications, which scales raw RGB by itself."""
    import keras

    kind, _, letter = spec.name.partition("-")
    construct = getattr(
        keras.applications, f"EfficientNet{'V2' if kind.endswith('v2') else ''}{letter.upper()}"
    )
    model = construct(include_top=False, weights=None, input_shape=(size, size, 3))
    load(spec, model, weights, size, options)
    if kind == "efficientnet" and weights != "none":
        _divide_by_root_of_std(model)
    pool = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")
    return keras.Model(model.inputs[0], pool(model.output), name=spec.name)


def _divide_by_root_of_std(model: keras.Model) -> None:
    """Scale as the ImageNet weights of B0 to B7 need it, which Keras does where it loads them.

    See EfficientNet in keras.applications. Weights that were trained from scratch have the initial
    statistics and stay as they are.
    """
    from keras import layers

    layer = next(x for x in model.layers if isinstance(x, layers.Normalization))
    mean, variance, count = layer.get_weights()
    if (variance != 1).any():
        layer.set_weights([mean, variance**1.5, count])
        layer.finalize_state()
