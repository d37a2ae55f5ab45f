"""The classifier: the head of the probe on a backbone, what is trained, and what is served."""

import io
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from scipy.special import softmax

import backbones
from backbones import Backbone
from zoo.data.decode import decode
from zoo.train.choice import FeatureSet
from zoo.train.classifier import (
    Classifier,
    Served,
    make_classifier,
    regularize,
    served_model,
    set_trainable,
)
from zoo.train.probe import Head, fit_head, soft_targets
from zoo.train.standard import Standard

ROOT = Path(backbones.__file__).parents[1]
SIZE, K = 16, 3


def cnn(seed: int = 0) -> Backbone:
    keras.utils.set_random_seed(seed)
    options = {"blocks": 2, "filters": 4, "dense_units": 8}
    return backbones.build("cnn", size=SIZE, weights="none", options=options)


def images(n: int = 5, size: int = SIZE, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


def outputs(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(model(x.astype(np.float32), training=False))


def probe(backbone: Backbone, seed: int = 0) -> Head:
    x = outputs(backbone.model, images(30, backbone.size, seed))
    labels = np.random.default_rng(seed).permutation(np.arange(30) % K)
    return fit_head(x, soft_targets(labels, K, 0.0), l1=0.0, l2=1e-2)


def classifier(seed: int = 0, dropout: float = 0.0) -> Classifier:
    backbone = cnn(seed)
    return make_classifier(backbone, probe(backbone, seed), K, dropout)


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    return backbones.build("efficientnet-lite0", size=32)


def test_the_probes_head_gives_the_same_classifier(lite0):
    head = probe(lite0)
    made = make_classifier(lite0, head, K, dropout=0.5)
    x = images(5, 32)
    expected = head.probabilities(outputs(lite0.model, x))
    np.testing.assert_allclose(softmax(outputs(made.logits, x), axis=1), expected, atol=1e-5)
    assert made.classes == K
    assert made.logits.output_shape == (None, K)


def test_the_network_cuts_features_off_where_the_head_does(lite0, tmp_path):
    x = images(8, 32)
    features = outputs(backbones.deep_network(lite0.model), x)
    standard = Standard(features[0], np.full(features.shape[1], 0.02, np.float32), 3.0)
    kernel = np.random.default_rng(0).normal(0, 0.01, (features.shape[1], K)).astype("f4")
    head = Head(standard, kernel, np.zeros(K, np.float32), 0.1)
    assert np.mean(np.abs(standard.apply(features)) == 3.0) > 0.1
    made = make_classifier(lite0, head, K, 0.0, FeatureSet("all", 1))
    np.testing.assert_allclose(outputs(made.logits, x), head.logits(features), atol=1e-2)
    served = served_model([Served(made, 1.0, True)], 32, "stretch")
    served.save(tmp_path / "m.keras")
    again = outputs(keras.models.load_model(tmp_path / "m.keras"), x)
    np.testing.assert_allclose(again, head.probabilities(features), atol=1e-3)


@pytest.mark.parametrize("seen", [FeatureSet("all", 2), FeatureSet("last", 8)])
def test_depths_and_views_are_part_of_the_saved_model(lite0, seen, tmp_path):
    x, labels = images(30, 32), np.arange(30) % K
    network = backbones.deep_network(lite0.model) if seen.depths == "all" else lite0.model
    features = np.mean(
        [
            outputs(network, np.asarray(backbones.turned(x, *v)))
            for v in backbones.VIEWS[seen.views]
        ],
        axis=0,
    )
    head = fit_head(features, soft_targets(labels, K, 0.0), l1=0.0, l2=0.1, own=1280)
    made = make_classifier(lite0, head, K, 0.0, seen)
    logits = head.logits(features)
    np.testing.assert_allclose(outputs(made.logits, x), logits, atol=1e-3)
    np.testing.assert_allclose(made.infer.run(x, np.arange(30)), logits, atol=1e-3)
    assert abs(outputs(made.one_view, x) - logits).max() > 0.01
    served_model([Served(made, 1.0, True)], 32, "stretch").save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(outputs(loaded, x), softmax(logits, axis=1), atol=1e-5)


def test_members_that_see_the_same_share_one_pass(lite0):
    seen = [FeatureSet("all", 2), FeatureSet("all", 2), FeatureSet()]
    x = images(3, 32)
    members, width = [], backbones.deep_network(lite0.model).output_shape[1]
    for seed, one in enumerate(seen):
        rng, d = np.random.default_rng(seed), width if one.depths == "all" else 1280
        ones = np.ones(d, np.float32)
        kernel = rng.normal(size=(d, K)).astype("f4") / 30
        head = Head(Standard(0 * ones, ones), kernel, np.zeros(K), 0.1)
        backbone = backbones.build("efficientnet-lite0", size=32)
        members.append(Served(make_classifier(backbone, head, K, 0.0, one), 1.0, True))
    model = served_model(members, 32, "stretch")
    each = [softmax(outputs(m.classifier.logits, x), axis=1) for m in members]
    np.testing.assert_allclose(outputs(model, x), np.mean(each, axis=0), atol=1e-4)
    heads = sum(m.classifier.logits.count_params() - lite0.model.count_params() for m in members)
    assert model.count_params() == 2 * lite0.model.count_params() + heads


def test_without_a_probe_the_head_is_new_and_on_the_raw_features():
    backbone = cnn()
    made = make_classifier(backbone, None, K, dropout=0.0)
    kernel, bias = made.head.get_weights()
    x = images()
    expected = outputs(backbone.model, x) @ kernel + bias
    np.testing.assert_allclose(outputs(made.logits, x), expected, atol=1e-4)
    assert abs(kernel).max() > 0


def test_dropout_acts_before_the_head_and_only_in_training():
    made = classifier(dropout=0.5)
    x = images().astype(np.float32)
    np.testing.assert_array_equal(outputs(made.logits, x), outputs(made.logits, x))
    once, again = made.logits(x, training=True), made.logits(x, training=True)
    assert abs(np.asarray(once) - np.asarray(again)).max() > 1e-3


@pytest.mark.parametrize("from_scratch", [True, False])
def test_batch_statistics_are_learnt_from_scratch_and_kept_where_pretrained(from_scratch):
    backbone = cnn()
    made = make_classifier(backbone, None, K, 0.0)
    set_trainable(made, list(backbone.blocks), pretrained=not from_scratch)
    before = [v.numpy() for v in backbone.model.non_trainable_variables if "moving" in v.path]
    made.logits(images().astype(np.float32), training=True)
    after = [v.numpy() for v in backbone.model.non_trainable_variables if "moving" in v.path]
    assert len(before) == 8
    for old, new in zip(before, after, strict=True):
        assert (abs(old - new).max() > 0) == from_scratch


def trained(made: Classifier) -> set[str]:
    """Trained variables, without the name of the network in front."""
    return {v.path.removeprefix("cnn/") for v in made.logits.trainable_variables}


def test_from_scratch_every_variable_of_the_blocks_is_trained():
    made = make_classifier(cnn(), None, K, 0.0)
    everything = trained(made)
    set_trainable(made, ["block2", "dense"], pretrained=False)
    assert trained(made) == {v for v in everything if not v.startswith("block1")}
    assert "block2a_bn/gamma" in trained(made)
    set_trainable(made, ["block1", "block2", "dense"], pretrained=False)
    assert trained(made) == everything
    set_trainable(made, [], pretrained=False)
    assert trained(made) == {"head/kernel", "head/bias"}


def test_of_a_pretrained_network_only_plain_kernels_of_the_blocks_are_trained(lite0):
    made = make_classifier(lite0, None, K, 0.0)
    for depth in ("none", "1", "block6", "all"):
        blocks = lite0.upper_blocks(depth)
        set_trainable(made, blocks, pretrained=True)
        expected = {"head/kernel", "head/bias"}
        for block in blocks:
            for layer in lite0.layers_of(block):
                if type(layer) in (layers.Conv2D, layers.Dense):
                    expected |= {v.path for v in layer.weights}
        assert {v.path for v in made.logits.trainable_variables} == expected
    assert not any("_bn" in path or "depthwise" in path for path in expected)
    assert len(expected) == 2 + 1 + 1 + sum(1 for x in lite0.model.layers if _point(x))


def _point(layer: keras.layers.Layer) -> bool:
    return layer.name.endswith(("_expand_conv", "_project_conv"))


def kernels(made: Classifier) -> list[np.ndarray]:
    return [v.numpy() for v in made.backbone.model.trainable_variables if "kernel" in v.path]


@pytest.mark.parametrize(
    ("below", "top"),  # strengths of (L1, L2)
    [
        ((0.0, 0.0), (0.0, 0.0)),
        ((0.0, 0.0), (0.0, 0.3)),
        ((0.0, 0.02), (0.0, 0.0)),
        ((0.01, 0.0), (0.01, 0.3)),
        ((0.01, 0.02), (0.05, 0.03)),
    ],
)
def test_the_penalties_are_those_asked_for_on_the_trained_kernels_alone(below, top):
    made = classifier()
    set_trainable(made, ["block2", "dense"], pretrained=False)
    regularize(made, l1=below[0], l2=below[1], head_l1=top[0], head_l2=top[1])

    def penalty(kernel: np.ndarray, strengths: tuple[float, float]) -> float:
        return strengths[0] * abs(kernel).sum() + strengths[1] * (kernel**2).sum()

    assert len(kernels(made)) == 3
    expected = sum(penalty(kernel, below) for kernel in kernels(made))
    expected += penalty(made.head.kernel.numpy(), top)
    assert float(sum(made.logits.losses)) == pytest.approx(expected, rel=1e-5)
    active = sum(any(x) for x in (below, below, below, top))
    assert len(made.logits.losses) == active


def test_penalties_set_anew_replace_the_old_ones():
    made = classifier()
    set_trainable(made, ["dense"], pretrained=False)
    regularize(made, l1=1.0, l2=1.0, head_l1=1.0, head_l2=1.0)
    regularize(made, l1=0.0, l2=0.0, head_l1=0.0, head_l2=0.0)
    assert made.logits.losses == []


@pytest.fixture(scope="module")
def served() -> tuple[keras.Model, list[Served]]:
    members = [Served(classifier(0), 0.7, False), Served(classifier(1), 2.5, False)]
    return served_model(members, SIZE, "stretch"), members


def test_the_served_model_is_softmax_of_logits_by_temperature():
    made = classifier()
    x = images()
    expected = softmax(outputs(made.logits, x) / 2.5, axis=1)
    for resize in ("stretch", "crop", "pad"):
        model = served_model([Served(made, 2.5, False)], SIZE, resize)
        np.testing.assert_allclose(outputs(model, x), expected, atol=1e-5)


def test_of_several_members_the_probabilities_are_averaged(served):
    model, members = served
    x = images()
    each = [softmax(outputs(made.logits, x) / t, axis=1) for made, t, _ in members]
    np.testing.assert_allclose(outputs(model, x), np.mean(each, axis=0), atol=1e-5)
    assert abs(each[0] - each[1]).max() > 0.01, "the members say the same"


def test_members_with_a_frozen_backbone_share_one(tmp_path):
    members = []
    for seed, temperature in enumerate((0.7, 1.0, 2.5)):
        backbone = cnn()  # the same weights each time
        made = make_classifier(backbone, probe(backbone, seed), K, 0.0)
        members.append(Served(made, temperature, True))
    x = images()
    each = [softmax(outputs(made.logits, x) / t, axis=1) for made, t, _ in members]
    model = served_model(members, SIZE, "stretch")
    np.testing.assert_allclose(outputs(model, x), np.mean(each, axis=0), atol=1e-5)
    heads = sum(m.classifier.logits.count_params() - backbone.model.count_params() for m in members)
    assert model.count_params() == backbone.model.count_params() + heads
    model.save(tmp_path / "bag.keras")
    loaded = keras.models.load_model(tmp_path / "bag.keras", safe_mode=True)
    np.testing.assert_allclose(outputs(loaded, x), outputs(model, x), atol=1e-6)


@pytest.mark.parametrize("temperature", [0.6, 1.4])
def test_the_mean_of_several_has_a_temperature_of_its_own(temperature, tmp_path):
    backbone = cnn()
    served = [
        Served(make_classifier(backbone, probe(backbone, seed), K, 0.0), 1.0, True)
        for seed in range(2)
    ]
    x = images()
    mean = np.mean([softmax(outputs(m.classifier.logits, x), axis=1) for m in served], axis=0)
    model = served_model(served, SIZE, "stretch", temperature)
    model.save(tmp_path / "bag.keras")
    loaded = keras.models.load_model(tmp_path / "bag.keras", safe_mode=True)
    expected = mean ** (1 / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    for network in (model, loaded):
        np.testing.assert_allclose(outputs(network, x), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 7, 7, 3), (3, 40, 25, 3), (2, 16, 16, 3), (2, 9, 64, 3)])
def test_images_of_any_size_become_probabilities(served, shape):
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    p = np.asarray(served[0](x, training=False))
    assert p.shape == (shape[0], K)
    assert p.dtype == np.float32
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(p, outputs(served[0], x), atol=1e-6)


def test_the_model_called_as_a_function_is_in_inference_mode():
    made = make_classifier(cnn(), None, K, dropout=0.5)
    model = served_model([Served(made, 1.0, False)], SIZE, "stretch")
    x = images().astype(np.float32)
    expected = outputs(model, x)
    np.testing.assert_allclose(np.asarray(model(x)), expected, atol=1e-5)
    np.testing.assert_allclose(outputs(model, x), expected, atol=1e-5)


def _png(image):
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_the_shape_of_an_image_is_changed_as_the_setting_says():
    made = classifier()
    wide = images(2, 3 * SIZE)[:, :SIZE]
    middle = wide[:, :, SIZE : 2 * SIZE]
    bordered = np.zeros((2, 3 * SIZE, 3 * SIZE, 3), np.uint8)
    bordered[:, SIZE : 2 * SIZE] = wide
    crop = served_model([Served(made, 1.0, False)], SIZE, "crop")
    np.testing.assert_allclose(outputs(crop, wide), outputs(crop, middle), atol=1e-5)
    pad = served_model([Served(made, 1.0, False)], SIZE, "pad")
    np.testing.assert_allclose(outputs(pad, wide), outputs(pad, bordered), atol=1e-5)
    stretch = served_model([Served(made, 1.0, False)], SIZE, "stretch")
    large = images(4, 3 * SIZE)
    shrunk = np.stack([decode(_png(image), SIZE) for image in large])  # as for training
    np.testing.assert_allclose(outputs(stretch, large), outputs(stretch, shrunk), atol=0.01)
    assert abs(outputs(stretch, wide) - outputs(crop, wide)).max() > 1e-4


def test_a_saved_model_says_the_same_in_a_fresh_process_in_safe_mode(served, tmp_path):
    x = images(4, 21)
    served[0].save(tmp_path / "two.keras")
    one = served_model([served[1][0]], SIZE, "crop")
    one.save(tmp_path / "one.keras")
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    code = """
import keras, numpy as np
x = np.load("x.npy")
for name in ("one", "two"):
    model = keras.models.load_model(f"{name}.keras", compile=False, safe_mode=True)
    np.save(f"{name}.npy", np.asarray(model(x, training=False)))
"""
    env = {**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "two.npy"), outputs(served[0], x), atol=1e-5)
    np.testing.assert_allclose(np.load(tmp_path / "one.npy"), outputs(one, x), atol=1e-5)


@pytest.fixture
def mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("name", backbones.families())
def test_in_mixed_precision_logits_and_probabilities_are_float32(name, mixed_precision):
    spec = backbones.get(name)
    backbone = backbones.build(name, size=max(spec.min_size, 16), weights="none")
    made = make_classifier(backbone, None, K, 0.0)
    assert backbone.model.compute_dtype == "bfloat16"
    assert all(v.dtype == "float32" for v in made.logits.weights)
    assert made.logits.output.dtype == "float32"
    model = served_model([Served(made, 1.3, False)], backbone.size, "stretch")
    assert model.output.dtype == "float32"
    p = outputs(model, images(2, 20))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


def test_in_mixed_precision_the_probe_is_still_the_classifier(mixed_precision):
    backbone = cnn()
    head = probe(backbone)
    made = make_classifier(backbone, head, K, 0.0)
    x = images()
    expected = head.probabilities(outputs(backbone.model, x).astype(np.float32))
    np.testing.assert_allclose(softmax(outputs(made.logits, x), axis=1), expected, atol=0.03)
