"""Where images come from: a folder, a CSV manifest, TensorFlow Datasets, or a built-in set.

Each source gives a catalogue; nothing is decoded here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.data import builtin, hints
from zoo.data.catalog import SPLITS, Catalog, make_catalog
from zoo.data.folders import scan_folder, split_role
from zoo.data.groups import of_names, of_pattern, united
from zoo.data.manifest import SUFFIXES, Columns, scan_manifest
from zoo.errors import ZooError
from zoo.paths import cache_dir, new_folder, user_path
from zoo.settings import Settings

_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}


@dataclass(frozen=True)
class Reading:
    """How a source is to be read.

    Attributes:
        class_level: folders: which folder below the split names the class, from 1.
        path_column, label_column: manifest: the columns' names, ``path`` and ``label`` if empty.
        group_column: manifest: the column of the group, ``group`` if empty and there is one.
        group_pattern: regular expression that names the group by the path, none if empty.
    """

    class_level: int = 1
    path_column: str = ""
    label_column: str = ""
    group_column: str = ""
    group_pattern: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Reading:
        """As the settings say."""
        return cls(
            settings.class_level,
            settings.path_column or "",
            settings.label_column or "",
            settings.group_column or "",
            settings.group_pattern or "",
        )

    @property
    def columns(self) -> Columns:
        """The columns of a manifest."""
        return Columns(
            self.path_column or Columns.path,
            self.label_column or Columns.label,
            group=self.group_column or Columns.group,
            given=frozenset(filter(None, [self.group_column])),
        )


def scan(source: str, reading: Reading | None = None) -> Catalog:
    """Catalogue of a data source.

    Args:
        source: a folder of class folders; a folder with ``train`` and ``val`` or ``test`` (with
            ``train`` and ``val`` alone, ``val`` is the held-out test); a ``.csv`` manifest with
            the columns path, label and perhaps split; ``tfds:NAME``; or a built-in set's name.

    Raises:
        ZooError: nothing there, no images, or fewer than two classes.
    """
    reading = reading or Reading()
    try:
        catalog = _scan(source, reading)
    except OSError as error:
        raise ZooError(
            f"{source:.200} cannot be read ({error.strerror}): check the path and its permissions"
        ) from error
    if not len(catalog):
        loose = "".join(f" ({note})" for note in catalog.notes[:1])
        hint = hints.for_empty(user_path(source)) or "expected a folder for each class, with images"
        raise ZooError(f"{source} holds no images in class folders: {hint}{loose}")
    if len(catalog.classes) < 2:
        raise ZooError(
            f"{source} holds one class ({catalog.classes[0]}): a classifier needs at least two, "
            f"each in its own folder"
        )
    if reading.group_pattern:
        named = of_names(of_pattern(catalog.ids, reading.group_pattern))
        catalog = replace(catalog, groups=united(catalog.groups, named))
    return catalog


def check_place(source: str) -> None:
    """Raise if there is neither a folder nor a manifest; quick, it reads nothing.

    Raises:
        ZooError: nothing there, or a file that is no manifest.
    """
    if source in builtin.SETS or source.startswith("tfds:"):
        return
    path = hints.with_manifest(user_path(source))
    if not path.is_dir() and path.suffix.lower() not in SUFFIXES:
        _local(source, Reading())


def _scan(source: str, reading: Reading) -> Catalog:
    if source in builtin.SETS:
        catalog = builtin.load(source)
        if Path(source).is_dir():
            note = f"{source} is the built-in set; --data ./{source} names the folder {source}/"
            catalog = replace(catalog, notes=(note, *catalog.notes))
        return catalog
    if source.startswith("tfds:"):
        return _tfds(source.removeprefix("tfds:"))
    return _local(source, reading)


def _local(source: str, reading: Reading) -> Catalog:
    path = hints.with_manifest(user_path(source))
    if path.is_dir():
        for option in ("path_column", "label_column", "group_column"):
            if getattr(reading, option):
                raise ZooError(
                    f"--{option.replace('_', '-')} {getattr(reading, option)} is of a manifest, "
                    f"and {source} is a folder: leave it out, or give the manifest as --data"
                )
        return scan_folder(path, reading.class_level)
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return scan_manifest(path, reading.columns)
    if path.is_file() and path.suffix.lower() in _ARCHIVES:
        raise ZooError(f"--data {source} is an archive: unpack it, and give the folder")
    if path.is_file():
        raise ZooError(
            f"--data {source} is a file: expected a folder, or a manifest ending in "
            f"{', '.join(SUFFIXES)}"
        )
    raise ZooError(f"there is no data at {source}: {hints.for_missing(source, path)}")


def _tfds(name: str) -> Catalog:
    """A data set of TensorFlow Datasets, its encoded images written once below the cache."""
    key = hashlib.sha256(name.encode()).hexdigest()[:8]
    folder = cache_dir() / "tfds" / f"{name.replace('/', '-').replace(':', '-')}-{key}"
    if not folder.is_dir():
        with new_folder(folder) as temporary:
            _export_tfds(name, temporary)
    catalog = scan_folder(folder)
    return make_catalog(
        name.split("/")[0].split(":")[0],
        folder,
        [
            (sample, catalog.classes[catalog.labels[i]], str(catalog.splits[i]))
            for i, sample in enumerate(catalog.ids)
        ],
    )


def _role(split: str) -> str:
    """The split's role, empty for one that is neither train, val nor test."""
    role, rest = split_role(split.split("[")[0])
    return role if role in SPLITS and not rest else ""


def _export_tfds(name: str, target: Path) -> None:
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder(name)
        builder.download_and_prepare()
    except Exception as error:  # the library raises its own and its downloader's many errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ZooError(
            f"tfds:{name} could not be loaded ({reason[:200]}): check the name, or prepare it on a "
            f"connected machine and set TFDS_DATA_DIR"
        ) from error
    features = builder.info.features
    fields = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    if not all(isinstance(fields.get(field), kind) for field, kind in kinds.items()):
        raise ZooError(
            f"tfds:{name} is no image classification set: it has "
            f"{', '.join(fields) or 'no fields'}, but an image and a class label are needed"
        )
    if not any(_role(split) for split in builder.info.splits):
        raise ZooError(
            f"tfds:{name} has no split named train, validation or test: it has "
            f"{', '.join(builder.info.splits) or 'none'}"
        )
    decoders = {"image": tfds.decode.SkipDecoding()}
    for split in builder.info.splits:
        role = _role(split)
        if not role:
            continue
        data = builder.as_dataset(split=split, decoders=decoders)
        for i, example in enumerate(tfds.as_numpy(data)):
            if example["label"] < 0:  # a test set whose labels are kept secret
                continue
            label = fields["label"].int2str(int(example["label"])).replace("/", "-")
            file = target / role / label / f"{i:07d}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(example["image"])
