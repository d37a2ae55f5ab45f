"""A benchmark's table: its rows, their figures, and how they compare with the best single."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from ensembles import PredictionTable
from zoo.benchmarking.cell_store import CellStore
from zoo.benchmarking.combinations import Combination
from zoo.benchmarking.plan import VARIANTS, Cell
from zoo.benchmarking.verdict import Verdict, judge
from zoo.evaluate.labels import LABELS
from zoo.runs import Run


@dataclass(frozen=True)
class Figure:
    """A metric on the test images.

    Attributes:
        value: mean over seeds; None if it is not defined.
        low, high: 95% interval.
        over: what the interval is over: ``seeds``, or ``images`` of a single training run or of
            several that predict the same.
        each: of every seed.
        reason: why there is no interval, in words; empty if there is one.
    """

    value: float | None
    low: float | None
    high: float | None
    over: str
    each: tuple[float | None, ...]
    reason: str = ""


def figure(name: str, runs: Sequence[Run]) -> Figure:
    """A metric of one or more training runs.

    Over seeds, the interval is Student's t of the mean of this recipe on these test images. It does
    not cover other images, as that of one training run does. Where every seed kept the same probe,
    there is no spread to tell anything by, and the interval is that of one of them.
    """
    entries = [run.metrics["test"][name] for run in runs]
    values = [e["value"] for e in entries]
    if len({run.metrics["test"]["log_loss"]["value"] for run in runs}) == 1:
        only = entries[0]
        why = only.get("reason", "")
        return Figure(only["value"], only["low"], only["high"], "images", tuple(values), why)
    defined = [v for v in values if v is not None]
    if len(defined) < len(values):
        return Figure(None, None, None, "seeds", tuple(values))
    mean, low, high = mean_interval(defined)
    top = math.inf if name == "log_loss" else 1.0
    return Figure(mean, max(0.0, low), min(top, high), "seeds", tuple(values))


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of at least two values and its 95% interval by Student's t."""
    mean, n = float(np.mean(values)), len(values)
    half = float(student.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean, mean - half, mean + half


@dataclass
class TableRow:
    """A row of the table.

    Attributes:
        label: its name.
        kind: ``single``, ``ensemble`` or ``soup``.
        backbone, variant, method: empty if it has none.
        runs: seed to finished run; a probe, which has no randomness, has one.
        problems: seed to the reason why it has no run.
        parameters, macs, size: of the networks that predict; size in bytes. Medians over seeds;
            None if not known.
        train_seconds: features, probe and fine-tuning of all members; median over seeds.
        ms_per_image: median over seeds.
        verdict: against the best single; None for the best single itself.
        best: whether it is the best single.
    """

    label: str
    kind: str
    backbone: str = ""
    variant: str = ""
    method: str = ""
    runs: dict[int, Run] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    parameters: int | None = None
    macs: int | None = None
    size: int | None = None
    train_seconds: float | None = None
    ms_per_image: float | None = None
    verdict: Verdict | None = None
    best: bool = False

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Metric to its figure; empty if there is no run."""
        runs = [self.runs[s] for s in sorted(self.runs)]
        return {name: figure(name, runs) for name in LABELS} if runs else {}

    @property
    def val_loss(self) -> float:
        """Log loss on validation images, mean over seeds."""
        losses = [run.metrics["val"]["log_loss"]["value"] for run in self.runs.values()]
        defined = [loss for loss in losses if loss is not None]
        return float(np.mean(defined)) if defined else math.inf

    @property
    def probes_kept(self) -> int:
        """Number of seeds for which fine-tuning did not beat the probe, which was kept."""
        if self.kind != "single" or self.variant == "probe":
            return 0
        return sum(run.record["kept"][0]["stage"] == "probe" for run in self.runs.values())

    def tables(self, seeds: Sequence[int]) -> list[PredictionTable]:
        """Test predictions of these seeds; those of a probe are the same for all."""
        chosen = [0 if self.variant == "probe" else s for s in seeds]
        return [self.runs[s].predictions("test") for s in chosen]

    def seeds_with(self, other: TableRow) -> list[int]:
        """Seeds with predictions of both; only 0 if both are probes."""
        random = [row for row in (self, other) if row.variant != "probe"]
        if not random:
            return [0]
        shared = set.intersection(*(set(row.runs) for row in random))
        return sorted(shared)

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "label": self.label,
            "kind": self.kind,
            "backbone": self.backbone,
            "variant": self.variant,
            "method": self.method,
            "seeds": sorted(self.runs),
            "runs": {str(s): run.name for s, run in sorted(self.runs.items())},
            "problems": {str(s): why for s, why in self.problems.items()},
            "metrics": {name: asdict(found) for name, found in self.figures.items()},
            "val_log_loss": self.val_loss if self.runs else None,
            "probes_kept": self.probes_kept,
            "parameters": self.parameters,
            "macs": self.macs,
            "bytes": self.size,
            "train_seconds": self.train_seconds,
            "ms_per_image": self.ms_per_image,
            "best_single": self.best,
            "against_best_single": self.verdict.as_record() if self.verdict else None,
        }


@dataclass(frozen=True)
class Table:
    """A finished benchmark.

    Attributes:
        name: of the benchmark.
        path: its folder, with ``table.md``, ``table.csv``, ``table.json`` and the cells' runs.
        rows: singles by backbone, then ensembles, then soups.
        origin: command, machines, versions, run to its versions (``made_by``), a sentence if they
            differ (``mixed``), data and split.
    """

    name: str
    path: Path
    rows: list[TableRow]
    origin: dict[str, Any]

    @property
    def best(self) -> TableRow | None:
        """The single of lowest log loss on validation; None if nothing was trained."""
        return next((row for row in self.rows if row.best), None)

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "benchmark": self.name,
            **self.origin,
            "rows": [row.as_record() for row in self.rows],
        }

    def __repr__(self) -> str:
        return f"Table({str(self.path)!r}, {len(self.rows)} rows)"


def single_rows(
    cells: Sequence[Cell],
    store: CellStore,
    failed: Mapping[str, str],
    no_weights: Mapping[str, str],
) -> list[TableRow]:
    """One row per backbone and variant.

    Args:
        cells: of the whole table.
        store: of the cells.
        failed: name to reason of the cells that were not trained.
        no_weights: backbone to the reason why it has no weights; it gets one row that says so.
    """
    costs = _Costs(cells, store)
    rows: dict[tuple[str, str], TableRow] = {}
    for cell in cells:
        if cell.backbone in no_weights:
            row = TableRow(cell.backbone, "single", cell.backbone)
            row.problems[0] = no_weights[cell.backbone]
            rows[cell.backbone, ""] = row
            continue
        label = f"{cell.backbone}: {VARIANTS[cell.variant]}"
        row = rows.setdefault(
            (cell.backbone, cell.variant), TableRow(label, "single", cell.backbone, cell.variant)
        )
        run = store.run(cell.name) if store.is_done(cell.name) else None
        if run is None:
            row.problems[cell.seed] = failed.get(cell.name, "it was not trained")
        else:
            row.runs[cell.seed] = run
    for row in rows.values():
        costs.fill(row)
    return list(rows.values())


def ensemble_rows(
    wanted: Sequence[Combination],
    missing: Mapping[int, str],
    cells: Sequence[Cell],
    store: CellStore,
    failed: Mapping[str, str],
) -> list[TableRow]:
    """One row per method, and one soup per backbone."""
    costs = _Costs(cells, store)
    rows: dict[tuple[str, str], TableRow] = {}
    for one in wanted:
        soup = one.method == "soup"
        label = f"soup of {one.backbone}" if soup else f"ensemble: {one.method}"
        row = rows.setdefault(
            (one.method, one.backbone),
            TableRow(label, "soup" if soup else "ensemble", one.backbone, method=one.method),
        )
        run = store.run(one.name)
        if run is None:
            row.problems[one.seed] = failed.get(one.name, "it was not made")
        else:
            row.runs[one.seed] = run
    if missing and not any(row.kind == "ensemble" for row in rows.values()):
        rows["", ""] = TableRow("ensembles", "ensemble", "")
    for row in rows.values():
        row.problems |= missing if row.kind == "ensemble" else {}
        costs.fill(row)
    return list(rows.values())


class _Costs:
    """Costs of rows, from those of their cells."""

    def __init__(self, cells: Sequence[Cell], store: CellStore) -> None:
        self._store = store
        self._features: dict[str, float] = {}
        self._backbone = {cell.name: cell.backbone for cell in cells}
        for cell in cells:
            run = store.run(cell.name)
            spent = run.record["seconds"].get("features", 0.0) if run else 0.0
            before = self._features.get(cell.backbone, 0.0)
            self._features[cell.backbone] = max(before, spent)

    def fill(self, row: TableRow) -> None:
        """Medians over the seeds of a row."""
        runs = list(row.runs.values())
        row.parameters, row.macs = (self._network(runs, key) for key in ("parameters", "macs"))
        row.size = _median([float(_model_bytes(run)) for run in runs], int)
        seconds = [self._seconds(_given(run)) for run in runs]
        row.train_seconds = _median(seconds, float)
        row.ms_per_image = _median([run.milliseconds for run in runs], float)

    def _network(self, runs: Sequence[Run], key: str) -> int | None:
        """Parameters or multiply-accumulates of the networks that predict, summed over members."""
        totals: list[float | None] = []
        for run in runs:
            parts = [self._store.about(name).get(key) for name in _asked(run)]
            known = [float(part) for part in parts if part is not None]
            totals.append(sum(known) if len(known) == len(parts) else None)
        return _median(totals, int)

    def _seconds(self, names: Sequence[str]) -> float:
        """Seconds of cells; feature extraction counts once per backbone."""
        shared = sum(self._features[b] for b in {self._backbone[name] for name in names})
        return shared + sum(self._training(name) for name in names)

    def _training(self, name: str) -> float:
        """Seconds of a cell's probe and fine-tuning."""
        run = self._store.run(name)
        if run is None:
            return 0.0
        spent = run.record["seconds"]
        # a resumed run counts only the time since; its history has all epochs
        tuning = max(spent.get("finetune", 0.0), _epochs_seconds(run))
        return float(spent.get("probe", 0.0) + tuning)


def _epochs_seconds(run: Run) -> float:
    return sum(row.get("seconds", 0.0) for rows in run.epochs.values() for row in rows)


def _given(run: Run) -> list[str]:
    """The cells that had to be trained."""
    return list(run.settings["members"]) if run.kind == "ensemble" else [run.name]


def _asked(run: Run) -> list[str]:
    """The cells whose networks predict; of a soup one, since all have the same size."""
    if run.kind != "ensemble":
        return [run.name]
    found = run.record["combination"]
    members: list[str] = found["members"]
    return members[:1] if found["method"] == "soup" else members


def _model_bytes(run: Run) -> int:
    return sum(file.stat().st_size for file in run.path.rglob("model.keras"))


def _median(values: Sequence[float | None], kind: type) -> Any:
    known = [v for v in values if v is not None]
    return kind(np.median(known)) if known and len(known) == len(values) else None


def compare_with_best(rows: Sequence[TableRow]) -> None:
    """Mark the single of lowest validation loss, and compare all others with it."""
    singles = [row for row in rows if row.kind == "single" and row.runs]
    if not singles:
        return
    best = min(singles, key=lambda row: row.val_loss)
    best.best = True
    for row in rows:
        if row is best or not row.runs:
            continue
        seeds = row.seeds_with(best)
        if seeds:
            seeded = any(r.variant != "probe" for r in (row, best))
            row.verdict = judge(row.tables(seeds), best.tables(seeds), seeded)
