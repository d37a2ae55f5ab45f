"""``zoo predict``: what a finished run says about new images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.data.decode import BadImageError, View, decode_views
from zoo.data.inspect import workers
from zoo.data.sources import image_files
from zoo.deprecated import renamed_parameters
from zoo.errors import ZooError
from zoo.evaluate.inference import BATCH
from zoo.evaluate.predictor import predictor
from zoo.paths import user_path
from zoo.progress import Progress
from zoo.runs import Run, open_run


@dataclass(frozen=True)
class Prediction:
    """Probabilities for images.

    Attributes:
        files: of shape (n,), in the order asked for.
        probabilities: float32 of shape (n, k), rows sum to one.
        classes: the k class names, in the order of the columns.
        bad: file and reason of each one that is not a usable image.
    """

    files: tuple[Path, ...]
    probabilities: np.ndarray
    classes: tuple[str, ...]
    bad: dict[Path, str]

    def top(self, count: int = 1) -> list[list[tuple[str, float]]]:
        """For each image the ``count`` most probable classes with their probabilities."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        return [
            [(self.classes[k], float(row[k])) for k in ranks]
            for row, ranks in zip(self.probabilities, order, strict=True)
        ]


@renamed_parameters("runs")
def predict(
    run: Run | str | Path,
    images: str | Path | Iterable[str | Path],
    *,
    runs_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Prediction:
    """Predict images with a finished run, a single network or an ensemble.

    Images are decoded and resized exactly as for training, once for all members.

    Args:
        run: a run, its name or its path.
        images: files and folders; folders are searched for image files.
        runs_dir: folder of the runs, for a name.
        progress: shows the step.

    Raises:
        ZooError: no such run, no such file, a damaged model, or no usable image at all.
    """
    run = run if isinstance(run, Run) else open_run(run, runs_dir)
    files = _collect([images] if isinstance(images, str | Path) else images)
    ask = predictor(run)
    good, bad, parts = [], {}, []
    with (progress or Progress()).step("predict", len(files)) as advance:
        for batch in _decoded(files, ask.views):
            pixels = [seen for _, seen in batch if not isinstance(seen, str)]
            good += [file for file, seen in batch if not isinstance(seen, str)]
            bad.update({file: seen for file, seen in batch if isinstance(seen, str)})
            if pixels:
                parts.append(ask({v: np.stack([seen[v] for seen in pixels]) for v in ask.views}))
            advance(len(batch))
    if not parts:
        first = next(iter(bad))
        raise ZooError(f"none of {len(files)} files is a usable image: {first}: {bad[first]}")
    probabilities = np.concatenate(parts).astype(np.float32)
    return Prediction(tuple(good), probabilities, tuple(run.classes), bad)


def _collect(images: Iterable[str | Path]) -> list[Path]:
    files: list[Path] = []
    for given in images:
        path = user_path(given)
        if path.is_dir():
            found = image_files(path)
            if not found:
                raise ZooError(f"folder {path} holds no image files: name the files themselves")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise ZooError(f"there is no image {path}: check the path")
    if not files:
        raise ZooError("no images are given: name files or folders")
    return files


def _decoded(
    files: list[Path], views: frozenset[View]
) -> Iterator[list[tuple[Path, dict[View, np.ndarray] | str]]]:
    """Batches of (file, pixels or the reason why not), decoded while the networks run."""

    def load(file: Path) -> tuple[Path, dict[View, np.ndarray] | str]:
        try:
            return file, decode_views(file, views)
        except BadImageError as error:
            return file, str(error)

    with ThreadPoolExecutor(workers()) as pool:
        ahead = [pool.submit(load, file) for file in files[: 2 * BATCH]]
        for start in range(0, len(files), BATCH):
            batch = [future.result() for future in ahead[:BATCH]]
            following = files[start + 2 * BATCH : start + 3 * BATCH]
            ahead = ahead[BATCH:] + [pool.submit(load, file) for file in following]
            yield batch
