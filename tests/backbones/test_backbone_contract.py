"""The contract of every registered backbone: a new one is tested by being registered."""

import functools
import warnings

import keras
import numpy as np
import pytest

import backbones
from backbones import Backbone, Spec
from backbones._registry import builder

VARIANTS = backbones.names()
# saving and loading is slow: one variant for each function that builds some
ONE_A_BUILDER = list({builder(name): name for name in reversed(VARIANTS)}.values())

_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
PREPROCESSING = {
    "x / 127.5 - 1": lambda x: x / 127.5 - 1,
    "(x - 127) / 128": lambda x: (x - 127) / 128,
    "RGB to BGR, minus the ImageNet mean": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
    "(x / 255 - mean) / std of ImageNet": lambda x: (x / 255 - _MEAN) / _STD,
}


def smallest(spec: Spec) -> int:
    """Smallest side that the default options can take; each block of cnn halves the image."""
    return max(spec.min_size, 2 ** spec.options.get("blocks", 0))


@functools.cache
def built(name: str) -> Backbone:
    keras.utils.set_random_seed(0)
    backbone = backbones.build(name, size=smallest(backbones.get(name)), weights="none")
    # random networks with the initial statistics fade to 1e-12: all comparisons would hold
    for layer in backbone.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    backbone.model(images(backbone.size, 8), training=True)
    return backbone


def images(size: int, n: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3)).astype(np.float32)


def outputs(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(model(x, training=False))


@pytest.mark.parametrize("name", VARIANTS)
def test_raw_rgb_becomes_finite_features_of_the_promised_length(name):
    backbone = built(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = outputs(backbone.model, images(backbone.size))
    assert features.shape == (3, backbone.spec.features)
    assert np.isfinite(features).all()
    assert abs(features[0] - features[1]).max() > 1e-2, "the features do not depend on the image"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_spec_tells_the_number_of_parameters(name):
    assert built(name).model.count_params() == backbones.get(name).parameters


@pytest.mark.parametrize("name", [n for n in VARIANTS if n != "efficientnet-b0"])
def test_the_first_layer_sees_what_the_spec_calls_preprocessing(name):
    # keras knows the statistics of efficientnet-b0 only with weights: see test_backbone_weights.py
    backbone = built(name)
    first = next(
        layer
        for layer in backbone.model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.ZeroPadding2D)
    )
    x = images(backbone.size)
    seen = outputs(keras.Model(backbone.model.inputs[0], first.input), x)
    np.testing.assert_allclose(seen, PREPROCESSING[backbone.spec.preprocessing](x), atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_blocks_partition_all_layers(name):
    backbone = built(name)
    found = [layer.name for block in backbone.blocks for layer in backbone.layers_of(block)]
    assert sorted(found) == sorted(layer.name for layer in backbone.model.layers)
    assert all(
        backbone.blocks[block] in {layer.name for layer in backbone.layers_of(block)}
        for block in backbone.blocks
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_every_block_but_the_first_can_be_cut_off_below(name):
    backbone = built(name)
    x = images(backbone.size, 2)
    whole = outputs(backbone.model, x)
    lower, upper = backbone.split_below(next(iter(backbone.blocks)))
    assert lower is None
    assert upper is backbone.model
    # two of the cuts are run, which keeps this quick; a wrong one would not even be built
    blocks = list(backbone.blocks)[1:]
    for block in (blocks[len(blocks) // 2], blocks[-1]):
        lower, upper = backbone.split_below(block)
        np.testing.assert_allclose(outputs(upper, outputs(lower, x)), whole, atol=1e-5)
    for block in blocks:
        lower, upper = backbone.split_below(block)
        assert lower.count_params() + upper.count_params() == backbone.model.count_params()


@pytest.mark.parametrize("name", VARIANTS)
def test_the_usual_depth_of_fine_tuning_is_one_of_its_blocks(name):
    backbone = built(name)
    upper = backbone.upper_blocks(backbone.spec.unfreeze)
    assert upper == list(backbone.blocks)[-len(upper) :]


@pytest.mark.parametrize("name", VARIANTS)
def test_upper_blocks_are_counted_from_the_output_or_named(name):
    backbone = built(name)
    blocks = list(backbone.blocks)
    assert backbone.upper_blocks("all") == blocks
    assert backbone.upper_blocks("none") == []
    assert backbone.upper_blocks("1") == blocks[-1:]
    assert backbone.upper_blocks(str(len(blocks))) == blocks
    for i, block in enumerate(blocks):
        assert backbone.upper_blocks(block) == blocks[i:]


@pytest.mark.parametrize("depth", ["0", "99", "-1", "blok1", "", "²"])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_block_that_is_not_there_is_answered_with_those_that_are(name, depth):
    backbone = built(name)
    with pytest.raises(backbones.BackboneError) as raised:
        backbone.upper_blocks(depth)
    sentence = str(raised.value)
    assert repr(depth) in sentence
    assert all(block in sentence for block in backbone.blocks)


@pytest.mark.parametrize("name", ONE_A_BUILDER)
def test_a_saved_backbone_loads_in_safe_mode_with_the_same_outputs(name, tmp_path):
    backbone = built(name)
    x = images(backbone.size, 2)
    backbone.model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(outputs(loaded, x), outputs(backbone.model, x), atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_spec_is_complete(name):
    spec = backbones.get(name)
    assert spec.min_size <= spec.input_size
    assert spec.licence
    assert spec.paper
    assert spec.weights == "none" or spec.weights.startswith(("pip:", "keras.applications"))


@pytest.mark.parametrize("name", VARIANTS)
def test_an_image_below_the_smallest_size_is_refused_before_keras_is_asked(name):
    spec = backbones.get(name)
    with pytest.raises(backbones.BackboneError, match=f"at least {spec.min_size} px"):
        backbones.check(name, size=spec.min_size - 1, weights="none")
