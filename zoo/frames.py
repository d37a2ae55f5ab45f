"""Rows that show themselves as a table: in Python, in a notebook, and as a pandas data frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from zoo.errors import ZooError
from zoo.escape import printable

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def data_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Data frame of columns.

    Raises:
        ZooError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise ZooError("a table needs pandas, which is not installed: pip install pandas") from None
    return pd.DataFrame(columns)


class Listing(list[T]):
    """A list that is shown as a table.

    Args:
        items: what is listed.
        columns: the cells of one item by column, the same columns for each.
    """

    def __init__(self, items: Iterable[T], columns: Callable[[T], Mapping[str, Any]]) -> None:
        super().__init__(items)
        self._columns = columns

    def to_frame(self) -> pd.DataFrame:
        """One row per item.

        Raises:
            ZooError: pandas is not installed.
        """
        rows = [self._columns(item) for item in self]
        names = list(rows[0]) if rows else []
        return data_frame({name: [row[name] for row in rows] for name in names})

    def __repr__(self) -> str:
        if not self:
            return "[]"
        rows = [{k: _text(v) for k, v in self._columns(item).items()} for item in self]
        cells = [list(rows[0]), *[list(row.values()) for row in rows]]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in cells
        )
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        rows = [self._columns(item) for item in self]
        return html_table(list(rows[0]), [list(r.values()) for r in rows]) if rows else "[]"


def html_table(headers: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Small table for a notebook; cells are escaped, because names come from others."""
    from markupsafe import escape

    head = "".join(f"<th>{escape(cell)}</th>" for cell in headers)
    lines = ("".join(f"<td>{escape(_text(cell))}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else printable(str(value))
