"""Test accuracy against wall time: zoo and three peers, on one machine, split and set of weights.

    python benchmarks/time_to_accuracy.py --data photos/ --size 128 --out curves/ \\
        [--guide mobilenet --weights FILE.h5] [--peers-python venv/bin/python]

The peers are what people do otherwise:

- guide: the recipe of the Keras guide "Transfer learning & fine-tuning" (keras.io/guides): flips
  and rotations, a dropout of 0.2, batches of 32; first the head with Adam, then everything with
  Adam at 1e-5, the network in inference mode;
- fastai: `vision_learner` with `aug_transforms`, then `fine_tune`, all at its defaults, on the same
  ImageNet weights of EfficientNet-Lite0 in PyTorch. It needs `pip install '.[peers]'`, here or
  where `--peers-python` is;
- linear: features by `keras.Model.predict`, and scikit-learn's logistic regression.

All get the images decoded and resized, in memory. The clock runs from building the network on: it
stops while test images are predicted, once per epoch, for everybody alike. Validation images choose
in zoo, on its clock; the peers do without. Each runs in a process of its own, one after the other.
`--out` keeps what is finished: starting again runs what is missing, and what was made of other
images, other weights or by other code of zoo.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _peers import check_peers, peers_environment
from _table import print_table

from backbones import BackboneError
from zoo.errors import ZooError

_LITE0 = "efficientnet-lite0"
_BATCH = 32  # of the guide
_FASTAI = Path(__file__).with_name("_fastai_peer.py")


@dataclass(frozen=True)
class Job:
    """One contestant: who, with which network, on what; ``content`` is of :func:`content_of`."""

    who: str
    backbone: str
    weights: str | None
    data: str
    size: int
    epochs: tuple[int, ...]
    seed: int
    content: str = ""

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"{self.who}, {self.backbone}"

    def file(self, folder: Path) -> Path:
        """Where its curve is kept."""
        told = {k: v for k, v in asdict(self).items() if k not in {"data", "weights"}}
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]
        return folder / f"{self.who}-{self.backbone}-{key}.npz"


class Clock:
    """Wall and processor seconds since its start, without its pauses, and what was predicted then.

    Attributes:
        seconds: (wall, processor) at the start of each pause.
        predicted: test predictions of each.
    """

    def __init__(self) -> None:
        self.uncounted = np.zeros(2)
        self.seconds: list[np.ndarray] = []
        self.predicted: list[np.ndarray] = []

    @staticmethod
    def now() -> np.ndarray:
        """Wall and processor seconds."""
        return np.array([time.perf_counter(), time.process_time()])

    def start(self) -> None:
        """From here on."""
        self.uncounted = self.now()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """The block is not counted; a point of the curve is at its start."""
        began = self.now()
        self.seconds.append(began - self.uncounted)
        try:
            yield
        finally:
            self.uncounted += self.now() - began


class Data:
    """Images and split, as zoo has them."""

    def __init__(self, job: Job) -> None:
        from zoo.data.dataset import load
        from zoo.data.prepare import prepare
        from zoo.progress import Progress

        self.settings, self.resolved = settings_of(job)
        self.dataset = load(self.resolved.settings, Progress())
        self.catalog, self.split = self.dataset.catalog, self.dataset.split
        self.prepared = prepare(self.catalog, job.size, self.resolved.settings.resize, Progress())
        self.classes = len(self.catalog.classes)

    def pixels(self, split: str) -> np.ndarray:
        """uint8 of shape (n, size, size, 3), in memory."""
        return np.asarray(self.prepared.pixels[self.prepared.rows[self.split.rows(split)]])

    def labels(self, split: str) -> np.ndarray:
        """int64 of shape (n,)."""
        return np.asarray(self.catalog.labels[self.split.rows(split)])


def run_zoo(job: Job, data: Data, clock: Clock) -> None:
    """What ``zoo finetune`` does, with the probe alone as first point."""
    from zoo.evaluate.inference import Inference
    from zoo.train.inputs import build_backbone

    split, test = data.split, data.pixels("test")
    everything, kept = np.arange(len(test)), []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, "last.npz")

        def remember(_row: Any) -> None:
            with clock.pause():
                kept.append(best_so_far(checkpoint))

        clock.start()
        backbone = build_backbone(data.resolved)
        seen, network = np.concatenate([split.train, split.val]), Inference(backbone.model)
        features = np.zeros((len(data.catalog), backbone.model.output_shape[-1]), np.float32)
        features[seen] = network.run(data.prepared.pixels, data.prepared.rows[seen])
        train = partial(zoo_member, job, data, backbone, features, checkpoint)
        probe = train(unfreeze="none").probe
        with clock.pause():
            clock.predicted.append(probe.probabilities(network.run(test, everything)))
        member = train(watch=remember)
    logits = member.classifier.logits
    for weights in kept:  # the weights that zoo would have kept, had it ended with this epoch
        for variable, value in zip(logits.trainable_variables, weights, strict=True):
            variable.assign(value)
        clock.predicted.append(softmax(member.classifier.infer.run(test, everything)))


def zoo_member(
    job: Job,
    data: Data,
    backbone: Any,
    features: np.ndarray,
    checkpoint: Path,
    *,
    unfreeze: str | None = None,
    watch: Any = None,
) -> Any:
    """A training of zoo's, by its defaults but for the epochs that are asked for."""
    from zoo.progress import Progress
    from zoo.train.arrays import LazyRows
    from zoo.train.inputs import Inputs, Timings
    from zoo.train.member import train_member
    from zoo.train.plan import resolve

    changes: dict[str, Any] = {"epochs": job.epochs[0]} if job.epochs else {}
    changes |= {"unfreeze": unfreeze} if unfreeze else {}
    resolved = resolve(data.settings.changed(**changes))
    return train_member(
        Inputs(resolved, data.dataset, data.prepared, LazyRows(features, np.arange(len(features)))),
        backbone,
        data.split.train,
        data.split.val,
        checkpoint=checkpoint,
        timings=Timings(),
        progress=Progress(),
        watch=watch,
    )


