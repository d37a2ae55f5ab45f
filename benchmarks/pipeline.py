"""Where does the time of a training step go, and of a prediction?

    python benchmarks/pipeline.py [--data elpv] [--backbone efficientnet] [--size 224]

About three minutes. All on the first 512 images, in batches of 32, after a warm-up. The
goals: what the images cost to read and augment is at most 10% of a training step, and `zoo predict`
is within 10% of the bare network's throughput.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _table import print_table

IMAGES, BATCH, ROUNDS = 512, 32, 7  # the median round counts
STANDARD = ("standard", "none")
POLICIES = [
    ("none", "none"),
    ("light", "none"),
    STANDARD,
    ("strong", "none"),
    ("standard", "cutmix"),
    ("standard", "mixup"),
    ("standard", "both"),
]


def both_times(call: Callable[[], Any], images: int = BATCH, rounds: int = ROUNDS) -> np.ndarray:
    """Median wall and processor milliseconds per image, after two calls to warm up."""
    times = []
    for _ in range(rounds + 2):
        wall, processor = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - processor))
    return np.asarray(1000 * np.median(times[2:], axis=0) / images)


def seconds_of(call: Callable[[], Any]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def copied(source: str, folder: Path) -> Path:
    """A folder of class folders with the first images of every class."""
    from zoo.data.dataset import load
    from zoo.progress import Progress
    from zoo.settings import Settings

    catalog = load(Settings.of({"backbone": "efficientnet", "data": source}), Progress()).catalog
    each = -(-IMAGES // len(catalog.classes))
    for number, name in enumerate(catalog.classes):
        (folder / name).mkdir(parents=True)
        for row in np.flatnonzero(catalog.labels == number)[:each]:
            path = catalog.path(row)
            shutil.copyfile(path, folder / name / f"{row:06d}{path.suffix}")
    return folder


class Experiment:
    """A classifier about to be fine-tuned with default settings, and its images."""

    def __init__(self, data: Path, args: argparse.Namespace) -> None:
        from zoo.data.dataset import load
        from zoo.data.prepare import prepare
        from zoo.progress import Progress
        from zoo.train.augment import TrainingImages
        from zoo.train.classifier import make_classifier, set_trainable
        from zoo.train.inputs import build_backbone
        from zoo.train.plan import collect_settings, resolve
        from zoo.train.probe import Head, soft_targets
        from zoo.train.standard import Standard

        given = {"size": args.size, "weights": args.weights}
        self.resolved = resolve(collect_settings(args.backbone, data, None, given, Progress()))
        settings = self.resolved.settings
        self.dataset = load(settings, Progress())
        started = time.perf_counter()
        self.prepared = prepare(self.dataset.catalog, settings.size, settings.resize, Progress())
        self.preparing = 1000 * (time.perf_counter() - started) / len(self.dataset.catalog)
        classes = len(self.dataset.catalog.classes)
        targets = soft_targets(self.dataset.catalog.labels, classes, 0.1)
        ones = np.ones(len(targets), np.float32)
        pixels = np.asarray(self.prepared.pixels)
        self.images = TrainingImages(pixels, self.prepared.rows, targets, ones)
        backbone = build_backbone(self.resolved)
        d = backbone.model.output_shape[-1]
        zeros = np.zeros((d, classes), np.float32), np.zeros(classes, np.float32)
        same = Standard(np.zeros(d, np.float32), np.ones(d, np.float32))
        head = Head(same, *zeros, 0.0)
        self.classifier = make_classifier(backbone, head, classes, 0.0)
        self.blocks = backbone.upper_blocks(str(settings.unfreeze))
        set_trainable(self.classifier, self.blocks, pretrained=not self.resolved.from_scratch)

    def batches(self, augment: str, mix: str) -> Any:
        """Endless augmented batches."""
        from zoo.train.augment import Policy, training_dataset

        return iter(training_dataset(self.images, Policy(augment, mix, "horizontal"), BATCH, 0))


def input_rows(experiment: Experiment) -> list[list[str]]:
    """Of each policy, images per second, and how long the processor is busy with an image.

    Processor time, because a step that waits for nothing still shares the cores with its input.
    """
    rows = []
    for policy in POLICIES:
        batches = experiment.batches(*policy)
        for _ in range(4):
            next(batches)
        started, spent = time.perf_counter(), time.process_time()
        for _ in range(2 * ROUNDS):
            next(batches)
        count = 2 * ROUNDS * BATCH
        busy = 1000 * (time.process_time() - spent) / count
        rate = count / (time.perf_counter() - started)
        rows.append([*policy, f"{rate:,.0f}", f"{busy:.2f}"])
    return rows


class Step:
    """A training step of the classifier and its parts, as fine-tuning makes them."""

    def __init__(self, experiment: Experiment) -> None:
        import keras
        import tensorflow as tf

        from zoo.train.augment import Policy
        from zoo.train.average import WeightAverage
        from zoo.train.fit import Hyperparameters, compiled

        plan = Hyperparameters(
            1, BATCH, 1e-6, "adamw", 0.8, 1.0, 0, Policy(*STANDARD, "horizontal"), 0
        )
        self.model = model = compiled(experiment.classifier, plan, 1000)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        self.average = WeightAverage(model, 1000)
        self.batches = experiment.batches(*STANDARD)
        self.batch = x, y, _ = next(self.batches)

        @tf.function
        def forward() -> Any:
            return loss(y, model(x, training=True))

        @tf.function
        def backward() -> Any:
            with tf.GradientTape() as tape:
                value = loss(y, model(x, training=True))
            return tape.gradient(value, [v.value for v in model.trainable_variables])

        self.forward, self.backward = forward, backward

    def trained(self, *sources: Any) -> list[np.ndarray]:
        """Wall and processor milliseconds per image of training on each source of batches.

        In turns, so that a machine that grows slower is so for all; medians.
        """
        self.model.make_train_function()
        times = [[self._some_steps(source) for source in sources] for _ in range(ROUNDS + 1)]
        return list(np.median(times[1:], axis=0))

    def _some_steps(self, batches: Any) -> np.ndarray:
        for _ in range(3):  # uses up what was fetched ahead
            self.model.train_function(batches)
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(4):
            # the loss is read, so that the step is over
            float(self.model.train_function(batches)["loss"])
        spent = time.perf_counter() - wall, time.process_time() - processor
        return 1000 * np.array(spent) / (4 * BATCH)


def step_rows(experiment: Experiment) -> tuple[list[tuple[str, np.ndarray]], np.ndarray]:
    """Parts of a training step and all of it: wall and processor milliseconds per image."""
    import tensorflow as tf

    step = Step(experiment)
    forward = both_times(lambda: step.forward().numpy())
    backward = both_times(lambda: [g.numpy() for g in step.backward()])
    same = iter(tf.data.Dataset.from_tensors(step.batch).repeat())
    fed_the_same, fed = step.trained(same, step.batches)
    average = both_times(step.average.update)
    parts = [
        ("forward", forward),
        ("backward", backward - forward),
        ("optimizer and metrics", fed_the_same - backward),
        ("average of the weights", average),
        ("reading and augmenting, beside it all", fed - fed_the_same),
    ]
    return parts, fed + average


def prediction_rows(experiment: Experiment, folder: Path) -> list[list[str]]:
    """Images per second of the bare network and of ``zoo predict``."""
    import zoo
    from zoo.evaluate.inference import Inference

    given = {k: v for k, v in experiment.resolved.settings.as_dict().items() if k != "backbone"}
    given |= {"unfreeze": "none", "runs_dir": folder / "runs"}
    run = zoo.finetune(experiment.resolved.spec.name, **given)
    files = [experiment.dataset.catalog.path(i) for i in range(len(experiment.dataset.catalog))]
    infer, all_rows = Inference(run.model), np.arange(len(experiment.images.pixels))
    # in turns, so that a machine that grows slower is so for all; what loading the model costs
    # drops out between few and many
    calls = [
        lambda: infer.run(experiment.images.pixels, all_rows),
        lambda: zoo.predict(run, files[:BATCH]),
        lambda: zoo.predict(run, files),
    ]
    times = [[1000 * seconds_of(call) for call in calls] for _ in range(4)]
    bare, few, many = np.median(times[1:], axis=0)
    bare /= len(all_rows)
    through = (many - few) / (len(files) - BATCH)
    start = few - BATCH * through
    return [
        ["bare network, pixels in memory", f"{1000 / bare:.1f}", f"{bare:.2f}", "1.00"],
        ["zoo predict, files", f"{1000 / through:.1f}", f"{through:.2f}", f"{through / bare:.2f}"],
        ["zoo predict, to load and build once", "", f"{start:.0f} in all", ""],
    ]


def main() -> None:
    """Three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="elpv")
    parser.add_argument("--backbone", default="efficientnet")
    parser.add_argument("--weights")
    parser.add_argument("--size", type=int, default=224)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ZOO_CACHE"] = str(folder / "cache")
        from zoo.keras_setup import import_keras

        import_keras()
        experiment = Experiment(copied(args.data, folder / "data"), args)
        what = f"{experiment.resolved.spec.name}, {args.size} px, {args.data}"
        rows = input_rows(experiment)
        prepared = [
            "prepare: decode and resize, once",
            "",
            f"{1000 / experiment.preparing:,.0f}",
            "",
        ]
        print_table(
            f"Images per second of the input alone, {args.size} px",
            ["augmentation", "mixing", "images per second", "processor ms per image"],
            [*rows, prepared],
        )
        parts, total = step_rows(experiment)
        table = [
            [part, f"{ms[0]:.2f}", f"{ms[1]:.2f}", f"{ms[1] / total[1]:.0%}"] for part, ms in parts
        ]
        print_table(
            f"A training step of {what}, {', '.join(experiment.blocks)} trained",
            ["part", "ms per image", "processor ms", "of the step's"],
            [*table, ["all", *(f"{ms:.2f}" for ms in total), "100%"]],
        )
        rows = prediction_rows(experiment, folder)
        headers = ["what", "images per second", "ms per image", "of the bare network's time"]
        print_table(f"Prediction, {what}", headers, rows)


if __name__ == "__main__":
    main()
