"""``zoo show RUN``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo.cli._command import Command
from zoo.cli._common import RunName, echo, json_option, print_json, runs_option, table
from zoo.escape import printable

if TYPE_CHECKING:
    from zoo.running import UnfinishedRun


@click.command("show", cls=Command)
@click.argument("run", type=RunName())
@runs_option
@json_option
def command(run: str, runs_dir: str | None, as_json: bool) -> None:
    """Show a run: metrics with intervals, data, settings, time.

    Of a run in training, or an interrupted one: how far it is, and how to continue it.
    """
    from zoo.cli._metrics import metrics_table, where_and_when
    from zoo.running import find
    from zoo.runs import open_run

    making = find(run, runs_dir)
    if making is not None:
        _print_unfinished(making, as_json)
        return
    found = open_run(run, runs_dir)
    record = found.record
    if as_json:
        print_json({**record, "name": found.name, "metrics": found.metrics})
        return
    data = record["data"]
    echo("  ".join(map(printable, (found.name, found.title, record["created"]))))
    echo(f"data  {printable(data['name'])} at {printable(data['root'])}")
    if "teacher" in record:
        echo(f"learned from  {printable(record['teacher']['run'])}")
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


def _print_unfinished(run: UnfinishedRun, as_json: bool) -> None:
    if as_json:
        print_json({**run.as_record(), "settings": run.settings})
        return
    state = "in training" if run.is_alive else "unfinished"
    echo(f"{state}: {run.name}, {printable(run.sentence())}")
    for name, value in run.settings.items():
        if value is not None:
            echo(f"  {printable(f'{name} = {value}')}")
    echo(f"next  {run.resume}" if run.resume else "its process lives: wait for it")
