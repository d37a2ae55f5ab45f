"""Building a backbone: the plain network's options, the seed, and what is refused."""

import keras
import numpy as np
import pytest

import backbones
from backbones import BackboneError


def cnn(size: int = 16, **options) -> backbones.Backbone:
    small = {"blocks": 2, "filters": 4, "dense_units": 8}
    return backbones.build("cnn", size=size, weights="none", options={**small, **options})


REFUSED = {
    "unknown backbone": ({"name": "efficientnet-lite00"}, ["efficientnet-lite0", "did you mean"]),
    "too small": ({"name": "mobilenet-v2", "size": 31, "weights": "none"}, ["32 px", "31", "224"]),
    "option of another": (
        {"name": "resnet50", "weights": "none", "options": {"filters": 4}},
        ["resnet50", "'filters'"],
    ),
    "no ImageNet weights": ({"name": "cnn", "weights": "imagenet"}, ["cnn", "--weights none"]),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("ask", [backbones.check, backbones.build])
def test_what_cannot_be_built_is_refused_with_the_way_out(case, ask):
    arguments, content = REFUSED[case]
    with pytest.raises(BackboneError) as raised:
        ask(**arguments)
    assert all(part in str(raised.value) for part in content), raised.value
    assert "\n" not in str(raised.value)


def test_more_halvings_than_the_image_has_pixels_are_refused_with_the_smallest_size():
    with pytest.raises(BackboneError, match=r"5 blocks.* at least 32 px, not 16: use fewer blocks"):
        cnn(16, blocks=5)


def test_check_tells_what_build_builds():
    spec, size, options = backbones.check("cnn", weights="none", options={"blocks": 3})
    built = backbones.build("cnn", weights="none", options={"blocks": 3}, size=64)
    assert (spec, size) == (built.spec, 128)
    assert list(spec.blocks_for(options)) == list(built.blocks)
    assert options == {**spec.options, "blocks": 3}


def test_the_options_of_the_plain_network_are_what_is_built():
    layers = cnn(
        blocks=3, filters=5, kernel_size=5, dense_units=7, batch_norm=False, block_dropout=0.25
    ).model.layers
    convolutions = [x for x in layers if isinstance(x, keras.layers.Conv2D)]
    assert [x.filters for x in convolutions] == [5, 5, 10, 10, 20, 20]
    assert {x.kernel_size for x in convolutions} == {(5, 5)}
    assert all(x.use_bias for x in convolutions)
    assert not any(isinstance(x, keras.layers.BatchNormalization) for x in layers)
    dropouts = [x.rate for x in layers if isinstance(x, keras.layers.SpatialDropout2D)]
    assert dropouts == [0.25] * 3
    assert [x.units for x in layers if isinstance(x, keras.layers.Dense)] == [7]


def test_filters_double_up_to_a_bound():
    layers = cnn(16, blocks=4, filters=128).model.layers
    filters = [x.filters for x in layers if isinstance(x, keras.layers.Conv2D)]
    assert filters == [128, 128, 256, 256, 256, 256, 256, 256]


def test_the_number_of_features_follows_the_dense_units():
    backbone = cnn(dense_units=9)
    assert backbone.model.output_shape == (None, 9)


def test_random_weights_come_from_the_seed_and_have_no_digest():
    def kernels(seed: int) -> np.ndarray:
        keras.utils.set_random_seed(seed)
        backbone = cnn()
        assert backbone.digest is None
        return np.concatenate([w.ravel() for w in backbone.model.get_weights()])

    assert (kernels(3) == kernels(3)).all()
    assert (kernels(3) != kernels(4)).any()


def test_from_scratch_the_statistics_follow_within_tens_of_steps(tmp_path):
    def momenta(model: keras.Model) -> set[float]:
        layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
        return {layer.momentum for layer in layers}

    scratch = backbones.build("efficientnet-lite0", size=32, weights="none").model
    assert momenta(scratch) == {0.9}
    file = tmp_path / "w.weights.h5"
    scratch.save_weights(file)
    given = backbones.build("efficientnet-lite0", size=32, weights=str(file)).model
    assert momenta(given) == {0.99}  # as published


def test_the_digest_is_of_all_weights_and_nothing_else():
    keras.utils.set_random_seed(0)
    model = cnn().model
    first = backbones.weights_digest(model)
    assert first == backbones.weights_digest(model)
    values = model.get_weights()
    values[-1] = values[-1] + 1e-6
    model.set_weights(values)
    assert first != backbones.weights_digest(model)
