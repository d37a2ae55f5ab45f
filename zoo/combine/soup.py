"""Model soup: the average of weights instead of predictions (Wortsman et al. 2022, 2203.05482).

Networks that were fine-tuned from the same weights often lie in one valley of the loss; the mean of
their weights is then as good as their ensemble, at the cost of a single network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ensembles import PredictionTable
from ensembles.calibration import fit_temperature
from ensembles.probabilities import log_loss, softmax
from zoo.combine.members import Members
from zoo.data.dataset import load
from zoo.data.prepare import prepare
from zoo.data.value_range import scale_of
from zoo.errors import ZooError
from zoo.evaluate.inference import Inference
from zoo.paths import new_file
from zoo.progress import Progress
from zoo.runs import Run
from zoo.settings import Settings

if TYPE_CHECKING:
    import keras

_SAME = (
    "backbone",
    "size",
    "resize",
    "width",
    "input_range",
    "blocks",
    "filters",
    "kernel_size",
    "dense_units",
    "batch_norm",
)


@dataclass(frozen=True)
class Soup:
    """The network of averaged weights.

    Attributes:
        model: from RGB in 0..255 to probabilities.
        tables: its predictions of ``val`` and ``test``.
        used: numbers of the members whose weights are in it.
        losses: what was tried, to its validation log loss.
        temperature: fitted on validation.
    """

    model: keras.Model
    tables: dict[str, PredictionTable]
    used: list[int]
    losses: dict[str, float]
    temperature: float


def check(members: Members) -> None:
    """Refuse networks whose weights cannot be averaged.

    Raises:
        ZooError: ensembles, bags of fold models, another architecture or another starting point.
    """
    for run in members.runs:
        if run.kind != "finetune" or len(run.record["kept"]) != 1:
            raise ZooError(
                f"a soup averages the weights of networks that were trained once, and {run.name!r} "
                f"is a combination already: take --method soft"
            )
        if run.settings.get("refit"):
            raise ZooError(
                f"a soup is judged on validation images, and {run.name!r} was refit on them: take "
                f"--method soft"
            )
    first, settings = members.runs[0], members.runs[0].settings
    for run in members.runs[1:]:
        for name in _SAME:
            if run.settings.get(name) != settings.get(name):
                raise ZooError(
                    f"the weights of {first.name!r} and {run.name!r} cannot be averaged: their "
                    f"{name} is {settings.get(name)!r} and {run.settings.get(name)!r}; take "
                    f"--method soft"
                )
        if _seen(run) != _seen(first):
            raise ZooError(
                f"the weights of {first.name!r} and {run.name!r} cannot be averaged: their heads "
                f"see {_seen(first)} and {_seen(run)}; take --method soft"
            )
        if scale_of(run) != scale_of(first):
            raise ZooError(
                f"the weights of {first.name!r} and {run.name!r} cannot be averaged: they were "
                f"trained with other ranges of values (value_range); take --method soft"
            )
    starts = {run.record["weights"]["sha256"] for run in members.runs}
    if None in starts or len(starts) > 1:
        raise ZooError(
            "a soup needs members that were fine-tuned from the same pretrained weights, and "
            "these were not: take --method soft"
        )


def _seen(run: Run) -> str:
    """What the run's head sees, in words; older runs know of the last layer and one view alone."""
    kept = run.record["kept"][0]
    return f"depths {kept.get('depths', 'last')} and views {kept.get('views', 1)}"


def average_weights(members: Members, folder: Path, progress: Progress) -> Soup:
    """Average weights, keep the soup of lowest validation log loss, and write it.

    Members are added from the best to the worst, each kept where it lowers the loss (the paper's
    greedy soup); the mean of all is tried as well. The test images are predicted once, at the end.

    Args:
        members: as :func:`check` admits them.
        folder: gets ``model.keras``.
        progress: shows the steps.

    Raises:
        ZooError: see :func:`check`; the images are not where they were.
    """
    check(members)
    network = _SharedNetwork(members, progress)
    used, weights, losses = network.greedy()
    network.put(weights)
    logits = network.logits("val")
    temperature = fit_temperature(logits, network.labels("val"))
    network.model.get_layer("temperature_1").scale = 1 / temperature
    tables = {"val": network.table("val", softmax(logits / temperature))}
    tables["test"] = network.table("test", softmax(network.logits("test") / temperature))
    with new_file(folder / "model.keras") as temporary:
        network.model.save(temporary)
    return Soup(network.model, tables, used, losses, temperature)


