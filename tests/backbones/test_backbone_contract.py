"""The contract of every registered backbone: a new one is tested by being registered."""

import functools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import backbones
from backbones import Backbone, Spec
from backbones._registry import builder
from zoo.train.choice import FeatureSet
from zoo.train.classifier import Classifier, set_trainable

NAMES = backbones.names()
BY_COST = sorted(map(backbones.get, NAMES), key=lambda s: s.macs or 0, reverse=True)
# the cheapest variant of each paper is always tested, its larger ones with -m slow
QUICK = {spec.paper: spec.name for spec in BY_COST}.values()
VARIANTS = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
# where a build more is needed: one variant for each function that builds some
ONE_A_BUILDER = list({builder(spec.name): spec.name for spec in BY_COST}.values())

_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
PREPROCESSING = {
    "x / 127.5 - 1": lambda x: x / 127.5 - 1,
    "(x - 127) / 128": lambda x: (x - 127) / 128,
    "RGB to BGR, minus the ImageNet mean": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
    "x / 128 - 1": lambda x: x / 128 - 1,
    "(x / 255 - mean) / std of ImageNet": lambda x: (x / 255 - _MEAN) / _STD,
}


def smallest(spec: Spec) -> int:
    """Smallest side that the default options can take; each block of cnn halves the image."""
    return max(spec.min_size, 2 ** spec.options.get("blocks", 0))


@functools.lru_cache(maxsize=len(QUICK) + 1)
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
    assert features.dtype == np.float32
    assert features.shape == (3, backbone.spec.features_for(backbone.spec.options))
    assert np.isfinite(features).all()
    assert abs(features[0] - features[1]).max() > 1e-2, "the features do not depend on the image"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_spec_tells_parameters_and_multiply_accumulates(name):
    spec = backbones.get(name)
    model = backbones.build(name, weights="none").model
    assert model.input_shape[1] == spec.input_size
    assert model.count_params() == spec.parameters
    assert backbones.macs(model) == spec.macs


@pytest.mark.parametrize("name", VARIANTS)
def test_the_first_layer_sees_what_the_spec_calls_preprocessing(name):
    if name.startswith("efficientnet-b"):
        pytest.skip("Keras knows its statistics only with weights: see test_parity.py")
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
def test_every_variable_is_of_one_block(name):
    backbone = built(name)
    of_blocks = [
        variable.path
        for block in backbone.blocks
        for layer in backbone.layers_of(block)
        for variable in layer.weights
    ]
    assert sorted(of_blocks) == sorted(variable.path for variable in backbone.model.weights)


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
@pytest.mark.parametrize("name", NAMES)
def test_a_block_that_is_not_there_is_answered_with_those_that_are(name, depth):
    spec = backbones.get(name)
    blocks = spec.blocks_for(spec.options)
    with pytest.raises(backbones.BackboneError) as raised:
        backbones.upper_blocks(name, blocks, depth)
    sentence = str(raised.value)
    assert repr(depth) in sentence
    assert all(block in sentence for block in blocks)


# of a layer's weights those that no gradient changes
STATISTICS = {"moving_mean", "moving_variance", "mean", "variance", "count"}


@pytest.mark.parametrize("name", VARIANTS)
def test_unfreezing_from_a_block_trains_what_lies_from_there_upwards(name):
    backbone = built(name)
    classifier = Classifier(backbone, backbone.model, None, FeatureSet(), backbone.model)
    layers = {block: backbone.layers_of(block) for block in backbone.blocks}
    normal = (keras.layers.BatchNormalization, keras.layers.DepthwiseConv2D)
    usual, last = backbone.spec.unfreeze, list(layers)[-1]
    for depth, kept in (("all", ()), (usual, ()), (usual, normal), (last, ()), ("none", ())):
        upper = backbone.upper_blocks(depth)
        set_trainable(classifier, upper, pretrained=bool(kept))
        freed = [x for block in upper for x in layers[block] if not isinstance(x, kept)]
        expected = {w.path for x in freed for w in x.weights if w.name not in STATISTICS}
        assert {w.path for w in backbone.model.trainable_variables} == expected


@pytest.mark.parametrize("name", VARIANTS)
def test_the_gradient_reaches_the_first_block_when_all_is_unfrozen(name):
    backbone = built(name)
    set_trainable(
        Classifier(backbone, backbone.model, None, FeatureSet(), backbone.model),
        list(backbone.blocks),
        pretrained=False,
    )
    variables = backbone.model.trainable_variables
    with tf.GradientTape() as tape:
        features = backbone.model(images(backbone.size, 2), training=False)
        loss = tf.reduce_mean(tf.square(features))
    gradients = tape.gradient(loss, [v.value for v in variables])
    found = {v.path: np.asarray(g) for v, g in zip(variables, gradients, strict=True)}
    assert all(np.isfinite(gradient).all() for gradient in found.values())
    first = backbone.layers_of(next(iter(backbone.blocks)))
    lowest = [found[w.path] for layer in first for w in layer.trainable_variables]
    assert any(np.abs(gradient).max() > 0 for gradient in lowest)


@pytest.mark.parametrize("name", ONE_A_BUILDER)
def test_features_are_float32_in_mixed_precision(name):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        size = smallest(backbones.get(name))
        model = backbones.build(name, size=size, weights="none").model
    finally:
        keras.mixed_precision.set_global_policy("float32")
    features = model(images(size, 2), training=False)
    assert features.dtype == tf.float32
    assert np.isfinite(features).all()
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert {x.compute_dtype for x in convolutions} == {"bfloat16"}


@pytest.mark.parametrize("name", ONE_A_BUILDER)
def test_a_saved_backbone_loads_in_safe_mode_with_the_same_outputs(name, tmp_path):
    backbone = built(name)
    x = images(backbone.size, 2)
    backbone.model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(outputs(loaded, x), outputs(backbone.model, x), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_is_complete(name):
    spec = backbones.get(name)
    assert spec.min_size <= spec.input_size
    assert spec.licence
    assert spec.paper
    assert spec.sizes
    assert spec.macs > spec.parameters
    assert spec.unfreeze in {"all", *spec.blocks_for(spec.options)}
    assert (spec.weights == "none") == (spec.files == ())
    for file in spec.files:
        assert file.source.startswith(("https://", "pip:"))
        assert 40 < file.top1 < 90
        assert file.top1_source
        assert file.options.keys() <= spec.options.keys()
    if spec.files:  # the first is that of the default settings
        assert spec.file_for(spec.input_size, spec.options) is spec.files[0]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_below_the_smallest_size_is_refused_before_keras_is_asked(name):
    spec = backbones.get(name)
    with pytest.raises(backbones.BackboneError, match=f"at least {spec.min_size} px"):
        backbones.check(name, size=spec.min_size - 1, weights="none")
