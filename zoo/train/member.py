"""One classifier from one set of training rows: probe, then fine-tune, and keep the better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from backbones import Backbone
from ensembles.calibration import fit_temperature
from ensembles.comparison import is_distinguishable
from ensembles.probabilities import true_class
from zoo.progress import Progress
from zoo.train.augment import Policy, TrainingImages, derived_seed
from zoo.train.calibrate import softmax
from zoo.train.choice import LAST, Choice, FeatureSet, Rows, choose_features, fit_chosen
from zoo.train.classifier import (
    Classifier,
    make_classifier,
    regularize,
    set_trainable,
)
from zoo.train.fit import FixedEpochs, Hyperparameters, Validation, Watch, fit
from zoo.train.inputs import Inputs, Timings
from zoo.train.plan import ResolvedPlan
from zoo.train.probe import Head, choose_head, fit_head


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
        tried: out-of-fold log loss of the sets of features that the head could see, in words.
    """

    classifier: Classifier
    probe: Head | None
    temperature: float
    best_epoch: int
    stages: dict[str, dict[str, float]]
    history: list[dict[str, float]]
    tried: dict[str, float] = field(default_factory=dict)

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
        if self.probe is not None and self.classifier.seen in inputs.tables:
            return self.probe.logits(inputs.tables[self.classifier.seen].take(rows))
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
    head, seen, start_loss, tried = None, FeatureSet(), float("inf"), {}
    if inputs.tables:
        with timings.stage("probe"):
            head, choice = _probe(inputs, train, val, weights)
            seen, tried = choice.features, choice.losses
            if tried:
                progress.say(f"the head sees {seen.in_words}, as cross-validation chose")
            of_probe = head.logits(inputs.tables[seen].take(val))
            start_loss, accuracy = validation.judge(of_probe)
            judged = {"val_loss": start_loss, "val_accuracy": accuracy}
            stages["probe"] = {**judged, "l2": head.l2, "passes": head.passes}
    classifier = make_classifier(backbone, head, inputs.classes, settings.dropout, seen)
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
                start_loss=_one_view_loss(inputs, head, seen, val, validation, start_loss),
                checkpoint=checkpoint,
                progress=progress,
                name=label,
                watch=watch,
            )
        best_epoch, history = state.best_epoch, state.history
        reached = min(history, key=lambda row: row["val_loss"])
        stages["finetune"] = {key: reached[key] for key in ("val_loss", "val_accuracy")}
        if best_epoch and head is not None:
            tuned = classifier.infer.run(validation.pixels, validation.rows)
            if seen.views > 1:  # the epochs were judged by one
                loss, accuracy = validation.judge(tuned)
                stages["finetune"] = {"val_loss": loss, "val_accuracy": accuracy}
            groups = inputs.data.groups[val]
            ended = [variable.numpy() for variable in classifier.logits.trainable_variables]
            averaged = _averaged(classifier, start, (of_probe, tuned), validation, groups)
            if averaged is not None and averaged["val_loss"] <= start_loss:
                stages["average"] = averaged
            elif averaged is not None and stages["finetune"]["val_loss"] < start_loss:
                _put(classifier, ended)  # too far from the probe for an average of both
            elif averaged is not None:
                best_epoch = 0
                _put(classifier, start)
    probe = None if best_epoch else head
    kept = Member(classifier, probe, 1.0, best_epoch, stages, history, tried)
    if not settings.calibrate:
        return kept
    return replace(kept, temperature=fit_temperature(kept.logits(inputs, val), labels[val]))


def _one_view_loss(
    inputs: Inputs,
    head: Head | None,
    seen: FeatureSet,
    val: np.ndarray,
    validation: Validation,
    loss: float,
) -> float:
    """What epochs must beat, which are judged by one view: the probe's loss by one view."""
    one = replace(seen, views=1)
    if head is None or one == seen or one not in inputs.tables:
        return loss
    return validation.judge(head.logits(inputs.tables[one].take(val)))[0]


