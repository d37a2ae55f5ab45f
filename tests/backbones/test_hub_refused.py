"""What is no usable module of TF Hub, or does not tell enough: one sentence each."""

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import tensorflow as tf

import backbones
from backbones import BackboneError, _hub_source
from zoo.errors import ZooError
from zoo.keras_setup import load_model

RANGE = {"input_range": "0..1"}


@pytest.fixture(scope="module")
def folder(write_module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_module(tmp_path_factory.mktemp("hub") / "tiny")


def rgb(*shape, dtype="float32") -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype, name="images")


def mean(x):
    return tf.reduce_mean(x, (1, 2))


def _reads(x):
    return mean(x) + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)


def _saves(x):
    tf.raw_ops.SaveV2(prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[x])
    return mean(x)


# what is wrong: function, signature, what the sentence says
SIGNATURES = {
    "text": (tf.strings.length, [tf.TensorSpec((None,), tf.string)], "takes text or encoded files"),
    "no image": (lambda x: x, [rgb(None, 7)], "takes float32 of shape (None, 7), not RGB images"),
    "grey": (mean, [rgb(None, 8, 8, 1)], "shape (None, 8, 8, 1), not RGB images"),
    "whole numbers": (mean, [rgb(None, 8, 8, 3, dtype="int64")], "takes int64 of shape"),
    "two images": (lambda x, y: mean(x + y), [rgb(None, 8, 8, 3)] * 2, "takes 2 inputs (images,"),
    "one at a time": (mean, [rgb(1, 8, 8, 3)], "takes batches of exactly 1"),
    "not square": (mean, [rgb(None, 8, 16, 3)], "takes images of 8 x 16 px"),
    "two outputs": (lambda x: (mean(x), x), [rgb(None, 8, 8, 3)], "gives 2 outputs, not one"),
    "named outputs": (
        lambda x: {"detections": mean(x), "scores": x},
        [rgb(None, 8, 8, 3)],
        "gives 2 outputs (detections, scores), not one feature vector",
    ),
    "a sequence": (lambda x: x[:, 0], [rgb(None, 8, 8, 3)], "output of shape (None, 8, 3)"),
    "one number": (lambda x: tf.reduce_sum(x), [rgb(None, 8, 8, 3)], "output of shape ()"),
    "reads files": (_reads, [rgb(None, 8, 8, 3)], "has the operation ReadFile"),
    "writes files": (_saves, [rgb(None, 8, 8, 3)], "has the operation SaveV2"),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_a_module_that_is_no_image_backbone_is_refused_with_the_reason(
    case, tmp_path, write_function
):
    function, signature, words = SIGNATURES[case]
    assert_refused(f"hub:{write_function(tmp_path / 'm', function, *signature)}", words)


def assert_refused(name: str, words: str, **asked) -> None:
    with pytest.raises(BackboneError) as raised:
        backbones.check(name, **{"options": RANGE, **asked})
    assert words in str(raised.value), raised.value
    assert "\n" not in str(raised.value)


def _empty(path: Path, _: Path) -> Path:
    path.mkdir()
    return path


def _deep(path: Path, folder: Path) -> Path:
    shutil.copytree(folder, path / "inner")
    return path


def _no_graph(path: Path, folder: Path) -> Path:
    (shutil.copytree(folder, path) / "saved_model.pb").write_bytes(b"\x00no graph")
    return path


def _no_weights(path: Path, folder: Path) -> Path:
    shutil.rmtree(shutil.copytree(folder, path) / "variables")
    return path


def _no_call(path: Path, _: Path) -> Path:
    tf.saved_model.save(tf.train.Checkpoint(v=tf.Variable(1.0)), str(path))
    return path


def _file(path: Path, folder: Path) -> Path:
    return shutil.copy(folder / "saved_model.pb", path)


def _no_archive(path: Path, _: Path) -> Path:
    file = path.with_suffix(".tar.gz")
    file.write_bytes(b"no archive")
    return file


def _half(path: Path, folder: Path) -> Path:
    file = Path(shutil.make_archive(str(path), "gztar", folder))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file


def _escapes(path: Path, _: Path) -> Path:
    file = path.with_suffix(".tar")
    with tarfile.open(file, "w") as archive:
        member = tarfile.TarInfo("../escaped.txt")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"away"))
    return file


def _no_model(path: Path, folder: Path) -> Path:
    return Path(shutil.make_archive(str(path), "gztar", folder / "variables"))


