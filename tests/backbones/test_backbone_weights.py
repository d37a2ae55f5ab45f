"""Weights as a source: files of Keras, downloads, and one sentence where they can't be had."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

import backbones
from backbones import BackboneError

ROOT = Path(backbones.__file__).parents[1]
SIZE = 32
APPLICATIONS = {
    "mobilenet-v2": keras.applications.MobileNetV2,
    "mobilenet-v3-small": keras.applications.MobileNetV3Small,
}


def application(name: str, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return APPLICATIONS[name](include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))


@pytest.fixture(scope="module")
def mobilenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    application("mobilenet-v2", 7).save_weights(file)
    return file


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_weights_file_of_keras_applications_gives_its_very_weights(name, tmp_path):
    model = application(name, 7)
    file = tmp_path / "own.weights.h5"
    model.save_weights(file)
    keras.utils.set_random_seed(8)
    backbone = backbones.build(name, size=SIZE, weights=str(file))
    # by name, because the backbone has layers for scaling besides
    for layer in model.layers:
        if layer.weights:
            loaded = backbone.model.get_layer(layer.name).get_weights()
            for ours, theirs in zip(loaded, layer.get_weights(), strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert backbone.digest == backbones.weights_digest(backbone.model)


def test_a_file_of_the_plain_network_loads_into_the_same_options(tmp_path):
    options = {"blocks": 2, "filters": 4}
    keras.utils.set_random_seed(1)
    first = backbones.build("cnn", size=SIZE, weights="none", options=options)
    first.model.save_weights(tmp_path / "cnn.weights.h5")
    path = str(tmp_path / "cnn.weights.h5")
    second = backbones.build("cnn", size=SIZE, weights=path, options=options)
    assert second.digest == backbones.weights_digest(first.model)
    with pytest.raises(BackboneError, match="does not fit cnn"):
        backbones.build("cnn", size=SIZE, weights=path, options={**options, "filters": 8})


def test_lite0_takes_weights_files_of_keras_as_well(tmp_path):
    keras.utils.set_random_seed(1)
    first = backbones.build("efficientnet-lite0", size=SIZE, weights="none")
    first.model.save_weights(tmp_path / "lite.weights.h5")
    second = backbones.build(
        "efficientnet-lite0", size=SIZE, weights=str(tmp_path / "lite.weights.h5")
    )
    assert second.digest == backbones.weights_digest(first.model)


@pytest.mark.parametrize("pretrained", [True, False])
def test_b0_from_a_file_is_scaled_as_its_weights_were_trained(pretrained, tmp_path):
    # Keras puts the division by sqrt(std) into the network only where it downloads the weights
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    model = keras.applications.EfficientNetB0(False, weights=None, input_shape=(SIZE, SIZE, 3))
    normalization = next(x for x in model.layers if isinstance(x, keras.layers.Normalization))
    if pretrained:
        normalization.set_weights([mean, std**2, np.array(1)])
    model.save_weights(tmp_path / "b0.weights.h5")
    built = backbones.build(
        "efficientnet-b0", size=SIZE, weights=str(tmp_path / "b0.weights.h5")
    ).model
    seen = keras.Model(built.inputs[0], built.get_layer("stem_conv_pad").input)
    x = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)
    expected = (x / 255 - mean) / std / np.sqrt(std) if pretrained else x / 255
    np.testing.assert_allclose(np.asarray(seen(x)), expected, rtol=1e-4, atol=1e-4)


def _text(folder: Path) -> Path:
    (folder / "text.h5").write_text("not HDF5")
    return folder / "text.h5"


def _torch(folder: Path) -> Path:
    (folder / "w.pth").write_bytes(b"")
    return folder / "w.pth"


def _folder(folder: Path) -> Path:
    (folder / "folder.h5").mkdir()
    return folder / "folder.h5"


# backbone, what makes the file, what the sentence says
REFUSED = {
    "missing": ("mobilenet-v2", lambda d: d / "no.h5", ["no weights file", "imagenet, or none"]),
    "a folder": ("mobilenet-v2", _folder, ["no weights file", "imagenet, or none"]),
    "wrong suffix": ("mobilenet-v2", _torch, ["mobilenet-v2", ".h5 or .weights.h5"]),
    "not HDF5": ("cnn", _text, ["does not fit cnn"]),
    "empty": ("efficientnet-lite0", _torch, ["not a legacy PyTorch state dict"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_weights_is_refused_in_one_sentence(case, tmp_path):
    name, make, content = REFUSED[case]
    file = make(tmp_path)
    with pytest.raises(BackboneError) as raised:
        backbones.build(name, size=SIZE, weights=str(file))
    sentence = str(raised.value)
    assert str(file) in sentence
    assert all(part in sentence for part in content), sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", ["mobilenet-v3-small", "cnn", "efficientnet-lite0"])
def test_weights_of_another_architecture_are_refused_in_one_sentence(name, mobilenet_file):
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with pytest.raises(BackboneError) as raised:
            backbones.build(name, size=SIZE, weights=str(mobilenet_file))
    assert shown == [], "a page of them would bury the sentence"
    sentence = str(raised.value)
    assert str(mobilenet_file) in sentence
    assert f"does not fit {name} without its top: " in sentence
    assert "\n" not in sentence


def legacy(model: keras.Model, file: Path) -> Path:
    """A weights file of the older format, in which keras.applications publishes."""
    with h5py.File(file, "w") as out:
        legacy_h5_format.save_weights_to_hdf5_group(out, model)
    return file


def newer(model: keras.Model, file: Path) -> Path:
    model.save_weights(file.with_suffix(".weights.h5"))
    return file.with_suffix(".weights.h5")


def whole(model: keras.Model, file: Path) -> Path:
    model.save(file.with_suffix(".keras"))
    return file.with_suffix(".keras")


def plain(**options) -> keras.Model:
    small = {"blocks": 2, "filters": 4, "dense_units": 8, **options}
    return backbones.build("cnn", size=SIZE, weights="none", options=small).model


# settings of the network that is saved, and what differs from the usual one
OTHER = {
    "width": (
        {"filters": 6},
        ["kernel of layer block1a_conv has the shape (3, 3, 3, 4) in the network and (3, 3, 3, 6)"],
    ),
    "last layer": ({"dense_units": 9}, ["kernel of layer dense has the shape (8, 8)", "(8, 9)"]),
    "no normalization": ({"batch_norm": False}, ["block1a"]),
    "deeper": ({"blocks": 3}, ["layer dense", "file"]),
    "shallower": ({"blocks": 1}, ["file"]),
}


@pytest.mark.parametrize("save", [legacy, newer, whole])
@pytest.mark.parametrize("case", OTHER)
def test_what_first_differs_is_named_with_both_shapes(case, save, tmp_path):
    options, content = OTHER[case]
    file = save(plain(**options), tmp_path / "other.h5")
    with pytest.raises(BackboneError) as raised:
        backbones.build(
            "cnn",
            size=SIZE,
            weights=str(file),
            options={"blocks": 2, "filters": 4, "dense_units": 8},
        )
    sentence = str(raised.value)
    assert f"{file} does not fit cnn without its top: " in sentence
    assert all(part in sentence for part in content), sentence


@pytest.mark.parametrize("save", [legacy, newer, whole])
def test_a_file_of_each_format_fits_its_own_network(save, tmp_path):
    model = plain()
    file = save(model, tmp_path / "own.h5")
    options = {"blocks": 2, "filters": 4, "dense_units": 8}
    built = backbones.build("cnn", size=SIZE, weights=str(file), options=options)
    assert built.digest == backbones.weights_digest(model)


def test_a_newer_file_with_a_layer_more_is_refused_though_keras_takes_it(tmp_path):
    # the first layers of six blocks are those of five: 256 filters are the bound
    options = {"blocks": 5, "filters": 256, "dense_units": 8}
    keras.utils.set_random_seed(0)
    deeper = backbones.build("cnn", size=64, weights="none", options={**options, "blocks": 6})
    file = newer(deeper.model, tmp_path / "deeper.h5")
    with pytest.raises(
        BackboneError, match=r"the file has a layer .*_10 for which the network has"
    ):
        backbones.build("cnn", size=64, weights=str(file), options=options)


def test_a_weights_file_cut_short_is_refused(mobilenet_file, tmp_path):
    half = tmp_path / "half.weights.h5"
    half.write_bytes(mobilenet_file.read_bytes()[: mobilenet_file.stat().st_size // 2])
    with pytest.raises(BackboneError, match="does not fit mobilenet-v2"):
        backbones.build("mobilenet-v2", size=SIZE, weights=str(half))


def test_a_home_folder_in_a_path_is_expanded(mobilenet_file, monkeypatch):
    monkeypatch.setenv("HOME", str(mobilenet_file.parent))
    path = f"~/{mobilenet_file.name}"
    assert backbones.build("mobilenet-v2", size=SIZE, weights=path).digest


def test_a_download_that_fails_names_the_ways_out(tmp_path):
    # an empty cache and a proxy that nobody serves: the same on a machine with a network
    proxies = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]
    env = {**os.environ, **dict.fromkeys(proxies, "http://127.0.0.1:9")}
    env |= {"KERAS_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    env |= {"no_proxy": "", "NO_PROXY": ""}
    code = f"""
