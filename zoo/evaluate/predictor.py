"""A finished run as a function from images to probabilities, be it one network or an ensemble."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from zoo.data.decode import View
from zoo.data.value_range import scale_of
from zoo.errors import ZooError
from zoo.evaluate.inference import BATCH, Inference, without_resizing
from zoo.runs import Run

if TYPE_CHECKING:
    import keras

    from ensembles.pipeline import Ensemble

_ROUNDS = 3  # of timing: the median counts


class Predictor(Protocol):
    """From images to probabilities.

    Attributes:
        views: how it wants to see images.
    """

    views: frozenset[View]

    def __call__(self, images: Mapping[View, np.ndarray]) -> np.ndarray:
        """Probabilities, float of shape (b, k).

        Args:
            images: for each view the same images, uint8 of shape (b, size, size, 3).
        """


class Single:
    """One network.

    Args:
        model: RGB in 0..255, shape (b, size, size, 3), to probabilities (b, k).
        view: how it sees images.
    """

    def __init__(self, model: keras.Model, view: View) -> None:
        self._infer = Inference(without_resizing(model))
        self._view = view
        self.views = frozenset([view])

    def __call__(self, images: Mapping[View, np.ndarray]) -> np.ndarray:
        """See :class:`Predictor`."""
        return self._infer(images[self._view])


class Combined:
    """Several predictors and how they are combined.

    Args:
        members: one each.
        columns: for each member, the columns of its probabilities in the order of the ensemble.
        ensemble: fitted.
    """

    def __init__(
        self, members: Sequence[Predictor], columns: Sequence[list[int]], ensemble: Ensemble
    ) -> None:
        self._members = list(zip(members, columns, strict=True))
        self._ensemble = ensemble
        self.views = frozenset(view for member in members for view in member.views)

    def __call__(self, images: Mapping[View, np.ndarray]) -> np.ndarray:
        """See :class:`Predictor`."""
        each = [member(images)[:, columns] for member, columns in self._members]
        return self._ensemble.combine(np.stack(each))


def predictor(run: Run) -> Predictor:
    """Load the network, or all networks, of a run.

    Raises:
        ZooError, EnsembleError: a file of the run is missing or damaged.
    """
    combination = run.combination
    if combination is None:
        return Single(run.model, view_of(run))
    # imports scikit-learn, for which a single network must not wait
    from ensembles.pipeline import Ensemble

    ensemble, members = Ensemble.of_record(combination["ensemble"]), run.members
    classes = run.classes
    if ensemble.n_members_ != len(members) or ensemble.n_classes_ != len(classes):
        raise ZooError(
            f"{run.path / 'ensemble.json'} is damaged: it combines {ensemble.n_members_} members "
            f"of {ensemble.n_classes_} classes, and there are {len(members)} of {len(classes)}"
        )
    for member in members:
        if set(member.classes) != set(classes):
            raise ZooError(f"{member.path} is damaged: its classes are not those of {run.name!r}")
    columns = [[member.classes.index(name) for name in classes] for member in members]
    return Combined([predictor(member) for member in members], columns, ensemble)


def view_of(run: Run) -> View:
    """How the network of a run that is no ensemble sees images."""
    return View(*run.view, scale_of(run))


def views_of(run: Run) -> frozenset[View]:
    """How the networks of a run see images; loads none of them, and TensorFlow neither.

    Raises:
        ZooError, EnsembleError: a file of the run is missing or damaged.
    """
    if run.combination is None:
        if not run.has("model.keras"):
            raise ZooError(f"{run.path / 'model.keras'} is missing: train the run again")
        return frozenset([view_of(run)])
    return frozenset(view for member in run.members for view in views_of(member))


def milliseconds(predict: Predictor) -> float:
    """Wall milliseconds per image on this machine, in full batches, images decoded beforehand."""
    rng = np.random.default_rng(0)
    images = {
        view: rng.integers(0, 256, (BATCH, view.size, view.size, 3), np.uint8)
        for view in predict.views
    }
    predict(images)  # builds the graph
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        predict(images)
        times.append(time.perf_counter() - started)
    return round(1000 * float(np.median(times)) / BATCH, 3)
