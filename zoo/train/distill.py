"""``zoo distill``: one network that learns from an ensemble, which is slower than it."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from zoo.keywords import OF_TEACHER, SharedSettings, with_settings
from zoo.progress import Progress
from zoo.run_names import free_name, plain_name
from zoo.runs import Run
from zoo.train.job import finetune
from zoo.train.teacher import open_teacher, settings_of_student


@with_settings(*OF_TEACHER, "teacher_weight", "refit")
def distill(
    teacher: str | Path | Run,
    backbone: str | None = None,
    *,
    data: str | Path | None = None,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    teacher_weight: float = 0.5,
    refit: bool = False,
    progress: Progress | None = None,
    **settings: Unpack[SharedSettings],
) -> Run:
    """Train one network to say what an ensemble says (Hinton et al. 2015, arXiv 1503.02531).

    It learns from the labels and from the ensemble's probabilities for images that its members
    were not trained on, which are their out-of-fold predictions. Images and split are the
    ensemble's.

    Args:
        teacher: run or ensemble with out-of-fold predictions: trained with ``folds``.
        backbone: see :func:`zoo.finetune`; that of the teacher's first member if None.
        data: where the teacher's images are now, if they have moved.
        name: of the run; backbone, teacher and a number if None.
        runs_dir, progress: see :func:`zoo.finetune`.
        teacher_weight: share of the teacher in what is learned, from 0 to 1.
        refit: train once more on training and validation images together.
        **settings: each by its name; what is left out has its default.

    Returns:
        The finished run.

    Raises:
        ZooError, BackboneError, EnsembleError: one sentence that says what is wrong.
    """
    run = open_teacher(teacher.path if isinstance(teacher, Run) else teacher, runs_dir)
    given = {**settings, "backbone": backbone, "data": data, "refit": refit}
    given["teacher_weight"] = teacher_weight
    taken = settings_of_student(run, given)
    backbone = taken.pop("backbone")
    if name is None:
        name = free_name(plain_name(f"{backbone}-from-{run.name}") or "distilled", runs_dir)
    return finetune(
        backbone, taken.pop("data"), name=name, runs_dir=runs_dir, progress=progress, **taken
    )
