from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo.errors import ZooError, disk_errors, nearest
from zoo.paths import (
    MARK,
    cache_dir,
    claim_folder,
    empty_folder,
    is_marked,
    mark,
    new_file,
    new_folder,
    remove_abandoned,
    remove_folder,
    runs_dir,
)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written to, not even by root, who gives up its rights for it."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder / "below"
    os.seteuid(user)


def test_runs_lie_where_told_then_where_the_environment_says_then_here(monkeypatch):
    monkeypatch.setenv("ZOO_RUNS", "~/somewhere")
    assert runs_dir("here") == Path("here")
    assert runs_dir() == Path.home() / "somewhere"
    monkeypatch.delenv("ZOO_RUNS")
    assert runs_dir() == Path("runs")


def test_cache_lies_where_the_environment_says_then_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE", "~/somewhere")
    assert cache_dir() == Path.home() / "somewhere"
    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "zoo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "zoo"


def test_new_folder_appears_whole_at_the_end_only(tmp_path):
    target = tmp_path / "deep" / "folder"
    with new_folder(target) as temporary:
        (temporary / "file").write_text("content")
        assert not target.exists()
    assert (target / "file").read_text() == "content"
    assert names(target.parent) == ["folder"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(5, "I/O error")])
def test_new_folder_leaves_nothing_behind_when_the_block_fails(tmp_path, error):
    target = tmp_path / "deep" / "folder"
    with pytest.raises(type(error)), new_folder(target) as temporary:
        (temporary / "file").write_text("half")
        raise error
    assert names(target.parent) == []


def test_new_folder_keeps_the_copy_of_whoever_was_faster(tmp_path):
    target = tmp_path / "folder"
    with new_folder(target) as temporary:
        (temporary / "file").write_text("mine")
        target.mkdir()
        (target / "file").write_text("theirs")
    assert (target / "file").read_text() == "theirs"
    assert names(tmp_path) == ["folder"]


def test_new_folder_does_not_hide_an_error_of_the_block_when_somebody_was_faster(tmp_path):
    target = tmp_path / "folder"
    with pytest.raises(OSError, match="I/O error"), new_folder(target):
        target.mkdir()
        raise OSError(errno.EIO, "I/O error")


def test_new_folder_has_the_rights_of_any_new_folder(tmp_path):
    (tmp_path / "plain").mkdir()
    with new_folder(tmp_path / "folder"):
        pass
    plain, made = ((tmp_path / n).stat().st_mode for n in ("plain", "folder"))
    assert made == plain


def test_new_file_replaces_the_old_one_at_the_end_only(tmp_path):
    target = tmp_path / "deep" / "file.json"
    for content in ("first", "second"):
        before = target.read_text() if target.exists() else None
        with new_file(target) as temporary:
            temporary.write_text(content)
            assert temporary.suffix == ".json"
            assert (target.read_text() if target.exists() else None) == before
        assert target.read_text() == content
    assert names(target.parent) == ["file.json"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(5, "I/O error")])
def test_new_file_keeps_the_old_one_when_the_block_fails(tmp_path, error):
    target = tmp_path / "file.json"
    target.write_text("old")
    with pytest.raises(type(error)), new_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("make", [new_file, new_folder])
def test_a_place_without_permission_gives_a_sentence(locked, make):
    with pytest.raises(ZooError, match=r"cannot be written.*ZOO_CACHE"), make(locked / "new"):
        raise AssertionError("the place is locked, so there is nothing to write to")


def test_a_full_device_gives_a_sentence():
    with (
        pytest.raises(ZooError, match=r"disk is full: /dev/full .*ZOO_RUNS, ZOO_CACHE"),
        disk_errors("/dev/full"),
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"x")


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("Digit", ["elpv", "digits"], "did you mean 'digits'?"),
        ("flowers", ["elpv", "digits"], "there is elpv, digits"),
        ("any", [], "there is none yet"),
    ],
)
def test_nearest_names_the_closest_or_lists_all(name, known, hint):
    assert nearest(name, known) == hint


