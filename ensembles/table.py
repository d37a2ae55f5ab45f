"""The prediction table: what a classifier said about which samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensembles._archives import check_archive
from ensembles._errors import EnsembleError
from ensembles._inputs import (
    check_logits,
    check_probabilities,
    label_columns,
    probability_matrix,
    unit_rows,
)
from ensembles.probabilities import softmax

_FIELDS = ("ids", "labels", "probabilities", "classes", "split", "fingerprint")
_OPTIONAL = ("groups",)  # tables of earlier versions lack it


@dataclass(frozen=True)
class PredictionTable:
    """Probabilities for the samples of one split.

    Attributes:
        ids: of shape (n,), the samples' stable and unique names.
        labels: int64 of shape (n,), the true class as an index into ``classes``.
        probabilities: float32 of shape (n, k), rows sum to one.
        classes: of shape (k,), class names in the order of the columns.
        split: name of the split, for instance ``val``, ``test`` or ``oof`` (out-of-fold).
        fingerprint: identity of the data that the samples come from.
        groups: int64 of shape (n,), equal for samples that depend on each other (copies, images
            of one patient); None if all are independent. Folds and resampling keep them together.

    Raises:
        EnsembleError: shapes that do not fit, repeated ids, or values that are not probabilities.
    """

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    classes: np.ndarray
    split: str
    fingerprint: str
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("ids", "classes"):  # as pandas gives them, or bytes: joined by text
            values = getattr(self, name)
            if values.dtype.kind != "U":
                object.__setattr__(self, name, values.astype(np.str_))
        if (self.ids.ndim, self.classes.ndim) != (1, 1):
            raise EnsembleError("a prediction table needs one id per sample and one name per class")
        if self.labels.dtype.kind not in "iu" or self.probabilities.dtype.kind != "f":
            raise EnsembleError(
                f"a prediction table needs whole numbers as labels and floating-point "
                f"probabilities, not {self.labels.dtype} and {self.probabilities.dtype}: "
                f"PredictionTable.of converts them"
            )
        n, k = len(self.ids), len(self.classes)
        if self.probabilities.shape != (n, k) or self.labels.shape != (n,):
            raise EnsembleError(
                f"a prediction table of {n} samples and {k} classes needs probabilities of shape "
                f"({n}, {k}) and {n} labels, not {self.probabilities.shape} and {self.labels.shape}"
            )
        check_groups(self.groups, n)
        if len(np.unique(self.ids)) < n:
            raise EnsembleError(
                f"a prediction table lists a sample more than once, the first is "
                f"{_repeated(self.ids)}: keep one row"
            )
        if len(np.unique(self.classes)) < k:
            raise EnsembleError(
                f"a prediction table names a class twice, {_repeated(self.classes)}: name each "
                f"column once"
            )
        label_columns(self.labels, n, k)
        check_probabilities(self.probabilities, self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(
        cls,
        probabilities: Any,
        labels: Any,
        *,
        ids: Sequence[str] | np.ndarray | None = None,
        classes: Sequence[str] | np.ndarray | None = None,
        split: str = "val",
        fingerprint: str = "",
        groups: Sequence[int] | np.ndarray | None = None,
    ) -> PredictionTable:
        """A table from arrays; samples and classes without a name are numbered.

        Args:
            probabilities: numbers of shape (n, k), rows sum to one. Rows that are rounded (to two
                digits, or as bfloat16) are made to sum to one. One column, (n, 1) or (n,), is the
                probability of the second of two classes.
            labels: the true classes: columns as whole numbers of shape (n,), also as floats;
                one-hot rows (n, k); or names, if ``classes`` are given.
            ids: n unique names of the samples.
            classes: k names, in the order of the columns.
            split: name of the split.
            fingerprint: identity of the data.
            groups: n whole numbers, equal for samples that depend on each other.

        Raises:
            EnsembleError: as the class itself; logits, percentages and labels that can be read in
                more than one way are refused, and the sentence says what to give.
        """
        y = np.asarray(labels)
        names = None if classes is None else np.asarray(classes)
        p = probability_matrix(probabilities, len(y) if y.ndim else 0, _count(names))
        n, k = p.shape
        ids = np.asarray(range(n) if ids is None else ids).astype(np.str_)
        if ids.shape != (n,) or (names is not None and names.shape != (k,)):
            raise EnsembleError(
                f"probabilities of shape {p.shape} need {n} ids and {k} classes, not arrays of "
                f"shape {ids.shape} and {k if names is None else names.shape}"
            )
        return cls(
            ids=ids,
            labels=label_columns(labels, n, k, names),
            probabilities=unit_rows(p).astype(np.float32),
            classes=(np.arange(k) if names is None else names).astype(np.str_),
            split=split,
            fingerprint=fingerprint,
            groups=None if groups is None else np.asarray(groups),
        )

    @classmethod
    def from_logits(
        cls,
        logits: Any,
        labels: Any,
        *,
        ids: Sequence[str] | np.ndarray | None = None,
        classes: Sequence[str] | np.ndarray | None = None,
        split: str = "val",
        fingerprint: str = "",
        groups: Sequence[int] | np.ndarray | None = None,
    ) -> PredictionTable:
        """A table from logits or log-probabilities: their softmax.

        Args:
            logits: numbers of shape (n, k); one column, (n, 1) or (n,), is the log-odds of the
                second of two classes.
            labels: see :meth:`of`, as all others.
            ids: see :meth:`of`.
            classes: see :meth:`of`.
            split: see :meth:`of`.
            fingerprint: see :meth:`of`.
            groups: see :meth:`of`.

        Raises:
            EnsembleError: as :meth:`of`; also logits that are not finite, or probabilities.
        """
        return cls.of(
            softmax(check_logits(logits)),
            labels,
            ids=ids,
            classes=classes,
            split=split,
            fingerprint=fingerprint,
            groups=groups,
        )

    def rows(self, chosen: np.ndarray) -> PredictionTable:
        """The table of some samples, by mask or row numbers."""
        return replace(
            self,
            ids=self.ids[chosen],
            labels=self.labels[chosen],
            probabilities=self.probabilities[chosen],
            groups=None if self.groups is None else self.groups[chosen],
        )

    def save(self, path: Path) -> None:
        """Write as ``.npz`` without pickle."""
        arrays: dict[str, Any] = {
            "ids": np.asarray(self.ids, dtype=np.str_),
            "labels": self.labels.astype(np.int64),
            "probabilities": self.probabilities.astype(np.float32),
            "classes": np.asarray(self.classes, dtype=np.str_),
            "split": np.str_(self.split),
            "fingerprint": np.str_(self.fingerprint),
        }
        if self.groups is not None:
            arrays["groups"] = self.groups.astype(np.int64)
        # an open file, because NumPy would add a suffix to a path without one
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> PredictionTable:
        """Read what :meth:`save` wrote; nothing is unpickled.

        Raises:
            EnsembleError: missing, damaged, or holding objects.
        """
        try:
            check_archive(Path(path))
            with np.load(path, allow_pickle=False) as stored:
                present = (*_FIELDS, *(name for name in _OPTIONAL if name in stored))
                values = {name: stored[name] for name in present}
            texts = {name: values.pop(name) for name in ("split", "fingerprint")}
            for name, text in texts.items():
                if text.shape or text.dtype.kind != "U":
                    raise ValueError(f"its {name} is no text")
            split, fingerprint = map(str, texts.values())
            return cls(**values, split=split, fingerprint=fingerprint)
        except FileNotFoundError:
            raise EnsembleError(f"there is no prediction table {path}") from None
        except Exception as error:  # zipfile, zlib and numpy raise nearly anything on damage
            raise EnsembleError(f"prediction table {path} is damaged: {error}") from error


def _repeated(names: np.ndarray) -> str:
    """The first name that is there before, with both places."""
    _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    second = int(np.argmax(first[inverse] != np.arange(len(names))))
    return f"{str(names[second])!r} in {first[inverse[second]]} and {second} (counted from 0)"


def _count(names: np.ndarray | None) -> int | None:
    return None if names is None else names.size


def check_groups(groups: np.ndarray | None, n: int) -> None:
    """Raise an EnsembleError unless groups are None or whole numbers of shape (n,)."""
    if groups is not None and (groups.shape != (n,) or groups.dtype.kind not in "iu"):
        raise EnsembleError(
            f"groups must hold {n} whole numbers, equal for samples that depend on each other, "
            f"not {groups.dtype} of shape {groups.shape}"
        )


def align(
    tables: Sequence[PredictionTable], names: Sequence[str] | None = None
) -> list[PredictionTable]:
    """The tables with the samples and classes of the first, in its order.

    Args:
        tables: at least one.
        names: of the members, for messages; numbered if None.

    Raises:
        EnsembleError: the tables are of other data, another split, other classes, other samples,
            or give a sample another label; the difference is named.
    """
    if not tables:
        raise EnsembleError("no members are given: give the predictions of at least one")
    names = names or [f"member {i}" for i in range(1, len(tables) + 1)]
    aligned = [
        tables[0],
        *[_like(tables[0], t, names[0], n) for t, n in zip(tables[1:], names[1:], strict=True)],
    ]
    known = [table.groups for table in aligned if table.groups is not None]
    # the tables of runs of earlier versions do not know the groups, those of others may
    return [replace(t, groups=known[0]) if known and t.groups is None else t for t in aligned]


def with_classes(table: PredictionTable, classes: np.ndarray) -> PredictionTable:
    """The table with its columns in the order of ``classes``.

    Raises:
        EnsembleError: it has other classes.
    """
    columns = _order(classes, table.classes, "what was fitted", "the table", "class")
    if columns is None:
        return table
    return replace(
        table,
        classes=classes,
        labels=np.argsort(columns)[table.labels],
        probabilities=table.probabilities[:, columns],
    )


def _like(first: PredictionTable, other: PredictionTable, a: str, b: str) -> PredictionTable:
    """``other`` in the order of ``first``."""
    if first.split != other.split:
        raise EnsembleError(
            f"{a} and {b} do not go together: the first is of split {first.split!r}, the second "
            f"of {other.split!r}"
        )
    columns = _order(first.classes, other.classes, a, b, "class")
    rows = _order(first.ids, other.ids, a, b, "sample")
    if first.fingerprint != other.fingerprint:
        raise EnsembleError(
            f"{a} and {b} do not go together: they are of different data (fingerprint "
            f"{first.fingerprint[:12]!r} and {other.fingerprint[:12]!r}): train both on the same"
        )
    if rows is None and columns is None:
        same, aligned = other.labels, other
    else:
        rows = np.arange(len(other)) if rows is None else rows
        columns = np.arange(len(other.classes)) if columns is None else columns
        same = np.argsort(columns)[other.labels[rows]]
        aligned = replace(
            first,
            labels=same,
            probabilities=other.probabilities[np.ix_(rows, columns)],
            groups=None if other.groups is None else other.groups[rows],
        )
    differing = np.flatnonzero(same != first.labels)
    if len(differing):
        i = int(differing[0])
        one, two = (str(first.classes[t[i]]) for t in (first.labels, same))
        raise EnsembleError(
            f"{a} and {b} do not go together: they label {len(differing)} "
            f"sample{_plural('sample', len(differing))} differently, the first is "
            f"{str(first.ids[i])!r}: {one!r} and {two!r}"
        )
    return aligned


def _order(wanted: np.ndarray, given: np.ndarray, a: str, b: str, what: str) -> np.ndarray | None:
    """Places of the wanted names among the given ones; None if they are the same already."""
    if np.array_equal(wanted, given):
        return None
    for names, others, who, whom in ((wanted, given, a, b), (given, wanted, b, a)):
        extra = np.setdiff1d(names, others)
        if len(extra):
            raise EnsembleError(
                f"{a} and {b} do not go together: {who} has {len(extra)} {what}"
                f"{_plural(what, len(extra))} that {whom} has not, the first is {str(extra[0])!r}"
            )
    order = np.argsort(given)
    return np.asarray(order[np.searchsorted(given, wanted, sorter=order)])


def _plural(what: str, count: int) -> str:
    return "" if count == 1 else "es" if what.endswith("s") else "s"
