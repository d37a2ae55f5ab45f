"""``zoo ensemble --members A,B,C``."""

from __future__ import annotations

import click

from zoo.cli._command import Command
from zoo.cli._common import RunNames, echo, json_option, print_json, progress_for, runs_option


@click.command("ensemble", cls=Command)
@click.argument("named", metavar="RUN...", type=RunNames(), nargs=-1)
@click.option(
    "--members",
    type=RunNames(),
    metavar="A,B,...",
    help="Runs to combine, at least two, of the same data and split: another way to name them.",
)
@click.option(
    "--method",
    default="auto",
    show_default=True,
    metavar="M",
    help="auto, soft, weighted, greedy, stack, geometric, vote or soup.",
)
@click.option(
    "--weights", metavar="2,1,...", help="Weights of the members, for soft and geometric."
)
@click.option(
    "--calibrate/--no-calibrate",
    default=True,
    show_default=True,
    help="Scale the temperatures of the members and of their combination.",
)
@click.option(
    "--tolerance",
    type=float,
    metavar="X",
    help="Keep the fewest members whose log loss is within X of the best set's.",
)
@click.option(
    "--budget-ms",
    type=float,
    metavar="MS",
    help="Keep to members that take at most MS milliseconds per image together.",
)
@click.option(
    "--measure", is_flag=True, help="Time the members on this machine first (loads the networks)."
)
@click.option("--name", metavar="NAME", help="Name of the run.  [default: ensemble-data-number]")
@runs_option
@json_option
def command(
    named: tuple[list[str], ...],
    members: list[str] | None,
    method: str,
    weights: str | None,
    calibrate: bool,
    tolerance: float | None,
    budget_ms: float | None,
    measure: bool,
    name: str | None,
    runs_dir: str | None,
    as_json: bool,
) -> None:
    """Combine finished runs into one that is better.

    Works on stored predictions: no network runs, except for --method soup and --measure. Everything
    is decided on validation, or on out-of-fold predictions if all members have them; the test
    predictions are read once.

    \b
    Methods:
      soft       mean of probabilities          geometric  mean of log-probabilities
      weighted   weights of lowest log loss     greedy     selection with replacement, bagged
      stack      logistic regression on top     vote       majority
      soup       mean of weights: one network, for members of one backbone
      auto       the simplest that is not distinguishable from the best

    \b
    Examples:
      zoo ensemble a b c
      zoo ensemble a b c --method soft --weights 2,1,1
      zoo ensemble a b c d e --tolerance 0.002    # fewest members
      zoo ensemble --members a,b,c --budget-ms 20    # at most 20 ms per image
    """
    import zoo

    runs = [name for names in (*named, members or []) for name in names]
    if not runs:
        raise zoo.ZooError("no runs are named: zoo ensemble RUN RUN ... (`zoo runs` lists them)")
    from zoo.combine.members import matching_runs

    opened = matching_runs(runs, runs_dir)  # refused before anything slow is imported
    run = zoo.ensemble(
        opened,
        method,
        weights=None if weights is None else _numbers(weights),
        calibrate=calibrate,
        tolerance=tolerance,
        budget_ms=budget_ms,
        measure=measure,
        name=name,
        runs_dir=runs_dir,
        progress=progress_for(as_json),
    )
    if as_json:
        found = run.record["combination"]
        about = {"run": run.name, "path": str(run.path)}
        print_json({**about, "combination": found, "metrics": run.metrics})
        return
    from zoo.cli._ensemble import ensemble_text
    from zoo.cli._metrics import where_and_when

    echo(f"{ensemble_text(run)}\n\n{where_and_when(run)}")
    where = f" --runs-dir {runs_dir}" if runs_dir else ""
    echo(f"next  zoo predict {run.name} IMAGE...{where}")


def _numbers(text: str) -> list[float]:
    from zoo.errors import ZooError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ZooError(
            f"--weights must be numbers with commas between, such as 2,1,1, not {text!r}"
        ) from None
