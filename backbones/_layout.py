"""What a weights file holds, compared with the network that shall take it.

Keras says that a file does not fit, but not where; and of a ``.weights.h5`` file that holds more
than the network needs it says nothing.
"""

from __future__ import annotations

import io
import itertools
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py
    import keras

Shape = tuple[int, ...]


def first_difference(model: keras.Model, path: Path) -> str | None:
    """The first layer that differs between a network and a Keras weights file, in words.

    Args:
        model: functional network.
        path: ``.h5`` of either format, or ``.keras``.

    Returns:
        None if all layers fit, or where the file has neither of the two layouts.

    Raises:
        OSError, KeyError, ValueError: the file is damaged or no HDF5.
    """
    import h5py

    opened: Any = path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            opened = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(opened, "r") as file:
        if any(name.startswith("layer_names") for name in file.attrs):
            return _by_order(model, file)
        return _by_class(model, file["layers"]) if "layers" in file else None


def differing(layer: keras.layers.Layer, found: list[Shape], name: str) -> str | None:
    """How the shapes stored for one layer differ from its own; None if they do not.

    Args:
        layer: of the network.
        found: shapes in the file, in the order of ``layer.weights``.
        name: of the layer in the file.
    """
    if len(found) != len(layer.weights):
        return (
            f"layer {layer.name} of the network has {len(layer.weights)} weights and {name} of "
            f"the file {len(found)}"
        )
    for weight, shape in zip(layer.weights, found, strict=True):
        if tuple(weight.shape) != shape:
            return (
                f"{weight.name} of layer {layer.name} has the shape {tuple(weight.shape)} in the "
                f"network and {shape} in the file (there of {name})"
            )
    return None


def _by_order(model: keras.Model, file: h5py.File) -> str | None:
    """Of the older format: layers with weights are matched by their order."""
    stored = []
    for name in _texts(file, "layer_names"):
        shapes = [tuple(file[name][w].shape) for w in _texts(file[name], "weight_names")]
        if shapes:
            stored.append((name, shapes))
    weighted = [layer for layer in model.layers if layer.weights]
    for layer, entry in itertools.zip_longest(weighted, stored):
        if layer is None or entry is None:
            return _surplus(layer, entry[0] if entry else "")
        if difference := differing(layer, entry[1], entry[0]):
            return difference
    return None


def _texts(group: Any, attribute: str) -> list[str]:
    """Names in an attribute, which Keras cuts into numbered parts where it is long."""
    parts = [a for a in group.attrs if re.fullmatch(rf"{attribute}\d*", a)]
    ordered = sorted(parts, key=lambda a: int(a.removeprefix(attribute) or 0))
    texts = [text for part in ordered for text in group.attrs[part]]
    return [t.decode() if isinstance(t, bytes) else str(t) for t in texts]


def _by_class(model: keras.Model, group: Any) -> str | None:
    """Of the newer format: layers are matched by their class and their number within it."""
    seen: Counter[str] = Counter()
    left = {name for name in group if len(group[name].get("vars", ()))}
    for layer in model.layers:
        kind = _snake_case(type(layer).__name__)
        name = f"{kind}_{seen[kind]}" if seen[kind] else kind
        seen[kind] += 1
        if not layer.weights:
            continue
        if name not in left:
            return _surplus(layer, "")
        left.remove(name)
        values = group[name]["vars"]
        shapes = [tuple(values[key].shape) for key in sorted(values, key=int)]
        if difference := differing(layer, shapes, name):
            return difference
    return _surplus(None, sorted(left, key=lambda n: (len(n), n))[0]) if left else None


def _surplus(layer: keras.layers.Layer | None, stored: str) -> str:
    if layer is None:
        return f"the file has a layer {stored} for which the network has none"
    return f"the file has nothing for layer {layer.name} of the network"


def _snake_case(name: str) -> str:
    """As Keras names the layers of a class: ``BatchNormalization`` to ``batch_normalization``."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
