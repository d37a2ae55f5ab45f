"""The charts of a report."""

from __future__ import annotations

import base64
import colorsys
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from zoo.pages import svg
from zoo.reporting.scores import BINS, Bin, Curve

_PALETTE = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1"),
    *("#37a3a3", "#d4a72c", "#e377a2", "#9c755f", "#8a8f98"),
)
_LONGEST = 16  # letters of a name beside a chart
_CELLS = 30  # classes up to which a confusion matrix has cells with numbers
COLOURED = 6  # curves that are told apart by colour


def colour(index: int, count: int) -> str:
    """The colour of one of several classes."""
    if count <= len(_PALETTE):
        return _PALETTE[index]
    red, green, blue = colorsys.hls_to_rgb(index * 0.618034 % 1, (0.45, 0.58)[index % 2], 0.6)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def short(name: str) -> str:
    """A name that fits beside a chart."""
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def confusion_chart(matrix: np.ndarray, names: Sequence[str]) -> Markup:
    """Rows: what images are; columns: what they are called; dark: a large share of the row."""
    k = len(names)
    if k > _CELLS:
        return _confusion_image(matrix)
    cell = min(52.0, max(24.0, 560 / k))
    left, top = (
        9 + 6.6 * max(len(short(n)) for n in names),
        12 + 6.6 * max(len(short(n)) for n in names),
    )
    totals = np.maximum(matrix.sum(axis=1), 1)
    parts = []
    for i in range(k):
        parts.append(svg.text(left - 7, top + cell * (i + 0.5) + 4, short(names[i]), "end", "name"))
        x = left + cell * (i + 0.5) + 4
        turned = Markup('<text transform="translate({:.1f} {:.1f}) rotate(-90)">{}</text>')
        parts.append(turned.format(x, top - 7, short(names[i])))
        for j in range(k):
            parts.append(_cell(matrix, totals, names, (i, j), (left, top, cell)))
    return svg.image(left + k * cell + 1, top + k * cell + 1, parts, "confusion matrix")


def _cell(
    matrix: np.ndarray,
    totals: np.ndarray,
    names: Sequence[str],
    at: tuple[int, int],
    place: tuple[float, float, float],
) -> Markup:
    (i, j), (left, top, size) = at, place
    count, share = int(matrix[i, j]), matrix[i, j] / totals[i]
    x, y = left + size * j, top + size * i
    tint = "--heat" if i == j else "--wrong"
    # the square root shows rare mistakes too
    strength = share if i == j else float(np.sqrt(share))
    about = f"{count} of {totals[i]} {names[i]} called {names[j]} ({share:.1%})"
    style = f"fill: rgba(var({tint}), {max(0.03, 0.92 * strength):.3f})"
    if not count:
        return svg.box(x, y, size - 1.5, size - 1.5, "cell zero", about)
    drawn = svg.box(x, y, size - 1.5, size - 1.5, "cell", about, style)
    kind = "cell-text on" if strength > 0.55 else "cell-text"
    return drawn + svg.text(x + size / 2 - 0.75, y + size / 2 + 3.5, str(count), "middle", kind)


def _confusion_image(matrix: np.ndarray) -> Markup:
    """The matrix of many classes, a pixel a cell."""
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(len(matrix), dtype=bool)
    colours = np.where(diagonal[..., None], (60, 135, 200), (220, 90, 30))
    alpha = 255 * np.where(diagonal, share, np.sqrt(share))
    pixels = np.concatenate([colours, alpha[..., None]], axis=2).round().astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    data = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    frame = svg.box(0.5, 0.5, 559, 559, "grid")
    drawn = Markup(
        '<image width="558" height="558" x="1" y="1" class="pic small" href="{}"/>'
    ).format(data)
    return svg.image(560, 560, [drawn, frame], "confusion matrix")


