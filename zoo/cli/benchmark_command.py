"""``zoo benchmark``."""

from __future__ import annotations

import shutil

import click

from zoo.cli._command import Command
from zoo.cli._common import (
    BackboneNames,
    DataSource,
    echo,
    jobs_option,
    json_option,
    print_json,
    progress_for,
    runs_option,
)
from zoo.escape import printable


@click.command("benchmark", cls=Command)
@click.option(
    "--data", type=DataSource(), metavar="SRC", help="As of `zoo finetune`.  [default: elpv]"
)
@click.option(
    "--backbones",
    type=BackboneNames(),
    metavar="A,B,...",
    help="Families or variants.  [default: every family]",
)
@click.option(
    "--seeds", type=int, default=3, show_default=True, metavar="N", help="Training runs per cell."
)
@click.option(
    "--set",
    "pinned",
    multiple=True,
    metavar="SETTING=VALUE",
    help="A setting of all training runs, such as epochs=4, or of one backbone, such as "
    "cnn.size=64 or mobilenet.weights=FILE.",
)
@click.option(
    "--methods", metavar="M,N,...", help="Ways to combine, of `zoo ensemble`.  [default: all]"
)
@jobs_option
@click.option(
    "--backend",
    metavar="loky|dask",
    default="loky",
    show_default=True,
    help="joblib backend: loky (this machine) or dask (a cluster).",
)
@click.option("--address", metavar="URL", help="Address of the Dask scheduler: tcp://HOST:8786.")
@click.option("--name", metavar="NAME", help="Name of the benchmark.  [default: the data's]")
@runs_option
@click.option("--wide", is_flag=True, help="Print all columns, wider than the terminal.")
@json_option
def command(
    data: str | None,
    backbones: list[str] | None,
    seeds: int,
    pinned: tuple[str, ...],
    methods: str | None,
    jobs: int,
    backend: str,
    address: str | None,
    name: str | None,
    runs_dir: str | None,
    wide: bool,
    as_json: bool,
) -> None:
    """Compare backbones, recipes and ensembles on one split, over seeds.

    Each backbone is trained as a linear probe, fine-tuned without augmentation and penalties, with
    augmentation, and with both (from scratch there is no probe); then every method combines the
    networks of each seed. The table has means with 95% intervals, costs, and a paired test of every
    row against the best single, which is chosen on validation images.

    Training runs are kept in RUNS/benchmarks/NAME: the same command continues after Ctrl-C or
    kill -9, and more seeds or backbones add to them. table.md, table.csv and table.json are there.

    \b
    Examples:
      zoo benchmark --backbones efficientnet,cnn
      zoo benchmark --data photos/ --backbones efficientnet,mobilenet \\
          --set mobilenet.weights=FILE.h5
      zoo benchmark --data photos/ --seeds 5 --set size=96 --set epochs=3 --set cnn.size=64
      zoo benchmark --data photos/ --backend dask --address tcp://10.0.0.5:8786
    """
    import zoo
    from backbones import get

    for backbone in backbones or ():
        if not backbone.startswith("hub:"):
            get(backbone)  # refused before anything slow is imported
    from zoo.benchmarking.plan import METHODS
    from zoo.overrides import parse_scoped_overrides

    shared, each = parse_scoped_overrides(pinned)
    table = zoo.benchmark(
        backbones or (),
        data,
        seeds=seeds,
        methods=METHODS if methods is None else [m.strip() for m in methods.split(",")],
        each=each,
        jobs=jobs,
        backend=backend,
        address=address,
        name=name,
        runs_dir=runs_dir,
        progress=progress_for(as_json),
        **shared,
    )
    if as_json:
        print_json({"path": str(table.path), **table.as_record()})
        return
    from zoo.benchmarking.terminal import terminal_table

    width = shutil.get_terminal_size((100, 24)).columns
    echo(terminal_table(table, width, wide=wide))
    echo(f"\nfiles  {printable(str(table.path))}: table.md, table.csv, table.json")
