"""zoo as it is met in Python: what is shown of runs, what can be predicted, what help says."""

import inspect
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.settings import describe

SMALL = {
    **{"size": 16, "filters": 8, "blocks": 2},
    **{"epochs": 8, "batch_size": 8, "augment": "none"},
}


@pytest.fixture(scope="module")
def made(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    patch = pytest.MonkeyPatch()
    patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
    try:
        return zoo.finetune(
            "cnn",
            digits_folder,
            name="made",
            runs_dir=tmp_path_factory.mktemp("runs"),
            **SMALL,
        )
    finally:
        patch.undo()


@pytest.fixture(scope="module")
def files(digits_folder: Path) -> list[Path]:
    return [sorted((digits_folder / name).iterdir())[0] for name in ("four", "one", "seven")]


@pytest.mark.parametrize("call", [zoo.finetune, zoo.tune, zoo.sweep, zoo.ImageClassifier])
def test_help_names_every_setting_with_default_and_range(call):
    documented = call.__init__ if inspect.isclass(call) else call
    text = " ".join(inspect.getdoc(documented).split())
    parameters = inspect.signature(call).parameters
    of_runs = {"teacher", "teacher_weight"}
    of_study = {"folds", "refit", *of_runs}
    left_out = {"tune": of_study, "sweep": of_study, "finetune": set()}
    of_files = of_runs | {
        "class_level",
        "path_column",
        "label_column",
        "group_column",
        "group_pattern",
    }
    for name, option in describe().items():
        if name in {"data", *left_out.get(call.__name__, of_files)}:
            continue
        assert f"{name} (" in text
        assert option.help in text
        assert option.range() in text
        assert parameters[name].default == option.default
    assert "learning_rate (number, 1e-08 to 10; default None: by optimizer" in text


def test_a_run_shows_its_accuracy(made):
    accuracy = made.metrics["test"]["accuracy"]["value"]
    assert f"cnn on digits, test accuracy {accuracy:.3f} [" in repr(made)
    shown = made._repr_html_()
    assert f"{accuracy:.3f}" in shown
    assert "validation" in shown


def test_a_damaged_run_says_so_in_place_of_raising(made, tmp_path):
    shutil.copytree(made.path, tmp_path / "runs" / "hurt")
    (tmp_path / "runs" / "hurt" / "metrics.json").write_text("[")
    with pytest.warns(UserWarning, match="changed"):
        hurt = zoo.load("hurt")
        assert repr(hurt).endswith("hurt', damaged)")
        assert "damaged" in hurt._repr_html_()
        assert "damaged" in repr(zoo.runs())


def test_names_of_others_are_escaped_in_a_notebook(made, tmp_path):
    record = dict(made.record, data={**made.record["data"], "name": "<script>alert(1)</script>"})
    run = zoo.Run(made.path)
    object.__getattribute__(run, "__dict__")["record"] = record
    assert "<script>" not in run._repr_html_()
    listing = type(zoo.runs())([run], lambda run: {"data": run.record["data"]["name"]})
    assert "<script>" not in listing._repr_html_()


def test_history_is_a_data_frame(made):
    history = made.history
    assert list(history.epoch) == list(range(1, len(history) + 1))
    assert history.val_loss.notna().all()
    assert history.train_loss.tolist() == [row["train_loss"] for row in made.epochs[0]]


def test_runs_list_and_load(made):
    found = zoo.runs(made.path.parent)
    assert [run.name for run in found] == ["made"]
    assert found.to_frame()["test accuracy"][0] == made.metrics["test"]["accuracy"]["value"]
    assert "made  cnn    digits" in repr(found)
    assert "<td>made</td>" in found._repr_html_()
    assert zoo.load("made", made.path.parent) == made
    assert [spec.family for spec in zoo.list("cnn")] == ["cnn"]
    assert "efficientnet-lite0" in zoo.list().to_frame()["name"].tolist()
    with pytest.raises(zoo.ZooError, match="did you mean 'resnet'"):
        zoo.list("resnets")


def test_predictions_can_be_counted_iterated_and_tabled(made, files):
    found = made.predict(files)
    assert len(found) == 3
    assert found.labels == [image.label for image in found]
    first = next(iter(found))
    assert first.file == files[0]
    assert first.probability == max(first.probabilities.values()) == found.probabilities[0].max()
    table = found.to_frame()
    assert list(table.columns) == ["file", "label", "probability", "four", "one", "seven"]
    assert table.one.tolist() == found.probabilities[:, 1].tolist()
    assert "Prediction(3 images: " in repr(found)
    assert "<table" in found._repr_html_()


def rgb(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


GIVEN = {
    "one path": lambda files: files[0],
    "paths as text": lambda files: [str(file) for file in files],
    "a generator": lambda files: (file for file in files),
    "an array of paths": lambda files: np.array(list(map(str, files))),
    "bytes": lambda files: files[0].read_bytes(),
    "several bytes": lambda files: [file.read_bytes() for file in files],
    "a PIL image": lambda files: Image.open(files[0]),
    "PIL images": lambda files: [Image.open(file) for file in files],
    "an array": lambda files: rgb(files[0]),
    "a grey array": lambda files: rgb(files[0])[..., 0],
    "a batch": lambda files: np.stack([rgb(file) for file in files]),
    "arrays in a list": lambda files: [rgb(file) for file in files],
    "a mixture": lambda files: [files[0], rgb(files[1]), files[2].read_bytes()],
}


ONE = {"one path", "bytes", "a PIL image", "an array", "a grey array"}


@pytest.mark.parametrize("kind", GIVEN)
def test_the_same_image_has_the_same_prediction_however_it_is_given(kind, made, files):
    found = made.predict(GIVEN[kind](files))
    expected = made.predict(files).probabilities
    assert np.ptp(expected, axis=0).max() > 0.1  # or any image would do
    assert len(found) == (1 if kind in ONE else 3)
    np.testing.assert_allclose(found.probabilities, expected[: len(found)], atol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pil_images_of_any_mode_are_seen_as_their_files(mode, made, tmp_path):
    grey = Image.fromarray(np.arange(0, 250, dtype=np.uint8).reshape(10, 25))
    if mode == "I;16":
        image = Image.fromarray(np.arange(0, 50000, 200, dtype=np.uint16).reshape(10, 25))
    else:
        image = grey.convert("RGB").convert(mode) if mode in {"P", "CMYK"} else grey.convert(mode)
    image.save(tmp_path / "x.tiff")
    want = made.predict(tmp_path / "x.tiff").probabilities
    np.testing.assert_allclose(made.predict(image).probabilities, want, atol=1e-6)


def test_a_turned_pil_image_is_set_upright(made, files):
    turned = Image.open(files[0]).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    turned.save(content, "PNG", exif=exif)
    found = made.predict(Image.open(content)).probabilities
    np.testing.assert_allclose(found, made.predict(files[0]).probabilities, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "images cannot be None: give paths, folders, bytes"),
        (7, "images cannot be an int"),
        ({"a.png": 1}, "images cannot be a dict"),
        ([3], "an image cannot be an int"),
        ([[[0, 0, 0]]], "an image cannot be a list"),
        ([], "no images are given"),
        (np.zeros((8, 8, 3)), "must be uint8 in 0..255, not float64: multiply by 255"),
        (np.zeros((8, 8, 3), np.int64), "must be uint8 in 0..255, not int64: convert"),
        (np.zeros((8, 8, 4), np.uint8), r"shape \(H, W, 3\), RGB, or \(n, H, W, 3\), not \(8, 8"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"not \(3, 8, 8\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no images are given"),
        (np.zeros((0, 8, 3), np.uint8), r"not \(0, 8, 3\)"),
        (np.uint8(3) * np.ones(5, np.uint8), r"not \(5,\)"),
        (b"nothing", "image 0 is no usable image"),
        (b"", "image 0 is no usable image"),
        (Image.new("RGB", (0, 4)), "image 0 is no usable image: an image without pixels"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(given, said, made):
    with pytest.raises(zoo.ZooError, match=said):
        made.predict(given)


BEFORE_TENSORFLOW = """
import sys, zoo
run = zoo.Run(zoo.runs(sys.argv[1])[0].path)
for images in (sys.argv[2], [], b"no image", 3):
    try:
        run.predict(images)
    except zoo.ZooError as error:
        assert not {"tensorflow", "keras"} & set(sys.modules), error
    else:
        raise SystemExit("predicted")
"""


def test_no_image_is_refused_before_tensorflow_is_imported(made, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    call = [sys.executable, "-c", BEFORE_TENSORFLOW, str(made.path.parent), str(tmp_path)]
    subprocess.run(call, check=True, cwd=Path(zoo.__file__).parents[1])


def test_reports_are_written_by_the_run(made, tmp_path):
    assert made.report(tmp_path / "page.html").read_text().count("<h1") == 1


@pytest.mark.parametrize("given", [("one", "two"), (["one", "two"],), (["one", "two"], "soft")])
def test_members_of_an_ensemble_one_by_one_or_as_a_list(given, made, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(made.path, tmp_path / "runs" / name)
    found = zoo.ensemble(*given)
    assert found.record["settings"]["members"] == ["one", "two"]
    assert found.history.empty
    with pytest.raises(zoo.ZooError, match="a member must be a run, its name or its path, not 3"):
        zoo.ensemble("one", 3)
