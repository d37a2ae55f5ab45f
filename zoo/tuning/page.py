"""The study as one HTML page: how it went, what matters, where to look next."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.paths import new_file
from zoo.tuning import _svg as svg
from zoo.tuning.result import Row, Study
from zoo.tuning.score import better
from zoo.tuning.space import Dimension, Space

_STAGES = {"finetune": "Fine-tuned trials", "probe": "Trials on frozen features"}
_AXES = 9  # of parallel coordinates: the most important settings
_SHOWN = 10
_STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #8a8a8a; --grid: #ddd; --paper: #fff;
  --mark: #1f6fb4; --best: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --soft: #999; --grid: #3a3a3a;
  --paper: #161616; --mark: #6cb2ee; --best: #fb923c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1040px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .15em .8em .15em 0; text-align: left; vertical-align: top; }
.scroll { overflow-x: auto; } .slices { display: flex; flex-wrap: wrap; gap: 8px; }
svg { max-width: 100%; height: auto; } .note { color: var(--soft); }
text { fill: var(--ink); font-size: 11px; } text.tick { fill: var(--soft); }
.grid { stroke: var(--grid); fill: none; } .axis { stroke: var(--soft); fill: none; }
.dot { fill: var(--mark); fill-opacity: .65; } .best { fill: var(--best); }
.first { fill: none; stroke: var(--ink); stroke-width: 1.5; }
.bar { fill: var(--mark); } .run { stroke: var(--best); fill: none; stroke-width: 1.5; }
.thread { fill: none; stroke-opacity: .55; stroke-width: 1.2; }
"""


def write_page(study: Study) -> Path:
    """Write ``study.html`` into the study's folder; it needs nothing beside it."""
    path = study.path / "study.html"
    with new_file(path) as temporary:
        temporary.write_text(page(study), "utf-8")
    return path


def page(study: Study) -> str:
    """The page."""
    parts = [f"<h1>{html.escape(study.name)}</h1>", _summary(study)]
    for stage, title in _STAGES.items():
        if any(r["stage"] == stage for r in study.rows):
            parts += [f"<h2>{title}</h2>", *_stage(study, stage)]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(study.name)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _summary(study: Study) -> str:
    lines = []
    if study.ranked() or study.ranked("probe"):
        best, default = study.best, study.default
        lines.append(f"Best {_metrics(best)} (trial {best['trial']}).")
        if default:
            lines.append(f"Default settings: {_metrics(default)}.")
    lines.append("All figures are of validation images, on which the trials were chosen.")
    runs = [f"Run {run.name} has the settings of trial {n}." for n, run in study.runs.items()]
    return "".join(f"<p>{html.escape(words)}</p>" for words in [*lines, *runs, *study.edges])


def _metrics(row: Row) -> str:
    words = {"accuracy": "accuracy", "log_loss": "log loss"}
    return ", ".join(f"{words[k]} {row['metrics'][k]:.4f}" for k in words if row["metrics"].get(k))


def _stage(study: Study, stage: str) -> list[str]:
    rows = study.ranked(stage)
    if not rows:
        return ["<p>No trial was completed.</p>", _failures(study, stage)]
    space, shares = study.spaces.get(stage, {}), study.importances.get(stage, {})
    ordered = sorted(space, key=lambda name: -shares.get(name, 0.0))
    known = {n: space[n] for n in ordered}
    parts = [_table(rows, list(known)), _failures(study, stage)]
    parts += ["<h3>How it went</h3>", history(study, stage)]
    if shares:
        parts += ["<h3>What matters</h3>", bars(shares)]
        parts += [
            '<p class="note">PED-ANOVA: which settings tell the best tenth of the trials from the '
            f"others. Of {len(rows)} trials; of few, a hint and no more.</p>"
        ]
    parts += ["<h3>Setting by setting</h3>", '<div class="slices">']
    parts += [_slice(study, rows, d) for d in known.values()]
    parts += ["</div><h3>All settings at once</h3>", parallel(study, rows, known)]
    note = "Points below the frame are drawn on its edge; the mouse shows a trial's settings."
    return [*parts, f'<p class="note">{note}</p>']


