"""Cells that are there already: real data and split, made-up predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ensembles import PredictionTable
from zoo.benchmarking.cell_store import CellStore, digest
from zoo.benchmarking.plan import Cell, Request, candidates, cells
from zoo.data.dataset import Dataset, load
from zoo.evaluate.tables import write_tables
from zoo.progress import Progress
from zoo.runs import RunWriter, environment, write_json

TINY = {"size": 16, "near_duplicates": False, "flip": "none", "epochs": 1, "test_fraction": 0.4}
SMALL = {"blocks": 1, "filters": 4, "dense_units": 16}
# how often each is right: the fine-tuned one is best, the last of the line is bad
SKILL = {"probe": 2.0, "plain": 2.5, "augmented": 3.0, "full": 4.0}


def predictions(dataset: Dataset, split: str, seed: int, skill: float) -> PredictionTable:
    """Of a classifier that is right the more often the greater its skill."""
    rows, catalog = dataset.split.rows(split), dataset.catalog
    rng = np.random.default_rng([seed, len(split)])
    logits = rng.normal(0, 1, (len(rows), len(catalog.classes)))
    logits[np.arange(len(rows)), catalog.labels[rows]] += skill
    p = np.exp(logits)
    return PredictionTable.of(
        p / p.sum(axis=1, keepdims=True),
        catalog.labels[rows],
        ids=[catalog.ids[i] for i in rows],
        classes=list(catalog.classes),
        split=split,
        fingerprint=catalog.fingerprint(),
    )


def finish(cell: Cell, store: CellStore, dataset: Dataset, number: int, skill: float) -> None:
    """Put a finished run in the cell's place; everything is real but predictions and network."""
    stage = "probe" if cell.variant == "probe" else "finetune"
    record = {
        "kind": "finetune",
        "status": "complete",
        "created": "2026-01-01T00:00:00+00:00",
        "settings": cell.settings.as_dict(),
        "classes": list(dataset.catalog.classes),
        "data": dataset.summary(),
        **environment(),
        "weights": {"source": "none", "sha256": None},
        "network": {"ms_per_image": 2.0 + cell.seed},
        "kept": [{"stage": stage, "best_epoch": int(stage != "probe"), "temperature": 1.0}],
        "seconds": {"features": 7.0 if stage == "probe" else 0.1, "probe": 1.0, "total": 20.0},
    }
    with RunWriter(cell.name, store.cells) as writer:
        (writer.path / "model.keras").write_bytes(b"x" * 1000)
        (writer.path / "history.csv").write_text(
            "fold,epoch,train_loss,seconds\n0,1,0.9,3.5\n0,2,0.8,3.5\n"
        )
        tables = {s: predictions(dataset, s, number, skill) for s in ("val", "test")}
        write_tables(writer.path, tables)
        writer.write_record(record)
        writer.complete()
    about = {"machine": "a machine", "at_a_time": 1, "parameters": 5000, "macs": 70_000}
    write_json(store.about_file(cell.name), {**about, "sha256": digest(about)})


def fill(
    runs: Path,
    data: Path,
    backbones: list[str],
    seeds: int = 1,
    *,
    each: dict[str, dict[str, Any]] | None = None,
    skill: dict[str, float] = SKILL,
    leave: str = "",
) -> tuple[CellStore, list[Cell]]:
    """Finish all cells but those of the variant ``leave``; gives the store and all cells."""
    request = Request(tuple(backbones), str(data), seeds, settings=TINY, each=each or {})
    found = candidates(request, Progress())
    dataset = load(found[0].any.settings, Progress())
    wanted = cells(found, seeds, dataset)
    store = CellStore(runs / "benchmarks" / "digits")
    for number, cell in enumerate(wanted):
        if store.run(cell.name) is None and cell.variant != leave:
            finish(cell, store, dataset, number, skill[cell.variant])
    return store, wanted
