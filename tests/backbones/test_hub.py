"""Modules of TF Hub as backbones: trainable, saved whole, and refused in one sentence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import backbones
from backbones import BackboneError
from backbones.hub_layer import HubModule

ROOT = Path(backbones.__file__).parents[1]
SIZE = 16
RANGE = {"input_range": "0..1"}


@pytest.fixture(scope="module")
def folder(write_module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_module(tmp_path_factory.mktemp("hub") / "tiny")


def images(n: int = 4) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, SIZE, SIZE, 3)).astype(np.float32)


def built(folder: Path, **options) -> backbones.Backbone:
    return backbones.build(f"hub:{folder}", size=SIZE, options={**RANGE, **options})


def outputs(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return np.asarray(model(x, training=False))


def stepped(model: keras.Model) -> list[bool]:
    """Which of the model's variables one step of training changes."""
    classifier = keras.Sequential([model, keras.layers.Dense(2)])
    classifier.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    before = [v.numpy() for v in model.variables]
    classifier.fit(images(), np.ones((4, 2)), verbose=0)
    return [bool((v != w.numpy()).any()) for v, w in zip(before, model.variables, strict=True)]


def test_features_are_those_of_the_module_called_directly(folder):
    expected = tf.saved_model.load(str(folder))(images() / 255, training=False).numpy()
    backbone = built(folder)
    assert backbone.spec.features == 6
    np.testing.assert_allclose(outputs(backbone.model, images()), expected, atol=1e-5)
    assert abs(expected[0] - expected[1]).max() > 1e-3, "the features do not depend on the image"


@pytest.mark.parametrize(("asked", "low", "high"), [("-1..1", -1, 1), ("0..255", 0, 255)])
def test_pixels_are_scaled_to_the_range_that_is_asked_for(folder, asked, low, high):
    scaled = images() / 255 * (high - low) + low
    expected = tf.saved_model.load(str(folder))(scaled.astype(np.float32), training=False).numpy()
    found = outputs(built(folder, input_range=asked).model, images())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_feature_map_is_averaged_over_its_positions(folder, tmp_path, write_module):
    mapped = built(write_module(tmp_path / "map", gives="map"))
    np.testing.assert_allclose(
        outputs(mapped.model, images()), outputs(built(folder).model, images()), atol=1e-5
    )


def test_a_module_of_bytes_and_fixed_size_needs_no_word(folder, tmp_path, write_module):
    write_module(tmp_path / "bytes", size=SIZE, dtype="uint8")
    backbone = backbones.build(f"hub:{tmp_path / 'bytes'}")
    assert backbone.size == SIZE
    expected = outputs(built(folder).model, images())
    np.testing.assert_allclose(outputs(backbone.model, images() + 0.4), expected, atol=1e-5)


def test_an_export_of_keras_3_is_trainable_as_well(tmp_path):
    rgb = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(rgb))
    model = keras.Model(rgb, keras.layers.GlobalAveragePooling2D()(x))
    model.export(tmp_path / "export", verbose=False)
    backbone = built(tmp_path / "export")
    expected = outputs(model, images() / 255)
    np.testing.assert_allclose(outputs(backbone.model, images()), expected, atol=1e-5)
    names = [v.name.split(".")[-1] for v in backbone.model.trainable_variables]
    assert sorted(names) == ["beta", "bias", "gamma", "kernel"]
    assert stepped(backbone.model) == [v.trainable for v in backbone.model.variables]


def test_hyperparameters_of_the_call_keep_their_defaults(tmp_path, write_function):
    factor = tf.Variable(2.0, name="factor")

    def call(images, training=False, batch_norm_momentum=0.5):
        return mean(images) * factor * (3.0 if training else 1.0) * batch_norm_momentum

    number = tf.TensorSpec((), tf.float32)
    for training in (True, False):
        path = write_function(
            tmp_path / str(training), call, rgb(None, 8, 8, 3), training, number, keep=[factor]
        )
    backbone = backbones.build(f"hub:{path}", options=RANGE)
    x = images()[:, :8, :8]
    np.testing.assert_allclose(outputs(backbone.model, x), mean(x / 255), atol=1e-5)
    with pytest.raises(BackboneError, match="has no function for inference"):
        backbones.get(f"hub:{tmp_path / 'True'}")


