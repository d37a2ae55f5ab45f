"""What ``zoo tune`` and ``zoo sweep`` share: their options, and what is shown of a study."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from zoo.cli._common import echo, jobs_option, json_option, print_json, runs_option, table
from zoo.cli._verdict import verdict
from zoo.escape import printable
from zoo.words import counted

if TYPE_CHECKING:
    from zoo.tuning.result import Study, TrialRecord

_SHOWN = 5  # trials, in a terminal
_SETTINGS = 6  # of a trial, in a terminal


def study_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the options that both commands have."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


_OPTIONS = (
    click.option(
        "--metric",
        default="accuracy",
        show_default=True,
        metavar="M",
        help="accuracy, f1, auc or log_loss, on validation images.",
    ),
    click.option("--timeout", metavar="TIME", help="Time for the search: 1h, 30m, 90s."),
    jobs_option,
    click.option(
        "--storage",
        metavar="URL",
        help="postgresql://..., another database, or journal:PATH: machines with the same storage "
        "work on one study.  [default: an SQLite file in RUNS/studies/NAME]",
    ),
    click.option(
        "--set",
        "pinned",
        multiple=True,
        metavar="SETTING=VALUE",
        help="A setting that is the same in all trials, such as lr=1e-3.",
    ),
    click.option(
        "--top",
        type=int,
        default=1,
        show_default=True,
        metavar="K",
        help="Make runs of the best K diverse trials.",
    ),
    click.option("--mlflow", metavar="URI", help="Log trials to MLflow as well."),
    click.option("--weights", metavar="TEXT", help="imagenet, none, or a weights file."),
    click.option("--config", metavar="FILE", help="Settings from a .toml, .yaml or .json file."),
    click.option("--name", metavar="NAME", help="Name of the study.  [default: backbone-data]"),
    runs_option,
    json_option,
)


def show(study: Study, as_json: bool) -> None:
    """Print what a study found, and exit with the status of what stopped it, 130 after Ctrl-C.

    Raises:
        ZooError: no trial was completed.
    """
    from zoo.tuning.context import STOPPED

    status = STOPPED.get(study.stopped, 0)
    if status and not (study.ranked() or study.ranked("probe")):
        echo("stopped before a trial was completed; the same command continues", err=True)
    else:
        _print(study, as_json)
    if status:
        sys.exit(status)


def _print(study: Study, as_json: bool) -> None:
    if as_json:
        best, against = study.best, study.against_default
        print_json(
            {
                "study": study.name,
                "path": str(study.path),
                "metric": study.metric,
                "best": best,
                "default": study.default,
                "against_default": against.as_record() if against else None,
                "importances": study.importances,
                "edges": study.edges,
                "runs": {str(n): run.name for n, run in study.runs.items()},
                "stopped": study.stopped,
            }
        )
        return
    echo("\n\n".join(part for part in _parts(study) if part))


def _parts(study: Study) -> list[str]:
    from zoo.cli._metrics import metrics_table

    parts = [_counts(study)]
    parts += [_trials(study, stage) for stage in ("probe", "finetune")]
    parts += [_importances(study), "\n".join(study.edges), _against_default(study)]
    for number, run in study.runs.items():
        parts.append(f"run {run.name}, of trial {number}\n{metrics_table(run.metrics)}")
    lines = [f"page  {printable(str(study.path / 'study.html'))}"]
    if study.stopped:
        lines.insert(0, f"{study.stopped}: the same command continues")
    if not study.runs:
        config = study.path / "best.json"
        lines.append(f"next  zoo finetune --config {printable(str(config))} --refit")
    elif len(study.runs) > 1:
        lines.append(
            f"next  zoo ensemble --members {','.join(r.name for r in study.runs.values())}"
        )
    else:
        lines.append(f"next  zoo predict {next(iter(study.runs.values())).name} IMAGE...")
    return [*parts, "\n".join(lines)]


_TITLES = {"probe": "on frozen features", "finetune": "trained"}


def _counts(study: Study) -> str:
    lines = []
    for stage, title in _TITLES.items():
        rows = [r for r in study.trials if r["stage"] == stage]
        if rows:
            states = Counter(r["state"] for r in rows)
            states["tried again"] = sum(r["retry_of"] is not None for r in rows)
            said = ", ".join(f"{n} {state}" for state, n in states.items() if n)
            lines.append(f"{counted(sum(r['counts'] for r in rows), 'trial')} {title}: {said}")
    return f"study {study.name}\n" + "\n".join(lines)


def _trials(study: Study, stage: str) -> str:
    rows = study.ranked(stage)[:_SHOWN]
    if not rows:
        return ""
    shares = study.importances.get(stage, {})
    names = sorted(study.spaces.get(stage, {}), key=lambda n: -shares.get(n, 0.0))[:_SETTINGS]
    cells = [
        [
            f"{r['trial']}{' (default)' if r['default'] else ''}",
            f"{r['metrics']['accuracy']:.4f}",
            f"{r['metrics']['log_loss']:.4f}",
            f"{r['seconds'] or 0:.1f}",
            *[_value(r["params"].get(n)) for n in names],
        ]
        for r in rows
    ]
    headers = [f"best {_TITLES[stage]}", "accuracy", "log loss", "s", *names]
    return table(headers, cells, right={1, 2, 3})


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def _importances(study: Study) -> str:
    lines = []
    for stage, shares in study.importances.items():
        said = ", ".join(f"{name} {share:.2f}" for name, share in list(shares.items())[:_SETTINGS])
        lines.append(
            f"what matters, {_TITLES[stage]} ({counted(len(study.ranked(stage)), 'trial')}): {said}"
        )
    return "\n".join(lines)


def _against_default(study: Study) -> str:
    best, default = study.best, study.default
    if default is None or default is best:
        return "the default settings are the best tried" if default is best else ""
    said = f"default settings on validation: {_said(default)}; best: {_said(best)}"
    if study.against_default is None:
        return said
    heading = "the best trial against the default settings, on validation"
    count = len(study.ranked(best["stage"]))
    luck = f"  the best of {count} is partly luck, for which this is corrected"
    return f"{said}\n{verdict(study.against_default.as_record(), heading)}\n{luck}"


def _said(row: TrialRecord) -> str:
    return f"accuracy {row['metrics']['accuracy']:.4f}, log loss {row['metrics']['log_loss']:.4f}"
