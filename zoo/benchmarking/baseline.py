"""Has accuracy regressed? A fresh table is compared with a baseline that is kept in a file.

Accuracy is compared image by image on the same test images. The same machine gives the same
numbers; kernels of another one round differently, which acts like another seed. So a drop counts
only if it exceeds both the variation between seeds and what a test over the images allows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from ensembles.comparison import sign_flip
from zoo.benchmarking.provenance import by_other_code
from zoo.benchmarking.result import Table, TableRow
from zoo.benchmarking.tables import grid
from zoo.errors import ZooError
from zoo.evaluate.labels import LABELS
from zoo.origin import code_version
from zoo.paths import read_regular
from zoo.runs import write_json

_LARGEST = 1 << 28  # bytes of a baseline
_LEVEL = 0.05  # of the tests of all rows of a table together
_ROUNDS = 20_000  # draws of the sign-flip test, so that p-values below LEVEL / rows exist


@dataclass(frozen=True)
class BaselineCheck:
    """Fresh tables compared with a baseline.

    Attributes:
        lines: Markdown tables.
        problems: a sentence for every regression and missing figure; empty if there is none.
    """

    lines: list[str]
    problems: list[str]


def record_of(tables: Sequence[Table]) -> dict[str, Any]:
    """What a baseline keeps: figures, and which test images each network got correct."""
    return {
        "tables": {
            table.name: {
                "command": table.origin["command"],
                "machines": table.origin["machines"],
                "versions": table.origin["versions"],
                "split_fingerprint": table.origin["data"]["split_fingerprint"],
                "test": table.origin["data"]["test"],
                "rows": {row.label: _row_record(row) for row in table.rows if row.runs},
            }
            for table in tables
        }
    }


def _row_record(row: TableRow) -> dict[str, Any]:
    return {
        "group": _group(row),
        "correct": {str(s): _packed(correct) for s, correct in _correct(row).items()},
        "metrics": {name: _rounded(found.value) for name, found in row.figures.items()},
        "train_seconds": _rounded(row.train_seconds),
        "ms_per_image": _rounded(row.ms_per_image),
    }


def _group(row: TableRow) -> str:
    """Rows whose accuracies vary about equally between seeds."""
    return row.backbone or row.kind


def _correct(row: TableRow) -> dict[int, np.ndarray]:
    """Seed to which test images are correct: bool of shape (n,), in the order of their ids."""
    found = {}
    for seed, run in sorted(row.runs.items()):
        table = run.predictions("test")
        correct = table.probabilities.argmax(axis=1) == table.labels
        found[seed] = correct[np.argsort(table.ids)]
    return found


def _packed(correct: np.ndarray) -> str:
    return np.packbits(correct).tobytes().hex()


def _unpacked(text: str, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def write_baseline(path: Path, tables: Sequence[Table]) -> None:
    """Write the file.

    Raises:
        ZooError: a row has no figures, or was made by another version of the code.
    """
    for table in tables:
        if reason := _outdated_reason(table):
            raise ZooError(reason)
        for row in table.rows:
            if row.problems:
                why = next(iter(row.problems.values()))
                raise ZooError(f"{table.name}: {row.label} is not complete ({why})")
    write_json(path, record_of(tables))


def read_baseline(path: Path) -> dict[str, Any]:
    """Content of the file.

    Raises:
        ZooError: missing or damaged.
    """
    try:
        content = json.loads(read_regular(path, _LARGEST))
        tables: dict[str, Any] = content["tables"]
        for kept in tables.values():
            for row in kept["rows"].values():
                for text in row["correct"].values():
                    _unpacked(text, kept["test"])
    except FileNotFoundError:
        raise ZooError(f"there is no baseline {path}: write one with --update {path}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ZooError(f"baseline {path} cannot be read ({error!r:.200})") from error
    return content if isinstance(content, dict) else {}


def check(tables: Sequence[Table], baseline: Mapping[str, Any]) -> BaselineCheck:
    """Compare fresh tables with a baseline.

    Args:
        tables: by the commands that made the baseline.
        baseline: from :func:`read_baseline`.
    """
    fresh, report = {table.name: table for table in tables}, BaselineCheck([], [])
    for name, kept in baseline["tables"].items():
        table = fresh.get(name)
        if table is None:
            report.problems.append(f"{name}: the table was not produced")
        elif reason := _outdated_reason(table):
            report.problems.append(reason)
        elif table.origin["data"]["split_fingerprint"] != kept["split_fingerprint"]:
            report.problems.append(
                f"{name}: images or split are not those of the baseline, so nothing can be "
                f"compared: make a new one with --update"
            )
        elif table.origin["command"] != kept["command"]:
            report.problems.append(
                f"{name}: the baseline was made by `{kept['command']}`: make a new one with "
                f"--update"
            )
        else:
            _check_table(table, kept, report)
    return report


def _outdated_reason(table: Table) -> str:
    """A sentence if the current code did not make all runs of a table; empty if it did."""
    made = table.origin["made_by"]
    old = by_other_code(made, code_version())
    if not old:
        return ""
    return (
        f"{table.name}: {len(old)} of {len(made)} runs were made by another version: remove "
        f"{table.path / 'cells'}"
    )


def _check_table(table: Table, kept: Mapping[str, Any], report: BaselineCheck) -> None:
    fresh = {row.label: row for row in table.rows}
    noise = _noise(table, kept)
    same = table.origin["machines"] == kept["machines"]
    times = _Times(table, kept, same)
    cells = []
    for label, old in kept["rows"].items():
        row = fresh.get(label)
        found = _missing(row, old)
        if found or row is None:
            report.problems.append(f"{table.name}: {label}: {found}")
            cells.append([label, _number(old["metrics"]["accuracy"]), "missing", "", ""])
            continue
        change, fell = _change(row, old, kept, noise[old["group"]])
        if fell:
            report.problems.append(
                f"{table.name}: {label}: accuracy fell from {old['metrics']['accuracy']:.4f} by "
                f"{-change:.4f}, more than seeds and test images explain"
            )
        now = row.figures["accuracy"].value
        cells.append(
            [
                label,
                _number(old["metrics"]["accuracy"]),
                _number(now),
                f"{change:+.4f}",
                times.ratio(label, row, old),
            ]
        )
    title = "training time, now / baseline" + ("" if same else ", as shares of the table's")
    headers = ["model", "accuracy, baseline", "now", "difference", title]
    machines = "the same machine" if same else f"another machine ({'; '.join(kept['machines'])})"
    report.lines.append(
        f"### {table.name} and its baseline\n\n{grid(headers, cells)}\n\nThe baseline was made on "
        f"{machines}{_other_versions(table, kept)}.\n"
    )


def _other_versions(table: Table, kept: Mapping[str, Any]) -> str:
    """The packages whose versions the baseline does not share."""
    now, then = table.origin["versions"], kept["versions"]
    other = [f"{p} {then[p]}, now {now[p]}" for p in now if then.get(p, now[p]) != now[p]]
    return f", with other versions: {'; '.join(other)}" if other else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _missing(row: TableRow | None, old: Mapping[str, Any]) -> str:
    """What was not produced, in words; empty if nothing is missing."""
    if row is None or not row.runs:
        why = next(iter(row.problems.values()), "") if row else ""
        return f"the row was not produced{f' ({why})' if why else ''}"
    absent = sorted(set(old["correct"]) - {str(s) for s in row.runs})
    if absent:
        why = row.problems.get(int(absent[0]), "fewer seeds were requested")
        return f"seed {absent[0]} was not produced ({why})"
    for name in LABELS:
        value = row.figures[name].value
        if old["metrics"][name] is not None and (value is None or not math.isfinite(value)):
            return f"{LABELS[name]} was not produced"
    for name in ("train_seconds", "ms_per_image"):
        if old[name] is not None and getattr(row, name) is None:
            return f"{name} was not produced"
    return ""


def _noise(table: Table, kept: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """Group to the pooled deviation of accuracy between seeds and its degrees of freedom."""
    spread: dict[str, list[tuple[float, int]]] = {}
    count = kept["test"]
    for old in kept["rows"].values():
        values = [_unpacked(text, count).mean() for text in old["correct"].values()]
        spread.setdefault(old["group"], []).append(_squares(values))
    for row in table.rows:
        if row.runs:
            found = row.figures["accuracy"].each
            spread.setdefault(_group(row), []).append(_squares([v for v in found if v is not None]))
    noise = {}
    for group, parts in spread.items():
        freedom = sum(df for _, df in parts)
        variance = sum(square for square, _ in parts) / max(1, freedom)
        noise[group] = (math.sqrt(max(variance, 1 / count**2)), freedom)
    return noise


def _squares(values: Sequence[float]) -> tuple[float, int]:
    """Sum of squared deviations and its degrees of freedom."""
    return float(np.var(values) * len(values)), len(values) - 1


def _change(
    row: TableRow, old: Mapping[str, Any], kept: Mapping[str, Any], noise: tuple[float, int]
) -> tuple[float, bool]:
    """Change of accuracy over the baseline's seeds, and whether it is a regression."""
    correct, rows = _correct(row), len(kept["rows"])
    seeds = [int(s) for s in old["correct"]]
    before = np.stack([_unpacked(old["correct"][str(s)], kept["test"]) for s in seeds])
    now = np.stack([correct[s] for s in seeds])
    difference = (now.astype(float) - before).mean(axis=0)
    change = float(difference.mean())
    deviation, freedom = noise
    fell = change < 0 and sign_flip(difference, less=True, rounds=_ROUNDS) < _LEVEL / rows
    if fell and freedom and len(seeds) > 1:  # else the variation between seeds is not known
        limit = float(student.ppf(1 - _LEVEL / rows, freedom))
        fell = -change > limit * deviation * math.sqrt(2 / len(seeds))
    return change, fell


class _Times:
    """Training seconds against the baseline's; those of another machine in proportion only."""

    def __init__(self, table: Table, kept: Mapping[str, Any], same: bool) -> None:
        fresh = {r.label: r.train_seconds for r in table.rows}
        both = [(fresh.get(n), r["train_seconds"]) for n, r in kept["rows"].items()]
        timed = [(a, b) for a, b in both if a is not None and b is not None]
        now, then = [a for a, _ in timed], [b for _, b in timed]
        self._scale = 1.0 if same else sum(then) / max(sum(now), 1e-9)

    def ratio(self, label: str, row: TableRow, old: Mapping[str, Any]) -> str:
        """Ratio to the baseline; for another machine, each as a share of its table's total."""
        if not row.train_seconds or not old["train_seconds"]:
            return "-"
        return f"{row.train_seconds / old['train_seconds'] * self._scale:.2f}"
