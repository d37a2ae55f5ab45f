"""What is kept of the course of a training: a CSV file, and TensorBoard's scalars and HParams."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.escape import printable
from zoo.history import COLUMNS
from zoo.paths import new_file
from zoo.settings import Settings

History = Sequence[Mapping[str, float]]


def write_history(path: Path, histories: Mapping[int, History]) -> None:
    """One row per epoch; folds are numbered from 1, a training of its own or a refit is fold 0.

    A refit without folds has the training that was judged by validation as fold 1.

    ``val_loss`` is the log loss at the best temperature, of the weights or of their running
    average, whichever is lower; ``averaged`` says which. A refit has no validation images: there
    ``averaged`` says which of the two is kept, and the columns of validation are empty.
    """
    with new_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for number, history in histories.items():
            for row in history:
                writer.writerow({"fold": number, **row})


def write_tensorboard(
    folder: Path,
    histories: Mapping[int, History],
    settings: Settings,
    metrics: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> None:
    """Scalars an epoch for each fold, the final metrics, and the settings as HParams.

    Written from the history at the end, so that a resumed training leaves no doubled points.
    """
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hparams

    shutil.rmtree(folder, ignore_errors=True)
    for number, history in histories.items():
        place = folder / f"fold{number}" if number else folder
        with tf.summary.create_file_writer(str(place)).as_default():
            for row in history:
                for key in [key for key in COLUMNS[2:] if key in row]:
                    tf.summary.scalar(key, row[key], step=int(row["epoch"]))
    with tf.summary.create_file_writer(str(folder)).as_default():
        values = {
            k: printable(v) if isinstance(v, str) else v
            for k, v in settings.as_dict().items()
            if v is not None
        }
        hparams.hparams(values)
        for split, numbers in metrics.items():
            for name, entry in numbers.items():
                if entry["value"] is not None:
                    tf.summary.scalar(f"{split}/{name}", entry["value"], step=0)
