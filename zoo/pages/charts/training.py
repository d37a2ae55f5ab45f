"""Charts of a training: values by epoch, and loss by number of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from zoo.pages import svg
from zoo.pages.charts.palette import PALETTE, Legend


def history_chart(
    lines: Mapping[str, Sequence[float]], title: str, marked: int | None, start: float | None
) -> tuple[Markup, list[Legend]]:
    """Values by epoch.

    Args:
        lines: name to one value per epoch.
        title: what is shown.
        marked: the epoch that was kept, counted from 1.
        start: value before the first epoch, of the probe; drawn as a level.
    """
    values = [v for line in lines.values() for v in line if np.isfinite(v)]
    values += [start] if start is not None else []
    if not values:
        return Markup(), []
    room = 0.06 * (max(values) - min(values)) or 0.01
    count = max(map(len, lines.values()))
    frame = svg.Frame(
        380, 250, min(values) - room, max(values) + room, 1, max(2, count), (52, 14, 12, 34)
    )
    integers = [t for t in svg.ticks(1, max(2, count), 6) if t == int(t)]
    parts = [*frame.axes(title), *frame.scale(integers)]
    if start is not None:
        parts.append(svg.line([(52, frame.y(start)), (366, frame.y(start))], "even"))
        parts.append(
            svg.text(364, frame.y(start) - 5, f"probe {svg.number(round(start, 3))}", "end")
        )
    if marked:
        x = frame.x(marked)
        parts.append(svg.line([(x, frame.y(frame.low)), (x, frame.y(frame.high))], "grid"))
        parts.append(svg.text(x, frame.y(frame.high) + 9, "kept"))
    legend = []
    for i, (name, line) in enumerate(lines.items()):
        points = [(e, v) for e, v in enumerate(line, start=1) if np.isfinite(v)]
        style = f"stroke: {PALETTE[i]}"
        parts.append(svg.line(frame.points(points), "curve", style))
        for e, v in points:
            words = f"epoch {e}: {name} {v:.4g}"
            parts.append(svg.dot(frame.x(e), frame.y(v), "dot", words, f"fill: {PALETTE[i]}", 3))
        legend.append(Legend(name, PALETTE[i]))
    return svg.image(380, 250, parts, title), legend


def growth_chart(curve: Sequence[tuple[float, float]]) -> Markup:
    """Validation loss by number of training images."""
    losses = [loss for _, loss in curve]
    room = 0.15 * (max(losses) - min(losses)) or 0.01
    most = max(count for count, _ in curve)
    frame = svg.Frame(380, 250, min(losses) - room, max(losses) + room, 0, 1.05 * most)
    parts = [*frame.axes("training images"), *frame.scale([count for count, _ in curve])]
    parts.append(svg.line(frame.points(curve), "curve"))
    for count, loss in curve:
        words = f"{count:.0f} images: loss {loss:.3f}"
        parts.append(svg.dot(frame.x(count), frame.y(loss), "dot", words, radius=4))
    return svg.image(380, 250, parts, "validation loss by number of training images")
