"""Tables that fit the terminal: fewer columns where it is narrow, lines where it is narrower."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from zoo.cli._common import table
from zoo.escape import printable

_NARROW = 60  # characters, below which a table is no help
_GAP = 2


def terminal_width() -> int | None:
    """Characters of a line of the terminal; None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fitted(
    headers: list[str],
    rows: list[list[str]],
    order: Sequence[int],
    *,
    width: int | None,
    wide: bool = False,
    right: set[int] | None = None,
) -> str:
    """A table of as many columns as fit.

    Args:
        headers: column titles.
        rows: cells.
        order: the columns, the most important one first; the first one is always shown.
        width: of the terminal, in characters; None for a file or pipe, which gets all columns.
        wide: all columns, however wide.
        right: columns aligned to the right.
    """
    cells = [headers, *[[printable(cell) for cell in row] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if wide or width is None or sum(widths) + _GAP * (len(widths) - 1) <= width:
        return table(headers, rows, right)
    if width < _NARROW:
        return "\n".join(_lines(headers, row, order) for row in rows)
    shown, taken = [order[0]], widths[order[0]]
    for column in order[1:]:
        if taken + _GAP + widths[column] <= width:
            shown.append(column)
            taken += _GAP + widths[column]
    shown.sort()
    moved = {shown.index(column) for column in right or () if column in shown}
    left_out = ", ".join(h for i, h in enumerate(headers) if i not in shown)
    narrow = table([headers[i] for i in shown], [[row[i] for i in shown] for row in rows], moved)
    return f"{narrow}\nnot shown: {left_out} (--wide)"


def _lines(headers: list[str], row: list[str], order: Sequence[int]) -> str:
    """A row as lines: its name, and below it each value that it has."""
    first, *others = order
    values = [f"  {headers[i]}: {row[i]}" for i in others if row[i]]
    return "\n".join([row[first], *values])
