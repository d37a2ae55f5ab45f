"""The probe: a convex head on frozen features, fitted to its optimum in seconds.

Multinomial logistic regression on standardized features,

    mean over samples of w_i * CE(t_i, softmax(z_i W + b)) + l1 * |W|_1 + l2 * |W|_2^2,

with the same meaning of ``l1`` and ``l2`` as ``keras.regularizers.L1L2``. Minimized with L-BFGS-B;
for ``l1`` the kernel is split into positive and negative parts, which makes the problem smooth and
gives exact zeros. (Linear probing before fine-tuning: Kumar et al. 2022, arXiv 2202.10054.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

from zoo.train.arrays import Table
from zoo.train.standard import Standard

# from nearly unregularized to features all but ignored
L2_GRID = (1.0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)
_MAX_ITERATIONS = 400  # of L-BFGS, which usually ends before
_TOLERANCE = 1e-7
_LARGE = 1e9  # multiplications in a product from which threads pay


@dataclass(frozen=True)
class Head:
    """A linear head on standardized features.

    Attributes:
        standard: how features enter it, of shape (d,).
        kernel: float32 of shape (d, k).
        bias: float32 of shape (k,).
        l2: the strength it was fitted with.
        passes: times that fitting it went over the features, which is what its time depends on.
    """

    standard: Standard
    kernel: np.ndarray
    bias: np.ndarray
    l2: float
    passes: int = 0

    def logits(self, features: Table) -> np.ndarray:
        """Logits, float32 of shape (n, k), of features of shape (n, d)."""
        return self._of_standardized(self.standard.apply(features))

    def probabilities(self, features: Table) -> np.ndarray:
        """Class probabilities, float32 of shape (n, k), of features of shape (n, d)."""
        return softmax_of(self.logits(features))

    def _of_standardized(self, z: np.ndarray) -> np.ndarray:
        return z @ self.kernel + self.bias


def softmax_of(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float32 of shape (n, k)."""
    return np.exp(log_softmax(logits, axis=1)).astype(np.float32)


def soft_targets(labels: np.ndarray, classes: int, smoothing: float) -> np.ndarray:
    """One-hot labels mixed with the uniform distribution: float32 of shape (n, classes).

    Label smoothing as in Szegedy et al. 2015 (arXiv 1512.00567).
    """
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    return one_hot * (1.0 - smoothing) + smoothing / classes


def fit_head(
    features: Table,
    targets: np.ndarray,
    *,
    l1: float,
    l2: float,
    sample_weight: np.ndarray | None = None,
    start: Head | None = None,
    own: int | None = None,
) -> Head:
    """Fit a head.

    Args:
        features: float32 of shape (n, d).
        targets: float32 of shape (n, k), rows sum to one.
        l1, l2: strength of the penalties on the kernel, at least 0.
        sample_weight: float of shape (n,), mean 1; uniform if None.
        start: head to start from, for instance the next stronger ``l2``; it also gives the
            standardization.
        own: see :meth:`Standard.of`.

    Raises:
        ZooError: there are many features, and the disk is full.
    """
    standard = start.standard if start else Standard.of(features, own)
    return Problem.of(features, targets, sample_weight, standard).solved(l1, l2, start)


@dataclass(frozen=True)
class Problem:
    """What heads of any penalty are fitted to.

    Attributes:
        z: float32 of shape (n, d), standardized features.
        targets: of shape (n, k).
        weight: float32 of shape (n,), sum 1.
        standard: what ``z`` was standardized with.
    """

    z: np.ndarray
    targets: np.ndarray
    weight: np.ndarray
    standard: Standard

    @classmethod
    def of_standardized(
        cls, z: np.ndarray, targets: np.ndarray, sample_weight: np.ndarray
    ) -> Problem:
        """On features that are standardized already; weights have mean 1."""
        zeros = np.zeros(z.shape[1], np.float32)
        same = Standard(zeros, zeros + 1)
        return cls(z, targets, sample_weight.astype(np.float32) / len(z), same)

    @classmethod
    def of(
        cls,
        features: Table,
        targets: np.ndarray,
        sample_weight: np.ndarray | None,
        standard: Standard,
    ) -> Problem:
        """On features that are standardized here."""
        z = standard.apply(features)
        weight = np.ones(len(z)) if sample_weight is None else sample_weight
        return cls(z, targets, weight.astype(np.float32) / len(z), standard)

    def solved(
        self, l1: float, l2: float, start: Head | None, tolerance: float = _TOLERANCE
    ) -> Head:
        """The head of these penalties, found from another one or from zero.

        The search ends where an iteration gains less than ``tolerance`` of the loss.
        """
        shape = (self.z.shape[1], self.targets.shape[1])
        kernel = start.kernel if start else np.zeros(shape, np.float32)
        bias = start.bias if start else np.log(np.maximum(self.targets.mean(axis=0), 1e-6))
        search = _minimize_l1 if l1 > 0 else _minimize
        smooth = _objective(self.z, self.targets, self.weight, l2)
        # threads wait for each other in small products: measured sixteen times slower on a busy
        # machine
        with threadpool_limits(1 if self.z.size * self.targets.shape[1] < _LARGE else None):
            kernel, bias, passes = search(smooth, kernel, bias, l1, tolerance)
        kernel, bias = kernel.astype(np.float32), bias.astype(np.float32)
        return Head(self.standard, kernel, bias, l2, passes)


