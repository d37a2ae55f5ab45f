"""An automatic search as one HTML page: the result, the leaderboard, and where the time went."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from zoo.automatic.result import AutoResult, Row
from zoo.automatic.words import headline, time_in_words
from zoo.evaluate.labels import LABELS
from zoo.pages import svg
from zoo.pages.render import render
from zoo.words import counted

_LEFT, _WIDTH, _HEIGHT = 170, 470, 22  # of the timeline, in pixels
_TILES = ("accuracy", "log_loss", "calibration_error")


def page(result: AutoResult) -> str:
    """The page."""
    best = next(row for row in result.rows if row.run == result.run.name)
    return render(
        "auto.html",
        name=result.folder.name,
        headline=headline(result),
        tiles=_tiles(best),
        split="out-of-fold" if result.split == "oof" else "validation",
        rows=[_row(row, row is best) for row in result.rows],
        timeline=timeline(result),
        steps=[_step(step) for step in result.steps],
        time=f"{time_in_words(result.seconds)} of {time_in_words(result.asked)}",
        command=f"zoo report {result.run.name}",
        predict=f"zoo predict {result.run.name} IMAGE...",
    )


def _tiles(best: Row) -> list[dict[str, Any]]:
    return [
        {
            "name": f"test {LABELS[metric]}",
            "found": found,
            "way": f"{'higher' if metric == 'accuracy' else 'lower'} is better",
        }
        for metric in _TILES
        if (found := best.test.get(metric)) is not None and found["value"] is not None
    ]


def _row(row: Row, best: bool) -> dict[str, Any]:
    return {
        "run": row.run,
        "what": row.what,
        "best": best,
        "judged": [row.judged.get("log_loss")],
        "test": [row.test.get(metric) for metric in ("accuracy", "log_loss")],
        "ms": "–" if row.ms_per_image is None else f"{row.ms_per_image:.1f}",
        "seconds": f"{row.seconds:.0f}",
    }


def _step(step: Any) -> dict[str, str]:
    state = {"done": "ended by the time" if step.cut else ""}.get(step.state, step.state)
    return {
        "run": step.run,
        "what": step.what,
        "why": step.why,
        "predicted": f"{step.predicted:.0f}",
        "seconds": f"{step.seconds:.0f}",
        "state": f"{state}: {step.reason}" if step.reason else state,
    }


def timeline(result: AutoResult) -> Markup:
    """One bar per run from its beginning to its end, and the time that was given."""
    end = max([result.asked, *(step.started + step.seconds for step in result.steps)])
    scale, parts = _WIDTH / max(end, 1e-9), []
    for i, step in enumerate(result.steps):
        y = i * _HEIGHT
        parts.append(svg.text(_LEFT - 8, y + 15, step.run[-24:], "end", "name"))
        about = f"{step.what}: {step.seconds:.0f} s, predicted {step.predicted:.0f} s"
        width = max(2.0, step.seconds * scale)
        parts.append(svg.box(_LEFT + step.started * scale, y + 5, width, 12, "bar", about))
    bottom = len(result.steps) * _HEIGHT + 4
    at = _LEFT + result.asked * scale
    parts.append(svg.line([(_LEFT, bottom), (_LEFT + _WIDTH, bottom)], "axis"))
    parts.append(svg.line([(at, 0), (at, bottom)], "axis", about="the time that was given"))
    for share in (0.0, 0.5, 1.0):
        words = time_in_words(share * end)
        parts.append(svg.text(_LEFT + share * _WIDTH, bottom + 16, words))
    label = f"when each of {counted(len(result.steps), 'run')} was trained"
    return svg.image(_LEFT + _WIDTH + 30, bottom + 24, parts, label)
