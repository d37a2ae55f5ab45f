"""The classifier for scikit-learn: its contract, cross-validation, grid search, pickles."""

import copy
import gc
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import estimator_checks

import zoo
from zoo import ImageClassifier

SMALL = {
    "size": 16,
    "filters": 8,
    "blocks": 2,
    "epochs": 8,
    "batch_size": 8,
    "augment": "none",
    "test_fraction": 0.1,
}
CONTRACT = [
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
]


@pytest.fixture(scope="module")
def pixels(digits_folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 of shape (150, 16, 16, 3), and labels in no order."""
    files = [file for name in ("one", "four", "seven") for file in sorted((digits_folder / name).iterdir())[:50]]  # fmt: skip  # noqa: E501
    order = np.random.default_rng(0).permutation(len(files))
    images = np.stack([np.asarray(Image.open(files[i]).convert("RGB")) for i in order])
    return images, np.array([files[i].parent.name for i in order])


@pytest.fixture(scope="module")
def fitted(pixels, tmp_path_factory: pytest.TempPathFactory) -> ImageClassifier:
    patch = pytest.MonkeyPatch()
    patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
    try:
        return ImageClassifier("cnn", **SMALL).fit(*pixels)
    finally:
        patch.undo()


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract_of_scikit_learn(check):
    check("ImageClassifier", ImageClassifier("cnn", epochs=2))


def test_settings_are_parameters():
    model = ImageClassifier("cnn", epochs=2)
    assert model.get_params()["epochs"] == 2
    assert clone(model).set_params(epochs=3).epochs == 3
    assert model.epochs == 2
    assert repr(model) == "ImageClassifier(backbone='cnn', epochs=2)"
    assert is_classifier(model)
    with pytest.raises(zoo.ZooError, match="no setting 'epoch': "):
        ImageClassifier("cnn", epoch=3)


def test_fit_predict_score(fitted, pixels):
    images, labels = pixels
    assert fitted.classes_.tolist() == ["four", "one", "seven"]
    probabilities = fitted.predict_proba(images[:5])
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert fitted.predict(images[:5]).tolist() == fitted.classes_[probabilities.argmax(1)].tolist()
    assert fitted.score(images, labels) > 0.6
    assert fitted.run_.metrics["test"]["accuracy"]["n"] > 0


def test_paths_and_pixels_are_the_same(fitted, pixels, tmp_path):
    images = pixels[0][:3]
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    want = fitted.predict_proba(images)
    for given in (files, list(map(str, files)), np.array(list(map(str, files))), list(images)):
        np.testing.assert_allclose(fitted.predict_proba(given), want, atol=1e-6)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])  # noqa: S301
def test_a_copy_stands_on_its_own(copied, fitted, pixels):
    images = pixels[0][:4]
    other = copied(fitted)
    assert other.run_.path != fitted.run_.path
    np.testing.assert_allclose(other.predict_proba(images), fitted.predict_proba(images), atol=1e-6)
    place = other.run_.path
    del other
    gc.collect()
    assert not place.exists()
    assert fitted.run_.path.exists()


def test_labels_that_are_numbers_and_groups(pixels, tmp_path):
    images, names = pixels
    labels = np.array([{"one": 10, "four": 4, "seven": -7}[name] for name in names])
    groups = np.arange(len(labels)) // 2
    model = ImageClassifier("cnn", runs_dir=tmp_path / "kept", **SMALL).fit(images, labels, groups)
    assert model.classes_.tolist() == [-7, 4, 10]
    assert set(model.predict(images[:9])) <= {-7, 4, 10}
    assert model.score(images, labels) > 0.6
    assert model.run_.record["data"]["groups"] <= len(set(groups))
    assert [run.name for run in zoo.runs(tmp_path / "kept")] == [model.run_.name]
    assert pickle.loads(pickle.dumps(model)).run_ == model.run_  # noqa: S301


def test_cross_validation_and_grid_search(pixels, digits_folder):
    files = [str(f) for name in ("one", "four") for f in sorted((digits_folder / name).iterdir())[:30]]  # fmt: skip  # noqa: E501
    labels = [Path(file).parent.name for file in files]
    model = ImageClassifier("cnn", **{**SMALL, "epochs": 1})
    scores = cross_val_score(model, np.array(files), labels, cv=2, error_score="raise")
    assert scores.shape == (2,)
    search = GridSearchCV(model, {"batch_size": [8, 16]}, cv=2, error_score="raise")
    search.fit(np.array(files), labels)
    assert search.best_params_["batch_size"] in (8, 16)
    assert search.predict(files[:2]).shape == (2,)


IMAGE = np.zeros((4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (IMAGE, ["a", "b"], "there are 4 images and labels of shape"),
        (IMAGE, [0.5, 0.25, 0.1, 0.7], "Unknown label type"),
        (IMAGE, ["a", "a ", "b", "b"], "labels must differ in more than blanks"),
        (IMAGE.astype(float), list("abab"), "must be uint8"),
        (["nowhere.png"] * 4, list("abab"), "there is no image nowhere.png"),
        (5, [1], "images cannot be an int"),
    ],
)
def test_what_cannot_be_fitted_is_said(images, labels, said):
    with pytest.raises(ValueError, match=said):
        ImageClassifier("cnn", **SMALL).fit(images, labels)


def test_folders_and_bad_images_have_no_row(fitted, digits_folder, tmp_path):
    with pytest.raises(zoo.ZooError, match="X must name each image, not folders"):
        ImageClassifier("cnn").fit([digits_folder / "one", digits_folder / "four"], ["a", "b"])
    (tmp_path / "bad.png").write_bytes(b"no image")
    good = next((digits_folder / "one").iterdir())
    with pytest.raises(zoo.ZooError, match=r"bad.png is no usable image .*leave it out"):
        fitted.predict([good, tmp_path / "bad.png"])


def test_what_is_not_fitted_says_so():
    with pytest.raises(NotFittedError):
        ImageClassifier("cnn").predict(IMAGE)