# what is wrong: what makes it from a path and a good module, what the sentence says
FILES = {
    "no name": (None, "'hub:' names no module"),
    "nothing there": (lambda path, _: path, "there is no SavedModel at"),
    "an endless name": (lambda path, _: path / ("x" * 300), "there is no SavedModel at"),
    "an empty folder": (_empty, "it holds no saved_model.pb: give hub: and a SavedModel's folder"),
    "the folder above": (_deep, "it holds no saved_model.pb: give hub:"),
    "another file": (_file, "is neither a folder nor a .tar.gz"),
    "a damaged graph": (_no_graph, "is damaged"),
    "no variables": (_no_weights, "cannot be loaded"),
    "nothing to call": (_no_call, "has no function for inference"),
    "no archive": (_no_archive, "cannot be unpacked"),
    "half an archive": (_half, "cannot be unpacked"),
    "an archive that escapes": (_escapes, "cannot be unpacked"),
    "an archive of something else": (_no_model, "it holds no saved_model.pb"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_path_without_a_usable_module_is_refused_in_one_sentence(case, folder, tmp_path):
    make, words = FILES[case]
    (tmp_path / "inside").mkdir()
    assert_refused(f"hub:{make(tmp_path / 'inside' / 'it', folder) if make else ''}", words)
    assert not list(tmp_path.rglob("escaped.txt"))


def test_an_archive_that_would_fill_the_disk_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(_hub_source, "_MAX_UNPACKED", 100)
    file = shutil.make_archive(str(tmp_path / "m"), "gztar", folder)
    assert_refused(f"hub:{file}", "it unpacks to more than")


# what is missing or wrong: size of the module, arguments of check, what the sentence says
ASKED = {
    "no size": (None, {}, "does not tell its input size: give --size"),
    "another size": (8, {"size": 16}, "takes images of 8 px only, not 16: leave --size out"),
    "no range": (8, {"options": {}}, "which pixel values it takes: give --input-range"),
    "other weights": (8, {"weights": "none"}, "takes no others, not none: leave --weights out"),
    "option of another": (8, {"options": {**RANGE, "filters": 4}}, "has no setting 'filters'"),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_a_module_does_not_tell_is_asked_for(case, tmp_path, write_module):
    size, asked, words = ASKED[case]
    assert_refused(f"hub:{write_module(tmp_path / 'm', size=size)}", words, **asked)


def test_a_size_that_the_graph_cannot_take_is_one_sentence(tmp_path, write_function):
    def halves(x):
        return mean(tf.reshape(x, (-1, 8, 8, 3)) * 1.0)

    name = f"hub:{write_function(tmp_path / 'm', halves, rgb(None, None, None, 3))}"
    backbones.build(name, size=8, options=RANGE)
    with pytest.raises(BackboneError, match="fails on an image of 9 px") as raised:
        backbones.build(name, size=9, options=RANGE)
    assert "\n" not in str(raised.value)


def test_without_network_a_url_names_the_ways_out(tmp_path, monkeypatch):
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    for exception in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(exception, "")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    url = "https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5"
    assert_refused(f"hub:{url}", "or fetch it elsewhere and give its folder or .tar.gz (hub:PATH)")


def forge(file: Path, folder: Path, *, honest: bool) -> Path:
    """A copy of a model's file with another graph; its checksum right too, where not honest."""
    forged = file.with_name("forged.keras")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(forged, "w") as new:
        config = json.loads(old.read("config.json"))
        module = next(x for x in config["config"]["layers"] if x["class_name"] == "HubModule")
        place = next(n for n in old.namelist() if n.endswith("/saved_model.pb"))
        place = place.removesuffix("saved_model.pb")
        files = _hub_source.contents(folder)
        if not honest:
            module["config"]["sha256"] = _hub_source.fingerprint(files)
        new.writestr("config.json", json.dumps(config))
        for name in old.namelist():
            if name != "config.json" and not name.startswith(place):
                new.writestr(name, old.read(name))
        for name, content in files.items():
            new.writestr(place + name, content)
    return forged


@pytest.mark.parametrize(
    ("honest", "words"), [(True, "in this file is damaged"), (False, "has the operation ReadFile")]
)
def test_a_saved_model_with_a_graph_of_another_is_not_loaded(
    honest, words, folder, tmp_path, write_function
):
    backbones.build(f"hub:{folder}", size=16, options=RANGE).model.save(tmp_path / "m.keras")
    evil = write_function(tmp_path / "evil", _reads, rgb(None, None, None, 3))
    with pytest.raises(ZooError) as raised:
        load_model(forge(tmp_path / "m.keras", evil, honest=honest))
    assert words in str(raised.value), raised.value


@pytest.mark.parametrize("writes", [False, True])
def test_a_graph_of_tensorflow_1_that_writes_when_it_is_called_is_refused(tmp_path, writes):
    tf1, place = tf.compat.v1, tmp_path / "m"
    with tf.Graph().as_default(), tf1.Session() as session:
        images = tf1.placeholder(tf.float32, (None, 8, 8, 3), "images")
        kernel = tf1.get_variable("kernel", (3, 4))
        save = tf.raw_ops.SaveV2(
            prefix=str(tmp_path / "written"),
            tensor_names=["kernel"],
            shape_and_slices=[""],
            tensors=[kernel],
        )
        with tf1.control_dependencies([save] if writes else []):
            features = tf.reduce_mean(images, (1, 2)) @ kernel
        session.run(tf1.global_variables_initializer())
        tf1.saved_model.simple_save(session, str(place), {"x": images}, {"features": features})
    if writes:
        assert_refused(f"hub:{place}", "has the operation SaveV2")
    else:
        assert backbones.get(f"hub:{place}").features == 4
    assert not list(tmp_path.glob("written*"))
