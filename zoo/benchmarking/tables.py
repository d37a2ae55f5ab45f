"""A benchmark's table as Markdown for people, and as CSV and JSON for machines."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.benchmarking.result import Figure, Table, TableRow
from zoo.benchmarking.verdict import FEWEST_SEEDS, Verdict
from zoo.errors import disk_errors
from zoo.escape import csv_cell, markdown_code, markdown_text, write_csv
from zoo.evaluate.labels import LABELS
from zoo.output import MARKDOWN, WRITTEN_BY, check_output
from zoo.runs import to_json
from zoo.words import counted

_WIDTH = 100  # characters of the notes in files


def write(table: Table) -> None:
    """Write ``table.md``, ``table.csv`` and ``table.json`` into the benchmark's folder.

    All three are renewed, or none: they are replaced when all of them are complete on disk.

    Raises:
        ZooError: the disk is full or cannot be written.
    """
    contents = {
        "table.md": markdown(table),
        "table.csv": csv_text(table),
        "table.json": to_json({**WRITTEN_BY, **table.as_record()}) + "\n",
    }
    made: dict[Path, Path] = {}
    with disk_errors(table.path):
        try:
            for name, text in contents.items():
                temporary = table.path / f".zoo-{os.getpid()}.{name}"
                made[temporary] = table.path / name
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            for target in made.values():
                check_output(target)
            for temporary, target in made.items():
                temporary.replace(target)
        finally:
            for temporary in made:
                temporary.unlink(missing_ok=True)


def markdown(table: Table) -> str:
    """Two tables, of metrics and of costs, and the notes that explain them."""
    parts = [
        f"### Benchmark {markdown_text(table.name)}",
        _fold(_data(table)),
        grid(["model", *LABELS.values()], [_quality(row) for row in table.rows]),
        grid(_COSTS, [_cost(row) for row in table.rows if row.runs]),
        *(_fold(note) for note in _notes(table)),
    ]
    return "\n\n".join(part for part in [MARKDOWN, *parts] if part) + "\n"


def grid(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is also aligned as plain text; the first column to the left."""
    cells = [list(headers), *[[markdown_text(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        padded = [c.rjust(w) for c, w in zip(row, widths, strict=True)]
        padded[0] = row[0].ljust(widths[0])
        return f"| {' | '.join(padded)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (w - 1) + ":" for w in widths[1:])]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def _fold(text: str) -> str:
    return "\n".join(textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False))


def _data(table: Table) -> str:
    data = table.origin["data"]
    return (
        f"{markdown_text(data['name'])}: {data['images']:,} images of {data['classes']} classes, "
        f"{data['train']:,} for training, {data['val']:,} for validation, {data['test']:,} for "
        f"testing; split {data['split_fingerprint'][:12]}, "
        f"{counted(table.origin['seeds'], 'seed')}."
    )


def _label(row: TableRow) -> str:
    single = len(row.runs) == 1 and row.figures["accuracy"].over == "images"
    return f"{row.label}{' (best single)' if row.best else ''}{' †' if single else ''}"


def _quality(row: TableRow) -> list[str]:
    if not row.runs:
        shown = "no weights" if row.kind == "single" and not row.variant else "failed"
        return [row.label, shown, *[""] * (len(LABELS) - 1)]
    return [_label(row), *[_figure(row.figures[name]) for name in LABELS]]


def _figure(found: Figure) -> str:
    if found.value is None:
        return "not defined"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}{f' ({found.reason})' if found.reason else ''}"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


_COSTS = (
    "model",
    "accuracy vs best single",
    "log loss vs best single",
    "parameters (M)",
    "MACs (M)",
    "size (MB)",
    "training (s)",
    "ms per image",
)


def _cost(row: TableRow) -> list[str]:
    return [
        _label(row),
        *_verdict(row.verdict),
        _millions(row.parameters),
        _millions(row.macs),
        _millions(row.size, 1),
        "-" if row.train_seconds is None else f"{row.train_seconds:.0f}",
        "-" if row.ms_per_image is None else f"{row.ms_per_image:.1f}",
    ]


def _verdict(found: Verdict | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    about = "" if found.of == "recipes" else " (these networks)"
    shown = [
        f"{change:+.3f} {words}{about if words in ('better', 'worse') else ''}"
        for change, words in (
            (found.accuracy, found.by_accuracy),
            (found.log_loss, found.by_log_loss),
        )
    ]
    return shown[0], shown[1]


def _millions(count: int | None, digits: int = 2) -> str:
    return "-" if count is None else f"{count / 1e6:,.{digits}f}"


def _notes(table: Table) -> list[str]:
    origin = table.origin
    notes = [_intervals(table), _comparison(table), _kept(table), *_problems(table)]
    notes.append(markdown_text(origin["mixed"]))
    notes.append(
        f"Training: seconds of feature extraction (of the cell that computed the features), probe "
        f"and fine-tuning, summed over members; medians over seeds, as are milliseconds, measured "
        f"with {counted(origin['at_a_time'], 'training run')} at a time. All cells took "
        f"{origin['cell_seconds']:,.0f} s."
    )
    made = ", ".join(f"{package} {found}" for package, found in origin["versions"].items())
    notes.append(
        f"{markdown_text('; '.join([*origin['machines'], made]))}. "
        f"{markdown_code(origin['command'])}"
    )
    return [note for note in notes if note]


def _intervals(table: Table) -> str:
    single = [row for row in table.rows if any(f.over == "images" for f in row.figures.values())]
    several = any(f.over == "seeds" for row in table.rows for f in row.figures.values())
    parts = []
    if several:
        parts.append(
            "In brackets: 95% interval of the mean over seeds (Student's t), for these test images."
        )
    if single:
        why = []
        if table.origin["seeds"] > 1:
            probes = [row.variant == "probe" for row in single]
            why += ["a probe has no randomness"] if any(probes) else []
            alike = [len(row.runs) > 1 for row in single]
            why += ["or several that predict the same"] * any(alike)
            known = [p or s for p, s in zip(probes, alike, strict=True)]
            why += [] if all(known) else ["of other rows, seeds are missing"]
        shown = f" ({'; '.join(why)})" if why else ""
        parts.append(f"† one training run{shown}: 95% interval over test images.")
    return " ".join(parts)


def _comparison(table: Table) -> str:
    if table.best is None:
        return ""
    verdicts = [row.verdict for row in table.rows if row.verdict is not None]
    parts = [
        f"Best single: {markdown_text(table.best.label)}, by log loss on validation images. "
        f"Against it: the difference, and better or worse by a paired test at the 5% level."
    ]
    if any(v.of == "recipes" and v.seeds > 1 for v in verdicts):
        parts.append(
            "It is about recipes: another seed would say the same (Student's t with the variance "
            "over seeds and over test images)."
        )
    if any(v.of == "networks" for v in verdicts):
        parts.append(
            f"Where fewer than {FEWEST_SEEDS} seeds can be compared it is about these networks, "
            f"not about this recipe: another seed may say otherwise (McNemar's test, bootstrap-t)."
        )
    if len(verdicts) > 1:
        parts.append(
            f"{len(verdicts)} rows are tested and not corrected for that: of so many equal ones, "
            f"{0.05 * len(verdicts):.1f} per column are called better or worse by chance."
        )
    return " ".join(parts)


def _kept(table: Table) -> str:
    kept = [row for row in table.rows if row.probes_kept]
    if not kept:
        return ""
    shown = ", ".join(
        f"{markdown_text(row.label)} ({row.probes_kept} of {len(row.runs)})" for row in kept
    )
    return f"Fine-tuning did not beat the probe on validation, so the probe was kept: {shown}."


def _problems(table: Table) -> list[str]:
    """One sentence per reason, with the rows and seeds that it applies to."""
    whose: dict[str, list[str]] = {}
    for row in table.rows:
        for seed, why in row.problems.items():
            several = len(row.problems) + len(row.runs) > 1
            whose.setdefault(why, []).append(f"{row.label}{f', seed {seed}' if several else ''}")
    return [
        f"{markdown_text('; '.join(rows))}: {markdown_text(why)}." for why, rows in whose.items()
    ]


_PLAIN = ("label", "kind", "backbone", "variant", "method", "best_single")
_NUMBERS = ("parameters", "macs", "bytes", "train_seconds", "ms_per_image", "val_log_loss")
_AGAINST = ("accuracy", "p_value", "log_loss", "low", "high", "by_accuracy", "by_log_loss", "of")


def csv_text(table: Table) -> str:
    """One line per row; the origin is repeated in each."""
    origin = table.origin
    provenance = {
        "data": origin["data"]["name"],
        "split_fingerprint": origin["data"]["split_fingerprint"],
        "command": origin["command"],
        "machine": "; ".join(origin["machines"]),
        "versions": "; ".join(f"{k} {v}" for k, v in origin["versions"].items()),
    }
    lines = [{**_flat(row.as_record()), **provenance} for row in table.rows]
    file = io.StringIO()
    write_csv(file, [list(lines[0]), *[map(_csv_value, line.values()) for line in lines]])
    return file.getvalue()


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: record[key] for key in _PLAIN}
    found["seeds"] = len(record["seeds"])
    for name in LABELS:
        metric = record["metrics"].get(name, {})
        found[name] = metric.get("value")
        found |= {f"{name}_{end}": metric.get(end) for end in ("low", "high", "over", "reason")}
    found |= {key: record[key] for key in _NUMBERS}
    against = record["against_best_single"] or {}
    found |= {f"against_best_{key}": against.get(key) for key in _AGAINST}
    found["problem"] = "; ".join(dict.fromkeys(record["problems"].values()))
    return found


def _csv_value(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return csv_cell(value)
    return "" if value is None else value
