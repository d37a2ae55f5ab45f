"""Is one image an altered copy of another: rotated, shifted, cropped, stretched or mirrored?

The second is laid over the first (image registration: all rotations, scales and shifts of a grid at
32 pixels by cross-correlation, then least squares after Lucas and Kanade 1981 for an affine map, a
gain and an offset), and both are compared where they overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 96  # pixels of the images that are compared
_COARSE = 32  # pixels of the search
_ANGLES = (-20, -15, -10, -5, 0, 5, 10, 15, 20)  # degrees
_SCALES = (0.8, 0.9, 1.0, 1.11, 1.25)
_STARTS = 4  # best places of the search that are refined
_STEPS = (12, 8)  # of least squares, at 32 and at 96 pixels
_HOPELESS = 0.8  # correlation after the first of them below which the second is spared
_BLOCK = 8  # pixels along the side of the blocks that are compared
_RIM = 2  # pixels beside the edge of the overlap, which interpolation blurs
_SATURATED = (4.0, 251.0)  # cut off by a change of brightness, or filled in beside a turned image
_LEAST = 0.25  # of the first image that must be left to compare


@dataclass(frozen=True)
class Alignment:
    """How well the second image fits on the first.

    Attributes:
        matrix: float64 of shape (2, 3): from (row, column, 1) of the first image, in -1..1, to the
            place in the second.
        correlation: of the grey values where both overlap, -1..1.
        overlap: the share of the first image that the second covers, 0..1.
        residual: largest difference of a block of 8 x 8 of 96 x 96 pixels, in grey levels.
    """

    matrix: np.ndarray
    correlation: float
    overlap: float
    residual: float

    @property
    def moved(self) -> float:
        """How far the corners of the image moved at most, in sides of the image."""
        corners = np.array([[-1, -1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, 1]], float).T
        return float(np.abs(self.matrix @ corners - corners[:2]).max() / 2)


NOWHERE = Alignment(np.eye(2, 3), -1.0, 0.0, 255.0)


def look_at(image: Image.Image) -> np.ndarray:
    """An image in grey at 96 pixels, float32 of shape (96, 96) in 0..255."""
    smaller = min(image.size) >= SIDE
    method = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    return np.asarray(image.convert("L").resize((SIDE, SIDE), method), np.float32)


def align(first: np.ndarray, others: Sequence[np.ndarray]) -> list[Alignment]:
    """How well each of the other images fits on the first.

    Args:
        first: float32 of shape (96, 96), grey in 0..255.
        others: images of that shape.
    """
    small = _shrunk(first)
    views = _views(small)
    result = []
    for other in others:
        other_small = _shrunk(other)
        found = NOWHERE
        for start in _places(views, other_small):
            rough = _refined(small, other_small, start, _STEPS[0])
            if _compared(small, other_small, rough).correlation < _HOPELESS:
                continue
            fine = _compared(first, other, _refined(first, other, rough, _STEPS[1]))
            found = max(found, fine, key=lambda x: x.correlation)
        result.append(found)
    return result


def _shrunk(image: np.ndarray) -> np.ndarray:
    step = SIDE // _COARSE
    return image.reshape(_COARSE, step, _COARSE, step).mean(axis=(1, 3))


@cache
def _grid(side: int) -> np.ndarray:
    """Rows, columns and ones of the pixels in -1..1, of shape (3, side * side)."""
    line = (np.arange(side) * 2 + 1) / side - 1
    rows, columns = np.meshgrid(line, line, indexing="ij")
    return np.stack([rows.ravel(), columns.ravel(), np.ones(side * side)])


@cache
def _turns() -> np.ndarray:
    """Maps of the grid: mirrored or not, turned and scaled, of shape (m, 2, 2)."""
    maps = []
    for mirror in (1, -1):
        for quarter in range(4):
            for angle in _ANGLES:
                for scale in _SCALES:
                    t = np.deg2rad(angle + 90 * quarter)
                    turn = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
                    maps.append(turn @ np.diag([1, mirror]) * scale)
    return np.stack(maps)


def _sampled(image: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values at places (2, n) in -1..1, and whether those lie in the image."""
    side = len(image)
    pixels = ((places + 1) * side - 1) / 2
    inside = np.asarray(((pixels >= 0) & (pixels <= side - 1)).all(axis=0))
    values: np.ndarray = ndimage.map_coordinates(image, pixels, order=1, mode="nearest")
    return values, inside


@cache
def _window() -> np.ndarray:
    line = np.hanning(_COARSE + 2)[1:-1]
    return np.outer(line, line)


