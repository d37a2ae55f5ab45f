"""A map of images: those that a network finds alike lie side by side."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

MOST = 1500  # points: more take long to lay out, and hide each other
FEWEST = 5  # points of a map
_FOR_NEIGHBOURS = 30  # points from which t-SNE lays them out, and PCA below
_COMPONENTS = 50  # of PCA before t-SNE, as van der Maaten and Hinton (2008) do


def chosen_rows(n: int, seed: int = 0) -> np.ndarray:
    """Which of ``n`` images are shown: all, or a random choice of 1,500; int64, sorted."""
    if n <= MOST:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MOST, replace=False))


def layout(features: np.ndarray, seed: int = 0) -> tuple[np.ndarray, str]:
    """Features on a plane: their first principal components, laid out by t-SNE.

    t-SNE (van der Maaten and Hinton 2008) keeps neighbours together; distances between groups, and
    their sizes, mean little. Fewer than 30 images are shown by two principal components.

    Args:
        features: float32 of shape (n, d), n at least 5.
        seed: of the layout.

    Returns:
        float64 of shape (n, 2) in 0..1, and the name of the method.
    """
    # small arrays: more threads than one only wait for each other
    with threadpool_limits(1):
        return _layout(features.astype(np.float64), seed)


def _layout(features: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n, d = features.shape
    centred = features - features.mean(axis=0)
    if not centred.any():
        return np.full((n, 2), 0.5), "principal components"
    count = min(_COMPONENTS, n - 1, d)
    small = PCA(count, random_state=seed).fit_transform(centred / centred.std())
    if n < _FOR_NEIGHBOURS or count < 2:
        flat = np.hstack([small, np.zeros((n, 2))])[:, :2]
        return _unit(flat), "principal components"
    perplexity = min(30.0, (n - 1) / 3)
    near = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(small)
    return _unit(near), "t-SNE of principal components"


def _unit(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - low) / np.maximum(high - low, 1e-12))
