"""A plain convolutional network, trained from scratch: the baseline that explains itself.

Blocks of two convolutions and a max pooling, as in VGG (Simonyan and Zisserman 2014,
arXiv 1409.1556), with batch normalization (Ioffe and Szegedy 2015, arXiv 1502.03167) and global
average pooling instead of the large dense layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backbones._errors import BackboneError
from backbones._registry import register
from backbones._spec import Spec
from backbones._weights import load

if TYPE_CHECKING:
    import keras

_DEFAULTS = {
    "blocks": 4,
    "filters": 32,
    "kernel_size": 3,
    "dense_units": 128,
    "batch_norm": True,
    "block_dropout": 0.0,
}
_MAX_FILTERS = 256  # where the doubling per block ends


def _block_ends(options: Mapping[str, Any]) -> dict[str, str]:
    numbers = range(1, options["blocks"] + 1)
    return {**{f"block{i}": f"block{i}_pool" for i in numbers}, "dense": "dense_relu"}


def _conv(x: Any, name: str, filters: int, options: Mapping[str, Any]) -> Any:
    from keras import layers

    normed = options["batch_norm"]
    conv = layers.Conv2D(
        filters,
        options["kernel_size"],
        padding="same",
        use_bias=not normed,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )
    x = conv(x)
    if normed:
        # momentum below Keras's 0.99: a small folder gives few steps to estimate the statistics
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _fits(size: int, options: Mapping[str, Any]) -> None:
    blocks = options.get("blocks", 0)  # a plug-in may copy this spec without its options
    if size < 2**blocks:
        raise BackboneError(
            f"cnn with {blocks} blocks halves the image {blocks} times and "
            f"needs at least {2**blocks} px, not {size}: use fewer blocks"
        )


@register(
    Spec(
        name="cnn",
        family="cnn",
        input_size=128,
        min_size=8,
        preprocessing="x / 127.5 - 1",
        weights="none",
        licence="Apache-2.0",
        paper="after Simonyan 2014, arXiv 1409.1556",
        parameters=1_208_032,
        features=lambda options: int(options["dense_units"]),
        blocks=_block_ends,
        options=_DEFAULTS,
        default=True,
        macs=844_660_736,
        sizes="32 to 160; as defaults go, the last maps are 2 px at 32 and 8 px at 128",
        fits=_fits,
    )
)
def build_cnn(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """Convolution blocks, global average pooling and one dense layer of ``dense_units``.

    The filters double from block to block up to 256. ``block_dropout`` drops whole channels after
    each block.
    """
    import keras
    from keras import layers

    rgb = keras.Input((size, size, 3), name="rgb")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(rgb)
    for i in range(1, options["blocks"] + 1):
        filters = min(options["filters"] * 2 ** (i - 1), max(_MAX_FILTERS, options["filters"]))
        x = _conv(x, f"block{i}a", filters, options)
        x = _conv(x, f"block{i}b", filters, options)
        if options["block_dropout"]:
            x = layers.SpatialDropout2D(options["block_dropout"], name=f"block{i}_dropout")(x)
        x = layers.MaxPooling2D(name=f"block{i}_pool")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(options["dense_units"], kernel_initializer="he_normal", name="dense")(x)
    x = layers.ReLU(dtype="float32", name="dense_relu")(x)
    model = keras.Model(rgb, x, name="cnn")
    load(spec, model, weights, size, options)
    return model
