"""Weights and modules of others that would take memory, or read files that are not theirs."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

import backbones
from backbones import BackboneError, check_weights
from zoo.errors import ZooError
from zoo.keras_setup import load_model

OPTIONS = {"blocks": 2, "filters": 4}


def compressed(file: h5py.File) -> None:
    file.create_dataset("bomb", (400, 1 << 20), "u1", compression="gzip", chunks=(1, 1 << 20))


def without_content(file: h5py.File) -> None:
    file.create_dataset("hole", (1 << 30,), "f4", chunks=(1 << 20,))


def many(file: h5py.File) -> None:
    for i in range(300):
        file.create_dataset(f"part{i}", (1 << 20,), "u1", compression="gzip")


def external(file: h5py.File) -> None:
    file.create_dataset("d", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def external_link(file: h5py.File) -> None:
    file["layers"] = h5py.ExternalLink("/tmp/other.h5", "/")


def soft_link(file: h5py.File) -> None:
    file["loop"] = h5py.SoftLink("/loop")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (4,))
    file.create_virtual_dataset("v", layout)


@pytest.mark.parametrize("kind", [".weights.h5", ".keras"])
@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (compressed, "declares 419,430,400 bytes"),
        (without_content, "declares 4,294,967,296 bytes"),
        (many, "declares 314,572,800 bytes"),
        (external, "another file"),
        (external_link, "link to elsewhere"),
        (soft_link, "link to elsewhere"),
        (virtual, "another file"),
    ],
)
def test_a_weights_file_that_is_larger_or_elsewhere_is_refused(tmp_path, fill, words, kind):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    path = tmp_path / f"w{kind}"
    if kind == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", content.getvalue())
        with pytest.raises(ZooError, match=words):
            load_model(path)
    else:
        path.write_bytes(content.getvalue())
    with pytest.raises(BackboneError, match=words):
        backbones.build("cnn", size=16, weights=str(path), options=OPTIONS)


def test_a_zip_that_is_larger_than_it_is_is_refused(tmp_path):
    path = tmp_path / "w.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(300 << 20))
    with pytest.raises(ZooError, match="declares 314,572,800 bytes"):
        load_model(path)


def test_honest_weights_pass_whatever_their_content(tmp_path):
    backbone = backbones.build("cnn", size=16, weights="none", options=OPTIONS)
    for weight in backbone.model.weights:
        weight.assign(np.zeros(weight.shape))
    backbone.model.save_weights(tmp_path / "w.weights.h5")
    check_weights(tmp_path / "w.weights.h5")


@pytest.mark.parametrize(
    ("kind", "packed"),
    [(kind, packed) for kind in ("K", "L", "x", "g") for packed in (True, False)],
    ids=lambda x: {True: "gzip", False: "plain"}.get(x, x),
)
def test_an_archive_with_a_name_of_megabytes_is_refused(tmp_path, kind, packed):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind.encode(), 64 << 20
    path = tmp_path / ("m.tar.gz" if packed else "m.tar")
    with gzip.open(path, "wb", 1) if packed else path.open("wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(header.size))
        file.write(tarfile.TarInfo("saved_model.pb").tobuf() + bytes(1024))
    with pytest.raises(BackboneError, match="a header of 67,108,864 bytes"):
        backbones.build(f"hub:{path}", size=16, options={"input_range": "0..1"})


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize(
    "place", ["assets/a.txt", "assets/deep/a.txt", "variables/variables.index"]
)
def test_a_link_out_of_a_saved_model_is_refused(tmp_path, write_function, place, absolute):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = tmp_path / "module"
    write_function(folder, lambda x: tf.reduce_mean(x, (1, 2)), tf.TensorSpec((None, 8, 8, 3)))
    link = folder / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    up = "/".join([".."] * len(Path(place).parts))
    link.symlink_to(secret if absolute else f"{up}/secret.txt")
    with pytest.raises(BackboneError, match="link that leaves its folder"):
        backbones.build(f"hub:{folder}", size=8, options={"input_range": "0..1"})


def test_a_gradient_that_writes_is_refused(tmp_path):
    @tf.custom_gradient
    def sly(x):
        def gradient(upstream):
            tf.raw_ops.SaveV2(
                prefix=str(tmp_path / "x"), tensor_names=["a"], shape_and_slices=[""], tensors=[x]
            )
            return upstream

        return tf.identity(x), gradient

    module = tf.Module()
    module.__call__ = tf.function(lambda x: tf.reduce_mean(sly(x), (1, 2)))
    module.__call__.get_concrete_function(tf.TensorSpec((None, 8, 8, 3)))
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, str(tmp_path / "module"), options=options)
    with pytest.raises(BackboneError, match="has the operation SaveV2"):
        backbones.build(f"hub:{tmp_path / 'module'}", size=8, options={"input_range": "0..1"})
