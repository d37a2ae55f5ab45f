"""A run's ``history.csv``: one row per epoch, read and checked in one place."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.frames import data_frame
from zoo.records import RecordError, read_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "fold",
    "epoch",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "averaged",
    "learning_rate",
    "seconds",
)
_NEEDED = ("fold", "epoch", "train_loss")
Epochs = list[dict[str, float]]


def read_history(path: Path) -> dict[int, Epochs]:
    """Fold to its epochs in order; see :func:`zoo.train.records.write_history`.

    Empty cells, as of the validation of a refit, are left out.

    Raises:
        RecordError: missing, or it does not hold the epochs of each fold from the first on.
    """
    found: dict[int, Epochs] = {}
    try:
        lines = csv.DictReader(io.StringIO(read_text(path)), strict=True)
        if not set(_NEEDED) <= set(lines.fieldnames or ()):
            raise ValueError(f"it has no columns {', '.join(_NEEDED)}")
        for line in lines:
            if None in line or None in line.values():
                raise ValueError(f"line {lines.line_num} has not a value for each column")
            row = {key: float(value) for key, value in line.items() if value}
            rows = found.setdefault(int(row["fold"]), [])
            if row["epoch"] != len(rows) + 1:
                raise ValueError(f"line {lines.line_num} is not epoch {len(rows) + 1} of its fold")
            rows.append(row)
    except (ValueError, KeyError, csv.Error) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{path} is damaged: {error}; train the run again") from error
    return found


def history_frame(epochs: Mapping[int, Epochs]) -> pd.DataFrame:
    """One row per epoch of each fold; what is not known of an epoch is NaN.

    Raises:
        ZooError: pandas is not installed.
    """
    rows = [row for fold in epochs.values() for row in fold]
    columns = {name: [row.get(name, float("nan")) for row in rows] for name in COLUMNS}
    frame = data_frame(columns)
    return frame.astype({"fold": int, "epoch": int})
