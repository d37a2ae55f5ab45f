"""Any image feature vector of TF Hub, or another SavedModel, as a trainable layer of Keras 3.

``hub.KerasLayer`` is a layer of Keras 2, which models of Keras 3 refuse (tensorflow/hub issues 920
and 930), and what ``tensorflow_hub.load`` gives has variables that Keras does not see: nothing of
it would be trained or saved. :class:`HubModule` shares its variables with Keras and carries the
graph along in ``model.keras``.

A saved model with such a layer needs this module to be imported before it is loaded; ``zoo`` does.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from backbones import _hub_source
from backbones._errors import BackboneError
from backbones._saved_model import SavedModel, Signature
from backbones._spec import Spec

_LAYER = "module"
_Variables = list[tuple[str, list[int], str, bool]]


class HubPart(keras.layers.Layer):
    """Variables of a module that lie at about the same depth; the module computes with them.

    Args:
        specs: name, shape, dtype and trainability of each.
        name: of the part.
    """

    def __init__(self, specs: _Variables, name: str) -> None:
        super().__init__(name=name, dtype="float32")
        self._specs = specs
        self.owned: list[keras.Variable] = []

    def build(self, input_shape: Any = None) -> None:
        """Make a Keras variable for each; it gets its value from the module."""
        for name, shape, dtype, trainable in self._specs:
            self.owned.append(
                self.add_weight(
                    shape=tuple(shape),
                    initializer="zeros",
                    dtype=dtype,
                    trainable=trainable,
                    autocast=False,
                    name=name,
                )
            )
        self.built = True

    def kept_variables(self) -> list[keras.Variable]:
        """Those that fine-tuning leaves alone: of batch normalization, and depthwise kernels.

        What belongs to batch normalization is told by the moving statistics beside it.
        """
        moving = {"moving_mean", "moving_variance"}
        places = [v.name.rpartition(".")[0] for v in self.owned if v.name.split(".")[-1] in moving]
        return [
            v
            for v in self.owned
            if v.name.rpartition(".")[0] in places or "depthwise" in v.name.lower()
        ]


@keras.saving.register_keras_serializable(package="zoo")
class HubModule(keras.layers.Layer):
    """A SavedModel from RGB in 0..255, shape (n, size, size, 3), to features, shape (n, features).

    It runs in inference mode, so that batch statistics stay as they are, while gradients reach its
    trainable variables. Scaling to the module's pixel values and averaging of a feature map are
    part of it. It computes in float32 under any policy.

    Attributes:
        parts: name to layer of each part, from input to output; they hold the variables.

    Args:
        source: name of the module, for messages.
        sha256: over the files of the SavedModel.
        input_range: pixel values that the module takes, a key of ``_hub_source.RANGES``.
        image_dtype: dtype of its images.
        features: length of the feature vector.
        is_map: whether it gives a map of features, to be averaged over its positions.
        variables: for each part, the name, shape, dtype and trainability of its variables.
        **kwargs: of every layer.
    """

    def __init__(
        self,
        *,
        source: str,
        sha256: str,
        input_range: str,
        image_dtype: str,
        features: int,
        is_map: bool,
        variables: list[_Variables],
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.sha256 = sha256
        self._config: dict[str, Any] = {
            "source": source,
            "sha256": sha256,
            "input_range": input_range,
            "image_dtype": image_dtype,
            "features": features,
            "is_map": is_map,
            "variables": variables,
        }
        names = [f"part{i}" for i in range(1, len(variables) + 1)]
        self.parts = {n: HubPart(specs, n) for n, specs in zip(names, variables, strict=True)}
        self._files: dict[str, bytes] = {}
        self._module: SavedModel | None = None

    @classmethod
    def from_folder(cls, folder: Path, source: str, input_range: str) -> HubModule:
        """The layer of a SavedModel on disk, which is not needed afterwards.

        Raises:
            BackboneError: damaged, or not from images to features.
        """
        files = _hub_source.contents(folder)
        module = SavedModel(folder, source)
        specs = [
            (_plain(v.name), list(v.shape), v.dtype.name, trainable)
            for v, trainable in zip(module.variables, module.trainable, strict=True)
        ]
        layer = cls(
            source=source,
            sha256=_hub_source.fingerprint(files),
            input_range=input_range,
            image_dtype=module.signature.dtype,
            features=module.signature.features,
            is_map=module.signature.is_map,
            variables=[[specs[i] for i in part] for part in module.parts()],
            name=_LAYER,
        )
        layer.build()
        layer._bind(module, files)
        return layer

    @property
    def fingerprint(self) -> str:
        """What decides the features besides the values of the variables."""
        return f"{self.sha256} {self._config['input_range']}"

    def build(self, input_shape: Any = None) -> None:
        """Make the variables of all parts."""
        for part in self.parts.values():
            part.build()
        self.built = True

    def _owned(self) -> list[keras.Variable]:
        return [variable for part in self.parts.values() for variable in part.owned]

    def _bind(self, module: SavedModel, files: dict[str, bytes]) -> None:
        """Let Keras's variables and the module's be the same ones from now on."""
        for owned, variable in zip(self._owned(), module.variables, strict=True):
            owned._value = variable  # the public ways would copy it
        self._module, self._files = module, files

    def call(self, images: Any) -> Any:
        """Features, float32 of shape (n, features), of RGB in 0..255."""
        import tensorflow as tf

        if self._module is None:
            raise BackboneError(
                f"this copy of {self._config['source']} has no graph: load it from a .keras file, "
                f"or build it from its source"
            )
        factor, offset = _hub_source.RANGES[self._config["input_range"]]
        x, dtype = images * factor + offset, self._config["image_dtype"]
        x = tf.saturate_cast(tf.round(x), dtype) if dtype == "uint8" else tf.cast(x, dtype)
        features = tf.cast(self._module(x), tf.float32)
        if self._config["is_map"]:
            features = tf.reduce_mean(features, axis=(1, 2))
        return tf.ensure_shape(features, (None, self._config["features"]))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, int]:
        """(n, features), known without the graph."""
        return (input_shape[0], self._config["features"])

    def get_config(self) -> dict[str, Any]:
        """What the layer is made anew from; the graph travels beside it."""
        return {**super().get_config(), **self._config}

    def save_assets(self, folder: str) -> None:
        """Write the SavedModel into the model's file."""
        for name, content in self._files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def load_assets(self, folder: str) -> None:
        """Load the SavedModel, and give it the values that Keras has restored before."""
        files = _hub_source.contents(Path(folder))
        if _hub_source.fingerprint(files) != self.sha256:
            raise BackboneError(f"the graph of {self._config['source']} in this file is damaged")
        module = SavedModel(Path(folder), self._config["source"])
        for owned, variable in zip(self._owned(), module.variables, strict=True):
            variable.assign(owned.value)
        self._bind(module, files)


