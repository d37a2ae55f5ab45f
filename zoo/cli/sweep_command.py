"""``zoo sweep GRID``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo.cli._command import Command
from zoo.cli._common import BackboneName, DataSource, progress_for
from zoo.cli._tune import show, study_options


@click.command("sweep", cls=Command)
@click.argument("grid", type=click.Path())
@click.argument("backbone", type=BackboneName(), required=False)
@click.option(
    "--data", type=DataSource(), metavar="SRC", help="As of `zoo finetune`.  [default: elpv]"
)
@click.option(
    "--refit/--no-refit",
    default=False,
    show_default=True,
    help="Train a run with the best settings, on training and validation images together.",
)
@study_options
def command(
    grid: str,
    backbone: str | None,
    data: str | None,
    pinned: tuple[str, ...],
    weights: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train with every combination of some settings.

    GRID is a .yaml, .toml or .json file: settings with lists of values, or (not in TOML) a list of
    settings. Logged, resumed and shown like `zoo tune`; no run is trained at the end unless asked.

    \b
    Example of a grid:
      backbone: [cnn, resnet20]
      learning_rate: [1.0e-3, 3.0e-3]
      mix: [none, cutmix]
    """
    import zoo
    from zoo.overrides import parse_overrides

    given = parse_overrides(pinned)
    if weights:
        given["weights"] = weights
    from zoo.tuning.grid import read_grid
    from zoo.tuning.score import check_metric

    check_metric(options["metric"])  # refused before anything slow is imported
    points = read_grid(Path(grid))
    progress = progress_for(as_json)
    study = zoo.sweep(points, backbone, data, progress=progress, **options, **given)
    show(study, as_json)
