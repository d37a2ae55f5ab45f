"""Where images come from: a folder, a CSV manifest, TensorFlow Datasets, or a built-in set.

Each source gives a catalogue; nothing is decoded here.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.data import builtin
from zoo.data.catalog import Catalog, Sample, make_catalog
from zoo.data.groups import of_names, of_pattern, united
from zoo.errors import ZooError, nearest
from zoo.paths import cache_dir, new_folder, user_path
from zoo.settings import Settings

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_SKIPPED = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Reading:
    """How a source is to be read.

    Attributes:
        group_column: manifest column with the group, ``group`` if empty and there is one.
        group_pattern: regular expression that names the group by the path, none if empty.
    """

    group_column: str = ""
    group_pattern: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Reading:
        """As the settings say."""
        return cls(settings.group_column or "", settings.group_pattern or "")


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
        raise ZooError(f"{source} holds no images: expected a folder for each class, with images")
    if len(catalog.classes) < 2:
        raise ZooError(
            f"{source} holds one class ({catalog.classes[0]}): a classifier needs at least two, "
            f"each in its own folder"
        )
    if reading.group_pattern:
        named = of_names(of_pattern(catalog.ids, reading.group_pattern))
        catalog = replace(catalog, groups=united(catalog.groups, named))
    return catalog


def _scan(source: str, reading: Reading) -> Catalog:
    if source in builtin.SETS:
        return builtin.load(source)
    if source.startswith("tfds:"):
        return _tfds(source.removeprefix("tfds:"))
    return _local(source, reading)


def _local(source: str, reading: Reading) -> Catalog:
    path = user_path(source)
    if path.is_dir():
        return _folder(path)
    if path.is_file() and path.suffix.lower() in {".csv", ".tsv"}:
        return _manifest(path, reading)
    if path.is_file():
        raise ZooError(
            f"--data {source} is a file: expected a folder, or a manifest ending in .csv"
        )
    hint = nearest(source, builtin.SETS) if os.sep not in source else "check the path"
    raise ZooError(f"there is no data at {source}: {hint}")


def _visible_folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _folder(path: Path) -> Catalog:
    folders = _visible_folders(path)
    roles = {
        f.name: _SPLIT_NAMES[f.name.lower()] for f in folders if f.name.lower() in _SPLIT_NAMES
    }
    if "train" not in roles.values() or not any(_visible_folders(path / n) for n in roles):
        return _catalog(path, [(f, "") for f in folders])
    if len(set(roles.values())) < len(roles):
        raise ZooError(f"{path} has two folders for one split: {', '.join(sorted(roles))}")
    if "test" not in roles.values():
        # as in iNaturalist-12K: what is called val is the only held-out data, so it is the test
        roles = {name: "test" if role == "val" else role for name, role in roles.items()}
    pairs = [(c, role) for name, role in roles.items() for c in _visible_folders(path / name)]
    return _catalog(path, pairs)


def _catalog(root: Path, class_folders: list[tuple[Path, str]]) -> Catalog:
    rows = [
        (file.relative_to(root).as_posix(), folder.name, split)
        for folder, split in class_folders
        for file in _files(folder)
    ]
    filled = {label for _, label, _ in rows}
    empty = sorted({folder.name for folder, _ in class_folders} - filled)
    if empty and filled:
        raise ZooError(
            f"class {empty[0]!r} of {root} has no files: add images, or remove its folder"
        )
    name = root.resolve().name
    catalog = make_catalog(name, root, rows)
    untrained = {catalog.classes[k] for k in set(catalog.labels[catalog.splits == "test"])} - {
        catalog.classes[k] for k in set(catalog.labels[catalog.splits != "test"])
    }
    if untrained:
        raise ZooError(
            f"class {min(untrained)!r} of {root} is in the test images only: it cannot be learnt; "
            f"remove it there, or add training images"
        )
    return catalog


def _files(folder: Path) -> Iterator[Path]:
    seen = {str(above) for above in Path(os.path.realpath(folder)).parents}
    for directory, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:  # a link to a folder above
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(s for s in subfolders if not s.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.lower() not in _SKIPPED:
                yield Path(directory) / name


def image_files(folder: Path) -> list[Path]:
    """Files below a folder whose suffix is an image's, sorted."""
    from PIL import Image

    known = set(Image.registered_extensions())
    return [file for file in _files(folder) if file.suffix.lower() in known]