def test_the_variables_are_keras_variables_with_the_modules_own_roles(folder):
    backbone = built(folder)
    assert {v.name for v in backbone.model.trainable_variables} == {
        "conv.kernel",
        "block.depthwise.depthwise_weights",
        "project.weights",
        "bn.gamma",
        "bn.beta",
    }
    assert [v.name for v in backbone.model.non_trainable_variables] == ["bn.moving_mean"]
    assert backbone.model.count_params() == backbone.spec.parameters
    original = {v.name: v.numpy() for v in tf.saved_model.load(str(folder)).variables}
    for variable in backbone.model.variables:
        name = variable.name.replace(".", "/") + ":0"
        np.testing.assert_array_equal(variable.numpy(), original[name])


def test_the_parts_hold_all_variables_from_input_to_output(folder):
    backbone = built(folder)
    assert list(backbone.blocks) == ["part1", "part2", "part3"]
    found = [[v.name for x in backbone.layers_of(b) for v in x.variables] for b in backbone.blocks]
    assert found == [
        ["conv.kernel"],
        ["block.depthwise.depthwise_weights", "bn.gamma", "bn.beta", "bn.moving_mean"],
        ["project.weights"],
    ]
    assert backbone.spec.unfreeze == "part2"


def test_a_deep_module_has_eight_parts_of_about_the_same_size(tmp_path, write_function):
    layers = [tf.Variable(tf.eye(3), name=f"w{i}") for i in range(19)]

    def call(x):
        for weights in layers:
            x = x @ weights
        return mean(x)

    spec = rgb(None, 8, 8, 3)
    name = f"hub:{write_function(tmp_path / 'm', call, spec, keep=layers)}"
    backbone = backbones.build(name, options=RANGE)
    assert len(backbone.blocks) == 8
    found = [[v.name for v in backbone.layers_of(b)[0].variables] for b in backbone.blocks]
    assert [name for part in found for name in part] == [f"w{i}" for i in range(19)]
    assert {len(part) for part in found} == {2, 3}


def test_training_changes_what_is_trainable_and_nothing_else(folder):
    model = built(folder).model
    before = outputs(model, images())
    assert dict(zip((v.name for v in model.variables), stepped(model), strict=True)) == {
        v.name: v.name != "bn.moving_mean" for v in model.variables
    }
    assert abs(outputs(model, images()) - before).max() > 1e-3


def test_a_frozen_module_stays_as_it_is(folder):
    model = built(folder).model
    model.get_layer("module").trainable = False
    assert model.trainable_variables == []
    assert stepped(model) == [False] * 6


def test_two_modules_of_one_folder_share_nothing(folder):
    first, second = built(folder).model, built(folder).model
    before = outputs(second, images())
    stepped(first)
    np.testing.assert_array_equal(outputs(second, images()), before)


def trained_pair(folder: Path) -> keras.Model:
    """Two members that were trained apart, in one model."""
    members = [built(folder).model, built(folder).model]
    stepped(members[1])
    members[1].name = "other"
    rgb = keras.Input((SIZE, SIZE, 3))
    return keras.Model(rgb, [member(rgb) for member in members])


