"""Optimizer, learning-rate schedule and layer-wise learning rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.train.classifier import Classifier

if TYPE_CHECKING:
    import keras

_WARMUP = 0.1  # of all steps
_FLOOR = 0.01  # of the peak, at the end
_WEIGHT_DECAY = 1e-4  # a step, times the learning rate


def schedule(peak: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up to ``peak``, then a half cosine down to a hundredth of it.

    Goyal et al. 2017 (arXiv 1706.02677) and Loshchilov and Hutter 2016 (arXiv 1608.03983).
    """
    import keras

    warmup = min(max(1, round(steps * _WARMUP)), max(1, steps - 1))
    return keras.optimizers.schedules.CosineDecay(
        peak * _FLOOR,
        max(1, steps - warmup),
        alpha=_FLOOR,
        warmup_target=peak,
        warmup_steps=warmup,
    )


def layer_rates(classifier: Classifier, decay: float, head: float = 1.0) -> dict[int, float]:
    """Learning rate of each trainable variable relative to the peak.

    A block's rate is ``decay`` times the rate of the block above it (Clark et al. 2020, ELECTRA,
    arXiv 2003.10555; Howard and Ruder 2018, arXiv 1801.06146).

    Args:
        classifier: with its trainable blocks set.
        decay: 1 gives all blocks the peak.
        head: the head's own rate relative to the peak.

    Returns:
        ``id`` of the variable's TensorFlow value to its factor.
    """
    factors = {id(v.value): head for v in classifier.head.trainable_variables}
    for depth, name in enumerate(reversed(list(classifier.backbone.blocks)), start=1):
        for layer in classifier.backbone.layers_of(name):
            factors.update({id(v.value): decay**depth for v in layer.trainable_variables})
    return factors


def make_optimizer(
    name: str, rate: Any, factors: dict[int, float], clip: float = 1.0
) -> keras.optimizers.Optimizer:
    """An optimizer whose steps are scaled variable by variable.

    Gradients cannot be scaled instead: the adaptive optimizers divide the scale out again.

    Args:
        name: ``adamw``, ``adam``, ``sgd`` (Nesterov momentum 0.9) or ``rmsprop``.
        rate: learning rate or schedule.
        factors: from :func:`layer_rates`.
        clip: largest global norm of the gradients.
    """
    import keras

    kinds: dict[str, tuple[type[keras.optimizers.Optimizer], dict[str, Any]]] = {
        "adamw": (keras.optimizers.Adam, {}),  # and the decay below
        "adam": (keras.optimizers.Adam, {}),
        "sgd": (keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
        "rmsprop": (keras.optimizers.RMSprop, {}),
    }
    base, options = kinds[name]
    decay = _WEIGHT_DECAY if name == "adamw" else 0.0

    class Layerwise(base):  # type: ignore[misc, valid-type]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            # what keras.optimizers.AdamW does, too, but it puts the schedule with its conditional
            # into the graph once a variable
            if decay:
                variable.assign_sub(variable * decay * learning_rate)
            super().update_step(gradient, variable, learning_rate * factors[id(variable)])

    return Layerwise(rate, global_clipnorm=clip, **options)
