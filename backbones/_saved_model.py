"""Load a SavedModel and find in it the function from images to features, with its variables.

Reusable SavedModels (tensorflow.org/hub/reusable_saved_models), exports of Keras 2 and 3, and the
formats of TensorFlow 1, which can only be frozen. A graph is a program: one that would touch files,
the network or Python is refused before anything of it runs.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbones._errors import BackboneError
from backbones._hub_source import parts

# inputs that are images, by what the values mean
_DTYPES = ("float32", "float16", "bfloat16", "float64", "uint8")
_TRIAL_SIZE = 224  # if neither the signature nor anybody else says one
_PARTS = 8  # about as many as the blocks of other backbones
_SIGNATURES = ("serving_default", "default", "image_feature_vector")
_CHECKPOINT = re.compile(r"^Save|^Restore|^MergeV2Checkpoints$")
_UNSAFE = re.compile(
    r"(?<!Sharded)File|Reader|PyFunc|^Debug|^PrintV2$|Summary|Dataset|Rpc|^Remote|^ImmutableConst$|^Sql"
    r"|^RecordInput$|^GenerateVocabRemapping$|^LoadAndRemapMatrix$|^Skipgram$|StatisticsSaver$"
    r"|^DumpTensor|^Distributed|^DTensor"
)
# an operation with such an attribute reads or writes there, whatever its name
_PLACE = re.compile(r"file|path|dir|address", re.IGNORECASE)


@dataclass(frozen=True)
class Signature:
    """What a module takes and gives.

    Attributes:
        size: side of its square images in pixels; 0 if any will do.
        dtype: of the images.
        features: length of the feature vector.
        is_map: whether it gives a feature map (n, h, w, features) rather than (n, features).
    """

    size: int
    dtype: str
    features: int
    is_map: bool


@dataclass(frozen=True)
class _Entry:
    """A way to call a module.

    Attributes:
        function: what is called.
        concrete: its graph for these arguments.
        args, kwargs: values, and specifications of tensors; but for the image, those are numbers
            like ``batch_norm_momentum``, which have defaults.
    """

    function: Any
    concrete: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def flat(self, kind: type) -> list[Any]:
        """All arguments of a type, but for numbers in the place of tensors."""
        import tensorflow as tf

        flat = tf.nest.flatten((self.args, self.kwargs))
        return [x for x in flat if isinstance(x, kind) and not _is_number(x)]

    def __call__(self, images: Any) -> Any:
        import tensorflow as tf

        def put(value: Any) -> Any:
            return images if isinstance(value, tf.TensorSpec) else value

        # what follows a number by position has a default, as the number has
        args = list(itertools.takewhile(lambda x: not _is_number(x), self.args))
        kwargs = {k: v for k, v in self.kwargs.items() if not _is_number(v)}
        args, kwargs = tf.nest.map_structure(put, (args, kwargs))
        return _only(self.function(*args, **kwargs))


def _is_number(value: Any) -> bool:
    import tensorflow as tf

    return isinstance(value, tf.TensorSpec) and value.shape.rank == 0


class SavedModel:
    """A loaded module.

    Attributes:
        signature: what it takes and gives.
        variables: the ``tf.Variable`` that its features depend on, in the order of their use.
        trainable: for each of them, whether the module calls it trainable.

    Args:
        folder: of the SavedModel.
        name: in messages.

    Raises:
        BackboneError: damaged, unsafe, or not from images to features.
    """

    def __init__(self, folder: Path, name: str) -> None:
        proto = _read(folder, name)
        is_graph = not proto.meta_graphs[0].HasField("object_graph_def")  # TensorFlow 1
        self._loaded = _load(folder, name, [] if _is_hub_1(folder) else None)
        self._entry = _entry(self._loaded, name)
        size, dtype = _image(self._entry, name)
        features, is_map = _features(self._entry, size or _TRIAL_SIZE, dtype, name)
        self.signature = Signature(size, dtype, features, is_map)
        used = {id(v): v for v in self._entry.concrete.variables}.values()
        self.variables = [v for v in used if v.dtype.is_floating or v.dtype.is_integer]
        declared = getattr(self._loaded, "trainable_variables", None)
        if declared is None:
            declared = [v for v in self.variables if v.trainable]
        known = {id(v) for v in declared}
        self.trainable = [
            id(v) in known and v.dtype.is_floating and not is_graph for v in self.variables
        ]

    @property
    def parameters(self) -> int:
        """Number of values in all variables."""
        return sum(math.prod(v.shape) for v in self.variables)

    def parts(self) -> list[list[int]]:
        """Indices of the variables in up to eight parts, from input to output.

        The order is that in which the graph comes to use them. The parts have about the same number
        of kernels; what is no kernel goes with the one before it.
        """
        kernels = [
            i for i, v in enumerate(self.variables) if self.trainable[i] and v.shape.rank >= 2
        ]
        count = max(1, min(_PARTS, len(kernels)))
        starts = [kernels[len(kernels) * i // count] for i in range(1, count)]
        edges = [0, *starts, len(self.variables)]
        return [list(range(low, high)) for low, high in itertools.pairwise(edges)]

    def __call__(self, images: Any) -> Any:
        """Features, or a map of them, of images as the signature says; in inference mode."""
        return self._entry(images)


def _read(folder: Path, name: str) -> Any:
    """The protocol buffer, after a look at what its graphs would do."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel as Proto

    proto = Proto()
    try:
        parts(folder)
        proto.ParseFromString((folder / "saved_model.pb").read_bytes())
        graphs = [meta.graph_def for meta in proto.meta_graphs]
        if not graphs:
            raise ValueError("it holds no graph")
    except (OSError, DecodeError, ValueError) as error:
        raise BackboneError(
            f"the SavedModel {name} is damaged ({error}): fetch or export it again"
        ) from error
    for meta in proto.meta_graphs:
        unsafe = _unsafe(meta)
        if unsafe:
            raise BackboneError(
                f"the SavedModel {name} is refused, because its graph has the operation "
                f"{unsafe[0]}, which reaches outside of it: export the network alone"
            )
    return proto


