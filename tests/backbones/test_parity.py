"""The same function as the reference's, from raw pixels, with the same weights.

Of keras.applications the reference fetches its weights by itself, from a file that we put in the
place of the published one; so the address, the name and the digest that it asks for are compared
with ours as well. Of EfficientNet-Lite the reference is PyTorch's, with the extra ``parity``.
"""

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from keras.src.utils import file_utils

import backbones
from backbones import Published, Spec, _registry, digest_of

SIZE = 64
# the class that builds it and the module with its own preprocessing
REFERENCES = {
    **{f"efficientnet-b{i}": (f"EfficientNetB{i}", "efficientnet") for i in range(8)},
    **{
        f"efficientnetv2-{v}": (f"EfficientNetV2{v.upper()}", "efficientnet_v2")
        for v in ("b0", "b1", "b2", "b3", "s", "m", "l")
    },
    "mobilenet-v2": ("MobileNetV2", "mobilenet_v2"),
    "mobilenet-v3-small": ("MobileNetV3Small", "mobilenet_v3"),
    "mobilenet-v3-large": ("MobileNetV3Large", "mobilenet_v3"),
    **{f"resnet{i}": (f"ResNet{i}", "resnet") for i in (50, 101, 152)},
    **{f"resnet{i}v2": (f"ResNet{i}V2", "resnet_v2") for i in (50, 101, 152)},
}
# one for each preprocessing that is ours and not Keras's
QUICK = {"efficientnet-b0", "mobilenet-v2", "resnet50"}
CASES = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in REFERENCES]


def images(size: int, n: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, size, size, 3)).astype(np.float32)


def randomize(model: keras.Model) -> None:
    """Weights and statistics of which none is as it was initialized, with outputs of order one."""
    rng = np.random.default_rng(7)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, *statistics = layer.get_weights()
            gamma = rng.uniform(0.7, 1.3, gamma.shape)
            layer.set_weights([gamma, rng.normal(0, 0.2, beta.shape), *statistics])
            layer.momentum = 0.0
    normalization = [x for x in model.layers if isinstance(x, keras.layers.Normalization)]
    if normalization and normalization[0].weights:
        # the network runs as it will once the reference divides by another root of std
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        set_statistics(normalization[0], mean, std**3)
        model(images(SIZE, 8), training=True)
        set_statistics(normalization[0], mean, std**2)
    else:
        model(images(SIZE, 8), training=True)


def set_statistics(layer: keras.layers.Normalization, mean: np.ndarray, variance: np.ndarray):
    layer.set_weights([mean, variance, np.array(0)])
    layer.finalize_state()


def as_published(spec: Spec, file: Published, construct, folder: Path) -> Published:
    """A file of the old format under the published name, with random weights of the network."""
    keras.utils.set_random_seed(3)
    model = construct(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    randomize(model)
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / file.file, "w") as out:
        legacy_h5_format.save_weights_to_hdf5_group(out, model)
    return dataclasses.replace(file, digest=digest_of(folder / file.file, file))


def assert_same(features: np.ndarray, expected: np.ndarray, record_property) -> None:
    """Equal to 1e-4 of the largest feature: random deep networks give features of any size."""
    scale = np.abs(expected).max()
    assert 0.1 < scale < 1e4
    difference = np.abs(features - expected).max() / scale
    record_property("largest difference", float(difference))
    assert difference < 1e-4


@pytest.mark.filterwarnings("ignore:.*Weights for input shape:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_features_are_those_of_keras_applications(name, tmp_path, monkeypatch, record_property):
    spec, folder = backbones.get(name), tmp_path / "weights"
    construct = getattr(keras.applications, REFERENCES[name][0])
    module = importlib.import_module(f"keras.applications.{REFERENCES[name][1]}")
    monkeypatch.setenv("ZOO_WEIGHTS", str(folder))
    file = spec.file_for(SIZE, spec.options)
    ours = as_published(spec, file, construct, folder)
    monkeypatch.setitem(_registry._SPECS, name, dataclasses.replace(spec, files=(ours,)))
    asked = {}

    def get_file(fname, origin, file_hash=None, **_):
        asked.update(file=fname, source=origin, digest=f"md5:{file_hash}" if file_hash else "")
        return str(folder / fname)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    reference = construct(include_top=False, weights="imagenet", input_shape=(SIZE, SIZE, 3))
    assert asked == {"file": file.file, "source": file.source, "digest": file.digest}
    x = images(SIZE)
    maps = np.asarray(reference(module.preprocess_input(x.copy()), training=False))
    expected = maps.mean(axis=(1, 2))
    features = np.asarray(backbones.build(name, size=SIZE).model(x, training=False))
    assert_same(features, expected, record_property)


WIDE = [("mobilenet-v2", 0.35), ("mobilenet-v2", 1.4), ("mobilenet-v3-small", 0.75)]


@pytest.mark.parametrize(("name", "width"), WIDE)
def test_each_width_has_the_file_that_keras_asks_for(name, width, monkeypatch):
    asked = []

    class Asked(Exception):
        pass

    def get_file(fname, origin, file_hash=None, **_):
        asked.append((fname, origin, f"md5:{file_hash}" if file_hash else ""))
        raise Asked

    monkeypatch.setattr(file_utils, "get_file", get_file)
    construct = getattr(keras.applications, REFERENCES[name][0])
    with pytest.raises(Asked):
        construct(include_top=False, alpha=width, input_shape=(224, 224, 3))
    file = backbones.get(name).file_for(224, {"width": width})
    assert asked == [(file.file, file.source, file.digest)]


def test_the_digests_are_those_that_keras_carries():
    """Cheap, and so for all variants."""
    sources = ("efficientnet", "efficientnet_v2", "resnet", "mobilenet_v3")
    modules = [importlib.import_module(f"keras.src.applications.{name}") for name in sources]
    known = {md5 for module in modules for _, md5 in module.WEIGHTS_HASHES.values()}
    files = [f for name in backbones.names() for f in backbones.get(name).files]
    recorded = {f.digest.removeprefix("md5:") for f in files if f.digest.startswith("md5:")}
    assert len(recorded) == 8 + 7 + 6 + 4
    assert recorded <= known


REFERENCE = """
import sys
import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
name, weights, pixels, out = sys.argv[1:]
model = EfficientNet.from_pretrained(name, weights_path=weights).eval()
x = torch.from_numpy(np.load(pixels))
with torch.no_grad():
    maps = model.extract_features((x.permute(0, 3, 1, 2) - 127) / 128)
    features = maps.mean(dim=(2, 3))
    np.savez(out, features=features.numpy(), logits=model._fc(features).numpy())
"""


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_features_are_those_of_the_pytorch_reference(name, tmp_path, record_property):
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install '.[parity]'")
    spec = backbones.get(name)
    path = backbones.located(spec.files[0])
    if path is None:
        pytest.skip(f"pip install {spec.files[0].requirement}")
    x = images(spec.input_size)
    np.save(tmp_path / "x.npy", x)
    # in a process of its own: PyTorch and TensorFlow each bring their threads
    command = [sys.executable, "-c", REFERENCE, name, path, tmp_path / "x.npy", tmp_path / "y.npz"]
    subprocess.run(list(map(str, command)), check=True, timeout=300)
    expected = np.load(tmp_path / "y.npz")["features"]
    features = np.asarray(backbones.build(name).model(x, training=False))
    assert_same(features, expected, record_property)