class _SharedNetwork:
    """One network, the weights of all members, and the images to judge an average by."""

    def __init__(self, members: Members, progress: Progress) -> None:
        from zoo.keras_setup import import_keras

        import_keras()
        import keras

        first = members.runs[0]
        self._members, self._progress = members, progress
        found = load(Settings.of(first.settings, f"run {first.name!r}"), progress)
        self._data = found.scaled(scale_of(first))
        if self._data.summary()["split_fingerprint"] != first.record["data"]["split_fingerprint"]:
            raise ZooError(
                f"the images of {first.name!r} at {first.record['data']['root']} have changed "
                f"since it was trained: a soup has to look at them again, so put them back"
            )
        self._prepared = prepare(self._data.catalog, *first.view, progress)
        # opened anew: the weights of a network that the caller holds must stay as they are
        models = [Run(run.path).model for run in members.runs]
        self._weights = [[v.numpy() for v in model.weights] for model in models]
        self.model: keras.Model = models[0]
        before = self.model.get_layer("temperature_1").input
        self._infer = Inference(keras.Model(self.model.inputs[0], before))

    def put(self, weights: list[np.ndarray]) -> None:
        """Give the network these weights."""
        for variable, value in zip(self.model.weights, weights, strict=True):
            variable.assign(value)

    def mean(self, used: list[int]) -> list[np.ndarray]:
        """Mean weights of some members."""
        groups = zip(*(self._weights[i] for i in used), strict=True)
        return [np.mean(values, axis=0).astype(values[0].dtype) for values in groups]

    def greedy(self) -> tuple[list[int], list[np.ndarray], dict[str, float]]:
        """Members of the best soup, its weights, and the validation losses of what was tried."""
        names = self._members.names
        alone = [self._loss([i]) for i in range(len(names))]
        order = np.argsort(alone, kind="stable").tolist()
        losses = {name: alone[i] for i, name in enumerate(names)}
        used, best = order[:1], alone[order[0]]
        for i in order[1:]:
            loss = self._loss([*used, i])
            losses[" + ".join(names[j] for j in sorted([*used, i]))] = loss
            if loss < best:
                used, best = [*used, i], loss
        if len(used) < len(names):
            everything = list(range(len(names)))
            losses[" + ".join(names)] = loss = self._loss(everything)
            used = everything if loss < best else used
        return sorted(used), self.mean(sorted(used)), losses

    def _loss(self, used: list[int]) -> float:
        """Validation log loss at the best temperature."""
        self.put(self.mean(used))
        logits, labels = self.logits("val"), self.labels("val")
        return log_loss(softmax(logits / fit_temperature(logits, labels)), labels)

    def logits(self, split: str) -> np.ndarray:
        """Float32 of shape (n, k)."""
        rows = self._prepared.rows[self._data.split.rows(split)]
        return self._infer.run(self._prepared.pixels, rows, self._progress, f"soup {split}")

    def labels(self, split: str) -> np.ndarray:
        """int64 of shape (n,)."""
        return self._data.catalog.labels[self._data.split.rows(split)]

    def table(self, split: str, probabilities: np.ndarray) -> PredictionTable:
        """The predictions of a split."""
        ids = np.array([self._data.catalog.ids[i] for i in self._data.split.rows(split)])
        stored = self._members.runs[0].predictions(split)
        if not np.array_equal(stored.ids, ids):
            raise ZooError(f"the {split} images have changed since training: put them back")
        return replace(stored, probabilities=probabilities.astype(np.float32))