def reliability_chart(after: Sequence[Bin], before: Sequence[Bin]) -> Markup:
    """Accuracy by confidence with 95% intervals; below, how many images have which confidence."""
    frame = svg.Frame(380, 330, 0.0, 1.0, margin=(46, 14, 12, 34))
    parts = [*frame.axes("confidence (up: share that is right)"), *frame.scale(svg.ticks(0, 1, 5))]
    parts.append(svg.line(frame.points([(0, 0), (1, 1)]), "even"))
    most = max((b.count for b in after), default=1)
    for b in after:
        left = frame.x(min(int(b.confidence * BINS), BINS - 1) / BINS)
        height = 46 * b.count / most
        words = f"{b.count} images"
        parts.append(
            svg.box(left + 1, frame.y(0) - height, frame.x(0.1) - frame.x(0) - 2, height, "bar",
                    words, "fill-opacity: .18")
        )  # fmt: skip
    if before:
        points = frame.points((b.confidence, b.accuracy.value) for b in before)
        parts.append(svg.line(points, "curve second dashed"))
    for b in after:
        a, x = b.accuracy, b.confidence
        parts.append(svg.line(frame.points([(x, a.low), (x, a.high)]), "error-bar"))
    parts.append(svg.line(frame.points((b.confidence, b.accuracy.value) for b in after), "curve"))
    for b in after:
        a = b.accuracy
        words = (
            f"{b.count} images of confidence {b.confidence:.2f}: {a.value:.2f} "
            f"[{a.low:.2f}, {a.high:.2f}] right"
        )
        parts.append(svg.dot(frame.x(b.confidence), frame.y(a.value), "dot", words, radius=4))
    return svg.image(380, 330, parts, "reliability diagram")


class Legend(NamedTuple):
    """An entry below a chart."""

    words: str
    colour: str


def curves_chart(
    curves: Sequence[Curve], title: str, low: float = 0.0
) -> tuple[Markup, list[Legend]]:
    """A curve a class; of many, those of smallest area are coloured, the others grey."""
    frame = svg.Frame(380, 330, low, 1.0)
    worst = sorted(range(len(curves)), key=lambda i: curves[i].area)[:COLOURED]
    parts = [*frame.axes(title), *frame.scale(svg.ticks(0, 1, 5))]
    for i, curve in enumerate(curves):
        if i not in worst:
            points = frame.points(zip(curve.x, curve.y, strict=True))
            parts.append(svg.line(points, "curve faint", about=_named(curve)))
    legend = []
    for rank, i in reversed(list(enumerate(worst))):
        points = frame.points(zip(curves[i].x, curves[i].y, strict=True))
        parts.append(svg.line(points, "curve", f"stroke: {_PALETTE[rank]}", _named(curves[i])))
        legend.append(Legend(_named(curves[i]), _PALETTE[rank]))
    return svg.image(380, 330, parts, title), legend[::-1]


def _named(curve: Curve) -> str:
    return f"{curve.name} {curve.area:.3f}"


def whisker(value: float, low: float, high: float, edge: tuple[float, float]) -> Markup:
    """A value and its interval on a rail between two ends."""
    start, end = edge
    span = (end - start) or 1.0
    at, a, b = (4 + 192 * (x - start) / span for x in (value, low, high))
    parts = [svg.line([(2, 5), (198, 5)], "rail"), svg.line([(a, 5), (b, 5)], "whisker")]
    drawn = Markup("").join([*parts, svg.dot(at, 5, "tip")])
    return Markup('<svg viewBox="0 0 200 10" aria-hidden="true">{}</svg>').format(drawn)


