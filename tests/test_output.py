"""Pages and tables: only what zoo wrote is replaced, and nothing but a file."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.output import GENERATOR, MARKDOWN, check_output, output_place, write_output

PAGE = f"<!doctype html>\n<html><head>{GENERATOR}</head></html>\n"
OURS = {
    "page.html": PAGE,
    "table.md": f"{MARKDOWN}\n\n### Benchmark b\n",
    "table.json": '{\n  "written_by": "zoo",\n  "rows": []\n}\n',
    "best.json": '{\n  "written_by": "zoo",\n  "settings": {}\n}\n',
    "trials.jsonl": '{"stage": "probe", "trial": 0}\n',
    "table.csv": "label,kind,backbone,variant,method,best_single,seeds,accuracy\n",
}
FOREIGN = {
    "notes": b"precious\n",
    "a page": b"<!doctype html><html><head><title>Thesis</title></head></html>",
    "another generator": b'<meta name="generator" content="Hugo">',
    "a photo": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(64),
    "an archive": b"PK\x03\x04" + bytes(64),
    "json": b'{"written_by": "hand", "settings": {}}',
    "csv": b"label,kind\ncat,animal\n",
    "the mark too late": b"x" * 9000 + PAGE.encode(),
}


@pytest.mark.parametrize("name", OURS)
def test_what_zoo_wrote_is_replaced(name, tmp_path):
    path = tmp_path / name
    write_output(path, OURS[name])
    write_output(path, OURS[name] + "\n")
    assert path.read_text() == OURS[name] + "\n"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_an_empty_file_is_replaced(tmp_path):
    (tmp_path / "page.html").touch()
    write_output(tmp_path / "page.html", PAGE)
    assert (tmp_path / "page.html").read_text() == PAGE


@pytest.mark.parametrize("content", FOREIGN)
@pytest.mark.parametrize("name", OURS)
def test_what_somebody_else_wrote_stays(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(FOREIGN[content])
    with pytest.raises(ZooError, match="was not written by zoo, so it is not replaced"):
        write_output(path, OURS[name])
    assert path.read_bytes() == FOREIGN[content]


@pytest.fixture
def special(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Whatever a path can be that is not a file."""
    found = {n: tmp_path / f"{n}.html" for n in ("pipe", "folder", "socket", "link", "dangling")}
    os.mkfifo(found["pipe"])
    found["folder"].mkdir()
    (tmp_path / "page.html").write_text(PAGE)
    found["link"].symlink_to(tmp_path / "page.html")
    found["dangling"].symlink_to(tmp_path / "nowhere.html")
    found["loop"] = tmp_path / "loop.html"
    found["loop"].symlink_to(found["loop"])
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(tmp_path)  # a socket's path must be short
    server.bind("socket.html")
    os.chdir(here)
    yield found
    server.close()


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "link", "dangling", "loop"])
def test_what_is_no_file_stays(kind, special, tmp_path):
    before = {p.name: p.lstat() for p in tmp_path.iterdir()}
    with pytest.raises(ZooError, match=r"is a (folder|link|device or pipe)"):
        write_output(special[kind], PAGE)
    after = {p.name: p.lstat() for p in tmp_path.iterdir()}
    assert {n: (s.st_ino, s.st_mode) for n, s in after.items()} == {
        n: (s.st_ino, s.st_mode) for n, s in before.items()
    }
    assert (tmp_path / "page.html").read_text() == PAGE


def test_a_folder_takes_the_page_inside(tmp_path):
    assert output_place(tmp_path, "p.html") == tmp_path / "p.html"
    assert output_place(f"{tmp_path}/", "p.html") == tmp_path / "p.html"
    assert output_place(f"{tmp_path}/new/", "p.html") == tmp_path / "new" / "p.html"
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "--output is empty"),
        ("  ", "--output is empty"),
        ("missing/p.html", "there is no folder .*missing to write p.html into: make it first"),
        ("a/b/", "cannot be written"),
        ("notes.txt/p.html", "there is no folder"),
        ("notes.txt/", "cannot be written"),
        ("notes.txt", r"must end in \.html, such as .*notes\.html"),
        ("model.keras", r"must end in \.html"),
        ("page", r"must end in \.html"),
        ("x" * 300 + ".html", "cannot be written .*name too long"),
    ],
)
def test_a_place_that_cannot_be_is_refused(given, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("precious")
    with pytest.raises(ZooError, match=f"(?i){sentence}"):
        output_place(given, "p.html")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert Path("notes.txt").read_text() == "precious"


def test_a_foreign_file_that_appears_meanwhile_stays(tmp_path):
    path = output_place(tmp_path / "p.html", "p.html")
    path.write_text("precious")
    with pytest.raises(ZooError, match="was not written by zoo"):
        write_output(path, PAGE)
    assert path.read_text() == "precious"


def test_a_folder_without_permission_is_told(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(ZooError, match=r"p\.html cannot be written .*denied"):
            check_output(folder / "p.html")
    finally:
        os.seteuid(user)
