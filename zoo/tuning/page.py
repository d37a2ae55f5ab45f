"""The study as one HTML page: how it went, what matters, where to look next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ensembles import Comparison
from zoo.pages import svg
from zoo.pages.render import render
from zoo.paths import new_file
from zoo.tuning.result import Study, TrialRecord
from zoo.tuning.score import better
from zoo.tuning.space import Dimension, Space

_STAGES = {"finetune": "Fine-tuned trials", "probe": "Trials on frozen features"}
_AXES = 9  # of parallel coordinates: the most important settings
_SHOWN = 10


def write_page(study: Study) -> Path:
    """Write ``study.html`` into the study's folder; it needs nothing beside it."""
    path = study.path / "study.html"
    with new_file(path) as temporary:
        temporary.write_text(page(study), "utf-8")
    return path


def page(study: Study) -> str:
    """The page."""
    stages = [
        {"title": title, **_stage(study, stage)}
        for stage, title in _STAGES.items()
        if any(row["stage"] == stage for row in study.trials)
    ]
    return render(
        Path(__file__).parent / "templates",
        "study.html",
        name=study.name,
        summary=_summary(study),
        stages=stages,
    )


def _summary(study: Study) -> list[str]:
    lines = []
    if study.ranked() or study.ranked("probe"):
        best, default = study.best, study.default
        lines.append(f"Best {_metrics(best)} (trial {best['trial']}).")
        if default:
            lines.append(f"Default settings: {_metrics(default)}.")
        if study.against_default:
            lines.append(_against(study.against_default))
    lines.append("All figures are of validation images, on which the trials were chosen.")
    runs = [f"Run {run.name} has the settings of trial {n}." for n, run in study.runs.items()]
    return [*lines, *runs, *study.edges]


def _against(test: Comparison) -> str:
    return (
        f"The best trial against the default settings, image by image: by accuracy "
        f"{test.by_accuracy} (right alone on {test.only_first} and {test.only_second} of {test.n}, "
        f"p = {test.p_value:.2g}), by log loss {test.by_log_loss} ({test.log_loss:+.3f} "
        f"[{test.low:+.3f}, {test.high:+.3f}])."
    )


def _metrics(row: TrialRecord) -> str:
    words = {"accuracy": "accuracy", "log_loss": "log loss"}
    return ", ".join(f"{words[k]} {row['metrics'][k]:.4f}" for k in words if row["metrics"].get(k))


def _stage(study: Study, stage: str) -> dict[str, Any]:
    """What the template shows of one stage."""
    rows = study.ranked(stage)
    failed = [
        f"trial {r['trial']}, {r['state']}: {r['reason']}"
        for r in study.trials
        if r["stage"] == stage and r["reason"]
    ]
    if not rows:
        return {"rows": [], "failed": failed}
    space, shares = study.spaces.get(stage, {}), study.importances.get(stage, {})
    known = {n: space[n] for n in sorted(space, key=lambda name: -shares.get(name, 0.0))}
    return {
        "names": list(known),
        "rows": [_cells(row, list(known)) for row in rows[:_SHOWN]],
        "count": len(rows),
        "failed": failed,
        "history": history(study, stage),
        "importances": bars(shares) if shares else None,
        "slices": [_slice(study, rows, d) for d in known.values()],
        "parallel": parallel(study, rows, known),
    }


def _cells(row: TrialRecord, names: Sequence[str]) -> list[str]:
    m = row["metrics"]
    return [
        f"{row['trial']}{' (default)' if row['default'] else ''}",
        f"{m['accuracy']:.4f}",
        f"{m['log_loss']:.4f}",
        f"{row['seconds'] or 0:.1f}",
        *[_value(row["params"].get(n)) for n in names],
    ]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return svg.number(value)
    return "" if value is None else str(value)


def _frame(study: Study, rows: Sequence[TrialRecord], width: float, height: float) -> svg.Frame:
    """A frame for the better nine tenths: the worst would press all others together."""
    ordered = sorted((r["score"] for r in rows), reverse=better(study.metric, 1.0, 0.0))
    best, weak = ordered[0], ordered[math.ceil(0.9 * (len(ordered) - 1))]
    room = 0.08 * abs(best - weak) or 0.01
    return svg.Frame(width, height, min(best, weak) - room, max(best, weak) + room)


def _about(row: TrialRecord) -> str:
    settings = ", ".join(f"{n} {_value(v)}" for n, v in row["params"].items())
    return f"trial {row['trial']}: {_metrics(row)}; {settings}"


def _mark(study: Study, row: TrialRecord, x: float, y: float) -> Markup:
    best = row is study.ranked(row["stage"])[0]
    mark = svg.dot(x, y, "dot best" if best else "dot", _about(row))
    ring = svg.dot(x, y, "first", radius=6) if row["default"] else Markup()
    return mark + ring


