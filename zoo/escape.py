"""Names and texts from data, made harmless where they are shown: one function for each medium.

Class names, file names and the fields of records come from whoever made them. They may hold
control characters, escape sequences of terminals, markup, or bytes that are not text.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from typing import Any, TextIO

_BREAKS = "\n\t"
# C0 and C1 controls, and the characters that reorder or hide text (bidirectional marks, separators)
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_MARKDOWN = re.compile(r"[\\`*|<>&~#]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def printable(text: str) -> str:
    """Text on one line: control characters, newlines and broken bytes are shown as escapes."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def printable_lines(text: str) -> str:
    """Text of several lines: as :func:`printable`, but for newlines and tabs, which stay."""
    return "".join(c if c.isprintable() or c in _BREAKS else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def clean_html(page: str) -> str:
    """A whole page without control characters; broken bytes of file names are shown as escapes.

    Markup in names is escaped where the page is made, by the templates.
    """
    readable = re.sub("[\ud800-\udfff]", lambda m: _escaped(m[0]), page)
    return _INVISIBLE.sub("", readable)


def escaped_json(text: str) -> str:
    """JSON text, as ``json.dumps(..., ensure_ascii=False)`` gives it, with such characters escaped.

    Its meaning stays: ``json.loads`` gives the same strings.
    """
    return _INVISIBLE.sub(lambda m: f"\\u{ord(m[0]):04x}" if m[0] >= "\x7f" else m[0], text)


def markdown_text(text: str) -> str:
    """Text in a Markdown paragraph or table cell: on one line, no markup, no HTML."""
    return _MARKDOWN.sub(lambda m: _ENTITIES.get(m[0], f"\\{m[0]}"), printable(text))


def markdown_code(text: str) -> str:
    """Text as a Markdown code span, whatever backticks it holds."""
    text = printable(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def csv_cell(name: str) -> str:
    """A name as a CSV cell that no spreadsheet takes for a formula.

    A quote goes before a name that begins with ``=``, ``+``, ``-``, ``@``, a tab, a carriage return
    or a quote. :func:`name_of_cell` takes it away, so every name comes back exactly. Bytes of file
    names that are not text become escapes, as everywhere where UTF-8 is written.
    """
    name = re.sub("[\ud800-\udfff]", lambda m: _escaped(m[0]), name)
    return f"'{name}" if name.startswith(_FORMULA) else name


def name_of_cell(cell: str) -> str:
    """The name that :func:`csv_cell` made a cell of."""
    return cell.removeprefix("'")


def write_csv(file: TextIO, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows that Python's csv reads back exactly; names are made cells before."""
    minimal = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = list(row)
        # Python 3.11 leaves a carriage return unquoted if lines do not end with one
        writer = quoted if any("\r" in str(cell) for cell in cells) else minimal
        writer.writerow(cells)