KEPT = {"notes.txt": b"precious", "deep/photo.jpg": b"\xff\xd8"}


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder of the user."""
    folder = tmp_path / "victim"
    for name, content in KEPT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*g")} | {
        p.name: p.read_bytes() for p in folder.glob("*.txt")
    }


@pytest.mark.parametrize("make", [claim_folder, empty_folder])
def test_a_folder_is_made_with_its_mark(make, tmp_path):
    make(tmp_path / "deep" / "folder")
    make(tmp_path / "deep" / "folder")
    assert is_marked(tmp_path / "deep" / "folder")
    assert names(tmp_path / "deep" / "folder") == [MARK]


def test_an_empty_folder_is_taken(tmp_path):
    claim_folder(tmp_path)
    assert is_marked(tmp_path)


@pytest.mark.parametrize("make", [claim_folder, empty_folder])
@pytest.mark.parametrize("mark_is", ["missing", "empty", "other", "a link", "a folder"])
def test_a_folder_of_the_user_stays(make, mark_is, foreign, tmp_path):
    ours = tmp_path / "ours"
    claim_folder(ours)
    places = {
        "empty": lambda mark: mark.touch(),
        "other": lambda mark: mark.write_text("my zoo of animals"),
        "a link": lambda mark: mark.symlink_to(ours / MARK),
        "a folder": lambda mark: mark.mkdir(),
        "missing": lambda mark: None,
    }
    places[mark_is](foreign / MARK)
    assert not is_marked(foreign)
    with pytest.raises(ZooError, match=r"was not made by zoo .*move it away"):
        make(foreign)
    remove_folder(foreign)
    assert content(foreign) == KEPT


@pytest.mark.parametrize("make", [claim_folder, empty_folder])
@pytest.mark.parametrize("marked", [False, True])
def test_a_link_is_refused_whatever_it_leads_to(make, marked, foreign, tmp_path):
    if marked:
        mark(foreign)
    link = tmp_path / "link"
    link.symlink_to(foreign)
    with pytest.raises(ZooError, match="is a link"):
        make(link)
    remove_folder(link)
    assert link.is_symlink()
    assert content(foreign) == KEPT


@pytest.mark.parametrize("make", [claim_folder, empty_folder])
@pytest.mark.parametrize("kind", ["file", "pipe", "dangling link", "link to itself"])
def test_what_is_no_folder_is_refused(make, kind, tmp_path):
    path = tmp_path / "x"
    makers = {
        "file": lambda: path.write_text("precious"),
        "pipe": lambda: os.mkfifo(path),
        "dangling link": lambda: path.symlink_to(tmp_path / "nowhere"),
        "link to itself": lambda: path.symlink_to(path),
    }
    makers[kind]()
    before = path.lstat()
    with pytest.raises(ZooError, match=r"is a link|is a file"):
        make(path)
    remove_folder(path)
    assert path.lstat() == before


def test_a_link_within_a_folder_of_zoo_is_removed_and_not_followed(foreign, tmp_path):
    folder = tmp_path / "ours"
    claim_folder(folder)
    (folder / "below").symlink_to(foreign)
    (folder / "deep").mkdir()
    (folder / "deep" / "link").symlink_to(foreign / "notes.txt")
    empty_folder(folder)
    assert names(folder) == [MARK]
    (folder / "below").symlink_to(foreign)
    remove_folder(folder)
    assert not folder.exists()
    assert content(foreign) == KEPT


def test_only_old_leftovers_of_zoo_are_removed_from_the_cache(foreign, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    old = time.time() - 2 * 86_400
    for name in (".git", ".zoo-mine", ".hidden"):
        shutil.copytree(foreign, cache / name)
    (cache / ".zoo-file.npy").write_bytes(b"half")
    (cache / ".profile").write_text("precious")
    for name in (".zoo-folder", ".zoo-new"):
        claim_folder(cache / name)
    (cache / ".zoo-link").symlink_to(foreign)
    for path in cache.iterdir():
        if path.name != ".zoo-new":
            os.utime(path, (old, old), follow_symlinks=False)
    remove_abandoned(cache)
    assert names(cache) == [".git", ".hidden", ".profile", ".zoo-link", ".zoo-mine", ".zoo-new"]
    assert content(cache / ".git") == KEPT
    assert content(cache / ".zoo-mine") == KEPT
    assert content(foreign) == KEPT
