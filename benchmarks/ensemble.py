"""How long does `zoo ensemble` take, from start to exit? Against importing what it stands on.

    python benchmarks/ensemble.py            # 3 members, 2,000 + 2,000 rows, 10 classes: 15 seconds
    python benchmarks/ensemble.py --large    # and 20 members, 50,000 + 50,000 rows, 100 classes

The goals on two cores: 2 s for the first; 60 s and 4 GiB for the second. The members are made up:
predictions of classifiers that share a part of their errors, stored as training stores them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _table import print_table

from ensembles import PredictionTable
from zoo.evaluate.tables import write_tables
from zoo.runs import RunWriter

BASE = "import numpy, scipy.optimize, sklearn.linear_model"


def predictions(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Probabilities of a classifier that is right in about nine of ten cases."""
    rng, shared = np.random.default_rng(seed), np.random.default_rng(0)
    logits = 2 * rng.standard_normal((len(labels), classes), np.float32)
    logits += shared.standard_normal(logits.shape, np.float32)
    logits[np.arange(len(labels)), labels] += 8.0
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def make_member(folder: Path, name: str, seed: int, rows: int, classes: int) -> None:
    """A finished run without a network."""
    about = {"name": "made-up", "fingerprint": "f", "split_fingerprint": "s", "images": 2 * rows}
    record = {
        "kind": "finetune",
        "created": "2026-01-01T00:00:00+00:00",
        "settings": {"backbone": name, "size": 224, "resize": "stretch"},
        "classes": [f"class {i:03d}" for i in range(classes)],
        "data": {**about, "root": str(folder)},
        "network": {"ms_per_image": 10.0},
        "kept": [{"stage": "finetune", "best_epoch": 1, "temperature": 1.0}],
        "seconds": {"total": 0.0},
    }
    with RunWriter(name, folder) as writer:
        (writer.path / "model.keras").touch()
        tables = {}
        for split, number in (("val", 1), ("test", 2)):
            labels = np.random.default_rng(number).integers(0, classes, rows)
            tables[split] = PredictionTable.of(
                predictions(labels, classes, 100 * seed + number),
                labels,
                ids=[f"{split}/{i:06d}.jpg" for i in range(rows)],
                classes=record["classes"],
                split=split,
                fingerprint="f",
            )
        write_tables(writer.path, tables)
        writer.write_record(record)
        writer.complete()


def measured(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident GiB of one process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20


def row(members: int, rows: int, classes: int, rounds: int) -> list[str]:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"m{i:02d}" for i in range(members)]
        for seed, name in enumerate(names):
            make_member(Path(folder), name, seed, rows, classes)
        times, bases, peaks, reason = [], [], [], ""
        for number in range(rounds):
            call = ["-m", "zoo", "ensemble", "--members", ",".join(names), "--runs-dir", folder]
            spent, peak = measured([sys.executable, *call, "--name", f"e{number}"])
            times.append(spent)
            peaks.append(peak)
            bases.append(measured([sys.executable, "-c", BASE])[0])
            record = json.loads((Path(folder) / f"e{number}" / "run.json").read_text())
            reason = record["combination"]["method"]
    seconds, base = statistics.median(times), statistics.median(bases)
    size = f"{members} members, 2 x {rows:,} rows, {classes} classes"
    return [size, reason, f"{seconds:.2f}", f"{seconds / base:.1f}", f"{max(peaks):.2f}"]


def main() -> None:
    """Both sizes of the goals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="also the large case: minutes")
    arguments = parser.parse_args()
    rows = [row(3, 2_000, 10, 5)]
    if arguments.large:
        rows.append(row(20, 50_000, 100, 1))
    title = "zoo ensemble, method auto, from start to exit"
    headers = ["size", "took", "seconds", f"times `{BASE}`", "peak GiB"]
    print_table(title, headers, rows)


if __name__ == "__main__":
    main()
