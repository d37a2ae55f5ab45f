"""The prediction table: what a classifier said about which samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensembles._errors import EnsembleError

_FIELDS = ("ids", "labels", "probabilities", "classes", "split", "fingerprint")


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

    Raises:
        EnsembleError: shapes that do not fit, repeated ids, or values that are no probabilities.
    """

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    classes: np.ndarray
    split: str
    fingerprint: str

    def __post_init__(self) -> None:
        if (self.ids.ndim, self.classes.ndim) != (1, 1):
            raise EnsembleError("a prediction table needs one id a sample and one name a class")
        if self.labels.dtype.kind not in "iu" or self.probabilities.dtype.kind != "f":
            raise EnsembleError(
                f"a prediction table needs whole numbers as labels and floating-point "
                f"probabilities, not {self.labels.dtype} and {self.probabilities.dtype}"
            )
        n, k = len(self.ids), len(self.classes)
        if self.probabilities.shape != (n, k) or self.labels.shape != (n,):
            raise EnsembleError(
                f"a prediction table of {n} samples and {k} classes needs probabilities of shape "
                f"({n}, {k}) and {n} labels, not {self.probabilities.shape} and {self.labels.shape}"
            )
        if len(np.unique(self.ids)) < n:
            raise EnsembleError("a prediction table lists a sample more than once: keep one row")
        if n and not 0 <= self.labels.min() <= self.labels.max() < k:
            raise EnsembleError(f"labels of a prediction table must be in 0..{k - 1}")
        p = self.probabilities
        if not np.isfinite(p).all() or (p < 0).any() or (abs(p.sum(axis=1) - 1) > 1e-3).any():
            raise EnsembleError("probabilities must be finite, not negative, and sum to 1 in a row")

    def __len__(self) -> int:
        return len(self.ids)

    def save(self, path: Path) -> None:
        """Write as ``.npz`` without pickle."""
        np.savez_compressed(
            path,
            ids=np.asarray(self.ids, dtype=np.str_),
            labels=self.labels.astype(np.int64),
            probabilities=self.probabilities.astype(np.float32),
            classes=np.asarray(self.classes, dtype=np.str_),
            split=np.str_(self.split),
            fingerprint=np.str_(self.fingerprint),
        )

    @classmethod
    def load(cls, path: Path) -> PredictionTable:
        """Read what :meth:`save` wrote; nothing is unpickled.

        Raises:
            EnsembleError: missing, damaged, or holding objects.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                values = {name: stored[name] for name in _FIELDS}
            split, fingerprint = (str(values.pop(name)) for name in ("split", "fingerprint"))
            return cls(**values, split=split, fingerprint=fingerprint)
        except FileNotFoundError:
            raise EnsembleError(f"there is no prediction table {path}") from None
        except Exception as error:  # zipfile, zlib and numpy raise nearly anything on damage
            raise EnsembleError(f"prediction table {path} is damaged: {error}") from error
