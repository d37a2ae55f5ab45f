"""The epochs: train, validate, remember the best, and survive being killed.

An epoch's weights and their running average are both validated, and the better one counts. After
every epoch all state goes to one checkpoint file: weights, optimizer, averages, best, history.
Everything random in an epoch follows from the seed and the epoch's number, so that going on from a
checkpoint gives what an uninterrupted training gives.
"""

from __future__ import annotations

import json
import math
import time
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import ZooError
from zoo.paths import new_file
from zoo.progress import Advance, Silent
from zoo.train.augment import Policy, TrainingImages, batch_count, epoch_dataset
from zoo.train.average import WeightAverage
from zoo.train.calibrate import fit_temperature, log_loss
from zoo.train.classifier import Classifier
from zoo.train.optimizer import layer_rates, make_optimizer, schedule


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        epochs: number of epochs.
        batch_size: images a step.
        learning_rate: peak.
        optimizer: its name.
        layer_decay: rate of a block relative to the block above it.
        patience: epochs without improvement before stopping; 0: never.
        policy: augmentation.
        seed: of order and augmentation.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    layer_decay: float
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


@dataclass
class State:
    """Where a training stands.

    Attributes:
        next_epoch: first epoch that is still to do, from 0.
        best_epoch: epoch of the best validation loss, from 1; 0 is the start, before any epoch.
        best_loss: that loss.
        history: a row an epoch.
    """

    next_epoch: int
    best_epoch: int
    best_loss: float
    history: list[dict[str, float]] = field(default_factory=list)

    def finished(self, plan: Plan) -> bool:
        """Whether all epochs are done or patience is out."""
        waited = self.next_epoch - self.best_epoch
        return self.next_epoch >= plan.epochs or 0 < plan.patience <= waited


def fit(
    classifier: Classifier,
    images: TrainingImages,
    validation: Validation,
    plan: Plan,
    *,
    start_loss: float,
    checkpoint: Path,
    progress: Silent,
    name: str = "finetune",
) -> State:
    """Train the trainable part of a classifier and leave it with the weights of its best epoch.

    Args:
        classifier: compiled here; its trainable blocks and penalties are set.
        images: training images.
        validation: judges every epoch.
        plan: how to train.
        start_loss: validation loss of the weights it starts with, or infinity where they are
            random and must not be kept.
        checkpoint: file to go on from where it exists, written after every epoch.
        progress: shows the steps.
        name: of the step.

    Raises:
        ZooError: the loss is not a number, or the disk is full.
    """
    import keras

    # compiled apart from what is saved, which then knows nothing of optimizers
    model = keras.Model(classifier.logits.inputs, classifier.logits.outputs)
    steps = batch_count(len(images.rows), plan.batch_size)
    rate = schedule(plan.learning_rate, steps * plan.epochs)
    optimizer = make_optimizer(plan.optimizer, rate, layer_rates(classifier, plan.layer_decay))
    optimizer.build(model.trainable_variables)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    # XLA: two to ten times slower for these networks on a CPU
    model.compile(optimizer, loss, weighted_metrics=["accuracy"], jit_compile=False)
    work = _Work(classifier, model, WeightAverage(model, steps * plan.epochs), validation, images, plan)
    state = State(next_epoch=0, best_epoch=0, best_loss=start_loss)
    best = work.average.values()
    if checkpoint.is_file():
        state, best = _restore(checkpoint, work)
    with progress.step(name, steps * plan.epochs) as advance:
        advance(steps * state.next_epoch)
        while not state.finished(plan):
            best = work.epoch(state, best, advance)
            _save(checkpoint, work, state, best)
    work.average.put(best)
    return state


@dataclass(frozen=True)
class _Work:
    """What an epoch works with."""

    classifier: Classifier
    model: Any
    average: WeightAverage
    validation: Validation
    images: TrainingImages
    plan: Plan

    def epoch(self, state: State, best: list[np.ndarray], advance: Advance) -> list[np.ndarray]:
        """One epoch and its validation; updates ``state`` and returns the best weights."""
        started, number, plan = time.perf_counter(), state.next_epoch + 1, self.plan
        rate = float(self.model.optimizer.learning_rate)
        train_loss, train_accuracy = self._train(state.next_epoch, advance)
        seconds = time.perf_counter() - started
        loss, accuracy, averaged, weights = self._validate()
        state.history.append(
            {
                "epoch": number,
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                "val_loss": loss,
                "val_accuracy": accuracy,
                "averaged": int(averaged),
                "learning_rate": rate,
                "seconds": round(seconds, 3),
            }
        )
        state.next_epoch = number
        advance(0, f"epoch {number}/{plan.epochs}  val loss {loss:.3f}  accuracy {accuracy:.3f}")
        if loss < state.best_loss:
            state.best_loss, state.best_epoch = loss, number
            return weights
        return best

    def _validate(self) -> tuple[float, float, bool, list[np.ndarray]]:
        """Loss, accuracy, whether the average won, and weights, of the better of the two."""

        def judged() -> tuple[float, float]:
            images = self.validation
            return images.judge(self.classifier.infer.run(images.pixels, images.rows))

        latest = judged()
        with self.average.in_place() as current:
            average = judged()
        if average[0] < latest[0]:
            return *average, True, self.average.values()
        return *latest, False, current

    def _train(self, epoch: int, advance: Advance) -> tuple[float, float]:
        """Loss with penalties, and accuracy on augmented images, as means over the epoch."""
        import keras

        def after_step(batch: int, logs: Any) -> None:
            self.average.update()
            advance(1)

        plan = self.plan
        data = epoch_dataset(self.images, plan.policy, plan.batch_size, plan.seed, epoch)
        tick = keras.callbacks.LambdaCallback(on_train_batch_end=after_step)
        logs = self.model.fit(data, epochs=1, verbose=0, shuffle=False, callbacks=[tick]).history
        loss, accuracy = float(logs["loss"][0]), float(logs["accuracy"][0])
        if not math.isfinite(loss):
            raise ZooError(
                f"the training loss became {loss} in epoch {epoch + 1} at learning rate "
                f"{plan.learning_rate:g}: lower --learning-rate"
            )
        return loss, accuracy


def _save(path: Path, work: _Work, state: State, best: list[np.ndarray]) -> None:
    arrays: dict[str, Any] = {"state": np.str_(json.dumps(asdict(state)))}
    for letter, variables in _groups(work).items():
        arrays.update({f"{letter}{i}": v.numpy() for i, v in enumerate(variables)})
    arrays.update({f"b{i}": value for i, value in enumerate(best)})
    with new_file(path) as temporary:
        np.savez(temporary, **arrays)


def _restore(path: Path, work: _Work) -> tuple[State, list[np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            for letter, variables in _groups(work).items():
                for i, variable in enumerate(variables):
                    variable.assign(stored[f"{letter}{i}"])
            best = [stored[f"b{i}"] for i in range(len(work.average.variables))]
            return State(**json.loads(str(stored["state"]))), best
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ZooError(f"checkpoint {path} is damaged ({error}): start the run anew") from error


def _groups(work: _Work) -> dict[str, Any]:
    """What a checkpoint holds, by the letter its arrays begin with."""
    optimizer = work.model.optimizer.variables
    return {"w": work.model.variables, "o": optimizer, "a": work.average.averages}
