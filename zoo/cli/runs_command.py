"""``zoo runs``."""

from __future__ import annotations

from typing import Any

import click

from zoo.cli._command import Command
from zoo.cli._common import echo, json_option, print_json, runs_option, wide_option
from zoo.escape import printable


@click.command("runs", cls=Command)
@runs_option
@click.option("--verify", is_flag=True, help="Name files that changed since a run was written.")
@wide_option
@json_option
def command(runs_dir: str | None, verify: bool, wide: bool, as_json: bool) -> None:
    """List the runs: backbone or ensemble, data, test accuracy.

    Runs in training and interrupted ones are listed last, with how far they are;
    `zoo finetune --resume --name RUN` continues an interrupted one.

    With --verify, the files of each run are compared with the digests that the run keeps, and the
    exit code is 1 if one was changed or lost.
    """
    if verify:
        _verify(runs_dir, as_json)
        return
    from zoo import paths
    from zoo.errors import ZooError
    from zoo.running import in_the_making
    from zoo.runs import Run, finished

    def row(run: Run) -> dict[str, Any]:
        try:
            return {
                "name": run.name,
                "backbone": run.title,
                "data": run.record["data"]["name"],
                "created": run.record["created"],
                "metrics": run.metrics,
            }
        except (ZooError, KeyError) as error:
            return {"name": run.name, "problem": f"damaged: {error}"}

    rows, others = [row(run) for run in finished(runs_dir)], in_the_making(runs_dir)
    if as_json:
        waiting = [run.name for run in others if not run.is_alive]
        making = [run.as_record() for run in others]
        print_json({"runs": rows, "unfinished": waiting, "in_the_making": making})
        return
    if not rows and not others:
        echo(f"no runs in {paths.runs_dir(runs_dir)} yet: zoo finetune efficientnet")
        return
    if rows:
        from zoo.cli._tables import fitted, terminal_width

        cells = [_cells(r) for r in rows]
        echo(fitted(_HEADERS, cells, (0, 4, 1, 2, 5, 3), width=terminal_width(), wide=wide))
    for run in others:
        state = "in training" if run.is_alive else "unfinished"
        resume = f"  ({run.resume})" if run.resume else ""
        echo(f"{state}: {run.name}, {printable(run.sentence())}{resume}")


_HEADERS = ["run", "model", "data", "created", "test accuracy", "test log loss"]


def _verify(runs_dir: str | None, as_json: bool) -> None:
    """Name the files of each run that are not as they were written."""
    from zoo.digests import differences
    from zoo.runs import finished

    found = {run.name: differences(run.path) for run in finished(runs_dir)}
    if as_json:
        print_json({"runs": found})
    for name, files in found.items() if not as_json else ():
        if files is None:
            echo(f"{name}: no digests, it was written by an older version")
        elif not files:
            echo(f"{name}: as it was written")
        for file, what in (files or {}).items():
            echo(f"{name}: {file} {'is' if what == 'missing' else 'was'} {what}")
    if any(found.values()):
        raise click.exceptions.Exit(1)


def _cells(row: dict[str, Any]) -> list[str]:
    if "problem" in row:
        return [row["name"], row["problem"], "", "", "", ""]
    test = row["metrics"].get("test", {})
    accuracy, loss = test.get("accuracy"), test.get("log_loss")
    interval = (
        f"{accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]"
        if accuracy
        else ""
    )
    return [
        row["name"],
        row["backbone"],
        row["data"],
        row["created"][:16].replace("T", " "),
        interval,
        f"{loss['value']:.3f}" if loss else "",
    ]
