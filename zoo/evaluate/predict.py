"""``zoo predict``: what a finished run says about new images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoo.data.decode import BadImageError, View, begins_as_image, decode_views
from zoo.data.inspect import workers
from zoo.data.walk import files_below, is_image_name
from zoo.deprecated import renamed_parameters
from zoo.errors import ZooError
from zoo.evaluate.inference import BATCH
from zoo.evaluate.predictor import predictor
from zoo.paths import user_path
from zoo.progress import Progress
from zoo.runs import Run, open_run

_REASONS = 4  # of files that were left out, in a sentence


@dataclass(frozen=True)
class Prediction:
    """Probabilities for images.

    Attributes:
        files: of shape (n,), in the order asked for.
        probabilities: float32 of shape (n, k), rows sum to one.
        classes: the k class names, in the order of the columns.
        bad: file and reason of each one that is not a usable image.
        hidden: number of image files in hidden and system folders, which are not searched.
    """

    files: tuple[Path, ...]
    probabilities: np.ndarray
    classes: tuple[str, ...]
    bad: dict[Path, str]
    hidden: int = 0

    def top(self, count: int = 1) -> list[list[tuple[str, float]]]:
        """For each image the ``count`` most probable classes with their probabilities."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        return [
            [(self.classes[k], float(row[k])) for k in ranks]
            for row, ranks in zip(self.probabilities, order, strict=True)
        ]


class NoUsableImageError(ZooError):
    """No file could be predicted.

    Attributes:
        bad: file and reason of each one.
        hidden: number of image files in hidden and system folders.
    """

    def __init__(self, bad: Mapping[Path, str], hidden: int) -> None:
        self.bad, self.hidden = dict(bad), hidden
        elsewhere = f"; {hidden} are in hidden or system folders" if hidden else ""
        what = f"none of {len(bad)} files is a usable image: {by_reason(bad)}"
        if len(bad) == 1:
            file, reason = next(iter(bad.items()))
            what = f"{file} is no usable image: {reason}"
        super().__init__(f"{what}{elsewhere}: name image files, or folders of them")


def by_reason(bad: Mapping[Path, str]) -> str:
    """How many files were left out for which reason, the most frequent first."""
    counts = Counter(bad.values()).most_common()
    more = sum(count for _, count in counts[_REASONS:])
    parts = [f"{count} {reason}" for reason, count in counts[:_REASONS]]
    return ", ".join(parts + [f"{more} for other reasons"] * (more > 0))


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
        images: files and folders. Every file below a folder is predicted if its name or content is
            an image's, and is in ``bad`` otherwise.
        runs_dir: folder of the runs, for a name.
        progress: shows the step.

    Raises:
        ZooError: no such run, no such file, a damaged model, or no usable image at all.
    """
    run = run if isinstance(run, Run) else open_run(run, runs_dir)
    asked = _collect([images] if isinstance(images, str | Path) else images)
    bad = asked.bad
    ask = predictor(run) if asked.files else None
    good, parts = [], []
    with (progress or Progress()).step("predict", len(asked.files)) as advance:
        for batch in _decoded(asked.files, ask.views if ask else frozenset()):
            pixels = [seen for _, seen in batch if not isinstance(seen, str)]
            good += [file for file, seen in batch if not isinstance(seen, str)]
            bad.update({file: seen for file, seen in batch if isinstance(seen, str)})
            if ask and pixels:
                parts.append(ask({v: np.stack([seen[v] for seen in pixels]) for v in ask.views}))
            advance(len(batch))
    if not parts:
        raise NoUsableImageError(bad, asked.hidden)
    probabilities = np.concatenate(parts).astype(np.float32)
    return Prediction(tuple(good), probabilities, tuple(run.classes), bad, asked.hidden)


@dataclass
class _Asked:
    """Files to predict, in order, and those that are left out beforehand with the reason."""

    files: list[Path] = field(default_factory=list)
    bad: dict[Path, str] = field(default_factory=dict)
    hidden: int = 0


def _collect(images: Iterable[str | Path]) -> _Asked:
    asked = _Asked()
    for given in images:
        path = user_path(given)
        if path.is_dir():
            _add_folder(path, asked)
        elif path.is_file():
            asked.files.append(path)
        else:
            raise ZooError(f"there is no image {path}: check the path")
    if not (asked.files or asked.bad or asked.hidden):
        raise ZooError("no images are given: name files or folders")
    return asked


def _add_folder(folder: Path, asked: _Asked) -> None:
    try:
        found = files_below(folder)
    except OSError as error:
        raise ZooError(f"folder {folder} cannot be read ({error.strerror})") from None
    if not (found.paths or found.hidden or found.unreadable):
        raise ZooError(f"folder {folder} is empty: name image files or folders of them")
    for path in found.paths:
        file = folder / path
        if is_image_name(path) or begins_as_image(file):
            asked.files.append(file)
        else:
            asked.bad[file] = "not an image by its name or content"
    for path, why in found.unreadable.items():
        asked.bad[folder / path] = f"folder that cannot be listed ({why})"
    asked.hidden += found.hidden


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
