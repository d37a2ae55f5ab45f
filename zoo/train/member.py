"""One classifier from one set of training rows: probe, then fine-tune, and keep the better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backbones import Backbone
from ensembles.calibration import fit_temperature
from ensembles.comparison import is_distinguishable
from ensembles.probabilities import true_class
from zoo.progress import Progress
from zoo.train.arrays import LazyRows
from zoo.train.augment import Policy, TrainingImages, derived_seed
from zoo.train.calibrate import softmax
from zoo.train.classifier import (
    Classifier,
    make_classifier,
    regularize,
    set_trainable,
)
from zoo.train.fit import FixedEpochs, Hyperparameters, Validation, Watch, fit
from zoo.train.inputs import Inputs, Timings
from zoo.train.plan import ResolvedPlan
from zoo.train.probe import Head, choose_head, fit_head, soft_targets


@dataclass(frozen=True)
class Member:
    """A trained classifier.

    Attributes:
        classifier: with the weights that are kept.
        probe: the head on frozen features, where it is what is kept.
        temperature: fitted on its validation rows.
        best_epoch: of fine-tuning; 0 for the probe.
        stages: what each stage reached on validation, for the record.
        history: one row per epoch.
    """

    classifier: Classifier
    probe: Head | None
    temperature: float
    best_epoch: int
    stages: dict[str, dict[str, float]]
    history: list[dict[str, float]]

    @property
    def stage(self) -> str:
        """``probe``, ``finetune``, or ``average`` of the weights of both: what is kept."""
        if not self.best_epoch:
            return "probe"
        return "average" if "average" in self.stages else "finetune"

    def logits(
        self, inputs: Inputs, rows: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        """float32 of shape (n, k) for rows of the catalogue.

        A probe's follow from the features that are there; the network need not run again.
        """
        if self.probe is not None and inputs.features is not None:
            return self.probe.logits(inputs.features.take(rows))
        prepared = inputs.prepared
        return self.classifier.infer.run(prepared.pixels, prepared.rows[rows], progress)

    def probabilities(
        self, inputs: Inputs, rows: np.ndarray, progress: Progress | None = None
    ) -> np.ndarray:
        """float32 of shape (n, k), as the saved model gives them."""
        return softmax(self.logits(inputs, rows, progress), self.temperature)


def sample_weights(labels: np.ndarray, classes: int, kind: str) -> np.ndarray:
    """Weights of samples with mean 1: equal, or inverse to the frequency of their class.

    Args:
        labels: int64 of shape (n,).
        classes: number of classes.
        kind: ``none`` or ``auto``.
    """
    if kind == "none":
        return np.ones(len(labels), np.float32)
    counts = np.bincount(labels, minlength=classes)
    weights = (len(labels) / (np.maximum(counts, 1) * (counts > 0).sum()))[labels]
    return (weights / weights.mean()).astype(np.float32)


def train_member(
    inputs: Inputs,
    backbone: Backbone,
    train: np.ndarray,
    val: np.ndarray,
    *,
    checkpoint: Path,
    timings: Timings,
    progress: Progress,
    label: str = "finetune",
    watch: Watch | None = None,
) -> Member:
    """Train on some rows of the catalogue, choose on others.

    Args:
        inputs: what all members share.
        backbone: freshly built; it is changed.
        train, val: row indices.
        checkpoint: see :func:`zoo.train.fit.fit`.
        timings: gets the stages' seconds.
        progress: shows the steps.
        label: of the fine-tuning step.
        watch: see :func:`zoo.train.fit.fit`.
    """
    settings, labels = inputs.resolved.settings, inputs.labels
    weights = sample_weights(labels[train], inputs.classes, settings.class_weights)
    validation = Validation(inputs.prepared.pixels, inputs.prepared.rows[val], labels[val])
    stages: dict[str, dict[str, float]] = {}
    head, start_loss = None, float("inf")
    if inputs.features is not None:
        with timings.stage("probe"):
            head = _probe(inputs, inputs.features, train, val, weights)
            start_loss, accuracy = validation.judge(head.logits(inputs.features.take(val)))
            judged = {"val_loss": start_loss, "val_accuracy": accuracy}
            stages["probe"] = {**judged, "l2": head.l2, "passes": head.passes}
    classifier = make_classifier(backbone, head, inputs.classes, settings.dropout)
    best_epoch, history = 0, []
    if not inputs.resolved.probe_only:
        unfreeze(inputs.resolved, classifier, head)
        start = [variable.numpy() for variable in classifier.logits.trainable_variables]
        images = training_images(inputs, train, weights)
        plan = _hyperparameters(inputs.resolved)
        with timings.stage("finetune"):
            state = fit(
                classifier,
                images,
                validation,
                plan,
                start_loss=start_loss,
                checkpoint=checkpoint,
                progress=progress,
                name=label,
                watch=watch,
            )
        best_epoch, history = state.best_epoch, state.history
        reached = min(history, key=lambda row: row["val_loss"])
        stages["finetune"] = {key: reached[key] for key in ("val_loss", "val_accuracy")}
        if best_epoch and head is not None and inputs.features is not None:
            of_probe = head.logits(inputs.features.take(val))
            averaged = _averaged(classifier, start, of_probe, validation, inputs.data.groups[val])
            if averaged is not None and averaged["val_loss"] <= start_loss:
                stages["average"] = averaged
            elif averaged is not None:
                best_epoch = 0
    kept = Member(classifier, None if best_epoch else head, 1.0, best_epoch, stages, history)
    if not settings.calibrate:
        return kept
    return replace(kept, temperature=fit_temperature(kept.logits(inputs, val), labels[val]))


def _averaged(
    classifier: Classifier,
    start: Sequence[np.ndarray],
    of_probe: np.ndarray,
    validation: Validation,
    groups: np.ndarray,
) -> dict[str, float] | None:
    """Put the mean of the probe's and the fine-tuned weights, unless fine-tuning is better.

    Few validation images often cannot tell whether it is. The average is then nearly as good as
    the better of the two (Wortsman et al. 2022, arXiv 2109.01903).

    Args:
        classifier: fine-tuned.
        start: its trainable weights before, which are the probe's.
        of_probe: the probe's logits for the validation images, of shape (n, k).
        validation: images.
        groups: of them, of shape (n,).

    Returns:
        What the average reaches on validation; None if a paired test finds fine-tuning better.
    """
    tuned = classifier.infer.run(validation.pixels, validation.rows)
    difference = _losses(tuned, validation.labels) - _losses(of_probe, validation.labels)
    if is_distinguishable(difference, groups):
        return None
    _average_with(classifier, start)
    logits = classifier.infer.run(validation.pixels, validation.rows)
    loss, accuracy = validation.judge(logits)
    return {"val_loss": loss, "val_accuracy": accuracy}


def _average_with(classifier: Classifier, start: Sequence[np.ndarray]) -> None:
    for variable, before in zip(classifier.logits.trainable_variables, start, strict=True):
        variable.assign((variable.numpy() + before) / 2)


def _losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log loss of each row at the best temperature: of shape (n,)."""
    return -np.log(true_class(softmax(logits, fit_temperature(logits, labels)), labels))


