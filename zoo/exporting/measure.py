"""A process of its own that asks an exported model about images.

``python -m zoo.exporting.measure JOB FILE`` takes a job as JSON (see :func:`measure`) and writes
what it measured as ``.npz``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.decode import decode, read_file, upright
from zoo.data.values import Scale, ValueRange
from zoo.exporting.formats import FILES, PREPARED

_TIMED = 20  # images that are asked for one by one
_LARGEST = 1 << 15  # side in pixels: files are decoded at their own size


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Probabilities of images, and how long one takes.

    Args:
        job: ``format``, ``path`` of the model, ``kind`` of input, ``files`` to ask about, ``view``
            (size and resize mode), ``scale`` of files of more than 8 bits.

    Returns:
        ``probabilities`` (n, k), ``ms``, and ``runtime``.
    """
    if job["format"] in {"savedmodel", "keras"}:
        from zoo.keras_setup import import_keras

        import_keras()
    from zoo.exporting.runtimes import load

    runtime = load(job["format"], Path(job["path"]))
    files = [Path(file) for file in job["files"]]
    made: list[np.ndarray] = []
    for batch in _batches(files, job, runtime.most):
        made.append(runtime.ask(job["kind"], batch))
    single = [next(_batches([file], job, 1)) for file in files[:_TIMED]]
    times = []
    for batch in single:
        started = time.perf_counter()
        runtime.ask(job["kind"], batch)
        times.append(1000 * (time.perf_counter() - started))
    return {
        "probabilities": np.concatenate(made),
        "ms": float(np.median(times)),
        "runtime": runtime.name,
    }


def as_input(file: Path, job: dict[str, Any]) -> Any:
    """One image as the model takes it."""
    if job["kind"] == FILES:
        return read_file(file)
    scale: Scale = ValueRange(*job["scale"]) if job["scale"] else None
    if job["kind"] == PREPARED:
        size, resize = job["view"]
        return decode(file, size, resize, scale)
    return np.asarray(upright(file, _LARGEST, scale))


def _batches(files: Sequence[Path], job: dict[str, Any], most: int) -> Iterator[Any]:
    """Inputs in batches of images of one shape."""
    batch: list[Any] = []
    for file in files:
        image = as_input(file, job)
        full = len(batch) == most
        if batch and (full or getattr(batch[0], "shape", 0) != getattr(image, "shape", 0)):
            yield _joined(batch)
            batch = []
        batch.append(image)
    yield _joined(batch)


def _joined(batch: Sequence[Any]) -> Any:
    return list(batch) if isinstance(batch[0], bytes) else np.stack(batch)


def main() -> None:
    """Do the job that is the first argument; the second one is the file to write."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    found = measure(json.loads(sys.argv[1]))
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
