"""Do the images have the value range and channel order that the pretrained weights expect?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.diagnosis.evidence import SEED, Evidence
from zoo.diagnosis.finding import NO_FEATURES, NOT_APPLICABLE, Finding, Outcome, outcome, unknown

if TYPE_CHECKING:
    import keras

_SAMPLE = 128  # images
_ROUNDS = 200  # of the bootstrap
_FAR = 0.6  # measured: 0.03 to 0.45 for images of all kinds, 0.79 to 0.85 if divided by 255
_FACTOR = 1.15  # measured: at most 1.09 with the correct channel order
_GREY = 1.0  # mean difference of red and blue below which images count as grey


def check_input(evidence: Evidence) -> Outcome:
    """Compare the activations of the frozen backbone with those of its pretraining.

    Every batch normalization keeps the mean and variance of its input on the pretraining images.
    The divergence of these images from them, in the lower layers, measures the domain shift; if it
    is smaller with red and blue swapped, the channels are swapped (statistics of Li et al. 2016,
    arXiv 1603.04779).
    """
    if evidence.settings.weights == "none":
        return unknown("input", "random weights expect no value range", NO_FEATURES)
    model = evidence.backbone.model
    layers = normalizations(model)
    if len(layers) < 2:
        why = "the backbone has no batch normalization to compare with"
        return unknown("input", why, NOT_APPLICABLE)
    rng = np.random.default_rng(SEED)
    rows = rng.permutation(evidence.one_of_each_group(evidence.not_test))[:_SAMPLE]
    pixels = evidence.prepared.pixels[evidence.prepared.rows[np.sort(rows)]].astype(np.float32)
    given = DomainShift(model, layers, pixels)
    far = given()
    says = f"domain shift of the lower layers from pretraining {far:.2f} (below {_FAR:g} is usual)"
    if far > _FAR:
        return outcome("input", says, [_wrong_range(pixels, far)])
    if float(np.abs(pixels[..., 0] - pixels[..., 2]).mean()) < _GREY:
        return outcome(
            "input", f"{says}; images are grey, so the channel order does not matter", []
        )
    swapped = DomainShift(model, layers, pixels[..., ::-1])
    ratio, low = _ratio(given, swapped)
    says += f", {swapped():.2f} with red and blue swapped"
    return outcome("input", says, [_swapped(says, ratio, low)] if low > _FACTOR else [])


def normalizations(model: keras.Model) -> list[Any]:
    """The lowest eighth of a network's batch normalizations, at least three where it has them."""
    import keras

    found = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    return found[: max(3, len(found) // 8)]


class DomainShift:
    """How much activations of images differ from those of pretraining.

    Args:
        model: the pretrained backbone.
        layers: its batch normalizations to look at.
        pixels: float32 of shape (n, size, size, 3) in 0..255.
    """

    def __init__(self, model: keras.Model, layers: list[Any], pixels: np.ndarray) -> None:
        import keras
        from keras import ops

        moments = []
        for layer in layers:
            axes = list(range(1, len(layer.input.shape) - 1))
            moments += [ops.mean(layer.input, axes), ops.mean(ops.square(layer.input), axes)]
        parts = keras.Model(model.inputs, moments).predict(pixels, batch_size=32, verbose=0)
        self._first = [np.asarray(part, np.float64) for part in parts[::2]]
        self._second = [np.asarray(part, np.float64) for part in parts[1::2]]
        self._mean = [np.asarray(layer.moving_mean, np.float64) for layer in layers]
        self._variance = [
            np.asarray(layer.moving_variance, np.float64) + layer.epsilon for layer in layers
        ]
        self.count = len(pixels)

    def __call__(self, weights: np.ndarray | None = None) -> float:
        """Mean of log(1 + Kullback-Leibler divergence) over channels, then over layers.

        Args:
            weights: float64 of shape (n,), how much each image counts, sum 1; equally if None.
        """
        w = np.full(self.count, 1 / self.count) if weights is None else weights
        far = []
        for first, second, mean, variance in zip(
            self._first, self._second, self._mean, self._variance, strict=True
        ):
            m = w @ first
            ratio = np.maximum(w @ second - m**2, 0) / variance + 1e-6
            divergence = 0.5 * (ratio + (m - mean) ** 2 / variance - 1 - np.log(ratio))
            far.append(float(np.log1p(np.maximum(divergence, 0)).mean()))
        return float(np.mean(far))


def _ratio(given: DomainShift, swapped: DomainShift) -> tuple[float, float]:
    """Ratio of domain shift as given to that with channels swapped, and its lower bound.

    A paired bootstrap over the images (Efron 1979).
    """
    rng = np.random.default_rng(SEED)
    draws = rng.multinomial(given.count, np.full(given.count, 1 / given.count), _ROUNDS)
    ratios = [given(w / given.count) / swapped(w / given.count) for w in draws]
    return given() / swapped(), float(np.quantile(ratios, 0.025))


def _wrong_range(pixels: np.ndarray, far: float) -> Finding:
    return Finding(
        title="The pixel values are not in the range that the pretrained weights expect.",
        cost=1.0,
        evidence=(
            f"Values are {pixels.min():.0f} to {pixels.max():.0f} with mean {pixels.mean():.1f}; 0 "
            f"to 255 are expected.",
            f"The domain shift of the lower layers from pretraining is {far:.2f}; for images in 0 "
            f"to 255 it is below {_FAR:g}.",
        ),
        advice="Find where the images were scaled or converted, and save them with 0 to 255.",
    )


def _swapped(says: str, ratio: float, low: float) -> Finding:
    return Finding(
        title="Red and blue seem to be swapped in these images.",
        cost=0.2,
        evidence=(
            says[0].upper() + says[1:] + f": {ratio:.2f} times (at least {low:.2f} times) as much "
            f"as they are.",
        ),
        advice="Look at some of them. OpenCV reads and writes BGR: convert before saving "
        "(cv2.cvtColor with COLOR_BGR2RGB).",
    )
