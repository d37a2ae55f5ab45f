"""What a server does with images: decode, predict, explain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from zoo.data.decode import BadImageError, decode_views, glance
from zoo.data.inspect import workers
from zoo.evaluate.images import Name
from zoo.evaluate.inference import BATCH
from zoo.evaluate.predict import Prediction, none_usable, record_of
from zoo.evaluate.predictor import predictor, view_of, views_of
from zoo.reporting.gradcam import GradCam
from zoo.reporting.pictures import heat_address, unsquared
from zoo.runs import Run
from zoo.serving.batcher import Batcher
from zoo.serving.intake import Intake, Limits, Refused, Upload
from zoo.serving.watch import Watch


class Service:
    """A run that answers.

    Args:
        run: a single network or an ensemble.
        limits: what is taken of requests.

    Raises:
        ZooError, EnsembleError: a file of the run is missing or damaged.
    """

    def __init__(self, run: Run, limits: Limits) -> None:
        self.run, self.classes = run, tuple(run.classes)
        self.intake = Intake(limits)
        self.watch = Watch(lambda: self.intake.waiting)
        self._views = views_of(run)
        self._batcher = Batcher(predictor(run), self.watch.batches.observe)
        self._decoding = ThreadPoolExecutor(workers(), "zoo-decode")
        # one thread of their own: the first one takes seconds, and predictions must not wait
        self._explaining = ThreadPoolExecutor(1, "zoo-explain")
        self._explainers: list[_Explainer] = []

    def warm(self) -> None:
        """Ask once for one, two and a whole batch of images: the first answers are slow."""
        black = {v: np.zeros((v.size, v.size, 3), np.uint8) for v in self._views}
        for count in (1, 2, BATCH):
            for answer in [self._batcher.ask(black) for _ in range(count)]:
                answer.result()

    def close(self) -> None:
        """Answer what was asked, and end the threads."""
        self._decoding.shutdown()
        self._explaining.shutdown()
        self._batcher.close()

    async def predict(self, uploads: Sequence[Upload], top: int) -> dict[str, Any]:
        """What ``zoo predict --json`` says of them.

        Args:
            uploads: one or more images.
            top: how many classes are listed by themselves.

        Raises:
            Refused: none of them is a usable image.
        """
        names = _apart([one.name for one in uploads])
        each = await asyncio.gather(*(self._probabilities(one.content) for one in uploads))
        found: dict[Name, np.ndarray | str] = dict(zip(names, each, strict=True))
        bad = {name: one for name, one in found.items() if isinstance(one, str)}
        good = {name: one for name, one in found.items() if not isinstance(one, str)}
        self.watch.images.labels("predicted").inc(len(good))
        self.watch.images.labels("left out").inc(len(bad))
        if not good:
            raise Refused(422, none_usable(bad), record_of([], bad, 0))
        rows = np.stack(list(good.values())).astype(np.float32)
        return Prediction(tuple(good), rows, self.classes, bad).as_record(top)

    async def explain(self, upload: Upload, wanted: str | None) -> dict[str, Any]:
        """Where an image speaks for a class: Grad-CAM, the mean of an ensemble's networks.

        Args:
            upload: the image.
            wanted: the class; the most probable one if None.

        Raises:
            Refused: no such class, or no usable image.
            ZooError: a network has no map of features that can be read.
        """
        if wanted is not None and wanted not in self.classes:
            raise Refused(422, f"there is no class {wanted!r}: there is {', '.join(self.classes)}")
        row = await self._probabilities(upload.content)
        if isinstance(row, str):
            raise Refused(422, none_usable({upload.name: row}))
        index = int(row.argmax()) if wanted is None else self.classes.index(wanted)
        name = self.classes[index]
        loop = asyncio.get_running_loop()
        heat = await loop.run_in_executor(self._explaining, self._heat, upload.content, name)
        return {"class": name, "probability": float(row[index]), "heat": heat}

    async def _probabilities(self, content: bytes) -> np.ndarray | str:
        """Of shape (k,), or the reason why the image is unusable."""
        loop = asyncio.get_running_loop()
        try:
            seen = await loop.run_in_executor(
                self._decoding, decode_views, content, tuple(self._views)
            )
        except BadImageError as error:
            return str(error)
        row: np.ndarray = await asyncio.wrap_future(self._batcher.ask(seen))
        return row

    def _heat(self, content: bytes, name: str) -> str:
        """A picture to lay over the image."""
        self._explainers = self._explainers or [_Explainer(one) for one in self.run.networks]
        looks = glance(content)
        maps = [one(content, name, looks.width / looks.height) for one in self._explainers]
        return heat_address(np.mean(maps, axis=0))


class _Explainer:
    """Grad-CAM of one network.

    Args:
        run: the network's.
    """

    def __init__(self, run: Run) -> None:
        self._view, self._classes = view_of(run), run.classes
        self._explain = GradCam(run.model)

    def __call__(self, content: bytes, name: str, aspect: float) -> np.ndarray:
        """A map of the whole image, see :func:`zoo.reporting.pictures.unsquared`."""
        pixels = decode_views(content, [self._view])[self._view][None]
        heat = self._explain(pixels, np.array([self._classes.index(name)]))[0]
        return unsquared(heat, aspect, self._view.resize)


def _apart(names: Sequence[str]) -> list[str]:
    """The names, numbered where one is there before."""
    found: dict[str, None] = {}
    for name in names:
        number, free = 1, name
        while free in found:
            number += 1
            free = f"{name} ({number})"
        found[free] = None
    return list(found)
