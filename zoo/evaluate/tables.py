"""What a run keeps of its predictions: one table per split, and the metrics of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensembles import PredictionTable
from zoo.evaluate.metrics import evaluate
from zoo.paths import new_file
from zoo.runs import write_json


def write_tables(folder: Path, tables: Mapping[str, PredictionTable]) -> dict[str, Any]:
    """Write ``predictions/SPLIT.npz`` of each split, and ``metrics.json``; the metrics are given.

    Raises:
        ZooError: the disk is full or cannot be written.
    """
    metrics = {}
    for split, table in tables.items():
        with new_file(folder / "predictions" / f"{split}.npz") as temporary:
            table.save(temporary)
        metrics[split] = evaluate(table.labels, table.probabilities, groups=table.groups)
    write_json(folder / "metrics.json", metrics)
    return metrics
