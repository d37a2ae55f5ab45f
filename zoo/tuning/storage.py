"""Where a study is kept: an SQLite file, a journal file, or a database that many machines reach."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from zoo.errors import DiskError, ZooError, disk_errors
from zoo.installation import install_hint
from zoo.paths import open_regular, user_path

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_FILE = "study.sqlite3"  # in the study's folder
_SQLITE = b"SQLite format 3\0"  # how such a file begins
_OPTUNA_TABLES = {"studies", "trials", "version_info"}
_LARGEST_JOURNAL = 1 << 32  # bytes
_LONGEST_LINE = 1 << 20  # bytes of a journal's first line
_WAIT = 60  # seconds for another process to finish writing, or for a server to answer
_TRIES, _PAUSE = 4, 0.5  # times to create tables that another machine creates too, seconds between


def import_optuna() -> Any:
    """Optuna, without its chatter."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def name_of(given: str | None, folder: Path) -> str:
    """The storage of a study in messages; see :func:`open_storage`."""
    return str(folder / _FILE) if given is None else _shown(given)


def open_storage(given: str | None, folder: Path) -> BaseStorage:
    """The storage of a study.

    Args:
        given: ``journal:PATH``, or the URL of a database as SQLAlchemy takes it, such as
            ``postgresql://user:password@host/name``; an SQLite file in ``folder`` if None.
        folder: of the study.

    Raises:
        ZooError: it cannot be reached, or is no storage.
    """
    optuna = import_optuna()
    check_storage(given)
    if given is None:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        given = f"sqlite:///{(folder / _FILE).resolve()}"
    if given.startswith("journal:"):
        path = user_path(given.removeprefix("journal:"))
        with storage_errors(given, opening=True), disk_errors(path):
            _check_journal(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            backend = optuna.storages.journal.JournalFileBackend(str(path))
            storage: BaseStorage = optuna.storages.JournalStorage(backend)
            return storage
    with storage_errors(given, opening=True):
        _check_database(given)
        return optuna.storages.get_storage(_database(given))


def check_storage(given: str | None) -> None:
    """Refuse what is no storage before anything is made.

    Raises:
        ZooError: neither a journal nor the URL of a database.
    """
    if given is not None and not given.startswith("journal:") and "://" not in given:
        raise ZooError(
            f"--storage must be journal:PATH or the URL of a database such as "
            f"postgresql://user@host/name, not {given!r}"
        )


def _check_journal(path: Path) -> None:
    """Refuse a file that is not a journal of Optuna, before anything is appended to it.

    Raises:
        ZooError: it is of something else.
    """
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise ZooError(f"--storage journal:{path} is not a file: name another one")
    with open_regular(path, _LARGEST_JOURNAL) as file:  # it is read into memory
        line = file.readline(_LONGEST_LINE)
    try:
        first = json.loads(line) if line else {"op_code": 0, "worker_id": ""}
    except (ValueError, RecursionError):
        first = None
    # what every line of a journal holds
    if not isinstance(first, dict) or not {"op_code", "worker_id"} <= first.keys():
        raise ZooError(
            f"--storage journal:{path} is not a journal of trials, so nothing is appended to it: "
            f"name another file"
        )


def _check_database(url: str) -> None:
    """Refuse an SQLite file that holds something else, before any table is added to it.

    Raises:
        ZooError: it is not a database, or has tables and none of Optuna's.
    """
    import sqlalchemy
    from optuna.storages._rdb.models import BaseModel

    address = sqlalchemy.engine.make_url(url)
    name = address.database
    if address.get_backend_name() != "sqlite" or not name or name == ":memory:":
        return
    path = Path(name)
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise ZooError(f"--storage {_shown(url)} is not a file: name another one")
    with open_regular(path) as file:
        start = file.read(len(_SQLITE))
    if start not in (b"", _SQLITE):
        raise ZooError(f"--storage {_shown(url)} is not an SQLite database: name another file")
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    with closing(sqlite3.connect(uri, _WAIT, uri=True)) as found:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = {row[0] for row in found.execute(query)}
    # some of Optuna's alone are those of another command that is making them right now
    known = {*BaseModel.metadata.tables, "alembic_version"}
    if not tables <= known and not tables >= _OPTUNA_TABLES:
        raise ZooError(
            f"--storage {_shown(url)} is a database of something else (it has the table "
            f"{min(tables - known)!r}), so no table is added to it: name another file"
        )


def _database(url: str) -> Any:
    """The database with Optuna's tables, which another machine may be creating right now."""
    import sqlalchemy.exc
    from optuna.storages import RDBStorage

    for attempt in range(_TRIES):
        try:
            return RDBStorage(_with_driver(url), engine_kwargs=_engine(url))
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
            if attempt == _TRIES - 1:
                raise
            time.sleep(_PAUSE)
    return None


def _with_driver(url: str) -> str:
    """The address with the PostgreSQL driver that is there: SQLAlchemy's default has changed."""
    scheme, sign, rest = url.partition("://")
    if scheme in {"postgres", "postgresql"}:
        there = importlib.util.find_spec("psycopg2") is not None
        scheme = "postgresql+psycopg2" if there else "postgresql+psycopg"
    return f"{scheme}{sign}{rest}"


def _engine(url: str) -> dict[str, Any]:
    """What SQLAlchemy is told: wait for others, and notice a lost connection."""
    waits = {"sqlite": {"timeout": _WAIT}, "postgresql": {"connect_timeout": _WAIT // 6}}
    return {
        "connect_args": waits.get(url.partition(":")[0].partition("+")[0], {}),
        "pool_pre_ping": True,
    }


@contextmanager
def storage_errors(given: str | None, *, opening: bool = False) -> Iterator[None]:
    """Turn what goes wrong with a storage into a sentence.

    Args:
        given: its address.
        opening: whether nothing but the storage is used in the block, so that any error is its own.

    Raises:
        ZooError: it cannot be reached, is damaged, or its driver is not installed.
    """
    import sqlalchemy.exc
    from optuna.exceptions import StorageInternalError

    failures = (sqlalchemy.exc.SQLAlchemyError, StorageInternalError, sqlite3.Error)
    try:
        yield
    except ZooError:
        raise
    except ImportError as error:
        if not opening:
            raise
        raise ZooError(
            f"storage {_shown(given)} needs a driver that is not installed: "
            f"{install_hint('postgres')} for PostgreSQL"
        ) from error
    except (*failures, OSError, ValueError, RuntimeError) as error:
        if not (opening or isinstance(error, failures)):
            raise
        if "disk is full" in str(error):  # SQLite's own words
            raise DiskError(
                f"the disk is full: the trials of storage {_shown(given)} could not be saved; free "
                f"some space, then the same command continues"
            ) from error
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        lines = [line.strip() for line in str(cause or error).splitlines() if line.strip()]
        detail = lines[0] if lines else type(error).__name__
        raise ZooError(
            f"storage {_shown(given)} cannot be used ({detail[:300]}): check the address, and that "
            f"it can be reached from here"
        ) from error
    except Exception as error:  # Optuna believes what it reads
        if not opening:
            raise
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        raise ZooError(
            f"storage {_shown(given)} is damaged ({detail[:300]}): put back a copy of it, or "
            f"choose another --name and storage"
        ) from error


def _shown(given: str | None) -> str:
    """The address without its password."""
    import sqlalchemy

    if given is None or "://" not in given:
        return given or "of the study"
    try:
        return sqlalchemy.engine.make_url(given).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return given.partition("://")[0] + "://..."
