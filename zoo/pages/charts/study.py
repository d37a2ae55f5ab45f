"""Charts of a study: scores of its trials in their order, by setting, and all settings at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from zoo.pages import svg

_SHOWN = 0.9  # of the trials fill the frame: the worst would press all others together
_EDGE = 0.05  # of the axis stays free at both ends
_ROW = 20.0  # pixels per bar


class TrialPoint(NamedTuple):
    """A complete trial.

    Attributes:
        number: its own.
        score: validation score.
        about: words that show under the mouse.
        positions: setting to where its value lies on the axis, 0..1.
        best: whether it is the best.
        default: whether it has the default settings.
    """

    number: int
    score: float
    about: str
    positions: Mapping[str, float]
    best: bool
    default: bool


class Axis(NamedTuple):
    """A setting that was searched.

    Attributes:
        name: of the setting.
        labels: where the axis is labelled, 0..1, and how.
    """

    name: str
    labels: Sequence[tuple[float, str]]


class Scores(NamedTuple):
    """Complete trials, the best first.

    Attributes:
        metric: that was improved.
        minimize: whether less is better.
        trials: at least one.
    """

    metric: str
    minimize: bool
    trials: Sequence[TrialPoint]

    def frame(self, width: float, height: float) -> svg.Frame:
        """A frame for the better nine tenths."""
        best = self.trials[0].score
        weak = self.trials[math.ceil(_SHOWN * (len(self.trials) - 1))].score
        room = 0.08 * abs(best - weak) or 0.01
        return svg.Frame(width, height, min(best, weak) - room, max(best, weak) + room)

    def better(self, first: float, second: float) -> float:
        """The better of two scores."""
        return min(first, second) if self.minimize else max(first, second)


def score_chart(scores: Scores, last: int) -> Markup:
    """Score by number of the trial, and the best so far; a ring marks the default settings.

    Args:
        scores: of the trials.
        last: highest number of any trial, complete or not.
    """
    rows = sorted(scores.trials, key=lambda t: t.number)
    frame = scores.frame(960, 260)
    best, points, marks = rows[0].score, [], []
    for trial in rows:
        x = frame.x(trial.number / max(1, last))
        points.append((x, frame.y(best)))
        best = scores.better(trial.score, best)
        points.append((x, frame.y(best)))
        marks.append(_mark(trial, x, frame.y(trial.score)))
    points.append((frame.x(1), frame.y(best)))
    counts = [
        svg.text(frame.x(n / max(1, last)), frame.height - 19, f"{n:g}")
        for n in svg.ticks(0, last, 8)
        if n == int(n)
    ]
    parts = [*frame.axes(f"trial (up: validation {scores.metric})"), *counts]
    parts += [svg.line(points, "run"), *marks]
    return svg.image(960, 260, parts, "score of each trial in their order")


def importance_chart(shares: Mapping[str, float]) -> Markup:
    """One bar per setting."""
    top = max(shares.values()) or 1.0
    parts = []
    for i, (name, share) in enumerate(shares.items()):
        y, width = i * _ROW, 420 * share / top
        parts.append(svg.text(150, y + 14, name, "end", "name"))
        parts.append(svg.box(158, y + 4, width, 12, "bar"))
        parts.append(svg.text(166 + width, y + 14, f"{share:.2f}", "start"))
    return svg.image(640, _ROW * len(shares) + 4, parts, "importance of each setting")


def setting_chart(scores: Scores, axis: Axis) -> Markup:
    """Score by one setting."""
    frame = scores.frame(240, 190)
    seen = [t for t in scores.trials if axis.name in t.positions]
    marks = [
        _mark(t, frame.x(_inner(t.positions[axis.name])), frame.y(t.score)) for t in reversed(seen)
    ]
    below = [
        svg.text(frame.x(_inner(place)), frame.height - 19, words) for place, words in axis.labels
    ]
    parts = [*frame.axes(axis.name), *below, *marks]
    return svg.image(240, 190, parts, f"score by {axis.name}")


def parallel_chart(scores: Scores, axes: Sequence[Axis]) -> Markup:
    """One line per trial through its settings to its score; the best are darkest."""
    frame = scores.frame(960, 320)
    gap = 1 / max(1, len(axes))
    parts = []
    for i, trial in enumerate(reversed(scores.trials)):
        rank = i / max(1, len(scores.trials) - 1)
        points = [
            (frame.x(k * gap), _height(frame, trial.positions[axis.name]))
            for k, axis in enumerate(axes)
            if axis.name in trial.positions
        ]
        points.append((frame.x(1), frame.y(trial.score)))
        colour = f"color-mix(in srgb, var(--best) {100 * rank**2:.0f}%, var(--grid))"
        parts.append(svg.line(points, "thread", f"stroke: {colour}", trial.about))
    for k, axis in enumerate(axes):
        x = frame.x(k * gap)
        parts.append(svg.line([(x, frame.y(frame.low)), (x, frame.y(frame.high))], "axis"))
        parts += [
            svg.text(x + 4, _height(frame, p) + 4, words, "start") for p, words in axis.labels
        ]
        parts.append(svg.text(x, frame.height - 4, axis.name, kind="title"))
    end = frame.x(1)
    parts.append(svg.line([(end, frame.y(frame.low)), (end, frame.y(frame.high))], "axis"))
    parts += [
        svg.text(end - 4, frame.y(v) + 4, svg.number(v), "end")
        for v in svg.ticks(frame.low, frame.high)
    ]
    parts.append(svg.text(end + 10, frame.height - 4, scores.metric, "end", "title"))
    return svg.image(960, 320, parts, "settings and score of each trial")


def _mark(trial: TrialPoint, x: float, y: float) -> Markup:
    mark = svg.dot(x, y, "dot best" if trial.best else "dot", trial.about)
    ring = svg.dot(x, y, "first", radius=6) if trial.default else Markup()
    return mark + ring


def _inner(position: float) -> float:
    """A position with a little room at both ends of the axis."""
    return _EDGE + (1 - 2 * _EDGE) * position


def _height(frame: svg.Frame, position: float) -> float:
    return frame.y(frame.low + position * (frame.high - frame.low))
