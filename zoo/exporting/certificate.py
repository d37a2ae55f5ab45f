"""Proof that an exported model predicts what its run does."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ensembles import PredictionTable
from ensembles.comparison import compare
from ensembles.probabilities import log_loss
from zoo.data.decode import View, decode_views, see
from zoo.data.value_range import scale_of
from zoo.data.values import ValueRange
from zoo.errors import ZooError
from zoo.evaluate.inference import BATCH
from zoo.evaluate.predictor import Predictor
from zoo.exporting.formats import PIXELS, Format
from zoo.exporting.measure import as_input
from zoo.progress import Progress
from zoo.runs import Run

LARGEST = 0.01  # difference of a probability; formats were measured to differ by 1e-6 to 1e-3
MAX_LOSS = 0.02  # nats by which the log loss of a model of 8 bits may be higher


@dataclass(frozen=True)
class Images:
    """Labelled images that a run and its export are compared on.

    Attributes:
        files: n of them.
        ids: their ids in the data set.
        labels: int64 of shape (n,), in the order of the run's classes.
        groups: int64 of shape (n,), equal for images that depend on each other.
        split: what they are of, in words.
    """

    files: tuple[Path, ...]
    ids: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray
    split: str


@dataclass(frozen=True)
class Agreement:
    """A run and its export on the same images, for one kind of input.

    Attributes:
        takes: ``files``, ``pixels`` or ``prepared``.
        images: number of images.
        largest: difference of a probability.
        mean: difference of probabilities.
        changed: images whose most probable class is another one.
        run_accuracy, accuracy: of the run and of the export.
        run_log_loss, log_loss: of both.
        loss_change, low, high: the export's log loss less the run's, and its 95% interval.
        ms: milliseconds for one image.
        runtime: that it was asked by.
    """

    takes: str
    images: int
    largest: float
    mean: float
    changed: int
    run_accuracy: float
    accuracy: float
    run_log_loss: float
    log_loss: float
    loss_change: float
    low: float
    high: float
    ms: float
    runtime: str


@dataclass(frozen=True)
class Certificate:
    """What was measured of an export.

    Attributes:
        run: name of the run.
        format: of the export.
        int8: whether it computes in 8 bits.
        split: images that both were asked about, in words.
        agreements: one per kind of input.
        bytes: size of the export.
        max_loss: see :data:`MAX_LOSS`; of a model of 8 bits.
    """

    run: str
    format: str
    int8: bool
    split: str
    agreements: tuple[Agreement, ...]
    bytes: int
    max_loss: float = MAX_LOSS

    @property
    def faults(self) -> list[str]:
        """Why it does not hold; empty if it does."""
        found = []
        for one in self.agreements:
            if self.int8:
                if one.loss_change > self.max_loss:
                    found.append(
                        f"its log loss is higher by {one.loss_change:.3f} [{one.low:+.3f}, "
                        f"{one.high:+.3f}], and {self.max_loss:g} is allowed (--max-loss)"
                    )
            elif one.changed or one.largest > LARGEST:
                found.append(
                    f"given {one.takes}, it says another class for {one.changed} of {one.images} "
                    f"images, and a probability differs by {one.largest:.4f} ({LARGEST:g} is "
                    f"allowed)"
                )
        return found

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "holds": not self.faults, "faults": self.faults}


def certify(
    run: Run,
    predict: Predictor,
    form: Format,
    path: Path,
    images: Images,
    *,
    int8: bool = False,
    max_loss: float = MAX_LOSS,
    progress: Progress,
) -> Certificate:
    """Ask a run and its export about the same images; the export in a process of its own.

    Args:
        run: the run.
        predict: the same, loaded.
        form: format of the export.
        path: the export.
        images: what to ask about.
        int8: whether the export computes in 8 bits.
        max_loss: by which its log loss may then be higher.
        progress: shows the steps.

    Raises:
        ZooError: the runtime cannot load or run the export.
    """
    scale = scale_of(run)
    values = list(scale) if isinstance(scale, ValueRange) else None
    found = []
    for kind in form.takes:
        view = next(iter(predict.views))
        job = {
            "format": form.name,
            "path": str(path),
            "kind": kind,
            "files": [str(file) for file in images.files],
            "view": [view.size, view.resize],
            "scale": values,
        }
        expected = _expected(predict, job, images.files, progress)
        found.append(_agreement(run, kind, images, expected, _measured(job)))
    return Certificate(
        run.name, form.name, int8, images.split, tuple(found), size_of(path), max_loss
    )


def _measured(job: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the runtime says, in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        out = Path(folder) / "measured.npz"
        done = subprocess.run(
            [sys.executable, "-m", "zoo.exporting.measure", json.dumps(job), str(out)],
            capture_output=True,
            check=False,
        )
        if done.returncode or not out.is_file():
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise ZooError(f"the exported model cannot be run: {''.join(last)[:300]}")
        with np.load(out, allow_pickle=False) as stored:
            return dict(stored)


def _expected(
    predict: Predictor, job: dict[str, Any], files: Sequence[Path], progress: Progress
) -> np.ndarray:
    """What the run itself says, given the same."""
    made = []
    with progress.step("predict", len(files)) as advance:
        for start in range(0, len(files), BATCH):
            some = [_seen(file, job, predict.views) for file in files[start : start + BATCH]]
            batch = {view: np.stack([image[view] for image in some]) for view in predict.views}
            made.append(predict(batch))
            for _ in some:
                advance()
    return np.concatenate(made)


def _seen(file: Path, job: dict[str, Any], views: frozenset[View]) -> dict[View, np.ndarray]:
    if job["kind"] == PIXELS:
        return see(Image.fromarray(as_input(file, job)), views)
    return decode_views(file, views)


def _agreement(
    run: Run, kind: str, images: Images, expected: np.ndarray, measured: dict[str, np.ndarray]
) -> Agreement:
    given = measured["probabilities"]
    if given.shape != expected.shape or not np.isfinite(given).all():
        raise ZooError(
            f"the exported model gives no probabilities of {expected.shape[1]} classes: its output "
            f"has the shape {given.shape}, or values that are not finite"
        )
    difference = np.abs(given - expected)
    against = compare(_table(run, images, given), _table(run, images, expected))
    correct = [float((p.argmax(axis=1) == images.labels).mean()) for p in (given, expected)]
    losses = [log_loss(p, images.labels) for p in (given, expected)]
    return Agreement(
        kind,
        len(images.files),
        float(difference.max()),
        float(difference.mean()),
        int((given.argmax(axis=1) != expected.argmax(axis=1)).sum()),
        correct[1],
        correct[0],
        losses[1],
        losses[0],
        against.log_loss,
        against.low,
        against.high,
        float(measured["ms"]),
        str(measured["runtime"]),
    )


def _table(run: Run, images: Images, probabilities: np.ndarray) -> PredictionTable:
    return PredictionTable(
        ids=np.array(images.ids, np.str_),
        labels=images.labels,
        probabilities=probabilities.astype(np.float32),
        classes=np.array(run.classes, np.str_),
        split="val",
        fingerprint=str(run.record["data"].get("fingerprint", "")),
        groups=images.groups,
    )


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    if path.is_file():
        beside = path.with_suffix(".bin")  # of OpenVINO, the weights
        return path.stat().st_size + (beside.stat().st_size if beside.is_file() else 0)
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
