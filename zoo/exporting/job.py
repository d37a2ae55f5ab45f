"""``zoo export`` and ``zoo verify``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.dataset import Dataset, load
from zoo.data.value_range import scale_of
from zoo.errors import ZooError
from zoo.evaluate.predictor import predictor
from zoo.exporting.card import card, now
from zoo.exporting.certificate import MAX_LOSS, Certificate, Images, certify
from zoo.exporting.docker import check_docker, write_docker
from zoo.exporting.formats import FORMATS, Calibration, Format, format_named, write
from zoo.keras_setup import import_keras
from zoo.paths import new_folder, user_path
from zoo.progress import Progress, for_python
from zoo.records import read_text
from zoo.runs import Run, open_run, write_json
from zoo.settings import Settings

CARD, CERTIFICATE = "card.json", "certificate.json"
_IMAGES = 500  # that a run and its export are compared on
_CALIBRATION = 200  # training images by which 8-bit ranges are found
_FEWEST = 10
_SEED = 0


@dataclass(frozen=True)
class Export:
    """An exported run.

    Attributes:
        folder: what holds the model, ``card.json`` and ``certificate.json``.
        model: the file, or the folder of a SavedModel.
        certificate: its agreement with the run.
    """

    folder: Path
    model: Path
    certificate: Certificate


def export(
    run: Run | str | Path,
    format: str = "savedmodel",
    *,
    output: str | Path | None = None,
    int8: bool = False,
    docker: bool = False,
    max_loss: float = MAX_LOSS,
    max_latency: float | None = None,
    runs_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Export:
    """Write a run, a single network or an ensemble, as a model for other programs.

    The model resizes images as the run does and gives its calibrated probabilities. It is kept
    only if its own runtime, in a process of its own, says the same as the run about the
    validation images.

    Args:
        run: a run, its name or its path.
        format: ``savedmodel``, ``onnx``, ``litert``, ``openvino`` or ``keras``.
        output: folder to make; ``exports/NAME-FORMAT`` in the runs folder if None.
        int8: of ``litert``: quantize to 8 bits.
        docker: of ``savedmodel``: write a ``Dockerfile`` and ``compose.yaml`` beside it that serve
            it with TensorFlow Serving.
        max_loss: nats by which the log loss may then be higher than the run's.
        max_latency: milliseconds that one image may take on this machine; any if None.
        runs_dir: folder of the runs, for a name.
        progress: shows the steps.

    Raises:
        ZooError, EnsembleError: an unknown format, one whose packages are missing or that cannot
            hold this run, a folder that exists, images that are no longer those of the run, or a
            model that does not agree with it.
    """
    progress = progress or for_python()
    opened = run if isinstance(run, Run) else open_run(run, runs_dir)
    opened = opened if opened.name else Run(opened.path.resolve())  # given as "."
    form = format_named(format)
    if int8 and form.name != "litert":
        raise ZooError(f"8 bits are for the format litert, not {form.name}: give --format litert")
    if docker:
        check_docker(form)
    if max_latency is not None and not max_latency > 0:
        raise ZooError(f"the latency must be above 0 ms, not {max_latency:g}")
    target = _target(opened, form, int8, output)
    data = _data_of(opened, progress)
    images = _images(opened, data)
    import_keras()
    from zoo.exporting.graph import Graph

    predict = predictor(opened)
    with new_folder(target) as folder:
        progress.say(f"writing {form.name}")
        graph = Graph(opened)
        calibration = _calibration(opened, data, graph.views) if int8 else None
        path = write(form, graph, folder, calibration)
        found = certify(
            opened, predict, form, path, images, int8=int8, max_loss=max_loss, progress=progress
        )
        _check(found, max_latency)
        write_json(folder / CARD, card(opened, form, int8))
        if docker:
            write_docker(folder)
        write_json(folder / CERTIFICATE, {**found.as_record(), "created": now()})
    return Export(target, target / form.file, found)


def verify(
    path: str | Path,
    run: Run | str | Path,
    *,
    runs_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """Compare an exported model with its run again, on this machine.

    Args:
        path: the folder that ``zoo export`` made, or the model in it.
        run: the run, its name or its path.
        runs_dir: folder of the runs, for a name.
        progress: shows the steps.

    Returns:
        What was measured; it may not hold, see :attr:`Certificate.faults`.

    Raises:
        ZooError, EnsembleError: no export is there, its runtime is missing or cannot run it, or the
            images are no longer those of the run.
    """
    progress = progress or for_python()
    opened = run if isinstance(run, Run) else open_run(run, runs_dir)
    folder, made = _exported(user_path(path))
    form = format_named(str(made.get("format")))
    if list(made.get("classes", [])) != opened.classes:
        raise ZooError(
            f"{folder} was not made from {opened.name!r}: its classes are others; name the run "
            f"that it was made from ({made.get('run')})"
        )
    images = _images(opened, _data_of(opened, progress))
    import_keras()
    return certify(
        opened,
        predictor(opened),
        form,
        folder / form.file,
        images,
        int8=bool(made.get("int8")),
        progress=progress,
    )


def _target(run: Run, form: Format, int8: bool, output: str | Path | None) -> Path:
    if output is not None:
        target = user_path(output)
    else:
        name = f"{run.name}-{form.name}{'-int8' if int8 else ''}"
        target = run.path.resolve().parent / "exports" / name
    if os.path.lexists(target):
        raise ZooError(f"{target} exists: remove it, or choose another folder with --output")
    return target


def _exported(path: Path) -> tuple[Path, Mapping[str, Any]]:
    """The folder of an export and its card."""
    for folder in (path, path.parent):
        file = folder / CARD
        if file.is_file():
            try:
                made = json.loads(read_text(file))
            except ValueError as error:
                raise ZooError(f"{file} is damaged ({error}): export the run again") from None
            if isinstance(made, dict) and made.get("format") in FORMATS:
                return folder, made
            raise ZooError(f"{file} is damaged: export the run again")
    raise ZooError(f"there is no export at {path}: name the folder that zoo export made")


def _data_of(run: Run, progress: Progress) -> Dataset:
    """The images of a run, or of the first member of an ensemble.

    Raises:
        ZooError: moved, or changed since it was trained.
    """
    one = run
    while one.combination is not None:
        one = one.members[0]
    there = run.record["data"]
    try:
        found = load(Settings.of(one.settings, f"run {one.name!r}"), progress)
    except ZooError as error:
        raise ZooError(
            f"an export is checked against the run's images, and they cannot be loaded ({error}): "
            f"put them back to {there.get('root')}"
        ) from error
    if found.catalog.fingerprint() != there.get("fingerprint"):
        raise ZooError(
            f"the images or labels in {there.get('root')} changed since run {run.name!r} was "
            f"trained, and an export is checked on them: train it again"
        )
    return found.scaled(scale_of(one))


def _images(run: Run, data: Dataset) -> Images:
    """Validation images; of a run whose validation images were trained on, any but test images."""
    split, catalog = data.split, data.catalog
    rows, name = (
        (split.val, "validation") if len(split.val) >= _FEWEST else (split.not_test, "training")
    )
    if len(rows) > _IMAGES:
        rows = np.sort(np.random.default_rng(_SEED).permutation(rows)[:_IMAGES])
    order = np.array([run.classes.index(c) for c in catalog.classes])
    return Images(
        tuple(catalog.path(int(row)) for row in rows),
        tuple(catalog.ids[row] for row in rows),
        order[catalog.labels[rows]],
        data.groups[rows],
        name,
    )


def _calibration(run: Run, data: Dataset, views: tuple[tuple[int, str], ...]) -> Calibration:
    from zoo.data.prepare import prepare

    rows = np.random.default_rng(_SEED).permutation(data.split.train)[:_CALIBRATION]
    size, resize = views[0]
    prepared = prepare(data.catalog, size, resize, Progress())
    return Calibration(prepared.pixels[prepared.rows[np.sort(rows)]])


def _check(found: Certificate, max_latency: float | None) -> None:
    if found.faults:
        raise ZooError(
            f"the exported model does not agree with {found.run!r}, so it is not kept: "
            f"{'; '.join(found.faults)}"
        )
    slowest = max(one.ms for one in found.agreements)
    if max_latency is not None and slowest > max_latency:
        raise ZooError(
            f"the exported model takes {slowest:.1f} ms for an image, and {max_latency:g} are "
            f"allowed, so it is not kept: take a smaller network, or views=1"
        )
