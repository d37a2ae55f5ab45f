"""Storages that cannot be used are told in a sentence, without their password."""

import socket

import pytest

from zoo.errors import ZooError
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
    path.write_text("this is no journal\nnor is this\n")
    with (
        pytest.raises(ZooError, match="cannot be used"),
        storage_errors(f"journal:{path}", opening=True),
    ):
        TrialStore(open_storage(f"journal:{path}", tmp_path), "b", "maximize")


def test_errors_of_others_pass():
    with pytest.raises(ValueError, match="mine"), storage_errors(None):
        raise ValueError("mine")