def refit_member(
    inputs: Inputs,
    backbone: Backbone,
    rows: np.ndarray,
    folds: Sequence[Member],
    *,
    checkpoint: Path,
    timings: Timings,
    progress: Progress,
) -> Member:
    """Train on all rows that the folds had, with what the folds chose by their validation images.

    A training with one validation split counts as one fold. Most folds decide between probe and
    fine-tuning, or the average of both, and between the weights and their running average; the
    median decides the number of epochs, the geometric mean the head's penalty and the temperature.

    Args:
        inputs: what all members share.
        backbone: freshly built; it is changed.
        rows: row indices to train on.
        folds: the folds' members.
        checkpoint, timings, progress: see :func:`train_member`.
    """
    settings, labels = inputs.resolved.settings, inputs.labels
    weights = sample_weights(labels[rows], inputs.classes, settings.class_weights)
    temperature = _geometric_mean([fold.temperature for fold in folds])
    head = None
    if inputs.features is not None:
        with timings.stage("probe"):
            l2 = _geometric_mean([fold.stages["probe"]["l2"] for fold in folds])
            targets = soft_targets(labels[rows], inputs.classes, 0.0)
            features = inputs.features.take(rows)
            l1, _ = settings.head_penalties
            head = fit_head(features, targets, l1=l1, l2=l2, sample_weight=weights)
    classifier = make_classifier(backbone, head, inputs.classes, settings.dropout)
    tuned = [fold for fold in folds if fold.best_epoch]
    if 2 * len(tuned) < len(folds):
        return Member(classifier, head, temperature, 0, {}, [])
    averaged = sum(fold.history[fold.best_epoch - 1]["averaged"] for fold in tuned)
    epochs = round(float(np.median([fold.best_epoch for fold in tuned])))
    unfreeze(inputs.resolved, classifier, head)
    start = [variable.numpy() for variable in classifier.logits.trainable_variables]
    with timings.stage("finetune"):
        state = fit(
            classifier,
            training_images(inputs, rows, weights),
            FixedEpochs(epochs, averaged=2 * averaged >= len(tuned)),
            _hyperparameters(inputs.resolved),
            start_loss=float("inf"),
            checkpoint=checkpoint,
            progress=progress,
            name="refit",
        )
    if 2 * sum(fold.stage == "average" for fold in tuned) > len(tuned):
        _average_with(classifier, start)
    return Member(classifier, None, temperature, epochs, {}, state.history)