def _unsafe(meta: Any) -> list[str]:
    """Operations that touch files, the network or Python, sorted.

    Those that read and write checkpoints are part of every SavedModel, but only of what its saver
    runs: not of another function, be it called or registered as a gradient, nor of what a
    signature or an initializer depends on.
    """
    graph = meta.graph_def
    bodies = {f.signature.name: f.node_def for f in graph.library.function}
    everything = [node for body in (graph.node, *bodies.values()) for node in body]
    found = {node.op for node in everything if _UNSAFE.search(node.op) or _names_a_place(node)}
    run = _needed_nodes(meta, _run_names(meta))
    found |= {node.op for node in run if _CHECKPOINT.search(node.op)}
    saver = meta.saver_def
    saving = _needed_nodes(
        meta, [saver.save_tensor_name, saver.restore_op_name, saver.filename_tensor_name]
    )
    savers = _called(saving, bodies)
    called = _called(run, bodies, meta.object_graph_def.concrete_functions)
    for name in called | (bodies.keys() - savers):
        found |= {node.op for node in bodies[name] if _CHECKPOINT.search(node.op)}
    return sorted(found)


def _called(nodes: Iterable[Any], bodies: Mapping[str, Any], names: Iterable[str] = ()) -> set[str]:
    """Functions that nodes call, and those that these call."""
    called: set[str] = set()
    waiting = [*names, *(name for node in nodes for name in (node.op, *_functions_of(node)))]
    while waiting:
        function = waiting.pop()
        if function in bodies and function not in called:
            called.add(function)
            waiting += [n for node in bodies[function] for n in (node.op, *_functions_of(node))]
    return called


def _names_a_place(node: Any) -> bool:
    return any(value.s and _PLACE.search(key) for key, value in node.attr.items())


def _run_names(meta: Any) -> list[str]:
    """Outputs of the outer graph that a signature, or an initializer, asks for."""
    names = [t.name for s in meta.signature_def.values() for t in s.outputs.values()]
    for key, collection in meta.collection_def.items():
        if "init" in key or key == "main_op":
            names += collection.node_list.value
    return names


def _needed_nodes(meta: Any, names: list[str]) -> list[Any]:
    """Nodes of the outer graph that outputs depend on."""
    nodes = {node.name: node for node in meta.graph_def.node}
    waiting, reached = list(names), {}
    while waiting:
        name = waiting.pop().lstrip("^").split(":")[0]
        if name in nodes and name not in reached:
            reached[name] = nodes[name]
            waiting += nodes[name].input
    return list(reached.values())


def _functions_of(node: Any) -> Iterable[str]:
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _is_hub_1(folder: Path) -> bool:
    return (folder / "tfhub_module.pb").is_file()


