"""The learning-rate range test: which rates train this network, and is the run's among them?

Smith 2017, "Cyclical learning rates" (arXiv 1506.01186): the rate rises from step to step, and the
loss shows where it starts to fall and where it diverges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import NOT_APPLICABLE, Finding, Outcome, outcome, unknown
from zoo.errors import ZooError
from zoo.progress import Progress

if TYPE_CHECKING:
    from zoo.train.augment import Policy, TrainingImages
    from zoo.train.classifier import Classifier

_LOWEST, _HIGHEST = 1e-6, 1.0  # learning rates tried
_STEPS = 120  # training steps
_MEMORY = 0.9  # decay of the running mean of the loss, since single batches are noisy
_EDGE = 0.1  # of the whole fall of the loss marks its start and end
_SURE = 3.5  # standard errors that a fall or rise must have
_OVER = 1.5  # times the lowest loss: no higher rate is worth trying
_SLACK = 2.0  # a rate up to so many times outside the range may do as well


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test.

    Attributes:
        rates: learning rates, rising, float64 of shape (t,).
        losses: running mean of the training loss at each, float64 of shape (t,).
        low: rate at which it starts to fall; None if it never falls.
        high: rate up to which it is about as low as it gets or, if it never falls, does not rise;
            None if it never rises.
    """

    rates: np.ndarray
    losses: np.ndarray
    low: float | None
    high: float | None


def running_mean(values: Sequence[float]) -> np.ndarray:
    """Exponential running mean, corrected for its start: float64 of shape (t,)."""
    mean, found = 0.0, []
    for step, value in enumerate(values, start=1):
        mean = _MEMORY * mean + (1 - _MEMORY) * value
        found.append(mean / (1 - _MEMORY**step))
    return np.array(found)


