"""Runs to combine: real ones, trained in seconds, and stored predictions made to measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from ensembles import PredictionTable
from zoo.evaluate.metrics import evaluate
from zoo.runs import RunWriter
from zoo.settings import Settings
from zoo.train.plan import resolve

CLASSES = ["ant", "bee", "cow", "dog"]
SIZES = {"val": 120, "test": 150}


def noisy(labels: np.ndarray, seed: int, skill: float, k: int = 4) -> np.ndarray:
    """Probabilities of a classifier that is right the more often the greater its skill."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (len(labels), k))
    logits[np.arange(len(labels)), labels] += skill
    p = np.exp(logits)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def labels_of(split: str, n: int) -> np.ndarray:
    return np.random.default_rng(len(split)).integers(0, 4, n)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., zoo.Run]:
    """Maker of finished runs with the predictions of made-up classifiers.

    Everything of a run is there and real but the network, which no method but soup looks at.
    """

    def make(
        name: str,
        seed: int = 0,
        skill: float = 2.0,
        *,
        splits: Mapping[str, int] | None = None,
        classes: list[str] | None = None,
        fingerprint: str = "data",
        split_fingerprint: str = "split",
        settings: Mapping[str, Any] | None = None,
        milliseconds: float | None = 5.0,
        folder: Path | None = None,
    ) -> zoo.Run:
        splits, classes = splits or SIZES, classes or CLASSES
        order = [CLASSES.index(c) for c in classes] if set(classes) == set(CLASSES) else range(4)
        resolved = resolve(Settings.of({"backbone": "cnn", "data": "digits", **(settings or {})}))
        record = {
            "kind": "finetune",
            "status": "complete",
            "created": "2026-01-01T00:00:00+00:00",
            "settings": resolved.settings.as_dict(),
            "classes": classes,
            "data": {
                "name": "animals",
                "root": str(tmp_path),
                "fingerprint": fingerprint,
                "split_fingerprint": split_fingerprint,
                "images": sum(splits.values()),
                "counts": {s: [1] * len(classes) for s in ("train", "val", "test")},
            },
            "weights": {"source": "none", "sha256": None},
            "network": {"precision": "float32", "ms_per_image": milliseconds},
            "kept": [{"stage": "finetune", "best_epoch": 1, "temperature": 1.0}],
            "seconds": {"total": 1.0},
        }
        with RunWriter(name, folder or tmp_path / "runs") as writer:
            (writer.path / "predictions").mkdir()
            (writer.path / "model.keras").write_bytes(b"no method but soup reads it")
            metrics = {}
            for split, n in splits.items():
                labels = labels_of(split, n)
                p = noisy(labels, 10 * seed + len(split), skill)
                columns = np.argsort(order)
                table = PredictionTable.of(
                    p[:, list(order)],
                    columns[labels],
                    ids=[f"{split}/{i}.jpg" for i in range(n)],
                    classes=classes,
                    split=split,
                    fingerprint=fingerprint,
                )
                table.save(writer.path / "predictions" / f"{split}.npz")
                metrics[split] = evaluate(table.labels, table.probabilities)
            (writer.path / "metrics.json").write_text(json.dumps(metrics))
            writer.write_record(record)
            return writer.complete()

    return make
