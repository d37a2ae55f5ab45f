"""Does a network learn more from an ensemble than from the labels alone?

    python benchmarks/distill.py digits elpv --size 96 --epochs 4          # half an hour
    python benchmarks/distill.py photos/ --member efficientnet --member mobilenet=FILE.h5

For each data set and seed, members are trained with five folds and combined. Then the network of
the first member is trained alone (one training, no folds): without a teacher, and with the ensemble
as teacher, once for each weight. Beside each is its change against the network without a teacher,
on the same test images, with the 95% interval of the paired test.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import numpy as np
from _table import print_table

import zoo
from ensembles.comparison import compare
from zoo.runs import Run

HEADS = ["data", "model", "ms per image", "accuracy", "log loss", "change of log loss", "wins"]


def settings_of(member: str) -> tuple[str, dict[str, Any]]:
    """Backbone and weights of ``NAME`` or ``NAME=FILE``."""
    name, _, file = member.partition("=")
    return name, {"weights": file} if file else {}


def trained(
    data: str, seed: int, members: list[str], weights: list[float], shared: dict[str, Any], to: str
) -> dict[str, Run]:
    """Teacher, its members and its pupils by name, on one split."""
    shared = {**shared, "data": data, "split_seed": seed, "seed": seed, "runs_dir": to}
    pairs = [settings_of(member) for member in members]
    taught = [
        zoo.finetune(name, name=f"m{i}", folds=5, **about, **shared)
        for i, (name, about) in enumerate(pairs)
    ]
    teacher = taught[0]
    if len(taught) > 1:
        teacher = zoo.ensemble(*taught, name="teacher", runs_dir=to)
    name, about = pairs[0]
    found = {f"{name}, 5 folds": taught[0], "teacher": teacher}
    found[f"{name} alone"] = zoo.finetune(name, name="alone", **about, **shared)
    for weight in weights:
        found[f"{name} taught, weight {weight:g}"] = zoo.finetune(
            name,
            name=f"taught-{weight:g}",
            teacher=str(teacher.path),
            teacher_weight=weight,
            **about,
            **shared,
        )
    return found


def rows_of(data: str, by_seed: list[dict[str, Run]]) -> list[list[str]]:
    """Means over seeds, and the paired comparison of each seed."""
    rows = []
    alone = next(name for name in by_seed[0] if name.endswith("alone"))
    for name in by_seed[0]:
        runs = [found[name] for found in by_seed]
        test = [run.metrics["test"] for run in runs]
        changes, wins = [], 0
        for run, found in zip(runs, by_seed, strict=True):
            if run is not found[alone]:
                c = compare(run.predictions("test"), found[alone].predictions("test"))
                changes.append(f"{c.log_loss:+.3f} [{c.low:+.3f}, {c.high:+.3f}]")
                wins += c.by_log_loss == "better"
        rows.append(
            [
                data,
                name,
                f"{np.mean([run.milliseconds for run in runs]):.1f}",
                f"{np.mean([m['accuracy']['value'] for m in test]):.3f}",
                f"{np.mean([m['log_loss']['value'] for m in test]):.3f}",
                "; ".join(changes) or "-",
                f"{wins} of {len(runs)}" if changes else "-",
            ]
        )
    return rows


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--member", action="append", help="NAME or NAME=FILE; of the teacher")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.3, 0.5, 0.7, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--unfreeze", help="none: the heads alone")
    given = parser.parse_args()
    asked = {name: getattr(given, name) for name in ("size", "epochs", "unfreeze")}
    shared = {name: value for name, value in asked.items() if value is not None}
    members = given.member or ["efficientnet"]
    rows = []
    for data in given.data:
        by_seed = []
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(given.seeds):
                to = f"{folder}/{seed}"
                by_seed.append(trained(data, seed, members, given.weights, shared, to))
            rows += rows_of(data, by_seed)
    seeds = f"seeds: {given.seeds}"
    print_table(f"{', '.join(given.data)}, {seeds}", HEADS, rows)


if __name__ == "__main__":
    main()
