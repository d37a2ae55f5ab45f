"""``zoo show RUN``."""

from __future__ import annotations

import click

from zoo.cli._command import Command
from zoo.cli._common import RunName, echo, json_option, print_json, runs_option, table
from zoo.escape import printable


@click.command("show", cls=Command)
@click.argument("run", type=RunName())
@runs_option
@json_option
def command(run: str, runs_dir: str | None, as_json: bool) -> None:
    """Show a run: metrics with intervals, data, settings, time."""
    from zoo.cli._metrics import metrics_table, where_and_when
    from zoo.runs import open_run

    found = open_run(run, runs_dir)
    record = found.record
    if as_json:
        print_json({**record, "name": found.name, "metrics": found.metrics})
        return
    data = record["data"]
    echo("  ".join(map(printable, (found.name, found.title, record["created"]))))
    echo(f"data  {printable(data['name'])} at {printable(data['root'])}")
    counts = data.get("counts", {})
    rows = [
        [name, *[str(counts[split][i]) if counts else "" for split in ("train", "val", "test")]]
        for i, name in enumerate(record["classes"])
    ]
    echo(f"\n{table(['class', 'train', 'val', 'test'], rows, right={1, 2, 3})}")
    echo(f"\n{metrics_table(found.metrics)}\n")
    if found.kind == "ensemble":
        from zoo.cli._ensemble import ensemble_text

        echo(f"{ensemble_text(found)}\n")
    for name, value in record["settings"].items():
        if value is not None:
            echo(f"  {printable(f'{name} = {value}')}")
    echo(f"\n{where_and_when(found)}")