Objective = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray, np.ndarray]]


def _objective(z: np.ndarray, targets: np.ndarray, weight: np.ndarray, l2: float) -> Objective:
    """The smooth part: (kernel, bias) to value, gradient of kernel, gradient of bias."""

    def evaluate(kernel: np.ndarray, bias: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        # the products in float32, the sums that steer the search in float64
        logits = z @ kernel.astype(np.float32) + bias.astype(np.float32)
        log_p = log_softmax(logits.astype(np.float64), axis=1)
        value = -float(weight @ (targets * log_p).sum(axis=1)) + l2 * float((kernel**2).sum())
        residual = ((np.exp(log_p) - targets) * weight[:, None]).astype(np.float32)
        return value, z.T @ residual + 2 * l2 * kernel, residual.sum(axis=0)

    return evaluate


def _search(
    function: Callable, start: np.ndarray, tolerance: float, bounds: list | None = None
) -> tuple[np.ndarray, int]:
    """Where the function is lowest, and how often it was asked."""
    # takes a tenth of a second, for which no wrong line must wait
    from scipy.optimize import minimize

    options = {"maxiter": _MAX_ITERATIONS, "maxcor": 20, "ftol": tolerance, "gtol": 1e-5}
    found = minimize(function, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x, int(found.nfev)


def _minimize(
    smooth: Objective, kernel: np.ndarray, bias: np.ndarray, _l1: float, tolerance: float
) -> tuple[np.ndarray, np.ndarray, int]:
    size = kernel.size

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, dk, db = smooth(x[:size].reshape(kernel.shape), x[size:])
        return value, np.concatenate([dk.ravel(), db]).astype(np.float64)

    x, passes = _search(
        function, np.concatenate([kernel.ravel(), bias]).astype(np.float64), tolerance
    )
    return x[:size].reshape(kernel.shape), x[size:], passes


def _minimize_l1(
    smooth: Objective, kernel: np.ndarray, bias: np.ndarray, l1: float, tolerance: float
) -> tuple[np.ndarray, np.ndarray, int]:
    size = kernel.size

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        up, down = x[:size], x[size : 2 * size]
        value, dk, db = smooth((up - down).reshape(kernel.shape), x[2 * size :])
        dk = dk.ravel()
        total = value + l1 * float(up.sum() + down.sum())
        return total, np.concatenate([dk + l1, l1 - dk, db]).astype(np.float64)

    flat = kernel.ravel()
    start = np.concatenate([np.maximum(flat, 0), np.maximum(-flat, 0), bias]).astype(np.float64)
    bounds = [(0, None)] * (2 * size) + [(None, None)] * bias.size
    x, passes = _search(function, start, tolerance, bounds)
    return (x[:size] - x[size : 2 * size]).reshape(kernel.shape), x[2 * size :], passes


def choose_head(
    train: tuple[Table, np.ndarray],
    val: tuple[Table, np.ndarray],
    *,
    l1: float,
    sample_weight: np.ndarray | None = None,
    own: int | None = None,
) -> tuple[Head, list[tuple[float, float]]]:
    """Fit heads from strong to weak ``l2``, each starting from the last; keep the best on val.

    Args:
        train: features (n, d) and soft targets (n, k).
        val: features (m, d) and integer labels (m,).
        l1: strength of the other penalty.
        sample_weight: of the training samples.
        own: see :meth:`Standard.of`.

    Returns:
        The head of lowest validation log loss, with the passes of all that were tried, and (l2,
        validation log loss) of these.

    Raises:
        ZooError: there are many features, and the disk is full.
    """
    standard = Standard.of(train[0], own)
    problem = Problem.of(*train, sample_weight, standard)
    judged = standard.apply(val[0])
    tried: list[tuple[float, float]] = []
    best = head = None
    passes = 0
    rows = np.arange(len(val[1]))
    for l2 in L2_GRID:
        head = problem.solved(l1, l2, start=head)
        passes += head.passes
        p = softmax_of(head._of_standardized(judged))[rows, val[1]]
        tried.append((l2, float(-np.log(np.maximum(p, 1e-12)).mean())))
        if tried[-1][1] <= min(loss for _, loss in tried):
            best = head
        elif tried[-1][1] > 1.02 * min(loss for _, loss in tried):
            break  # along the path the loss falls and then rises; this is the rise
    assert best is not None
    return replace(best, passes=passes), tried
