"""The epochs: train, validate, remember the best, and survive being killed.

An epoch's weights and their running average are both validated, and the better one counts. After
every epoch all state goes to one checkpoint file: weights, optimizer, averages, best, history.
Going on from a checkpoint gives what an uninterrupted training gives.
"""

from __future__ import annotations

import json
import math
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backbones import folded
from ensembles._archives import check_archive
from ensembles.calibration import fit_temperature
from zoo.errors import ZooError
from zoo.paths import new_file
from zoo.progress import Advance, Progress
from zoo.train.augment import Policy, TrainingImages, batch_count, training_dataset
from zoo.train.average import WeightAverage
from zoo.train.calibrate import log_loss
from zoo.train.classifier import Classifier
from zoo.train.deadline import current_deadline
from zoo.train.optimizer import layer_rates, make_optimizer, schedule

if TYPE_CHECKING:
    import keras

Watch = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class Hyperparameters:
    """How to train.

    Attributes:
        epochs: number of epochs.
        batch_size: images per step.
        learning_rate: peak.
        optimizer: its name.
        layer_decay: rate of a block relative to the block above it.
        head_rate: rate of the head relative to the peak.
        patience: epochs without improvement before stopping; 0: never.
        policy: augmentation.
        seed: of order and augmentation.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    layer_decay: float
    head_rate: float
    patience: int
    policy: Policy
    seed: int


@dataclass(frozen=True)
class Validation:
    """Images that epochs are judged by.

    Attributes:
        pixels: uint8 of shape (m, size, size, 3).
        rows: int64 of shape (n,).
        labels: int64 of shape (n,).
    """

    pixels: np.ndarray
    rows: np.ndarray
    labels: np.ndarray

    def judge(self, logits: np.ndarray) -> tuple[float, float]:
        """Log loss at the best temperature, and accuracy.

        Scaling first compares what networks know rather than how boldly they say it: label
        smoothing and long training shift confidence, and one number shifts it back.
        """
        loss = log_loss(logits, self.labels, fit_temperature(logits, self.labels))
        return loss, float((logits.argmax(axis=1) == self.labels).mean())


@dataclass(frozen=True)
class FixedEpochs:
    """When to end a training that has no validation images, and which weights to keep.

    Attributes:
        epochs: to train, of those that the schedule plans.
        averaged: keep the running average of the weights rather than the last ones.
    """

    epochs: int
    averaged: bool


@dataclass
class State:
    """Where a training stands.

    Attributes:
        next_epoch: first epoch that is still to do, from 0.
        best_epoch: epoch of the best validation loss, from 1; 0 is the start, before any epoch.
        best_loss: that loss.
        history: one row per epoch.
    """

    next_epoch: int
    best_epoch: int
    best_loss: float
    history: list[dict[str, float]] = field(default_factory=list)

    def finished(self, plan: Hyperparameters, judge: Validation | FixedEpochs) -> bool:
        """Whether all epochs are done or patience is out."""
        return self.next_epoch >= _last(plan, judge) or 0 < plan.patience <= self._waited

    @property
    def _waited(self) -> int:
        """Epochs since the best one.

        The start is none of them: epochs that get better and better count, though none beats the
        probe yet, which many do only when the rate is low.
        """
        losses = [row["val_loss"] for row in self.history if "val_loss" in row]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def _last(plan: Hyperparameters, judge: Validation | FixedEpochs) -> int:
    return judge.epochs if isinstance(judge, FixedEpochs) else plan.epochs


def fit(
    classifier: Classifier,
    images: TrainingImages,
    judge: Validation | FixedEpochs,
    plan: Hyperparameters,
    *,
    start_loss: float,
    checkpoint: Path,
    progress: Progress,
    name: str = "finetune",
    watch: Watch | None = None,
) -> State:
    """Train the trainable part of a classifier and leave it with the weights of its best epoch.

    Args:
        classifier: compiled here; its trainable blocks and penalties are set.
        images: training images.
        judge: images that every epoch is judged by, or when to end without any.
        plan: how to train.
        start_loss: validation loss of the weights it starts with, or infinity if they are
            random and must not be kept.
        checkpoint: file to continue from where it exists, written after every epoch.
        progress: shows the steps.
        name: of the step.
        watch: called with the row of every epoch that is done; what it raises ends the training.

    Raises:
        ZooError: the loss is not a number, or the disk is full.
    """
    steps = batch_count(len(images.rows), plan.batch_size)
    model = compiled(classifier, plan, steps)
    state = State(next_epoch=0, best_epoch=0, best_loss=start_loss)
    work = _Training(classifier, model, WeightAverage(model, steps * plan.epochs), plan, state)
    work.best = work.average.values()
    if checkpoint.is_file():
        _restore(checkpoint, work)
    if not state.finished(plan, judge):
        data = training_dataset(images, plan.policy, plan.batch_size, plan.seed, state.next_epoch)
        with progress.step(name, steps * _last(plan, judge)) as advance:
            advance(steps * state.next_epoch)
            model.fit(
                data,
                initial_epoch=state.next_epoch,
                epochs=plan.epochs,
                steps_per_epoch=steps,
                verbose=0,
                shuffle=False,
                callbacks=[_callback(work, judge, checkpoint, advance, watch)],
            )
    work.average.put(work.best)
    return state


def compiled(classifier: Classifier, plan: Hyperparameters, steps: int) -> keras.Model:
    """The network that :func:`fit` trains, from an image to logits, sharing the weights.

    Args:
        classifier: its trainable blocks and penalties are set.
        plan: how to train.
        steps: of an epoch.
    """
    import keras

    # apart from what is saved, which then knows nothing of optimizers
    quick = folded(classifier.one_view, inference=False)
    model = keras.Model(quick.inputs, quick.outputs)
    rate = schedule(plan.learning_rate, steps * plan.epochs)
    rates = layer_rates(classifier, plan.layer_decay, plan.head_rate)
    optimizer = make_optimizer(plan.optimizer, rate, rates)
    optimizer.build(model.trainable_variables)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    # XLA: two to ten times slower for these networks on a CPU
    model.compile(optimizer, loss, weighted_metrics=["accuracy"], jit_compile=False)
    # otherwise the first step makes the metrics' variables, and TensorFlow traces it a second time
    # for that: several seconds for a network of many layers
    nothing = np.zeros((1, model.output_shape[-1]), np.float32)
    model.compute_metrics(None, nothing, nothing, sample_weight=np.ones(1, np.float32))
    model.reset_metrics()
    return model


@dataclass
class _Training:
    """A training under way; ``best`` are the weights to keep so far."""

    classifier: Classifier
    model: Any
    average: WeightAverage
    plan: Hyperparameters
    state: State
    best: list[np.ndarray] = field(default_factory=list)

    def end_epoch(
        self,
        judge: Validation | FixedEpochs,
        logs: Mapping[str, float],
        rate: float,
        seconds: float,
    ) -> str:
        """Judge, update the state, and say in a few words how the epoch went."""
        number, state = self.state.next_epoch + 1, self.state
        self._check_finite("training loss", logs["loss"], number)
        row = {
            "epoch": number,
            "train_loss": float(logs["loss"]),
            "train_accuracy": float(logs["accuracy"]),
            "learning_rate": rate,
            "seconds": round(seconds, 3),
        }
        state.next_epoch = number
        state.history.append(row)
        if isinstance(judge, FixedEpochs):
            row["averaged"] = int(judge.averaged)
            latest = [v.numpy() for v in self.average.variables]
            self.best = self.average.values() if judge.averaged else latest
            state.best_epoch = number
            return f"epoch {number}/{judge.epochs}  train loss {row['train_loss']:.3f}"
        loss, accuracy, averaged, weights = self._validate(judge)
        self._check_finite("validation loss", loss, number)
        row |= {"val_loss": loss, "val_accuracy": accuracy, "averaged": int(averaged)}
        if loss < state.best_loss:
            state.best_loss, state.best_epoch, self.best = loss, number, weights
        return f"epoch {number}/{self.plan.epochs}  val loss {loss:.3f}  accuracy {accuracy:.3f}"

    def _validate(self, images: Validation) -> tuple[float, float, bool, list[np.ndarray]]:
        """Loss, accuracy, whether the average won, and weights, of the better of the two."""

        def judged() -> tuple[float, float]:
            return images.judge(self.classifier.infer_one_view.run(images.pixels, images.rows))

        latest = judged()
        with self.average.in_place() as current:
            average = judged()
        if average[0] < latest[0]:
            return *average, True, self.average.values()
        return *latest, False, current

    def _check_finite(self, what: str, loss: float, number: int) -> None:
        if not math.isfinite(loss):
            raise ZooError(
                f"the {what} became {loss} in epoch {number} at learning rate "
                f"{self.plan.learning_rate:g}: lower --learning-rate"
            )


def _callback(
    work: _Training,
    judge: Validation | FixedEpochs,
    checkpoint: Path,
    advance: Advance,
    watch: Watch | None,
) -> Any:
    """What happens after every step and every epoch of ``fit``."""
    import keras

    limit = current_deadline()

    class Epochs(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()
            self.rate = float(work.model.optimizer.learning_rate)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            work.average.update()
            advance(1)
            if not limit.leaves(0.0):
                self.model.stop_training = True

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = time.perf_counter() - self.started
            advance(0, work.end_epoch(judge, logs, self.rate, seconds))
            _save(checkpoint, work)
            if watch is not None:
                watch(work.state.history[-1])
            finished = work.state.finished(work.plan, judge)
            self.model.stop_training = finished or not limit.leaves(seconds)

    return Epochs()


def _save(path: Path, work: _Training) -> None:
    arrays: dict[str, Any] = {"state": np.str_(json.dumps(asdict(work.state)))}
    for letter, variables in _groups(work).items():
        arrays.update({f"{letter}{i}": v.numpy() for i, v in enumerate(variables)})
    arrays.update({f"b{i}": value for i, value in enumerate(work.best)})
    with new_file(path) as temporary:
        np.savez(temporary, **arrays)


def _restore(path: Path, work: _Training) -> None:
    try:
        check_archive(path)
        with np.load(path, allow_pickle=False) as stored:
            for letter, variables in _groups(work).items():
                for i, variable in enumerate(variables):
                    variable.assign(stored[f"{letter}{i}"])
            work.best = [stored[f"b{i}"] for i in range(len(work.average.variables))]
            vars(work.state).update(json.loads(str(stored["state"])))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ZooError(f"checkpoint {path} is damaged ({error}): start the run anew") from error


def _groups(work: _Training) -> dict[str, Any]:
    """What a checkpoint holds, by the letter its arrays begin with."""
    optimizer = work.model.optimizer.variables
    return {"w": work.model.variables, "o": optimizer, "a": work.average.averages}