def _load(folder: Path, name: str, tags: list[str] | None) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder), tags=tags)
    except Exception as error:  # TensorFlow raises nearly anything here
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BackboneError(
            f"the SavedModel {name} cannot be loaded ({reason[:200]}): fetch or export it again"
        ) from error


def _entry(loaded: Any, name: str) -> _Entry:
    """The call for inference: ``__call__`` if there is one, else a signature."""
    import tensorflow as tf

    entries = []
    call = loaded.__call__ if callable(loaded) else None
    for concrete in getattr(call, "concrete_functions", ()):
        args, kwargs = concrete.structured_input_signature
        entries.append(_Entry(loaded, concrete, args, kwargs))
    signatures = dict(getattr(loaded, "signatures", {}))
    if not entries and signatures:
        key = next((s for s in _SIGNATURES if s in signatures), next(iter(signatures)))
        args, kwargs = signatures[key].structured_input_signature
        entries.append(_Entry(signatures[key], signatures[key], args, kwargs))
    calm = [e for e in entries if True not in e.flat(bool)]
    if not calm:
        raise BackboneError(
            f"the SavedModel {name} has no function for inference: export it with __call__(images, "
            f"training=False) or a signature"
        )

    def preference(entry: _Entry) -> tuple[bool, int]:
        """Said to be for inference, then for images of any size."""
        shapes = [x.shape for x in entry.flat(tf.TensorSpec) if x.shape.rank is not None]
        return False not in entry.flat(bool), sum(d is not None for s in shapes for d in s)

    return min(calm, key=preference)


def _image(entry: _Entry, name: str) -> tuple[int, str]:
    """Side (0: any) and dtype of the one image that the module takes."""
    import tensorflow as tf

    inputs = entry.flat(tf.TensorSpec)
    if len(inputs) != 1:
        names = ", ".join(str(x.name) for x in inputs) or "nothing"
        raise BackboneError(
            f"{name} takes {len(inputs)} inputs ({names}), not one image: it is no image backbone"
        )
    dtype, shape = inputs[0].dtype.name, inputs[0].shape
    if dtype == "string":
        raise BackboneError(f"{name} takes text or encoded files, not images: give an image module")
    sides = (None,) * 4 if shape.rank is None else tuple(shape)
    if dtype not in _DTYPES or len(sides) != 4 or sides[3] not in {None, 3}:
        raise BackboneError(
            f"{name} takes {dtype} of shape {shape}, not RGB images of shape (None, height, width, "
            f"3): give an image module"
        )
    if sides[0] is not None:
        raise BackboneError(
            f"{name} takes batches of exactly {sides[0]}: export it for batches of any size"
        )
    height, width = sides[1] or sides[2], sides[2] or sides[1]
    if height != width:
        raise BackboneError(
            f"{name} takes images of {height} x {width} px, and zoo prepares square ones: export "
            f"it for square images"
        )
    return height or 0, dtype


def _features(entry: _Entry, size: int, dtype: str, name: str) -> tuple[int, bool]:
    """Length of the features, and whether they come as a map."""
    import tensorflow as tf

    try:
        shape = _only(entry.concrete.structured_outputs).shape
        if shape.rank is None or (shape.rank and shape[-1] is None):
            shape = entry(tf.zeros((1, size, size, 3), dtype)).shape
    except _OutputsError as error:
        raise BackboneError(
            f"{name} gives {error}, not one feature vector: give a feature vector module"
        ) from error
    except Exception as error:  # a foreign graph may fail in any way
        raise BackboneError(
            f"{name} fails on an image of {size} px ({' '.join(str(error).split())[:200]}): give "
            f"another module"
        ) from error
    if shape.rank not in {2, 4}:
        raise BackboneError(
            f"{name} gives an output of shape {shape}, not features of shape (None, d) or a map "
            f"of them, (None, height, width, d): give a feature vector module"
        )
    return int(shape[-1]), shape.rank == 4


class _OutputsError(ValueError):
    """Not one output."""


def _only(outputs: Any) -> Any:
    """The one tensor of a structure of outputs."""
    import tensorflow as tf

    flat = tf.nest.flatten(outputs)
    if len(flat) == 1:
        return flat[0]
    keys = f" ({', '.join(sorted(map(str, outputs)))})" if isinstance(outputs, dict) else ""
    raise _OutputsError(f"{len(flat)} outputs{keys}")
