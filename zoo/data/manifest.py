"""Manifests: tables that name the images, their classes and, if wanted, their splits and groups."""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from zoo.data.catalog import Catalog, Sample, make_catalog
from zoo.data.folders import split_role
from zoo.errors import ZooError, nearest
from zoo.paths import open_regular, read_regular

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_LARGEST = 1 << 30  # bytes of a manifest: a sparse file may claim more than any memory holds
_SEPARATORS = ",;\t|"


@dataclass(frozen=True)
class Columns:
    """Names of the columns, in any case; the group's may be missing.

    Attributes:
        path, label, split, group: the names.
        given: those that the user named, which must be there.
    """

    path: str = "path"
    label: str = "label"
    split: str = "split"
    group: str = "group"
    given: frozenset[str] = frozenset()


Row = tuple[int, dict[str, str]]  # line from 1, and the fields by their columns


def scan_manifest(path: Path, columns: Columns | None = None) -> Catalog:
    """Catalogue of a manifest: CSV with any usual separator, JSON Lines, or Parquet.

    Raises:
        ZooError: columns or fields that are missing or too many, files outside its folder, a file
            with two labels, or no file that exists.
    """
    columns = columns or Columns()
    readers = {".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}
    samples: dict[str, tuple[int, Sample]] = {}
    repeated = 0
    root = path.parent.resolve()
    for line, row in readers.get(path.suffix.lower(), _separated)(path, columns):
        sample = _sample(path, root, line, row, columns)
        earlier = samples.setdefault(sample.id, (line, sample))
        if earlier[1] != sample:
            raise ZooError(
                f"line {line} of manifest {path} lists {sample.id} as {_said(sample)}, line "
                f"{earlier[0]} as {_said(earlier[1])}: keep one line for it"
            )
        repeated += earlier[0] != line
    found = [sample for _, sample in samples.values()]
    if found and not any((path.parent / sample.id).is_file() for sample in found):
        raise ZooError(
            f"none of the {len(found)} files of manifest {path} exists: paths are relative to the "
            f"manifest's folder, the first is {found[0].id}"
        )
    notes = [f"{repeated} lines repeat an earlier one and are read once"] if repeated else []
    return make_catalog(path.stem, path.parent, found, notes=[*notes, *_alike(found)])


def _said(sample: Sample) -> str:
    parts = (sample.label, sample.split, sample.group)
    return " ".join(repr(part) for part in parts if part)


def _alike(samples: Sequence[Sample]) -> list[str]:
    """Sentences on labels that may be meant as one: 1 and 01, Cat and cat."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for label in {sample.label for sample in samples}:
        try:
            kinds[str(float(label))].add(label)
        except ValueError:
            kinds[label.casefold()].add(label)
    return [
        f"labels are text: {', '.join(map(repr, sorted(same)))} are {len(same)} classes"
        for same in kinds.values()
        if len(same) > 1
    ]


def _unreadable(path: Path, error: OSError) -> ZooError:
    return ZooError(f"manifest {path} cannot be read ({error.strerror or error}): check the file")


def _separated(path: Path, columns: Columns) -> Iterator[Row]:
    try:
        content = read_regular(path, _LARGEST)
    except OSError as error:
        raise _unreadable(path, error) from error
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
        first = next((line for line in text.splitlines() if line.strip()), "")
        separator = max(_SEPARATORS, key=lambda s: (len(_named(first, s, columns)), first.count(s)))
        reader = csv.reader(
            io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True
        )
        header: list[str] | None = None
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if header is None:
                header = _checked(path, fields, columns)
                continue
            yield reader.line_num, _row(path, reader.line_num, header, fields, separator)
        if header is None:
            _checked(path, [], columns)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ZooError(
            f"manifest {path} is not a CSV file in UTF-8 ({error}): save it as CSV UTF-8"
        ) from error


def _named(line: str, separator: str, columns: Columns) -> set[str]:
    wanted = {_key(columns.path), _key(columns.label)}
    try:
        fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return set()
    return wanted & {_key(field) for field in fields}


def _key(column: str) -> str:
    return unicodedata.normalize("NFC", column).strip().casefold()


def _checked(path: Path, header: Sequence[str], columns: Columns) -> list[str]:
    """The columns' keys, after everything that is needed was found once."""
    keys = [_key(name) for name in header]
    shown = ",".join(name.strip() for name in header)
    twice = sorted({key for key in keys if key and keys.count(key) > 1})
    if twice:
        raise ZooError(
            f"line 1 of manifest {path} names the column {twice[0]!r} twice ({shown}): keep one"
        )
    needed = {"--path-column": columns.path, "--label-column": columns.label}
    for option, name in {**needed, **dict.fromkeys(columns.given)}.items():
        name = name or option
        if _key(name) not in keys:
            hint = f"or give {option} with one of its names" if option in needed else ""
            raise ZooError(
                f"manifest {path} has no column {name!r}: its first line must name path, label "
                f"and, if wanted, split and group; it is {shown}; "
                f"{hint or nearest(_key(name), [key for key in keys if key])}"
            )
    return keys


def _row(
    path: Path, line: int, header: Sequence[str], fields: list[str], separator: str
) -> dict[str, str]:
    while len(fields) > len(header) and not fields[-1].strip():
        fields.pop()
    if len(fields) != len(header):
        sign = {"\t": "tab"}.get(separator, separator)
        raise ZooError(
            f"line {line} of manifest {path} has {len(fields)} fields, the header {len(header)}: "
            f'a value that holds the separator ({sign}) must be in quotes, as "red{separator} dark"'
        )
    return dict(zip(header, fields, strict=True))


def _json_lines(path: Path, columns: Columns) -> Iterator[Row]:
    try:
        opened = open_regular(path, _LARGEST)
    except OSError as error:
        raise _unreadable(path, error) from error
    with io.TextIOWrapper(opened, encoding="utf-8-sig") as file:
        try:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                try:
                    content = json.loads(text, object_pairs_hook=_no_twice)
                except (ValueError, RecursionError) as error:
                    raise ZooError(
                        f"line {line} of manifest {path} is not valid JSON ({error}): expected "
                        f'{{"path": "cat/1.jpg", "label": "cat"}}'
                    ) from error
                if not isinstance(content, dict):
                    raise ZooError(
                        f"line {line} of manifest {path} is no JSON object: expected "
                        f'{{"path": "cat/1.jpg", "label": "cat"}}'
                    )
                keys = _checked(path, list(content), columns)
                values = map(_text, content.values())
                yield line, dict(zip(keys, values, strict=True))
        except UnicodeDecodeError as error:
            raise ZooError(f"manifest {path} is not in UTF-8 ({error})") from error


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _text(value: Any) -> str:
    """A value as the text that a CSV file would hold."""
    if value is None or value != value:  # NaN, as pandas writes a missing value
        return ""
    return value if isinstance(value, str) else str(value)


def _parquet(path: Path, columns: Columns) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ZooError(
            f"manifest {path} needs pyarrow, which is missing: pip install pyarrow, or save the "
            f"table as CSV"
        ) from None
    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        keys = _checked(path, names, columns)
        wanted = {_key(name) for name in (columns.path, columns.label, columns.split)}
        used = [n for n, k in zip(names, keys, strict=True) if k in {*wanted, _key(columns.group)}]
        line = 0
        for batch in file.iter_batches(columns=used):
            for content in batch.to_pylist():
                line += 1
                yield line, {_key(name): _text(value) for name, value in content.items()}
    except (ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise ZooError(f"manifest {path} is not a Parquet file that can be read ({reason})") from (
            error
        )


def _sample(path: Path, root: Path, line: int, row: dict[str, str], columns: Columns) -> Sample:
    named = replace(columns, given=frozenset())
    sample, label, given, group = (
        row.get(_key(name), "").strip()
        for name in (named.path, named.label, named.split, named.group)
    )
    if not sample or not label:
        what = "path" if not sample else "label"
        raise ZooError(f"line {line} of manifest {path} has no {what}: fill it in or remove it")
    role = split_role(given)[0] if given else ""
    if given and not role:
        raise ZooError(
            f"line {line} of manifest {path} has the split {given!r}: expected train, val, test "
            f"or nothing"
        )
    role = "test" if role == "held-out" else role
    full = _file(root, sample)
    if not full.is_relative_to(root):
        raise ZooError(
            f"line {line} of manifest {path} names {sample}, which lies outside the data folder "
            f"{path.parent}: move the manifest above all images"
        )
    normal = unicodedata.normalize("NFC", label)
    return Sample(full.relative_to(root).as_posix(), normal, role, group)


def _file(root: Path, sample: str) -> Path:
    """Where a file of a manifest is: as it is written, or as Windows or macOS would write it."""
    # normalized only: links inside may lead outside
    full = Path(os.path.normpath(root / sample))
    if sample.isascii() and "\\" not in sample:
        return full
    windows = PureWindowsPath(sample)
    forms = [sample]
    if "\\" in sample:
        forms.append("/".join(windows.parts))
        if windows.drive:  # of another machine: what is below the folder of this name
            places = [i for i, part in enumerate(windows.parts) if part == root.name]
            forms += ["/".join(windows.parts[i + 1 :]) for i in places]
    for form in forms:
        for kind in ("NFC", "NFD"):
            for text in (form, unicodedata.normalize(kind, form)):
                other = Path(os.path.normpath(root / text))
                if _exists(other):
                    return other
    return Path(os.path.normpath(root / forms[-1])) if len(forms) > 1 else full


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except ValueError:  # a name that no file can have
        return False
