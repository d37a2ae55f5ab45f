"""A run as a classifier of scikit-learn: ``fit``, ``predict``, ``predict_proba``, ``score``."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import unicodedata
import weakref
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from zoo.aliases import advice
from zoo.errors import ZooError, disk_errors
from zoo.evaluate.images import Picture, collect
from zoo.evaluate.predict import by_reason, predict
from zoo.keywords import TrainingSettings, with_settings
from zoo.paths import runs_dir as runs_folder
from zoo.paths import user_path
from zoo.run_names import free_name
from zoo.runs import Run
from zoo.settings import describe
from zoo.train.job import finetune

if TYPE_CHECKING:
    from zoo.progress import Progress

# of a folder or manifest, which fit makes itself, and so of a teacher that knows its images
_OF_FILES = (
    *("class_level", "path_column", "label_column", "group_column", "group_pattern"),
    *("teacher", "teacher_weight"),
)


class ImageClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of images, as scikit-learn has them, that :func:`zoo.finetune` trains.

    Images are paths or pixels: a list of paths, of PIL images or of uint8 arrays (h, w, 3), or one
    uint8 array of shape (n, h, w, 3). ``fit`` holds out validation and test images of what it is
    given (``val_fraction``, ``test_fraction``), as every training does, so that the run that it
    leaves is evaluated. It works in ``cross_val_score``, ``GridSearchCV`` and pipelines, and can
    be pickled.

    Args:
        backbone: a family (``efficientnet``, ``resnet``, ``mobilenet``, ``cnn``), a variant, or a
            ``hub:`` module.
        runs_dir: folder that keeps the runs; if None, a run is kept as long as its classifier, in
            a temporary folder, and is part of its pickle.
        progress: shows the steps; a bar in a notebook, else silent, if None.
        **settings: each by its name; what is left out has its default.

    Attributes:
        classes_: the labels, sorted; in the order of the columns of ``predict_proba``.
        run_: the :class:`zoo.Run` that was trained.
    """

    @with_settings(*_OF_FILES)
    def __init__(
        self,
        backbone: str = "efficientnet",
        *,
        runs_dir: str | Path | None = None,
        progress: Progress | None = None,
        **settings: Unpack[TrainingSettings],
    ) -> None:
        self.backbone, self.runs_dir, self.progress = backbone, runs_dir, progress
        for name in sorted(set(settings) - set(_settings())):
            hint = advice(name, ["backbone", *_settings()])
            raise ZooError(f"ImageClassifier has no setting {name!r}: {hint}")
        for name, option in _settings().items():
            setattr(self, name, settings.get(name, option.default))

    def fit(self, X: Any, y: Sequence[Any], groups: Sequence[Any] | None = None) -> ImageClassifier:
        """Train.

        Args:
            X: images, see :class:`ImageClassifier`; n of them.
            y: labels of shape (n,): text, numbers or truth values.
            groups: of shape (n,); images of one group are never on both sides of a split.

        Raises:
            ZooError, BackboneError: one sentence that says what is wrong.
        """
        images, labels = _images(X), np.asarray(y)
        check_classification_targets(labels)
        if labels.ndim != 1 or len(labels) != len(images):
            raise ZooError(
                f"X and y must be as long as each other: there are {len(images)} images and labels "
                f"of shape {labels.shape}"
            )
        if groups is not None and len(groups) != len(images):
            raise ZooError(f"there are {len(groups)} groups for {len(images)} images")
        classes, codes = np.unique(labels, return_inverse=True)
        names = _class_names(classes)
        folder = self._folder()
        name = free_name("classifier", folder)
        manifest = _write_images(
            folder / "images" / name, images, [names[code] for code in codes], groups
        )
        settings: Any = {name: getattr(self, name) for name in _settings()}
        given = {k: v for k, v in settings.items() if v != describe()[k].default}
        self.run_ = finetune(
            self.backbone,
            manifest,
            name=name,
            runs_dir=folder,
            progress=self.progress,
            **given,
        )
        self.classes_ = classes
        return self

    def _folder(self) -> Path:
        """Where runs are kept; a temporary one ends with the classifier."""
        before = self.__dict__.pop("_clean", None)
        if before is not None:
            before()
        if self.runs_dir is not None:
            return runs_folder(self.runs_dir)
        folder = Path(tempfile.mkdtemp(prefix="zoo-"))
        self._clean = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, float32 of shape (n, k), in the order of ``classes_``.

        Raises:
            ZooError: one of the images cannot be used, since each must get a row.
        """
        check_is_fitted(self, "run_")
        found = predict(self.run_, X, progress=self.progress)
        if found.bad:
            first = next(iter(found.bad))
            raise ZooError(
                f"{first} is no usable image ({by_reason(found.bad)} in all): leave it out, since "
                f"every image must get a prediction"
            )
        order = [found.classes.index(name) for name in _class_names(self.classes_)]
        return found.probabilities[:, order]

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each image, of shape (n,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        # a temporary run would not be there for the one who loads the pickle
        temporary = state.pop("_clean", None) is not None
        if "run_" in state:
            state["run_"] = Run(self.run_.path)  # without the network that it may have loaded
            if temporary:
                state["_archive"] = _packed(self.run_.path)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        archive = state.pop("_archive", None)
        super().__setstate__(state)
        if archive is not None:
            folder = self._folder() / self.run_.name
            with zipfile.ZipFile(io.BytesIO(archive)) as file:
                file.extractall(folder)
            self.run_ = Run(folder)


def _settings() -> dict[str, Any]:
    return {n: o for n, o in describe().items() if n not in {"data", *_OF_FILES}}


def _class_names(classes: np.ndarray) -> list[str]:
    """Names of the classes in the run, in the order of the labels."""
    names = [unicodedata.normalize("NFC", str(label)).strip() for label in classes]
    if "" in names or len(set(names)) < len(names):
        raise ZooError(f"labels must differ in more than blanks, and not be empty: {names!r:.200}")
    return names


def _images(X: Any) -> list[Picture]:
    asked = collect(X)
    folders = [name for name, _ in asked.images if isinstance(name, Path)]
    given = len(X) if hasattr(X, "__len__") and not isinstance(X, str | bytes) else 1
    if asked.bad or asked.hidden or len(asked.images) != given:
        example = folders[0].parent if folders else X
        raise ZooError(f"X must name each image, not folders such as {example!s:.80}")
    return [image for _, image in asked.images]


def _write_images(
    folder: Path,
    images: list[Picture],
    labels: list[str],
    groups: Sequence[Any] | None,
) -> Path:
    """Manifest of the images: links to files, and PNG files of what is in memory."""
    with disk_errors(folder):
        folder.mkdir(parents=True)
        manifest = folder / "manifest.jsonl"
        with manifest.open("w", encoding="utf-8") as lines:
            for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                row = {"path": _write_image(folder, i, image), "label": label}
                if groups is not None:
                    row["group"] = str(groups[i])
                lines.write(json.dumps(row) + "\n")
    return manifest


def _write_image(folder: Path, number: int, image: Picture) -> str:
    """Name of the file in the folder."""
    if isinstance(image, Path):
        name = f"{number:06d}-{image.name}"
        (folder / name).symlink_to(user_path(image).resolve())
    elif isinstance(image, Image.Image):
        deep = image.mode in {"F", "I", "I;16B"}  # which PNG does not hold
        name = f"{number:06d}.{'tiff' if deep else 'png'}"
        plain = image if deep or image.mode in _PNG_MODES else image.convert("RGB")
        plain.save(folder / name, exif=image.getexif())
    else:
        name = f"{number:06d}.image"
        (folder / name).write_bytes(image)
    return name


_PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}


def _packed(folder: Path) -> bytes:
    """The files of a folder as a ZIP archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(folder).as_posix())
    return content.getvalue()
