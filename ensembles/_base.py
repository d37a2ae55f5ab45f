"""What all combiners share: how members' predictions come in, and scikit-learn's conventions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from ensembles._errors import EnsembleError
from ensembles._folds import unit_names
from ensembles._inputs import check_probabilities, label_columns, numbers, unit_rows
from ensembles.table import PredictionTable, align, check_groups, with_classes

Predictions = Sequence[PredictionTable] | Sequence[np.ndarray] | np.ndarray


class Combiner(ClassifierMixin, BaseEstimator):
    """Base of all combiners.

    ``fit`` and ``predict_proba`` take the members' predictions for the same samples: a list of
    :class:`PredictionTable`, which are joined by sample id, or of arrays of shape (n, k), or one
    array of shape (m, n, k).

    Attributes:
        n_members_: number m of members it was fitted on.
        n_classes_: number k of classes.
        classes_: of shape (k,), what the columns mean: class names of tables, numbers of arrays.
    """

    # what a method learns, besides the above: name to shape in the letters m, k, and M for m * k
    LEARNED: ClassVar[Mapping[str, str]] = {}

    def fit(
        self,
        tables: Predictions,
        y: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> Self:
        """Learn how to combine.

        Args:
            tables: predictions for samples that no member was fitted on.
            y: int of shape (n,), columns of the true classes; that of the tables if None.
            groups: int of shape (n,), equal for samples that depend on each other, which are
                never in two folds; those of the tables if None.

        Raises:
            EnsembleError: tables that do not fit each other, ``y`` or ``groups``, or a wrong
                parameter.
        """
        probabilities, labels, units = labelled(tables, y, groups)
        self.fit_arrays(probabilities, labels, units)
        if isinstance(tables[0], PredictionTable):
            self.classes_ = tables[0].classes
        return self

    def fit_arrays(self, probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray) -> Self:
        """:meth:`fit` for what :func:`labelled` gives."""
        self.n_members_, _, self.n_classes_ = probabilities.shape
        self.classes_ = np.arange(self.n_classes_)
        try:
            self._fit(probabilities, labels, units)
        except BaseException:
            del self.n_members_  # what is half fitted must not predict
            raise
        return self

    def predict_proba(self, tables: Predictions) -> np.ndarray:
        """Combined probabilities, float64 of shape (n, k), rows sum to one.

        The columns are in the order of ``classes_``; tables in another order are mapped to it.

        Raises:
            EnsembleError: not fitted, or other members or classes than in ``fit``.
        """
        self.check_fitted()
        classes = self.classes_ if self.classes_.dtype.kind == "U" else None
        return self.combine(stacked(tables, classes))

    def check_fitted(self) -> None:
        """Raise an EnsembleError where :meth:`fit` was not called, or failed."""
        if not hasattr(self, "n_members_"):
            raise EnsembleError(f"{type(self).__name__} is not fitted: call fit first")

    def combine(self, probabilities: np.ndarray) -> np.ndarray:
        """:meth:`predict_proba` for a checked array of shape (m, n, k)."""
        self.check_fitted()
        got, fitted = probabilities.shape[::2], (self.n_members_, self.n_classes_)
        if got != fitted:
            raise EnsembleError(
                f"{type(self).__name__} was fitted on {fitted[0]} members and {fitted[1]} classes, "
                f"not on {got[0]} and {got[1]}"
            )
        return self._combine(probabilities)

    def predict(self, tables: Predictions) -> np.ndarray:
        """Columns of the most probable classes, int64 of shape (n,)."""
        return np.asarray(self.predict_proba(tables).argmax(axis=1))

    def used(self) -> list[int]:
        """Numbers of the members that have a say."""
        self.check_fitted()
        weights = getattr(self, "weights_", None)
        if weights is None:
            return list(range(self.n_members_))
        return np.flatnonzero(weights).tolist()

    def restricted(self, members: Sequence[int]) -> Combiner:
        """The same combination of some members only; the others must have zero weight."""
        self.check_fitted()
        part = copy.deepcopy(self)
        part.n_members_ = len(members)
        if hasattr(part, "weights_"):
            part.weights_ = part.weights_[list(members)]
        return part

    def _fit(self, probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray) -> None:
        """Learn from (m, n, k), (n,) and the names (n,) of the samples' units, see `_folds`."""

    def _combine(self, probabilities: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def labelled(
    tables: Predictions, y: np.ndarray | None, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members' predictions (m, n, k), the labels (n,) and the names of the samples' units (n,).

    A unit is a sample, or a group of samples that depend on each other: see
    :mod:`ensembles._folds`.

    Raises:
        EnsembleError: see :func:`stacked`; also no labels, no samples, labels out of range.
    """
    probabilities = stacked(tables)
    ids = np.arange(probabilities.shape[1])
    if isinstance(tables[0], PredictionTable):
        ids, y = tables[0].ids, tables[0].labels if y is None else y
        groups = align(tables)[0].groups if groups is None else groups  # type: ignore[arg-type]
    if y is None or not len(ids):
        raise EnsembleError("fitting needs samples and their labels: give y, or tables")
    labels = label_columns(y, len(ids), probabilities.shape[2], what="y")
    if groups is not None:
        groups = np.asarray(groups)
        check_groups(groups, len(ids))
    return probabilities, labels, unit_names(ids, groups)


def stacked(tables: Predictions, classes: np.ndarray | None = None) -> np.ndarray:
    """Members' predictions as one array of shape (m, n, k).

    Args:
        tables: see :class:`Combiner`.
        classes: order of the columns of tables; that of the first one if None.

    Raises:
        EnsembleError: no members, shapes that differ, values that are not probabilities.
    """
    if isinstance(tables, PredictionTable):
        raise EnsembleError("give a list of members' predictions, even if there is only one")
    if len(tables) == 0:
        raise EnsembleError("no members are given: give the predictions of at least one")
    kinds = {isinstance(table, PredictionTable) for table in tables}
    if len(kinds) > 1:
        raise EnsembleError("give all members as tables or all as arrays, not some of each")
    if kinds == {True}:
        joined = align(tables)  # type: ignore[arg-type]
        if classes is not None:
            joined = [with_classes(table, classes) for table in joined]
        return np.stack([table.probabilities for table in joined])
    try:
        return _checked([np.asarray(table) for table in tables])
    except ValueError as error:
        if isinstance(error, EnsembleError):
            raise
        raise EnsembleError(f"members' probabilities must be arrays of numbers: {error}") from None


def _checked(arrays: list[np.ndarray]) -> np.ndarray:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or len(arrays[0].shape) != 2:
        shown = ", ".join(str(array.shape) for array in arrays[:5])
        raise EnsembleError(
            f"members' probabilities must have one shape (samples, classes), not {shown}: give "
            f"all members' predictions for the same samples; tables with ids say which are missing"
        )
    names = [f"probabilities of member {i}" for i in range(1, len(arrays) + 1)]
    members = [numbers(array, name) for array, name in zip(arrays, names, strict=True)]
    members = [unit_rows(member) for member in members]
    for member, name in zip(members, names, strict=True):
        check_probabilities(member, what=name)
    values = np.stack(members)
    return values if values.dtype.kind == "f" else values.astype(np.float64)
