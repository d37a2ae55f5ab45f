"""What a backbone is: everything known of one variant without building it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backbones._published import Published

if TYPE_CHECKING:
    import keras

Builder = Callable[["Spec", int, str, Mapping[str, Any]], "keras.Model"]
Blocks = Mapping[str, str]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Spec:
    """Everything known of one variant without building it.

    Attributes:
        name: unique name, as typed by a user.
        family: name that resolves to the family's default variant.
        input_size: side in pixels of the square input that the weights were trained with; 0 of a
            ``hub:`` module that takes any.
        min_size: smallest side the network can take.
        preprocessing: what the model does to raw RGB in 0..255 before its first layer.
        weights: where ``imagenet`` weights come from: ``pip:PACKAGE``, ``keras.applications``,
            ``hub`` for a module's own, or ``none`` for networks that are only trained from scratch.
        licence: of these weights, or of the code if there are none.
        paper: first author, year and arXiv number.
        parameters: of the backbone at its default settings, without a head.
        features: length of the feature vector; a callable where this depends on the options.
        blocks: from input to output, the name of each block that can be unfrozen and of the layer
            that ends it; a callable where this depends on the options.
        unfreeze: lowest block that is usually worth fine-tuning: where the resolution is down to a
            sixteenth, below which training is slow and the features are general.
        options: settings that only this backbone takes, with their defaults.
        default: whether the family's name means this variant.
        macs: multiply-accumulates of one image of ``input_size`` at the default settings, as
            :func:`backbones.macs` counts them; None if nobody counted.
        sizes: inputs besides ``input_size`` that make sense, in words.
        files: published ImageNet weights; the first is that of the default settings.
        fits: raises a BackboneError where a size in pixels and the options exclude each other.
    """

    name: str
    family: str
    input_size: int
    min_size: int
    preprocessing: str
    weights: str
    licence: str
    paper: str
    parameters: int
    features: int | Callable[[Options], int]
    blocks: Blocks | Callable[[Options], Blocks]
    unfreeze: str = "all"
    options: Options = field(default_factory=dict)
    default: bool = False
    macs: int | None = None
    sizes: str = ""
    files: tuple[Published, ...] = ()
    fits: Callable[[int, Options], None] | None = None

    def blocks_for(self, options: Options) -> Blocks:
        """Blocks of the network that these options give."""
        return self.blocks(options) if callable(self.blocks) else self.blocks

    def features_for(self, options: Options) -> int:
        """Length of the feature vector that these options give."""
        return self.features(options) if callable(self.features) else self.features

    def file_for(self, size: int, options: Options) -> Published | None:
        """Published weights for these options: trained at this size, else at ``input_size``."""
        fitting = [f for f in self.files if all(options[k] == v for k, v in f.options.items())]
        at = {f.size or self.input_size: f for f in fitting}
        return at.get(size) or at.get(self.input_size)

    def words_for(self, file: Published) -> str:
        """What names one of the published files on a command line: ``NAME --width 0.5``."""
        words = [self.name]
        for name, value in file.options.items():
            words += [f"--{name} {value:g}"] if value != self.options[name] else []
        words += [f"--size {file.size}"] if file.size not in {None, self.input_size} else []
        return " ".join(words)
