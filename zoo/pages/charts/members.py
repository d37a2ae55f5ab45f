"""How the members of an ensemble differ: a share for each pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from zoo.pages import svg
from zoo.pages.charts.palette import room_for, short


def pair_chart(matrix: np.ndarray, names: Sequence[str], title: str) -> Markup:
    """A share for each pair of members."""
    m = len(names)
    cell, left = 58.0, 28 + room_for(names)
    parts = []
    for i in range(m):
        parts.append(
            svg.text(left - 8, cell * i * 0.55 + 20, f"{i + 1}  {short(names[i])}", "end", "name")
        )
        parts.append(svg.text(left + cell * (i + 0.5), m * 32 + 14, f"{i + 1}"))
        for j in range(m):
            share = float(matrix[i, j])
            about = f"{names[i]} and {names[j]}: {share:.1%}"
            style = f"fill: rgb(var(--heat)); --s: {0.05 + 0.95 * share:.3f}"
            x, y = left + cell * j, cell * i * 0.55
            parts.append(svg.box(x, y, cell - 1.5, 30.5, "cell", about, style))
            middle = x + cell / 2 - 0.75
            parts.append(svg.text(middle, y + 19, f"{share:.1%}", "middle", "cell-text"))
    return svg.image(left + m * cell, m * 32 + 20, parts, title)