def best_so_far(checkpoint: Path) -> list[np.ndarray]:
    """The weights of lowest validation loss in a checkpoint of zoo's."""
    with np.load(checkpoint) as stored:
        best = sorted((n for n in stored if n[0] == "b"), key=lambda n: int(n[1:]))
        return [stored[n] for n in best]


def run_guide(job: Job, data: Data, clock: Clock) -> None:
    """The Keras guide's recipe."""
    import keras
    import tensorflow as tf
    from keras import layers

    from zoo.train.inputs import build_backbone

    test, images, labels = data.pixels("test"), data.pixels("train"), data.labels("train")
    clock.start()
    base = build_backbone(data.resolved).model
    base.trainable = False
    train = tf.data.Dataset.from_tensor_slices((images, labels))
    train = train.shuffle(len(images)).batch(_BATCH).prefetch(10)
    inputs = keras.Input((job.size, job.size, 3))
    x = layers.RandomFlip("horizontal")(inputs)
    x = layers.RandomRotation(0.1)(x)
    x = base(x, training=False)  # scales pixels and pools, too
    x = layers.Dropout(0.2)(x)
    model = keras.Model(inputs, layers.Dense(data.classes)(x))

    class Point(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            with clock.pause():
                clock.predicted.append(softmax(model.predict(test, verbose=0)))

    for rate, epochs in zip((1e-3, 1e-5), job.epochs, strict=True):
        base.trainable = rate < 1e-3
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(train, epochs=epochs, verbose=0, callbacks=[Point()])


def run_linear(job: Job, data: Data, clock: Clock) -> None:
    """Frozen features and scikit-learn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from zoo.train.inputs import build_backbone

    test, images, labels = data.pixels("test"), data.pixels("train"), data.labels("train")
    clock.start()
    network = build_backbone(data.resolved).model
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    head.fit(network.predict(images, verbose=0), labels)
    with clock.pause():
        clock.predicted.append(head.predict_proba(network.predict(test, verbose=0)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


RUNNERS = {"zoo": run_zoo, "guide": run_guide, "linear": run_linear}


def contest(job: Job, target: Path) -> None:
    """Run one contestant in this process and keep its curve."""
    from zoo.keras_setup import import_keras

    import_keras()
    import keras
    import sklearn.linear_model  # noqa: F401 - imports are on nobody's clock

    keras.utils.set_random_seed(job.seed)
    data, clock = Data(job), Clock()
    RUNNERS[job.who](job, data, clock)
    store(target, np.stack(clock.seconds), np.stack(clock.predicted))


def store(target: Path, seconds: np.ndarray, predicted: np.ndarray) -> None:
    """Write a curve whole or not at all."""
    temporary = target.with_suffix(".part.npz")
    np.savez(temporary, seconds=seconds, predicted=predicted.astype(np.float32))
    temporary.replace(target)


def run_fastai(job: Job, python: str, target: Path) -> None:
    """Run fastai in its interpreter and keep its curve."""
    with tempfile.TemporaryDirectory() as folder:
        data = Data(job)
        file = Path(folder, "data.npz")
        arrays = {f"{s}_pixels": data.pixels(s) for s in ("train", "test")}
        np.savez(file, train_labels=data.labels("train"), **arrays)
        call = [python, str(_FASTAI), str(file), folder, str(job.seed), *map(str, job.epochs)]
        subprocess.run(call, check=True, env=peers_environment())
        with np.load(Path(folder, "curve.npz")) as curve:
            store(target, curve["seconds"], curve["predicted"])


def jobs(args: argparse.Namespace) -> list[Job]:
    """Who runs, in this order."""
    import backbones

    guide = backbones.get(args.guide).name
    ours = (args.epochs,) if args.epochs else ()
    plan: list[tuple[str, str, tuple[int, ...]]] = [("zoo", _LITE0, ours), ("linear", _LITE0, ())]
    if guide != _LITE0:
        plan += [("zoo", guide, ours), ("linear", guide, ())]
    plan += [("guide", guide, tuple(args.guide_epochs))]
    if args.fastai_epochs[1]:
        plan += [("fastai", _LITE0, tuple(args.fastai_epochs))]
        if args.weights and guide == _LITE0:
            raise ZooError(
                f"fastai takes the published weights of {_LITE0}, not {args.weights}: leave "
                f"--weights out, name another --guide, or leave fastai out: --fastai-epochs 0 0"
            )
    made = [
        Job(who, name, args.weights if name == guide else None, args.data, args.size, n, args.seed)
        for who, name, n in plan
    ]
    return [replace(job, content=content_of(job)) for job in made]


def content_of(job: Job) -> str:
    """What a curve depends on besides the settings: images, split, weights and zoo's code."""
    import backbones
    from zoo.data.dataset import load
    from zoo.origin import code_version
    from zoo.progress import Progress

    if job.weights:
        backbones.weights_file(job.weights)  # refused where it is missing
    resolved = settings_of(job)[1]
    dataset = load(resolved.settings, Progress())
    weights = backbones.source_identity(str(resolved.settings.weights))
    parts = (dataset.catalog.fingerprint(), dataset.split_fingerprint(), weights, code_version())
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def settings_of(job: Job) -> tuple[Any, Any]:
    """Settings as they are given to zoo, and with everything decided."""
    from zoo.progress import Progress
    from zoo.train.plan import collect_settings, resolve

    given = {"size": job.size, "weights": job.weights, "seed": job.seed}
    settings = collect_settings(job.backbone, job.data, None, given, Progress())
    return settings, resolve(settings)


@dataclass(frozen=True)
class Curve:
    """Points of one contestant, and its last test predictions as a table."""

    name: str
    backbone: str
    seconds: np.ndarray
    processor: np.ndarray
    accuracy: np.ndarray
    last: Any

    def reaches(self, accuracy: float) -> float | None:
        """Seconds until this accuracy, or None."""
        there = np.flatnonzero(self.accuracy >= accuracy - 1e-9)
        return float(self.seconds[there[0]]) if len(there) else None


def read(job: Job, file: Path, data: Data) -> Curve:
    """A finished curve."""
    from ensembles import PredictionTable

    labels, rows = data.labels("test"), data.split.rows("test")
    with np.load(file) as stored:
        seconds, predicted = stored["seconds"], stored["predicted"]
    last = predicted[-1] / predicted[-1].sum(axis=1, keepdims=True)
    table = PredictionTable.of(
        last,
        labels,
        ids=[data.catalog.ids[i] for i in rows],
        classes=list(data.catalog.classes),
        split="test",
        fingerprint=data.catalog.fingerprint(),
    )
    accuracy = (predicted.argmax(axis=2) == labels).mean(axis=1)
    return Curve(job.name, job.backbone, seconds[:, 0], seconds[:, 1], accuracy, table)


def report(curves: dict[str, list[Curve]]) -> None:
    """Both tables."""
    from ensembles import compare
    from zoo.evaluate.metrics import wilson

    rows = []
    for curve in (c for group in curves.values() for c in group):
        n = len(curve.last.labels)
        low, high = wilson(curve.accuracy[-1] * n, n)
        value = f"{curve.accuracy[-1]:.3f} [{low:.3f}, {high:.3f}]"
        first = f"{curve.accuracy[0]:.3f} at {curve.seconds[0]:.0f}"
        spent = [f"{curve.seconds[-1]:.0f}", f"{curve.processor[-1]:.0f}"]
        rows.append([curve.name, value, first, *spent])
    headers = ["contestant", "final test accuracy", "first point, s", "seconds in all"]
    headers += ["of the processor"]
    print_table("Test accuracy by wall time", headers, rows)
    rows = []
    for curve in (c for who, group in curves.items() if who != "zoo" for c in group):
        ours = next(c for c in curves["zoo"] if c.backbone == curve.backbone)
        goal = float(curve.accuracy[-1])
        theirs, mine = curve.reaches(goal), ours.reaches(goal)
        assert theirs is not None
        ratio = [f"{mine:.0f}", f"{theirs / mine:.1f}"] if mine else ["never", ""]
        paired = compare(ours.last, curve.last)
        alone = f"{paired.only_first} : {paired.only_second}, p = {paired.p_value:.2g}"
        verdict = [f"{paired.accuracy:+.3f}", f"{paired.by_accuracy} ({alone})"]
        rows.append([curve.name, f"{goal:.3f}", f"{theirs:.0f}", *ratio, *verdict])
    headers = ["peer", "its final accuracy", "s to it", "zoo's s to it", "ratio"]
    headers += ["zoo's final accuracy less its", "zoo is, by McNemar's test"]
    print_table("Time to each peer's final accuracy, with the same network", headers, rows)


def picture(curves: dict[str, list[Curve]], file: Path) -> None:
    """Accuracy by seconds, on a logarithmic axis."""
    try:
        import matplotlib
    except ImportError:
        print(f"\nno picture: pip install '.[peers]' for {file.name}")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    colours = {"zoo": "#c2410c", "guide": "#1f6fb4", "fastai": "#2e7d32", "linear": "#6b7280"}
    for who, group in curves.items():
        for curve in group:
            dashed = "-" if curve.backbone == _LITE0 else "--"
            look = {"color": colours[who], "linestyle": dashed, "marker": "o", "markersize": 4}
            axes.plot(curve.seconds, curve.accuracy, label=curve.name, **look)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set(xlabel="seconds of training (log)", ylabel="test accuracy")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(file, dpi=120)


def parsed() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="elpv")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="zoo's; its default if not given")
    parser.add_argument("--guide", default=_LITE0, help="the guide's network")
    parser.add_argument("--weights", help="file with the weights of the guide's network")
    parser.add_argument("--guide-epochs", type=int, nargs=2, default=(10, 5), metavar="N")
    parser.add_argument("--fastai-epochs", type=int, nargs=2, default=(1, 3), metavar="N")
    parser.add_argument("--peers-python", default=sys.executable, help="has fastai")
    parser.add_argument("--out", type=Path, default=Path("time-to-accuracy"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run who is missing, then report."""
    args = parsed()
    if args.one:
        job = Job(**{k: tuple(v) if k == "epochs" else v for k, v in json.loads(args.one).items()})
        contest(job, job.file(args.out))
        return
    try:
        plan = jobs(args)
        missing = [job for job in plan if not job.file(args.out).exists()]
        if any(job.who == "fastai" for job in missing):
            check_peers(args.peers_python)
    except (ZooError, BackboneError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    args.out.mkdir(parents=True, exist_ok=True)
    for job in missing:
        print(f"{time.strftime('%H:%M:%S')} {job.name}", file=sys.stderr, flush=True)
        if job.who == "fastai":
            run_fastai(job, args.peers_python, job.file(args.out))
        else:
            call = [sys.executable, __file__, "--out", str(args.out)]
            subprocess.run([*call, "--one", json.dumps(asdict(job))], check=True)
    curves: dict[str, list[Curve]] = {}
    for job in plan:
        curves.setdefault(job.who, []).append(read(job, job.file(args.out), Data(job)))
    report(curves)
    picture(curves, args.out / "time-to-accuracy.png")


if __name__ == "__main__":
    main()
