"""ResNet V1 and V2 from keras.applications, and the small ones that are trained from scratch.

He et al. 2015, Deep Residual Learning (arXiv 1512.03385) and 2016, Identity Mappings
(arXiv 1603.05027).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from backbones._published import Published
from backbones._registry import register
from backbones._scaling import usual_sizes
from backbones._spec import Spec
from backbones._weights import load

if TYPE_CHECKING:
    import keras

_STORE = "https://storage.googleapis.com/tensorflow/keras-applications/resnet"
# of ImageNet in BGR order, as in the Caffe models that the V1 weights come from
_BGR_MEAN = [103.939, 116.779, 123.68]


class _Variant(NamedTuple):
    depths: tuple[int, int, int]
    parameters: int
    macs: int
    top1: float
    md5: str


# blocks of conv2 to conv4; conv5 has 3 in all: table 1 of the paper of 2015
_LARGE = {
    "resnet50": _Variant(
        (3, 4, 6), 23_587_712, 3_855_925_248, 74.9, "4d473c1dd8becc155b73f8504c6f6626"
    ),
    "resnet101": _Variant(
        (3, 4, 23), 42_658_176, 7_568_146_432, 76.4, "88cf7a10940856eca736dc7b7e228a21"
    ),
    "resnet152": _Variant(
        (3, 8, 36), 58_370_944, 11_280_367_616, 76.6, "ee4c566cf9a93f14d82f913c2dc6dd0c"
    ),
    "resnet50v2": _Variant(
        (3, 4, 6), 23_564_800, 3_480_207_360, 76.0, "fac2f116257151a9d068a22e544a4917"
    ),
    "resnet101v2": _Variant(
        (3, 4, 23), 42_626_560, 7_192_428_544, 77.2, "c0ed64b8031c3730f411d2eb4eea35b5"
    ),
    "resnet152v2": _Variant(
        (3, 8, 36), 58_331_648, 10_904_649_728, 78.0, "ed17cf2e0169df9d443503ef94b23b33"
    ),
}
# layers to parameters and multiply-accumulates
_SMALL = {20: (270_448, 40_550_400), 32: (465_776, 68_861_952), 56: (856_432, 125_485_056)}


def _large_spec(name: str, about: _Variant) -> Spec:
    v2, file = name.endswith("v2"), f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ends = {f"conv{i}": f"conv{i}_block{n}_out" for i, n in enumerate(about.depths, start=2)}
    published = Published(
        file=file,
        source=f"{_STORE}/{file}",
        digest=f"md5:{about.md5}",
        top1=about.top1,
        top1_source="keras.io/api/applications",
    )
    return Spec(
        name=name,
        family="resnet",
        input_size=224,
        min_size=32,
        preprocessing="x / 127.5 - 1" if v2 else "RGB to BGR, minus the ImageNet mean",
        weights="keras.applications",
        licence="MIT",
        paper="He 2016, arXiv 1603.05027" if v2 else "He 2015, arXiv 1512.03385",
        parameters=about.parameters,
        features=2048,
        unfreeze="conv4",
        blocks={"stem": "pool1_pool", **ends, "conv5": "pool"},
        default=name == "resnet50",
        macs=about.macs,
        sizes=usual_sizes(224),
        files=(published,),
    )


def _scaled(rgb: Any, v2: bool) -> Any:
    """What the weights expect: [-1, 1] for V2, and what Caffe did for V1."""
    import keras

    if v2:
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(rgb)
    bgr = keras.ops.flip(rgb, axis=-1)
    return keras.layers.Normalization(mean=_BGR_MEAN, variance=[1.0] * 3, name="scale")(bgr)


@register(*[_large_spec(name, about) for name, about in _LARGE.items()])
def build_resnet(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """ResNet behind the preprocessing that its weights expect."""
    import keras

    depth, v2, _ = spec.name.removeprefix("resnet").partition("v2")
    construct = getattr(keras.applications, f"ResNet{depth}{v2.upper()}")
    rgb = keras.Input((size, size, 3), name="rgb")
    model = construct(include_top=False, weights=None, input_tensor=_scaled(rgb, bool(v2)))
    load(spec, model, weights, size, options)
    pool = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")
    return keras.Model(model.inputs[0], pool(model.output), name=spec.name)


def _small_spec(depth: int) -> Spec:
    parameters, macs = _SMALL[depth]
    count = (depth - 2) // 6
    return Spec(
        name=f"resnet{depth}",
        family="resnet",
        input_size=32,
        min_size=8,
        preprocessing="x / 127.5 - 1",
        weights="none",
        licence="Apache-2.0",
        paper="He 2015, arXiv 1512.03385, section 4.2",
        parameters=parameters,
        features=64,
        blocks={
            "stem": "stem_relu",
            "conv2": f"conv2_block{count}_out",
            "conv3": f"conv3_block{count}_out",
            "conv4": "pool",
        },
        macs=macs,
        sizes="16 to 64: only two steps halve the image",
    )


def _conv_bn(x: Any, name: str, filters: int, stride: int) -> Any:
    from keras import layers

    if stride > 1:  # symmetric, as in the paper, so that the shortcut's pixels are the centres
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    conv = layers.Conv2D(
        filters,
        3,
        stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )
    # momentum below Keras's 0.99: a small folder gives few steps to estimate the statistics
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(conv(x))


def _basic_block(x: Any, name: str, filters: int, stride: int) -> Any:
    """Two convolutions and a shortcut without parameters (option A of the paper)."""
    import keras
    from keras import layers

    shortcut = x
    if stride > 1:
        added = filters - x.shape[-1]
        shortcut = layers.MaxPooling2D(1, stride, name=f"{name}_0_pool")(x)
        around = [(0, 0), (0, 0), (0, 0), (added // 2, added - added // 2)]
        shortcut = keras.ops.pad(shortcut, around)
    x = layers.ReLU(name=f"{name}_1_relu")(_conv_bn(x, f"{name}_1", filters, stride))
    x = _conv_bn(x, f"{name}_2", filters, 1)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([shortcut, x]))


@register(*[_small_spec(depth) for depth in _SMALL])
def build_small(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """The ResNet for tiny images: three stages of 16, 32 and 64 filters, from scratch."""
    import keras
    from keras import layers

    count = (int(spec.name.removeprefix("resnet")) - 2) // 6
    rgb = keras.Input((size, size, 3), name="rgb")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(rgb)
    x = layers.ReLU(name="stem_relu")(_conv_bn(x, "stem", 16, 1))
    for stage, filters in enumerate((16, 32, 64), start=2):
        for i in range(1, count + 1):
            stride = 2 if stage > 2 and i == 1 else 1
            x = _basic_block(x, f"conv{stage}_block{i}", filters, stride)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    model = keras.Model(rgb, x, name=spec.name)
    load(spec, model, weights, size, options)
    return model
