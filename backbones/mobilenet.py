"""MobileNet V2 and V3 from keras.applications.

Sandler et al. 2018, MobileNetV2 (arXiv 1801.04381); Howard et al. 2019, Searching for MobileNetV3
(arXiv 1905.02244).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backbones._registry import Spec, register
from backbones._weights import from_applications

if TYPE_CHECKING:
    import keras


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
        features=1280,
        unfreeze="block3",
        blocks={
            "stem": "expanded_conv_project_BN",
            "block1": "block_2_add",
            "block2": "block_5_add",
            "block3": "block_9_add",
            "block4": "block_12_add",
            "block5": "block_15_add",
            "block6": "block_16_project_BN",
            "top": "pool",
        },
        default=True,
    )
)
def build_v2(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """MobileNetV2 behind the scaling to [-1, 1] that its weights expect."""
    import keras

    def construct(source: str | None) -> keras.Model:
        rgb = keras.Input((size, size, 3), name="rgb")
        scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(rgb)
        return keras.applications.MobileNetV2(
            include_top=False, weights=source, input_tensor=scaled, input_shape=(size, size, 3)
        )

    model = from_applications(spec, weights, construct)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(model.output)
    return keras.Model(model.inputs[0], features, name=spec.name)


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
        features=576,
        unfreeze="block2",
        blocks={
            "stem": "expanded_conv_project_bn",
            "block1": "expanded_conv_2_add",
            "block2": "expanded_conv_5_add",
            "block3": "expanded_conv_7_add",
            "block4": "expanded_conv_10_add",
            "top": "pool",
        },
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
        features=960,
        unfreeze="block3",
        blocks={
            "stem": "expanded_conv_add",
            "block1": "expanded_conv_2_add",
            "block2": "expanded_conv_5_add",
            "block3": "expanded_conv_9_add",
            "block4": "expanded_conv_11_add",
            "block5": "expanded_conv_14_add",
            "top": "pool",
        },
    ),
)
def build_v3(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """MobileNetV3 of keras.applications, which scales raw RGB by itself."""
    import keras

    apps = keras.applications
    small = spec.name == "mobilenet-v3-small"
    construct = apps.MobileNetV3Small if small else apps.MobileNetV3Large
    model = from_applications(
        spec,
        weights,
        lambda w: construct(include_top=False, weights=w, input_shape=(size, size, 3)),
    )
    features = keras.layers.GlobalAveragePooling2D(name="pool")(model.output)
    return keras.Model(model.inputs[0], features, name=spec.name)
