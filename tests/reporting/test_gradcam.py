"""Grad-CAM against what it must be where that is known, and on every kind of backbone."""

import numpy as np
import pytest

import backbones
from zoo.errors import ZooError
from zoo.reporting.gradcam import GradCam, branches_of, last_features, split_at_map
from zoo.train.choice import FeatureSet
from zoo.train.classifier import Served, make_classifier, served_model
from zoo.train.probe import Head
from zoo.train.standard import Standard


def head_of(features, classes, seed=0):
    rng = np.random.default_rng(seed)
    return Head(
        kernel=rng.normal(0, 1, (features, classes)).astype(np.float32),
        bias=np.zeros(classes, np.float32),
        standard=Standard(
            rng.normal(0, 0.1, features).astype(np.float32),
            rng.uniform(0.5, 2, features).astype(np.float32),
        ),
        l2=0.0,
    )


def classifier_of(name, size, classes=3, seed=0, **options):
    backbone = backbones.build(name, size=size, weights="none", options=options)
    head = head_of(int(backbone.model.output_shape[-1]), classes, seed)
    return make_classifier(backbone, head, classes, 0.1), head


def noise(n, size):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)


def test_behind_global_pooling_it_is_the_weighted_sum_of_the_maps():
    classifier, head = classifier_of("resnet20", 32)
    model = served_model([Served(classifier, 2.0, False)], 32, "stretch")
    images, classes = noise(4, 32), np.array([0, 1, 2, 1])
    lower, _ = split_at_map(branches_of(model)[0].backbone)
    maps = np.asarray(lower(images.astype(np.float32), training=False))
    weights = (head.kernel / head.standard.scale[:, None]).T[classes]
    expected = np.maximum(np.einsum("nhwc,nc->nhw", maps, weights), 0)
    expected /= np.maximum(expected.max(axis=(1, 2), keepdims=True), 1e-12)
    np.testing.assert_allclose(GradCam(model)(images, classes), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "size"),
    [("efficientnet-lite0", 96), ("mobilenet-v2", 96), ("resnet20", 32), ("cnn", 32)],
)
def test_every_backbone_has_maps(name, size):
    classifier, _ = classifier_of(name, size)
    model = served_model([Served(classifier, 1.0, False)], size, "stretch")
    maps = GradCam(model)(noise(3, size), np.array([0, 1, 2]))
    assert maps.ndim == 3
    assert min(maps.shape[1:]) >= 3
    assert maps.min() >= 0
    assert maps.max() == pytest.approx(1)


def test_heads_on_a_shared_backbone_are_averaged():
    backbone = backbones.build("resnet20", size=32, weights="none", options={})
    features = int(backbone.model.output_shape[-1])
    members = [make_classifier(backbone, head_of(features, 3, seed), 3, 0.1) for seed in (0, 1)]
    model = served_model([Served(m, 1.0, True) for m in members], 32, "stretch")
    assert [len(branch.head) for branch in branches_of(model)] == [3, 3]
    images, classes = noise(2, 32), np.array([0, 2])
    single = [
        GradCam(served_model([Served(m, 1.0, False)], 32, "stretch"))(images, classes)
        for m in members
    ]
    np.testing.assert_allclose(GradCam(model)(images, classes), np.mean(single, axis=0), atol=1e-4)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    "seen", [FeatureSet("all", 1), FeatureSet("all", 2), FeatureSet("last", 2)]
)
def test_a_head_that_sees_depths_and_views_is_explained_by_the_image_as_it_is(seen, shared):
    backbone = backbones.build("efficientnet-lite0", size=96, weights="none")
    network = backbones.deep_network(backbone.model) if seen.depths == "all" else backbone.model
    head = head_of(int(network.output_shape[-1]), 3)
    made = [make_classifier(backbone, head, 3, 0.0, seen) for _ in range(1 + shared)]
    model = served_model([Served(one, 1.0, True) for one in made], 96, "stretch")
    images, classes = noise(2, 96), np.array([0, 2])
    maps = GradCam(model)(images, classes)
    assert maps.shape == (2, 3, 3)
    alone = make_classifier(backbone, head, 3, 0.0, FeatureSet(seen.depths, 1))
    expected = GradCam(served_model([Served(alone, 1.0, False)], 96, "stretch"))(images, classes)
    np.testing.assert_allclose(maps, expected, atol=1e-4)
    own = last_features(branches_of(model)[0].backbone)
    x = images.astype(np.float32)
    np.testing.assert_allclose(own(x), backbone.model(x, training=False), atol=1e-4)


def test_a_module_of_tf_hub_is_told_to_have_no_maps(tmp_path, write_module):
    name = f"hub:{write_module(tmp_path / 'module', size=32)}"
    backbone = backbones.build(name, size=32, weights="imagenet", options={"input_range": "0..1"})
    classifier = make_classifier(backbone, head_of(6, 3), 3, 0.0)
    model = served_model([Served(classifier, 1.0, False)], 32, "stretch")
    with pytest.raises(ZooError, match="no map of features"):
        GradCam(model)