def ends(rates: np.ndarray, raw: np.ndarray) -> tuple[float | None, float | None]:
    """The low and the high end of the useful rates; see :class:`RangeTest`.

    Args:
        rates: float64 of shape (t,), rising.
        raw: loss of the batch at each, float64 of shape (t,). In the first sixth the rates are so
            low that nothing happens: it gives the initial loss and its noise.
    """
    smooth, still = running_mean(raw.tolist()), max(5, len(raw) // 6)
    start = float(raw[:still].mean())
    # of the difference between a running mean over independent batches and the start
    variance = float(raw[:still].var(ddof=1))
    noise = (variance * ((1 - _MEMORY) / (1 + _MEMORY) + 1 / still)) ** 0.5
    lowest = int(smooth.argmin())
    fall = start - float(smooth[lowest])
    if lowest < still or fall < _SURE * noise:
        risen = np.flatnonzero(smooth[still:] > start + _SURE * noise)
        return None, float(rates[still + risen[0]]) if len(risen) else None
    # the last crossing before the lowest: earlier ones are noise
    above = np.flatnonzero(smooth[:lowest] >= start - _EDGE * fall)
    up = np.flatnonzero(smooth[lowest:] > smooth[lowest] + _EDGE * fall)
    low = float(rates[above[-1]]) if len(above) else float(rates[0])
    return low, float(rates[lowest + up[0]]) if len(up) else None


def range_test(evidence: Evidence, progress: Progress) -> RangeTest:
    """Train a copy of what the run started from with a rising rate; the run is left as it is."""
    import keras

    from zoo.train.augment import training_dataset
    from zoo.train.optimizer import layer_rates, make_optimizer

    images, classifier, policy = _start(evidence)
    settings = evidence.settings
    model = keras.Model(classifier.logits.inputs, classifier.logits.outputs)
    factors = layer_rates(classifier, settings.layer_decay or 1.0, settings.head_rate)
    optimizer = make_optimizer(settings.optimizer, _LOWEST, factors)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    rates, losses = [], []
    data = training_dataset(images, policy, settings.batch_size, settings.seed)
    with progress.step("range test", _STEPS) as advance:
        for step, batch in enumerate(data.take(_STEPS)):
            rates.append(_LOWEST * (_HIGHEST / _LOWEST) ** (step / (_STEPS - 1)))
            optimizer.learning_rate.assign(rates[-1])
            model.reset_metrics()
            losses.append(float(model.train_on_batch(*batch)))
            advance(1)
            smooth = running_mean(losses)
            # a few batches first: the running mean of fewer is mostly noise
            worse = step >= _STEPS // 4 and smooth[-1] > _OVER * smooth[_STEPS // 8 :].min()
            if not np.isfinite(losses[-1]) or worse:
                break
    kept = np.isfinite(losses)
    if kept.sum() < _STEPS // 8:
        raise ZooError("the loss is NaN or infinite at the lowest rates: nothing can be tested")
    tried, raw = np.array(rates)[kept], np.array(losses)[kept]
    return RangeTest(tried, running_mean(raw.tolist()), *ends(tried, raw))


def _start(evidence: Evidence) -> tuple[TrainingImages, Classifier, Policy]:
    """What the training started from: its images, and the network with the probe's head."""
    from zoo.train.augment import Policy
    from zoo.train.classifier import make_classifier
    from zoo.train.inputs import Inputs, starting_backbone
    from zoo.train.member import sample_weights, training_images, unfreeze
    from zoo.train.plan import resolve
    from zoo.train.probe import fit_head, soft_targets

    resolved, features = resolve(evidence.settings), evidence.features
    inputs = Inputs(resolved, evidence.dataset, evidence.prepared, features)
    rows = evidence.dataset.split.train
    labels = inputs.labels[rows]
    weights = sample_weights(labels, inputs.classes, resolved.settings.class_weights)
    head = None
    if features is not None:
        targets = soft_targets(labels, inputs.classes, 0.0)
        head = fit_head(features[rows], targets, l1=0.0, l2=evidence.l2, sample_weight=weights)
    # not the backbone of the evidence: this one is trained
    backbone = starting_backbone(resolved)
    classifier = make_classifier(backbone, head, inputs.classes, resolved.settings.dropout)
    unfreeze(resolved, classifier, head)
    settings = resolved.settings
    policy = Policy(settings.augment, settings.mix, settings.flip)
    return training_images(inputs, rows, weights), classifier, policy


def check_range(evidence: Evidence, progress: Progress) -> Outcome:
    """Say which learning rates train this network, and whether the run's is one of them."""
    settings = evidence.settings
    if settings.unfreeze == "none":
        why = "only the probe was trained, which has no learning rate"
        return unknown("range test", why, NOT_APPLICABLE)
    try:
        found, rate = range_test(evidence, progress), settings.learning_rate or 0.0
    except ZooError as error:
        return unknown("range test", str(error), NOT_APPLICABLE)
    low, high, first = found.low, found.high, found.losses[0]
    top = f"{high:.1g}" if high else f"{found.rates[-1]:.1g} and above"
    if low is None:
        says = (
            f"no rate lowers the loss of {first:.3f} in {len(found.rates)} steps; it stays up to "
            f"{top}"
        )
    else:
        says = f"the loss falls at rates of {low:.1g} to {top}"
    says += f"; the run's peak is {rate:g}"
    beyond = high is not None and rate > _SLACK * high
    if not beyond and not (low is not None and rate < low / _SLACK):
        return outcome("range test", says, [])
    better = (high or 1.0) / 3 if beyond else ((low or 0.0) * (high or 1.0)) ** 0.5
    finding = Finding(
        title=f"The learning rate {rate:g} is {'above' if beyond else 'below'} those that train "
        "this network.",
        cost=0.1,
        evidence=(
            f"As the rate rose from {_LOWEST:g}, the loss went from {first:.3f} to "
            f"{found.losses.min():.3f}: {says}.",
        ),
        advice=f"Train with a rate within this range, such as {better:.0e}.",
        command=evidence.rerun_command(f"--learning-rate {better:.0e}"),
    )
    return outcome("range test", says, [finding])
