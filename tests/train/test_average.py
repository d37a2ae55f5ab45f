"""The running average of the weights against one kept by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from zoo.train.average import WeightAverage


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, name="free"),
            layers.BatchNormalization(name="free_bn"),
            layers.Dense(4, name="frozen", trainable=False),
            layers.BatchNormalization(name="frozen_bn", trainable=False),
        ]
    )


def names(model: keras.Model, average: WeightAverage) -> list[str]:
    paths = {id(v): v.path.partition("/")[2] for v in model.weights}
    return [paths[id(v)] for v in average.variables]


def test_trained_weights_and_the_statistics_that_go_with_them_are_averaged():
    model = network()
    assert names(model, WeightAverage(model, 100)) == [
        "free/kernel",
        "free/bias",
        "free_bn/gamma",
        "free_bn/beta",
        "free_bn/moving_mean",
        "free_bn/moving_variance",
    ]


def test_statistics_of_nested_models_are_found():
    inner = network()
    rgb = keras.Input((3,))
    model = keras.Model(rgb, inner(rgb))
    assert "free_bn/moving_mean" in names(model, WeightAverage(model, 100))


@pytest.mark.parametrize(("steps", "horizon"), [(1, 10), (100, 10), (500, 50)])
def test_the_average_is_the_exponential_one_over_a_tenth_of_the_steps(steps, horizon):
    model = network()
    average = WeightAverage(model, steps)
    keep = 1 - 1 / horizon
    expected = [v.numpy() for v in average.variables]
    rng = np.random.default_rng(0)
    for _ in range(5):
        for variable in average.variables:
            variable.assign(rng.normal(size=variable.shape))
        average.update()
        expected = [
            keep * e + (1 - keep) * v.numpy()
            for e, v in zip(expected, average.variables, strict=True)
        ]
    for ours, by_hand in zip(average.values(), expected, strict=True):
        np.testing.assert_allclose(ours, by_hand, rtol=1e-5, atol=1e-6)


def test_in_place_the_model_has_the_averages_and_afterwards_its_own_weights_again():
    model = network()
    average = WeightAverage(model, 100)
    first = [w.copy() for w in model.get_weights()]
    for variable in average.variables:
        variable.assign(variable + 1.0)
    last = [w.copy() for w in model.get_weights()]
    with pytest.raises(RuntimeError, match="while validating"), average.in_place():
        for now, then in zip(model.get_weights(), first, strict=True):
            np.testing.assert_array_equal(now, then)
        raise RuntimeError("while validating")
    for now, then in zip(model.get_weights(), last, strict=True):
        np.testing.assert_array_equal(now, then)


def test_values_are_copies_that_can_be_put_back():
    model = network()
    average = WeightAverage(model, 100)
    values = average.values()
    for value in values:
        value += 3.0
    for variable, average_now in zip(average.variables, average.values(), strict=True):
        np.testing.assert_array_equal(average_now, variable.numpy())
    average.put(values)
    for variable, value in zip(average.variables, values, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_under_mixed_precision_the_average_keeps_the_precision_of_the_weights():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = network()
        average = WeightAverage(model, 1000)
        before = average.values()
        for variable in average.variables:
            variable.assign(variable + 1e-3)  # bfloat16 has not even three digits
        average.update()
        for new, old in zip(average.values(), before, strict=True):
            assert new.dtype == np.float32
            np.testing.assert_allclose(new - old, 1e-5, atol=2e-6)
    finally:
        keras.mixed_precision.set_global_policy("float32")
