"""A benchmark's table for a terminal: as many columns as fit, the most important ones first."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from itertools import groupby

from zoo.benchmarking.result import Figure, Table, TableRow
from zoo.escape import printable
from zoo.evaluate.labels import LABELS
from zoo.words import counted

_GAP = 2  # blanks between columns
_NOTE = 100  # characters of the notes at most, which longer lines make hard to read
_LONGEST = 36  # letters of a row's name
_SHORT = {
    "better": "better",
    "worse": "worse",
    "not distinguishable": "same",
    "cannot be told": "?",
}


def terminal_table(table: Table, width: int, *, wide: bool = False) -> str:
    """Rows by backbone, and below them what they are compared by.

    Args:
        table: finished.
        width: characters of the terminal.
        wide: all columns, however wide.
    """
    rows = [_cells(row, wide) for row in table.rows]
    titles = ["", *_COLUMNS]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    shown = list(range(len(titles))) if wide else _fitting(widths, width)

    def line(cells: list[str]) -> str:
        parts = [cells[0].ljust(widths[0])]
        parts += [cells[i].rjust(widths[i]) for i in shown[1:]]
        return (" " * _GAP).join(parts).rstrip()

    lines = [f"benchmark {printable(table.name)}", "", line(titles)]
    pairs = zip(table.rows, rows, strict=True)
    for backbone, group in groupby(pairs, key=lambda pair: _group(pair[0])):
        lines.append(printable(backbone))
        lines += [line(cells) for _, cells in group]
    note = _note(table, len(shown) < len(titles))
    lines += ["", *textwrap.wrap(note, max(40, min(width, _NOTE)))]
    return "\n".join(lines)


def _fitting(widths: list[int], width: int) -> list[int]:
    """Columns that fit, by importance: the name and the first metric always."""
    shown, total = [0, 1], widths[0] + _GAP + widths[1]
    for column, one in enumerate(widths[2:], start=2):
        if total + _GAP + one <= width:
            shown.append(column)
            total += _GAP + one
    return shown


def _group(row: TableRow) -> str:
    return row.backbone if row.kind == "single" else "ensembles"


def _name(row: TableRow, wide: bool) -> str:
    """Name of a row within its group."""
    name = row.label.removeprefix(f"{row.backbone}: ").removeprefix("ensemble: ")
    if not row.variant and row.kind == "single":
        name = "no weights"
    name = printable(name)
    if len(name) > _LONGEST and not wide:
        name = name[: _LONGEST - 1] + "…"
    return f"  {name}{' *' if row.best else ''}"


def _cells(row: TableRow, wide: bool) -> list[str]:
    if not row.runs:
        return [_name(row, wide), "failed", *[""] * (len(_COLUMNS) - 1)]
    return [_name(row, wide), *(show(row) for show in _COLUMNS.values())]


def _figure(found: Figure) -> str:
    if found.value is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}{f' ({found.reason})' if found.reason else ''}"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _metric(name: str) -> Callable[[TableRow], str]:
    return lambda row: _figure(row.figures[name])


def _against(row: TableRow) -> str:
    return "" if row.verdict is None else _SHORT.get(row.verdict.by_log_loss, "")


def _number(value: float | None, digits: int, unit: float = 1.0) -> str:
    return "-" if value is None else f"{value / unit:,.{digits}f}"


_COLUMNS: dict[str, Callable[[TableRow], str]] = {
    LABELS["accuracy"]: _metric("accuracy"),
    "vs *": _against,
    LABELS["log_loss"]: _metric("log_loss"),
    "train s": lambda row: _number(row.train_seconds, 0),
    "ms/image": lambda row: _number(row.ms_per_image, 1),
    "params M": lambda row: _number(row.parameters, 2, 1e6),
    "MACs M": lambda row: _number(row.macs, 1, 1e6),
    LABELS["f1"]: _metric("f1"),
    LABELS["auc"]: _metric("auc"),
    LABELS["calibration_error"]: _metric("calibration_error"),
}


def _note(table: Table, cut: bool) -> str:
    data = table.origin["data"]
    parts = [
        f"Test metrics of {counted(data['test'], 'image')}, means over "
        f"{counted(table.origin['seeds'], 'seed')}, 95% intervals in brackets."
    ]
    if table.best is not None:
        parts.append(
            "* best single by validation log loss; vs *: better, worse or the same (not "
            "distinguishable) by log loss in a paired test, ? cannot be told."
        )
        tested = [row.verdict for row in table.rows if row.verdict is not None]
        if any(v.of == "networks" for v in tested):
            parts.append("With so few seeds the verdicts are about these networks, not recipes.")
        if len(tested) > 1:
            parts.append(f"{counted(len(tested), 'row')} tested, not corrected for that.")
    problems = dict.fromkeys(why for row in table.rows for why in row.problems.values())
    parts += [f"Failed: {printable(why)}." for why in problems]
    if cut:
        parts.append("--wide shows all columns.")
    return " ".join(parts)
