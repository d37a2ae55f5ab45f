"""Storages that cannot be used are told in a sentence, without their password."""

import os
import socket
import sqlite3

import pytest

from zoo.errors import DiskError, ZooError
from zoo.tuning.storage import open_storage, storage_errors
from zoo.tuning.trial_store import TrialStore


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("studies", "must be journal:PATH or the URL of a database"),
        ("oddbase://host/x", "cannot be used|needs a driver"),
        ("sqlite:////no/such/folder/x.db", "unable to open database file"),
        ("journal:/proc/none/x.log", "cannot be"),
    ],
)
def test_what_is_no_storage(tmp_path, storage, words):
    with pytest.raises(ZooError, match=words) as error:
        open_storage(storage, tmp_path)
    assert "\n" not in str(error.value)


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path):
    pytest.importorskip("psycopg2")
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/zoo"
    with pytest.raises(ZooError, match=r"cannot be used .*check the address") as error:
        open_storage(url, tmp_path)
    assert "secret" not in str(error.value)
    assert "me:***@127.0.0.1" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_journal_is_told(tmp_path):
    path = tmp_path / "study.log"
    path.write_text(
        '{"op_code": 0, "worker_id": "a", "study_name": "b", "directions": [2]}\nnor is this\n'
    )
    with (
        pytest.raises(ZooError, match="cannot be used"),
        storage_errors(f"journal:{path}", opening=True),
    ):
        TrialStore(open_storage(f"journal:{path}", tmp_path), "b", "maximize")


def test_errors_of_others_pass():
    with pytest.raises(ValueError, match="mine"), storage_errors(None):
        raise ValueError("mine")


FOREIGN = {
    "text": b"precious\n",
    "json": b'{"name": "of a list of birds"}\n',
    "json of no object": b"[1, 2]\n",
    "a photo": b"\xff\xd8\xff\xe0" + bytes(range(256)),
    "one long line": b"x" * (1 << 21),
    "no newline": b"precious",
}


@pytest.mark.parametrize("address", ["journal:", "sqlite:///"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_stays_as_it_is(address, kind, tmp_path):
    path = tmp_path / "theirs"
    path.write_bytes(FOREIGN[kind])
    with pytest.raises(ZooError, match=r"is not (a journal of trials|an SQLite database)"):
        open_storage(f"{address}{path}", tmp_path / "study")
    assert path.read_bytes() == FOREIGN[kind]
    assert [p.name for p in tmp_path.iterdir()] == ["theirs"]


@pytest.mark.parametrize(
    "tables", [["birds"], ["birds", "studies"], ["studies", "trials", "students"]]
)
def test_a_foreign_database_stays_as_it_is(tables, tmp_path):
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as database:
        for table in tables:
            database.execute(f"CREATE TABLE {table} (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(ZooError, match="is a database of something else"):
        open_storage(f"sqlite:///{path}", tmp_path / "study")
    assert path.read_bytes() == before


@pytest.mark.parametrize("address", ["journal:", "sqlite:///"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_what_is_no_file_is_no_storage(address, kind, tmp_path):
    path = tmp_path / "x"
    makers = {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "dangling link": lambda: path.symlink_to(tmp_path / "nowhere"),
    }
    makers[kind]()
    with pytest.raises(ZooError, match="is not a file"):
        open_storage(f"{address}{path}", tmp_path / "study")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("address", ["journal:", "sqlite:///"])
@pytest.mark.parametrize("begun", [False, True])
def test_an_empty_file_and_a_study_are_taken(address, begun, tmp_path):
    path = tmp_path / "ours.db"
    path.touch()
    if begun:
        TrialStore(open_storage(f"{address}{path}", tmp_path), "a", "maximize")
    assert TrialStore(open_storage(f"{address}{path}", tmp_path), "a", "maximize").created != begun


def test_a_full_disk_is_told_as_such():
    from sqlalchemy.exc import OperationalError

    full = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    with (
        pytest.raises(DiskError, match=r"disk is full.*the same command continues"),
        storage_errors(None),
    ):
        raise full
