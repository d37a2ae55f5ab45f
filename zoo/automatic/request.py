"""What is asked of ``zoo auto``: time, and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import backbones
from zoo.errors import ZooError, nearest
from zoo.tuning.request import seconds_of

# what a person who names no time gets
QUALITIES = {"fast": "2m", "good": "15m", "best": "1h"}
LEAST = 30.0  # seconds in which TensorFlow is imported and a few hundred images are probed
_FOREIGN = 64  # pixels: photos of a pretrained backbone's kind are rarely smaller


@dataclass(frozen=True)
class Candidate:
    """A backbone that can be tried on this machine.

    Attributes:
        backbone: a variant or ``hub:`` module.
        weights: as in the settings; None for the usual ones.
    """

    backbone: str
    weights: str | None = None

    @property
    def from_scratch(self) -> bool:
        """Whether it has no pretrained weights."""
        return self.weights == "none" or backbones.get(self.backbone).weights == "none"

    @property
    def settings(self) -> dict[str, Any]:
        """What it sets."""
        return {"backbone": self.backbone} | ({"weights": self.weights} if self.weights else {})


def seconds(time: str | float | None, quality: str) -> float:
    """The time that is given.

    Raises:
        ZooError: not a time, too short for anything, or no such quality.
    """
    if quality not in QUALITIES:
        raise ZooError(f"there is no quality {quality!r}: {nearest(quality, QUALITIES)}")
    try:
        found = seconds_of(QUALITIES[quality] if time is None else time)
    except ZooError:
        raise ZooError(f"--time must be a time such as 1h, 30m or 90s, not {time!r}") from None
    if found < LEAST:
        raise ZooError(
            f"--time {time} is too short: loading TensorFlow and a first probe of a few hundred "
            f"images take about {LEAST:.0f}s here, so give more"
        )
    return found


def candidates(given: Sequence[str], side: float) -> list[Candidate]:
    """The backbones to try: those named, or all whose weights are on this machine, small to large.

    Args:
        given: names, or ``NAME=WEIGHTS`` with a file; none for all that are here.
        side: median of the shorter sides of the images, in pixels. A network from scratch is
            tried where they are small or nothing pretrained is here.

    Raises:
        BackboneError: no such backbone or file.
    """
    if given:
        return [_named(text) for text in given]
    specs = [backbones.get(name) for name in backbones.names()]
    here = [spec for spec in specs if spec.files and backbones.located(spec.files[0])]
    here.sort(key=lambda spec: spec.macs or 0)
    found = [Candidate(spec.name) for spec in here]
    if not found or side <= _FOREIGN:
        found.append(Candidate(backbones.get("cnn").name))
    return found


def _named(text: str) -> Candidate:
    if text.startswith("hub:"):
        return Candidate(text)
    name, _, weights = text.partition("=")
    if weights and weights != "none":
        weights = str(Path(backbones.weights_file(weights)).resolve())
    return Candidate(backbones.get(name.strip()).name, weights or None)