def _geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean; 0 if one is."""
    return float(np.exp(np.mean(np.log(values)))) if min(values) > 0 else 0.0


def unfreeze(resolved: ResolvedPlan, classifier: Classifier, head: Head | None) -> None:
    """Set what is trained, and the penalties on it, as the settings say."""
    settings = resolved.settings
    blocks = classifier.backbone.upper_blocks(resolved.unfreeze)
    set_trainable(classifier, blocks, pretrained=not resolved.from_scratch)
    head_l1, head_l2 = settings.head_penalties
    if head_l2 is None:
        head_l2 = head.l2 if head else 0.0
    below = settings.l2 or 0.0
    regularize(classifier, l1=settings.l1, l2=below, head_l1=head_l1, head_l2=head_l2)


def _probe(
    inputs: Inputs, features: LazyRows, train: np.ndarray, val: np.ndarray, weights: np.ndarray
) -> Head:
    settings = inputs.resolved.settings
    targets = soft_targets(inputs.labels[train], inputs.classes, 0.0)
    l1, l2 = settings.head_penalties
    if l2 is not None:
        return fit_head(features.take(train), targets, l1=l1, l2=l2, sample_weight=weights)
    head, _ = choose_head(
        (features.take(train), targets),
        (features.take(val), inputs.labels[val]),
        l1=l1,
        sample_weight=weights,
    )
    return head


def training_images(inputs: Inputs, rows: np.ndarray, weights: np.ndarray) -> TrainingImages:
    """Rows of the catalogue as they are trained on.

    Args:
        inputs: what all members share.
        rows: row indices.
        weights: of the samples, float of the shape of ``rows``.
    """
    smoothing = inputs.resolved.settings.label_smoothing
    targets = soft_targets(inputs.labels[rows], inputs.classes, smoothing)
    return TrainingImages(inputs.prepared.pixels, inputs.prepared.rows[rows], targets, weights)


def _hyperparameters(resolved: ResolvedPlan) -> Hyperparameters:
    s = resolved.settings
    return Hyperparameters(
        epochs=resolved.epochs,
        batch_size=s.batch_size,
        learning_rate=resolved.learning_rate,
        optimizer=s.optimizer,
        layer_decay=resolved.layer_decay,
        head_rate=s.head_rate,
        patience=s.patience,
        policy=Policy(s.augment, s.mix, s.flip),
        seed=derived_seed(s.seed, 1_000_000),
    )
