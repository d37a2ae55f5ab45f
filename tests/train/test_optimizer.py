"""The optimizer: each variable's own step, and the schedule of the learning rate."""

import keras
import numpy as np
import pytest

import backbones
from zoo.train.classifier import Classifier, make_classifier, set_trainable
from zoo.train.optimizer import layer_rates, make_optimizer, schedule


def classifier() -> Classifier:
    keras.utils.set_random_seed(0)
    backbone = backbones.build(
        "cnn", size=8, weights="none", options={"blocks": 2, "filters": 2, "dense_units": 4}
    )
    return make_classifier(backbone, None, classes=3, dropout=0.0)


def steps(
    made: Classifier, optimizer: keras.optimizers.Optimizer, gradient: float = 1.0
) -> dict[str, np.ndarray]:
    """How far one step with the same gradient everywhere moves each variable, by its path."""
    variables = made.logits.trainable_variables
    before = [v.numpy() for v in variables]
    optimizer.build(variables)
    optimizer.apply([keras.ops.full(v.shape, gradient) for v in variables], variables)
    return {v.path: v.numpy() - b for v, b in zip(variables, before, strict=True)}


# of block1 to the head, for a decay of one half
FACTORS = {"block1": 1 / 8, "block2": 1 / 4, "dense": 1 / 2, "head": 1.0}


def factor(path: str) -> float:
    return next(value for name, value in FACTORS.items() if path.startswith(name))


def test_the_rate_falls_from_block_to_block_below_the_head():
    made = classifier()
    rates = layer_rates(made, 0.5)
    variables = made.logits.trainable_variables
    assert {v.path: rates[id(v.value)] for v in variables} == {
        v.path: factor(v.path) for v in variables
    }
    assert len(variables) == 2 * (2 * 3) + 2 + 2


def test_blocks_that_are_not_trained_have_no_rate():
    made = classifier()
    set_trainable(made, ["dense"], pretrained=False)
    assert len(layer_rates(made, 0.5)) == 4


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_the_rate_scales_the_very_step_of_each_variable(name):
    made = classifier()
    optimizer = make_optimizer(name, 0.1, layer_rates(made, 0.5), clip=1e9)
    moved = steps(made, optimizer)
    # Nesterov's first step is 1 + momentum times the rate; the adaptive ones go by the rate alone
    whole = {"sgd": 0.19, "adam": 0.1, "adamw": 0.1, "rmsprop": 0.1 / np.sqrt(0.1)}[name]
    for path, step in moved.items():
        np.testing.assert_allclose(step, -whole * factor(path), rtol=1e-3, err_msg=path)


def test_without_decay_all_steps_are_those_of_the_plain_optimizer():
    made = classifier()
    layerwise = steps(made, make_optimizer("adamw", 0.01, layer_rates(made, 1.0)))
    other = classifier()
    plain = keras.optimizers.AdamW(0.01, weight_decay=1e-4, global_clipnorm=1.0)
    for ours, theirs in zip(layerwise.values(), steps(other, plain).values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)


def test_the_decay_is_that_of_keras_whatever_the_rate_of_the_block():
    made, other = classifier(), classifier()
    rates = layer_rates(made, 0.5)
    ours = make_optimizer("adamw", 10.0, rates)
    moved = steps(made, ours, gradient=0.0)  # nothing but the decay moves them
    plain = keras.optimizers.AdamW(10.0, weight_decay=1e-4, global_clipnorm=1.0)
    theirs = steps(other, plain, gradient=0.0)
    assert max(float(abs(step).max()) for step in moved.values()) > 1e-4
    for mine, his in zip(moved.values(), theirs.values(), strict=True):
        np.testing.assert_allclose(mine, his, rtol=1e-6, atol=1e-9)


def test_the_gradient_is_clipped_to_its_norm_over_all_variables():
    made = classifier()
    count = sum(int(np.prod(v.shape)) for v in made.logits.trainable_variables)
    optimizer = make_optimizer("sgd", 0.1, layer_rates(made, 1.0))
    moved = steps(made, optimizer, gradient=50.0)
    for step in moved.values():
        np.testing.assert_allclose(step, -0.19 / np.sqrt(count), rtol=1e-3)


def test_the_rates_hold_within_a_compiled_training_step():
    made = classifier()
    rates = layer_rates(made, 0.5)
    # the lowest block not at all: it stands still
    rates |= {key: 0.0 for key, value in rates.items() if value == 1 / 8}
    before = {v.path: v.numpy() for v in made.logits.trainable_variables}
    made.logits.compile(
        make_optimizer("sgd", 0.1, rates), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    x = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype(np.float32)
    made.logits.fit(x, np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], verbose=0)
    moved = {v.path: abs(v.numpy() - before[v.path]).max() for v in made.logits.trainable_variables}
    assert all((step == 0) == path.startswith("block1") for path, step in moved.items()), moved


@pytest.mark.parametrize("total", [1, 2, 7, 100])
def test_the_schedule_warms_up_for_a_tenth_and_ends_at_a_hundredth(total):
    rate = schedule(0.5, total)
    rates = np.array([float(rate(i)) for i in range(total + 1)])
    peak = int(rates.argmax())
    assert rates[0] == pytest.approx(0.005)
    assert rates[peak] == pytest.approx(0.5)
    assert peak == min(max(1, round(total * 0.1)), max(1, total - 1))
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    if total > 1:
        assert rates[-1] == pytest.approx(0.005)
