"""The formats: what each one takes, needs and is called, and how it is written."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ZooError, nearest
from zoo.installation import install_hint
from zoo.keras_setup import quiet_stderr

if TYPE_CHECKING:
    from zoo.exporting.graph import Graph

_OPSET = 17  # of ONNX
_IN_FLOAT = ("SOFTMAX", "LOG", "EXP", "FULLY_CONNECTED", "SUB")  # of a model of 8 bits
FILES, PIXELS, PREPARED = "files", "pixels", "prepared"


@dataclass(frozen=True)
class Format:
    """A format of exported models.

    Attributes:
        name: as it is asked for.
        file: name of what is written, a file or a folder.
        takes: kinds of input, the usual one first: ``files`` (contents of image files), ``pixels``
            (RGB of any size) or ``prepared`` (RGB as the network takes it).
        about: what it is for, in a few words.
        packages: modules that it needs beside TensorFlow.
        extra: the extra of this distribution that brings them.
    """

    name: str
    file: str
    takes: tuple[str, ...]
    about: str
    packages: tuple[str, ...] = ()
    extra: str = ""


FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Format("savedmodel", "model", (FILES, PIXELS), "TensorFlow and TF Serving"),
        Format(
            "onnx",
            "model.onnx",
            (PIXELS,),
            "ONNX Runtime, in most languages",
            ("tf2onnx", "onnx", "onnxruntime"),
            "onnx",
        ),
        Format("litert", "model.tflite", (PREPARED,), "phones", ("ai_edge_litert",), "litert"),
        Format(
            "openvino", "model.xml", (PIXELS,), "processors of Intel", ("openvino",), "openvino"
        ),
        Format("keras", "model.keras", (PREPARED,), "Keras"),
    )
}


def format_named(name: str) -> Format:
    """The format of this name, whose packages are installed.

    Raises:
        ZooError: there is no such format, or a package is missing.
    """
    found = FORMATS.get(name.lower())
    if found is None:
        hint = nearest(name, FORMATS)
        raise ZooError(f"there is no format {name!r}: {hint}")
    missing = [module for module in found.packages if importlib.util.find_spec(module) is None]
    if missing:
        raise ZooError(
            f"the format {found.name} needs {', '.join(missing)}: {install_hint(found.extra)}"
        )
    return found


@dataclass(frozen=True)
class Calibration:
    """What quantizing to 8 bits needs.

    Attributes:
        images: training images as the network takes them, uint8 of shape (n, size, size, 3).
    """

    images: np.ndarray


def write(form: Format, graph: Graph, folder: Path, int8: Calibration | None = None) -> Path:
    """Write a run in a format.

    Args:
        form: the format.
        graph: the run.
        folder: where to.
        int8: quantize to 8 bits by these images.

    Returns:
        The file, or the folder of a SavedModel.

    Raises:
        ZooError: the format cannot hold this run.
    """
    if int8 is not None and form.name != "litert":
        raise ZooError(f"--int8 is for the format litert, not {form.name}: add --format litert")
    target = folder / form.file
    with quiet_stderr():
        if form.name == "litert":
            target.write_bytes(_litert(graph, int8))
        else:
            _WRITERS[form.name](graph, target)
    return target


def _savedmodel(graph: Graph, target: Path) -> None:
    import tensorflow as tf

    labels = tf.constant(graph.run.classes)

    def answer(probabilities: Any) -> dict[str, Any]:
        return {
            "probabilities": probabilities,
            "label": tf.gather(labels, tf.argmax(probabilities, axis=1)),
        }

    # TensorFlow Serving decodes base64 for inputs whose name ends so
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def of_files(image_bytes: Any) -> dict[str, Any]:
        return answer(graph.of_files(image_bytes))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
    def of_pixels(images: Any) -> dict[str, Any]:
        return answer(graph.of_pixels(images))

    module = tf.Module()
    module.parts = graph.parts
    tf.saved_model.save(
        module, str(target), signatures={"serving_default": of_files, "pixels": of_pixels}
    )


def _pixel_function(graph: Graph) -> Any:
    """The run from RGB of any size, with its variables as constants."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
    def probabilities(images: Any) -> Any:
        return tf.identity(graph.of_pixels(images), name="probabilities")

    return _frozen(probabilities.get_concrete_function())


