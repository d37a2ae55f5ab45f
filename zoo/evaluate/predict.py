"""``zoo predict``: what a finished run says about new images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zoo.data.decode import BadImageError, View
from zoo.data.inspect import workers
from zoo.deprecated import renamed_parameters
from zoo.errors import ZooError
from zoo.evaluate.images import Name, Picture, collect, seen
from zoo.evaluate.inference import BATCH
from zoo.evaluate.predictor import Predictor, predictor, views_of
from zoo.frames import data_frame
from zoo.progress import Progress, for_python
from zoo.runs import Run, open_run

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

_REASONS = 4  # of files that were left out, in a sentence


class ImagePrediction(NamedTuple):
    """What is said of one image.

    Attributes:
        file: its path; of an image in memory, where it was given: ``image 0``.
        label: the most probable class.
        probability: of that class.
        probabilities: class to probability.
    """

    file: Name
    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """Probabilities for images; iterating gives an :class:`ImagePrediction` for each.

    Attributes:
        files: of shape (n,), in the order asked for; of an image in memory, ``image 0`` and so on.
        probabilities: float32 of shape (n, k), rows sum to one.
        classes: the k class names, in the order of the columns.
        bad: file and reason of each one that is not a usable image.
        hidden: number of image files in hidden and system folders, which are not searched.
    """

    files: tuple[Name, ...]
    probabilities: np.ndarray
    classes: tuple[str, ...]
    bad: dict[Name, str]
    hidden: int = 0

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[ImagePrediction]:
        for file, label, row in zip(self.files, self.labels, self.probabilities, strict=True):
            each = dict(zip(self.classes, map(float, row), strict=True))
            yield ImagePrediction(file, label, each[label], each)

    @property
    def labels(self) -> list[str]:
        """The most probable class of each image."""
        return [self.classes[k] for k in self.probabilities.argmax(axis=1)]

    def top(self, count: int = 1) -> list[list[tuple[str, float]]]:
        """For each image the ``count`` most probable classes with their probabilities."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        return [
            [(self.classes[k], float(row[k])) for k in ranks]
            for row, ranks in zip(self.probabilities, order, strict=True)
        ]

    def as_record(self, top: int = 3) -> dict[str, Any]:
        """For JSON: the images, what was left out, and how many there are of each.

        Args:
            top: how many of the most probable classes of each image are listed by themselves.
        """
        found = zip(self.files, self.top(top), self.probabilities, strict=True)
        images = [
            {
                "image": str(file),
                "top": [{"class": name, "probability": p} for name, p in best],
                "probabilities": dict(zip(self.classes, map(float, row), strict=True)),
            }
            for file, best, row in found
        ]
        return record_of(images, self.bad, self.hidden)

    def to_frame(self) -> pd.DataFrame:
        """One row per image: ``file``, ``label``, ``probability``, and a column for each class.

        Raises:
            ZooError: pandas is not installed.
        """
        columns = {
            "file": list(map(str, self.files)),
            "label": self.labels,
            "probability": self.probabilities.max(axis=1),
        }
        # a class may be called as one of these
        taken = {name: f"class {name}" if name in columns else name for name in self.classes}
        each = {taken[name]: self.probabilities[:, k] for k, name in enumerate(self.classes)}
        return data_frame({**columns, **each})

    def __repr__(self) -> str:
        counts = Counter(self.labels).most_common(_REASONS)
        said = ", ".join(f"{name} {count}" for name, count in counts)
        left = f"; left out {len(self.bad)}" if self.bad else ""
        return f"Prediction({len(self)} image{'s' * (len(self) != 1)}: {said}{left})"

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(escape=True, max_rows=20, float_format="%.3f"))


class NoUsableImageError(ZooError):
    """No file could be predicted.

    Attributes:
        bad: file and reason of each one.
        hidden: number of image files in hidden and system folders.
    """

    def __init__(self, bad: Mapping[Name, str], hidden: int) -> None:
        self.bad, self.hidden = dict(bad), hidden
        elsewhere = f"; {hidden} are in hidden or system folders" if hidden else ""
        said = f"{none_usable(bad)}{elsewhere}"
        super().__init__(f"{said}: name image files, or folders of them")


