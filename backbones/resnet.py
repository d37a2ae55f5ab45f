"""ResNet 50, V1 and V2, from keras.applications.

He et al. 2015, Deep Residual Learning (arXiv 1512.03385) and 2016, Identity Mappings
(arXiv 1603.05027).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backbones._registry import Spec, register
from backbones._weights import from_applications

if TYPE_CHECKING:
    import keras

# of ImageNet in BGR order, as in the Caffe models that the V1 weights come from
_BGR_MEAN = [103.939, 116.779, 123.68]


def _scaled_as_caffe(rgb: Any) -> Any:
    import keras

    bgr = keras.ops.flip(rgb, axis=-1)
    return keras.layers.Normalization(mean=_BGR_MEAN, variance=[1.0] * 3, name="scale")(bgr)


@register(
    Spec(
        name="resnet50",
        family="resnet",
        input_size=224,
        min_size=32,
        preprocessing="RGB to BGR, minus the ImageNet mean",
        weights="keras.applications",
        licence="MIT",
        paper="He 2015, arXiv 1512.03385",
        parameters=23_587_712,
        features=2048,
        unfreeze="conv4",
        blocks={
            "stem": "pool1_pool",
            "conv2": "conv2_block3_out",
            "conv3": "conv3_block4_out",
            "conv4": "conv4_block6_out",
            "conv5": "pool",
        },
        default=True,
    ),
    Spec(
        name="resnet50v2",
        family="resnet",
        input_size=224,
        min_size=32,
        preprocessing="x / 127.5 - 1",
        weights="keras.applications",
        licence="MIT",
        paper="He 2016, arXiv 1603.05027",
        parameters=23_564_800,
        features=2048,
        unfreeze="conv4",
        blocks={
            "stem": "pool1_pool",
            "conv2": "conv2_block3_out",
            "conv3": "conv3_block4_out",
            "conv4": "conv4_block6_out",
            "conv5": "pool",
        },
    ),
)
def build_resnet(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """ResNet behind the preprocessing that its weights expect."""
    import keras

    v1 = spec.name == "resnet50"
    application = keras.applications.ResNet50 if v1 else keras.applications.ResNet50V2

    def construct(source: str | None) -> keras.Model:
        rgb = keras.Input((size, size, 3), name="rgb")
        if v1:
            scaled = _scaled_as_caffe(rgb)
        else:
            scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(rgb)
        return application(include_top=False, weights=source, input_tensor=scaled)

    model = from_applications(spec, weights, construct)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(model.output)
    return keras.Model(model.inputs[0], features, name=spec.name)