def _frozen(function: Any) -> Any:
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    return convert_variables_to_constants_v2(function)


def _onnx(graph: Graph, target: Path) -> None:
    if not hasattr(np, "object"):  # tf2onnx 1.17 was written for NumPy 1
        np.object = object  # type: ignore[attr-defined]  # noqa: NPY001
    import onnx
    import tf2onnx

    function = _pixel_function(graph)
    made, _ = tf2onnx.convert.from_graph_def(
        function.graph.as_graph_def(),
        input_names=[function.inputs[0].name],
        output_names=[function.outputs[0].name],
        opset=_OPSET,
    )
    _rename(made.graph, {function.inputs[0].name: "images", function.outputs[0].name: OUTPUT})
    onnx.helper.set_model_props(made, {"classes": "\n".join(graph.run.classes)})
    onnx.checker.check_model(made)
    target.write_bytes(made.SerializeToString())


OUTPUT = "probabilities"


def _rename(onnx_graph: Any, names: Mapping[str, str]) -> None:
    """Names without TensorFlow's ``:0``, for inputs, outputs and whatever refers to them."""
    for value in (*onnx_graph.input, *onnx_graph.output):
        value.name = names.get(value.name, value.name)
    for node in onnx_graph.node:
        for fields in (node.input, node.output):
            for i, name in enumerate(fields):
                fields[i] = names.get(name, name)


def _openvino(graph: Graph, target: Path) -> None:
    import openvino
    import tensorflow as tf

    function = _pixel_function(graph)
    frozen = target.with_suffix(".pb")
    tf.io.write_graph(function.graph, str(frozen.parent), frozen.name, as_text=False)
    try:
        made = openvino.convert_model(str(frozen))
    finally:
        frozen.unlink()
    made.inputs[0].get_tensor().set_names({"images"})
    made.outputs[0].get_tensor().set_names({OUTPUT})
    made.set_rt_info("\n".join(graph.run.classes), ["model_info", "labels"])
    openvino.save_model(made, str(target), compress_to_fp16=False)


def _litert(graph: Graph, int8: Calibration | None) -> bytes:
    import tensorflow as tf

    if len(graph.views) > 1:
        sizes = ", ".join(f"{size} px {mode}" for size, mode in graph.views)
        raise ZooError(
            f"litert takes images of one size, and the members of {graph.run.name!r} see them in "
            f"several ({sizes}): use --format savedmodel, onnx or openvino"
        )
    view = graph.views[0]
    size = view[0]

    @tf.function(input_signature=[tf.TensorSpec((1, size, size, 3), tf.float32, name="images")])
    def probabilities(images: Any) -> Any:
        return graph.of_views({view: images})

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [_frozen(probabilities.get_concrete_function())]
    )
    made: bytes = converter.convert() if int8 is None else _in_8_bits(converter, int8)
    return made


def _in_8_bits(converter: Any, int8: Calibration) -> bytes:
    """All but the last arithmetic in 8 bits: a softmax of 8 bits has steps of 1/256."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _singly(int8.images)
    debug = tf.lite.experimental
    options = debug.QuantizationDebugOptions(denylisted_ops=list(_IN_FLOAT))
    quantized = debug.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
    )
    made: bytes = quantized.get_nondebug_quantized_model()
    return made


def _singly(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for image in images:
        yield [image[None].astype(np.float32)]


def _keras(graph: Graph, target: Path) -> None:
    run = graph.run
    if run.combination is not None:
        raise ZooError(
            f"{run.name} is an ensemble of several networks, which model.keras does not hold: use "
            f"--format savedmodel, onnx or openvino"
        )
    shutil.copyfile(run.file("model.keras"), target)


_WRITERS: dict[str, Callable[[Graph, Path], None]] = {
    "savedmodel": _savedmodel,
    "onnx": _onnx,
    "openvino": _openvino,
    "keras": _keras,
}
