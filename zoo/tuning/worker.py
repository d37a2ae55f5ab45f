"""The process of one training or feature extraction, so that memory does not grow with the trials.

Started by :mod:`zoo.processes.child`; see :func:`zoo.processes.serving.serve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.processes.serving import Channel, serve


def _features(job: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Prepare the images and compute frozen features; where they lie."""
    from zoo.progress import Progress
    from zoo.train.features import features_file

    resolved, _, prepared = _images(job)
    backbone = _backbone(resolved)
    return {"file": str(features_file(backbone, prepared, Progress())), "key": prepared.key}


def _trial(job: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Train once, and what that reached on validation. Test images are not predicted."""
    import numpy as np

    from zoo.progress import Progress
    from zoo.train.features import frozen_features
    from zoo.train.member import Inputs, Timings, train_member
    from zoo.tuning.score import measure

    resolved, dataset, prepared = _images(job)
    backbone, folder, timings = _backbone(resolved), Path(job["folder"]), Timings()
    features = None if resolved.from_scratch else frozen_features(backbone, prepared, Progress())
    inputs = Inputs(resolved, dataset, prepared, features)
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


def _images(job: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Resolved settings, data set and prepared images."""
    from zoo.data.dataset import load
    from zoo.data.prepare import prepare
    from zoo.errors import ZooError
    from zoo.progress import Progress
    from zoo.settings import Settings
    from zoo.train.plan import resolve

    resolved = resolve(Settings.of(job["settings"]))
    dataset = load(resolved.settings, Progress())
    if dataset.split_fingerprint() != job["split"]:
        raise ZooError("images or split changed since the study was begun")
    return (
        resolved,
        dataset,
        prepare(dataset.catalog, resolved.size, resolved.settings.resize, Progress()),
    )


def _backbone(resolved: Any) -> Any:
    from zoo.keras_setup import import_keras, set_precision
    from zoo.train.member import build_backbone

    import_keras()
    set_precision(resolved.settings.precision)
    return build_backbone(resolved)


_JOBS = {"features": _features, "trial": _trial}

if __name__ == "__main__":
    serve(_JOBS)
