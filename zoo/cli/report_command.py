"""``zoo report RUN [RUN ...]``."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli._command import Command
from zoo.cli._common import RunName, echo, json_option, print_json, progress_for, runs_option
from zoo.escape import printable


@click.command("report", cls=Command)
@click.argument("names", metavar="RUN...", type=RunName(), nargs=-1, required=True)
@runs_option
@click.option(
    "--output",
    metavar="FILE",
    help="File or folder to write to.  [default: reports/NAME.html in the runs folder]",
)
@click.option(
    "--diagnose/--no-diagnose",
    default=True,
    help="Of one run: look for faults and explain mistakes, or show only what is stored.  "
    "[default: diagnose]",
)
@json_option
def command(
    names: tuple[str, ...], runs_dir: str | None, output: str | None, diagnose: bool, as_json: bool
) -> None:
    """Write the report of a run as one HTML file, or compare several.

    Of one run: metrics, findings of `zoo diagnose`, classes, mistakes with their pictures,
    confidence, curves, a map of the images. Of several: metrics side by side, whether one is
    better, and the images that only one of them classifies correctly. The file is self-contained.

    \b
    Examples:
      zoo report efficientnet-lite0-elpv-1
      zoo report a b c --output comparison.html
    """
    import zoo
    from zoo.runs import open_run

    for name in names:
        open_run(name, runs_dir)  # refused before anything slow is imported
    progress = progress_for(as_json)
    path = zoo.report(names, output=output, runs_dir=runs_dir, diagnose=diagnose, progress=progress)
    if as_json:
        print_json({"page": str(path), "bytes": path.stat().st_size})
    else:
        echo(where(path))


def where(page: Path) -> str:
    """Path and size of a page."""
    return f"page  {printable(str(page))} ({page.stat().st_size / 1e6:.1f} MB)"
