"""Runs to combine: real ones, trained in seconds, and stored predictions made to measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from ensembles import PredictionTable
from zoo.evaluate.tables import write_tables
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


def record_of(
    root: Path, classes: list[str], images: int, settings: Mapping[str, Any], **data: str
) -> dict[str, Any]:
    """What ``run.json`` holds of a run on made-up animals."""
    resolved = resolve(Settings.of({"backbone": "cnn", "data": "digits", **settings}))
    counts = {split: [1] * len(classes) for split in ("train", "val", "test")}
    return {
        "kind": "finetune",
        "status": "complete",
        "created": "2026-01-01T00:00:00+00:00",
        "settings": resolved.settings.as_dict(),
        "classes": classes,
        "data": {"name": "animals", "root": str(root), "images": images, "counts": counts, **data},
        "weights": {"source": "none", "sha256": None},
        "kept": [{"stage": "finetune", "best_epoch": 1, "temperature": 1.0}],
        "seconds": {"total": 1.0},
    }


def table_of(
    split: str, n: int, seed: int, skill: float, classes: list[str], fingerprint: str
) -> PredictionTable:
    """What a classifier says of a split, its columns in the order of ``classes``."""
    labels = labels_of(split, n)
    p = noisy(labels, 10 * seed + len(split), skill)
    order = [CLASSES.index(c) for c in classes] if set(classes) == set(CLASSES) else list(range(4))
    return PredictionTable.of(
        p[:, order],
        np.argsort(order)[labels],
        ids=[f"{split}/{i}.jpg" for i in range(n)],
        classes=classes,
        split=split,
        fingerprint=fingerprint,
    )


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
        splits: Mapping[str, int] = SIZES,
        classes: list[str] = CLASSES,
        settings: Mapping[str, Any] | None = None,
        milliseconds: float | None = 5.0,
        fingerprint: str = "data",
        split_fingerprint: str = "split",
    ) -> zoo.Run:
        data = {"fingerprint": fingerprint, "split_fingerprint": split_fingerprint}
        record = record_of(tmp_path, classes, sum(splits.values()), settings or {}, **data)
        record["network"] = {"precision": "float32", "ms_per_image": milliseconds}
        tables = {s: table_of(s, n, seed, skill, classes, fingerprint) for s, n in splits.items()}
        with RunWriter(name, tmp_path / "runs") as writer:
            (writer.path / "model.keras").write_bytes(b"no method but soup reads it")
            write_tables(writer.path, tables)
            writer.write_record(record)
            return writer.complete()

    return make