def _averaged(
    classifier: Classifier,
    start: Sequence[np.ndarray],
    logits_of: tuple[np.ndarray, np.ndarray],
    validation: Validation,
    groups: np.ndarray,
) -> dict[str, float] | None:
    """Put the mean of the probe's and the fine-tuned weights, unless fine-tuning is better.

    Few validation images often cannot tell whether it is. The average is then nearly as good as
    the better of the two (Wortsman et al. 2022, arXiv 2109.01903).

    Args:
        classifier: fine-tuned.
        start: its trainable weights before, which are the probe's.
        logits_of: the probe's and the fine-tuned logits for the validation images, of shape (n, k).
        validation: images.
        groups: of them, of shape (n,).

    Returns:
        What the average reaches on validation; None if a paired test finds fine-tuning better.
    """
    of_probe, tuned = logits_of
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


def _put(classifier: Classifier, values: Sequence[np.ndarray]) -> None:
    """Give the classifier's trainable weights these values."""
    for variable, value in zip(classifier.logits.trainable_variables, values, strict=True):
        variable.assign(value)


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
    head, seen = None, _most_frequent([fold.classifier.seen for fold in folds])
    if inputs.features is not None:
        with timings.stage("probe"):
            same = [fold for fold in folds if fold.classifier.seen == seen]
            l2 = _geometric_mean([fold.stages["probe"]["l2"] for fold in same])
            targets = inputs.targets(rows)
            features, own = inputs.tables[seen].take(rows), inputs.features.shape[1]
            l1, _ = settings.head_penalties
            head = fit_head(features, targets, l1=l1, l2=l2, sample_weight=weights, own=own)
    classifier = make_classifier(backbone, head, inputs.classes, settings.dropout, seen)
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


def _most_frequent(sets: Sequence[FeatureSet]) -> FeatureSet:
    """The set of features that most chose; of several, the simplest."""
    return min(set(sets), key=lambda one: (-sets.count(one), one.depths != LAST, one.views))


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


def choice_of(inputs: Inputs, train: np.ndarray, weights: np.ndarray) -> tuple[Choice, Rows]:
    """The features that a head does best on, by cross-validation, and what it is fitted to.

    Args:
        inputs: with features.
        train: row indices.
        weights: of their samples, float of the same shape.
    """
    targets = inputs.targets(train)
    tables = {name: table.take(train) for name, table in inputs.tables.items()}
    assert inputs.features is not None
    rows = Rows(inputs.labels[train], targets, weights, inputs.data.groups[train])
    l2 = inputs.resolved.settings.head_penalties[1]
    return choose_features(tables, inputs.features.shape[1], rows, l2), rows


def _probe(
    inputs: Inputs, train: np.ndarray, val: np.ndarray, weights: np.ndarray
) -> tuple[Head, Choice]:
    """The head on the features that it does best on."""
    l1, l2 = inputs.resolved.settings.head_penalties
    assert inputs.features is not None
    own = inputs.features.shape[1]
    choice, rows = choice_of(inputs, train, weights)
    features, targets = inputs.tables[choice.features].take(train), rows.targets
    best = choice.l2 if l2 is None else l2
    if best is None or (choice.features == FeatureSet() and l2 is None):
        of_val = inputs.tables[choice.features].take(val), inputs.labels[val]
        train_part = features, targets
        head = choose_head(train_part, of_val, l1=l1, sample_weight=weights, own=own)[0]
    elif l1 or choice.features.depths == LAST:
        head = fit_head(features, targets, l1=l1, l2=best, sample_weight=weights, own=own)
    else:
        head = fit_chosen(features, own, rows, best)
    spent = sum(judged.passes for judged in choice.judged.values())
    return replace(head, passes=head.passes + spent), choice


def training_images(inputs: Inputs, rows: np.ndarray, weights: np.ndarray) -> TrainingImages:
    """Rows of the catalogue as they are trained on.

    Args:
        inputs: what all members share.
        rows: row indices.
        weights: of the samples, float of the shape of ``rows``.
    """
    targets = inputs.targets(rows, inputs.resolved.settings.label_smoothing)
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
