"""Exported models, asked by the runtimes of their formats: nothing of zoo's training is used."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.exporting.formats import FILES, PIXELS


class Runtime(NamedTuple):
    """A loaded model.

    Attributes:
        name: of the runtime, with its version.
        ask: from a kind of input and a batch of it (contents of files, or uint8 RGB of shape
            (n, h, w, 3)) to probabilities, float32 of shape (n, k).
        most: images that it takes at once.
    """

    name: str
    ask: Callable[[str, Any], np.ndarray]
    most: int = 32


def load(form: str, path: Path) -> Runtime:
    """Load an exported model.

    Args:
        form: name of the format.
        path: the file, or the folder of a SavedModel.
    """
    return _LOADERS[form](path)


def _savedmodel(path: Path) -> Runtime:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signatures = loaded.signatures  # without `loaded` they would lose their variables

    def ask(kind: str, batch: Any) -> np.ndarray:
        if kind == FILES:
            found = signatures["serving_default"](image_bytes=tf.constant(batch))
        else:
            found = signatures[PIXELS](images=tf.constant(batch))
        return np.asarray(found["probabilities"])

    ask.loaded = loaded  # type: ignore[attr-defined]
    return Runtime(f"tensorflow {version('tensorflow')}", ask)


def _onnx(path: Path) -> Runtime:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return Runtime(
        f"onnxruntime {onnxruntime.__version__}",
        lambda _, batch: np.asarray(session.run(["probabilities"], {"images": batch})[0]),
    )


def _openvino(path: Path) -> Runtime:
    import openvino

    # its default of bfloat16 on newer processors changes probabilities by up to 0.6
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", exact)
    return Runtime(
        f"openvino {version('openvino')}",
        lambda _, batch: np.asarray(compiled({"images": batch})[compiled.outputs[0]]),
    )


def _litert(path: Path) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def ask(_: str, batch: Any) -> np.ndarray:
        interpreter.set_tensor(into["index"], batch.astype(into["dtype"]))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(out["index"]))

    return Runtime(f"ai-edge-litert {version('ai-edge-litert')}", ask, most=1)


def _keras(path: Path) -> Runtime:
    import importlib

    import keras

    importlib.import_module("backbones.hub_layer")  # for runs of TF Hub's modules
    model = keras.models.load_model(path)
    return Runtime(
        f"keras {keras.__version__}",
        lambda _, batch: np.asarray(model.predict_on_batch(batch.astype(np.float32))),
    )


_LOADERS: dict[str, Callable[[Path], Runtime]] = {
    "savedmodel": _savedmodel,
    "onnx": _onnx,
    "openvino": _openvino,
    "litert": _litert,
    "keras": _keras,
}