def none_usable(bad: Mapping[Name, str]) -> str:
    """That no file is a usable image, and why, without what to do instead."""
    if len(bad) == 1:
        file, reason = next(iter(bad.items()))
        return f"{file} is no usable image: {reason}"
    return f"none of {len(bad)} files is a usable image: {by_reason(bad)}"


def record_of(images: list[dict[str, Any]], bad: Mapping[Name, str], hidden: int) -> dict[str, Any]:
    """What was predicted and what was left out, for JSON."""
    return {
        "images": images,
        "bad": [{"image": str(file), "reason": reason} for file, reason in bad.items()],
        "counts": {"predicted": len(images), "left_out": len(bad), "hidden": hidden},
    }


def by_reason(bad: Mapping[Name, str]) -> str:
    """How many files were left out for which reason, the most frequent first."""
    counts = Counter(bad.values()).most_common()
    more = sum(count for _, count in counts[_REASONS:])
    parts = [f"{count} {reason}" for reason, count in counts[:_REASONS]]
    return ", ".join(parts + [f"{more} for other reasons"] * (more > 0))


@renamed_parameters("runs")
def predict(
    run: Run | str | Path,
    images: str | Path | bytes | Image.Image | np.ndarray | Sequence[Name | Picture | np.ndarray],
    *,
    runs_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Prediction:
    """Predict images with a finished run, a single network or an ensemble.

    Images are decoded and resized exactly as for training, once for all members.

    Args:
        run: a run, its name or its path.
        images: one or several of: files and folders; the bytes of an image file; PIL images; RGB
            arrays, uint8 of shape (h, w, 3) or (n, h, w, 3). Every file below a folder is
            predicted if its name or content is an image's, and is in ``bad`` otherwise.
        runs_dir: folder of the runs, for a name.
        progress: shows the step; a bar in a notebook, else silent, if None.

    Raises:
        ZooError: no such run, no such file, a damaged model, or no usable image at all.
    """
    run = run if isinstance(run, Run) else open_run(run, runs_dir)
    asked = collect(images)
    bad, views = asked.bad, views_of(run)
    ask: Predictor | None = None
    good: list[Name] = []
    parts: list[np.ndarray] = []
    with (progress or for_python()).step("predict", len(asked.images)) as advance:
        for batch in _decoded(asked.images, views):
            pixels = [view for _, view in batch if not isinstance(view, str)]
            good += [name for name, view in batch if not isinstance(view, str)]
            bad.update({name: view for name, view in batch if isinstance(view, str)})
            if pixels:
                ask = ask or predictor(run)  # TensorFlow, not before there is an image
                parts.append(ask({v: np.stack([each[v] for each in pixels]) for v in ask.views}))
            advance(len(batch))
    if not parts:
        raise NoUsableImageError(bad, asked.hidden)
    probabilities = np.concatenate(parts).astype(np.float32)
    return Prediction(tuple(good), probabilities, tuple(run.classes), bad, asked.hidden)


def _decoded(
    images: list[tuple[Name, Picture]], views: frozenset[View]
) -> Iterator[list[tuple[Name, dict[View, np.ndarray] | str]]]:
    """Batches of (name, pixels or the reason why not), decoded while the networks run."""

    def load(named: tuple[Name, Picture]) -> tuple[Name, dict[View, np.ndarray] | str]:
        name, image = named
        try:
            return name, seen(image, views)
        except BadImageError as error:
            return name, str(error)

    with ThreadPoolExecutor(workers()) as pool:
        ahead = [pool.submit(load, image) for image in images[: 2 * BATCH]]
        for start in range(0, len(images), BATCH):
            batch = [future.result() for future in ahead[:BATCH]]
            following = images[start + 2 * BATCH : start + 3 * BATCH]
            ahead = ahead[BATCH:] + [pool.submit(load, image) for image in following]
            yield batch
