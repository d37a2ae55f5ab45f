"""Multiply-accumulates: counted by hand, and beside what the papers say."""

import keras
import pytest

import backbones


def test_convolutions_and_dense_layers_are_counted_as_by_hand():
    rgb = keras.Input((9, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(rgb)  # 5 x 4 outputs
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.DepthwiseConv2D(5, padding="same", depth_multiplier=2)(x)
    x = keras.layers.Conv2D(6, 1, groups=2)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(rgb, keras.layers.Dense(7)(x))
    by_hand = 20 * 4 * 27 + 20 * 8 * 25 + 20 * 6 * 4 + 6 * 7
    assert backbones.macs(model) == by_hand


def test_a_layer_of_another_kind_is_not_passed_over():
    rgb = keras.Input((8, 8, 3))
    model = keras.Model(rgb, keras.layers.Conv2DTranspose(2, 3)(rgb))
    with pytest.raises(ValueError, match="Conv2DTranspose"):
        backbones.macs(model)


# billions as published, with the head, at the variant's own size
PUBLISHED = {
    "resnet50": 3.8,  # He 2015, table 1
    "resnet152": 11.3,
    "mobilenet-v2": 0.300,  # Sandler 2018, table 4
    "mobilenet-v3-large": 0.219,  # Howard 2019, table 3
    "mobilenet-v3-small": 0.056,
    "efficientnet-b0": 0.39,  # Tan 2019, table 2
    "efficientnet-b3": 1.8,
    "efficientnet-b7": 37,
    "efficientnetv2-s": 8.8,  # Tan 2021, table 7
    "efficientnetv2-m": 24,
    "efficientnet-lite0": 0.407,  # the README of the Lite variants
    "efficientnet-lite1": 0.631,
    "efficientnet-lite2": 0.899,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_stored_numbers_are_near_the_published_ones(name):
    assert backbones.get(name).macs == pytest.approx(PUBLISHED[name] * 1e9, rel=0.07)
