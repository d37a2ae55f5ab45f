"""Charts of predictions: confusion matrix, reliability diagram, ROC, precision and recall."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image

from zoo.pages import svg
from zoo.pages.charts.palette import Legend, class_colour, room_for, short

BINS = 10  # of confidence
COLOURED = 6  # curves that are told apart by colour
_CELLS = 30  # classes up to which a confusion matrix has cells with numbers


@dataclass(frozen=True)
class Share:
    """A share with its 95% interval, all in 0..1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bin:
    """Images of about equal confidence.

    Attributes:
        confidence: mean probability of their predicted class.
        accuracy: the share that is correct, with its 95% interval.
        count: how many.
    """

    confidence: float
    accuracy: Share
    count: int


@dataclass(frozen=True)
class Curve:
    """A curve of one class against the rest.

    Attributes:
        name: of the class.
        index: of the class.
        x, y: float64 of shape (p,) in 0..1.
        area: under it, in 0..1.
    """

    name: str
    index: int
    x: np.ndarray
    y: np.ndarray
    area: float


def confusion_chart(matrix: np.ndarray, names: Sequence[str]) -> Markup:
    """Rows: true classes; columns: predicted ones; dark: a large share of the row."""
    k = len(names)
    if k > _CELLS:
        return _confusion_image(matrix)
    cell = min(52.0, max(24.0, 560 / k))
    left, top = 9 + room_for(names), 12 + room_for(names)
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
    about = f"{count} of {totals[i]} {names[i]} predicted as {names[j]} ({share:.1%})"
    style = f"fill: rgb(var({tint})); --s: {max(0.03, strength):.3f}"
    if not count:
        return svg.box(x, y, size - 1.5, size - 1.5, "cell zero", about)
    drawn = svg.box(x, y, size - 1.5, size - 1.5, "cell", about, style)
    return drawn + svg.text(
        x + size / 2 - 0.75, y + size / 2 + 3.5, str(count), "middle", "cell-text"
    )


def _confusion_image(matrix: np.ndarray) -> Markup:
    """The matrix of many classes, one pixel per cell."""
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
    parts = [*frame.axes("confidence (up: accuracy)"), *frame.scale(svg.ticks(0, 1, 5))]
    parts.append(svg.line(frame.points([(0, 0), (1, 1)]), "even"))
    most = max((b.count for b in after), default=1)
    for b in after:
        left = frame.x(min(int(b.confidence * BINS), BINS - 1) / BINS)
        height = 46 * b.count / most
        words = f"{b.count} image{'' if b.count == 1 else 's'}"
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
            f"{b.count} images of confidence {b.confidence:.2f}: accuracy {a.value:.2f} "
            f"[{a.low:.2f}, {a.high:.2f}]"
        )
        parts.append(svg.dot(frame.x(b.confidence), frame.y(a.value), "dot", words, radius=4))
    return svg.image(380, 330, parts, "reliability diagram")


def curves_chart(curves: Sequence[Curve], title: str, classes: int) -> tuple[Markup, list[Legend]]:
    """One curve per class; of many, those of smallest area are coloured, the others grey.

    Args:
        curves: of the classes that have both kinds of images.
        title: what the axes show.
        classes: number of all classes, which their colours depend on.
    """
    frame = svg.Frame(380, 330, 0.0, 1.0)
    worst = sorted(range(len(curves)), key=lambda i: curves[i].area)[:COLOURED]
    parts = [*frame.axes(title), *frame.scale(svg.ticks(0, 1, 5))]
    for i, curve in enumerate(curves):
        if i not in worst:
            points = frame.points(zip(curve.x, curve.y, strict=True))
            parts.append(svg.line(points, "curve faint", about=_named(curve)))
    legend = []
    for i in reversed(worst):
        points = frame.points(zip(curves[i].x, curves[i].y, strict=True))
        colour = class_colour(curves[i].index, classes)
        parts.append(svg.line(points, "curve", f"stroke: {colour}", _named(curves[i])))
        legend.append(Legend(_named(curves[i]), colour))
    return svg.image(380, 330, parts, title), legend[::-1]


def _named(curve: Curve) -> str:
    return f"{curve.name} {curve.area:.3f}"
