"""Exported models predict what the run does; those that do not are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import zoo
from ensembles.pipeline import METHODS, Ensemble
from zoo.errors import ZooError
from zoo.exporting import graph as graphs
from zoo.exporting.formats import FORMATS
from zoo.runs import Run

SMALL = {"size": 32, "filters": 8, "blocks": 2, "epochs": 6, "dropout": 0.4, "mix": "none"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Two networks that see images in other sizes, and their ensemble."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        patch.setenv("ZOO_RUNS", str(folder / "runs"))
        runs = {
            "one": zoo.finetune("cnn", "digits", name="one", **SMALL),
            "two": zoo.finetune(
                "cnn", "digits", name="two", **{**SMALL, "size": 24, "resize": "pad", "seed": 1}
            ),
        }
        # without dropout, which draws from a state that ONNX cannot hold
        runs["norm"] = zoo.finetune("cnn", "digits", name="norm", **{**SMALL, "dropout": 0.0})
        runs["both"] = zoo.ensemble("one", "two", method="stack", name="both")
        yield runs


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_agrees_with_its_run(name: str, made: dict[str, Run], tmp_path: Path) -> None:
    found = zoo.export(made["one"], name, output=tmp_path / "out")
    assert not found.certificate.faults
    assert [one.takes for one in found.certificate.agreements] == list(FORMATS[name].takes)
    for one in found.certificate.agreements:
        assert one.images > 100 and one.largest < 0.005 and one.changed == 0
        assert one.accuracy == one.run_accuracy > 0.5 and one.ms > 0
    assert found.model.exists()
    card = json.loads((found.folder / "card.json").read_text())
    assert card["classes"] == made["one"].classes and card["format"] == name
    assert card["metrics"]["test"]["accuracy"]["value"] > 0.5
    stored = json.loads((found.folder / "certificate.json").read_text())
    assert stored["holds"] and stored["bytes"] > 1000


@pytest.mark.parametrize("name", ["savedmodel", "onnx", "openvino"])
def test_an_ensemble_is_one_model(name: str, made: dict[str, Run], tmp_path: Path) -> None:
    found = zoo.export(made["both"], name, output=tmp_path / "out")
    assert not found.certificate.faults
    again = zoo.verify(found.folder, made["both"])
    assert again.agreements[0].largest == pytest.approx(
        found.certificate.agreements[0].largest, abs=1e-6
    )


def test_a_client_needs_no_zoo(made: dict[str, Run], tmp_path: Path) -> None:
    """Names, types and shapes as the guide says."""
    import onnxruntime

    found = zoo.export(made["one"], "onnx", output=tmp_path / "out")
    session = onnxruntime.InferenceSession(found.model)
    assert [(i.name, i.type, i.shape[3]) for i in session.get_inputs()] == [
        ("images", "tensor(uint8)", 3)
    ]
    rgb = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), np.uint8)
    (p,) = session.run(["probabilities"], {"images": rgb})
    np.testing.assert_allclose(p, made["one"].predict(rgb).probabilities, atol=0.005)
    classes = session.get_modelmeta().custom_metadata_map["classes"].split("\n")
    assert classes == made["one"].classes


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {}


def fault(function: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    FAULTS[function.__name__] = function
    return function


@fault
def another_resizing(patch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    def plain(images: object, size: int, resize: str) -> object:
        return tf.image.resize(tf.cast(images, tf.float32), (size, size), "nearest")

    patch.setattr(graphs, "resized", plain)


@fault
def another_range(patch: pytest.MonkeyPatch) -> None:
    real = graphs.resized
    patch.setattr(graphs, "resized", lambda *args: real(*args) / 255.0)


@fault
def training_mode(patch: pytest.MonkeyPatch) -> None:
    import keras

    class Training(keras.Model):
        def __init__(self, model: keras.Model) -> None:
            super().__init__()
            self.inner = model

        def call(self, x: object, training: bool = False) -> object:
            return self.inner(x, training=True)

    patch.setattr(graphs, "folded", lambda model, inference: Training(model))


@fault
def another_temperature(patch: pytest.MonkeyPatch) -> None:
    real = graphs.Graph.of_views
    patch.setattr(graphs.Graph, "of_views", lambda *args: graphs._scaled(real(*args), 1.3))


@fault
def classes_exchanged(patch: pytest.MonkeyPatch) -> None:
    real = graphs.Graph.of_views
    patch.setattr(graphs.Graph, "of_views", lambda *args: real(*args)[:, ::-1])


@pytest.mark.parametrize("name", FAULTS)
def test_what_does_not_agree_is_refused(
    name: str, made: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FAULTS[name](monkeypatch)
    with pytest.raises(ZooError, match="does not agree"):
        # frozen into a file, batch statistics could not change: TensorFlow refuses to write it
        form = "savedmodel" if name == "training_mode" else "onnx"
        zoo.export(made["norm"], form, output=tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}  # nothing is left


def test_red_and_blue_exchanged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On photos with colour: digits have none."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, colour in {"red": (200, 60, 50), "blue": (50, 60, 200)}.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(60):
            pixels = np.clip(rng.normal(colour, 40, (20, 20, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    zoo.finetune("cnn", tmp_path / "photos", name="a", **{**SMALL, "epochs": 8, "dropout": 0.0})
    real = graphs.resized
    assert not zoo.export("a", "onnx").certificate.faults
    monkeypatch.setattr(graphs, "resized", lambda x, *how: real(x, *how)[..., ::-1])
    with pytest.raises(ZooError, match="does not agree"):
        zoo.export("a", "onnx", output=tmp_path / "out")


def test_8_bits_are_allowed_a_stated_loss(made: dict[str, Run], tmp_path: Path) -> None:
    found = zoo.export(made["one"], "litert", int8=True, output=tmp_path / "out", max_loss=1.0)
    one = found.certificate.agreements[0]
    assert found.certificate.int8 and one.largest > 0.001
    limit = replace(found.certificate, max_loss=one.loss_change - 0.001)
    assert len(limit.faults) == 1 and "--max-loss" in limit.faults[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"format": "onx"}, "did you mean 'onnx'"),
        ({"format": "onnx", "int8": True}, "litert"),
        ({"format": "onnx", "max_latency": 0}, "above 0"),
        ({"format": "onnx", "max_latency": 1e-6}, "1e-06 are allowed"),
        ({"format": "onnx", "output": "."}, "exists"),
        ({"run": "both", "format": "litert"}, "several"),
        ({"run": "both", "format": "keras"}, "does not hold"),
    ],
)
def test_wrong_requests_are_told(
    arguments: dict[str, object], says: str, made: dict[str, Run], tmp_path: Path
) -> None:
    run = made[str(arguments.pop("run", "one"))]
    with pytest.raises(ZooError, match=says):
        zoo.export(run, **{"output": tmp_path / "out", **arguments})
    assert not (tmp_path / "out").exists()


def test_an_export_of_another_run_is_told(made: dict[str, Run], tmp_path: Path) -> None:
    found = zoo.export(made["one"], "onnx", output=tmp_path / "out")
    with pytest.raises(ZooError, match="no export"):
        zoo.verify(tmp_path / "elsewhere", made["one"])
    assert zoo.verify(found.model, made["two"]).faults  # the same classes, another network


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_combination_is_the_same_arithmetic(method: str) -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    labels[labels == 3] = 0  # a class that is in no label
    members = rng.dirichlet(np.full(4, 0.5), (3, 300)).astype(np.float32)
    members[:, np.arange(300), labels] += 0.5
    members /= members.sum(axis=2, keepdims=True)
    ensemble = Ensemble(METHODS[method]()).fit(list(members), labels)
    combine = graphs.combination_of(ensemble)
    found = combine([tf.constant(p) for p in members]).numpy()
    np.testing.assert_allclose(found, ensemble.combine(members), atol=2e-5)


def test_files_for_docker(made: dict[str, Run], tmp_path: Path) -> None:
    found = zoo.export(made["one"], docker=True, output=tmp_path / "out")
    lines = (found.folder / "Dockerfile").read_text().splitlines()
    (copied,) = [line.split()[1] for line in lines if line.startswith("COPY")]
    assert (found.folder / copied / "saved_model.pb").is_file()
    service = yaml.safe_load((found.folder / "compose.yaml").read_text())["services"]["model"]
    assert service["build"] == "." and service["ports"] == ["127.0.0.1:8501:8501"]
    with pytest.raises(ZooError, match="made of a SavedModel, not of onnx: leave --format out"):
        zoo.export(made["one"], "onnx", docker=True, output=tmp_path / "other")
    assert not (tmp_path / "other").exists()