def test_a_trained_model_loads_in_a_fresh_process_without_its_source(folder, tmp_path):
    gone = shutil.copytree(folder, tmp_path / "gone")
    model = trained_pair(gone)
    shutil.rmtree(gone)
    model.save(tmp_path / "m.keras")
    expected = [np.asarray(x) for x in model(images(), training=False)]
    assert abs(expected[0] - expected[1]).max() > 1e-3
    np.save(tmp_path / "x.npy", images())
    code = """
import keras, numpy as np, backbones.hub_layer
model = keras.models.load_model("m.keras", compile=False, safe_mode=True)
model.save("again.keras")
model = keras.models.load_model("again.keras", compile=False, safe_mode=True)
np.save("y.npy", np.stack(model(np.load("x.npy"), training=False)))
print(len(model.trainable_variables), len(model.non_trainable_variables))
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-5)
    assert done.stdout.split() == ["10", "2"]


def test_a_loaded_model_can_be_trained_on(folder, tmp_path):
    built(folder).model.save(tmp_path / "m.keras")
    model = keras.models.load_model(tmp_path / "m.keras", compile=False)
    assert stepped(model) == [v.trainable for v in model.variables]


def test_a_copy_without_its_graph_says_so(folder):
    layer = built(folder).model.get_layer("module")
    copy = HubModule.from_config(layer.get_config())
    with pytest.raises(BackboneError, match=r"has no graph: load it from a \.keras file"):
        copy(images())


def test_the_digest_follows_weights_graph_and_range(folder, tmp_path, write_module):
    same = built(shutil.copytree(folder, tmp_path / "same"))
    assert same.digest == built(folder).digest
    others = [
        built(write_module(tmp_path / "weights", seed=1)),
        built(write_module(tmp_path / "graph", gives="map")),
        built(folder, input_range="0..255"),
    ]
    assert len({b.digest for b in [same, *others]}) == 4


def test_a_module_written_anew_is_read_anew(tmp_path, write_module):
    assert backbones.get(f"hub:{write_module(tmp_path / 'm')}").input_size == 0
    shutil.rmtree(tmp_path / "m")
    assert backbones.get(f"hub:{write_module(tmp_path / 'm', size=8)}").input_size == 8


@pytest.mark.parametrize("inside", [".", "some/tiny"])
def test_an_archive_is_as_good_as_the_folder(folder, tmp_path, inside):
    shutil.copytree(folder, tmp_path / "root" / inside)
    file = Path(shutil.make_archive(str(tmp_path / "tiny"), "gztar", tmp_path / "root"))
    np.testing.assert_array_equal(
        outputs(built(file).model, images()), outputs(built(folder).model, images())
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["root", "tiny.tar.gz"]


def test_a_module_comes_from_a_server_once(folder, tmp_path, monkeypatch, server):
    shutil.make_archive(str(tmp_path / "served" / "1"), "gztar", folder)
    (tmp_path / "served" / "1.tar.gz").rename(tmp_path / "served" / "1")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    name = f"hub:{server.address}/1"
    backbone = backbones.build(name, size=SIZE)
    assert server.asked == ["/1?tf-hub-format=compressed"]
    assert backbone.spec.name == name
    assert backbone.digest == built(folder).digest, "by TF Hub's convention the range is 0..1"


def test_a_graph_of_tensorflow_1_serves_as_a_frozen_backbone_only(tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, SIZE, SIZE, 3))
        w = v1.get_variable("conv/weights", (3, 3, 3, 5), use_resource=True)
        y = tf.reduce_mean(tf.nn.conv2d(x, w, 2, "SAME"), (1, 2))
        session.run(v1.global_variables_initializer())
        expected = session.run(y, {x: images() / 255})
        v1.saved_model.simple_save(session, str(tmp_path / "v1"), {"x": x}, {"y": y})
    backbone = built(tmp_path / "v1")
    np.testing.assert_allclose(outputs(backbone.model, images()), expected, atol=1e-5)
    assert backbone.model.trainable_variables == []
    assert backbone.spec.unfreeze == "none"
    assert backbone.upper_blocks("none") == []
    for depth in ("all", "1", "part1"):
        with pytest.raises(BackboneError, match="as a frozen backbone only: use --unfreeze none"):
            backbone.upper_blocks(depth)
    backbone.model.save(tmp_path / "m.keras")
    shutil.rmtree(tmp_path / "v1")
    loaded = keras.models.load_model(tmp_path / "m.keras", compile=False)
    np.testing.assert_allclose(outputs(loaded, images()), expected, atol=1e-5)


def rgb(*shape, dtype="float32") -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype, name="images")


def mean(x):
    return tf.reduce_mean(x, (1, 2))


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("mobilenet-v2", "mobilenet-v2"),
        ("hub:/a/b/tiny", "hub-tiny"),
        ("hub:/a/b/tiny.tar.gz", "hub-tiny"),
        (
            "hub:https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5",
            "hub-mobilenet_v2_100_224-feature_vector-5",
        ),
        (
            "hub:https://www.kaggle.com/models/google/resnet-v2/TensorFlow2/50-feature-vector/2",
            "hub-resnet-v2-50-feature-vector-2",
        ),
    ],
)
def test_runs_are_called_after_the_end_of_the_name(name, short):
    assert backbones.short_name(name) == short


def test_a_relative_path_and_a_home_folder_mean_the_same_place(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    names = {backbones.get(name).name for name in ("hub:tiny", "hub:~/tiny", f"hub:{folder}")}
    assert names == {f"hub:{folder}"}
