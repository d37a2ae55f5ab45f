"""The study as one HTML page: what it found, which settings matter, where to look next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from zoo.evaluate.labels import LABELS
from zoo.output import write_output
from zoo.pages import svg
from zoo.pages.charts.study import (
    Axis,
    Scores,
    TrialPoint,
    importance_chart,
    parallel_chart,
    score_chart,
    setting_chart,
)
from zoo.pages.render import render
from zoo.runs import Run
from zoo.tuning.result import Study, TrialRecord, changed
from zoo.tuning.score import direction
from zoo.tuning.space import Dimension
from zoo.words import counted

_STAGES = {"finetune": "Fine-tuned trials", "probe": "Trials on frozen features"}
_AXES = 9  # settings of the chart of all: more cannot be told apart
_SHOWN = 10  # trials in the table
_SLICES = 6  # charts of single settings that are shown at once: the most important ones
_FEWEST = 8  # complete trials for charts of single settings: of fewer they show chance
_CHARTS = ("history", "importances", "slices", "more_slices", "parallel")
_LINES = 4  # complete trials for the chart of all settings


def write_page(study: Study) -> Path:
    """Write ``study.html`` into the study's folder; it needs no other file."""
    path = study.path / "study.html"
    write_output(path, page(study))
    return path


def page(study: Study) -> str:
    """The page."""
    stages = [
        {"key": stage, "title": title, **_stage(study, stage)}
        for stage, title in _STAGES.items()
        if any(row["stage"] == stage for row in study.trials)
    ]
    found = bool(study.ranked() or study.ranked("probe"))
    return render(
        "study.html",
        name=study.name,
        headline=_headline(study) if found else _nothing(study),
        tiles=_tiles(study) if found else [],
        against=_against(study),
        runs=[_run_link(run, number) for number, run in study.runs.items()],
        edges=[f"{sentence}." for sentence in study.edges],
        stages=stages,
    )


def _nothing(study: Study) -> str:
    if not study.trials:
        return "No trial was started."
    return f"None of {counted(len(study.trials), 'trial')} was completed."


def _headline(study: Study) -> str:
    """The result in one sentence."""
    best, default, metric = study.best, study.default, study.metric
    label, count = LABELS[metric], len(study.ranked(best["stage"]))
    text = f"The best of {counted(count, 'trial')} reaches a validation {label} of "
    text += _score(best, metric)
    if default is best:
        text += ", with the default settings"
    elif default is not None:
        text += f"; the default settings reach {_score(default, metric)}"
        if study.against_default:
            by_accuracy = study.against_default.by_accuracy
            verdict = {"better": "a clear gain", "worse": "worse by accuracy"}
            text += f" ({verdict.get(by_accuracy, 'not distinguishable on these images')})"
    for run in list(study.runs.values())[:1]:
        tested = run.metrics.get("test", {}).get(metric)
        if tested and tested["value"] is not None:
            text += f". Trained with these settings, run {run.name} reaches {tested['value']:.3f}"
            text += " on the test images"
    return text + "."


def _score(row: TrialRecord, metric: str) -> str:
    value = row["metrics"].get(metric)
    return "–" if value is None else f"{value:.3f}"


def _tiles(study: Study) -> list[dict[str, str]]:
    """Figures of the best trial, and on the test images those of the run with its settings."""
    best, tiles = study.best, []
    for split, find in (("validation", best["metrics"].get), ("test", _tested(study).get)):
        for metric in dict.fromkeys((study.metric, "accuracy", "log_loss")):
            value = find(metric)
            if value is not None:
                note = f"best trial, {best['trial']}" if split == "validation" else "its run"
                name = f"{split} {LABELS[metric]}"
                tiles.append(
                    {"name": name, "value": f"{value:.3f}", "note": note, "way": _way(metric)}
                )
    return tiles


def _way(metric: str) -> str:
    return f"{'lower' if direction(metric) == 'minimize' else 'higher'} is better"


def _tested(study: Study) -> dict[str, float | None]:
    """Test metrics of the first run that was trained with the best settings."""
    for run in study.runs.values():
        return {name: found["value"] for name, found in run.metrics.get("test", {}).items()}
    return {}


