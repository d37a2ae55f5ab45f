from __future__ import annotations

import codecs
import json
import unicodedata
from pathlib import Path

import pytest

from zoo.data.catalog import Catalog
from zoo.data.manifest import Columns, scan_manifest
from zoo.errors import ZooError

FILES = ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
PLAIN = [(file, file[0]) for file in FILES]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def read(folder: Path, content: str | bytes, name: str = "list.csv", **columns: str) -> Catalog:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return scan_manifest(folder / name, Columns(**columns))


def joined(header: str, separator: str, rows: list[tuple[str, ...]], end: str = "\n") -> str:
    return end.join([header, *map(separator.join, rows)])


WRITTEN = {
    "capitals": joined("Path,LABEL", ",", PLAIN),
    "blanks": joined(" path , label", ", ", PLAIN),
    "semicolon": joined("path;label", ";", PLAIN),
    "tab": joined("path\tlabel", "\t", PLAIN),
    "bar": joined("label|path", "|", [(b, a) for a, b in PLAIN]),
    "quotes": joined('"path","label"', ",", [(f'"{a}"', f'"{b}"') for a, b in PLAIN]),
    "quotes after blanks": joined('path, "label"', ", ", [(a, f'"{b}"') for a, b in PLAIN]),
    "bom": codecs.BOM_UTF8 + joined('"path","label"', ",", PLAIN).encode(),
    "utf-16": joined("path,label", ",", PLAIN).encode("utf-16"),
    "windows lines": joined("path,label", ",", PLAIN, "\r\n"),
    "backslashes": joined("path,label", ",", [(a.replace("/", "\\"), b) for a, b in PLAIN]),
    "some backslashes": joined("path,label", ",", [("a\\1.jpg", "a"), *PLAIN[1:]]),
    "dot backslash": joined(
        "path,label", ",", [(".\\" + a.replace("/", "\\"), b) for a, b in PLAIN]
    ),
    "a drive": joined("path,label", ",", [(rf"C:\me\photos\{a[0]}\{a[2:]}", b) for a, b in PLAIN]),
    "index": joined(",path,label", ",", [(str(i), *row) for i, row in enumerate(PLAIN)]),
    "named index": joined("Unnamed: 0,path,label", ",", [("7", *row) for row in PLAIN]),
    "empty last column": joined("path,label,", ",", [(*row, "") for row in PLAIN]),
    "trailing commas": joined("path,label", ",", [(*row, "", "") for row in PLAIN]),
    "blank lines": joined("\n\npath,label", ",", [*PLAIN, ("", ""), (" ", "")]),
    "repeated": joined("path,label", ",", [*PLAIN, PLAIN[0], PLAIN[1]]),
}


@pytest.mark.parametrize("content", WRITTEN.values(), ids=WRITTEN)
def test_tables_as_people_write_them_are_read(root, content):
    catalog = read(root, content)
    assert catalog.ids == FILES
    assert [catalog.classes[k] for k in catalog.labels] == ["a", "a", "b", "b"]


def test_repeated_lines_are_counted(root):
    assert "2 lines repeat" in read(root, WRITTEN["repeated"]).notes[0]


@pytest.mark.parametrize("name", ["list.jsonl", "list.ndjson", "list.parquet"])
@pytest.mark.parametrize("columns", [{}, {"path": "file", "label": "kind", "group": "who"}])
def test_json_lines_and_parquet_have_the_same_columns(root, name, columns):
    keys = [columns.get("path", "Path"), columns.get("label", "label"), "split",
            columns.get("group", "group"), "note"]  # fmt: skip
    rows = [("a/1.jpg", 1, "train", "p", 0.5), ("a/2.jpg", 1, "test", None, 0.5),
            ("b/1.jpg", 2, None, "p", 0.5), ("b/2.jpg", 2, "dev", "q", 0.5)]  # fmt: skip
    records = [dict(zip(keys, row, strict=True)) for row in rows]
    if name.endswith("parquet"):
        import pandas

        pandas.DataFrame(records).to_parquet(root / name)
        catalog = scan_manifest(root / name, Columns(**columns))
    else:
        catalog = read(root, "\n".join(map(json.dumps, records)), name, **columns)
    assert catalog.classes == ("1", "2")
    assert catalog.splits.tolist() == ["train", "test", "", "val"]
    assert catalog.groups[0] == catalog.groups[2]
    assert len(set(catalog.groups.tolist())) == 3


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_file_names_and_labels_in_either_unicode_form_are_found(root, form, other):
    file = root / unicodedata.normalize(form, "é/ü.jpg")
    file.parent.mkdir()
    file.write_bytes(b"x")
    lines = [*PLAIN, (unicodedata.normalize(other, "é/ü.jpg"), "a")]
    catalog = read(root, joined("path,label", ",", lines))
    assert all(catalog.path(i).is_file() for i in range(len(catalog)))
    labels = [unicodedata.normalize(kind, "é") for kind in (form, other)]
    twice = joined("path,label", ",", [(f, labels[i % 2]) for i, f in enumerate(FILES)])
    assert read(root, twice).classes == (unicodedata.normalize("NFC", "é"),)


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (("1", "01", "2", "2"), "'01', '1' are 2 classes"),
        (("1", "1.0", "001", "2"), "'001', '1', '1.0' are 3 classes"),
        (("Cat", "cat", "dog", "dog"), "'Cat', 'cat' are 2 classes"),
        (("1", "10", "2", "dog"), ""),
    ],
)
def test_labels_are_text_and_look_alikes_are_named(root, labels, note):
    catalog = read(root, joined("path,label", ",", list(zip(FILES, labels, strict=True))))
    assert set(catalog.classes) == set(labels)
    assert catalog.notes == ((f"labels are text: {note}",) if note else ())


@pytest.mark.parametrize(
    ("content", "name", "columns", "sentence"),
    [
        ("file,kind\na/1.jpg,a\n", "list.csv", {}, "no column 'path'.*it is file,kind.*--path-col"),
        ("path,kind\na/1.jpg,a\n", "list.csv", {"label": "king"}, "no column 'king'"),
        ("path,label\na/1.jpg,a\n", "list.csv", {"group": "who"}, "no column 'who'"),
        ('{"path": "a/1.jpg"}', "list.jsonl", {}, "no column 'label'"),
        ('{"path": "a/1.jpg", "path": "b/1.jpg", "label": "a"}', "list.jsonl", {}, "a key"),
        ('\n{"path": ', "list.jsonl", {}, "line 2 of manifest .* is not valid JSON"),
        ("[1]", "list.jsonl", {}, "line 1 of manifest .* is no JSON object"),
        ("PAR1 or not", "list.parquet", {}, "is not a Parquet file"),
        ("a/1.jpg", "list.jsonl", {}, "line 1 of manifest .* is not valid JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_line(root, content, name, columns, sentence):
    given = frozenset(columns.values())
    (root / name).write_text(content)
    with pytest.raises(ZooError, match=sentence):
        scan_manifest(root / name, Columns(**columns, given=given))


@pytest.mark.parametrize("value", ["Training", "train_set", "TRAIN"])
def test_splits_of_a_manifest_have_the_names_of_folders(root, value):
    lines = [(a, b, value) for a, b in PLAIN]
    assert set(read(root, joined("path,label,split", ",", lines)).splits) == {"train"}
