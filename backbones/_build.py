"""Build a backbone, and cut or freeze it at the edge of a block.

This is what a caller uses; the families' own modules only say what a network is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backbones import _hub_source, _registry
from backbones._errors import BackboneError
from backbones._spec import Spec

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Backbone:
    """A built backbone.

    Attributes:
        spec: what it is.
        model: ``keras.Model`` from RGB in 0..255, shape (n, size, size, 3), to features, shape
            (n, features), float32 in any precision.
        size: side of the input in pixels.
        blocks: block name to the name of the layer that ends it, from input to output.
        digest: SHA-256 over all weights as they were loaded, or None when drawn at random.
    """

    spec: Spec
    model: keras.Model
    size: int
    blocks: Mapping[str, str]
    digest: str | None

    def upper_blocks(self, depth: str) -> list[str]:
        """Names of the blocks from ``depth`` upwards.

        Args:
            depth: ``all``, ``none``, a number of blocks counted from the output, or a block's name.

        Raises:
            BackboneError: no such block.
        """
        return upper_blocks(self.spec.name, self.blocks, depth)

    def layers_of(self, block: str) -> list[keras.layers.Layer]:
        """Layers between the end of the block below and the end of this one.

        Of a module of TF Hub, the layer that holds the variables of this part.
        """
        import keras

        module = getattr(self.model.get_layer(self.blocks[block]), "parts", None)
        if module:
            return [module[block]]
        names = list(self.blocks)
        upto = keras.Model(self.model.inputs[0], self._end(block)).layers
        if block == names[0]:
            return list(upto)
        below = keras.Model(self.model.inputs[0], self._end(names[names.index(block) - 1])).layers
        known = {layer.name for layer in below}
        return [layer for layer in upto if layer.name not in known]

    def _end(self, block: str) -> Any:
        return self.model.get_layer(self.blocks[block]).output


def upper_blocks(name: str, blocks: Mapping[str, str], depth: str) -> list[str]:
    """Names of the blocks from ``depth`` upwards; see :meth:`Backbone.upper_blocks`."""
    names = list(blocks)
    if not names and depth != "none":
        raise BackboneError(
            f"{name} has no trainable variables and serves as a frozen backbone only: use "
            f"--unfreeze none"
        )
    if depth == "all":
        return names
    if depth == "none":
        return []
    if depth.isdecimal() and 0 < int(depth) <= len(names):
        return names[-int(depth) :]
    if depth in names:
        return names[names.index(depth) :]
    raise BackboneError(
        f"{name} has no block {depth!r} to unfreeze from: give all, none, a number of upper "
        f"blocks up to {len(names)}, or one of {', '.join(names)}"
    )


def weights_digest(model: keras.Model) -> str:
    """SHA-256 over the values of all weights, in the model's order, and over a module's graph."""
    digest = hashlib.sha256()
    for layer in model.layers:
        digest.update(getattr(layer, "fingerprint", "").encode())
    for variable in model.weights:
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def check(
    name: str,
    *,
    size: int | None = None,
    weights: str = "imagenet",
    options: Mapping[str, Any] | None = None,
) -> tuple[Spec, int, dict[str, Any]]:
    """What :func:`build` would build, checked without importing Keras (but for ``hub:`` names).

    Returns:
        The spec, the input size in pixels and the complete options.

    Raises:
        BackboneError: unknown name, too small an input, unknown option, ``imagenet`` weights
            if there are none, or none for these options, or something that a ``hub:`` module
            does not tell.
    """
    spec = _registry.get(name)
    if spec.name.startswith(_hub_source.PREFIX):
        _hub_source.check(spec, size, weights, options or {})
    size = spec.input_size if size is None else size
    if size < spec.min_size:
        raise BackboneError(
            f"{spec.name} takes images of at least {spec.min_size} px, not {size}: "
            f"its usual size is {spec.input_size}"
        )
    unknown = sorted(set(options or {}) - set(spec.options))
    if unknown:
        raise BackboneError(f"{spec.name} has no setting {unknown[0]!r}")
    if weights == "imagenet" and spec.weights == "none":
        raise BackboneError(f"{spec.name} has no ImageNet weights: use --weights none")
    complete = {**spec.options, **(options or {})}
    if spec.fits:
        spec.fits(size, complete)
    if weights == "imagenet" and spec.files and spec.file_for(size, complete) is None:
        raise BackboneError(_no_weights_for(spec, complete))
    return spec, size, complete


def _no_weights_for(spec: Spec, options: Mapping[str, Any]) -> str:
    """One sentence: the options of which there are ImageNet weights."""
    there: dict[str, set[float]] = {}
    for file in spec.files:
        for name, value in file.options.items():
            there.setdefault(name, set()).add(value)
    missing = [n for n in there if options[n] not in there[n]]
    if not missing:
        return f"there are no ImageNet weights of {spec.name} at this size: use --weights none"
    name = missing[0]
    return (
        f"there are no ImageNet weights of {spec.name} with {name} {options[name]:g}: use one of "
        f"{', '.join(f'{value:g}' for value in sorted(there[name]))}, or --weights none"
    )


def build(
    name: str,
    *,
    size: int | None = None,
    weights: str = "imagenet",
    options: Mapping[str, Any] | None = None,
) -> Backbone:
    """Build a registered backbone with its weights.

    Args:
        name: variant or family; or ``hub:`` and the URL, folder or archive of a module.
        size: side of the input in pixels; the variant's own if None.
        weights: ``imagenet``, ``none`` (random, from Keras's seed), or the path of a file.
        options: settings of this backbone, as in ``spec.options``.

    Raises:
        BackboneError: see :func:`check`; also weights that cannot be loaded or do not fit.
    """
    spec, size, complete = check(name, size=size, weights=weights, options=options)
    model = _registry.builder(spec.name)(spec, size, weights, complete)
    if weights == "none":
        _shorten_batch_norm_memory(model)
    digest = None if weights == "none" else weights_digest(model)
    broken = [v.path for v in model.weights if not np.isfinite(v.numpy()).all()]
    if broken:
        raise BackboneError(
            f"the weights {weights} of {spec.name} are damaged: {broken[0]} is not finite; "
            f"give others"
        )
    return Backbone(spec, model, size, spec.blocks_for(complete), digest)


def _shorten_batch_norm_memory(model: keras.Model) -> None:
    """Let the statistics of batch normalization follow within some tens of steps.

    The momentum of up to 0.999 that networks bring from ImageNet needs thousands; a small folder
    gives a few hundred, after which a network that has learned would still be judged by statistics
    that are near their initial ones.
    """
    from keras import layers

    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = min(layer.momentum, 0.9)