def spec(name: str) -> Spec:
    """What is known of a module: its signature and variables.

    Raises:
        BackboneError: it cannot be loaded, or is not from images to features.
    """
    name = _hub_source.full_name(name)
    folder = _hub_source.locate(name)
    return _spec(name, folder, _hub_source.stamp(folder))


@functools.lru_cache(maxsize=8)
def _spec(name: str, folder: Path, _stamp: object) -> Spec:
    module = SavedModel(folder, name)
    count = len(module.parts()) if any(module.trainable) else 0
    return Spec(
        name=name,
        family="hub",
        input_size=module.signature.size,
        min_size=module.signature.size or 1,
        preprocessing="by --input-range",
        weights="hub",
        licence="see its source",
        paper="see its source",
        parameters=module.parameters,
        features=module.signature.features,
        blocks={f"part{i}": _LAYER for i in range(1, count + 1)},
        unfreeze=f"part{count // 2 + 1}" if count else "none",
        options={"input_range": _usual_range(name, folder, module.signature)},
        default=True,
    )


def _usual_range(name: str, folder: Path, signature: Signature) -> str | None:
    """Pixel values that a module takes, where that is known.

    Images are RGB in 0..1 by the common signatures of TF Hub
    (tensorflow.org/hub/common_signatures/images); uint8 can only be 0..255.
    """
    if signature.dtype == "uint8":
        return "0..255"
    return "0..1" if _hub_source.is_url(name) or (folder / "tfhub_module.pb").is_file() else None


def build(spec: Spec, size: int, weights: str, options: Mapping[str, Any]) -> keras.Model:
    """The module as a ``keras.Model`` from RGB in 0..255 to features."""
    folder = _hub_source.locate(spec.name)
    layer = HubModule.from_folder(folder, spec.name, options["input_range"])
    rgb = keras.Input((size, size, 3), name="rgb")
    model = keras.Model(rgb, layer(rgb), name="hub")
    try:
        model(keras.ops.zeros((1, size, size, 3)), training=False)
    except Exception as error:  # a foreign graph may fail in any way
        reason = " ".join(str(error).split())
        raise BackboneError(
            f"{spec.name} fails on an image of {size} px ({reason[:200]}): give another --size"
        ) from error
    return model


def _plain(name: str) -> str:
    """A variable's name as Keras allows it: ``conv/kernel:0`` becomes ``conv.kernel``."""
    return name.split(":")[0].replace("/", ".")