def _views(small: np.ndarray) -> np.ndarray:
    """Spectra of the image under every map of :func:`_turns`, of shape (m, 32, 17)."""
    grid = _grid(_COARSE)[:2]
    stack = np.stack([_sampled(small, turn @ grid)[0] for turn in _turns()])
    return _spectra(stack.reshape(-1, _COARSE, _COARSE))


def _spectra(images: np.ndarray) -> np.ndarray:
    """Spectra of windowed images, of length 1, large structures damped."""
    images = images - ndimage.gaussian_filter(images, (0, 4, 4))
    images = images * _window()
    images -= images.mean(axis=(1, 2), keepdims=True)
    images /= np.maximum(np.linalg.norm(images, axis=(1, 2), keepdims=True), 1e-6)
    return np.fft.rfft2(images)


def _places(views: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
    """The likeliest maps from the first image to the other, each of shape (2, 3)."""
    spectrum = _spectra(other[None])
    # peak at d: view(x) = other(x + d)
    peaks = np.fft.irfft2(np.conj(views) * spectrum, s=(_COARSE, _COARSE))
    flat = peaks.reshape(len(peaks), -1)
    best = np.argsort(-flat.max(axis=1))[:_STARTS]
    result = []
    for i in best:
        shift = np.array(np.unravel_index(flat[i].argmax(), (_COARSE, _COARSE)), float)
        shift = np.where(shift > _COARSE / 2, shift - _COARSE, shift) * 2 / _COARSE
        back = np.linalg.inv(_turns()[i])  # x in first = turn @ y; y + d in other
        result.append(np.concatenate([back, shift[:, None]], axis=1))
    return result


def _unsaturated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where neither image is black or white; everywhere if that is too little to compare."""
    low, high = _SATURATED
    kept = (a > low) & (a < high) & (b > low) & (b < high)
    return kept if kept.mean() >= _LEAST else np.ones_like(kept)


def _refined(a: np.ndarray, b: np.ndarray, matrix: np.ndarray, steps: int) -> np.ndarray:
    """The map after some steps of Gauss and Newton."""
    side = len(a)
    grid, target = _grid(side), a.ravel()
    by_row, by_column = np.gradient(b)
    for _ in range(steps):
        places = matrix @ grid
        values, inside = _sampled(b, places)
        inside &= _unsaturated(values, target)
        if inside.mean() < _LEAST:
            return matrix
        rows, columns = (_sampled(g, places)[0][inside] * side / 2 for g in (by_row, by_column))
        points, values = grid[:, inside], values[inside]
        # target = gain * b(place) + offset; the gain of the step before is good enough
        gain = np.polyfit(values, target[inside], 1)[0] if np.ptp(values) > 1 else 1.0
        design = np.concatenate(
            [gain * rows * points, gain * columns * points, values[None], np.ones((1, len(values)))]
        )
        system = design @ design.T + 1e-6 * np.eye(8) * np.trace(design @ design.T) / 8
        step = np.linalg.solve(system, design @ target[inside])[:6].reshape(2, 3)
        matrix = matrix + np.clip(step, -0.2, 0.2)
        if np.abs(step).max() < 1e-3:
            break
    return matrix


def _compared(a: np.ndarray, b: np.ndarray, matrix: np.ndarray) -> Alignment:
    """How well both agree under the map."""
    side = len(a)
    values, inside = _sampled(b, matrix @ _grid(side))
    overlap = float(inside.mean())
    inside &= _unsaturated(values, a.ravel())
    inside = ndimage.binary_erosion(inside.reshape(side, side), iterations=_RIM, border_value=1)
    kept = inside.ravel()
    x, y = values[kept], a.ravel()[kept]
    if kept.mean() < _LEAST or x.std() < 1 or y.std() < 1:
        return NOWHERE
    gain, offset = np.polyfit(x, y, 1)
    rest = np.where(kept, gain * values + offset - a.ravel(), 0.0).reshape(side, side)
    blocks = side // _BLOCK
    count = inside.reshape(blocks, _BLOCK, blocks, _BLOCK).sum(axis=(1, 3))
    total = rest.reshape(blocks, _BLOCK, blocks, _BLOCK).sum(axis=(1, 3))
    mean = np.abs(total) / np.maximum(count, 1)
    worst = float(mean[count > _BLOCK * _BLOCK / 2].max(initial=0.0))
    return Alignment(matrix, float(np.corrcoef(x, y)[0, 1]), overlap, worst)
