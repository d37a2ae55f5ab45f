"""``zoo tune BACKBONE``."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli._command import Command
from zoo.cli._common import BackboneName, DataSource, echo, print_json, progress_for
from zoo.cli._tune import show, study_options


@click.command("tune", cls=Command)
@click.argument("backbone", type=BackboneName(), required=False)
@click.option(
    "--data", type=DataSource(), metavar="SRC", help="As of `zoo finetune`.  [default: elpv]"
)
@click.option(
    "--trials", type=int, default=20, show_default=True, metavar="N", help="Trials in total."
)
@click.option(
    "--head-trials",
    type=int,
    default=100,
    show_default=True,
    metavar="M",
    help="Heads to try first on frozen features; 0 searches for everything by training.",
)
@click.option("--space", metavar="FILE", help="What to search, in place of the backbone's space.")
@click.option(
    "--print-space",
    is_flag=True,
    help="Print the space as YAML, or as JSON with --json; search nothing.",
)
@click.option(
    "--prune/--no-prune",
    default=True,
    show_default=True,
    help="Stop trials that are in the lower third after an epoch.",
)
@click.option(
    "--refit/--no-refit",
    default=True,
    show_default=True,
    help="Train a run with the best settings, on training and validation images together.",
)
@study_options
def command(
    backbone: str | None,
    data: str | None,
    print_space: bool,
    pinned: tuple[str, ...],
    weights: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Search for the best settings on validation images, and train a run with them.

    The head's penalties and class weights are searched first, on frozen features (about one second
    per trial). Then networks are fine-tuned from the best heads, with other settings proposed by
    TPE, with pruning. Test images are predicted once, by the run at the end. The same command
    continues an interrupted study, and joins one that runs on another machine.

    \b
    Examples:
      zoo tune efficientnet --data photos/ --timeout 2h
      zoo tune efficientnet --data photos/ --trials 50 --jobs 2 --set epochs=4
      zoo tune efficientnet --data photos/ --print-space > space.yaml
      zoo tune efficientnet --data photos/ --storage postgresql://host/zoo    # on many machines
    """
    from zoo.overrides import parse_overrides

    given = parse_overrides(pinned)
    if weights:
        given["weights"] = weights
    if print_space:
        _print_space(backbone, data, options["config"], given, as_json)
        return
    import zoo
    from zoo.tuning.score import check_metric

    check_metric(options["metric"])  # refused before anything slow is imported
    progress = progress_for(as_json)
    study = zoo.tune(backbone, data, progress=progress, **options, **given)
    show(study, as_json)


def _print_space(
    backbone: str | None,
    data: str | None,
    config: str | None,
    given: dict[str, Any],
    as_json: bool,
) -> None:
    import yaml

    from zoo.progress import Progress
    from zoo.train.plan import collect_settings, resolve
    from zoo.tuning.space import default_space

    resolved = resolve(collect_settings(backbone, data, config, given, Progress()))
    space = {n: d.as_data() for n, d in default_space(resolved).items() if n not in given}
    if as_json:
        print_json(space)
        return
    echo(yaml.safe_dump(space, sort_keys=False, default_flow_style=None), nl=False)
