"""A map of images: those that a network finds alike lie side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from zoo.pages import svg
from zoo.pages.charts.palette import class_colour

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
    """One dot per image: its colour is the class, a ring marks a mistake, the words name the file.

    Args:
        points: of shape (n, 2) in 0..1.
        labels, predicted: int64 of shape (n,).
        ids: of the images.
        names: of the classes.
        pictures: for each image the name of its picture on the page, empty if there is none.
    """
    width, height = 1100.0, 560.0
    parts = []
    for i in sorted(range(len(points)), key=lambda i: predicted[i] != labels[i]):
        miss = predicted[i] != labels[i]
        words = f"{ids[i]}: {names[labels[i]]}" + (
            f", predicted as {names[predicted[i]]}" if miss else ""
        )
        x, y = 10 + (width - 20) * points[i, 0], 10 + (height - 20) * (1 - points[i, 1])
        shown = Markup(' data-picture="{}"').format(pictures[i]) if pictures[i] else ""
        radius, kind = (5, "map-dot miss") if miss else (4, "map-dot")
        tint = class_colour(int(labels[i]), len(names))
        parts.append(_MAP_DOT.format(x, y, radius, kind, labels[i], shown, tint, words))
    return svg.image(width, height, parts, "map of the images")
