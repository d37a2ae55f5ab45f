"""``zoo predict RUN IMAGE...``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from zoo.cli._command import Command
from zoo.cli._common import RunName, echo, print_json, runs_option, table
from zoo.escape import csv_cell, printable, write_csv

if TYPE_CHECKING:
    from zoo.evaluate.images import Name
    from zoo.evaluate.predict import Prediction


@click.command("predict", cls=Command)
@click.argument("run", type=RunName())
@click.argument("images", nargs=-1, type=click.Path(), required=True)
@click.option(
    "--top",
    metavar="K",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How many classes to show for each image.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="csv and json have the probabilities of all classes. In csv a quote (') goes before names "
    "that a spreadsheet would take for a formula.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@runs_option
def command(
    run: str, images: tuple[str, ...], top: int, form: str, as_json: bool, runs_dir: str | None
) -> None:
    """Predict images with a finished run.

    IMAGES are files or folders. Every file that is not predicted is named on standard error with
    the reason, and they are counted.
    """
    import zoo
    from zoo.evaluate.predict import NoUsableImageError, record_of
    from zoo.progress import Progress, for_terminal

    form = "json" if as_json else form
    progress = for_terminal() if form == "table" else Progress()
    try:
        found = zoo.predict(run, images, runs_dir=runs_dir, progress=progress)
    except NoUsableImageError as error:
        error.details = record_of([], error.bad, error.hidden)
        _name_bad(error.bad)
        raise
    _PRINTERS[form](found, min(top, len(found.classes)))
    _name_bad(found.bad)
    if found.bad or found.hidden:
        echo(_summary(found), err=True)


def _name_bad(bad: Mapping[Name, str]) -> None:
    for file, reason in bad.items():
        echo(f"left out {printable(str(file))}: {printable(reason)}", err=True)


def _summary(found: Prediction) -> str:
    """How many files were predicted and how many were not, by reason."""
    from zoo.evaluate.predict import by_reason

    count = len(found.files)
    parts = [f"predicted {count} image{'s' * (count != 1)}"]
    if found.bad:
        total = len(found.bad)
        parts.append(
            f"left out {total} file{'s' * (total != 1)} ({printable(by_reason(found.bad))})"
        )
    if found.hidden:
        parts.append(f"did not read {found.hidden} in hidden or system folders")
    return ", ".join(parts)


def _print_table(found: Prediction, top: int) -> None:
    rows = [
        [str(file), *[f"{name} {p:.3f}" for name, p in best]]
        for file, best in zip(found.files, found.top(top), strict=True)
    ]
    echo(table(["image", *[f"{i + 1}." for i in range(top)]], rows))


def _print_csv(found: Prediction, top: int) -> None:
    # exact in a file or pipe; where a person looks at it, names must not control the terminal
    cell = (lambda name: csv_cell(printable(name))) if sys.stdout.isatty() else csv_cell
    head = ["image", "class", *map(cell, found.classes)]
    lines = zip(found.files, found.top(1), found.probabilities, strict=True)
    rows = (
        [cell(str(file)), cell(name), *[f"{p:.6f}" for p in row]]
        for file, ((name, _),), row in lines
    )
    write_csv(sys.stdout, [head, *rows])


def _print_json(found: Prediction, top: int) -> None:
    print_json(found.as_record(top))


_PRINTERS = {"table": _print_table, "csv": _print_csv, "json": _print_json}
