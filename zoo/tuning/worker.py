"""The process of one training or feature extraction, so that memory does not grow with the trials.

Started by :mod:`zoo.processes.child`; see :func:`zoo.processes.serving.serve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.processes.serving import Channel, serve

if TYPE_CHECKING:
    from zoo.data.dataset import Dataset
    from zoo.train.plan import ResolvedPlan


def _depths(job: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Which depths cross-validation on training images chooses for the head, and its losses."""
    from zoo.progress import Progress
    from zoo.train.inputs import Inputs, Timings, starting_backbone
    from zoo.train.member import choice_of, sample_weights

    resolved, dataset = _images(job)
    backbone, train = starting_backbone(resolved), dataset.split.train
    inputs = Inputs.assemble(resolved, dataset, backbone, Timings(), Progress())
    kind = resolved.settings.class_weights
    weights = sample_weights(inputs.labels[train], inputs.classes, kind)
    choice, _ = choice_of(inputs, train, weights)
    return {"depths": choice.features.depths, "losses": choice.losses}


def _features(job: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Prepare the images and compute frozen features; where they lie.

    Returns:
        ``files``, one for each view; ``own``, how many columns are the network's own features;
        ``columns``, how many of them a head sees, all if None; ``key`` of the prepared images.
    """
    from zoo.data.prepare import prepare
    from zoo.progress import Progress
    from zoo.train.features import files_of
    from zoo.train.inputs import candidates, starting_backbone

    resolved, dataset = _images(job)
    backbone = starting_backbone(resolved)
    prepared = prepare(dataset.catalog, resolved.size, resolved.settings.resize, Progress())
    seen = candidates(resolved, backbone, Progress())[0]
    files, columns = files_of(backbone, prepared, seen, Progress())
    own = backbone.model.output_shape[1]
    places = [str(file) for file in files]
    return {"files": places, "own": own, "columns": columns, "key": prepared.key}


def _trial(job: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Train once, and what that reached on validation. Test images are not predicted."""
    import numpy as np

    from zoo.progress import Progress
    from zoo.train.inputs import Inputs, Timings, starting_backbone
    from zoo.train.member import train_member
    from zoo.tuning.score import measure

    resolved, dataset = _images(job)
    backbone, folder, timings = starting_backbone(resolved), Path(job["folder"]), Timings()
    inputs = Inputs.assemble(resolved, dataset, backbone, timings, Progress())
    train, val = dataset.split.train, dataset.split.val
    member = train_member(
        inputs,
        backbone,
        train,
        val,
        checkpoint=folder / "last.npz",
        timings=timings,
        progress=Progress(),
        watch=channel.epoch,
    )
    probabilities = member.probabilities(inputs, val)
    np.save(folder / "val.npy", probabilities)
    about = {"best_epoch": member.best_epoch, "stages": member.stages, "seconds": timings.seconds}
    return {"metrics": measure(inputs.labels[val], probabilities), **about}


def _images(job: Mapping[str, Any]) -> tuple[ResolvedPlan, Dataset]:
    """Resolved settings and data set, the same as the study's."""
    from zoo.data.dataset import load
    from zoo.errors import ZooError
    from zoo.progress import Progress
    from zoo.settings import Settings
    from zoo.train.plan import resolve

    resolved = resolve(Settings.of(job["settings"]))
    dataset = load(resolved.settings, Progress())
    if dataset.split_fingerprint() != job["split"]:
        raise ZooError("images or split changed since the study was begun")
    return resolved, dataset


_JOBS = {"depths": _depths, "features": _features, "trial": _trial}

if __name__ == "__main__":
    serve(_JOBS)
