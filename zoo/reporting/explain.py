"""What the report asks the network itself: overlays of mistakes, and a map of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ensembles import PredictionTable
from zoo.diagnosis.evidence import Evidence
from zoo.evaluate.inference import Inference
from zoo.pages.charts.embedding import map_chart
from zoo.pages.charts.palette import class_colour
from zoo.progress import Progress
from zoo.reporting import featuremap
from zoo.reporting.gradcam import GradCam, branches_of, last_features
from zoo.reporting.pictures import Album
from zoo.reporting.scores import Mistake

if TYPE_CHECKING:
    import keras

_MOST = 240  # explained images


class Network:
    """The network of a run, and its images as it sees them.

    Args:
        evidence: of the run.
        progress: shows the steps.
    """

    def __init__(self, evidence: Evidence, progress: Progress) -> None:
        self._evidence, self._progress = evidence, progress

    @cached_property
    def model(self) -> keras.Model:
        """The classifier."""
        return self._evidence.run.model

    @cached_property
    def _place(self) -> Mapping[str, int]:
        catalog, prepared = self._evidence.catalog, self._evidence.prepared
        return dict(zip(catalog.ids, prepared.rows.tolist(), strict=True))

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """Rows of the prepared images, int64 of shape (n,).

        Raises:
            ZooError: the images are no longer those of the run.
        """
        return np.array([self._place[sample] for sample in ids], np.int64)

    def lay_over(self, album: Album, mistakes: Sequence[Mistake]) -> dict[str, tuple[str, str]]:
        """Lay maps of what speaks for either class over pictures of mistakes.

        Returns:
            Id to the names of two overlays: for what is predicted, and for what is labelled.

        Raises:
            ZooError: the network cannot be explained, or the images are not there.
        """
        shown = [m for m in mistakes if m.id in album][:_MOST]
        if not shown:
            return {}
        explain = GradCam(self.model)
        pixels = self._evidence.prepared.pixels[self.rows([m.id for m in shown])]
        wanted = np.array([[m.predicted, m.label] for m in shown], np.int64)
        maps = [explain(pixels, wanted[:, i], self._progress) for i in (0, 1)]
        resize = self._evidence.run.view[1]
        return {
            m.id: (
                album.overlay(m.id, f"s{number}", maps[0][number], resize),
                album.overlay(m.id, f"t{number}", maps[1][number], resize),
            )
            for number, m in enumerate(shown)
        }

    def map_of(self, table: PredictionTable, album: Album) -> dict[str, Any]:
        """The map of the judged images, by what the network makes of them before its head.

        Raises:
            ZooError: the images are not there, or the model is built otherwise.
        """
        chosen = featuremap.chosen_rows(len(table))
        table = table.rows(chosen)
        inference = Inference(last_features(branches_of(self.model)[0].backbone))
        prepared = self._evidence.prepared
        ids = table.ids.tolist()
        features = inference.run(prepared.pixels, self.rows(ids), self._progress, "map")
        points, method = featuremap.layout(features)
        names = table.classes.tolist()
        predicted = table.probabilities.argmax(axis=1)
        present = np.unique(table.labels).tolist()
        known = [album.get(sample) for sample in ids]
        pictures = ["" if picture is None else picture.name for picture in known]
        return {
            "chart": map_chart(points, table.labels, predicted, ids, names, pictures),
            "method": method,
            "count": len(table),
            "classes": [(k, names[k], class_colour(k, len(names))) for k in present],
        }
