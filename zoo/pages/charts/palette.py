"""Colours of classes and of lines, the same in all charts of a page, and names that fit."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from typing import NamedTuple

# ten hues of about equal lightness that stay apart on white and on black
PALETTE = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1"),
    *("#37a3a3", "#d4a72c", "#e377a2", "#9c755f", "#8a8f98"),
)
_LONGEST = 16  # letters of a name beside a chart
_GOLDEN = 0.618034  # of the circle of hues: no two of many classes fall together
_LETTER = 6.6  # pixels that a letter of 11 px takes, measured in Arial and DejaVu Sans


def class_colour(index: int, count: int) -> str:
    """The colour of one of several classes, in every chart."""
    if count <= len(PALETTE):
        return PALETTE[index]
    red, green, blue = colorsys.hls_to_rgb(index * _GOLDEN % 1, (0.45, 0.58)[index % 2], 0.6)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def short(name: str) -> str:
    """A name that fits beside a chart."""
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def room_for(names: Iterable[str]) -> float:
    """Pixels that the longest of some shortened names takes."""
    return _LETTER * max(len(short(name)) for name in names)


class Legend(NamedTuple):
    """An entry below a chart."""

    words: str
    colour: str