def _table(rows: Sequence[Row], names: Sequence[str]) -> str:
    head = ["trial", "accuracy", "log loss", "seconds", *names]
    lines = [f"<tr>{''.join(f'<th>{html.escape(h)}</th>' for h in head)}</tr>"]
    for row in rows[:_SHOWN]:
        m = row["metrics"]
        cells = [
            f"{row['trial']}{' (default)' if row['default'] else ''}",
            f"{m['accuracy']:.4f}",
            f"{m['log_loss']:.4f}",
            f"{row['seconds'] or 0:.1f}",
            *[_value(row["params"].get(n)) for n in names],
        ]
        lines.append(f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in cells)}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _value(value: Any) -> str:
    if isinstance(value, float):
        return svg.number(value)
    return "" if value is None else str(value)


def _failures(study: Study, stage: str) -> str:
    found = [r for r in study.rows if r["stage"] == stage and r["reason"]]
    lines = [
        f"<li>trial {r['trial']}, {r['state']}: {html.escape(r['reason'])}</li>" for r in found
    ]
    return f"<h3>Not completed</h3><ul>{''.join(lines)}</ul>" if lines else ""


def _frame(study: Study, rows: Sequence[Row], width: float, height: float) -> svg.Frame:
    """A frame for the better nine tenths: the worst would press all others together."""
    ordered = sorted((r["score"] for r in rows), reverse=better(study.metric, 1.0, 0.0))
    best, weak = ordered[0], ordered[math.ceil(0.9 * (len(ordered) - 1))]
    room = 0.08 * abs(best - weak) or 0.01
    return svg.Frame(width, height, min(best, weak) - room, max(best, weak) + room)


def _about(row: Row) -> str:
    settings = ", ".join(f"{n} {_value(v)}" for n, v in row["params"].items())
    return f"trial {row['trial']}: {_metrics(row)}; {settings}"


def _mark(study: Study, row: Row, x: float, y: float) -> str:
    best = row is study.ranked(row["stage"])[0]
    mark = svg.dot(x, y, "dot best" if best else "dot", _about(row))
    ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" class="first"/>' if row["default"] else ""
    return mark + ring


def history(study: Study, stage: str) -> str:
    """Score by number of the trial, and the best so far; a ring is around the default settings."""
    rows = sorted(study.ranked(stage), key=lambda r: r["trial"])
    last = max(r["trial"] for r in study.rows if r["stage"] == stage)
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


def bars(shares: dict[str, float]) -> str:
    """Importances."""
    height, top = 20.0, max(shares.values()) or 1.0
    parts = []
    for i, (name, share) in enumerate(shares.items()):
        y = i * height
        width = 420 * share / top
        parts.append(svg.text(150, y + 14, name, "end", "name"))
        parts.append(f'<rect x="158" y="{y + 4:.0f}" width="{width:.1f}" height="12" class="bar"/>')
        parts.append(svg.text(166 + width, y + 14, f"{share:.2f}", "start"))
    return svg.image(640, height * len(shares) + 4, parts, "importance of each setting")


def _slice(study: Study, rows: Sequence[Row], dimension: Dimension) -> str:
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


def _place(dimension: Dimension, row: Row) -> float:
    """Share of the axis; a little room at both ends."""
    return 0.05 + 0.9 * dimension.position(row["params"][dimension.name])


def _labels(dimension: Dimension) -> list[tuple[float, str]]:
    """Where an axis is labelled, and how."""
    if dimension.choices:
        last = max(1, len(dimension.choices) - 1)
        return [(0.05 + 0.9 * i / last, _value(c)) for i, c in enumerate(dimension.choices)]
    return [(0.05, svg.number(dimension.low)), (0.95, svg.number(dimension.high))]


def parallel(study: Study, rows: Sequence[Row], space: Space) -> str:
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


def _axis(frame: svg.Frame, x: float, dimension: Dimension) -> list[str]:
    ends = [(x, frame.y(frame.low)), (x, frame.y(frame.high))]
    if dimension.choices:
        labels = [(dimension.position(c), _value(c)) for c in dimension.choices]
    else:
        labels = [(0.0, svg.number(dimension.low)), (1.0, svg.number(dimension.high))]
    words = [svg.text(x + 4, _height(frame, p) + 4, t, "start") for p, t in labels]
    name = svg.text(x, frame.height - 4, dimension.name, kind="title")
    return [svg.line(ends, "axis"), *words, name]
