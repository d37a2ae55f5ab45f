"""``zoo finetune``: from images to a trained, evaluated, reusable classifier."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Unpack

import numpy as np

import backbones
from backbones import Backbone
from ensembles import PredictionTable
from zoo.data.dataset import Dataset, load
from zoo.data.decode import View
from zoo.deprecated import renamed_parameters
from zoo.errors import ZooError, disk_errors
from zoo.evaluate.predictor import Single, milliseconds
from zoo.evaluate.tables import write_tables
from zoo.keywords import TrainingSettings, with_settings
from zoo.paths import new_file
from zoo.progress import Progress, for_python
from zoo.run_names import free_name
from zoo.runs import (
    Run,
    RunWriter,
    environment,
    last_unfinished,
    unfinished_record,
)
from zoo.settings import Settings
from zoo.train.bag import Bag, fold_rows, train_folds
from zoo.train.inputs import Inputs, Timings, build_backbone, starting_backbone
from zoo.train.member import Member, refit_member, train_member
from zoo.train.plan import ResolvedPlan, collect_settings, given_settings, resolve
from zoo.train.records import write_history, write_tensorboard
from zoo.train.remarks import data_remarks
from zoo.train.teacher import open_teacher, teacher_of


@with_settings()
@renamed_parameters("runs")
def finetune(
    backbone: str | None = None,
    data: str | Path | None = None,
    *,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    config: str | Path | None = None,
    resume: bool = False,
    study: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **settings: Unpack[TrainingSettings],
) -> Run:
    """Train a classifier on a folder of images.

    The backbone's frozen features are computed once, a linear head is fitted on them (the probe),
    and the upper blocks are fine-tuned from that head. What a paired test finds better on
    validation is kept; if it cannot tell, the average of the weights, or the probe. The
    test images are predicted once, at the end.

    Args:
        backbone: a family (``efficientnet``, ``resnet``, ``mobilenet``, ``cnn``) or variant; or
            ``hub:`` and the URL, folder or ``.tar.gz`` of an image module of TF Hub.
        data: see :func:`zoo.data.sources.scan`; the built-in ``elpv`` if None.
        name: of the run; variant, data and a number if None.
        runs_dir: folder of the runs; ``ZOO_RUNS`` or ``./runs`` if None.
        config: settings from a ``.toml``, ``.yaml`` or ``.json`` file, or a ``run.json``.
        resume: continue the interrupted run of this name, or the last interrupted one.
        study: the search that the settings come from, for the record.
        progress: shows the steps; a bar in a notebook, else silent, if None.
        **settings: each by its name; what is left out has its default.

    Returns:
        The finished run.

    Raises:
        ZooError, BackboneError, EnsembleError: one sentence that says what is wrong.
    """
    progress, started = progress or for_python(), time.perf_counter()
    if resume:
        name, resolved = _interrupted(
            name, runs_dir, given_settings(backbone, data, config, settings)
        )
        progress.say(f"continuing run {name}")
    else:
        collected = collect_settings(backbone, data, config, settings, progress)
        if collected.teacher is not None:
            teacher = open_teacher(collected.teacher, runs_dir)
            collected = collected.changed(teacher=str(teacher.path.resolve()))
        resolved = resolve(collected)
        name = name or _free_name(resolved, runs_dir)
    fetch_weights(resolved, progress)
    timings = Timings()
    with RunWriter(name, runs_dir, resume) as writer, disk_errors(writer.path):
        record = dict(writer.read_record()) if resume else _first_record(resolved, study)
        writer.write_record(record)
        with timings.stage("scan"):
            dataset = load(resolved.settings, progress)
        for sentence in data_remarks(dataset):
            progress.say(sentence)
        record = _complete_record(record, resolved, dataset, name)
        writer.write_record(record)
        _train(writer, resolved, dataset, record, timings, progress)
        total = round(time.perf_counter() - started, 3)
        record |= {"status": "complete", "seconds": {**timings.seconds, "total": total}}
        writer.write_record(record)
        return writer.complete()


def _free_name(resolved: ResolvedPlan, runs_dir: str | Path | None) -> str:
    data = Path(resolved.settings.data.removeprefix("tfds:")).stem
    return free_name(f"{backbones.short_name(resolved.spec.name)}-{data}", runs_dir)


def fetch_weights(resolved: ResolvedPlan, progress: Progress) -> None:
    """Fetch published weights that are not here yet, or say why not, before anything slow begins.

    Raises:
        BackboneError: they cannot be loaded.
    """
    spec = resolved.spec
    if resolved.weights == "imagenet" and spec.files:
        backbones.imagenet_file(spec, resolved.size, resolved.options, progress.step)


def _interrupted(
    name: str | None, runs_dir: str | Path | None, given: Mapping[str, Any]
) -> tuple[str, ResolvedPlan]:
    """Name and settings of the run to continue with."""
    name = name or last_unfinished(runs_dir)
    record = unfinished_record(name, runs_dir)
    stored = Settings.of_record(record["settings"], f"unfinished run {name!r}")
    resolved = resolve(stored)
    trial = resolve(stored.changed(**given)) if given else resolved
    for key, value in trial.settings.as_dict().items():
        if value != getattr(resolved.settings, key):
            raise ZooError(
                f"run {name!r} was begun with {key} {getattr(resolved.settings, key)!r}, not "
                f"{value!r}: resume without it, or start another run"
            )
    return name, resolved


def _first_record(resolved: ResolvedPlan, study: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known before the data was looked at: enough to resume from."""
    return {
        "kind": "finetune",
        "status": "running",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": resolved.settings.as_dict(),
        **({"study": dict(study)} if study else {}),
    }