def _against(study: Study) -> str:
    """The paired test of the best trial in a sentence; empty if there is none."""
    test = study.against_default
    if test is None:
        return ""
    return (
        f"The best trial against the default settings on the same {test.n} validation images: by "
        f"accuracy {test.by_accuracy} (only the best trial is correct on {test.only_first}, only "
        f"the default on {test.only_second}; McNemar p = {test.p_value:.2g}), by log loss "
        f"{test.by_log_loss} ({test.log_loss:+.3f} [{test.low:+.3f}, {test.high:+.3f}])"
        f"{_corrected(test.tests)}."
    )


def _corrected(tests: int) -> str:
    """The best of many trials is partly luck."""
    if tests == 1:
        return ""
    return f"; both are corrected for the {tests} other trials, each of which could have been best"


def _run_link(run: Run, number: int) -> dict[str, Any]:
    """A run with the settings of a trial: a link from the study's folder, and test figures."""
    return {
        "name": run.name,
        "trial": number,
        "href": f"../../{quote(run.name)}/",
        "command": f"zoo report {run.name}",
    }


def _stage(study: Study, stage: str) -> dict[str, Any]:
    """What the template shows of one stage."""
    rows = study.ranked(stage)
    failed = [
        f"trial {r['trial']}, {r['state']}: {r['reason']}"
        for r in study.trials
        if r["stage"] == stage and r["reason"]
    ]
    if not rows:
        return {"rows": [], "failed": failed, **dict.fromkeys(_CHARTS)}
    space, shares = study.spaces.get(stage, {}), study.importances.get(stage, {})
    known = [space[n] for n in sorted(space, key=lambda name: -shares.get(name, 0.0))]
    scores, axes = _scores(study, rows, known), [_axis(d) for d in known]
    last = max(r["trial"] for r in study.trials if r["stage"] == stage)
    slices = [setting_chart(scores, axis) for axis in axes] if len(rows) >= _FEWEST else []
    return {
        "rows": [_cells(row, rows) for row in rows[:_SHOWN]],
        "count": len(rows),
        "failed": failed,
        "history": score_chart(scores, last) if len(rows) > 1 else None,
        "importances": importance_chart(shares) if shares else None,
        "slices": slices[:_SLICES],
        "more_slices": slices[_SLICES:],
        "parallel": parallel_chart(scores, axes[:_AXES]) if len(rows) >= _LINES and axes else None,
    }


def _cells(row: TrialRecord, rows: Sequence[TrialRecord]) -> dict[str, Any]:
    """A line of the table; settings are those that differ from the default trial's."""
    default = next((r for r in rows if r["default"]), None)
    shown = row["params"] if row is default else changed(row, default)
    return {
        "trial": row["trial"],
        "default": row["default"],
        "metrics": [_score(row, name) for name in ("accuracy", "log_loss")],
        "seconds": f"{row['seconds'] or 0:.1f}",
        "settings": ", ".join(f"{n} {_value(v)}" for n, v in shown.items()),
    }


def _value(value: Any) -> str:
    if isinstance(value, float):
        return svg.number(value)
    return "" if value is None else str(value)


def _scores(study: Study, rows: Sequence[TrialRecord], known: Sequence[Dimension]) -> Scores:
    points = [
        TrialPoint(
            row["trial"],
            row["score"] or 0.0,
            _about(row),
            {d.name: d.position(row["params"][d.name]) for d in known if d.name in row["params"]},
            row is rows[0],
            row["default"],
        )
        for row in rows
    ]
    return Scores(study.metric, direction(study.metric) == "minimize", points)


def _about(row: TrialRecord) -> str:
    settings = ", ".join(f"{n} {_value(v)}" for n, v in row["params"].items())
    figures = ", ".join(f"{LABELS[n]} {_score(row, n)}" for n in ("accuracy", "log_loss"))
    return f"trial {row['trial']}: {figures}; {settings}"


def _axis(dimension: Dimension) -> Axis:
    if dimension.choices:
        labels = [(dimension.position(c), _value(c)) for c in dimension.choices]
    else:
        labels = [(0.0, svg.number(dimension.low)), (1.0, svg.number(dimension.high))]
    return Axis(dimension.name, labels)
