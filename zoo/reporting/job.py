"""``zoo report``: one HTML file about a run, or one that compares several."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from zoo.deprecated import renamed_parameters
from zoo.diagnosis.job import Diagnosis
from zoo.errors import ZooError, disk_errors
from zoo.output import check_output, output_place, write_output
from zoo.pages.render import render
from zoo.progress import Progress, for_python
from zoo.reporting import comparison
from zoo.reporting.run_page import Page
from zoo.runs import Run, open_run


@renamed_parameters("runs")
def report(
    run: Run | str | Path | Sequence[Run | str | Path],
    *,
    output: str | Path | None = None,
    runs_dir: str | Path | None = None,
    diagnose: bool = True,
    diagnosis: Diagnosis | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the report of a run, or the comparison of several.

    The page needs no network and no other file. Its metrics come from the stored predictions;
    single images are shown from validation or out-of-fold predictions only, so that nothing is
    chosen by the test images. The run is not changed.

    Args:
        run: a run, its name or its path; or several of the same data and split.
        output: the file, or a folder for it; ``reports/NAME.html`` in the runs folder if None.
        runs_dir: folder of the runs, for names.
        diagnose: for one run: find faults and explain mistakes, which reads its images and model;
            otherwise only stored predictions, curves and pictures are shown.
        diagnosis: an earlier one, so that it is not repeated.
        progress: shows the steps.

    Returns:
        The file.

    Raises:
        ZooError, EnsembleError: no such run, missing predictions, runs of different data, or a
            place that cannot be written.
    """
    given = [run] if isinstance(run, Run | str | Path) else list(run)
    if not given:
        raise ZooError("no run is given: name one to report on, or several to compare")
    opened = [r if isinstance(r, Run) else open_run(r, runs_dir) for r in given]
    opened = [r if r.name else Run(r.path.resolve()) for r in opened]  # given as "."
    target = place(opened, output)
    shown = progress or for_python()
    if len(opened) == 1:
        context = Page(opened[0], diagnosis, diagnose, shown).context()
        page = _page("run.html", context)
    else:
        page = _page("compare.html", comparison.context(opened, shown))
    write_output(target, page)
    return target


def _page(template: str, context: dict[str, Any]) -> str:
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return render(template, version=sys.modules["zoo"].__version__, written=written, **context)


def place(runs: Sequence[Run], output: str | Path | None = None) -> Path:
    """The file of a report; its folder is created, so that an error comes before the work.

    Args:
        runs: finished.
        output: a file, or a folder for it; ``reports/NAME.html`` in the runs folder if None.

    Raises:
        ZooError: see :func:`zoo.output.output_place`.
    """
    name = "-".join(run.name for run in runs)[:120] + ".html"
    if output is not None:
        return output_place(output, name)
    path = runs[0].path.resolve().parent / "reports" / name
    with disk_errors(path.parent):
        path.parent.mkdir(exist_ok=True)
    check_output(path)
    return path