def _complete_record(
    record: dict[str, Any], resolved: ResolvedPlan, dataset: Dataset, name: str
) -> dict[str, Any]:
    """The record with the data, once it is known; refused where a resumed run had other data."""
    data, begun = dataset.summary(), record.get("data")
    for key, what in (("fingerprint", "images or labels"), ("split_fingerprint", "split")):
        if begun and begun[key] != data[key]:
            raise ZooError(
                f"the {what} of {data['root']} changed since run {name!r} was begun: put them "
                f"back to resume, or start another run"
            )
    if resolved.settings.folds:
        fold_rows(dataset, resolved.settings)  # refused now rather than after all features
    teacher = teacher_of(resolved.settings, dataset)
    about = environment()
    about["versions"] = _both(record.get("versions", {}), about["versions"])
    return {
        **record,
        "resumed": begun is not None,
        "classes": list(dataset.catalog.classes),
        "data": data,
        **({"teacher": teacher.about()} if teacher else {}),
        **about,
    }


def _both(begun: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Versions that a run was made by, where it may have been begun by others."""
    before = {package: begun.get(package, version) for package, version in now.items()}
    return {p: v if before[p] == v else f"{before[p]}, then {v}" for p, v in now.items()}


def _train(
    writer: RunWriter,
    resolved: ResolvedPlan,
    dataset: Dataset,
    record: dict[str, Any],
    timings: Timings,
    progress: Progress,
) -> None:
    """Prepare, train one member or one for each fold, evaluate, and write all of the run."""
    settings = resolved.settings
    with timings.stage("import"):
        backbone = starting_backbone(resolved)
    inputs = Inputs.assemble(resolved, dataset, backbone, timings, progress)
    checkpoints = writer.path / "checkpoints"
    # of the backbone as it is before it is trained
    about = {
        "weights": {"source": settings.weights, "sha256": backbone.digest},
        "network": {
            "precision": backbone.model.dtype_policy.name,
            "backbone_parameters": backbone.model.count_params(),
        },
    }
    oof = None
    if settings.folds:
        trained, oof = train_folds(inputs, checkpoints, timings, progress)
    else:
        trained = Bag([_train_once(inputs, backbone, checkpoints, timings, progress)])
    kept = trained
    if settings.refit:
        kept = Bag([_refit(inputs, trained.members, checkpoints, timings, progress)])
    record |= about
    with timings.stage("evaluate"):
        metrics = _evaluate(writer.path, inputs, trained, kept, oof, progress)
    _write(writer.path, trained, kept, resolved.settings, metrics, record)


def _train_once(
    inputs: Inputs, backbone: Backbone, checkpoints: Path, timings: Timings, progress: Progress
) -> Member:
    """A member on the training rows of the split, chosen by its validation rows."""
    return train_member(
        inputs,
        backbone,
        inputs.data.split.train,
        inputs.data.split.val,
        checkpoint=checkpoints / "last.npz",
        timings=timings,
        progress=progress,
    )


def _refit(
    inputs: Inputs, folds: list[Member], checkpoints: Path, timings: Timings, progress: Progress
) -> Member:
    """One member trained on everything that is not for testing."""
    return refit_member(
        inputs,
        build_backbone(inputs.resolved),
        inputs.data.split.not_test,
        folds,
        checkpoint=checkpoints / "refit.npz",
        timings=timings,
        progress=progress,
    )


def _evaluate(
    folder: Path,
    inputs: Inputs,
    trained: Bag,
    kept: Bag,
    oof: np.ndarray | None,
    progress: Progress,
) -> dict[str, Any]:
    """Predict validation and test, once; write the tables and give the metrics.

    Validation is predicted by what was trained without it, also where a refit is kept.
    """
    split = inputs.data.split
    rows = {"val": split.val, "test": split.test}
    tables = {"test": kept.probabilities(inputs, split.test, progress)}
    if oof is None:
        tables["val"] = trained.probabilities(inputs, split.val, progress)
    else:
        rows["oof"] = inputs.data.split.not_test
        tables |= {"oof": oof[rows["oof"]], "val": oof[split.val]}
    ordered = [name for name in ("oof", "val", "test") if len(tables.get(name, ()))]
    return write_tables(
        folder, {name: _table(inputs, rows[name], tables[name], name) for name in ordered}
    )


def _write(
    folder: Path,
    trained: Bag,
    kept: Bag,
    settings: Settings,
    metrics: dict[str, Any],
    record: dict[str, Any],
) -> None:
    """Write history, TensorBoard files and the model; note in the record what was kept."""
    from zoo.train.classifier import Served, served_model

    several = settings.folds > 0 or settings.refit
    histories = dict(enumerate((m.history for m in trained.members), start=several))
    record["kept"] = [_about_member(m) for m in kept.members]
    if len(kept.members) > 1:
        record["bag_temperature"] = kept.temperature
    if settings.refit:
        judged = [_about_member(m) for m in trained.members]
        record["folds" if settings.folds else "before_refit"] = judged
        histories[0] = kept.members[0].history
    write_history(folder / "history.csv", histories)
    write_tensorboard(folder / "tensorboard", histories, settings, metrics)
    assert settings.size is not None
    served = [Served(m.classifier, m.temperature, m.stage == "probe") for m in kept.members]
    model = served_model(served, settings.size, settings.resize, kept.temperature)
    with new_file(folder / "model.keras") as temporary:
        model.save(temporary)
    timed = Single(model, View(settings.size, settings.resize))
    record["network"]["ms_per_image"] = milliseconds(timed)


def _about_member(member: Member) -> dict[str, Any]:
    seen = member.classifier.seen
    about = {"stage": member.stage, "best_epoch": member.best_epoch}
    about |= {"depths": seen.depths, "views": seen.views, "tried": member.tried}
    return {**about, "temperature": member.temperature, **member.stages}


def _table(
    inputs: Inputs, rows: np.ndarray, probabilities: np.ndarray, split: str
) -> PredictionTable:
    catalog = inputs.data.catalog
    return PredictionTable(
        ids=np.array([catalog.ids[i] for i in rows], dtype=np.str_),
        labels=catalog.labels[rows],
        probabilities=probabilities,
        classes=np.array(catalog.classes, dtype=np.str_),
        split=split,
        fingerprint=catalog.fingerprint(),
        groups=inputs.data.groups[rows],
    )
