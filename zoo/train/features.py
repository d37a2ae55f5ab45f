"""Features of a frozen backbone, computed once and kept.

The key is the images, the network and its weights: another run, seed or fold on the same data
finds them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from backbones import Backbone
from zoo.data.prepare import Prepared
from zoo.data.stored import DamagedError, open_array, write_array
from zoo.evaluate.inference import Inference
from zoo.paths import cache_dir, new_file, remove_abandoned
from zoo.progress import Progress
from zoo.train.arrays import LazyRows


def frozen_features(backbone: Backbone, prepared: Prepared, progress: Progress) -> LazyRows:
    """Features of all samples of the catalogue: float32 of shape (n, d).

    See :func:`features_file`.
    """
    return rows_of(features_file(backbone, prepared, progress), prepared.rows)


def rows_of(file: Path, rows: np.ndarray) -> LazyRows:
    """Rows of a file of features, still to be read."""
    return LazyRows(np.load(file, allow_pickle=False, mmap_mode="r"), rows)


def features_file(backbone: Backbone, prepared: Prepared, progress: Progress) -> Path:
    """The ``.npy`` file of the features of all prepared images: float32 of shape (m, d).

    Args:
        backbone: with loaded weights; a random one has no features worth keeping.
        prepared: the decoded images.
        progress: shows the pass over the images.

    Raises:
        ZooError: the disk is full.
    """
    file = _place(prepared, backbone.spec.name, str(backbone.digest), backbone.model.compute_dtype)
    if not _is_stored(file, len(prepared.pixels), progress):
        rows = np.arange(len(prepared.pixels))
        network = Inference(backbone.model)
        shape = (len(rows), *network.outputs)
        remove_abandoned(file.parent)
        # as they come, because all of them may be more than memory holds
        with new_file(file) as temporary:
            batches = network.batches(prepared.pixels, rows, progress, "features")
            write_array(temporary, "<f4", shape, (batch.tobytes() for batch in batches))
    return file


def stored_features(prepared: Prepared, name: str, digest: str, dtype: str) -> LazyRows | None:
    """Features that an earlier command computed, read without building the network.

    Args:
        prepared: the decoded images.
        name: of the backbone.
        digest: of its weights, as a run records it.
        dtype: that it computed in.

    Returns:
        float32 of shape (n, d), or None if they are not there.
    """
    file = _place(prepared, name, digest, dtype)
    return rows_of(file, prepared.rows) if _is_stored(file, len(prepared.pixels)) else None


def _place(prepared: Prepared, *parts: str) -> Path:
    key = hashlib.sha256("\0".join((prepared.key, *parts)).encode()).hexdigest()[:32]
    return cache_dir() / "features" / f"{key}.npy"


def _is_stored(file: Path, count: int, progress: Progress | None = None) -> bool:
    if not file.is_file():
        return False
    try:
        open_array(file, "<f4", count)
    except DamagedError as error:
        if progress is not None:
            progress.say(f"the features at {file} are damaged ({error}): they are computed anew")
        return False
    return True