def _manifest(path: Path, reading: Reading) -> Catalog:
    rows: list[Sample] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            grouped = reading.group_column or "group"
            missing = {"path", "label", *filter(None, [reading.group_column])} - set(
                reader.fieldnames or ()
            )
            if missing:
                raise ZooError(
                    f"manifest {path} has no column {min(missing)!r}: its first line must name "
                    f"path, label and, if wanted, split; it is {','.join(reader.fieldnames or ())}"
                )
            rows.extend(_manifest_row(path, reader.line_num, row, grouped) for row in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ZooError(f"manifest {path} is not a CSV file in UTF-8 ({error})") from error
    twice = {sample for sample, *_ in rows}
    if len(twice) < len(rows):
        counts: dict[str, int] = {}
        for sample, *_ in rows:
            counts[sample] = counts.get(sample, 0) + 1
        first = next(sample for sample, count in counts.items() if count > 1)
        raise ZooError(f"manifest {path} lists {first} more than once: keep one line for it")
    if rows and not any((path.parent / sample).is_file() for sample, *_ in rows):
        raise ZooError(
            f"none of the {len(rows)} files of manifest {path} exists: paths are relative to the "
            f"manifest's folder, the first is {rows[0][0]}"
        )
    return make_catalog(path.stem, path.parent, rows)


def _manifest_row(path: Path, line: int, row: dict[str, str], grouped: str) -> Sample:
    sample, label = (row.get("path") or "").strip(), (row.get("label") or "").strip()
    if not sample or not label:
        what = "path" if not sample else "label"
        raise ZooError(f"line {line} of manifest {path} has no {what}: fill it in or remove it")
    given = (row.get("split") or "").strip().lower()
    if given and given not in _SPLIT_NAMES:
        raise ZooError(
            f"line {line} of manifest {path} has the split {given!r}: expected train, val, test "
            f"or nothing"
        )
    root = path.parent.resolve()
    full = Path(os.path.normpath(root / sample))  # normalized only: links inside may lead outside
    if not full.is_relative_to(root):
        raise ZooError(
            f"line {line} of manifest {path} names {sample}, which lies outside the data folder "
            f"{path.parent}: move the manifest above all images"
        )
    group = (row.get(grouped) or "").strip()
    return Sample(full.relative_to(root).as_posix(), label, _SPLIT_NAMES.get(given, ""), group)


def _tfds(name: str) -> Catalog:
    """A data set of TensorFlow Datasets, its encoded images written once below the cache."""
    key = hashlib.sha256(name.encode()).hexdigest()[:8]
    folder = cache_dir() / "tfds" / f"{name.replace('/', '-').replace(':', '-')}-{key}"
    if not folder.is_dir():
        with new_folder(folder) as temporary:
            _export_tfds(name, temporary)
    catalog = _folder(folder)
    return make_catalog(
        name.split("/")[0].split(":")[0],
        folder,
        [
            (sample, catalog.classes[catalog.labels[i]], str(catalog.splits[i]))
            for i, sample in enumerate(catalog.ids)
        ],
    )


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
    if not any(split.split("[")[0] in _SPLIT_NAMES for split in builder.info.splits):
        raise ZooError(
            f"tfds:{name} has no split named train, validation or test: it has "
            f"{', '.join(builder.info.splits) or 'none'}"
        )
    decoders = {"image": tfds.decode.SkipDecoding()}
    for split in builder.info.splits:
        role = _SPLIT_NAMES.get(split.split("[")[0])
        if role is None:
            continue
        data = builder.as_dataset(split=split, decoders=decoders)
        for i, example in enumerate(tfds.as_numpy(data)):
            if example["label"] < 0:  # a test set whose labels are kept secret
                continue
            label = fields["label"].int2str(int(example["label"])).replace("/", "-")
            file = target / role / label / f"{i:07d}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(example["image"])
