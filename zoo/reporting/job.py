"""``zoo report``: one file of HTML that tells all of a run, or sets runs beside each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from zoo.deprecated import renamed_parameters
from zoo.diagnosis.job import Diagnosis
from zoo.errors import ZooError, disk_errors
from zoo.pages.render import render
from zoo.paths import new_file, user_path
from zoo.progress import Progress
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
    """Write the report of a run, or of several beside each other.

    The page needs no network and nothing beside it. Its figures are those of the stored
    predictions; single images are shown of validation or out-of-fold predictions only, so that
    nothing is chosen by the test images. The run stays as it is.

    Args:
        run: a run, its name or its path; or several of the same data and split.
        output: the file, or a folder for it; ``reports/NAME.html`` beside the run where None.
        runs_dir: folder of the runs, for names.
        diagnose: of one run: look for faults and explain mistakes, which reads its images and
            model; otherwise only stored predictions, curves and pictures are shown.
        diagnosis: made before, so that it is not made again.
        progress: shows the steps.

    Returns:
        The file.

    Raises:
        ZooError, EnsembleError: no such run, missing predictions, runs of different data, or a
            place that cannot be written.
    """
    given = [run] if isinstance(run, Run | str | Path) else list(run)
    if not given:
        raise ZooError("no run is given to report on: name one, or several to compare")
    opened = [r if isinstance(r, Run) else open_run(r, runs_dir) for r in given]
    opened = [r if r.name else Run(r.path.resolve()) for r in opened]  # given as "."
    target = place(opened, output)
    silent = progress or Progress()
    if len(opened) == 1:
        context = Page(opened[0], diagnosis, diagnose, silent).context()
        page = _page("run.html", context)
    else:
        page = _page("compare.html", comparison.context(opened, silent))
    with new_file(target) as temporary:
        temporary.write_text(page, "utf-8")
    return target


def _page(template: str, context: dict[str, Any]) -> str:
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return render(template, version=version("zoo"), written=written, **context)


def place(runs: Sequence[Run], output: str | Path | None = None) -> Path:
    """The file of a report; its folder is made, so that it is told early where that cannot be.

    Args:
        runs: finished.
        output: a file, or a folder for it; ``reports/NAME.html`` beside the first run where None.

    Raises:
        ZooError: not writable.
    """
    name = "-".join(run.name for run in runs)[:120] + ".html"
    if output is None:
        path = runs[0].path.resolve().parent / "reports" / name
    else:
        path = user_path(output)
        if path.is_dir():
            path = path / name
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        refused = "" if os.access(path.parent, os.W_OK) else "no permission"
    except ZooError as error:
        refused = str(error.__cause__ or error)
    if refused:
        raise ZooError(f"the report cannot be written to {path} ({refused}): give another --output")
    return path
