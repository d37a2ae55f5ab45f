"""Where a study is kept: an SQLite file, a journal file, or a database that many machines reach."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError, disk_errors
from zoo.installation import install_hint
from zoo.paths import user_path

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_WAIT = 60  # seconds for another process to finish writing, or for a server to answer
_TRIES, _PAUSE = 4, 0.5  # times to create tables that another machine creates too, seconds between


def import_optuna() -> Any:
    """Optuna, without its chatter."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


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
        given = f"sqlite:///{(folder / 'study.sqlite3').resolve()}"
    if given.startswith("journal:"):
        path = user_path(given.removeprefix("journal:"))
        with storage_errors(given, opening=True), disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            backend = optuna.storages.journal.JournalFileBackend(str(path))
            storage: BaseStorage = optuna.storages.JournalStorage(backend)
            return storage
    with storage_errors(given, opening=True):
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

    failures = (sqlalchemy.exc.SQLAlchemyError, StorageInternalError)
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
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        lines = [line.strip() for line in str(cause or error).splitlines() if line.strip()]
        detail = lines[0] if lines else type(error).__name__
        raise ZooError(
            f"storage {_shown(given)} cannot be used ({detail[:300]}): check the address, and that "
            f"it can be reached from here"
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