def history_chart(
    lines: Mapping[str, Sequence[float]], title: str, marked: int | None, start: float | None
) -> tuple[Markup, list[Legend]]:
    """Values by epoch.

    Args:
        lines: name to a value an epoch.
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
        style = f"stroke: {_PALETTE[i]}"
        parts.append(svg.line(frame.points(points), "curve", style))
        for e, v in points:
            words = f"epoch {e}: {name} {v:.4g}"
            parts.append(svg.dot(frame.x(e), frame.y(v), "dot", words, f"fill: {_PALETTE[i]}", 3))
        legend.append(Legend(name, _PALETTE[i]))
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


_MAP_DOT = Markup(
    '<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}" data-class="{}"{} style="--k:{}">'
    "<title>{}</title></circle>"
)


def map_chart(
    points: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    ids: Sequence[str],
    names: Sequence[str],
    pictures: Sequence[str],
) -> Markup:
    """A dot an image: colour is its class, a ring a mistake, the words its file.

    Args:
        points: of shape (n, 2) in 0..1.
        labels, predicted: int64 of shape (n,).
        ids: of the images.
        names: of the classes.
        pictures: for each image the name of its picture on the page, empty where there is none.
    """
    width, height = 1100.0, 560.0
    parts = []
    for i in sorted(range(len(points)), key=lambda i: predicted[i] != labels[i]):
        miss = predicted[i] != labels[i]
        words = f"{ids[i]}: {names[labels[i]]}" + (
            f", called {names[predicted[i]]}" if miss else ""
        )
        x, y = 10 + (width - 20) * points[i, 0], 10 + (height - 20) * (1 - points[i, 1])
        shown = Markup(' data-picture="{}"').format(pictures[i]) if pictures[i] else ""
        radius, kind = (5, "map-dot miss") if miss else (4, "map-dot")
        tint = colour(int(labels[i]), len(names))
        parts.append(_MAP_DOT.format(x, y, radius, kind, labels[i], shown, tint, words))
    return svg.image(width, height, parts, "map of the images")


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
    left = 14 + 6.6 * max(len(short(r.name)) for r in rows)
    height = 44 + 24 * len(rows)
    frame = svg.Frame(320 + left, height, 0, 1, low - room, high + room, (left, 14, 6, 34))
    parts = []
    for tick in svg.ticks(frame.left, frame.right, 4):
        x = frame.x(tick)
        parts.append(svg.line([(x, 6), (x, height - 34)], "grid"))
        parts.append(svg.text(x, height - 20, svg.number(round(tick, 6))))
    for i, row in enumerate(rows):
        y = 18 + 24 * i
        words = f"{row.name}: {row.value:.4f} [{row.low:.4f}, {row.high:.4f}]"
        parts.append(svg.text(left - 8, y + 4, short(row.name), "end", "name"))
        parts.append(svg.line([(frame.x(row.low), y), (frame.x(row.high), y)], "error-bar"))
        parts.append(svg.dot(frame.x(row.value), y, "dot", words, "fill-opacity: 1", 4.5))
    parts.append(svg.text((left + 320 + left - 14) / 2, height - 4, title, kind="title"))
    return svg.image(320 + left, height, parts, title)


def pair_chart(matrix: np.ndarray, names: Sequence[str], title: str) -> Markup:
    """A share for each pair of members."""
    m = len(names)
    cell, left = 58.0, 28 + 6.6 * max(len(short(n)) for n in names)
    parts = []
    for i in range(m):
        parts.append(
            svg.text(left - 8, cell * i * 0.55 + 20, f"{i + 1}  {short(names[i])}", "end", "name")
        )
        parts.append(svg.text(left + cell * (i + 0.5), m * 32 + 14, f"{i + 1}"))
        for j in range(m):
            share = float(matrix[i, j])
            about = f"{names[i]} and {names[j]}: {share:.1%}"
            style = f"fill: rgba(var(--heat), {0.05 + 0.9 * share:.3f})"
            x, y = left + cell * j, cell * i * 0.55
            parts.append(svg.box(x, y, cell - 1.5, 30.5, "cell", about, style))
            kind = "cell-text on" if share > 0.55 else "cell-text"
            parts.append(svg.text(x + cell / 2 - 0.75, y + 19, f"{share:.1%}", "middle", kind))
    return svg.image(left + m * cell, m * 32 + 20, parts, title)
