"""Small charts as SVG: no script, no font and no file beside the page.

Everything is :class:`markupsafe.Markup` made by its ``format``, which escapes what is put in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

MARGIN = (46.0, 14.0, 12.0, 34.0)  # left, right, top, bottom, in pixels
Point = tuple[float, float]

_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>')
_LINE = Markup('<polyline points="{}" class="{}"{}/>')
_DOT = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:g}" class="{}"{}>{}</circle>')
_BOX = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"{}>{}</rect>')
_IMAGE = Markup(
    '<svg viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" role="img" aria-label="{}">{}</svg>'
)


def text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "tick") -> Markup:
    """A line of text."""
    return _TEXT.format(x, y, anchor, kind, words)


def line(points: Iterable[Point], kind: str, style: str = "", about: str = "") -> Markup:
    """A line through points in pixels, with words that show under the mouse."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawn = _LINE.format(path, kind, _style(style))
    return Markup("<g>{}{}</g>").format(_about(about), drawn) if about else drawn


def dot(
    x: float, y: float, kind: str, about: str = "", style: str = "", radius: float = 3.5
) -> Markup:
    """A point with words that show under the mouse."""
    return _DOT.format(x, y, radius, kind, _style(style), _about(about))


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    kind: str,
    about: str = "",
    style: str = "",
) -> Markup:
    """A rectangle with words that show under the mouse."""
    return _BOX.format(x, y, width, height, kind, _style(style), _about(about))


def image(width: float, height: float, parts: Iterable[Markup], label: str) -> Markup:
    """The whole picture, with words for those who cannot see it."""
    return _IMAGE.format(width, height, width, label, Markup("").join(parts))


def _style(style: str) -> Markup:
    return Markup(' style="{}"').format(style) if style else Markup()


def _about(words: str) -> Markup:
    return Markup("<title>{}</title>").format(words) if words else Markup()


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
    """The area of a chart, and which values its edges stand for.

    Attributes:
        width, height: of the picture in pixels.
        low, high: values at its lower and upper edge.
        left, right: values at its left and right edge.
        margin: pixels left, right, above and below.
    """

    width: float
    height: float
    low: float
    high: float
    left: float = 0.0
    right: float = 1.0
    margin: tuple[float, float, float, float] = MARGIN

    def x(self, value: float) -> float:
        """Pixels from the left edge of the picture."""
        start, end = self.margin[0], self.width - self.margin[1]
        span = self.right - self.left
        return start + (end - start) * ((value - self.left) / span if span else 0.5)

    def y(self, value: float) -> float:
        """Pixels from the top; what is beyond the frame is drawn on its edge."""
        top, bottom = self.margin[2], self.height - self.margin[3]
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return bottom - min(max(share, 0.0), 1.0) * (bottom - top)

    def points(self, pairs: Iterable[Point]) -> list[Point]:
        """Values as pixels."""
        return [(self.x(a), self.y(b)) for a, b in pairs]

    def axes(self, title: str) -> list[Markup]:
        """Lines at round values of the height, and the words below."""
        parts = []
        start, end = self.margin[0], self.width - self.margin[1]
        for value in ticks(self.low, self.high):
            y = self.y(value)
            parts += [line([(start, y), (end, y)], "grid")]
            parts += [text(start - 6, y + 4, number(value), "end")]
        return [*parts, text((start + end) / 2, self.height - 4, title, kind="title")]

    def scale(self, values: Sequence[float]) -> list[Markup]:
        """Numbers below the frame."""
        return [text(self.x(v), self.height - self.margin[3] + 15, number(v)) for v in values]
