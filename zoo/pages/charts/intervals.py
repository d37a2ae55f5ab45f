"""Values with their 95% intervals, on a rail each or below one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from zoo.pages import svg
from zoo.pages.charts.palette import room_for, short

_ROW = 24  # pixels per value


def whisker(value: float, low: float, high: float, edge: tuple[float, float]) -> Markup:
    """A value and its interval on a rail between two ends."""
    start, end = edge
    span = (end - start) or 1.0
    at, a, b = (4 + 192 * (x - start) / span for x in (value, low, high))
    parts = [svg.line([(2, 5), (198, 5)], "rail"), svg.line([(a, 5), (b, 5)], "whisker")]
    drawn = Markup("").join([*parts, svg.dot(at, 5, "tip")])
    return Markup('<svg viewBox="0 0 200 10" aria-hidden="true">{}</svg>').format(drawn)


class Estimate(NamedTuple):
    """A value with its interval, of one of several runs."""

    name: str
    value: float
    low: float
    high: float


def forest_chart(rows: Sequence[Estimate], title: str) -> Markup:
    """Values with their intervals below each other."""
    low, high = min(r.low for r in rows), max(r.high for r in rows)
    room = 0.06 * (high - low) or 0.01
    left = 14 + room_for([r.name for r in rows])
    height = 44 + _ROW * len(rows)
    frame = svg.Frame(320 + left, height, 0, 1, low - room, high + room, (left, 14, 6, 34))
    parts = []
    for tick in svg.ticks(frame.left, frame.right, 4):
        x = frame.x(tick)
        parts.append(svg.line([(x, 6), (x, height - 34)], "grid"))
        parts.append(svg.text(x, height - 20, svg.number(round(tick, 6))))
    for i, row in enumerate(rows):
        y = 18 + _ROW * i
        words = f"{row.name}: {row.value:.4f} [{row.low:.4f}, {row.high:.4f}]"
        parts.append(svg.text(left - 8, y + 4, short(row.name), "end", "name"))
        parts.append(svg.line([(frame.x(row.low), y), (frame.x(row.high), y)], "error-bar"))
        parts.append(svg.dot(frame.x(row.value), y, "dot", words, "fill-opacity: 1", 4.5))
    parts.append(svg.text((left + 320 + left - 14) / 2, height - 4, title, kind="title"))
    return svg.image(320 + left, height, parts, title)
