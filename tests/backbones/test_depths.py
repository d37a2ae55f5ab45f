"""What a head sees: the last map at each resolution, and symmetries of the image."""

import keras
import numpy as np
import pytest
from keras import layers

import backbones
from backbones import VIEWS, deep_network, last_maps, seen_in_views, turned


@pytest.fixture(scope="module")
def lite0() -> backbones.Backbone:
    return backbones.build("efficientnet-lite0", size=64)


def images(n: int = 3, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype(np.float32)


def outputs(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(model(x, training=False))


def test_the_maps_are_the_last_at_each_resolution_from_coarse_to_fine(lite0):
    maps = last_maps(lite0.model)
    assert [tuple(m.shape[1:]) for m in maps] == [(2, 2, 1280), (4, 4, 672), (8, 8, 240)]


def test_deep_features_are_the_networks_own_and_the_pooled_maps(lite0):
    deep = deep_network(lite0.model)
    found = outputs(deep, images())
    inner = keras.Model(lite0.model.inputs[0], [lite0.model.output, *last_maps(lite0.model)])
    own, *maps = (np.asarray(x) for x in inner(images(), training=False))
    expected = [own, maps[0].max((1, 2))]  # the mean of the last map is what the network gives
    for m in maps[1:]:
        expected += [m.mean((1, 2)), m.max((1, 2))]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-4)
    assert deep.count_params() == lite0.model.count_params()


@pytest.mark.parametrize("name", backbones.families())
def test_every_family_gives_its_own_features_first(name):
    spec = backbones.get(name)
    size = max(spec.min_size, 64)
    model = backbones.build(name, size=size, weights="none").model
    deep, x = deep_network(model), images(2, size)
    width = model.output_shape[1]
    assert deep.output_shape[1] > width
    np.testing.assert_allclose(outputs(deep, x)[:, :width], outputs(model, x), atol=1e-4)


def test_of_a_network_without_maps_the_last_features_are_all_there_is():
    rgb = keras.Input((32, 32, 3))
    flat = keras.Model(rgb, layers.Dense(4)(layers.Flatten()(rgb)))
    assert last_maps(flat) == []
    assert deep_network(flat) is flat


def test_maps_of_one_position_add_nothing():
    model = backbones.build("efficientnet-lite0", size=32).model
    assert [m.shape[1] for m in last_maps(model)] == [2, 4]


def test_the_eight_views_are_the_symmetries_of_the_square():
    x = images(1, 8)
    seen = {np.asarray(turned(x, *view)).tobytes() for view in VIEWS[8]}
    expected = {np.rot90(y, k, (1, 2)).tobytes() for y in (x, x[:, :, ::-1]) for k in range(4)}
    assert seen == expected
    assert len(seen) == 8
    for count, views in VIEWS.items():
        assert len(set(views)) == count
        assert views[0] == (0, False)
        assert set(views) <= set(VIEWS[8])


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_views_are_averaged_and_kept_when_saved(lite0, count, tmp_path):
    deep, x = deep_network(lite0.model), images(2)
    model = seen_in_views(deep, count)
    each = [outputs(deep, np.asarray(turned(x, *view))) for view in VIEWS[count]]
    expected = np.mean(each, axis=0)
    np.testing.assert_allclose(outputs(model, x), expected, atol=1e-4)
    model.save(tmp_path / "views.keras")
    loaded = keras.models.load_model(tmp_path / "views.keras", safe_mode=True)
    np.testing.assert_allclose(outputs(loaded, x), outputs(model, x), atol=1e-5)


def test_eight_views_see_a_turned_image_as_the_image(lite0):
    model, x = seen_in_views(lite0.model, 8), images(2)
    of_turned = outputs(model, np.ascontiguousarray(np.rot90(x, 1, (1, 2))))
    np.testing.assert_allclose(of_turned, outputs(model, x), atol=1e-3)
