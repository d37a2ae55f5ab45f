"""Features of a frozen backbone, computed once and kept.

The key is the images, the network and its weights: another run, seed or fold on the same data
finds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import backbones
from backbones import Backbone
from zoo.data.prepare import Prepared
from zoo.data.stored import DamagedError, open_array, write_array
from zoo.evaluate.inference import Inference
from zoo.paths import cache_dir, new_file, remove_abandoned
from zoo.progress import Progress
from zoo.train.arrays import LazyRows, pieces
from zoo.train.choice import LAST, FeatureSet

if TYPE_CHECKING:
    import keras


def frozen_features(backbone: Backbone, prepared: Prepared, progress: Progress) -> LazyRows:
    """Features of all samples of the catalogue: float32 of shape (n, d).

    See :func:`features_file`.
    """
    return rows_of(features_file(backbone, prepared, progress), prepared.rows)


def deep_features(
    backbone: Backbone, prepared: Prepared, count: int, progress: Progress
) -> list[Path]:
    """Files of the features of all depths, one for each view of an image.

    Args:
        backbone: with loaded weights, and with inner maps.
        prepared: the decoded images.
        count: number of views, see :func:`backbones.seen_in_views`.
        progress: shows the passes over the images.

    Returns:
        ``.npy`` files, float32 of shape (m, d + e): first what :func:`features_file` has, which is
        written beside the first of them, then pooled maps.

    Raises:
        ZooError: the disk is full.
    """
    network, width = backbones.deep_network(backbone.model), backbone.model.output_shape[1]
    dtype = backbone.model.compute_dtype
    files = []
    for turns, mirrored in backbones.VIEWS[count]:
        file = _place_of_view(backbone, prepared, turns, mirrored)
        if not _is_stored(file, len(prepared.pixels), progress):
            _compute(file, network, _Turned(prepared.pixels, turns, mirrored), progress)
        files.append(file)
    own = _place(prepared, backbone.spec.name, str(backbone.digest), dtype)
    if not _is_stored(own, len(prepared.pixels), progress):
        # with the first pass, so that other parts need none of their own
        table = rows_of(files[0], np.arange(len(prepared.pixels)), width)
        with new_file(own) as temporary:
            parts = (np.ascontiguousarray(piece).tobytes() for piece in pieces(table))
            write_array(temporary, "<f4", table.shape, parts)
    return files


def deep_rows(
    backbone: Backbone, prepared: Prepared, rows: np.ndarray, progress: Progress
) -> np.ndarray:
    """Features of all depths of some samples, of one view, read or computed: float32 (n, d + e).

    Args:
        backbone: with loaded weights, and with inner maps.
        prepared: the decoded images.
        rows: samples of the catalogue, int64 of shape (n,).
        progress: shows the pass.
    """
    file = _place_of_view(backbone, prepared, *backbones.VIEWS[1][0])
    if _is_stored(file, len(prepared.pixels), progress):
        return rows_of(file, prepared.rows)[rows]
    network = Inference(backbones.deep_network(backbone.model))
    return network.run(prepared.pixels, prepared.rows[rows], progress, "features")


def _place_of_view(backbone: Backbone, prepared: Prepared, turns: int, mirrored: bool) -> Path:
    view, name = f"turned {turns} {'mirrored' if mirrored else ''}", f"{backbone.spec.name} depths"
    return _place(prepared, name, str(backbone.digest), backbone.model.compute_dtype, view)


def feature_tables(
    backbone: Backbone, prepared: Prepared, sets: Sequence[FeatureSet], progress: Progress
) -> dict[FeatureSet, LazyRows]:
    """Of each set, the features of all samples of the catalogue: float32 of shape (n, d).

    Args:
        backbone: with loaded weights.
        prepared: the decoded images.
        sets: what a head may see.
        progress: shows the passes over the images.

    Raises:
        ZooError: the disk is full.
    """
    plain = FeatureSet()
    if list(sets) == [plain]:
        return {plain: frozen_features(backbone, prepared, progress)}
    files = deep_features(backbone, prepared, max(s.views for s in sets), progress)
    stored = [np.load(file, allow_pickle=False, mmap_mode="r") for file in files]
    own = backbone.model.output_shape[1]
    by_view = dict(zip(backbones.VIEWS[len(files)], stored, strict=True))
    return {
        one: LazyRows(
            [by_view[view] for view in backbones.VIEWS[one.views]],
            prepared.rows,
            own if one.depths == LAST else None,
        )
        for one in sets
    }


def files_of(
    backbone: Backbone, prepared: Prepared, seen: FeatureSet, progress: Progress
) -> tuple[list[Path], int | None]:
    """Where features of a set lie for another process to read: see :func:`feature_tables`.

    Returns:
        A ``.npy`` file for each view, and how many columns from the left are of the set; all if
        None.
    """
    if seen == FeatureSet():
        return [features_file(backbone, prepared, progress)], None
    files = deep_features(backbone, prepared, seen.views, progress)
    return files, backbone.model.output_shape[1] if seen.depths == LAST else None


class _Turned:
    """Prepared pixels in another view, turned as they are read."""

    def __init__(self, pixels: np.ndarray, turns: int, mirrored: bool) -> None:
        self._pixels, self._turns, self._mirrored = pixels, turns, mirrored

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        pixels = self._pixels[rows]
        pixels = pixels[:, :, ::-1] if self._mirrored else pixels
        return np.ascontiguousarray(np.rot90(pixels, self._turns, (1, 2)))


def rows_of(file: Path, rows: np.ndarray, columns: int | None = None) -> LazyRows:
    """Rows of a file of features, still to be read; the columns from the left, or all."""
    return LazyRows(np.load(file, allow_pickle=False, mmap_mode="r"), rows, columns)


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
        _compute(file, backbone.model, prepared.pixels, progress)
    return file


def _compute(
    file: Path, model: keras.Model, pixels: np.ndarray | _Turned, progress: Progress
) -> None:
    """Write what a network gives for all images, as it comes: all may be more than memory holds."""
    rows, network = np.arange(len(pixels)), Inference(model)
    remove_abandoned(file.parent)
    with new_file(file) as temporary:
        batches = network.batches(pixels, rows, progress, "features")
        shape = (len(rows), *network.outputs)
        write_array(temporary, "<f4", shape, (batch.tobytes() for batch in batches))


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
