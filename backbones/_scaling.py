"""Rules by which variants of one architecture are scaled."""

from __future__ import annotations

import math


def rounded_channels(channels: float) -> int:
    """The nearest multiple of 8, but at least 8 and not over a tenth below.

    The rule of MobileNetV2 and EfficientNet, which keeps scaled widths fit for vector units.
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def usual_sizes(trained: int) -> str:
    """Sides in pixels that make sense for weights trained at one: half of it to 1.3 times.

    A network trained on crops of 224 px does best on whole images of 288 px (Touvron 2019,
    arXiv 1906.06423); below half, an object is smaller than the filters have ever seen it.
    """
    low, high = math.ceil(trained / 64) * 32, round(1.3 * trained / 32) * 32
    return f"{low} to {high}"
