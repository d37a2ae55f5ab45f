"""Small charts as SVG text: no script, no font and no file beside the page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = (46.0, 14.0, 12.0, 34.0)  # left, right, top, bottom, in pixels


def text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "tick") -> str:
    """A line of text; it is escaped."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
        f"{html.escape(words)}</text>"
    )


def line(points: Sequence[tuple[float, float]], kind: str, style: str = "") -> str:
    """A line through points in pixels."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" class="{kind}" style="{style}"/>'


def dot(x: float, y: float, kind: str, about: str, style: str = "") -> str:
    """A point with words that show under the mouse."""
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="{kind}" style="{style}">'
        f"<title>{html.escape(about)}</title></circle>"
    )


def image(width: float, height: float, parts: Sequence[str], label: str) -> str:
    """The whole picture, with words for those who cannot see it."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-label="{html.escape(label, quote=True)}">{"".join(parts)}</svg>'
    )


def number(x: float) -> str:
    """A number for an axis."""
    if x and (abs(x) < 1e-3 or abs(x) >= 1e5):
        mantissa, exponent = f"{x:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{x:.4g}"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers within an interval."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Frame:
    """The area of a chart, and where its scores are.

    Attributes:
        width, height: of the picture in pixels.
        low, high: scores at its lower and upper end.
    """

    width: float
    height: float
    low: float
    high: float

    def x(self, share: float) -> float:
        """Pixels from the left, of a share of the width."""
        left, right = MARGIN[0], self.width - MARGIN[1]
        return left + share * (right - left)

    def y(self, score: float) -> float:
        """Pixels from the top; what is beyond the frame is drawn on its edge."""
        top, bottom = MARGIN[2], self.height - MARGIN[3]
        share = (score - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return bottom - min(max(share, 0.0), 1.0) * (bottom - top)

    def axes(self, title: str) -> list[str]:
        """Lines at round scores, and the words below."""
        parts = []
        for value in ticks(self.low, self.high):
            y = self.y(value)
            parts += [line([(self.x(0), y), (self.x(1), y)], "grid")]
            parts += [text(self.x(0) - 6, y + 4, number(value), "end")]
        return [*parts, text(self.x(0.5), self.height - 4, title, kind="title")]
