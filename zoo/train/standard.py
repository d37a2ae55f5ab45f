"""The fixed standardization of features, which is part of the model behind the backbone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.train.arrays import Table, assembled, pieces

_PIECE = 4096  # rows
# deviations at which pooled maps are cut off. A maximum that was all but constant in the training
# images can be a thousand deviations away in another one, and the probability then 1e-12. On ELPV,
# digits and clothes any bound from 5 to 20 changed the log loss of other images by less than 0.002.
_BOUND = 10.0


@dataclass(frozen=True)
class Standard:
    """How features enter a head: as (x - mean) / scale, cut off at a bound.

    Attributes:
        mean, scale: float32 of shape (d,).
        bound: what is further from zero becomes it; infinity if nothing does.
    """

    mean: np.ndarray
    scale: np.ndarray
    bound: float = np.inf

    @classmethod
    def of(cls, features: Table, own: int | None = None) -> Standard:
        """That of training images.

        A network's own features have one scale for all, because those that vary more also matter
        more: a scale for each was measured to cost 0.02 to 0.03 of validation log loss. Pooled maps
        of earlier layers, of which mean and maximum are of another order, have a scale each, and so
        the penalty weighs every one of them like a mean feature of the network's own.

        Args:
            features: of shape (n, d).
            own: how many of them, from the left, are the network's own; all if None.
        """
        # in pieces: the whole in float64 would be the peak of a training's memory
        total = np.zeros((0, features.shape[1]))
        for piece in pieces(features):
            # row after row, whatever the pieces
            total = np.concatenate([total, piece]).sum(axis=0, dtype=np.float64, keepdims=True)
        mean = total[0] / len(features)
        own = len(mean) if own is None else own
        squares, centred = 0.0, np.empty((min(_PIECE, len(features)), len(mean)))
        by_feature = np.zeros(len(mean) - own)
        for start in range(0, len(features), _PIECE):
            piece = features[start : start + _PIECE]
            part = np.subtract(piece, mean, out=centred[: len(piece)])
            squares += float(np.vdot(part[:, :own], part[:, :own]))
            by_feature += np.einsum("nd,nd->d", part[:, own:], part[:, own:])
        one = max((squares / (len(features) * own)) ** 0.5, 1e-6)
        scale = np.full(len(mean), one, np.float32)
        scale[own:] = _scales(np.sqrt(by_feature / len(features)))
        return cls(mean.astype(np.float32), scale, _BOUND if own < len(mean) else np.inf)

    def apply(self, features: Table) -> np.ndarray:
        """The features as a head sees them: float32 of shape (n, d), see :func:`assembled`.

        Raises:
            ZooError: there are many features, and the disk is full.
        """
        return assembled((self._of(piece) for piece in pieces(features)), features.shape)

    def _of(self, piece: np.ndarray) -> np.ndarray:
        z = (piece - self.mean) / self.scale
        return z if np.isinf(self.bound) else np.clip(z, -self.bound, self.bound, out=z)


def _scales(deviations: np.ndarray) -> np.ndarray:
    """Of features with these deviations; what is all but constant counts for nothing."""
    if not len(deviations):
        return deviations
    least = 1e-3 * float(np.sqrt(np.mean(np.square(deviations))))
    return np.where(deviations > least, np.maximum(deviations, 1e-6), 1e6)
