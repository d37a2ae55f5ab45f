from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo.errors import ZooError, disk_errors, nearest
from zoo.paths import cache_dir, new_file, new_folder, runs_dir


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
