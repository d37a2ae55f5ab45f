"""A run as one graph: resizing, networks, temperatures and combination.

Each operation is one that all formats have. Class names and probabilities are in the order of the
run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backbones import folded
from ensembles.probabilities import FLOOR
from zoo.errors import ZooError
from zoo.evaluate.inference import without_resizing
from zoo.exporting.pixels import decoded, resized
from zoo.runs import Run

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from ensembles.pipeline import Ensemble

Combination = Callable[[Sequence[Any]], Any]


class Graph:
    """From images to probabilities in TensorFlow.

    Args:
        run: a finished run, a single network or an ensemble.

    Attributes:
        run: that run.
        views: how its networks see images, without repetition.
        parts: what its variables belong to, for a SavedModel to keep them.

    Raises:
        ZooError, EnsembleError: a file of the run is missing or damaged.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.parts: list[keras.Model] = []
        self._predict = self._of(run)
        self.views = tuple(sorted(_sizes_of(run)))

    def of_views(self, images: Mapping[tuple[int, str], Any]) -> tf.Tensor:
        """Probabilities (n, k) of images as its networks see them.

        Args:
            images: (size, resize mode) to RGB of shape (n, size, size, 3) in 0..255.
        """
        return self._predict(images)

    def of_pixels(self, images: Any) -> tf.Tensor:
        """Probabilities (n, k) of RGB of shape (n, h, w, 3) in 0..255."""
        return self.of_views({view: resized(images, *view) for view in self.views})

    def of_files(self, contents: Any) -> tf.Tensor:
        """Probabilities (n, k) of the contents of n image files."""
        import tensorflow as tf

        def seen(content: Any) -> tuple[Any, ...]:
            each = {size: decoded(content, size)[None] for size, _ in self.views}
            return tuple(resized(each[size], size, mode)[0] for size, mode in self.views)

        shapes = tuple(tf.TensorSpec((s, s, 3), tf.float32) for s, _ in self.views)
        images = tf.map_fn(seen, contents, fn_output_signature=shapes)
        return self.of_views(dict(zip(self.views, images, strict=True)))

    def _of(self, run: Run) -> Callable[[Mapping[tuple[int, str], Any]], Any]:
        combination = run.combination
        if combination is None:
            network, view = folded(without_resizing(run.model), inference=True), run.view
            self.parts.append(network)
            return lambda images: network(images[view], training=False)
        from ensembles.pipeline import Ensemble

        ensemble = Ensemble.of_record(combination["ensemble"])
        members = [self._of(member) for member in run.members]
        columns = [[member.classes.index(c) for c in run.classes] for member in run.members]
        combine = combination_of(ensemble)

        def predict(images: Mapping[tuple[int, str], Any]) -> Any:
            import tensorflow as tf

            each = zip(members, columns, strict=True)
            return combine([tf.gather(one(images), order, axis=1) for one, order in each])

        return predict


def _sizes_of(run: Run) -> set[tuple[int, str]]:
    if run.combination is None:
        return {run.view}
    return {view for member in run.members for view in _sizes_of(member)}


def combination_of(ensemble: Ensemble) -> Combination:
    """The arithmetic of a fitted ensemble, on tensors.

    Args:
        ensemble: fitted, with one of the methods of ``ensembles.METHODS``.

    Returns:
        From probabilities of shape (n, k), one per member, to their combination.

    Raises:
        ZooError: a method that is none of them.
    """
    from ensembles.pipeline import method_of

    name, combiner = method_of(ensemble.combiner_), ensemble.combiner_
    inner: Combination
    if name in {"soft", "weighted", "greedy", "best"}:
        inner = _linear(combiner.weights_)
    elif name == "geometric":
        inner = _geometric(combiner.weights_)
    elif name == "vote":
        inner = _vote
    elif name == "stack":
        inner = _stack(combiner.present_, combiner.coef_, combiner.intercept_)
    else:
        raise ZooError(f"the method {name!r} cannot be exported")

    def combine(members: Sequence[Any]) -> Any:
        each = zip(members, ensemble.temperatures_, strict=True)
        return _scaled(inner([_scaled(p, t) for p, t in each]), ensemble.temperature_)

    return combine


def _log(p: Any, floor: float = FLOOR) -> Any:
    import tensorflow as tf

    return tf.math.log(tf.maximum(p, floor))


def _scaled(p: Any, temperature: float) -> Any:
    import tensorflow as tf

    return p if temperature == 1.0 else tf.nn.softmax(_log(p) / float(temperature))


def _linear(weights: np.ndarray) -> Combination:
    def combine(members: Sequence[Any]) -> Any:
        import tensorflow as tf

        total = tf.add_n([float(w) * p for w, p in zip(weights, members, strict=True) if w])
        return total / tf.reduce_sum(total, axis=1, keepdims=True)

    return combine


def _geometric(weights: np.ndarray) -> Combination:
    def combine(members: Sequence[Any]) -> Any:
        import tensorflow as tf

        logs = [float(w) * _log(p) for w, p in zip(weights, members, strict=True) if w]
        return tf.nn.softmax(tf.add_n(logs))

    return combine


def _vote(members: Sequence[Any]) -> Any:
    import tensorflow as tf

    votes = [tf.one_hot(tf.argmax(p, axis=1), p.shape[1]) for p in members]
    total = tf.add_n(list(members)) / len(members) + tf.add_n(votes)
    return total / tf.reduce_sum(total, axis=1, keepdims=True)


def _stack(present: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> Combination:
    from ensembles.stacking import FLOOR as LEAST

    rows = np.flatnonzero(present)

    def combine(members: Sequence[Any]) -> Any:
        import tensorflow as tf

        mean = tf.add_n(list(members)) / len(members)
        features = tf.concat([_log(p, LEAST) for p in members], axis=1)
        logits = features @ tf.constant(coef[rows].T, tf.float32)
        learned = tf.nn.softmax(logits + tf.constant(intercept[rows], tf.float32))
        absent = tf.constant(1.0 - present.astype(np.float32))
        rest = tf.maximum(1.0 - tf.reduce_sum(mean * absent, axis=1, keepdims=True), 0.0)
        into = tf.constant(np.eye(len(present), dtype=np.float32)[rows])
        result = mean * absent + (learned * rest) @ into
        return result / tf.reduce_sum(result, axis=1, keepdims=True)

    return combine
