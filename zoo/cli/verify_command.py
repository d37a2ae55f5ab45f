"""``zoo verify EXPORT RUN``."""

from __future__ import annotations

import click

from zoo.cli._command import Command
from zoo.cli._common import RunName, echo, json_option, print_json, progress_for, runs_option
from zoo.escape import printable


@click.command("verify", cls=Command)
@click.argument("export", metavar="EXPORT")
@click.argument("run", type=RunName())
@runs_option
@json_option
def command(export: str, run: str, runs_dir: str | None, as_json: bool) -> None:
    """Compare an exported model with its run again, on this machine.

    EXPORT is the folder that `zoo export` made. Ends with code 2 if the model does not say the same
    as the run.

    \b
    Examples:
      zoo verify runs/exports/a-onnx a
    """
    import zoo
    from zoo.cli.export_command import certificate_text
    from zoo.errors import ZooError
    from zoo.runs import open_run

    open_run(run, runs_dir)  # refused before anything slow is imported
    found = zoo.verify(export, run, runs_dir=runs_dir, progress=progress_for(as_json))
    if as_json:
        print_json(found.as_record())
    else:
        echo(certificate_text(found))
    if found.faults:
        raise ZooError(
            f"{printable(export)} does not agree with {printable(run)}: {'; '.join(found.faults)}"
        )