def history(study: Study, stage: str) -> Markup:
    """Score by number of the trial, and the best so far; a ring is around the default settings."""
    rows = sorted(study.ranked(stage), key=lambda r: r["trial"])
    last = max(r["trial"] for r in study.trials if r["stage"] == stage)
    frame = _frame(study, rows, 960, 260)
    best, points, marks = rows[0]["score"], [], []
    for row in rows:
        x = frame.x(row["trial"] / max(1, last))
        points.append((x, frame.y(best)))
        best = row["score"] if better(study.metric, row["score"], best) else best
        points.append((x, frame.y(best)))
        marks.append(_mark(study, row, x, frame.y(row["score"])))
    points.append((frame.x(1), frame.y(best)))
    counts = [
        svg.text(frame.x(n / max(1, last)), frame.height - 19, f"{n:g}")
        for n in svg.ticks(0, last, 8)
        if n == int(n)
    ]
    parts = [*frame.axes(f"trial (up: validation {study.metric})"), *counts]
    return svg.image(
        960, 260, [*parts, svg.line(points, "run"), *marks], "score of each trial in their order"
    )


def bars(shares: dict[str, float]) -> Markup:
    """Importances."""
    height, top = 20.0, max(shares.values()) or 1.0
    parts = []
    for i, (name, share) in enumerate(shares.items()):
        y = i * height
        width = 420 * share / top
        parts.append(svg.text(150, y + 14, name, "end", "name"))
        parts.append(svg.box(158, y + 4, width, 12, "bar"))
        parts.append(svg.text(166 + width, y + 14, f"{share:.2f}", "start"))
    return svg.image(640, height * len(shares) + 4, parts, "importance of each setting")


def _slice(study: Study, rows: Sequence[TrialRecord], dimension: Dimension) -> Markup:
    """Score by one setting."""
    frame = _frame(study, rows, 240, 190)
    seen = [r for r in rows if dimension.name in r["params"]]
    marks = [
        _mark(study, r, frame.x(_place(dimension, r)), frame.y(r["score"])) for r in reversed(seen)
    ]
    below = [
        svg.text(frame.x(share), frame.height - 19, words) for share, words in _labels(dimension)
    ]
    parts = [*frame.axes(dimension.name), *below, *marks]
    return svg.image(240, 190, parts, f"score by {dimension.name}")


def _place(dimension: Dimension, row: TrialRecord) -> float:
    """Share of the axis; a little room at both ends."""
    return 0.05 + 0.9 * dimension.position(row["params"][dimension.name])


def _labels(dimension: Dimension) -> list[tuple[float, str]]:
    """Where an axis is labelled, and how."""
    if dimension.choices:
        last = max(1, len(dimension.choices) - 1)
        return [(0.05 + 0.9 * i / last, _value(c)) for i, c in enumerate(dimension.choices)]
    return [(0.05, svg.number(dimension.low)), (0.95, svg.number(dimension.high))]


def parallel(study: Study, rows: Sequence[TrialRecord], space: Space) -> Markup:
    """A thread a trial through the values of its settings to its score; the best are darkest."""
    names = list(space)[:_AXES]
    frame = _frame(study, rows, 960, 320)
    gap = 1 / max(1, len(names))
    parts = []
    for i, row in enumerate(reversed(rows)):
        rank = i / max(1, len(rows) - 1)
        points = [
            (frame.x(k * gap), _height(frame, space[n].position(row["params"][n])))
            for k, n in enumerate(names)
            if n in row["params"]
        ]
        points.append((frame.x(1), frame.y(row["score"])))
        colour = f"color-mix(in srgb, var(--best) {100 * rank**2:.0f}%, var(--grid))"
        parts.append(svg.line(points, "thread", f"stroke: {colour}"))
    for k, name in enumerate(names):
        parts += _axis(frame, frame.x(k * gap), space[name])
    end = frame.x(1)
    parts.append(svg.line([(end, frame.y(frame.low)), (end, frame.y(frame.high))], "axis"))
    parts += [
        svg.text(end - 4, frame.y(v) + 4, svg.number(v), "end")
        for v in svg.ticks(frame.low, frame.high)
    ]
    parts.append(svg.text(end + 10, frame.height - 4, study.metric, "end", "title"))
    return svg.image(960, 320, parts, "settings and score of each trial")


def _height(frame: svg.Frame, position: float) -> float:
    return frame.y(frame.low + position * (frame.high - frame.low))


def _axis(frame: svg.Frame, x: float, dimension: Dimension) -> list[Markup]:
    ends = [(x, frame.y(frame.low)), (x, frame.y(frame.high))]
    if dimension.choices:
        labels = [(dimension.position(c), _value(c)) for c in dimension.choices]
    else:
        labels = [(0.0, svg.number(dimension.low)), (1.0, svg.number(dimension.high))]
    words = [svg.text(x + 4, _height(frame, p) + 4, t, "start") for p, t in labels]
    name = svg.text(x, frame.height - 4, dimension.name, kind="title")
    return [svg.line(ends, "axis"), *words, name]
