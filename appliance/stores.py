"""Opening the store of the settings: its database, its blobs, and what of the local disk it has to spare."""

from __future__ import annotations

import errno
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.backends.reserve import LEAST, Reserve, free_bytes
from appliance.backends.retrying import Attempts, Circuit, RetryingBackend
from appliance.backends.s3 import S3Backend
from appliance.backends.s3_place import ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, parse_place, read_credentials
from appliance.config import Settings
from appliance.db import migrate
from appliance.db.database import Database
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import BackendError, ConfigError, Damaged, StorageFull, Unavailable

PATIENT_S = 3600.0
"""For one statement of a command or a job, which may look at all rows there are."""
HURRIED_S = 30.0
"""For one statement of a request."""


def open_database(settings: Settings, *, synced: bool = True, statement_s: float = PATIENT_S) -> Database:
    """The database, whatever its revision.

    ``synced`` is about SQLite, a server's commits are as durable as it is; ``statement_s`` about a server.
    """
    path = settings.database_path
    if path is None:
        assert settings.database_url is not None
        return PostgresqlDatabase(settings.database_url.url, threads=settings.threads, statement_s=statement_s)
    return SqliteDatabase(path, synced=synced, make_room=reserve_of(settings).make_room)


def open_backend(settings: Settings, *, synced: bool = True, make: bool = False) -> Backend:
    """The blobs. Whose they are is not asked; nothing is made unless ``make``."""
    folder = settings.blobs_folder
    if folder is None:
        return _open_s3(settings)
    return DiskBackend(folder, synced=synced, make=make, host=socket.gethostname() if settings.is_shared else "")


def _open_s3(settings: Settings) -> Backend:
    """Asks the store nothing."""
    assert settings.blobs_url is not None
    keys = {
        ACCESS_KEY: settings.s3_access_key,
        SECRET_KEY: settings.s3_secret_key,
        SESSION_TOKEN: settings.s3_session_token,
    }
    place = parse_place(settings.blobs_url.url)
    credentials = read_credentials({name: value for name, value in keys.items() if value})
    attempts = Attempts(Circuit())
    # Blocks for which memory has no room are on the disk of the data folder for a while, and have no name there.
    scratch = settings.data if settings.data.is_dir() else None
    return RetryingBackend(S3Backend(place, credentials, scratch=scratch, again=attempts.run), attempts)


def puts_synced(settings: Settings) -> bool:
    """Whether what requests store has to be on stable storage before they are answered.

    Only where one machine has it all can the next start find out what a power cut took.
    """
    return settings.durability == "safe" or settings.is_shared or settings.blobs_folder is None


def reserve_of(settings: Settings) -> Reserve:
    """Of the file system that is written to for every change: SQLite's, or that of the blobs."""
    path = settings.database_path
    return Reserve(path.parent if path is not None else settings.blobs_folder or settings.data, settings.reserve)


def room_for_content(settings: Settings) -> int | None:
    """Bytes that new content may take; None where nobody can tell, as of an S3 service."""
    folder = settings.blobs_folder
    return None if folder is None else Reserve(folder, settings.reserve).usable()


def open_store(settings: Settings, *, synced: bool = True, statement_s: float = PATIENT_S) -> tuple[Database, Backend]:
    """Database and blobs of an existing store. Whose they are is not asked, and nothing is made.

    Unless told otherwise both are durable, whatever the setting says about requests: what commands do has time, and
    blobs go with some.

    Raises:
        ConfigError: there is none, it cannot be read, or it has to be migrated first, which only the server does.
    """
    with blaming_database(settings):
        database = _existing_database(settings, synced, statement_s)
    try:
        with blaming_blobs(settings):
            return database, open_backend(settings, synced=synced)
    except BaseException:
        database.close()
        raise


def _existing_database(settings: Settings, synced: bool, statement_s: float) -> Database:
    setting, where = _named_database(settings)
    path = settings.database_path
    if path is not None and not path.exists():
        raise ConfigError(
            setting=setting, problem=f"{where} holds no store; start the server there once, or set another one"
        )
    database = open_database(settings, synced=synced, statement_s=statement_s)
    try:
        revision = migrate.revision_of(database)
        if revision != migrate.head_revision():
            what = "is older than this program" if revision else "was never finished"
            raise ConfigError(
                setting=setting, problem=f"the database in {where} {what}; start the server once to migrate it"
            )
    except BaseException:
        database.close()
        raise
    return database


def _named_database(settings: Settings) -> tuple[str, str]:
    """The setting that says where the database is, and what it says."""
    if settings.database_url is None:
        return "data", str(settings.data)
    return "database_url", settings.database_url.shown


_FAILURES = (StorageFull, Unavailable, Damaged, BackendError, OSError, sqlite3.Error, SQLAlchemyError, psycopg.Error)


@contextmanager
def blaming(setting: str, where: str, folder: Path | None) -> Iterator[None]:
    """What keeps a place from being used comes out as one line for the person who runs the program.

    ``where`` is the place as it is shown, ``folder`` the one whose file system may be full.

    Raises:
        ConfigError: in place of errors of the system, of the databases, and of the blobs.
    """
    try:
        yield
    except _FAILURES as error:
        raise ConfigError(setting=setting, problem=_problem(where, folder, error)) from error


def blaming_database(settings: Settings) -> AbstractContextManager[None]:
    """``blaming`` the database."""
    path = settings.database_path
    return blaming(*_named_database(settings), None if path is None else path.parent)


def blaming_blobs(settings: Settings) -> AbstractContextManager[None]:
    """``blaming`` the blobs."""
    if settings.blobs_url is None:
        return blaming("data", str(settings.data), settings.data)
    return blaming("blobs_url", settings.blobs_url.shown, settings.blobs_folder)


def _problem(where: str, folder: Path | None, error: Exception) -> str:
    """A clause that follows the name of the setting."""
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, Unavailable) and isinstance(cause.__cause__, psycopg.Error):
        cause = cause.__cause__
    if folder is not None and _lacks_room(folder, cause):
        return f"{where} has no room; free some, then start"
    if isinstance(cause, OSError):
        said = f"{cause.strerror or cause}: {cause.filename}" if cause.filename else cause.strerror or str(cause)
    elif isinstance(cause, BackendError):
        said = f"{cause.reason}: {cause.key}"
    else:
        said = str(cause).strip().partition("\n")[0]
    return f"{where} cannot be used ({said})"


def _lacks_room(folder: Path, error: BaseException | None) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, (Unavailable, sqlite3.Error)):
        # SQLite tells of an I/O error where it cannot make the files beside the database.
        free = free_bytes(folder)
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or (free is not None and free < LEAST)
    return isinstance(error, StorageFull)
