"""``zoo distill TEACHER BACKBONE``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from zoo.cli._command import GroupedCommand
from zoo.cli._common import (
    BackboneName,
    DataSource,
    RunName,
    echo,
    json_option,
    print_json,
    progress_for,
    runs_option,
    settings_options,
    table,
)
from zoo.keywords import OF_TEACHER
from zoo.runs import Run, RunWriter


@click.command("distill", cls=GroupedCommand)
@click.argument("teacher", type=RunName())
@click.argument("backbone", type=BackboneName(), required=False)
@click.option(
    "--data",
    type=DataSource(),
    metavar="SRC",
    help="Where the teacher's images are now, if they have moved.",
)
@click.option(
    "--name", metavar="NAME", help="Name of the run.  [default: backbone-from-teacher-number]"
)
@runs_option
@json_option
@partial(settings_options, left_out=OF_TEACHER)
def command(
    teacher: str,
    backbone: str | None,
    data: str | None,
    name: str | None,
    runs_dir: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train one network to say what an ensemble says.

    TEACHER is an ensemble or a run that was trained with --folds: the network learns from the
    labels and from the teacher's probabilities for images that its members were not trained on.
    It is faster than the ensemble. Images and split are the teacher's.

    \b
    Examples:
      zoo finetune efficientnet --data photos/ --folds 5 --name a
      zoo finetune mobilenet --data photos/ --folds 5 --name b
      zoo ensemble a b --name both
      zoo distill both efficientnet
    """
    import zoo
    from zoo.cli.finetune_command import checked_data
    from zoo.train.teacher import open_teacher, settings_of_student

    progress = progress_for(as_json)
    if name:
        RunWriter(name, runs_dir)  # which refuses a name, and makes nothing yet
    teaching = open_teacher(teacher, runs_dir)
    taken = settings_of_student(teaching, {**settings, "backbone": backbone, "data": data})
    checked_data(taken.pop("backbone"), taken.pop("data"), None, taken, progress)
    given = {n: v for n, v in settings.items() if v is not None}
    run = zoo.distill(
        teaching, backbone, data=data, name=name, runs_dir=runs_dir, progress=progress, **given
    )
    others = _others(teaching)
    against = {other.name: _against(run, other) for other in others}
    if as_json:
        about = {"run": run.name, "path": str(run.path), "metrics": run.metrics}
        print_json({**about, "against": against})
        return
    _print_result(run, others, against)
    where = f" --runs-dir {runs_dir}" if runs_dir else ""
    echo(f"next  zoo predict {run.name} IMAGE...{where}")


def _others(teacher: Run) -> list[Run]:
    """The teacher, and its best member by its own validation, if that run still lies beside it."""
    if not teacher.combination:
        return [teacher]
    beside = Run(teacher.path.parent / teacher.record["combination"]["best_member"])
    there = beside.has("predictions/test.npz")
    same = there and beside.record["data"] == teacher.record["data"]
    return [teacher, beside] if same else [teacher]


def _against(run: Run, other: Run) -> dict[str, Any]:
    from ensembles.comparison import compare

    return compare(run.predictions("test"), other.predictions("test")).as_record()


def _print_result(run: Run, others: list[Run], against: dict[str, dict[str, Any]]) -> None:
    from zoo.cli._metrics import entry, where_and_when
    from zoo.cli._verdict import verdict

    titles = [run.name, *[f"{other.name} (teacher)" for other in others[:1]]]
    titles += [f"{other.name} (its best member)" for other in others[1:]]
    rows = []
    for title, each in zip(titles, [run, *others], strict=True):
        test, spent = each.metrics["test"], each.milliseconds
        scores = [entry(test[metric]) for metric in ("accuracy", "log_loss")]
        rows.append([title, *scores, "-" if spent is None else f"{spent:.1f}"])
    echo(table(["test", "accuracy", "log loss", "ms/image"], rows, right={3}))
    echo("95% intervals in brackets\n")
    for name, found in against.items():
        echo(f"{verdict(found, f'against {name}')}\n")
    echo(where_and_when(run))
