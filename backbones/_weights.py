"""Weights are a source, not a download: find them, check them, or say what else would do."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from backbones._errors import BackboneError

if TYPE_CHECKING:
    import keras

    from backbones._registry import Spec


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


def verify(path: Path, sha256: str) -> None:
    """Check a file whose content is known.

    Raises:
        BackboneError: the content differs.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise BackboneError(
            f"weights file {path} is damaged or not the published one: its SHA-256 is "
            f"{found[:16]}..., expected {sha256[:16]}..."
        )


def from_applications(
    spec: Spec, weights: str, construct: Callable[[str | None], keras.Model]
) -> keras.Model:
    """A ``keras.applications`` network with the asked weights.

    Args:
        spec: the variant, for messages.
        weights: ``imagenet``, ``none`` or a path to weights without top.
        construct: calls the application with its ``weights`` argument.

    Raises:
        BackboneError: the download failed, or the file is of another architecture.
    """
    if weights == "none":
        return construct(None)
    if weights != "imagenet":
        model = construct(None)
        load_keras_weights(spec, model, weights_file(weights))
        return model
    try:
        return construct("imagenet")
    except Exception as error:  # urllib, sockets, h5py and keras each raise their own
        reason = str(error).split(" -- ")[-1].splitlines()[0] if str(error) else repr(error)
        raise BackboneError(
            f"the ImageNet weights of {spec.name} could not be fetched ({reason}): give a file "
            f"(--weights FILE), train from scratch (--weights none), or use efficientnet-lite0, "
            f"whose weights come with pip"
        ) from error


def load_keras_weights(spec: Spec, model: keras.Model, path: Path) -> None:
    """Load a Keras ``.h5`` or ``.weights.h5`` file into a model of the same architecture.

    Raises:
        BackboneError: not a weights file, or of another architecture.
    """
    if path.suffix not in {".h5", ".keras"}:
        raise BackboneError(
            f"weights file {path} of {spec.name} must end in .h5 or .weights.h5 (Keras)"
        )
    try:
        with warnings.catch_warnings():  # of all that does not fit; the error below says it once
            warnings.simplefilter("ignore")
            model.load_weights(path)
    except Exception as error:  # h5py and keras raise OSError, ValueError, KeyError...
        first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise BackboneError(
            f"weights file {path} does not fit {spec.name} without its top: {first[:300]}"
        ) from error
