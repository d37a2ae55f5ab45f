"""``zoo diagnose RUN``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo.cli._command import Command
from zoo.cli._common import RunName, echo, json_option, print_json, progress_for, runs_option
from zoo.escape import printable

if TYPE_CHECKING:
    from zoo.diagnosis.finding import Finding
    from zoo.diagnosis.job import Diagnosis


@click.command("diagnose", cls=Command)
@click.argument("run", type=RunName())
@runs_option
@click.option(
    "--files",
    type=click.IntRange(min=0),
    metavar="INT",
    default=5,
    show_default=True,
    help="How many files to list for each finding; --json lists all.",
)
@click.option(
    "--range-test",
    is_flag=True,
    help="Find the learning rates that train this network (Smith 2017): 120 steps on a copy.",
)
@click.option(
    "--compare-backbones",
    metavar="NAMES",
    default="",
    help="Compare with these backbones, separated by commas, by their ImageNet weights on this "
    "machine: would a larger one help?",
)
@click.option(
    "--report/--no-report",
    "page",
    default=None,
    help="Write the page of zoo report, too.  [default: report; with --json only for --output]",
)
@click.option(
    "--output",
    metavar="FILE",
    help="Path of the report.  [default: reports/NAME.html in the runs folder]",
)
@json_option
def command(
    run: str,
    runs_dir: str | None,
    files: int,
    range_test: bool,
    compare_backbones: str,
    page: bool | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Find out why a run is not better, and what to do.

    Looks for wrong labels, classes that are confused with each other, low recall from class
    imbalance, over- and underfitting, an unsuitable learning rate, number of epochs or patience,
    too few images, unusable and blurred files, wrong pixel values or channel order, copies across
    splits, drift between training and test images, and shortcuts. The worst finding comes first.
    The same with pictures is written as one HTML file, see `zoo report`.

    \b
    Examples:
      zoo diagnose efficientnet-lite0-elpv-1
      zoo diagnose birds --files 50
      zoo diagnose birds --json > birds.json
      zoo diagnose birds --range-test
      zoo diagnose birds --compare-backbones efficientnet-lite1,efficientnet-lite2
    """
    import zoo

    if page is False and output:
        raise click.UsageError("--output is where the page goes, and --no-report writes none")
    from zoo.runs import open_run

    open_run(run, runs_dir)  # refused before anything slow is imported
    if page is None:
        page = bool(output) or not as_json
    if page:
        _check_place(run, runs_dir, output)
    progress = progress_for(as_json)
    diagnosis = zoo.diagnose(
        run,
        runs_dir=runs_dir,
        range_test=range_test,
        backbones=[name.strip() for name in compare_backbones.split(",") if name.strip()],
        progress=progress,
    )
    if not as_json:  # what is known is shown before the page is drawn
        echo(f"{printable(diagnosis.verdict)}\n")
        for number, finding in enumerate(diagnosis.findings, start=1):
            echo(f"{number}. {_finding(finding, files)}\n")
        echo(_rest(diagnosis))
    written = None
    if page:
        written = zoo.report(
            run, output=output, runs_dir=runs_dir, diagnosis=diagnosis, progress=progress
        )
    if as_json:
        print_json({**diagnosis.as_record(), "page": None if written is None else str(written)})
    elif written is not None:
        from zoo.cli.report_command import where

        echo(f"\n{where(written)}")


def _check_place(run: str, runs_dir: str | None, output: str | None) -> None:
    """Tell before the work that the page cannot be written."""
    from zoo.reporting.job import place
    from zoo.runs import open_run

    place([open_run(run, runs_dir)], output)


def _finding(finding: Finding, files: int) -> str:
    from zoo.words import counted

    lines = [finding.title, *(f"   {sentence}" for sentence in finding.evidence)]
    lines += [f"   - {shown.id}  {shown.note}".rstrip() for shown in finding.files[:files]]
    if len(finding.files) > files:
        more = counted(len(finding.files) - files, "more file")
        lines.append(f"   and {more} (--files, --json)")
    lines.append(f"   What to do: {finding.advice}")
    lines += [f"   $ {command}" for command in finding.command.splitlines()]
    return "\n".join(printable(line) for line in lines)


def _rest(diagnosis: Diagnosis) -> str:
    from zoo.diagnosis.verdict import unknown_checks
    from zoo.words import counted

    findings = counted(len(diagnosis.findings), "finding")
    lines = [f"{findings} from {counted(len(diagnosis.outcomes), 'check')}"]
    clear = [o for o in diagnosis.outcomes if o.state == "clear"]
    lines += [f"  nothing wrong  {o.check}: {o.says}" for o in clear]
    if unknown := unknown_checks(diagnosis.outcomes):
        lines.append(f"  {unknown}")
    return "\n".join(printable(line) for line in lines)