import backbones
try:
    backbones.build("mobilenet-v2", size={SIZE}, weights="imagenet")
except backbones.BackboneError as error:
    print(error)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    sentence = done.stdout.splitlines()[-1]
    assert "ImageNet weights of mobilenet-v2 could not be fetched" in sentence, done.stderr
    assert "refused" in sentence  # the reason, without the address
    for way in ("--weights FILE", "--weights none", "efficientnet-lite0"):
        assert way in sentence


def test_a_source_of_weights_is_known_by_its_content_wherever_it_lies(tmp_path):
    file, module = tmp_path / "a.h5", tmp_path / "module"
    file.write_bytes(b"weights")
    (module / "variables").mkdir(parents=True)
    (module / "saved_model.pb").write_bytes(b"graph")
    (module / "variables" / "variables.data").write_bytes(b"values")
    of_file, of_module = (backbones.source_identity(s) for s in (str(file), f"hub:{module}"))
    file.rename(tmp_path / "b.h5")
    module.rename(tmp_path / "moved")
    assert backbones.source_identity(str(tmp_path / "b.h5")) == of_file
    assert backbones.source_identity(f"hub:{tmp_path / 'moved'}") == of_module
    (tmp_path / "moved" / "variables" / "variables.data").write_bytes(b"others")
    assert backbones.source_identity(f"hub:{tmp_path / 'moved'}") not in {of_module, of_file}
    for name in ("imagenet", "none", "hub:https://tfhub.dev/a/b/1", str(file)):
        assert backbones.source_identity(name) == name
