"""A folded network computes what the original does, and trains the same variables."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import backbones
from backbones import folded


def unsettle(model, x):
    """Scales of all sizes, and the statistics of these images, so that signals go through."""
    rng = np.random.default_rng(0)
    for layer in norms(model):
        layer.momentum = 0.0
        for variable, low, high in ((layer.gamma, 0.5, 1.5), (layer.beta, -0.5, 0.5)):
            if variable is not None:
                variable.assign(rng.uniform(low, high, variable.shape))
    model(x, training=True)


def images(side):
    """Sixteen of different brightness and pattern."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(0, 255, (16, 4, 4, 3)).repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    return (coarse * rng.uniform(0.2, 1.0, (16, 1, 1, 1))).astype(np.float32)


def norms(model):
    return [x for x in model._flatten_layers() if isinstance(x, layers.BatchNormalization)]


@pytest.mark.parametrize("name", ["efficientnet-lite0", "mobilenet-v3-small", "resnet20", "cnn"])
def test_folding_changes_no_output(name):
    model = backbones.build(name, size=32, weights="none").model
    x = images(32)
    unsettle(model, x)
    quick = folded(model, inference=True)
    assert quick is not model
    expected = model(x, training=False).numpy()
    assert np.abs(expected[0] - expected[1]).max() > 1e-2 * np.abs(expected).max()
    assert np.abs(quick(x, training=False) - expected).max() < 2e-4 * np.abs(expected).max()
    # it follows the original's weights
    first = norms(model)[0]
    first.beta.assign(first.beta + 0.5)
    moved = model(x, training=False).numpy()
    assert np.abs(moved - expected).max() > 1e-2 * np.abs(expected).max()
    assert np.abs(quick(x, training=False) - moved).max() < 2e-4 * np.abs(moved).max()


def test_gradients_are_those_of_the_original():
    model = backbones.build("efficientnet-lite0", size=32, weights="none").model
    unsettle(model, images(32))
    for layer in model.layers:
        layer.trainable = isinstance(layer, layers.Conv2D) and layer.name.startswith("block7")
    outer = keras.Model(model.inputs, layers.Dense(2)(model.output))
    rgb = keras.Input((32, 32, 3))
    nested = keras.Model(rgb, outer(rgb))
    quick = folded(nested, inference=False)
    variables = model.trainable_variables
    assert {id(v) for v in variables} < {id(v) for v in quick.trainable_variables}

    def gradients(network):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(network(images(32), training=True)))
        return [g.numpy() for g in tape.gradient(loss, [v.value for v in variables])]

    for ours, theirs in zip(gradients(quick), gradients(nested), strict=True):
        assert np.abs(theirs).max() > 0
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def small(**options):
    """A network whose convolution is read twice or is of a kind that cannot be folded."""
    rgb = keras.Input((8, 8, 3))
    kind = {"filters": 4, "kernel_size": 3, "padding": "same", **options.get("conv", {})}
    x = layers.Conv2D(**kind, name="conv")(rgb)
    y = layers.BatchNormalization(name="norm", **options.get("norm", {}))(x)
    return keras.Model(rgb, layers.Add()([x, y]) if options.get("twice") else y)


@pytest.mark.parametrize(
    "options",
    [
        {"twice": True},
        {"conv": {"activation": "relu"}},
        {"norm": {"axis": 1}},
        {"conv": {"dtype": "mixed_bfloat16"}},
    ],
)
def test_what_cannot_be_folded_is_left(options):
    model = small(**options)
    assert folded(model, inference=True) is model


def test_biases_and_missing_scales_count():
    model = small(norm={"scale": False, "center": False}, conv={"use_bias": True})
    model.get_layer("conv").bias.assign([1.0, 2.0, 3.0, 4.0])
    model.get_layer("norm").moving_mean.assign([4.0, 3.0, 2.0, 1.0])
    x = images(8)
    quick = folded(model, inference=True)
    np.testing.assert_allclose(quick(x), model(x, training=False), rtol=1e-4, atol=1e-3)


def test_statistics_that_are_learned_are_not_folded_for_training():
    model = small()
    assert folded(model, inference=False) is model
    model.get_layer("norm").trainable = False
    assert folded(model, inference=False) is not model
